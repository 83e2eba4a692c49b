//! What a block of a recording says: what has changed of each thing since the block before.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use memgap_ledger::Fact;
use memgap_ledger::sample::MachineSample;

use super::code::{Code, Input, put_bytes};

/// The most that is kept of a machine, in the form in which it is written: a hundred times what
/// a thousand processes take. It bounds what a hostile recording can make its reader keep.
pub(super) const MOST: usize = 128 << 20;
/// The most things.
const MOST_THINGS: usize = 1 << 20;

/// What stands before the name of a thing.
const HOST: u8 = 0;
const CGROUP: u8 = 1;
const PROCESS: u8 = 2;

const GONE: u8 = 0;
const WHOLE: u8 = 1;
const CHANGED: u8 = 2;

/// Everything of a machine, each thing as it was written last.
#[derive(Debug, Default)]
pub(super) struct State {
    things: BTreeMap<Vec<u8>, Vec<u8>>,
    bytes: usize,
    /// Why no cgroup is known.
    cgroups: Option<Fact<()>>,
}

impl State {
    /// Takes a sample over, and writes what has changed; all of it where `is_whole`.
    pub fn write(&mut self, at: SystemTime, sample: &MachineSample, is_whole: bool) -> Vec<u8> {
        let mut next = things(sample);
        let before = if is_whole { BTreeMap::new() } else { std::mem::take(&mut self.things) };
        let mut out = Vec::new();
        at.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).put(&mut out);
        is_whole.put(&mut out);
        let cgroups = sample.cgroups.as_ref().map(|_| ()).map_err(Clone::clone);
        cgroups.put(&mut out);
        for (name, now) in &next {
            match before.get(name) {
                Some(then) if then == now => {}
                Some(then) => {
                    put_bytes(name, &mut out);
                    put_changed(then, now, &mut out);
                }
                None => {
                    put_bytes(name, &mut out);
                    out.push(WHOLE);
                    put_bytes(now, &mut out);
                }
            }
        }
        for name in before.keys().filter(|name| !next.contains_key(*name)) {
            put_bytes(name, &mut out);
            out.push(GONE);
        }
        std::mem::swap(&mut self.things, &mut next);
        self.cgroups = Some(cgroups);
        out
    }

    /// Takes over what a block tells, and says of when it is; nothing where it is not in its form.
    pub fn read(&mut self, block: &[u8]) -> Option<SystemTime> {
        let mut input = Input(block);
        let at = UNIX_EPOCH.checked_add(Duration::get(&mut input)?)?;
        let is_whole = bool::get(&mut input)?;
        let cgroups = Fact::get(&mut input)?;
        if is_whole {
            *self = Self::default();
        } else if self.cgroups.is_none() {
            return None;
        }
        self.cgroups = Some(cgroups);
        while !input.0.is_empty() {
            let name = input.bytes()?;
            let then = self.things.remove(name);
            self.bytes -= then.as_ref().map_or(0, Vec::len);
            let now = match input.byte()? {
                GONE => continue,
                WHOLE => input.bytes()?.to_vec(),
                CHANGED => changed(&then?, &mut input)?,
                _ => return None,
            };
            self.bytes += now.len();
            self.things.insert(name.to_vec(), now);
            if self.bytes > MOST || self.things.len() > MOST_THINGS {
                return None;
            }
        }
        Some(at)
    }

    /// The sample; none where something of it is not in its form.
    pub fn sample(&self) -> Option<MachineSample> {
        let cgroups = match self.cgroups.as_ref()? {
            Ok(()) => Ok(self.all(CGROUP)?),
            Err(missing) => Err(missing.clone()),
        };
        let host = self.all(HOST)?.into_iter().next()?;
        Some(MachineSample { host, cgroups, processes: self.all(PROCESS)? })
    }

    fn all<T: Code>(&self, sort: u8) -> Option<Vec<T>> {
        let of_sort = self.things.range(vec![sort]..vec![sort + 1]);
        of_sort.map(|(_, bytes)| T::get(&mut Input(bytes))).collect()
    }
}

fn things(sample: &MachineSample) -> BTreeMap<Vec<u8>, Vec<u8>> {
    fn thing(sort: u8, name: &[u8], value: &impl Code) -> (Vec<u8>, Vec<u8>) {
        let mut bytes = Vec::new();
        value.put(&mut bytes);
        ([&[sort], name].concat(), bytes)
    }
    let host = std::iter::once(thing(HOST, b"", &sample.host));
    let cgroups = sample.cgroups.iter().flatten();
    let cgroups = cgroups.map(|cgroup| thing(CGROUP, cgroup.path.as_bytes(), cgroup));
    let processes = sample.processes.iter();
    let processes = processes.map(|process| thing(PROCESS, &process.pid.to_be_bytes(), process));
    host.chain(cgroups).chain(processes).collect()
}

/// What stands between an equal begin and an equal end.
fn put_changed(then: &[u8], now: &[u8], out: &mut Vec<u8>) {
    let equal = |pair: &(&u8, &u8)| pair.0 == pair.1;
    let begin = then.iter().zip(now).take_while(equal).count();
    let (rest_then, rest_now) = (&then[begin..], &now[begin..]);
    let end = rest_then.iter().rev().zip(rest_now.iter().rev()).take_while(equal).count();
    out.push(CHANGED);
    begin.put(out);
    end.put(out);
    put_bytes(&rest_now[..rest_now.len() - end], out);
}

fn changed(then: &[u8], input: &mut Input<'_>) -> Option<Vec<u8>> {
    let (begin, end) = (usize::get(input)?, usize::get(input)?);
    let between = input.bytes()?;
    let begin = then.get(..begin)?;
    let end = then.get(then.len().checked_sub(end)?..)?;
    Some([begin, between, end].concat())
}
