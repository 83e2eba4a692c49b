//! What the items of a list can be asked for by.

use std::collections::BTreeMap;
use std::sync::Arc;

use memgap_ledger::identity::ContainerIdentity;
use memgap_ledger::{CgroupLedger, Identity, ProcessLedger};

use crate::homes::ancestors;

/// The containers among some cgroups, by path.
pub fn containers<'c>(
    cgroups: &[&'c Arc<CgroupLedger>],
) -> BTreeMap<&'c str, &'c ContainerIdentity> {
    let container = |cgroup: &&'c Arc<CgroupLedger>| match &cgroup.identity {
        Identity::Container(identity) => Some((cgroup.path.as_str(), identity)),
        _ => None,
    };
    cgroups.iter().filter_map(container).collect()
}

/// In the order of [`super::index::cgroup`].
pub fn cgroup_labels(cgroup: &CgroupLedger) -> Vec<String> {
    match &cgroup.identity {
        Identity::Container(identity) => {
            let names = identity.names.as_ref();
            let name = |of: fn(&_) -> &String| names.map(of).cloned().unwrap_or_default();
            vec![
                "container".to_owned(),
                name(|names| &names.namespace),
                name(|names| &names.pod),
                name(|names| &names.container),
                identity.id.clone(),
            ]
        }
        Identity::Unit { .. } => vec!["unit".to_owned()],
        Identity::Pod { .. } | Identity::Other => vec!["other".to_owned()],
    }
}

/// In the order of [`super::index::process`].
pub fn process_labels(
    process: &ProcessLedger,
    containers: &BTreeMap<&str, &ContainerIdentity>,
) -> Vec<String> {
    let path = process.cgroup.as_deref().unwrap_or("");
    let home = std::iter::once(path).chain(ancestors(path)).find_map(|path| containers.get(path));
    let mut labels = vec![process.name.clone()];
    if let Some(home) = home {
        let names = home.names.as_ref();
        labels.push(names.map_or_else(String::new, |names| names.container.clone()));
        labels.push(home.id.clone());
    }
    labels
}
