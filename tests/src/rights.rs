//! What a test may do on this machine. Root may do everything; any other user learns at the
//! end of `tests/run` what was left out, and everybody what the machine itself does not have.

use std::io::Write;

/// The file that takes a line for each test that was left out: `tests/run` names it.
const LIST: &str = "MEMGAP_LEFT_OUT";

/// What a test cannot do without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// To make cgroups, limit them and move processes.
    Cgroups,
    /// To read the memory of processes that the test's own user did not start, or that
    /// are no children of the reader.
    OtherMemory,
    /// To run a program as another user: root, where it wants that.
    OtherUsers,
    /// To mount, or to make namespaces.
    Mounts,
    /// To give sockets larger buffers than users may.
    Buffers,
    /// To read what the kernel shows to root only.
    KernelFiles,
    /// To change what the whole machine has: huge pages, devices.
    Machine,
}

/// Whether the test is left out, for its user lacks what it needs: then it has nothing
/// more to do. Root is never told so; what it lacks all the same, in a container say,
/// fails.
///
/// # Panics
///
/// Where the list of what is left out cannot be written.
#[must_use]
pub fn left_out(need: Need) -> bool {
    if rustix::process::geteuid().is_root() {
        return false;
    }
    note("", need.why());
    true
}

/// Notes that the test, or the part of it that has a name, is left out for what the machine
/// does not have, whoever asks: `why` says what.
///
/// # Panics
///
/// Where the list of what is left out cannot be written.
pub fn machine_lacks(part: &str, why: &str) {
    note(part, why);
}

fn note(part: &str, why: &str) {
    let thread = std::thread::current();
    let (name, space) = (thread.name().unwrap_or("a test"), if part.is_empty() { "" } else { " " });
    let line = format!("{name}{space}{part}: {why}\n");
    // A list that cannot be written must not be taken for an empty one.
    if let Some(path) = std::env::var_os(LIST) {
        let list = std::fs::File::options().append(true).create(true).open(&path);
        let written = list.and_then(|mut list| list.write_all(line.as_bytes()));
        assert!(written.is_ok(), "failed to write {}: {written:?}", path.display());
    }
    eprint!("left out: {line}");
}

impl Need {
    fn why(self) -> &'static str {
        match self {
            Self::Cgroups => "it makes cgroups",
            Self::OtherMemory => "it reads memory of other users' processes",
            Self::OtherUsers => "it runs a program as another user",
            Self::Mounts => "it mounts file systems or makes namespaces",
            Self::Buffers => "it gives sockets larger buffers than users may",
            Self::KernelFiles => "it reads what the kernel shows to root only",
            Self::Machine => "it changes what the whole machine has",
        }
    }
}
