//! What the process that reads may, and how much of it.

use std::path::Path;

use memgap_exporter::args::Args;
use memgap_exporter::self_check::Line;
use memgap_ledger::Fact;
use memgap_reader::Access;
use rustix::process::{Resource, geteuid, getrlimit};
use rustix::thread::{CapabilitySet, capabilities, no_new_privs};

use super::machine::text;

/// What helps to read other users' programs.
const PROFILES: &str = "see the profiles of deploy/README.md";

pub(super) fn lines(args: &Args, access: &Fact<Access>) -> Vec<Line> {
    let held = capabilities(None).map_or(CapabilitySet::empty(), |sets| sets.effective);
    let mut lines = vec![user(), rights(held)];
    match access {
        Err(lack) => {
            let remedy = "no process can be listed: see --path.procfs";
            lines.push(Line::no("processes", &*lack.why, remedy));
        }
        Ok(access) => {
            lines.push(processes(args, access, held));
            lines.push(programs(access, held));
            lines.push(open_files(access));
        }
    }
    lines.push(ptrace_scope(&args.procfs, held));
    lines
}

fn user() -> Line {
    let new = match no_new_privs() {
        Ok(true) => "it can gain no rights (no_new_privs)",
        Ok(false) => "it could gain rights by running other programs (no_new_privs is off)",
        Err(_) => "whether it can gain rights is not told",
    };
    let label = text(Path::new("/proc/self/attr/current"));
    let label = label.map(|label| format!("; security label {label}")).unwrap_or_default();
    Line::yes("user", format!("uid {}; {new}{label}", geteuid().as_raw()))
}

fn rights(held: CapabilitySet) -> Line {
    let reads_files = CapabilitySet::DAC_READ_SEARCH | CapabilitySet::DAC_OVERRIDE;
    let needed = CapabilitySet::SYS_PTRACE | CapabilitySet::DAC_READ_SEARCH;
    let more = (held - needed).bits().count_ones();
    let more =
        if more > 0 { format!(", and {more} more that it does not need") } else { String::new() };
    let name = "capabilities";
    if !held.contains(CapabilitySet::SYS_PTRACE) {
        let found = format!("no CAP_SYS_PTRACE: profile cgroup{more}");
        let remedy = format!(
            "how the anonymous memory of other users' programs splits is not told: add \
             CAP_SYS_PTRACE, and CAP_DAC_READ_SEARCH for heap statistics; {PROFILES}"
        );
        return Line::less(name, found, remedy);
    }
    if !held.intersects(reads_files) {
        let found = format!("CAP_SYS_PTRACE: profile process{more}");
        let remedy = format!(
            "what of other users' heaps is in use is not told: add CAP_DAC_READ_SEARCH; {PROFILES}"
        );
        return Line::less(name, found, remedy);
    }
    Line::yes(name, format!("CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH: profile probe{more}"))
}

fn processes(args: &Args, access: &Access, held: CapabilitySet) -> Line {
    let shown = args.procfs.display();
    if access.listed == 0 {
        let remedy = "it is no procfs: see --path.procfs";
        return Line::no("processes", format!("{shown} lists none"), remedy);
    }
    let found = format!("{} below {shown}", access.listed);
    match hides(&args.procfs) {
        Some(option) if !held.contains(CapabilitySet::SYS_PTRACE) => {
            let remedy = format!("other users' are hidden ({option}): add CAP_SYS_PTRACE");
            Line::less("processes", found, remedy)
        }
        _ => Line::yes("processes", found),
    }
}

/// The option of a procfs that hides other users' processes.
fn hides(procfs: &Path) -> Option<String> {
    let table = std::fs::read("/proc/self/mountinfo").ok()?;
    let table = String::from_utf8_lossy(&table);
    let point = procfs.to_str()?;
    let of = |line: &str| {
        let (mount, system) = line.split_once(" - proc ")?;
        (mount.split(' ').nth(4) == Some(point)).then_some(())?;
        let options = system.split(' ').nth(1)?;
        let hides = |option: &&str| {
            option.strip_prefix("hidepid=").is_some_and(|how| !["0", "off"].contains(&how))
        };
        options.split(',').find(hides).map(str::to_owned)
    };
    // The last of those that are mounted there is the one that is seen.
    table.lines().filter_map(of).next_back()
}

fn programs(access: &Access, held: CapabilitySet) -> Line {
    let Access { tried, others, mappings, memory, .. } = access;
    let found = format!(
        "of {tried} programs that were tried, {others} of other users, the mappings of \
         {mappings} and the memory of {memory} may be read"
    );
    let Some(denied) = access.denied.as_ref().filter(|_| mappings.min(memory) < tried) else {
        return Line::yes("programs", found);
    };
    let remedy = if held.contains(CapabilitySet::SYS_PTRACE) {
        format!(
            "{}. Where that is not for want of CAP_DAC_READ_SEARCH a security module forbids it \
             (AppArmor, SELinux, Landlock, Yama), or another user namespace",
            denied.why
        )
    } else {
        denied.why.to_string()
    };
    Line::less("programs", found, remedy)
}

fn open_files(access: &Access) -> Line {
    let Some(limit) = getrlimit(Resource::Nofile).maximum else {
        return Line::yes("open files", "no limit");
    };
    let wanted = access.handles;
    if limit >= wanted {
        return Line::yes("open files", format!("{limit} at the most: room for every process"));
    }
    let remedy = format!(
        "memory is opened anew for each reading, which costs time: up to {wanted} are kept \
         open. Raise the hard limit (LimitNOFILE=)"
    );
    Line::less("open files", format!("{limit} at the most"), remedy)
}

fn ptrace_scope(procfs: &Path, held: CapabilitySet) -> Line {
    let name = "ptrace scope";
    match text(&procfs.join("sys/kernel/yama/ptrace_scope")).as_deref() {
        None => Line::yes(name, "not restricted: the kernel has no Yama"),
        Some("0") => Line::yes(name, "0: not restricted"),
        Some("3") => {
            let remedy = "nobody may read another program's memory: what of heaps is in use is \
                          not told. Set kernel.yama.ptrace_scope=2, which takes a restart";
            Line::less(name, "3", remedy)
        }
        Some(scope) if held.contains(CapabilitySet::SYS_PTRACE) => {
            Line::yes(name, format!("{scope}: CAP_SYS_PTRACE, which it has, is what counts"))
        }
        Some(scope) => {
            let remedy = "without CAP_SYS_PTRACE the memory of nobody is read";
            Line::less(name, scope, remedy)
        }
    }
}
