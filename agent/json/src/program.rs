//! One program of `memgap ps`.

use memgap_ledger::Program;
use serde::Serialize;

#[derive(Debug, Serialize)]
pub struct ProgramJson {
    name: String,
    cgroup: Option<String>,
    pids: Vec<u32>,
    rss: Option<i64>,
    pss: Option<i64>,
    in_use: Option<i64>,
    in_use_low: Option<i64>,
    in_use_high: Option<i64>,
    in_use_coverage: Option<f64>,
    free: Option<i64>,
    lazy: Option<i64>,
    not_read: Option<i64>,
    unread: Vec<String>,
}

pub fn program(program: &Program) -> ProgramJson {
    let (low, high) = program.in_use.bounds().unzip();
    ProgramJson {
        name: program.name.clone(),
        cgroup: program.cgroup.clone(),
        pids: program.pids.clone(),
        rss: program.rss.point(),
        pss: program.pss.point(),
        in_use: program.in_use.point(),
        in_use_low: low,
        in_use_high: high,
        in_use_coverage: program.coverage,
        free: program.free.point(),
        lazy: program.lazy.point(),
        not_read: program.not_read.point(),
        unread: program.unread.iter().cloned().collect(),
    }
}
