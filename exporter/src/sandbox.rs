//! What the exporter's processes give up.

use std::ffi::CStr;
use std::io;

use rustix::io::Errno;
use rustix::process::{Signal, set_parent_process_death_signal};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set, set_capabilities,
    set_name, set_no_new_privs,
};

/// Names this process, and has it end when the one that started it does.
pub fn end_with_parent(name: &CStr) -> io::Result<()> {
    set_name(name)?;
    set_parent_process_death_signal(Some(Signal::KILL))?;
    Ok(())
}

/// Gives up every capability for good. Call it before there are other threads.
pub fn give_up_privileges() -> io::Result<()> {
    set_no_new_privs(true)?;
    match clear_ambient_capability_set() {
        // Linux has them from 4.3 on.
        Ok(()) | Err(Errno::INVAL) => {}
        Err(error) => return Err(error.into()),
    }
    give_up_capabilities()
}

/// Gives up the calling thread's capabilities.
pub fn give_up_capabilities() -> io::Result<()> {
    // Where there are none, the call that gives them up may be forbidden.
    if capabilities(None)?.permitted.is_empty() {
        return Ok(());
    }
    let none = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })?;
    Ok(())
}
