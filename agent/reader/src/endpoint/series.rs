//! The series of an exposition that are of use, by name and telling labels.

use std::collections::BTreeMap;

use memgap_kernel::text;

use crate::endpoint::exposition::Series;

/// Most series kept: a Java machine has a dozen pools.
const KEPT: usize = 256;
/// Characters of a label that are kept.
const LABEL: usize = 64;

/// A metric that is of use, and which labels tell its series apart.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    pub name: &'static str,
    pub labels: &'static [&'static str],
}

impl Row {
    /// A metric of which a process has one series.
    pub const fn single(name: &'static str) -> Self {
        Self { name, labels: &[] }
    }
}

/// The metrics that are of use.
#[derive(Debug)]
pub(super) struct Values {
    rows: Vec<Row>,
    values: BTreeMap<(&'static str, Vec<String>), u64>,
}

impl Values {
    pub fn of(rows: &[&[Row]]) -> Self {
        Self { rows: rows.concat(), values: BTreeMap::new() }
    }

    /// Keeps a series that is of use. One that stands there twice is of several
    /// processes: which one was meant is not known.
    pub fn add(&mut self, series: &Series<'_>) -> Result<(), String> {
        let Some(row) = self.rows.iter().find(|row| row.name.as_bytes() == series.name) else {
            return Ok(());
        };
        let name = row.name;
        let bytes = series.bytes().map_err(|what| format!("{what} ({name})"))?;
        let label = |label: &&str| text::printable(&series.label(label).unwrap_or_default(), LABEL);
        let labels = row.labels.iter().map(label).collect();
        if self.values.len() >= KEPT {
            return Err(format!("more than {KEPT} series of memory"));
        }
        match self.values.insert((name, labels), bytes) {
            None => Ok(()),
            Some(_) => Err(format!("{name} a second time: is it of several processes?")),
        }
    }

    /// The value of a metric whose labels do not matter.
    pub fn one(&self, name: &str) -> Option<u64> {
        self.all(name).next().map(|(_, bytes)| bytes)
    }

    /// Every series of a metric: the values of the row's labels, and the bytes.
    pub fn all(&self, name: &str) -> impl Iterator<Item = (&[String], u64)> {
        let of_name = self.values.iter().filter(move |((n, _), _)| *n == name);
        of_name.map(|((_, labels), bytes)| (labels.as_slice(), *bytes))
    }

    /// The sum of the series that are wanted; `None` where there is none.
    pub fn sum(&self, name: &str, wanted: impl Fn(&[String]) -> bool) -> Option<u64> {
        self.all(name)
            .filter(|(labels, _)| wanted(labels))
            .map(|(_, bytes)| bytes)
            .reduce(u64::saturating_add)
    }
}
