use super::*;
use crate::Ledger;
use crate::fact::Missing;
use crate::process;
use crate::sample::ProcessSample;

const MIB: i64 = 1 << 20;

fn side(name: &str, accounts: &[(Account, Figure)]) -> Side {
    let mut ledger = Ledger::empty(Scope::Process);
    for (account, figure) in accounts {
        ledger.book(*account, *figure, "a test", Duration::ZERO);
    }
    let rss = Figure::Exact(ledger.sum(RSS));
    Side {
        name: name.to_owned(),
        scope: Scope::Process,
        headline: vec![("rss".to_owned(), rss)],
        accounts: ledger.entries().map(|entry| (entry.account, entry.figure)).collect(),
        runtimes: vec!["glibc".to_owned()],
    }
}

fn exact(account: Account, mib: i64) -> (Account, Figure) {
    (account, Figure::Exact(mib * MIB))
}

#[test]
fn the_largest_changes_are_named_and_sum_to_the_whole() {
    let before = side(
        "server 1",
        &[
            exact(Account::HeapInUse, 100),
            exact(Account::AllocatorFree, 40),
            exact(Account::Stack, 1),
        ],
    );
    let after = side(
        "server 1",
        &[
            exact(Account::HeapInUse, 220),
            exact(Account::AllocatorFree, 10),
            exact(Account::Stack, 1),
            exact(Account::FileMapped, 0),
        ],
    );
    let found = diff(&before, &after, Between::Times(Duration::from_secs(10))).expect("one scope");
    assert_eq!(
        found.sentence,
        "RSS grew by 90.0 MiB in 10 s: 120 MiB more heap_in_use (glibc), \
         30.0 MiB less allocator_free (glibc)"
    );
    let sum: i64 = found.accounts.iter().map(|(_, change)| change.of_points()).sum();
    assert_eq!(Some(sum), found.headline[0].1.by.point());
}

#[test]
fn what_is_told_apart_of_one_only_is_compared_as_a_whole() {
    let blind = side("a 1", &[exact(Account::HeapUnprobed, 300), exact(Account::Stack, 2)]);
    let read = side(
        "b 2",
        &[
            exact(Account::HeapInUse, 250),
            exact(Account::AllocatorFree, 100),
            exact(Account::HeapUnprobed, 0),
            exact(Account::Stack, 2),
        ],
    );
    let found = diff(&blind, &read, Between::Things).expect("one scope");
    assert_eq!(
        found.sentence,
        "RSS of b 2 is 50.0 MiB more than that of a 1: 50.0 MiB more in heap_in_use, \
         allocator_free, heap_unprobed together, which are told apart of one only"
    );
    let as_large = side("c 3", &[exact(Account::HeapUnprobed, 350), exact(Account::Stack, 2)]);
    assert_eq!(
        diff(&as_large, &read, Between::Things).expect("one scope").sentence,
        "c 3 and b 2 have the same RSS: about as much in heap_in_use, allocator_free, \
         heap_unprobed together, which are told apart of one only"
    );
    let in_use = found.accounts.iter().find(|(account, _)| *account == Account::HeapInUse);
    assert!(in_use.is_some_and(|(_, change)| change.by == Figure::Absent && change.is_of_one()));
}

#[test]
fn an_estimate_is_not_said_to_be_sure() {
    let lazy = |low: i64, point: i64, high: i64| {
        (Account::LazyFree, Figure::interval(low * MIB, point * MIB, high * MIB))
    };
    let some = side("a 1", &[lazy(0, 20, 40)]);
    let more = side("a 1", &[lazy(30, 50, 60)]);
    let most = side("a 1", &[lazy(80, 90, 100)]);
    let times = Between::Times(Duration::from_secs(1));
    let said = |to: &Side| diff(&some, to, times).expect("one scope").sentence;
    assert_eq!(said(&more), "RSS grew by 30.0 MiB in 1.0 s: perhaps 30.0 MiB more lazy_free");
    assert_eq!(said(&most), "RSS grew by 70.0 MiB in 1.0 s: about 70.0 MiB more lazy_free");
    let sure = side("a 1", &[(Account::LazyFree, Figure::Exact(20 * MIB))]);
    assert_eq!(
        diff(&sure, &sure, times).expect("one scope").sentence,
        "RSS is the same after 1.0 s, and no account differs by 64 KiB or more"
    );
}

#[test]
fn other_scopes_are_not_compared_and_what_is_not_known_is_said() {
    let lost = process::ledger(&ProcessSample::missing(4, &Missing::absent("gone")));
    let lost = Side::of(Subject::Process(&lost));
    let known = side("a 1", &[exact(Account::Stack, 1)]);
    let found = diff(&known, &lost, Between::Things).expect("one scope");
    assert_eq!(found.sentence, "RSS is not known of both: nothing can be told of the difference");
    let host = Side { scope: Scope::Host, ..known.clone() };
    assert_eq!(diff(&known, &host, Between::Things), None);
}
