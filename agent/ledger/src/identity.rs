//! What a cgroup is, by its path.

use crate::sample::ContainerNames;

/// What a cgroup stands for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Identity {
    /// A container of Kubernetes, Docker, Podman or containerd.
    Container(ContainerIdentity),
    /// A Kubernetes pod: the parent of its containers.
    Pod {
        /// Unique id of the pod, with dashes.
        uid: String,
    },
    /// A systemd unit, `nginx.service`.
    Unit {
        /// Name with suffix.
        name: String,
    },
    /// Anything else: a slice, a session, the root.
    Other,
}

/// How a container is known.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ContainerIdentity {
    /// Full id, 64 hex digits where a runtime made it.
    pub id: String,
    /// `docker`, `containerd`, `crio`, `podman`; empty where the path has none.
    pub runtime: &'static str,
    /// Unique id of the pod, with dashes; empty outside Kubernetes.
    pub pod_uid: String,
    /// Kubernetes' names, where the node tells them.
    pub names: Option<ContainerNames>,
}

/// Characters of a container id made by a runtime.
const ID_LEN: usize = 64;

impl Identity {
    /// Reads the identity off a cgroup path, as the systemd and cgroupfs drivers
    /// of the container runtimes write it.
    pub fn of_path(path: &str, names: Option<ContainerNames>) -> Self {
        let last = path.rsplit('/').next().unwrap_or("");
        if let Some((runtime, id)) = container(last) {
            let pod_uid = path.rsplit('/').skip(1).find_map(pod).unwrap_or_default();
            return Self::Container(ContainerIdentity {
                id: id.to_owned(),
                runtime,
                pod_uid,
                names,
            });
        }
        if let Some(uid) = pod(last) {
            return Self::Pod { uid };
        }
        let is_unit = [".service", ".scope", ".socket"].iter().any(|s| last.ends_with(s));
        if is_unit { Self::Unit { name: last.to_owned() } } else { Self::Other }
    }
}

/// `cri-containerd-<id>.scope`, `docker-<id>.scope`, `<id>` and their like.
fn container(name: &str) -> Option<(&'static str, &str)> {
    let bare = name.strip_suffix(".scope").unwrap_or(name);
    let prefixes = [
        ("cri-containerd-", "containerd"),
        ("docker-", "docker"),
        ("crio-", "crio"),
        ("libpod-", "podman"),
        ("", ""),
    ];
    prefixes.into_iter().find_map(|(prefix, runtime)| {
        let id = bare.strip_prefix(prefix)?;
        let is_id = id.len() == ID_LEN && id.bytes().all(|b| b.is_ascii_hexdigit());
        is_id.then_some((runtime, id))
    })
}

/// `kubepods-burstable-pod<uid>.slice` or `pod<uid>`; systemd writes `_` for `-`.
fn pod(name: &str) -> Option<String> {
    let bare = name.strip_suffix(".slice").unwrap_or(name);
    let uid = match bare.rsplit_once("-pod") {
        Some((prefix, uid)) if prefix.starts_with("kubepods") => uid,
        _ => bare.strip_prefix("pod")?,
    };
    let is_uid =
        uid.len() >= 32 && uid.bytes().all(|b| b.is_ascii_hexdigit() || b"-_".contains(&b));
    is_uid.then(|| uid.replace('_', "-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    const UID: &str = "8f4e0b3a-1f0c-4d5e-9a67-0c1d2e3f4a5b";

    fn container_at(path: &str) -> ContainerIdentity {
        match Identity::of_path(path, None) {
            Identity::Container(c) => c,
            other => panic!("{path}: {other:?}"),
        }
    }

    #[test]
    fn every_driver_and_runtime_is_recognised() {
        let systemd = UID.replace('-', "_");
        for (path, runtime, uid) in [
            (
                format!(
                    "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{systemd}.slice/cri-containerd-{ID}.scope"
                ),
                "containerd",
                UID,
            ),
            (format!("/kubepods.slice/kubepods-pod{systemd}.slice/crio-{ID}.scope"), "crio", UID),
            (format!("/kubepods/besteffort/pod{UID}/{ID}"), "", UID),
            (format!("/system.slice/docker-{ID}.scope"), "docker", ""),
            (format!("/docker/{ID}"), "", ""),
            (format!("/machine.slice/libpod-{ID}.scope"), "podman", ""),
        ] {
            let found = container_at(&path);
            assert_eq!(
                (found.id.as_str(), found.runtime, found.pod_uid.as_str()),
                (ID, runtime, uid),
                "{path}"
            );
        }
    }

    #[test]
    fn pods_units_and_the_rest_are_reported_apart() {
        let of = |path: &str| Identity::of_path(path, None);
        assert_eq!(of(&format!("/kubepods/pod{UID}")), Identity::Pod { uid: UID.into() });
        assert_eq!(
            of("/system.slice/nginx.service"),
            Identity::Unit { name: "nginx.service".into() }
        );
        for path in ["/", "", "/system.slice", "/podman", "/kubepods.slice", "/pod"] {
            assert_eq!(of(path), Identity::Other, "{path}");
        }
    }
}
