//! OpenMetrics, made of the text format: samples are the same in both, headers are not.

use super::{bare, unit};

/// The exposition in OpenMetrics, with its end.
pub fn of(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 16);
    let mut help = None;
    // Samples that stand together are copied together.
    let mut rest = text;
    while let Some(at) = next_header(rest) {
        let (samples, headed) = rest.split_at(at);
        out.push_str(samples);
        let (line, after) = headed.split_once('\n').unwrap_or((headed, ""));
        rest = after;
        let mut words = line.splitn(4, ' ').skip(1);
        match (words.next(), words.next(), words.next()) {
            (Some("HELP"), Some(_), text) => help = text,
            (Some("TYPE"), Some(name), Some(kind)) => {
                header(&mut out, name, kind, help.take().unwrap_or_default());
            }
            _ => {}
        }
    }
    out.push_str(rest);
    out.push_str("# EOF\n");
    out
}

/// Where the next line begins that is no sample.
fn next_header(text: &str) -> Option<usize> {
    if text.starts_with('#') { Some(0) } else { text.find("\n#").map(|at| at + 1) }
}

/// Families of counters and infos go by their names without what their samples end with,
/// and units are declared.
fn header(out: &mut String, name: &str, kind: &str, help: &str) {
    let (name, kind) = match kind {
        "counter" => (bare(name, "_total"), kind),
        "gauge" if name.ends_with("_info") => (bare(name, "_info"), "info"),
        _ => (name, kind),
    };
    for part in ["# HELP ", name, " "] {
        out.push_str(part);
    }
    for (at, part) in help.split('"').enumerate() {
        out.push_str(if at > 0 { "\\\"" } else { "" });
        out.push_str(part);
    }
    for part in ["\n# TYPE ", name, " ", kind, "\n"] {
        out.push_str(part);
    }
    if let Some(unit) = unit(name) {
        for part in ["# UNIT ", name, " ", unit, "\n"] {
            out.push_str(part);
        }
    }
}
