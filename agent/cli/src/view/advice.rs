//! `memgap advise`: the limit, what it is made of, and what other rules would give.

use memgap_ledger::Advice;
use memgap_ledger::advice::setting::Setting;
use memgap_ledger::size::iec;

use super::terminal::{Ink, Style, pad};

/// What the vertical pod autoscaler adds to the working set's peak, in percent.
const AUTOSCALER: i64 = 15;

/// The whole page about the cgroup of that path.
pub fn page(path: &str, advice: &Advice, style: &Style) -> String {
    let (limit, request) = (iec(advice.limit), iec(advice.request));
    let title = format!("{path}: limit {limit}, request {request}");
    let mut text = style.paint(Ink::Strong, &style.wrap(&title, 0, 2)) + "\n";
    let seconds = advice.over.as_secs_f64();
    let watched = format!("{} readings in {seconds:.0} s", advice.readings);
    text += &style.paint(Ink::Faint, &watched);
    text.push('\n');
    for warning in warnings(advice) {
        text += &style.paint(Ink::Alert, &style.wrap(&warning, 0, 2));
        text.push('\n');
    }
    text.push('\n');
    text += &parts(advice, style);
    text.push('\n');
    text += &others(advice, style);
    if !advice.settings.is_empty() {
        text += "\nsettings that belong to it\n";
        text.extend(advice.settings.iter().map(|one| setting(one, style)));
    }
    text
}

fn warnings(advice: &Advice) -> Vec<String> {
    let few = (!advice.is_enough())
        .then(|| "too few readings to know a peak: watch it for longer, while it works".to_owned());
    let grew = advice.grew.map(|bytes| {
        format!(
            "it grew by {} throughout: the limit that it needs in the end is at least this",
            iec(bytes)
        )
    });
    few.into_iter().chain(grew).collect()
}

fn parts(advice: &Advice, style: &Style) -> String {
    let (low, high) = advice.required.bounds().unwrap_or_default();
    let required = if high.saturating_sub(low) > high / 100 {
        format!(
            "required at its peak, this at the most and {} at the least: with less it is killed",
            iec(low)
        )
    } else {
        "required at its peak: with less it is killed".to_owned()
    };
    let held = high.saturating_add(advice.reused).saturating_add(advice.hot_cache);
    // Most programs free nothing lazily.
    let reused = (advice.reused > 0).then(|| {
        let means =
            "lazily freed memory that it writes again and again: with less it is killed at its peaks";
        (advice.reused, means.to_owned())
    });
    let rows = [
        (
            advice.hot_cache,
            "page cache that it read more than once: with less it waits for disks".to_owned(),
        ),
        (advice.limit.saturating_sub(held), "for what no reading saw".to_owned()),
        (advice.limit, "limit".to_owned()),
    ];
    let rows = [(high, required)].into_iter().chain(reused).chain(rows);
    rows.map(|(bytes, means)| row(&iec(bytes), &means, style)).collect()
}

/// What other rules give, and what that would do.
fn others(advice: &Advice, style: &Style) -> String {
    let autoscaler = advice.working_set.saturating_add(advice.working_set / 100 * AUTOSCALER);
    let rules = [
        ("working set's peak", advice.working_set),
        ("the same and 15 %, as the VPA", autoscaler),
        ("usage's peak", advice.usage),
    ];
    let mut text = "other rules\n".to_owned();
    for (name, bytes) in rules {
        let verdict = verdict(bytes, advice);
        let means = if verdict.is_empty() { name.to_owned() } else { format!("{name}: {verdict}") };
        text += &row(&iec(bytes), &means, style);
    }
    text
}

fn verdict(bytes: i64, advice: &Advice) -> String {
    let (low, high) = advice.required.bounds().unwrap_or_default();
    let at_peaks = high.saturating_add(advice.reused);
    let held = at_peaks.saturating_add(advice.hot_cache);
    if bytes < low {
        "it would be killed".to_owned()
    } else if bytes < at_peaks {
        "it could be killed".to_owned()
    } else if bytes < held {
        "it would wait for disks".to_owned()
    } else if bytes > advice.limit {
        format!("{} more than it needs", iec(bytes.saturating_sub(advice.limit)))
    } else {
        String::new()
    }
}

fn setting(setting: &Setting, style: &Style) -> String {
    let whose = format!("{} ({})", setting.process, setting.pid);
    let line = format!("{} for {whose}: {}", setting.set, setting.why);
    style.wrap(&format!("  {line}"), 0, 4) + "\n"
}

fn row(size: &str, means: &str, style: &Style) -> String {
    let head = format!("  {size:>10}  ");
    let lines = style.wrap(means, head.len(), head.len());
    pad(&head, head.len()) + lines.trim_start() + "\n"
}
