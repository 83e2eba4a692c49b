//! One collection: every cgroup, from the root down.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use memgap_ledger::sample::CgroupSample;
use memgap_ledger::{Fact, Missing, MissingKind};

use super::{Cgroups, Counts, MAX_CGROUPS, MAX_DEPTH};
use crate::file::{Buf, Dir};
use crate::text;

/// Characters of a name, as the kernel limits its bytes.
const NAME_MAX: usize = 255;

/// The depth whose cgroups hold all others: the root of a container's part flushes, that
/// of the whole hierarchy does not.
const FLUSHED_DEPTH: usize = 1;

/// One walk over all cgroups.
pub struct Walk<'c> {
    cgroups: &'c Cgroups,
    is_at_rest: &'c dyn Fn(&str) -> bool,
    buf: Buf,
    pub samples: Vec<CgroupSample>,
    pub counts: Counts,
}

impl<'c> Walk<'c> {
    pub fn new(cgroups: &'c Cgroups, is_at_rest: &'c dyn Fn(&str) -> bool) -> Self {
        let (buf, samples, counts) = (Buf::default(), Vec::new(), cgroups.counts());
        Self { cgroups, is_at_rest, buf, samples, counts }
    }

    /// Reads a cgroup, then those below it: at most `MAX_DEPTH` calls deep.
    pub fn visit(
        &mut self,
        dir: &Dir,
        path: &str,
        depth: usize,
        pod_limit: Option<u64>,
    ) -> Fact<()> {
        // The root's file flushes nothing, that of a cgroup below it all that is there.
        if depth <= FLUSHED_DEPTH {
            self.cgroups.flush(dir, &mut self.buf);
        }
        let mut sample =
            self.cgroups.read_changed(dir, path, (self.is_at_rest)(path), &mut self.buf)?;
        let is_pod = self.cgroups.identify(&mut sample, pod_limit);
        let pod_limit = sample.limit.as_ref().ok().copied().flatten().filter(|_| is_pod);
        let index = self.samples.len();
        self.samples.push(sample);
        let (below, more) = match dir.directories(MAX_CGROUPS) {
            Ok(listed) => listed,
            Err(missing) if missing.kind == MissingKind::Absent => return Ok(()),
            Err(_) => (Vec::new(), true),
        };
        self.counts.skipped += u64::from(more);
        self.samples[index].leaf = !more;
        for name in below {
            let leaf = self.child(dir, path, &name, depth + 1, pod_limit);
            self.samples[index].leaf &= leaf;
        }
        Ok(())
    }

    /// Visits a child; whether its parent is a leaf for all that this child tells.
    fn child(
        &mut self,
        parent: &Dir,
        path: &str,
        name: &OsStr,
        depth: usize,
        pod_limit: Option<u64>,
    ) -> bool {
        if depth > MAX_DEPTH || self.samples.len() >= MAX_CGROUPS {
            self.counts.skipped += 1;
            return false;
        }
        let name_shown = text::printable(name.as_bytes(), NAME_MAX);
        let path = format!("{}/{name_shown}", path.trim_end_matches('/'));
        let kept = self.cgroups.kept.borrow_mut().get(&path);
        let visited = match kept.map(|dir| self.visit(&dir, &path, depth, pod_limit)) {
            Some(Ok(())) => Ok(()),
            Some(Err(Missing { kind, .. })) if kind != MissingKind::Gone => Err(kind),
            // Where it ended another may have its name by now.
            Some(Err(_)) | None => self.open_and_visit(parent, &path, name, depth, pod_limit),
        };
        match visited {
            Ok(()) => return false,
            // Without the memory controller, as all below it are.
            Err(MissingKind::Absent) => {}
            Err(MissingKind::Gone) => self.counts.vanished += 1,
            Err(_) => self.counts.skipped += 1,
        }
        true
    }

    fn open_and_visit(
        &mut self,
        parent: &Dir,
        path: &str,
        name: &OsStr,
        depth: usize,
        pod_limit: Option<u64>,
    ) -> Result<(), MissingKind> {
        let gone = |missing: Missing| match missing.kind {
            MissingKind::Absent => MissingKind::Gone,
            kind => kind,
        };
        let dir = {
            let mut kept = self.cgroups.kept.borrow_mut();
            kept.remove(path);
            kept.add(path, parent.dir(name)).map_err(gone)?
        };
        self.visit(&dir, path, depth, pod_limit).map_err(|missing| missing.kind)
    }
}
