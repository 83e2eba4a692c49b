//! The C library of several suites, and `tests/targets/malloc.c` run by each.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::fetch::{fetch, versioned};
use crate::target;

const MULTIARCH: &str = "lib/x86_64-linux-gnu";
const HEADERS: &str = "/usr/include/x86_64-linux-gnu";

/// A way to run the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Library {
    /// The machine's own library.
    Own,
    /// The machine's own library, linked into the program.
    Static,
    /// The library that `tests/glibc/fetch` unpacked: version and root.
    Of(String, PathBuf),
}

/// Every way, fetched where it is not there yet.
pub fn libraries() -> Result<Vec<Library>> {
    let lines = fetch("glibc")?;
    let fetched = lines.iter().map(|line| {
        let (version, root) = versioned(line)?;
        Ok(Library::Of(version.to_owned(), root.into()))
    });
    [Ok(Library::Own), Ok(Library::Static)].into_iter().chain(fetched).collect()
}

impl Library {
    /// The version that its file tells; a static program tells none.
    pub fn reported_version(&self) -> Option<&str> {
        match self {
            Self::Own => Some("2.36"),
            Self::Static => None,
            Self::Of(version, _) => Some(version),
        }
    }

    /// The command that runs the target.
    pub fn malloc(&self) -> Result<Command> {
        match self {
            Self::Own => Ok(Command::new(target::compiled("malloc")?)),
            Self::Static => {
                Ok(Command::new(target::compiled_with("malloc", "static", &["-static"])?))
            }
            Self::Of(version, root) => {
                let sysroot = format!("--sysroot={}", root.display());
                let parts = root.join("usr").join(MULTIARCH);
                let (begin, search) =
                    (format!("-B{}/", parts.display()), format!("-L{}", parts.display()));
                // The kernel's headers are this machine's.
                let flags = [&*sysroot, &begin, &search, "-idirafter", "/usr/include"];
                let flags = [&flags[..], &["-idirafter", HEADERS]].concat();
                let program = target::compiled_with("malloc", version, &flags)?;
                let libraries = root.join(MULTIARCH);
                let mut command = Command::new(libraries.join("ld-linux-x86-64.so.2"));
                command.arg("--library-path").arg(libraries).arg(program);
                Ok(command)
            }
        }
    }
}
