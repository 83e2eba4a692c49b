//! What people and programs see. Views know ledgers only: they read nothing.

mod cgroup_chart;
pub mod coverage;
pub mod headline;
pub mod json;
pub mod mappings;
pub mod page;
pub mod reason;
mod second;
pub mod table;
pub mod terminal;
pub mod time;
mod waterfall;

#[cfg(test)]
pub mod samples;
#[cfg(test)]
mod tests;

/// What can be read, and what is only named: names, and what stands behind them.
#[derive(Debug)]
pub struct Known<'k> {
    /// What probes read.
    pub read: Vec<(&'k str, &'k str)>,
    /// What is named where it is, and not read, or not in each form.
    pub named: Vec<(&'k str, &'k str)>,
}
