//! Cgroups of the demo's own, with a memory limit, below our own cgroup.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use memgap_ledger::sample::CgroupVersion::{self, V1, V2};

/// Where cgroups can be made. Dropping it leaves the place as it was.
pub struct Home {
    version: CgroupVersion,
    mount: PathBuf,
    parent: PathBuf,
    enabled: bool,
}

/// A cgroup that is removed when dropped. Its programs must have ended by then.
pub struct Cgroup {
    version: CgroupVersion,
    directory: PathBuf,
    /// Below the memory hierarchy's mount, as ledgers name it.
    pub path: String,
}

/// Our own cgroup.
#[derive(Debug)]
pub struct Own {
    /// The interface of the hierarchy that has the memory controller.
    pub version: CgroupVersion,
    /// Where that is mounted.
    pub mount: PathBuf,
    /// The cgroup's path below the mount, with a leading slash.
    pub path: String,
}

impl Home {
    /// Looks for it from our own cgroup on. The error says why there is none for
    /// this user.
    pub fn find(own: &Own) -> Result<Self, String> {
        let Own { version, mount, path } = own;
        let own = mount.join(path.trim_start_matches('/'));
        let (parent, enabled) = match version {
            V1 => (own, false),
            V2 => delegated(&own, mount)?,
        };
        Ok(Self { version: *version, mount: mount.clone(), parent, enabled })
    }

    /// Makes a cgroup with a limit in bytes and without swap.
    pub fn cgroup(&self, name: &str, limit: usize) -> Result<Cgroup, String> {
        let directory = self.parent.join(format!("memgap-demo-{}-{name}", std::process::id()));
        let below = directory.strip_prefix(&self.mount).map_err(|e| e.to_string())?;
        let path = format!("/{}", below.display());
        fs::create_dir(&directory).map_err(|e| explain("make cgroup", &directory, &e))?;
        let cgroup = Cgroup { version: self.version, directory, path };
        let file = cgroup.file("memory.limit_in_bytes", "memory.max");
        cgroup.write(file, &limit.to_string())?;
        // Without swap the limit is sharp. Kernels without swap lack the file.
        let _ = cgroup.write(cgroup.file("memory.swappiness", "memory.swap.max"), "0");
        if self.version == V1 {
            // Inherited where a parent handles its own out-of-memory events.
            let _ = cgroup.write("memory.oom_control", "0");
        }
        Ok(cgroup)
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if self.enabled {
            let _ = fs::write(self.parent.join(SUBTREE), "-memory");
        }
    }
}

impl Cgroup {
    /// Moves a process in: what it touches from now on is charged here.
    pub fn admit(&self, pid: u32) -> Result<(), String> {
        self.write("cgroup.procs", &pid.to_string())
    }

    /// How many of its processes the kernel has killed for want of memory; v1
    /// tells it from 4.13.
    pub fn oom_kills(&self) -> Result<u64, String> {
        let file = self.directory.join(self.file("memory.oom_control", "memory.events"));
        read(&file)?
            .lines()
            .find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
            .ok_or_else(|| format!("{} has no oom_kill", file.display()))
    }

    fn file<'a>(&self, v1: &'a str, v2: &'a str) -> &'a str {
        if self.version == V1 { v1 } else { v2 }
    }

    fn write(&self, file: &str, text: &str) -> Result<(), String> {
        let file = self.directory.join(file);
        fs::write(&file, text).map_err(|e| explain("write", &file, &e))
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // A task that was waited for may leave its cgroup a moment later; the
        // directory is busy until then, and no event tells of it on v1.
        for _ in 0..100 {
            match fs::remove_dir(&self.directory) {
                Err(e) if e.kind() == io::ErrorKind::ResourceBusy => {
                    std::thread::sleep(Duration::from_millis(10));
                }
                _ => break,
            }
        }
    }
}

const SUBTREE: &str = "cgroup.subtree_control";
const REMEDY: &str = "run as root or by systemd-run --user --scope";

/// The nearest cgroup, from our own upwards, that gives its children the memory
/// controller, and whether it had to be asked to. Only ours is asked; it refuses
/// (EBUSY) as long as it holds processes, unless it is the root.
fn delegated(own: &Path, mount: &Path) -> Result<(PathBuf, bool), String> {
    let has_memory = |file: PathBuf| {
        Ok::<bool, String>(read(file)?.split_whitespace().any(|controller| controller == "memory"))
    };
    for parent in own.ancestors().take_while(|p| p.starts_with(mount)) {
        if has_memory(parent.join(SUBTREE))? {
            return Ok((parent.to_owned(), false));
        }
    }
    if !has_memory(own.join("cgroup.controllers"))? {
        return Err(format!("{} was not given the memory controller; {REMEDY}", own.display()));
    }
    let file = own.join(SUBTREE);
    fs::write(&file, "+memory").map_err(|e| explain("switch memory on in", &file, &e))?;
    Ok((own.to_owned(), true))
}

fn read(path: impl AsRef<Path>) -> Result<String, String> {
    fs::read_to_string(&path).map_err(|e| explain("read", path.as_ref(), &e))
}

fn explain(what: &str, path: &Path, error: &io::Error) -> String {
    let remedy = match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            format!("; {REMEDY}")
        }
        _ => String::new(),
    };
    format!("cannot {what} {}: {error}{remedy}", path.display())
}
