//! Names of what is listed.

use memgap_ledger::Program;

/// Who a row is about, from one collection to the next.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Name {
    /// The processes of one name in one cgroup.
    Program { cgroup: Option<String>, name: String },
    /// A cgroup by its path.
    Cgroup(String),
}

impl Name {
    /// That of a program.
    pub fn of_program(program: &Program) -> Self {
        Self::Program { cgroup: program.cgroup.clone(), name: program.name.clone() }
    }
}
