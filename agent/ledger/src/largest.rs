//! The mappings that hold most of the accounts whose name says little.

use crate::Account;
use crate::pool::Pool;
use crate::role::Role;
use crate::sample::{AreaKind, Walk};
use crate::special::Special;

/// The accounts whose mappings are listed.
pub const ACCOUNTS: [Account; 7] = [
    Account::HeapUnprobed,
    Account::Unexplained,
    Account::ElfData,
    Account::FileMapped,
    Account::Shmem,
    Account::KernelMapped,
    Account::Device,
];

/// A mapping, and what of it is on one account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holding {
    /// One of [`ACCOUNTS`].
    pub account: Account,
    /// What of the mapping is on it, by the point.
    pub bytes: u64,
    /// Bytes of address space.
    pub size: u64,
    /// `Rss`.
    pub resident: u64,
    /// What of that lies in huge pages, where the kernel says so.
    pub huge: Option<u64>,
    /// `rwxp`, with `-` for a right that is not given and `s` for shared.
    pub access: [u8; 4],
    /// Path or `[name]`; empty for anonymous memory.
    pub name: Box<str>,
    /// What is known of its sort, where it is a special one.
    pub special: Option<&'static Special>,
}

/// Of the mappings whose names were kept, those that hold anything on such an account: by
/// account, the largest first. `rest` is the account of what no claim found in a heap.
pub(crate) fn holdings(walk: &Walk, pools: &[Pool], roles: &[Role], rest: Account) -> Vec<Holding> {
    let mut found = Vec::new();
    for named in walk.named.iter() {
        let at = named.area;
        let (Some(area), Some(pool), Some(role)) =
            (walk.areas.get(at), pools.get(at), roles.get(at))
        else {
            continue;
        };
        let heap = matches!(role, Role::Heap | Role::BesideData | Role::PerhapsStack);
        let live = match role {
            _ if heap => (rest, pool.live()),
            Role::Data => (Account::ElfData, pool.live()),
            _ => (rest, 0),
        };
        for (account, bytes) in [live, (backing(area.kind), pool.backed())] {
            if bytes > 0 && ACCOUNTS.contains(&account) {
                found.push(Holding {
                    account,
                    bytes,
                    size: area.size(),
                    resident: area.rss,
                    huge: area.huge,
                    access: named.access,
                    name: named.name.clone(),
                    special: area.special,
                });
            }
        }
    }
    let order = |account| ACCOUNTS.iter().position(|listed| *listed == account);
    found.sort_by_key(|one| (order(one.account), std::cmp::Reverse(one.bytes)));
    found
}

/// The account of pages that are not anonymous.
pub(crate) fn backing(kind: AreaKind) -> Account {
    match kind {
        AreaKind::File => Account::FileMapped,
        AreaKind::Kernel => Account::KernelMapped,
        AreaKind::Shmem => Account::Shmem,
        AreaKind::Device | AreaKind::Hugetlb => Account::Device,
        // Private anonymous mappings hold no such pages on any kernel we know.
        AreaKind::Heap | AreaKind::Stack | AreaKind::Anonymous => Account::Unexplained,
    }
}
