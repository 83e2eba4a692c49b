//! The system calls of the server once it listens: sockets that it has, its event loop, its
//! own memory. Others fail with `EPERM`.

use anyhow::Context;
use libc::c_long;
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch, apply_filter};

const ALLOWED: &[c_long] = &[
    // Connections, and the channel of the reader.
    libc::SYS_accept4,
    libc::SYS_close,
    libc::SYS_dup,
    libc::SYS_fcntl,
    libc::SYS_fstat,
    libc::SYS_getpeername,
    libc::SYS_getsockname,
    libc::SYS_getsockopt,
    libc::SYS_pread64,
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_sendmsg,
    libc::SYS_sendto,
    libc::SYS_setsockopt,
    libc::SYS_shutdown,
    libc::SYS_write,
    libc::SYS_writev,
    // The event loop.
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_epoll_wait,
    libc::SYS_futex,
    libc::SYS_nanosleep,
    libc::SYS_restart_syscall,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sched_yield,
    // Its memory and its end; a panic aborts by a signal to itself.
    libc::SYS_brk,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_getpid,
    libc::SYS_getrandom,
    libc::SYS_gettid,
    libc::SYS_madvise,
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_sigaltstack,
    libc::SYS_tgkill,
];

/// Forbids the calling thread, and those that it starts, every other call for good; how many
/// are left.
pub fn install() -> anyhow::Result<usize> {
    let architecture = TargetArch::try_from(std::env::consts::ARCH)
        .context("no filter of system calls is known for this architecture")?;
    let denied = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    // No rule on the arguments of a call allows it with any.
    let allowed = ALLOWED.iter().map(|call| (*call, Vec::new())).collect();
    let filter = SeccompFilter::new(allowed, denied, SeccompAction::Allow, architecture)?;
    let program: BpfProgram = filter.try_into()?;
    apply_filter(&program).context("the kernel takes no filter of system calls")?;
    Ok(ALLOWED.len())
}
