//! Reads a machine.
