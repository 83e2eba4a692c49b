//! Memory that holds swapped pages, compressed: zram devices and zswap.

use super::{Confidence, Finding, Severity, Subject};
use crate::Account;
use crate::size::iec;

pub const ID: &str = "compressed-swap";

pub fn find(subject: Subject<'_>) -> Option<Finding> {
    let (account, bytes, whole, swap) = match subject {
        Subject::Host(host) => {
            let head = &host.headline;
            (Account::Zspages, host.ledger.figure(Account::Zspages), head.usage, head.swap_used)
        }
        Subject::Cgroup(cgroup) => {
            let head = &cgroup.headline;
            (Account::Zswap, cgroup.ledger.figure(Account::Zswap), head.usage, head.swap)
        }
        Subject::Process(_) => return None,
    };
    let (point, whole) = (bytes.point()?, whole.point()?);
    let swapped = swap.point().filter(|swapped| *swapped > 0);
    if point < 16 << 20 || point < whole / 20 {
        return None;
    }
    let mut evidence = vec![format!("{} {}", account.name(), iec(point))];
    evidence.extend(swapped.map(|swapped| format!("swapped out {}", iec(swapped))));
    Some(Finding {
        id: ID,
        bytes,
        severity: Severity::Info,
        confidence: Confidence::Certain,
        brief: format!("{} hold what was swapped out, compressed", iec(point)),
        summary: match swapped {
            Some(swapped) => format!(
                "{} of memory hold pages that were swapped out, compressed: {} are swapped out in all",
                iec(point),
                iec(swapped)
            ),
            None => format!("{} of memory hold pages in zram devices, compressed", iec(point)),
        },
        evidence,
        is_not: "free, or a leak of the kernel: without compression the same pages would take several times as much",
        remedy: "what programs free goes from there too; mem_limit of a zram device (/sys/block/zram0/mem_limit) and max_pool_percent of zswap (/sys/module/zswap/parameters) bound it, memory.zswap.max (v2 from Linux 5.19) that of a cgroup".into(),
    })
}
