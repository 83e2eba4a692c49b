//! What this program's own allocator says: the heap statistics behind `memgap self`.

use memgap_ledger::claim::{Claim, Extent, Part, Priority};
use memgap_ledger::{Account, Report, Runtime};
use tikv_jemalloc_ctl::{Result, epoch, stats};

/// What jemalloc tells of this process: amounts, not addresses.
///
/// Objects are a claim of their own, which takes its part first: what is allocated is
/// touched, while the metadata are tables of which most pages never are.
pub fn reported() -> Result<Report> {
    // Statistics are as old as the last epoch.
    epoch::advance()?;
    let allocated = stats::allocated::read()? as u64;
    let active = stats::active::read()? as u64;
    let metadata = stats::metadata::read()? as u64;
    let resident = stats::resident::read()? as u64;
    // Pages that were in use and are kept: resident, neither active nor metadata.
    let dirty = resident.saturating_sub(active).saturating_sub(metadata);
    let free = active.saturating_sub(allocated).saturating_add(dirty);
    let claims = vec![
        claim(Priority::Object, &[(Account::HeapInUse, allocated)]),
        claim(
            Priority::Malloc,
            &[(Account::AllocatorFree, free), (Account::AllocatorMetadata, metadata)],
        ),
    ];
    let source = "mallctl in this process".to_owned();
    let evidence = vec![source.clone()];
    let own = Runtime { in_use: Some(allocated), evidence, ..Runtime::named("jemalloc") };
    Ok(Report { source, resident: None, statistics: vec![(own, claims)] })
}

fn claim(priority: Priority, parts: &[(Account, u64)]) -> Claim {
    Claim {
        priority,
        owner: "jemalloc".to_owned(),
        extent: Extent::Anywhere,
        parts: parts.iter().map(|&(account, bytes)| Part { account, bytes }).collect(),
    }
}
