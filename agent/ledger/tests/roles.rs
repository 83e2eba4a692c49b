//! What mappings are that no allocator claims: stacks by stack pointers, code by rights,
//! the kernel's own by their names.

use memgap_ledger::sample::{Area, AreaKind, Counters, ProcessKind, ProcessSample, Stacks, Walk};
use memgap_ledger::{Account, Fact, Figure, Missing, ProcessLedger, process};

const MIB: u64 = 1 << 20;
const GUARD: u64 = 4 << 10;
const STACK: u64 = 8 * MIB;
/// What is resident of each mapping.
const HELD: i64 = 1 << 20;

fn area(start: u64, size: u64) -> Area {
    let held = HELD.unsigned_abs();
    Area {
        start,
        end: start + size,
        kind: AreaKind::Anonymous,
        accessible: true,
        writable: true,
        rss: held,
        pss: held,
        anonymous: held,
        private: held,
        ..Area::default()
    }
}

fn guard(start: u64) -> Area {
    Area { start, end: start + GUARD, ..Area::default() }
}

/// Mappings of one size, each behind a guard, the guards `size + GUARD` apart.
fn guarded(first: u64, size: u64, count: u64) -> Vec<Area> {
    let one = |n| {
        let start = first + n * (size + GUARD);
        [guard(start), area(start + GUARD, size)]
    };
    (0..count).flat_map(one).collect()
}

/// A stack pointer in the mapping behind the guard that is given.
fn within(areas: &[Area], at: usize) -> u64 {
    areas[2 * at + 1].end - 64
}

fn explain(areas: Vec<Area>, stacks: Fact<Stacks>, threads: u64) -> ProcessLedger {
    let sum = |field: fn(&Area) -> u64| areas.iter().map(field).sum();
    let counters = Counters {
        source: "status",
        vsz: sum(Area::size),
        rss: sum(|a| a.rss),
        anon: sum(|a| a.anonymous),
        threads: Some(threads),
        ..Counters::default()
    };
    process::ledger(&ProcessSample {
        lazily_freed: None,
        one_memory: None,
        pid: 1,
        name: "a".to_owned(),
        kind: ProcessKind::User,
        counters: Ok(counters),
        walk: Ok(Walk { areas: areas.into(), stacks: Some(stacks), ..Walk::default() }),
        claims: Vec::new(),
        runtimes: Vec::new(),
        cgroup: Ok("/".to_owned()),
    })
}

#[allow(clippy::unnecessary_wraps, reason = "as a walk has them")]
fn pointers(mut at: Vec<u64>, running: usize) -> Fact<Stacks> {
    at.sort_unstable();
    Ok(Stacks { pointers: at.into(), running, ..Stacks::default() })
}

fn denied() -> Fact<Stacks> {
    Err(Missing::absent("denied"))
}

/// An allocator that puts a guard before each slab has no stacks there.
#[test]
fn a_guard_without_a_stack_pointer_is_no_stack() {
    let mut areas = guarded(0x1000_0000, 2 * MIB, 8);
    areas.extend(guarded(0x7000_0000, STACK, 3));
    let at = (8..11).map(|n| within(&areas, n)).collect();
    let made = explain(areas, pointers(at, 0), 4);
    assert_eq!(made.ledger.figure(Account::Stack), Figure::Exact(3 * HELD));
    assert_eq!(made.ledger.figure(Account::HeapUnprobed), Figure::Exact(8 * HELD));
}

/// A thread that ran when it was asked has a stack too: most likely one of the size that
/// the others have.
#[test]
fn the_stacks_of_running_threads_are_likely_ones() {
    let mut areas = guarded(0x1000_0000, 2 * MIB, 8);
    areas.extend(guarded(0x7000_0000, STACK, 3));
    let at = vec![within(&areas, 8), within(&areas, 10)];
    let made = explain(areas, pointers(at, 1), 4);
    let stack = made.ledger.figure(Account::Stack);
    assert_eq!(stack, Figure::interval(2 * HELD, 3 * HELD, 3 * HELD));
}

/// For want of stack pointers there are as many stacks as threads beside the first, at most.
#[test]
fn guards_alone_tell_what_may_be_stacks() {
    let areas = guarded(0x7000_0000, STACK, 3);
    let made = explain(areas, denied(), 3);
    let stack = made.ledger.figure(Account::Stack);
    assert_eq!(stack, Figure::interval(0, 2 * HELD, 2 * HELD));
}

/// What threads left behind that ended, or that a fork did not take along, is a stack too.
#[test]
fn a_thread_that_is_gone_has_left_its_stack() {
    let areas = guarded(0x7000_0000, STACK, 4);
    let left = [areas[1].end - 0x940, areas[5].end - 0x940].into();
    let stacks = Stacks { pointers: [within(&areas, 1)].into(), running: 0, left };
    let made = explain(areas, Ok(stacks), 1);
    assert_eq!(made.ledger.figure(Account::Stack), Figure::interval(HELD, 3 * HELD, 3 * HELD));
    assert_eq!(made.ledger.figure(Account::HeapUnprobed).point(), Some(HELD));
}

/// The descriptor of a thread that ran tells its stack from slabs behind guards.
#[test]
fn a_thread_that_runs_is_told_by_its_descriptor() {
    let areas = guarded(0x7000_0000, STACK, 4);
    let left = [areas[5].end - 0x940].into();
    let stacks = Stacks { pointers: [within(&areas, 1)].into(), running: 1, left };
    let made = explain(areas, Ok(stacks), 2);
    assert_eq!(made.ledger.figure(Account::Stack), Figure::interval(HELD, 2 * HELD, 2 * HELD));
    assert_eq!(made.ledger.figure(Account::HeapUnprobed).point(), Some(2 * HELD));
}

/// A goroutine's stack is a part of the heap: the heap is none.
#[test]
fn a_stack_pointer_in_the_heap_makes_no_stack_of_it() {
    let made = explain(vec![area(0x1000_0000, 64 * MIB)], pointers(vec![0x1000_8000], 0), 1);
    assert_eq!(made.ledger.figure(Account::HeapUnprobed), Figure::interval(0, HELD, HELD));
    assert_eq!(made.ledger.figure(Account::Stack), Figure::interval(0, 0, HELD));
}

#[test]
fn what_may_be_executed_and_not_written_is_code() {
    let sealed = Area { writable: false, executable: true, ..area(0x1000_0000, 2 * MIB) };
    let open = Area { executable: true, ..area(0x2000_0000, 2 * MIB) };
    let made = explain(vec![sealed, open], denied(), 1);
    assert_eq!(made.ledger.figure(Account::JitCode), Figure::Exact(HELD));
    assert_eq!(made.ledger.figure(Account::HeapUnprobed), Figure::Exact(HELD));
}

#[test]
fn the_kernels_own_memory_is_no_file() {
    let ring =
        Area { kind: AreaKind::Kernel, anonymous: 0, shared: true, ..area(0x1000_0000, MIB) };
    // Mapped by frame numbers, which RSS leaves out.
    let frames = Area {
        rss: 0,
        pss: 0,
        private: 0,
        ..Area { start: 0x2000_0000, end: 0x2020_0000, ..ring.clone() }
    };
    let made = explain(vec![ring, frames], denied(), 1);
    assert_eq!(made.ledger.figure(Account::KernelMapped), Figure::Exact(HELD));
    assert_eq!(made.ledger.figure(Account::FileMapped), Figure::Exact(0));
    assert_eq!(made.ledger.figure(Account::DeviceMapped), Figure::Exact(2 * HELD));
    assert_eq!(made.ledger.figure(Account::Untouched), Figure::Exact(0));
}
