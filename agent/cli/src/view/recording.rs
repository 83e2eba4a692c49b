//! What a recording holds, and what became of one thing in it.

use std::time::SystemTime;

use memgap_json::recording::Contents;
use memgap_json::rfc3339;
use memgap_ledger::Growth;
use memgap_ledger::size::iec;

use super::terminal::{Ink, Style};

/// What a recording holds.
pub fn contents(contents: &Contents, style: &Style) -> String {
    let Contents { file, from, to, samples, processes, cgroups, .. } = contents;
    let mut text = style.paint(Ink::Strong, &style.safe(file)) + "\n";
    let samples = count(*samples);
    text += &format!("{samples} from {} to {}\n", rfc3339(*from), rfc3339(*to));
    text += &format!("{processes} processes and {cgroups} cgroups at the end\n");
    if !contents.grew.is_empty() {
        text += &format!("\n{}\n", style.paint(Ink::Strong, "   GREW BY  WHO"));
    }
    for grew in &contents.grew {
        // A cgroup without another name is named by its path.
        let is_named = !grew.target.ends_with(&grew.name);
        let who =
            if is_named { format!("{} ({})", grew.name, grew.target) } else { grew.target.clone() };
        text += &format!("{:>10}  {}\n", iec(grew.bytes), style.safe(&who));
    }
    if let Some(damage) = &contents.damage {
        text += &format!("\n{}\n", style.wrap(&style.safe(damage), 0, 2));
    }
    text
}

/// What became of one thing, below what it was at one time.
pub fn past(
    (from, to): (SystemTime, SystemTime),
    samples: u64,
    growth: Growth,
    style: &Style,
) -> String {
    let over = format!("over {} from {} to {}", count(samples), rfc3339(from), rfc3339(to));
    let sentence = style.wrap(&growth.sentence(), 2, 2);
    format!("\n{}\n{sentence}\n", style.paint(Ink::Strong, &over))
}

fn count(samples: u64) -> String {
    if samples == 1 { "1 sample".to_owned() } else { format!("{samples} samples") }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use memgap_json::recording::Grew;

    use super::*;

    #[test]
    fn a_recording_is_listed() {
        let from = UNIX_EPOCH + Duration::from_secs(1_795_252_087);
        let grew = |target: &str, name: &str, bytes| {
            let (target, name) = (target.to_owned(), name.to_owned());
            Grew { target, name, bytes }
        };
        let contents = Contents {
            file: "monday.memgap".to_owned(),
            from,
            to: from + Duration::from_hours(1),
            samples: 361,
            processes: 1000,
            cgroups: 80,
            grew: vec![
                grew("cgroup:/shop/api", "/shop/api", 300 << 20),
                grew("cgroup:/kubepods/pod1/4f5e", "shop/web-0/web", 20 << 20),
                grew("4711", "redis\u{1b}[2J", 5 << 20),
            ],
            damage: Some("monday.memgap: its last block was not written whole".to_owned()),
        };
        let style = Style { width: 80, color: false, unicode: true };
        insta::assert_snapshot!(super::contents(&contents, &style));
    }
}
