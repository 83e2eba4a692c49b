//! What a reading gave: a value, or the reason why there is none.

use std::fmt;
use std::sync::Arc;

/// A value as it was read, or why it could not be.
pub type Fact<T> = Result<T, Missing>;

/// Why a value is not there. Shown to users, so `why` is a lower-case sentence
/// that names the thing and, where there is one, the remedy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// What kind of lack this is; decides exit codes and residual accounts.
    pub kind: MissingKind,
    /// The reason, in words; shared by all figures that lack for it.
    pub why: Arc<str>,
}

/// The ways in which a value can be missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MissingKind {
    /// This kernel or program does not offer it.
    Absent,
    /// It exists and we may not read it.
    Denied,
    /// The process or cgroup ended before it was read.
    Gone,
    /// It was read and is not in the documented form.
    Malformed,
    /// We chose not to read it: over a cost cap or budget.
    Refused,
}

impl MissingKind {
    /// Every kind, in the order of declaration.
    pub const ALL: [Self; 5] =
        [Self::Absent, Self::Denied, Self::Gone, Self::Malformed, Self::Refused];

    /// The stable word for labels and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Denied => "denied",
            Self::Gone => "gone",
            Self::Malformed => "malformed",
            Self::Refused => "refused",
        }
    }
}

impl Missing {
    /// A lack of the given kind.
    pub fn new(kind: MissingKind, why: impl Into<Arc<str>>) -> Self {
        Self { kind, why: why.into() }
    }

    /// Not offered by this kernel or program.
    pub fn absent(why: impl Into<Arc<str>>) -> Self {
        Self::new(MissingKind::Absent, why)
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl std::error::Error for Missing {}
