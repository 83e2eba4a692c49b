//! Which processes have one memory: `clone` with `CLONE_VM` and without `CLONE_THREAD`, as
//! `vfork` and `posix_spawn` do until the child runs its program.
#![allow(unsafe_code, reason = "a system call that no crate has a name for")]

use std::cmp::Ordering;

use rustix::io::Errno;

/// `KCMP_VM` of include/uapi/linux/kcmp.h.
const KCMP_VM: libc::c_long = 1;

/// `Equal` where two processes of this program's own pid namespace ([`crate::pid_namespace`]) have one memory; else an order of
/// memories that holds until the machine is booted anew. Needs the rights to read both.
pub fn compare(a: u32, b: u32) -> Result<Ordering, Errno> {
    let (a, b) = (libc::c_long::from(a), libc::c_long::from(b));
    // SAFETY: `kcmp` takes numbers only: no memory of this process is read or written.
    let found = unsafe { libc::syscall(libc::SYS_kcmp, a, b, KCMP_VM, 0, 0) };
    match found {
        0 => Ok(Ordering::Equal),
        1 => Ok(Ordering::Less),
        2 => Ok(Ordering::Greater),
        // 3 is for what has no order.
        3.. => Err(Errno::INVAL),
        ..0 => Err(std::io::Error::last_os_error()
            .raw_os_error()
            .map_or(Errno::INVAL, Errno::from_raw_os_error)),
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn own_memory_is_own_and_that_of_another_program_is_not() {
        let mut kid = Command::new("sleep").arg("600").spawn().expect("sleep runs");
        let own = std::process::id();
        let (one, other) = (compare(own, own), compare(own, kid.id()));
        kid.kill().expect("it is ours");
        kid.wait().expect("it ended");
        assert_eq!(one, Ok(Ordering::Equal));
        assert_ne!(other, Ok(Ordering::Equal));
        assert!(compare(own, kid.id()).is_err(), "it is no more");
    }
}
