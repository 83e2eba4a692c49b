//! What explains the difference, in one sentence whose parts sum to it.

use std::time::Duration;

use super::{Between, Change, Diff, is_part, whole};
use crate::account::{Account, Scope};
use crate::figure::Figure;
use crate::headlines::label;
use crate::size::iec;

/// Accounts that are named: more than these explain nothing to anybody.
const NAMED: usize = 4;

/// Below this a difference is noise.
const MATTERS: i64 = 64 << 10;

/// What an account changed by, or several of which only one side tells them apart.
struct Part {
    what: String,
    by: Figure,
    is_several: bool,
}

impl Part {
    fn point(&self) -> i64 {
        self.by.point().unwrap_or(0)
    }
}

/// The sentence; `runtime` is the only one whose heap statistics were read, of both.
pub(super) fn sentence(diff: &Diff, runtime: Option<&str>) -> String {
    let name = whole(diff.scope);
    let total = diff.headline.iter().find(|(one, _)| one == name).map(|(_, change)| change.by);
    let Some(total) = total.and_then(Figure::point) else {
        return format!(
            "{} is not known of both: nothing can be told of the difference",
            label(name)
        );
    };
    let mut parts = parts(diff, runtime);
    let apart = parts.iter().find(|part| part.is_several).map(|part| part.what.clone());
    parts.retain(|part| part.point().saturating_abs() >= MATTERS.max(total.saturating_abs() / 100));
    parts.sort_by_key(|part| std::cmp::Reverse(part.point().saturating_abs()));
    parts.truncate(NAMED);
    let told = parts.iter().fold(0i64, |sum, part| sum.saturating_add(part.point()));
    let rest = total.saturating_sub(told);
    let mut words: Vec<String> =
        parts.iter().map(|part| format!("{} {}", amount(part.by), part.what)).collect();
    if rest.saturating_abs() >= MATTERS {
        words.push(format!("{} on all other accounts", amount(Figure::Exact(rest))));
    }
    let head = head(diff, label(name), total);
    if let (true, Some(what)) = (words.is_empty(), apart) {
        return format!("{head}: about as much {what}");
    }
    if words.is_empty() {
        return format!("{head}, and no account differs by {} or more", iec(MATTERS));
    }
    format!("{head}: {}", words.join(", "))
}

fn head(diff: &Diff, name: &str, total: i64) -> String {
    let (from, to) = &diff.names;
    let size = iec(total.saturating_abs());
    match (diff.between, total) {
        (Between::Times(after), 0) => format!("{name} is the same after {}", seconds(after)),
        (Between::Times(after), 1..) => format!("{name} grew by {size} in {}", seconds(after)),
        (Between::Times(after), _) => format!("{name} shrank by {size} in {}", seconds(after)),
        (Between::Things, 0) => format!("{from} and {to} have the same {name}"),
        (Between::Things, 1..) => format!("{name} of {to} is {size} more than that of {from}"),
        (Between::Things, _) => format!("{name} of {to} is {size} less than that of {from}"),
    }
}

fn seconds(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if seconds < 10.0 { format!("{seconds:.1} s") } else { format!("{seconds:.0} s") }
}

/// `1 MiB more`; where it is an interval, `about`, and `perhaps` where it may be none.
fn amount(by: Figure) -> String {
    let point = by.point().unwrap_or(0);
    let sure = match by.bounds() {
        _ if matches!(by, Figure::Exact(_)) => "",
        Some((low, high)) if low > 0 || high < 0 => "about ",
        _ => "perhaps ",
    };
    let way = if point < 0 { "less" } else { "more" };
    format!("{sure}{} {way}", iec(point.saturating_abs()))
}

fn parts(diff: &Diff, runtime: Option<&str>) -> Vec<Part> {
    let changes = diff.accounts.iter().filter(|(account, _)| is_part(diff.scope, *account));
    let is_unlike = changes.clone().any(|(_, change)| change.is_of_one());
    let (mut parts, mut unlike) = (Vec::new(), Vec::new());
    for (account, change) in changes {
        if change.is_of_one() || (is_unlike && holds_unread(*account)) {
            unlike.push((*account, change));
        } else {
            let what = words(diff.scope, *account, runtime);
            parts.push(Part { what, by: change.by, is_several: false });
        }
    }
    parts.extend(lump(&unlike));
    parts
}

/// Where what one side does not tell apart stands.
fn holds_unread(account: Account) -> bool {
    matches!(account, Account::HeapUnprobed | Account::Unexplained | Account::Unreadable)
}

/// What is told apart on one side only is compared as a whole.
fn lump(unlike: &[(Account, &Change)]) -> Option<Part> {
    let names: Vec<&str> = unlike
        .iter()
        .filter(|(_, change)| change.from != change.to)
        .map(|(account, _)| account.name())
        .collect();
    let by = unlike.iter().fold(0i64, |sum, (_, change)| sum.saturating_add(change.of_points()));
    let what = format!("in {} together, which are told apart of one only", names.join(", "));
    (!names.is_empty()).then_some(Part { what, by: Figure::Exact(by), is_several: true })
}

fn words(scope: Scope, account: Account, runtime: Option<&str>) -> String {
    match runtime {
        Some(runtime) if scope != Scope::Host && account.is_from_statistics() => {
            format!("{} ({runtime})", account.name())
        }
        _ => account.name().to_owned(),
    }
}
