//! Room, held against the kernel's own kill: a program that allocates a little less than
//! its low bound lives, and one that allocates a little more than its high bound meets
//! the OOM killer.

pub mod actor;
pub mod case;
mod squeeze;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use memgap_ledger::{CgroupLedger, Figure, Room, cgroup, limits, machine, process};
use memgap_reader::{Depth, Reader, Roots};

use actor::Actor;
use case::Case;

use crate::cgroup::{Cgroup, Version};

const MIB: i64 = 1 << 20;

/// What a bound is missed by on purpose: stocks of charges, and what the kernel needs to
/// map that much.
const MARGIN: i64 = 8;

/// Where actors put files, and the program that they are.
#[derive(Debug)]
pub struct Stage {
    /// A program whose `actor DIRECTORY` enters a cgroup and obeys.
    pub program: PathBuf,
    /// A file on a disk.
    pub disk: PathBuf,
    /// A name on a tmpfs.
    pub tmpfs: PathBuf,
}

/// What was found, in bytes.
#[derive(Debug)]
pub struct Proof {
    /// Room as it was read before the kernel had its say.
    pub room: Room,
    /// Whether a process was killed, for low less and for high plus the margin.
    pub killed: [bool; 2],
}

/// Makes the situation twice, once for each bound.
pub fn prove(case: &Case, stage: &Stage) -> Result<Proof> {
    let (room, spared) = Situation::of(case, stage)?.allocate(|(low, _)| low / MIB - MARGIN)?;
    let (_, killed) = Situation::of(case, stage)?
        .allocate(|(_, high)| high.saturating_add(MIB - 1) / MIB + MARGIN)?;
    Ok(Proof { room, killed: [spared, killed] })
}

/// What memgap says that the cgroup requires, and what is left of its usage when the kernel
/// has taken back all that it can: the truth. `None` where only a limit can ask for that:
/// on v2 before Linux 5.19.
pub fn squeeze(case: &Case, stage: &Stage) -> Result<Option<(Figure, i64)>> {
    let situation = Situation::of(case, stage)?;
    let group = &situation.groups[0];
    let required = ledger(group.path())?.headline.required;
    Ok(squeeze::squeeze(group)?.map(|left| (required, left)))
}

impl Proof {
    /// Fails where the kernel did not agree.
    pub fn check(&self, case: &Case) -> Result<()> {
        let Self { room, killed } = self;
        ensure!(*killed == [false, true], "{}: killed {killed:?}, by {room:?}", case.name);
        Ok(())
    }
}

/// A situation that stands, and a process that is going to allocate.
struct Situation<'s> {
    stage: &'s Stage,
    // In the order in which they must go: processes, then cgroups from below.
    eater: Actor,
    others: Vec<Actor>,
    groups: Vec<Cgroup>,
    pod: Cgroup,
}

impl<'s> Situation<'s> {
    fn of(case: &Case, stage: &'s Stage) -> Result<Self> {
        let pod = Cgroup::new(&format!("room-{}", case.name))?;
        let group = pod.child("own")?;
        let limit = |group: &Cgroup, mib: u64| {
            group.limit(Some(mib << 20))?;
            group.swap_limit(case.swap << 20)
        };
        if let Some(mib) = case.pod {
            limit(&pod, mib)?;
        }
        limit(&group, case.limit)?;
        let script = |text: &str| {
            text.replace("{disk}", &stage.disk.to_string_lossy())
                .replace("{tmpfs}", &stage.tmpfs.to_string_lossy())
        };
        let mut main = Actor::start(&stage.program, &group)?;
        main.tell(&script(case.script))?;
        let mut situation = Self {
            stage,
            eater: Actor::start(&stage.program, &group)?,
            others: vec![main],
            groups: vec![group],
            pod,
        };
        if let Some(neighbour) = case.neighbour {
            let beside = situation.pod.child("beside")?;
            let mut actor = Actor::start(&stage.program, &beside)?;
            actor.tell(&script(neighbour.script))?;
            if !neighbour.ends {
                situation.others.push(actor);
                situation.groups.push(beside);
            }
        }
        // It is a program of its own once it has answered.
        situation.eater.tell("anon first 1")?;
        Ok(situation)
    }

    /// Reads the room, allocates what is made of its bounds in MiB, and tells whether
    /// somebody was killed.
    fn allocate(mut self, mib: impl Fn((i64, i64)) -> i64) -> Result<(Room, bool)> {
        let room = room(self.groups[0].path())?;
        let bounds = room.bytes.bounds().context("room has bounds")?;
        let mib = mib(bounds);
        let before = self.kills()?;
        let answered = mib <= 0 || self.eater.attempt(&format!("anon probe {mib}"))?;
        let killed = self.kills()? > before;
        if !answered && !killed {
            bail!("the process that allocated {mib} MiB ended, and nobody was killed");
        }
        Ok((room, killed))
    }

    fn kills(&self) -> Result<u64> {
        if self.pod.version() == Version::V2 {
            return Ok(self.pod.events()?.oom_kills);
        }
        self.groups.iter().try_fold(0, |sum, group| Ok(sum + group.events()?.oom_kills))
    }
}

impl Drop for Situation<'_> {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.stage.tmpfs);
        let _ = std::fs::remove_dir_all(entries(&self.stage.tmpfs));
        // A disk of a machine is none of ours to remove.
        if !self.stage.disk.starts_with("/dev") {
            let _ = std::fs::remove_file(&self.stage.disk);
        }
    }
}

fn entries(tmpfs: &Path) -> PathBuf {
    PathBuf::from(format!("{}-entries", tmpfs.display()))
}

fn room(path: &str) -> Result<Room> {
    Ok(ledger(path)?.room?)
}

/// What memgap says, when of all processes it reads those of the cgroup only.
pub fn ledger(path: &str) -> Result<CgroupLedger> {
    let reader = Reader::open(Roots::default())?;
    let members: Vec<_> = reader.members(path, Depth::Walk)?.iter().map(process::ledger).collect();
    let members: Vec<_> = members.iter().collect();
    let unread = memgap_ledger::Missing::absent("not asked for");
    let mut all: Vec<CgroupLedger> = reader
        .cgroups()?
        .iter()
        .map(|sample| {
            let is_own = sample.path == path;
            cgroup::ledger(sample, if is_own { Ok(&members) } else { Err(&unread) })
        })
        .collect();
    limits::settle(&mut all, &machine::swap_free(&reader.host()));
    all.into_iter().find(|cgroup| cgroup.path == path).context("it is listed")
}
