//! Stacks of threads that take much memory.

use super::{Finding, Severity, Subject, confidence};
use crate::Account;
use crate::figure::signed;
use crate::size::iec;

pub const ID: &str = "stacks";

/// A thread touches some tens of KiB.
const LEAST: i64 = 8 << 20;

pub fn find(subject: Subject<'_>) -> Option<Finding> {
    let Subject::Process(process) = subject else { return None };
    let bytes = process.ledger.figure(Account::Stack);
    let (stacks, rss) = (bytes.point()?, process.headline.rss.point()?);
    let threads = process.threads.filter(|threads| *threads > 0);
    // Before Linux 6.2 the RSS is behind by what each thread touched lately.
    let of =
        if rss > stacks { format!("{} of {} RSS", iec(stacks), iec(rss)) } else { iec(stacks) };
    let each = threads.map(|threads| stacks / signed(threads));
    (stacks >= LEAST && stacks >= rss / 8).then(|| Finding {
        id: ID,
        bytes,
        severity: Severity::Info,
        confidence: confidence(bytes),
        brief: format!("{} of it are stacks", iec(stacks)),
        summary: match (threads, each) {
            (Some(threads), Some(each)) => format!(
                "{of} are stacks, of {threads} threads by and large {} each",
                iec(each)
            ),
            _ => format!("{of} are stacks"),
        },
        evidence: vec![format!("stack {}, RSS {}", iec(stacks), iec(rss))],
        is_not: "what threads use now: a stack keeps what it ever reached, until its thread ends",
        remedy: "fewer threads, or ones that end when they are idle; less on the stack: deep recursion and large arrays in frames. A smaller bound (ulimit -s, pthread_attr_setstacksize, -Xss) takes no memory back by itself: only what is touched counts".into(),
    })
}
