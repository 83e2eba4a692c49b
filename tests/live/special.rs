//! What is neither heap nor file: special mappings, stacks beside guarded slabs, code that
//! was made at run time. What the target holds is the oracle, and the kernel's own figures.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use memgap_ledger::account::{self, Account};
use memgap_ledger::{Figure, ProcessLedger, process};
use memgap_reader::{Depth, Reader, Roots};
use memgap_tests::rights::machine_lacks;
use memgap_tests::target::Target;

/// What a program holds beyond the memory that it tells of.
const BASE: i64 = 1 << 20;

/// How long threads may take to go to sleep, on a machine that has much else to do.
const PATIENCE: Duration = Duration::from_secs(30);

fn explain(pid: u32) -> Result<ProcessLedger> {
    let reader = Reader::open(Roots::default())?;
    let made = process::ledger(&reader.process(pid, Depth::Walk)?);
    assert_eq!(Some(made.ledger.sum(account::RSS)), made.headline.rss.point());
    assert_eq!(Some(made.ledger.total()), made.headline.vsz.point());
    Ok(made)
}

fn holds(target: &Target, name: &str) -> Result<i64> {
    Ok(i64::try_from(target.holds(name)?)?)
}

/// Waits until no more than so many threads run: the others wait for something.
fn wait_until_run(at_most: usize, target: &Target) -> Result<()> {
    let start = Instant::now();
    loop {
        let mut running = 0;
        for task in fs::read_dir(format!("/proc/{}/task", target.pid()))? {
            let text = fs::read_to_string(task?.path().join("syscall"))?;
            running += usize::from(text.starts_with("running"));
        }
        if running <= at_most {
            return Ok(());
        }
        ensure!(start.elapsed() < PATIENCE, "{running} threads still run");
        std::thread::yield_now();
    }
}

/// Each sort stands on its account to the byte, and no file is charged with it.
#[test]
fn the_kernels_memory_in_a_process_is_the_kernels() -> Result<()> {
    let mut target = Target::start("special")?;
    let before = explain(target.pid())?.ledger;
    let mut sum = before.booked(Account::KernelMapped);
    for name in ["socket_ring", "io_uring", "bpf_map", "kvm_vcpu"] {
        target.step()?;
        let held = holds(&target, name)?;
        if held == 0 {
            machine_lacks(name, "this machine, or this user, has none");
        }
        let found = explain(target.pid())?.ledger;
        sum += held;
        assert_eq!(found.booked(Account::KernelMapped), sum, "{name}");
        let file = found.booked(Account::FileMapped) - before.booked(Account::FileMapped);
        assert!(file < BASE, "{name}: {file} on mapped files");
    }
    Ok(())
}

#[test]
fn what_the_kernel_keeps_pinned_is_known() -> Result<()> {
    let mut target = Target::start("special")?;
    target.step()?;
    target.step()?;
    let reader = Reader::open(Roots::default())?;
    let pinned = reader.process(target.pid(), Depth::Counters)?.counters?.pinned;
    assert_eq!(pinned, Some(target.holds("pinned")?));
    Ok(())
}

#[test]
fn slabs_behind_guards_are_no_stacks() -> Result<()> {
    let mut target = Target::start("slabs")?;
    wait_until_run(0, &target)?;
    let (stacks, slabs) = (holds(&target, "stacks")?, holds(&target, "slabs")?);
    let found = explain(target.pid())?.ledger;
    // The main thread waits for the test: every stack pointer is known.
    let Figure::Exact(stack) = found.figure(Account::Stack) else {
        panic!("{:?}", found.figure(Account::Stack))
    };
    assert!((stacks..stacks + BASE).contains(&stack), "{stack} of {stacks}");
    assert!(found.booked(Account::HeapUnprobed) >= slabs);

    // One that never waits has a stack like the others': likely.
    target.step()?;
    wait_until_run(1, &target)?;
    let stacks = holds(&target, "stacks")?;
    let figure = explain(target.pid())?.ledger.figure(Account::Stack);
    let (low, high) = figure.bounds().expect("a walk was made");
    // Known to the byte where it had not yet woken up.
    assert!(
        low < stacks + BASE && (stacks..stacks + BASE).contains(&high),
        "{figure:?} of {stacks}"
    );
    assert!(figure.point().is_some_and(|point| point >= stacks), "{figure:?} of {stacks}");
    Ok(())
}

#[test]
fn code_is_what_is_sealed() -> Result<()> {
    let target = Target::start("jit")?;
    let found = explain(target.pid())?.ledger;
    assert_eq!(found.figure(Account::JitCode), Figure::Exact(holds(&target, "sealed")?));
    assert!(found.booked(Account::HeapUnprobed) >= holds(&target, "open")?);
    Ok(())
}
