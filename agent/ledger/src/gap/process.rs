//! Why figures of a process differ: every account has its part.

use super::part::{Part, in_order, sentence};
use super::{Gap, gap};
use crate::account::{RSS, VSZ};
use crate::figure::signed;
use crate::sharing::Sharing;
use crate::{Account, ProcessLedger};

/// The gaps of a process.
pub fn of_process(process: &ProcessLedger) -> Vec<Gap> {
    let h = &process.headline;
    let shared = || {
        let mut parts = sharing(process.sharing.unwrap_or_default());
        parts.push(part(process, Account::Skew));
        in_order(parts)
    };
    let mut gaps = Vec::new();
    gaps.extend(gap("vsz", h.vsz, "rss", h.rss, |_| sentence(&of_address_space(process))));
    gaps.extend(gap("rss", h.rss, "in_use", h.in_use, |_| sentence(&of_resident(process))));
    gaps.extend(gap("in_use", h.in_use, "rss", h.rss, |_| {
        let parts = of_resident(process);
        let turned =
            parts.into_iter().map(|part| Part { bytes: part.bytes.saturating_neg(), ..part });
        sentence(&turned.collect::<Vec<_>>())
    }));
    gaps.extend(gap("rss", h.rss, "pss", h.pss, |_| sentence(&shared())));
    gaps
}

/// The parts of `VSZ - RSS`, the largest first; they sum to it.
fn of_address_space(process: &ProcessLedger) -> Vec<Part> {
    let untouched = process.ledger.booked(Account::Untouched);
    // What it shares may be in memory all the same, by others' doing.
    let shared = process.mapped.map_or(0, |mapped| signed(mapped.untouched)).min(untouched);
    let what = if process.is_walked() {
        words(Account::Untouched)
    } else {
        "whose mappings were not looked at"
    };
    let others = VSZ.iter().filter(|account| **account != Account::Untouched);
    let mut parts: Vec<Part> = others.map(|account| part(process, *account)).collect();
    parts.push(Part { what, bytes: untouched.saturating_sub(shared) });
    parts.push(Part { what: "of files and shared memory that it has not touched", bytes: shared });
    in_order(parts)
}

/// The parts of `RSS - in use`, the largest first; they sum to it.
pub fn of_resident(process: &ProcessLedger) -> Vec<Part> {
    let others = RSS.iter().filter(|account| **account != Account::HeapInUse);
    let mut parts: Vec<Part> = others.map(|account| part(process, *account)).collect();
    let in_use = process.headline.in_use.point().unwrap_or(0);
    let away = process.ledger.booked(Account::HeapInUse).saturating_sub(in_use);
    parts.push(Part { what: "in use and not in memory", bytes: away });
    in_order(parts)
}

fn part(process: &ProcessLedger, account: Account) -> Part {
    Part { what: words(account), bytes: process.ledger.booked(account) }
}

fn words(account: Account) -> &'static str {
    match account {
        Account::Untouched => "accessible and without memory behind it",
        Account::Reserved => "reserved without access",
        Account::Swapped => "swapped out",
        Account::Hugetlb => "in huge pages of hugetlbfs",
        Account::DeviceMapped => "mapped devices",
        Account::LazyFree => "lazily freed",
        Account::AllocatorFree => "freed and kept by the allocator",
        Account::AllocatorMetadata => "the allocator's own tables",
        Account::JitCode => "code made at run time",
        Account::Metaspace => "class metadata",
        Account::GcTables => "tables of the garbage collector",
        Account::FileMapped => "mapped files",
        Account::Shmem => "shared memory",
        Account::Stack => "stacks",
        Account::ElfData => "program data and private copies of files",
        Account::HeapUnprobed => "heap whose allocator was not read",
        Account::Unexplained => "unexplained",
        Account::Unreadable => "not readable by us",
        Account::KernelMapped => "kernel memory mapped into it",
        Account::Device => "pages of devices",
        Account::Skew | Account::VszSkew => "counters that do not agree",
        other => other.name(),
    }
}

/// With whom pages are shared.
fn sharing(sharing: Sharing) -> Vec<Part> {
    let part = |what, bytes| Part { what, bytes: signed(bytes) };
    vec![
        part("merged with equal pages (KSM)", sharing.merged),
        part("that the process maps several times itself", sharing.own),
        part("that other processes map too, and carry their part of", sharing.others),
        part("that counts for a process with the same memory", sharing.elsewhere),
    ]
}
