//! What Kubernetes calls the containers of this node, taken from the names of the
//! log links that the kubelet makes: `<pod>_<namespace>_<container>-<id>.log`. They lead to
//! `/var/log/pods/<namespace>_<pod>_<uid>/<container>/<restarts>.log`, which is not opened: its
//! path names the pod, also while none of its containers runs.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use memgap_ledger::sample::ContainerNames;

/// Links looked at: many times what a node may run.
const MAX_LINKS: usize = 16_384;

/// Characters of a container id.
const ID_LEN: usize = 64;

/// A directory may change twice within the clock's tick, and carry the same time.
const SETTLED: Duration = Duration::from_secs(1);

/// The directory of log links, listed anew when it changes.
#[derive(Debug)]
pub struct ContainerLogs {
    path: PathBuf,
    /// When the directory last changed, as of the listing.
    changed: Option<SystemTime>,
    is_there: bool,
    by_id: HashMap<String, ContainerNames>,
    /// By unique id.
    pods: Arc<PodNames>,
}

/// Namespace and name of pods, by their unique ids.
pub type PodNames = HashMap<String, [String; 2]>;

impl ContainerLogs {
    pub fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            changed: None,
            is_there: false,
            by_id: HashMap::new(),
            pods: Arc::default(),
        }
    }

    /// Brings the names up to date. Outside of Kubernetes there is no such
    /// directory and there are no names; the links themselves are not followed.
    pub fn refresh(&mut self) {
        let now = SystemTime::now();
        let changed = std::fs::metadata(&self.path).and_then(|m| m.modified()).ok();
        self.is_there = changed.is_some();
        let known = self.is_there && changed == self.changed;
        if known {
            return;
        }
        let (by_id, pods) = list(&self.path);
        (self.by_id, self.pods) = (by_id, Arc::new(pods));
        let settled = changed.filter(|at| now.duration_since(*at).is_ok_and(|age| age > SETTLED));
        self.changed = settled;
    }

    /// Whether there was such a directory, as of the last look.
    pub fn is_there(&self) -> bool {
        self.is_there
    }

    /// Pods that have, or had, a container whose log is kept.
    pub fn pods(&self) -> Arc<PodNames> {
        Arc::clone(&self.pods)
    }

    pub fn of(&self, id: &str) -> Option<&ContainerNames> {
        self.by_id.get(id)
    }
}

fn list(path: &Path) -> (HashMap<String, ContainerNames>, PodNames) {
    let (mut by_id, mut pods) = (HashMap::new(), PodNames::new());
    let Ok(entries) = std::fs::read_dir(path) else { return (by_id, pods) };
    for entry in entries.take(MAX_LINKS).flatten() {
        let Some((id, names)) = entry.file_name().to_str().and_then(parse) else { continue };
        if let Ok(target) = std::fs::read_link(entry.path())
            && let Some(uid) = pod_uid(&target, &names)
        {
            pods.insert(uid, [names.namespace.clone(), names.pod.clone()]);
        }
        by_id.insert(id, names);
    }
    (by_id, pods)
}

/// The unique id of a pod in the path of a log of one of its containers.
fn pod_uid(log: &Path, names: &ContainerNames) -> Option<String> {
    let mut parts = log.iter().rev().skip(1);
    let (container, pod) = (parts.next()?.to_str()?, parts.next()?.to_str()?);
    let uid = pod.strip_prefix(&format!("{}_{}_", names.namespace, names.pod))?;
    let is_uid = uid.len() >= 32 && uid.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
    (is_uid && container == names.container).then(|| uid.to_owned())
}

/// The container id and the names in a link's name. Kubernetes' names hold no
/// underscore, so the parts are distinguished.
fn parse(link: &str) -> Option<(String, ContainerNames)> {
    let (names, id) = link.strip_suffix(".log")?.rsplit_once('-')?;
    let is_id = id.len() == ID_LEN && id.bytes().all(|b| b.is_ascii_hexdigit());
    let mut parts = names.split('_');
    let (pod, namespace, container) = (parts.next()?, parts.next()?, parts.next()?);
    let whole = [pod, namespace, container].iter().all(|part| is_name(part));
    (is_id && whole && parts.next().is_none()).then(|| {
        let names = ContainerNames {
            namespace: namespace.to_owned(),
            pod: pod.to_owned(),
            container: container.to_owned(),
        };
        (id.to_owned(), names)
    })
}

/// RFC 1123, as Kubernetes demands: the names become labels.
fn is_name(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.".contains(&b);
    !name.is_empty() && name.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn a_links_name_tells_the_container() {
        let (id, names) = parse(&format!("web-0_shop_nginx-proxy-{ID}.log")).expect("in form");
        assert_eq!(id, ID);
        assert_eq!((names.pod.as_str(), names.namespace.as_str()), ("web-0", "shop"));
        assert_eq!(names.container, "nginx-proxy");
        for bad in [
            String::new(),
            format!("web-0_shop_nginx-{ID}"),
            format!("web-0_shop_nginx-{}.log", &ID[1..]),
            format!("web-0_shop_nginx{ID}.log"),
            format!("web-0_shop-{ID}.log"),
            format!("web-0_shop_nginx_x-{ID}.log"),
            format!("web-0_shop_-{ID}.log"),
            format!("web-0_sh\"op_nginx-{ID}.log"),
        ] {
            assert_eq!(parse(&bad), None, "{bad}");
        }
    }

    #[test]
    fn a_links_target_tells_the_pod() {
        const UID: &str = "8f4e0b3a-1f0c-4d5e-9a67-0c1d2e3f4a5b";
        let (_, names) = parse(&format!("web-0_shop_nginx-{ID}.log")).expect("in form");
        let uid = |target: &str| pod_uid(Path::new(target), &names);
        let whole = format!("/var/log/pods/shop_web-0_{UID}/nginx/3.log");
        assert_eq!(uid(&whole).as_deref(), Some(UID));
        for bad in [
            "",
            "0.log",
            "/var/lib/docker/containers/x/x-json.log",
            &format!("/var/log/pods/shop_web-1_{UID}/nginx/3.log"),
            &format!("/var/log/pods/shop_web-0_{UID}/other/3.log"),
            &format!("/var/log/pods/shop_web-0_{UID}x/nginx/3.log"),
            "/var/log/pods/shop_web-0_8f4e/nginx/3.log",
        ] {
            assert_eq!(uid(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_link_made_later_is_seen_and_one_removed_forgotten() {
        let dir = std::env::temp_dir().join(format!("memgap-names-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("writable");
        let link = dir.join(format!("web-0_shop_nginx-{ID}.log"));
        let mut logs = ContainerLogs::new(&dir);
        logs.refresh();
        let before = logs.of(ID).is_some();
        assert!(logs.is_there());
        std::fs::write(&link, "").expect("writable");
        logs.refresh();
        let made = logs.of(ID).is_some();
        std::fs::remove_dir_all(&dir).expect("removable");
        logs.refresh();
        assert!(!logs.is_there());
        assert_eq!((before, made, logs.of(ID).is_some()), (false, true, false));
    }
}
