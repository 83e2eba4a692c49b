//! Captured hosts through the reader and the ledger, against stored ledgers: a
//! change in any figure shows here, on every machine alike.

use std::path::Path;

use memgap_ledger::figure::Figure;
use memgap_ledger::sample::{ContainerNames, MachineSample};
use memgap_ledger::{Account, CgroupLedger, Ledger, Machine};
use memgap_reader::{Depth, Reader, Roots};

/// cgroup v1 for memory and v2 beside it: Linux 6.1.
#[test]
fn a_hybrid_host() {
    let (sample, machine) = read("hybrid");
    insta::assert_snapshot!(shown(&sample, &machine));
}

/// cgroup v2 with pods: Linux 6.12.
#[test]
fn a_kubernetes_node() {
    let (sample, machine) = read("kubernetes");
    insta::assert_snapshot!(shown(&sample, &machine));
}

/// The ledgers of a captured host, once their sums were seen to close.
fn read(host: &str) -> (MachineSample, Machine) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(host);
    let reader = Reader::open(Roots {
        procfs: root.join("proc"),
        cgroupfs: Some(root.join("sys/fs/cgroup")),
        container_logs: root.join("var/log/containers"),
    })
    .expect("the fixture has a procfs");
    let sample = reader.machine(Depth::Walk).expect("the fixture is whole");
    let machine = Machine::of(&sample);
    assert_eq!(Some(machine.host.ledger.total()), machine.host.headline.total.point());
    for process in &machine.processes {
        assert_eq!(Some(process.ledger.total()), process.headline.vsz.point(), "{}", process.name);
    }
    let cgroups = machine.cgroups.as_ref().expect("the fixture has cgroups");
    for (cgroup, sample) in cgroups.iter().zip(sample.cgroups.as_ref().expect("as above")) {
        let Some(usage) = cgroup.headline.usage.point() else { continue };
        assert_eq!(cgroup.ledger.total(), usage, "{}", cgroup.path);
        let residual = cgroup.ledger.booked(Account::ChargeResidual);
        let prefix = format!("{}/", cgroup.path.trim_end_matches('/'));
        let below = cgroups.iter().filter(|c| c.path.starts_with(&prefix)).count();
        let bound = CgroupLedger::residual_bound(sample.cpus, below);
        assert!(residual.unsigned_abs() <= bound, "{}: {residual}", cgroup.path);
    }
    (sample, machine)
}

/// Every ledger of the machine as text: the accounts that hold something.
fn shown(sample: &MachineSample, machine: &Machine) -> String {
    let mut text = String::new();
    heading(&mut text, "host", &[("MemTotal", machine.host.headline.total)]);
    accounts(&mut text, &machine.host.ledger);
    let cgroups = machine.cgroups.as_ref().expect("seen before");
    for (cgroup, sample) in cgroups.iter().zip(sample.cgroups.as_ref().expect("seen before")) {
        let h = &cgroup.headline;
        let name = format!("cgroup {} ({:?})", cgroup.path, cgroup.version);
        let figures = [
            ("usage", h.usage),
            ("working_set", h.working_set),
            ("working_set_hidden", h.working_set_hidden),
            ("required", h.required),
        ];
        heading(&mut text, &name, &figures);
        let swap = sample.swap_limit.as_ref().ok();
        line(&mut text, "limit", &format!("{:?}, of swap {swap:?}", h.limit));
        if let Some(ContainerNames { namespace, pod, container }) = &sample.names {
            line(&mut text, "names", &format!("{namespace}/{pod}/{container}"));
        }
        accounts(&mut text, &cgroup.ledger);
    }
    for process in &machine.processes {
        let h = &process.headline;
        let cgroup = process.cgroup.as_deref().unwrap_or("none");
        let name = format!("process {} in {cgroup}", process.name);
        heading(&mut text, &name, &[("vsz", h.vsz), ("rss", h.rss), ("pss", h.pss)]);
        accounts(&mut text, &process.ledger);
    }
    text
}

fn heading(text: &mut String, name: &str, figures: &[(&str, Figure)]) {
    text.push_str(&format!("\n{name}\n"));
    for (name, figure) in figures {
        line(text, name, &amount(*figure));
    }
    text.push_str("  --\n");
}

fn accounts(text: &mut String, ledger: &Ledger) {
    for entry in ledger.entries() {
        if entry.figure != Figure::Exact(0) {
            line(text, entry.account.name(), &amount(entry.figure));
        }
    }
}

fn line(text: &mut String, name: &str, value: &str) {
    text.push_str(&format!("  {name:<20} {value}\n"));
}

fn amount(figure: Figure) -> String {
    match figure {
        Figure::Exact(bytes) => bytes.to_string(),
        Figure::Interval { low, point, high } => format!("{point} in {low}..={high}"),
        Figure::Absent => "absent".to_owned(),
    }
}
