//! What Kubernetes calls the containers of this node, taken from the names of the
//! log links that the kubelet makes: `<pod>_<namespace>_<container>-<id>.log`.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
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
}

impl ContainerLogs {
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), changed: None, is_there: false, by_id: HashMap::new() }
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
        self.by_id = list(&self.path);
        let settled = changed.filter(|at| now.duration_since(*at).is_ok_and(|age| age > SETTLED));
        self.changed = settled;
    }

    /// Whether there was such a directory, as of the last look.
    pub fn is_there(&self) -> bool {
        self.is_there
    }

    pub fn of(&self, id: &str) -> Option<&ContainerNames> {
        self.by_id.get(id)
    }
}

fn list(path: &Path) -> HashMap<String, ContainerNames> {
    let Ok(entries) = std::fs::read_dir(path) else { return HashMap::new() };
    entries.take(MAX_LINKS).filter_map(|entry| parse(entry.ok()?.file_name().to_str()?)).collect()
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
