//! `memgap`, as it is run by tests of what it prints.

use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::common::assert_schema;

pub fn memgap(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_memgap"));
    command.args(args).stdin(Stdio::null()).output().expect("memgap runs")
}

/// The document that it prints, of the schema.
pub fn json(args: &[&str]) -> Value {
    let output = memgap(args);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{args:?}: {said}");
    let document = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_schema(&document);
    document
}
