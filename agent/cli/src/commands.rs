//! One file a command: it reads, makes ledgers and hands them to a view.

pub mod advise;
pub mod capture;
pub mod demo;
pub mod diff;
pub mod explain;
pub mod generate;
pub mod probes;
pub mod ps;
pub mod record;
pub mod replay;
mod seen;
pub mod top;
pub mod watch;
pub mod why;
