//! What the kernel of this machine has.

use std::path::Path;

use memgap_exporter::args::Args;
use memgap_exporter::mounts::{Mounted, REMEDY, is_root, mounted};
use memgap_exporter::self_check::Line;
use memgap_ledger::Missing;
use memgap_ledger::sample::CgroupVersion;
use memgap_reader::{Access, Reader};

/// Characters of a file of the kernel's that are shown.
const SHOWN: usize = 100;

pub(super) fn lines(args: &Args, reader: &Reader, access: Option<&Access>) -> Vec<Line> {
    let mut lines = vec![host(reader), cgroups(reader)];
    lines.extend(access.map(scan));
    lines.push(match text(Path::new("/sys/kernel/mm/lru_gen/enabled")) {
        None => Line::yes("lists of pages", "two of each kind: no multi-generational LRU"),
        Some(mask) if mask == "0x0000" => {
            Line::yes("lists of pages", "two of each kind: the multi-generational LRU is off")
        }
        Some(mask) => Line::yes(
            "lists of pages",
            format!("by generations (lru_gen {mask}): figures are the same"),
        ),
    });
    lines.push(pressure(&args.procfs));
    let cgroupfs = args.cgroupfs.as_deref().unwrap_or(Path::new("/sys/fs/cgroup"));
    lines.push(mounts(&[args.procfs.as_path(), cgroupfs]));
    lines
}

fn host(reader: &Reader) -> Line {
    let host = reader.host();
    if let Err(lack) = &host.meminfo {
        return Line::no("host", &*lack.why, "nothing is told of the host: see --path.procfs");
    }
    let lacks: Vec<&Missing> = [
        host.pcp.as_ref().err(),
        host.sock.as_ref().err(),
        host.vmstat.as_ref().err(),
        host.huge_pages.as_ref().err(),
    ]
    .into_iter()
    .flatten()
    .collect();
    match lacks.first() {
        None => Line::yes("host", "meminfo, zoneinfo, vmstat, sockstat and huge pages are read"),
        Some(lack) => {
            let remedy = "its bytes stand on kernel_unaccounted";
            Line::less("host", &*lack.why, remedy)
        }
    }
}

fn cgroups(reader: &Reader) -> Line {
    let remedy = "nothing is told of containers: enable the memory controller \
                  (cgroup_enable=memory on some kernels), or name its mount by --path.cgroupfs";
    let hierarchy = match reader.hierarchy() {
        Ok(hierarchy) => hierarchy,
        Err(lack) => return Line::less("cgroups", &*lack.why, remedy),
    };
    let version = match hierarchy.version() {
        CgroupVersion::V1 => "v1, whose kernel memory is one figure",
        CgroupVersion::V2 => "v2",
    };
    match reader.cgroups() {
        Err(lack) => Line::less("cgroups", &*lack.why, remedy),
        Ok(all) => {
            let unread = all.iter().find_map(|cgroup| cgroup.stat.as_ref().err());
            let found = format!(
                "{} with the memory controller, {version}, below {}",
                all.len(),
                hierarchy.mount_point().display()
            );
            match unread {
                None => Line::yes("cgroups", found),
                Some(lack) => Line::less("cgroups", found, &*lack.why),
            }
        }
    }
}

fn scan(access: &Access) -> Line {
    if access.is_scanned {
        return Line::yes("pages in memory", "PAGEMAP_SCAN tells them by range");
    }
    let remedy = "heap statistics cost more, and count pages of zeros as resident: Linux 6.7 \
                  has PAGEMAP_SCAN";
    Line::less("pages in memory", "the kernel tells them one by one", remedy)
}

fn pressure(procfs: &Path) -> Line {
    if procfs.join("pressure/memory").exists() {
        return Line::yes("pressure", "stalls for want of memory are counted (PSI)");
    }
    let remedy = "that a cgroup waits for memory is not told: boot with psi=1, or see CONFIG_PSI";
    Line::less("pressure", "the kernel counts no stalls (PSI)", remedy)
}

/// Whether what is read could be written to: nothing does, but a mount makes that certain.
fn mounts(places: &[&Path]) -> Line {
    let mut is_open = false;
    let told = places.iter().map(|place| match mounted(place) {
        Ok(Mounted::ReadOnly) => format!("{} is read-only", place.display()),
        Ok(Mounted::Writable) => format!("{} is writable", place.display()),
        Ok(Mounted::WritableBelow(below)) => {
            is_open = true;
            let first = below.first().unwrap_or(&place.to_path_buf()).display().to_string();
            format!("{} is read-only, but for {} below it ({first})", place.display(), below.len())
        }
        Err(error) => format!("{}: {error}", place.display()),
    });
    let told: Vec<String> = told.collect();
    let found = format!("{}; nothing is ever written there", told.join(", "));
    if is_open && is_root() {
        return Line::less("mounts", found, REMEDY);
    }
    Line::yes("mounts", found)
}

/// The first line of a short file of the kernel's.
pub(super) fn text(path: &Path) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    let line = text.lines().next()?.trim();
    (!line.is_empty()).then(|| line.chars().filter(char::is_ascii_graphic).take(SHOWN).collect())
}
