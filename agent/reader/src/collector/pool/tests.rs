//! Workers that answer, wait, work for long and panic.

use std::sync::mpsc::Receiver;

use super::*;

/// A task that waits until nobody can send any more, where it waits at all.
#[derive(Debug)]
struct Wait(u32, Option<Receiver<()>>);

impl Task for Wait {
    type Target = u32;
    type Budgets = u32;
    type Outcome = (u32, thread::ThreadId);

    fn target(&self) -> u32 {
        self.0
    }

    fn run(self, budgets: &mut u32, _: &mut Buf) -> Self::Outcome {
        *budgets += 1;
        assert!(self.0 != PANICS, "as it should");
        if let Some(released) = self.1 {
            let _ = released.recv();
        }
        (self.0, thread::current().id())
    }

    fn room(_: &Self::Outcome) -> usize {
        1
    }
}

const PANICS: u32 = 99;
const ROOM: usize = usize::MAX;

fn quick(targets: &[u32]) -> VecDeque<Wait> {
    targets.iter().map(|target| Wait(*target, None)).collect()
}

fn served(ran: &Ran<Wait>) -> Vec<u32> {
    ran.outcomes.iter().map(|(target, _)| *target).collect()
}

/// Waits until somebody has returned.
fn returned(pool: &mut Pool<Wait>) -> Vec<u32> {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        let returned = pool.returned();
        if !returned.is_empty() {
            return returned.iter().map(|(target, ..)| *target).collect();
        }
        assert!(Instant::now() < end, "nobody returns");
        thread::yield_now();
    }
}

#[test]
fn one_thread_serves_all_who_answer() {
    let mut pool = Pool::default();
    assert!(pool.is_ready());
    let first = pool.run(quick(&[1, 2, 3]), 0, ROOM);
    assert_eq!((served(&first), first.budgets, first.stuck), (vec![1, 2, 3], 3, None));
    assert!(pool.is_ready());
    let second = pool.run(quick(&[4]), first.budgets, ROOM);
    assert_eq!((served(&second), second.budgets), (vec![4], 4));
    assert_eq!(first.outcomes[0].1, second.outcomes[0].1);
    assert_ne!(first.outcomes[0].1, thread::current().id());
}

#[test]
fn a_batch_ends_when_its_outcomes_take_up_the_room() {
    let mut pool = Pool::default();
    assert!(pool.is_ready());
    let ran = pool.run(quick(&[1, 2, 3]), 0, 2);
    assert_eq!((served(&ran), ran.left.len()), (vec![1, 2], 1));
}

#[test]
fn who_does_not_answer_is_left_behind_and_the_others_are_served() {
    let mut pool = Pool::default();
    let (release, released) = channel();
    let mut tasks = quick(&[1, 2, 3]);
    tasks.insert(1, Wait(7, Some(released)));
    assert!(pool.is_ready());
    let began = Instant::now();
    let ran = pool.run(tasks, 0, ROOM);
    assert!(began.elapsed() >= DEADLINE);
    assert_eq!((served(&ran), ran.stuck), (vec![1], Some((7, true))));
    assert!(pool.holds(7) && !pool.holds(2) && pool.returned().is_empty());
    assert!(pool.is_ready());
    let rest = pool.run(ran.left, ran.budgets, ROOM);
    assert_eq!((served(&rest), rest.budgets, pool.stuck()), (vec![2, 3], 3, 1));
    drop(release);
    assert_eq!(returned(&mut pool), [7]);
    assert!(!pool.holds(7) && pool.stuck() == 0);
}

#[test]
fn with_too_many_left_behind_nothing_is_begun_until_one_returns() {
    let mut pool = Pool::default();
    let mut held = Vec::new();
    for target in 0.. {
        if !pool.is_ready() {
            break;
        }
        let (release, released) = channel();
        held.push(release);
        let ran = pool.run([Wait(target, Some(released))].into(), 0, ROOM);
        assert_eq!(ran.stuck, Some((target, true)));
    }
    assert_eq!((held.len(), pool.stuck()), (MAX_STUCK, MAX_STUCK));
    drop(held.pop());
    assert_eq!(returned(&mut pool).len(), 1);
    assert!(pool.is_ready());
    assert_eq!(served(&pool.run(quick(&[1]), 0, ROOM)), [1]);
}

#[test]
fn one_that_is_at_work_has_longer() {
    #[derive(Debug)]
    struct Busy;

    impl Task for Busy {
        type Target = ();
        type Budgets = ();
        type Outcome = ();

        fn target(&self) {}

        fn run(self, (): &mut (), _: &mut Buf) {
            let end = thread_cpu() + 2 * WORKING;
            while thread_cpu() < end {}
        }

        fn room((): &()) -> usize {
            0
        }
    }

    let mut pool = Pool::default();
    assert!(pool.is_ready());
    let began = Instant::now();
    let ran = pool.run([Busy].into(), (), ROOM);
    assert!(began.elapsed() >= WORKING);
    assert_eq!(ran.stuck, Some(((), false)));
}

#[test]
fn a_panic_ends_its_own_task_only() {
    let mut pool = Pool::default();
    assert!(pool.is_ready());
    let ran = pool.run(quick(&[1, PANICS, 2]), 0, ROOM);
    assert_eq!(served(&ran), [1]);
    // To print where it panicked may take longer than it is waited for.
    assert!(ran.stuck.is_none_or(|(target, _)| target == PANICS));
    assert!(pool.is_ready());
    assert_eq!(served(&pool.run(ran.left, 0, ROOM)), [2]);
}
