//! The documents of a collection, as the reader makes them: one after the other, into a file
//! in memory that is sent as it is. What has not changed is copied from the last one.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use memgap_json::{Document, explanation, of_finding, rfc3339};
use memgap_ledger::finding::{Finding, Severity, Subject, findings};
use memgap_ledger::identity::ContainerIdentity;
use memgap_ledger::{CgroupLedger, Machine, ProcessLedger};

use super::index::{Entry, Index, Lack, List, Span, kill_key, pid_key};
use super::kills::{self, Kills};
use super::labels::{cgroup_labels, containers, process_labels};
use crate::channel;
use crate::homes::{ancestors, with_ledgers};
use crate::select::is_known;

/// The documents of one collection.
#[derive(Debug)]
pub struct Made {
    /// The file that holds them, and nothing else.
    pub file: File,
    /// Their length.
    pub length: u64,
    /// Where each lies.
    pub index: Index,
}

/// Makes documents, and knows the last that it made.
#[derive(Debug)]
pub struct Maker {
    max_bytes: u64,
    kills: Kills,
    last: Option<Last>,
}

/// The most that one document may take, so that a page holds any.
pub const MAX_DOCUMENT: usize = 256 << 10;

/// Of the bytes of all documents, the part that last ledgers may take, and the most.
const KILLS_PART: u64 = 8;
const MAX_OF_KILLS: usize = 1 << 20;

#[derive(Debug)]
struct Last {
    at: SystemTime,
    file: File,
    cgroups: HashMap<String, Kept<CgroupLedger>>,
    processes: HashMap<u32, Kept<ProcessLedger>>,
}

/// What documents of a ledger were made.
#[derive(Debug)]
struct Kept<L> {
    ledger: Arc<L>,
    document: Span,
    findings: Vec<Found>,
}

/// A finding that was written.
#[derive(Debug, Clone)]
struct Found {
    severity: Severity,
    bytes: i64,
    id: &'static str,
    span: Span,
}

impl Maker {
    /// A maker that has made nothing yet, of so many bytes at a time.
    pub fn new(max_bytes: u64) -> Self {
        let of_kills = usize::try_from(max_bytes / KILLS_PART).unwrap_or(usize::MAX);
        Self { max_bytes, kills: Kills::new(of_kills.min(MAX_OF_KILLS)), last: None }
    }

    /// Looks for kills since the last time, and keeps what was known before them, before it
    /// is given up for what is known now. `log` tells of which cgroups the kernel's log says
    /// that something was killed in so much time until now.
    pub fn look_for_kills(
        &mut self,
        machine: &Machine,
        now: SystemTime,
        log: impl FnOnce(Duration) -> Vec<String>,
    ) {
        let Ok(cgroups) = &machine.cgroups else { return };
        let last = self.last.as_ref();
        self.kills.look(cgroups, now, log, |path| last?.of(path));
    }

    /// Gives up all documents, of which then none is kept anywhere, and tells why.
    pub fn make_none(&mut self, why: String) -> io::Result<Made> {
        self.last = None;
        let index = Index { refused: Some(why), ..Index::default() };
        Ok(Made { file: channel::draft()?, length: 0, index })
    }

    /// Makes the documents of a machine that was read at `now`.
    pub fn make(&mut self, machine: &Machine, now: SystemTime) -> io::Result<Made> {
        let last = self.last.take();
        let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut making = Making {
            out: BufWriter::new(channel::draft()?),
            at: 0,
            max: self.max_bytes,
            is_full: false,
            now,
            scratch: Vec::new(),
            found: Vec::new(),
            index: Index {
                collection: u64::try_from(since.as_nanos()).unwrap_or(u64::MAX),
                time: rfc3339(now),
                ..Index::default()
            },
        };
        making.host(machine)?;
        making.kills(&self.kills)?;
        let cgroups = match &machine.cgroups {
            Ok(cgroups) => cgroups.as_slice(),
            Err(missing) => {
                making.index.absent.push(Lack {
                    what: "cgroups".to_owned(),
                    why: missing.why.to_string(),
                    kind: missing.kind.name().to_owned(),
                });
                &[]
            }
        };
        let (file, mut cgroups_before, mut processes_before) = match last {
            Some(Last { file, cgroups, processes, .. }) => (Some(file), cgroups, processes),
            None => (None, HashMap::new(), HashMap::new()),
        };
        let file = file.as_ref();
        let cgroups: Vec<&Arc<CgroupLedger>> = with_ledgers(cgroups).collect();
        let kept_cgroups = making.cgroups(&cgroups, file, &mut cgroups_before)?;
        let containers = containers(&cgroups);
        let processes =
            making.processes(&machine.processes, &containers, file, &mut processes_before)?;
        let (made, file) = making.finish()?;
        self.last = Some(Last { at: now, file, cgroups: kept_cgroups, processes });
        Ok(made)
    }
}

impl Last {
    fn of(&self, path: &str) -> Option<kills::Last<'_>> {
        let ledger = &*self.cgroups.get(path)?.ledger;
        let is_in = |process: &&ProcessLedger| {
            let own = process.cgroup.as_deref().unwrap_or("");
            own == path || ancestors(own).any(|above| above == path)
        };
        let processes = self.processes.values().map(|kept| &*kept.ledger).filter(is_in).collect();
        Some(kills::Last { at: self.at, ledger, processes })
    }
}

/// Documents that are being made.
struct Making {
    out: BufWriter<File>,
    at: u64,
    max: u64,
    is_full: bool,
    now: SystemTime,
    scratch: Vec<u8>,
    found: Vec<Found>,
    index: Index,
}

impl Making {
    fn host(&mut self, machine: &Machine) -> io::Result<()> {
        let subject = Subject::Host(&machine.host);
        self.index.host = self.explain(subject)?;
        self.findings_of(subject).map(|found| self.found.extend(found))
    }

    /// What is kept of kills.
    fn kills(&mut self, kills: &Kills) -> io::Result<()> {
        self.index.kills.left_out = kills.left_out();
        for item in kills.items() {
            self.scratch.clear();
            self.scratch.extend_from_slice(&item.document);
            match self.put()? {
                Some(span) => self.index.kills.entries.push(Entry {
                    key: kill_key(item.number),
                    labels: cgroup_labels(&item.ledger),
                    span,
                }),
                None => self.index.kills.left_out += 1,
            }
        }
        Ok(())
    }

    /// The largest first, for as long as there is room.
    fn cgroups(
        &mut self,
        cgroups: &[&Arc<CgroupLedger>],
        file: Option<&File>,
        before: &mut HashMap<String, Kept<CgroupLedger>>,
    ) -> io::Result<HashMap<String, Kept<CgroupLedger>>> {
        let mut cgroups = cgroups.to_vec();
        cgroups.sort_by_key(|cgroup| std::cmp::Reverse(cgroup.headline.usage.point()));
        let mut list = BTreeMap::new();
        let mut left_out = 0;
        let mut kept = HashMap::new();
        for cgroup in cgroups {
            if self.is_full {
                left_out += 1;
                continue;
            }
            // Two paths that are not UTF-8 can look the same.
            let made = if list.contains_key(&cgroup.path) {
                None
            } else {
                self.made(cgroup, Subject::Cgroup(cgroup), file, before.remove(&cgroup.path))?
            };
            if let Some(made) = made {
                list.insert(cgroup.path.clone(), (cgroup_labels(cgroup), made.document));
                self.found.extend(made.findings.iter().cloned());
                kept.insert(cgroup.path.clone(), made);
            } else {
                left_out += 1;
            }
        }
        self.index.cgroups = list_of(list, left_out);
        Ok(kept)
    }

    /// The same of processes.
    fn processes(
        &mut self,
        processes: &[Arc<ProcessLedger>],
        containers: &BTreeMap<&str, &ContainerIdentity>,
        file: Option<&File>,
        before: &mut HashMap<u32, Kept<ProcessLedger>>,
    ) -> io::Result<HashMap<u32, Kept<ProcessLedger>>> {
        let mut processes: Vec<_> = processes.iter().filter(|process| is_known(process)).collect();
        processes.sort_by_key(|process| std::cmp::Reverse(process.headline.rss.point()));
        let mut entries = BTreeMap::new();
        let mut left_out = 0;
        let mut kept = HashMap::new();
        for process in processes {
            // What would be made is of no use.
            if self.is_full {
                left_out += 1;
                continue;
            }
            let subject = Subject::Process(process);
            let made = self.made(process, subject, file, before.remove(&process.pid))?;
            if let Some(made) = made {
                let labels = process_labels(process, containers);
                entries.insert(pid_key(process.pid), (labels, made.document));
                self.found.extend(made.findings.iter().cloned());
                kept.insert(process.pid, made);
            } else {
                left_out += 1;
            }
        }
        self.index.processes = list_of(entries, left_out);
        Ok(kept)
    }

    /// The documents of a ledger: those of `before`, which stand in that file, where they were
    /// made of the same.
    fn made<L>(
        &mut self,
        ledger: &Arc<L>,
        subject: Subject<'_>,
        file: Option<&File>,
        before: Option<Kept<L>>,
    ) -> io::Result<Option<Kept<L>>> {
        let same = before.filter(|before| Arc::ptr_eq(&before.ledger, ledger));
        if let (Some(same), Some(file)) = (same, file) {
            return self.copy(file, same);
        }
        let Some(document) = self.explain(subject)? else { return Ok(None) };
        let findings = self.findings_of(subject)?;
        Ok(Some(Kept { ledger: Arc::clone(ledger), document, findings }))
    }

    /// What was made of a ledger says when that was, and still holds.
    fn copy<L>(&mut self, from: &File, kept: Kept<L>) -> io::Result<Option<Kept<L>>> {
        let Kept { ledger, document, findings } = kept;
        let Some(document) = self.copied(from, document)? else { return Ok(None) };
        let mut copies = Vec::with_capacity(findings.len());
        for found in findings {
            if let Some(span) = self.copied(from, found.span)? {
                copies.push(Found { span, ..found });
            } else {
                self.index.findings.left_out += 1;
            }
        }
        Ok(Some(Kept { ledger, document, findings: copies }))
    }

    fn copied(&mut self, from: &File, span: Span) -> io::Result<Option<Span>> {
        self.scratch.resize(span.length as usize, 0);
        from.read_exact_at(&mut self.scratch, span.at)?;
        self.put()
    }

    fn explain(&mut self, subject: Subject<'_>) -> io::Result<Option<Span>> {
        self.scratch.clear();
        let document = Document::new(self.now, explanation(subject, &[]));
        document.write(&mut self.scratch)?;
        self.put()
    }

    fn findings_of(&mut self, subject: Subject<'_>) -> io::Result<Vec<Found>> {
        let mut written = Vec::new();
        for finding in findings(subject) {
            let (severity, bytes) = (finding.severity, finding.bytes.point().unwrap_or(0));
            match self.finding(subject, finding)? {
                (id, Some(span)) => written.push(Found { severity, bytes, id, span }),
                (_, None) => self.index.findings.left_out += 1,
            }
        }
        Ok(written)
    }

    fn finding(
        &mut self,
        subject: Subject<'_>,
        finding: Finding,
    ) -> io::Result<(&'static str, Option<Span>)> {
        let id = finding.id;
        self.scratch.clear();
        serde_json::to_writer(&mut self.scratch, &of_finding(subject, finding))?;
        Ok((id, self.put()?))
    }

    /// Writes what was made, if there is room for it.
    fn put(&mut self) -> io::Result<Option<Span>> {
        let Ok(length) = u32::try_from(self.scratch.len()) else { return Ok(None) };
        let span = Span { at: self.at, length };
        if self.scratch.len() > MAX_DOCUMENT {
            return Ok(None);
        }
        self.is_full |= span.end().is_none_or(|end| end > self.max);
        if self.is_full {
            return Ok(None);
        }
        self.out.write_all(&self.scratch)?;
        self.at += u64::from(length);
        Ok(Some(span))
    }

    fn finish(mut self) -> io::Result<(Made, File)> {
        // The gravest first; of those alike, as they were found.
        self.found.sort_by_key(|found| std::cmp::Reverse((found.severity, found.bytes)));
        let entry = |(rank, found): (usize, &Found)| Entry {
            key: format!("{rank:010}"),
            labels: vec![found.id.to_owned(), found.severity.name().to_owned()],
            span: found.span,
        };
        self.index.findings.entries = self.found.iter().enumerate().map(entry).collect();
        let file = self.out.into_inner().map_err(io::IntoInnerError::into_error)?;
        let kept = file.try_clone()?;
        Ok((Made { file, length: self.at, index: self.index }, kept))
    }
}

fn list_of(entries: BTreeMap<String, (Vec<String>, Span)>, left_out: u64) -> List {
    let entry = |(key, (labels, span))| Entry { key, labels, span };
    List { entries: entries.into_iter().map(entry).collect(), left_out }
}
