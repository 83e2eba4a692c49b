//! Names become tokens that keep what the reader tells by them: which mapping is
//! shared memory, which cgroup is a container, which names are the same.

use std::collections::HashMap;

use memgap_kernel::source::{cgroup, maps, mountinfo, smaps, stat, status};
use memgap_kernel::{special, text};
use memgap_ledger::sample::CgroupSample;
use memgap_ledger::{Identity, identity::ContainerIdentity};

/// Names of cgroups that every machine has; they tell nothing of its user.
const COMMON: [&str; 12] = [
    "system.slice",
    "user.slice",
    "machine.slice",
    "init.scope",
    "kubepods.slice",
    "kubepods-burstable.slice",
    "kubepods-besteffort.slice",
    "kubepods",
    "burstable",
    "besteffort",
    "docker",
    "podman",
];

/// The tokens given so far: the same name always gets the same one. They are
/// counted, so that no token tells its name.
#[derive(Debug, Default)]
pub(crate) struct Names {
    tokens: HashMap<Vec<u8>, usize>,
}

impl Names {
    /// A process's file without its names.
    pub fn redact(&mut self, file: &str, text: &[u8]) -> Vec<u8> {
        match file {
            stat::NAME => self.stat(text),
            status::NAME => self.lines(text, Self::status),
            smaps::NAME => self.lines(text, |names, line| Some(names.smaps(line))),
            cgroup::NAME => self.lines(text, |names, line| Some(names.cgroup(line))),
            mountinfo::NAME => self.lines(text, Self::mount),
            _ => text.to_vec(),
        }
    }

    /// A cgroup's path; its identity stays of the same kind.
    pub fn path(&mut self, path: &str) -> String {
        let parts: Vec<String> = path.split('/').map(|part| self.part(part)).collect();
        parts.join("/")
    }

    /// The name of a program.
    pub fn program(&mut self, name: &[u8]) -> String {
        format!("p{}", self.number(name))
    }

    /// A name that Kubernetes gave.
    pub fn pod(&mut self, name: &str) -> String {
        format!("k{}", self.number(name.as_bytes()))
    }

    /// A sentence, of which words with a slash may be paths.
    pub fn words(&mut self, text: &str) -> String {
        let mut word = |word: &str| {
            let is_path = word.contains('/');
            if is_path { format!("/f{}", self.number(word.as_bytes())) } else { word.to_owned() }
        };
        text.split(' ').map(&mut word).collect::<Vec<_>>().join(" ")
    }

    fn number(&mut self, name: &[u8]) -> usize {
        let next = self.tokens.len() + 1;
        *self.tokens.entry(name.to_vec()).or_insert(next)
    }

    fn part(&mut self, part: &str) -> String {
        if part.is_empty() || COMMON.contains(&part) {
            return part.to_owned();
        }
        match Identity::of_path(part, None) {
            Identity::Container(ContainerIdentity { id, .. }) => {
                part.replace(&id, &self.container(&id))
            }
            Identity::Pod { uid } => {
                let token = format!("00000000-0000-0000-0000-{:012x}", self.number(uid.as_bytes()));
                let other = [uid.replace('-', "_"), token.replace('-', "_")];
                part.replace(&uid, &token).replace(&other[0], &other[1])
            }
            _ => {
                let suffix = part.rfind('.').map_or("", |dot| &part[dot..]);
                let kept = [".slice", ".service", ".scope", ".socket"].contains(&suffix);
                format!("g{}{}", self.number(part.as_bytes()), if kept { suffix } else { "" })
            }
        }
    }

    fn container(&mut self, id: &str) -> String {
        format!("{:064x}", self.number(id.as_bytes()))
    }

    fn lines(
        &mut self,
        text: &[u8],
        mut each: impl FnMut(&mut Self, &[u8]) -> Option<Vec<u8>>,
    ) -> Vec<u8> {
        let mut redacted = Vec::with_capacity(text.len());
        for line in text::lines(text) {
            if let Some(line) = each(self, line) {
                redacted.extend_from_slice(&line);
                redacted.push(b'\n');
            }
        }
        redacted
    }

    fn stat(&mut self, text: &[u8]) -> Vec<u8> {
        let open = text.iter().position(|b| *b == b'(');
        let close = text.iter().rposition(|b| *b == b')');
        let (Some(open), Some(close)) = (open, close) else { return Vec::new() };
        let Some(comm) = text.get(open + 1..close) else { return Vec::new() };
        let token = self.program(comm);
        [&text[..=open], token.as_bytes(), &text[close..]].concat()
    }

    /// Memory and threads; the rest tells of users and is not read.
    fn status(&mut self, line: &[u8]) -> Option<Vec<u8>> {
        let (key, value) = text::key_value(line)?;
        match key {
            b"Name" => Some(format!("Name:\t{}", self.program(value)).into_bytes()),
            b"State" | b"Threads" | b"HugetlbPages" => Some(line.to_vec()),
            key if key.starts_with(b"Vm") || key.starts_with(b"Rss") => Some(line.to_vec()),
            _ => None,
        }
    }

    fn smaps(&mut self, line: &[u8]) -> Vec<u8> {
        let Ok(mapping) = maps::mapping(line) else { return line.to_vec() };
        let bare = &line[..line.len() - mapping.name.len()];
        [bare, &self.mapping(mapping.name)].concat()
    }

    /// The name of a mapping, or of a file; what it is classified by stays.
    pub fn mapping(&mut self, name: &[u8]) -> Vec<u8> {
        // The beginning by which it is classified.
        let kept = match special::prefix(name) {
            None if name.starts_with(b"[anon:") => Some(&b"[anon:"[..]),
            kept => kept,
        };
        let token = match kept {
            _ if name.is_empty() => Vec::new(),
            _ if name.starts_with(b"/dev/zero") => name.to_vec(),
            // The kernel's own word, and no file's name.
            Some(_) if !name.starts_with(b"/") && !name.starts_with(b"[anon") => name.to_vec(),
            None if name.starts_with(b"[") => name.to_vec(),
            Some(prefix) => {
                let stack = name.windows(5).any(|word| word == b"stack");
                let middle = if stack { "stack" } else { "n" };
                let end = if name.ends_with(b"]") { "]" } else { "" };
                let number = self.number(name);
                [prefix, middle.as_bytes(), number.to_string().as_bytes(), end.as_bytes()].concat()
            }
            None => format!("/f{}", self.number(name)).into_bytes(),
        };
        let deleted = name.ends_with(b" (deleted)") && !token.ends_with(b" (deleted)");
        [&token[..], if deleted { b" (deleted)" } else { b"" }].concat()
    }

    fn cgroup(&mut self, line: &[u8]) -> Vec<u8> {
        let Some(slash) = line.iter().position(|b| *b == b'/') else { return Vec::new() };
        // As the reader shows it, so that both come to the same token.
        let path = self.path(&text::printable(&line[slash..], usize::MAX));
        [&line[..slash], path.as_bytes()].concat()
    }

    /// Only the mounts that the reader looks for: cgroups and tmpfs.
    fn mount(&mut self, line: &[u8]) -> Option<Vec<u8>> {
        let mount = mountinfo::mount(line)?;
        let (major, minor) = mount.device;
        let [fs_type, point, options, root] =
            [&mount.fs_type, &mount.point, &mount.options, &mount.root]
                .map(|word| text::printable(word, usize::MAX));
        match fs_type.as_str() {
            "tmpfs" => Some(format!("1 1 {major}:{minor} / /tmpfs rw - tmpfs none rw")),
            "cgroup" | "cgroup2" => {
                let root = self.path(&root);
                Some(format!("1 1 {major}:{minor} {root} {point} rw - {fs_type} none {options}"))
            }
            _ => None,
        }
        .map(String::into_bytes)
    }
}

/// The name of the log link that tells a container's names.
pub(super) fn link(
    sample: &CgroupSample,
    shown: &str,
    names: Option<&mut Names>,
) -> Option<String> {
    let container = sample.names.as_ref()?;
    let Identity::Container(ContainerIdentity { id, .. }) = Identity::of_path(shown, None) else {
        return None;
    };
    let mut parts = [&container.pod, &container.namespace, &container.container].map(String::clone);
    if let Some(names) = names {
        for part in &mut parts {
            *part = names.pod(part);
        }
    }
    let [pod, namespace, name] = parts;
    Some(format!("{pod}_{namespace}_{name}-{id}.log"))
}
