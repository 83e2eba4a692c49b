//! The mappings that hold most of the accounts whose name says little.

use memgap_ledger::ProcessLedger;
use memgap_ledger::figure::signed;
use memgap_ledger::finding::Subject;
use memgap_ledger::largest::{ACCOUNTS, Holding};
use memgap_ledger::size::iec;

use super::terminal::{Ink, Style};

/// Lines of one account, unless all are asked for.
const SHOWN: usize = 5;
/// What an account holds at the least where its mappings are shown unasked.
const MATTERS: i64 = 4 << 20;

/// The largest of each account that matters; `all` of every account.
pub fn section(subject: Subject<'_>, all: bool, style: &Style) -> String {
    let Subject::Process(process) = subject else { return String::new() };
    let mut text = String::new();
    for account in ACCOUNTS {
        let held: Vec<&Holding> = process.largest.iter().filter(|h| h.account == account).collect();
        let (shown, matters) =
            if all { (usize::MAX, true) } else { (SHOWN, matters(process, account)) };
        if held.is_empty() || !matters {
            continue;
        }
        let title = format!("  mappings that hold most of {}", account.name());
        text += &format!("{}\n", style.paint(Ink::Faint, &title));
        for holding in held.iter().take(shown) {
            text += &format!("{}\n", line(holding, style));
        }
    }
    text
}

fn matters(process: &ProcessLedger, account: memgap_ledger::Account) -> bool {
    let bytes = process.ledger.booked(account);
    bytes >= MATTERS && bytes >= process.headline.rss.point().unwrap_or(0) / 20
}

/// What does not fit is cut where a name begins: its end tells most.
fn line(holding: &Holding, style: &Style) -> String {
    let (sort, name) = match (&*holding.name, holding.special) {
        ("", _) => (String::new(), "anonymous"),
        (name, Some(special)) => (format!("{}: ", special.words), name),
        (name, None) => (String::new(), name),
    };
    let huge = holding.huge.filter(|huge| *huge > 0);
    let huge = huge.map_or(String::new(), |huge| format!(", {} in huge pages", iec(signed(huge))));
    let figures = format!(
        "  {:>10} of {:>8}  {}  {sort}",
        iec(signed(holding.bytes)),
        iec(signed(holding.size)),
        String::from_utf8_lossy(&holding.access),
    );
    let room = style.width.saturating_sub(figures.len() + huge.len());
    format!("{figures}{}{huge}", style.fit_end(name, room))
}
