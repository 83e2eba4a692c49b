//! The captured Kubernetes node, collected as the daemon collects and exported.

mod common;

use std::path::Path;

use common::{Family, assert_closed, exposition, parse, samples};
use memgap_exporter::encode::Format;
use memgap_exporter::limit::Limits;
use memgap_reader::{CollectionStats, Collector, Depth, Reader, Roots, Target, WalkPolicy, pick};

const MIB: f64 = (1 << 20) as f64;

/// What the kernel's lists may be off by: batches of pages that it moves at a time.
const OFF: f64 = 0.5 * MIB;

fn node() -> Reader {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/kubernetes");
    Reader::open(Roots {
        procfs: root.join("proc"),
        cgroupfs: Some(root.join("sys/fs/cgroup")),
        container_logs: root.join("var/log/containers"),
    })
    .expect("the fixture has a procfs")
}

/// What its first collection under a policy exports.
fn collected(policy: WalkPolicy) -> (Vec<Family>, CollectionStats) {
    let (sample, stats) = Collector::new(node(), policy).collect().expect("the fixture is whole");
    let limits = Limits { process_groups: 20, max_series: 20_000 };
    let found = parse(&exposition(&sample, limits, Format::Text), Format::Text);
    assert_closed(&found);
    (found, stats)
}

/// The one sample of the container `api` in a family, by one more label.
fn api(families: &[Family], name: &str, label: &str, value: &str) -> Option<f64> {
    let all = samples(families, &format!("memgap_{name}"));
    let mut of_api = all.iter().filter(|s| s.label("container") == "api");
    of_api.find(|s| s.label(label) == value && s.label("group").is_empty()).map(|s| s.value)
}

fn account(families: &[Family], name: &str) -> f64 {
    api(families, "container_ledger_bytes", "account", name).expect("the account is exported")
}

/// `api` holds 64 MiB that were lazily freed, and 96 MiB that were written again.
#[test]
fn walks_tell_hidden_memory_from_lazily_freed() {
    let (found, stats) = collected(WalkPolicy::default());
    assert_eq!((stats.refused, stats.skipped, stats.dropped), (0, 0, 0));
    let hidden = api(&found, "container_working_set_hidden_bytes", "", "").expect("it is known");
    assert!((hidden - 96.0 * MIB).abs() <= OFF, "{hidden}");
    let lazy = account(&found, "lazy_free");
    assert!((lazy - 64.0 * MIB).abs() <= OFF, "{lazy}");
    assert!(account(&found, "moved_charges").abs() <= OFF);
    let finding = api(&found, "finding_bytes", "finding", "hidden-working-set");
    assert_eq!(finding, Some(hidden));
}

#[test]
fn before_any_walk_lazily_freed_memory_counts_once() {
    let (found, stats) = collected(WalkPolicy { budget_share: 0.0, ..WalkPolicy::default() });
    assert!(stats.walks.is_empty() && stats.skipped > 0);
    // Nothing tells the two apart yet: all that the lists hold may be lazily freed.
    let lazy = account(&found, "lazy_free");
    assert!((lazy - 160.0 * MIB).abs() <= OFF, "{lazy}");
    assert!(account(&found, "moved_charges").abs() <= OFF);
    assert_eq!(api(&found, "container_working_set_hidden_bytes", "", ""), Some(0.0));
    assert_eq!(api(&found, "finding_bytes", "finding", "hidden-working-set"), None);
}

#[test]
fn an_endpoint_is_of_the_largest_process_that_its_target_names() {
    let sample = node().machine(Depth::Counters).expect("the fixture is whole");
    let pick = |word: &str| pick(&word.parse::<Target>().expect("a target"), &sample);
    for (word, pid) in [
        ("191", Some(191)),
        ("api", Some(191)),
        // Two processes have that name.
        ("pause", Some(210)),
        ("container/741f", Some(201)),
        ("pod/shop/orders-0", Some(219)),
        ("pod/checkout-6d5f7c9b48-x2x7q", Some(191)),
        ("unit/kubelet.service", Some(227)),
        ("cgroup:/batch", Some(243)),
        // Two containers have such an id.
        ("container/7", None),
        ("pod/shop/no-such-pod", None),
        ("no-such-name", None),
        ("self", None),
        ("host", None),
    ] {
        assert_eq!(pick(word), pid, "{word}");
    }
}
