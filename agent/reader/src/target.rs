//! What a user asks about: the words of the command line.

use std::fmt;
use std::str::FromStr;

use crate::error::Error;

/// Something with memory, as a user names it. `Display` writes what `FromStr` reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// `1234`: the process with that id.
    Pid(u32),
    /// `redis-server`: the processes of that name.
    Name(String),
    /// `self`: the process that asks.
    Own,
    /// `host`: the machine.
    Host,
    /// `cgroup:/path`, below the memory hierarchy's mount.
    Cgroup(String),
    /// `unit/nginx.service`; `.service` may be left out.
    Unit(String),
    /// `container/4f5e`: the container whose id begins so.
    Container(String),
    /// `pod/name` or `pod/namespace/name`; a pod's uid is a name too.
    Pod {
        /// Namespace; any where it is not given.
        namespace: Option<String>,
        /// Name or uid.
        name: String,
    },
}

/// What a target turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// A process.
    Process {
        /// Its id: of several with the same name the one with the largest RSS.
        pid: u32,
        /// The others of the same name, largest first.
        others: Vec<u32>,
    },
    /// A cgroup.
    Cgroup {
        /// Its path below the memory hierarchy's mount.
        path: String,
    },
    /// The machine.
    Host,
}

const WORDS: &str = "give a pid, a process name, `self`, `host`, `cgroup:/path`, \
     `unit/NAME`, `container/ID` or `pod/[NAMESPACE/]NAME`";

impl FromStr for Target {
    type Err = Error;

    fn from_str(word: &str) -> Result<Self, Error> {
        let usage = |remedy| Error::Usage { word: word.to_owned(), remedy };
        if word.is_empty() {
            return Err(usage(WORDS));
        }
        if word.bytes().all(|b| b.is_ascii_digit()) {
            return word.parse().map(Self::Pid).map_err(|_| usage("no pid is that large"));
        }
        if let Some(path) = word.strip_prefix("cgroup:") {
            let is_path = path.starts_with('/');
            return is_path
                .then(|| Self::Cgroup(path.to_owned()))
                .ok_or_else(|| usage("a cgroup's path begins with `/`"));
        }
        let named = match word.split_once('/') {
            Some(("unit", name)) => Self::Unit(name.to_owned()),
            Some(("container", id)) => Self::Container(id.to_owned()),
            Some(("pod", pod)) => {
                let (namespace, name) = match pod.split_once('/') {
                    Some((namespace, name)) => (Some(namespace.to_owned()), name),
                    None => (None, pod),
                };
                Self::Pod { namespace, name: name.to_owned() }
            }
            // The names of kernel threads hold a `/`: kworker/0:1.
            _ => match word {
                "self" => Self::Own,
                "host" => Self::Host,
                name => Self::Name(name.to_owned()),
            },
        };
        match &named {
            Self::Unit(name) | Self::Container(name) | Self::Pod { name, .. }
                if name.is_empty() || name.contains('/') =>
            {
                Err(usage(WORDS))
            }
            _ => Ok(named),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pid(pid) => write!(f, "{pid}"),
            Self::Name(name) => f.write_str(name),
            Self::Own => f.write_str("self"),
            Self::Host => f.write_str("host"),
            Self::Cgroup(path) => write!(f, "cgroup:{path}"),
            Self::Unit(name) => write!(f, "unit/{name}"),
            Self::Container(id) => write!(f, "container/{id}"),
            Self::Pod { namespace: Some(namespace), name } => write!(f, "pod/{namespace}/{name}"),
            Self::Pod { namespace: None, name } => write!(f, "pod/{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_what_is_shown() {
        for word in [
            "1",
            "redis-server",
            "kworker/0:1",
            "self",
            "host",
            "cgroup:/",
            "cgroup:/system.slice/a b",
            "unit/nginx.service",
            "container/4f5e",
            "pod/web-0",
            "pod/shop/web-0",
        ] {
            assert_eq!(word.parse::<Target>().expect("valid").to_string(), word);
        }
    }

    #[test]
    fn what_names_nothing_is_refused_with_a_remedy() {
        for word in
            ["", "4294967296", "cgroup:", "cgroup:a", "unit/", "container/", "pod/", "pod/a/b/c"]
        {
            let error = word.parse::<Target>().expect_err(word).to_string();
            assert!(error.contains(&format!("`{word}`")) && error.contains(": "), "{error}");
        }
    }
}
