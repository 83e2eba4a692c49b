//! The waterfall of a cgroup, and the working set and the required memory as cuts
//! through its one axis.

use memgap_ledger::{Account, CgroupLedger, Figure};

use super::terminal::{Ink, Style};
use super::waterfall::{self, Chart, Fill, Row, Span, Step};

/// The accounts in which memory that was lazily freed and written again can lie,
/// the likeliest first: only live memory is hidden.
const HIDES: [Account; 4] =
    [Account::HeapInUse, Account::HeapUnprobed, Account::Unexplained, Account::Unreadable];

/// One waterfall from in use to usage, then the cuts through it.
pub fn chart(cgroup: &CgroupLedger, style: &Style) -> String {
    let Some(usage) = cgroup.headline.usage.point() else { return String::new() };
    let steps = waterfall::steps(cgroup.ledger.entries());
    let chart = Chart::new(*style, usage, &steps);
    let hidden = hidden(cgroup, &steps);
    let mut rows: Vec<Row> = steps
        .iter()
        .filter(|step| step.is_booked())
        .map(|step| {
            let mut row = step.row();
            row.spans.extend(hidden.filter(|h| h.0 == step.account).map(|h| h.1));
            row
        })
        .collect();
    let first_cut = rows.len();
    rows.push(waterfall::total("usage", usage));
    let taken = reclaimable(cgroup, &steps);
    rows.extend(cut("required", cgroup.headline.required, &steps, taken));
    let taken = inactive(cgroup, &steps, hidden.map(|h| h.1));
    rows.extend(cut("working set", cgroup.headline.working_set, &steps, taken));

    let lines = |rows: &[Row]| rows.iter().map(|row| chart.line(row)).collect::<String>();
    lines(&rows[..first_cut]) + &chart.rule() + &lines(&rows[first_cut..]) + &chart.legend(&rows)
}

/// The end of the bar of the account that the hidden memory most likely is in.
fn hidden(cgroup: &CgroupLedger, steps: &[Step]) -> Option<(Account, Span)> {
    let bytes = cgroup.headline.working_set_hidden.point().filter(|bytes| *bytes > 0)?;
    let size = |step: &Step| step.to.saturating_sub(step.from);
    let mut hosts: Vec<&Step> =
        HIDES.iter().filter_map(|a| steps.iter().find(|s| s.account == *a)).collect();
    // The first that has room for it, else the largest.
    hosts.sort_by_key(|step| if size(step) >= bytes { i64::MIN } else { -size(step) });
    let host = hosts.into_iter().find(|step| size(step) > 0)?;
    let from = host.to.saturating_sub(bytes).max(host.from);
    Some((host.account, Span { from, to: host.to, fill: Fill::Hidden }))
}

/// What law C3 takes away: cache that is not locked, kernel caches, lazy memory.
fn reclaimable(cgroup: &CgroupLedger, steps: &[Step]) -> Vec<Span> {
    let headline = &cgroup.headline;
    let away = headline.usage.point().zip(headline.required.point()).map_or(0, |(u, r)| u - r);
    take(steps, &[Account::LazyFree, Account::SlabReclaimable, Account::PageCache], away)
}

/// What law C2 takes away: `inactive_file`, which holds the lazy and the hidden
/// memory first, then page cache.
fn inactive(cgroup: &CgroupLedger, steps: &[Step], hidden: Option<Span>) -> Vec<Span> {
    let mut away = cgroup.inactive_file.point().unwrap_or(0);
    let mut spans = Vec::new();
    if let Some(span) = hidden {
        let part = (span.to - span.from).min(away);
        spans.push(Span { from: span.to - part, to: span.to, fill: Fill::Out });
        away -= part;
    }
    spans.extend(take(steps, &[Account::LazyFree, Account::PageCache], away));
    spans
}

/// Takes an amount from the ends of accounts, in the order given.
fn take(steps: &[Step], accounts: &[Account], mut away: i64) -> Vec<Span> {
    let mut spans = Vec::new();
    for step in accounts.iter().filter_map(|a| steps.iter().find(|s| s.account == *a)) {
        let part = step.to.saturating_sub(step.from).clamp(0, away.max(0));
        if part > 0 {
            spans.push(Span { from: step.to - part, to: step.to, fill: Fill::Out });
            away -= part;
        }
    }
    spans
}

/// A row that shows the whole axis, less what the cut takes away.
fn cut(name: &'static str, figure: Figure, steps: &[Step], taken: Vec<Span>) -> Option<Row> {
    figure.point()?;
    let end = steps.last().map_or(0, |step| step.to);
    let mut spans = vec![Span { from: 0, to: end, fill: Fill::Solid }];
    spans.extend(taken);
    Some(Row { name, ink: Ink::Strong, figure, spans, bounds: false })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(account: Account, from: i64, to: i64) -> Step {
        Step { account, figure: Figure::Exact(to - from), from, to }
    }

    #[test]
    fn a_cut_never_takes_more_than_the_accounts_hold() {
        let steps = [step(Account::LazyFree, 10, 20), step(Account::PageCache, 20, 50)];
        let order = [Account::LazyFree, Account::PageCache];
        let sizes = |away| take(&steps, &order, away).iter().map(|s| s.to - s.from).sum::<i64>();
        assert_eq!((sizes(-5), sizes(0), sizes(15), sizes(1000)), (0, 0, 15, 40));
    }
}
