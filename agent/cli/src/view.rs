//! What people and programs see. Views know ledgers only: they read nothing.

pub mod advice;
pub mod article;
mod cgroup_chart;
pub mod coverage;
pub mod diff;
pub mod mappings;
pub mod page;
pub mod post_mortem;
pub mod recording;
mod second;
pub mod table;
pub mod terminal;
pub mod top;
pub mod watch;
mod waterfall;

#[cfg(test)]
pub mod samples;
#[cfg(test)]
mod tests;
