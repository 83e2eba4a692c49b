//! What each command does with the ledgers that it is given.

pub mod generate;
pub mod ps;
