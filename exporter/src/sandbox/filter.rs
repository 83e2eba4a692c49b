//! The system calls of the server once it listens: sockets that it has, its event loop, its
//! own memory. Others fail with `EPERM`.

use std::collections::BTreeMap;

use anyhow::Context;
use libc::c_long;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen as Width, SeccompCmpOp as Op, SeccompCondition,
    SeccompFilter, SeccompRule, TargetArch, apply_filter,
};

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

/// What it takes to connect too, where it pushes: `socket` is allowed for TCP only.
const TO_CONNECT: [c_long; 2] = [libc::SYS_connect, libc::SYS_socket];

/// What it takes to ask others too, with a time limit, by credentials in files: `ioctl` is
/// allowed to have a socket wait for nothing.
const TO_ASK: &[c_long] = &[
    libc::SYS_lseek,
    libc::SYS_openat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_poll,
    libc::SYS_ppoll,
    libc::SYS_statx,
];

/// What a process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Calls {
    /// It serves.
    Serve,
    /// It connects to others too.
    Push,
    /// It reads files besides.
    Ask,
}

/// The bits of a socket's type that are no flags.
const TYPE: u64 = 0xf;

/// Forbids the calling thread, and those that it starts, every other call for good; how many
/// are left.
pub fn install(calls: Calls) -> anyhow::Result<usize> {
    let architecture = TargetArch::try_from(std::env::consts::ARCH)
        .context("no filter of system calls is known for this architecture")?;
    let denied = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    // No rule on the arguments of a call allows it with any.
    let mut allowed: BTreeMap<_, _> = ALLOWED.iter().map(|call| (*call, Vec::new())).collect();
    if calls != Calls::Serve {
        let [connect, socket] = TO_CONNECT;
        allowed.insert(connect, Vec::new());
        allowed.insert(socket, vec![stream_of(libc::AF_INET)?, stream_of(libc::AF_INET6)?]);
    }
    if calls == Calls::Ask {
        allowed.extend(TO_ASK.iter().map(|call| (*call, Vec::new())));
        let nonblocking = SeccompCondition::new(1, Width::Dword, Op::Eq, libc::FIONBIO)?;
        allowed.insert(libc::SYS_ioctl, vec![SeccompRule::new(vec![nonblocking])?]);
    }
    let count = allowed.len();
    let filter = SeccompFilter::new(allowed, denied, SeccompAction::Allow, architecture)?;
    let program: BpfProgram = filter.try_into()?;
    apply_filter(&program).context("the kernel takes no filter of system calls")?;
    Ok(count)
}

/// A socket of a family that is a stream.
fn stream_of(family: i32) -> anyhow::Result<SeccompRule> {
    let is = |at, op, value: i32| {
        SeccompCondition::new(at, Width::Dword, op, u64::from(value.unsigned_abs()))
    };
    let conditions = vec![is(0, Op::Eq, family)?, is(1, Op::MaskedEq(TYPE), libc::SOCK_STREAM)?];
    Ok(SeccompRule::new(conditions)?)
}
