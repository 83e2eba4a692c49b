//! The limit that a cgroup needs, as an object.

use memgap_ledger::advice::setting::Setting;
use memgap_ledger::{Advice, Figure};
use serde::Serialize;

/// What `memgap advise` says.
#[derive(Debug, Serialize)]
pub struct AdviceDocument {
    advice: AdviceJson,
}

#[derive(Debug, Serialize)]
struct AdviceJson {
    /// The cgroup's path.
    cgroup: String,
    readings: usize,
    /// Whether there were enough of them.
    enough: bool,
    seconds: f64,
    limit: i64,
    request: i64,
    required: Option<i64>,
    required_bounds: Option<Bounds>,
    hot_cache: i64,
    reused: i64,
    usage: i64,
    working_set: i64,
    /// By how much it grew throughout; `null` where it did not.
    grew: Option<i64>,
    settings: Vec<SettingJson>,
}

#[derive(Debug, Serialize)]
struct Bounds {
    low: i64,
    high: i64,
}

#[derive(Debug, Serialize)]
struct SettingJson {
    pid: u32,
    process: String,
    set: String,
    why: String,
}

/// The document of an advice.
pub fn document(cgroup: &str, advice: &Advice) -> AdviceDocument {
    let bounds = |figure: Figure| figure.bounds().map(|(low, high)| Bounds { low, high });
    let setting = |setting: &Setting| SettingJson {
        pid: setting.pid,
        process: setting.process.clone(),
        set: setting.set.clone(),
        why: setting.why.clone(),
    };
    AdviceDocument {
        advice: AdviceJson {
            cgroup: cgroup.to_owned(),
            readings: advice.readings,
            enough: advice.is_enough(),
            seconds: advice.over.as_secs_f64(),
            limit: advice.limit,
            request: advice.request,
            required: advice.required.point(),
            required_bounds: bounds(advice.required),
            hot_cache: advice.hot_cache,
            reused: advice.reused,
            usage: advice.usage,
            working_set: advice.working_set,
            grew: advice.grew,
            settings: advice.settings.iter().map(setting).collect(),
        },
    }
}
