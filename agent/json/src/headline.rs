//! Headline figures as an object.

use memgap_ledger::finding::Subject;
use memgap_ledger::{Figure, headlines};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

/// Figures by name, and the bounds of those that are intervals.
#[derive(Debug)]
pub struct Headline {
    figures: Vec<(&'static str, Figure)>,
    /// Shares, 0 to 1: of how much anonymous memory it is known what it is.
    ratios: Vec<(&'static str, Option<f64>)>,
}

#[derive(Debug, Serialize)]
struct Bounds {
    low: i64,
    high: i64,
}

/// Pairs as an object, in their order.
struct Map<'a, V>(&'a [(&'static str, V)]);

pub fn headline_of(subject: Subject<'_>) -> Headline {
    let figures = headlines::figures(subject).into_iter().map(|h| (h.name, h.figure));
    let ratios = match subject {
        Subject::Process(p) => vec![("in_use_coverage", p.coverage())],
        Subject::Cgroup(c) => vec![("in_use_coverage", c.headline.in_use_coverage)],
        Subject::Host(_) => Vec::new(),
    };
    Headline { figures: figures.chain(headlines::details(subject)).collect(), ratios }
}

impl Serialize for Headline {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        let mut bounds = Vec::new();
        for (name, figure) in &self.figures {
            map.serialize_entry(name, &figure.point())?;
            if let Figure::Interval { low, high, .. } = *figure {
                bounds.push((*name, Bounds { low, high }));
            }
        }
        for (name, ratio) in &self.ratios {
            map.serialize_entry(name, ratio)?;
        }
        map.serialize_entry("bounds", &Map(&bounds))?;
        map.end()
    }
}

impl<V: Serialize> Serialize for Map<'_, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}
