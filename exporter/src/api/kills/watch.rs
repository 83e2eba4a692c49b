//! In which cgroups the OOM killer has ended something since the last look.

use std::collections::{BTreeMap, BTreeSet};

use memgap_json::last_ledger::{Evidence, How};
use memgap_ledger::sample::CgroupVersion;

use crate::homes::ancestors;

/// A cgroup as it is now.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'s> {
    /// Its path.
    pub path: &'s str,
    /// How many kills it counts: on v2 with those of cgroups below.
    pub kills: Option<u64>,
    /// Which interface tells so.
    pub version: CgroupVersion,
    /// Whether it has a ledger of its own, so that each byte counts once.
    pub is_home: bool,
    /// Whether none stands below it.
    pub is_leaf: bool,
    /// Whether a limit binds it.
    pub is_limited: bool,
}

/// A cgroup in which something was killed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Noticed {
    /// Its path.
    pub path: String,
    /// What tells so.
    pub evidence: Evidence,
}

/// What was counted at the last look.
#[derive(Debug, Default)]
pub struct Watch {
    last: Option<Last>,
    /// Those that were noticed then.
    told: BTreeSet<String>,
}

#[derive(Debug, Default)]
struct Last {
    /// Kills of every cgroup that tells them.
    counts: BTreeMap<String, u64>,
    /// Kills of each that has a ledger, and whether a limit binds it.
    homes: BTreeMap<String, (Option<u64>, bool)>,
}

impl Watch {
    /// Those of which it is known. `log` is asked for the cgroups of kills since the last
    /// look where one is gone that a limit bound, and no counter tells why.
    pub fn look(&mut self, now: &[Seen<'_>], log: impl FnOnce() -> Vec<String>) -> Vec<Noticed> {
        let counts =
            now.iter().filter_map(|seen| Some((seen.path.to_owned(), seen.kills?))).collect();
        let limited = now.iter().filter(|seen| seen.is_home);
        let limited: BTreeMap<&str, bool> =
            limited.map(|seen| (seen.path, seen.is_limited)).collect();
        let homes = of_homes(now, &limited)
            .into_iter()
            .map(|(path, kills)| (path.to_owned(), (kills, limited[path])))
            .collect();
        let next = Last { counts, homes };
        let Some(last) = self.last.replace(next) else { return Vec::new() };
        let Some(next) = &self.last else { return Vec::new() };
        let (mut noticed, gone) = counted(&last, next);
        let (by_ancestors, left) = by_ancestors(&last, &next.counts, now, gone);
        noticed.extend(by_ancestors);
        // The log may tell of the same kill again.
        let left = left.into_iter().filter(|path| !self.told.contains(*path)).collect();
        noticed.extend(by_log(&last, &left, log));
        self.told = noticed.iter().map(|noticed| noticed.path.clone()).collect();
        noticed
    }
}

/// What each that has a ledger counts: v1 counts for each cgroup below by itself.
fn of_homes<'s>(
    now: &[Seen<'s>],
    homes: &BTreeMap<&'s str, bool>,
) -> BTreeMap<&'s str, Option<u64>> {
    let mut kills = BTreeMap::new();
    for seen in now {
        let own = std::iter::once(seen.path).chain(ancestors(seen.path));
        let Some(home) = own.into_iter().find(|path| homes.contains_key(path)) else { continue };
        if seen.version == CgroupVersion::V2 && home != seen.path {
            continue;
        }
        let sum = kills.entry(home).or_insert(Some(0_u64));
        *sum = sum.zip(seen.kills).map(|(sum, more)| sum.saturating_add(more));
    }
    kills
}

/// Those whose own counter rose; and those that are gone, or began anew under the same path.
fn counted<'l>(last: &'l Last, next: &Last) -> (Vec<Noticed>, BTreeSet<&'l str>) {
    let mut noticed = Vec::new();
    let mut gone = BTreeSet::new();
    for (path, (before, _)) in &last.homes {
        let Some((now, _)) = next.homes.get(path) else {
            gone.insert(path.as_str());
            continue;
        };
        match (now, before) {
            (Some(now), Some(before)) if now > before => {
                let evidence = Evidence { kills: now - before, how: How::Counter };
                noticed.push(Noticed { path: path.clone(), evidence });
            }
            (Some(now), Some(before)) if now < before => {
                gone.insert(path);
            }
            _ => {}
        }
    }
    (noticed, gone)
}

/// Of those that are gone, those below a cgroup that counts more kills than what is still there
/// below it; and the others.
fn by_ancestors<'l>(
    last: &Last,
    counts: &BTreeMap<String, u64>,
    now: &[Seen<'_>],
    gone: BTreeSet<&'l str>,
) -> (Vec<Noticed>, BTreeSet<&'l str>) {
    let mut below: BTreeMap<&str, Vec<&'l str>> = BTreeMap::new();
    let mut left = BTreeSet::new();
    let is_there = |path: &&str| last.counts.contains_key(*path) && counts.contains_key(*path);
    for path in gone {
        match ancestors(path).find(is_there) {
            Some(above) => below.entry(above).or_default().push(path),
            None => _ = left.insert(path),
        }
    }
    let mut noticed = Vec::new();
    for (above, gone) in below {
        match unexplained(last, counts, now, above).filter(|kills| *kills > 0) {
            None => left.extend(gone),
            Some(kills) => {
                let among = gone.len();
                noticed.extend(gone.into_iter().map(|path| {
                    let how = How::Ancestor { path: above.to_owned(), among };
                    Noticed { path: path.to_owned(), evidence: Evidence { kills, how } }
                }));
            }
        }
    }
    (noticed, left)
}

/// How many kills a cgroup counts beyond those of the leaves that are there below it. On v1 it
/// counts its own only.
fn unexplained(
    last: &Last,
    counts: &BTreeMap<String, u64>,
    now: &[Seen<'_>],
    above: &str,
) -> Option<u64> {
    let since = |path: &str| {
        let now = *counts.get(path)?;
        Some(last.counts.get(path).and_then(|then| now.checked_sub(*then)).unwrap_or(now))
    };
    let is_v2 = |seen: &Seen<'_>| seen.path == above && seen.version == CgroupVersion::V2;
    if !now.iter().any(is_v2) {
        return None;
    }
    let leaves = now.iter().filter(|seen| seen.is_leaf && ancestors(seen.path).any(|a| a == above));
    let explained = leaves.map(|seen| since(seen.path)).sum::<Option<u64>>()?;
    Some(since(above)?.saturating_sub(explained))
}

fn by_log(last: &Last, gone: &BTreeSet<&str>, log: impl FnOnce() -> Vec<String>) -> Vec<Noticed> {
    let is_limited = |path: &&str| last.homes.get(*path).is_some_and(|(_, limited)| *limited);
    if !gone.iter().any(is_limited) {
        return Vec::new();
    }
    let killed = log();
    let in_it = |home: &str| {
        let is_it = |path: &&String| *path == home || ancestors(path).any(|above| above == home);
        killed.iter().filter(is_it).count() as u64
    };
    let noticed = gone.iter().map(|path| Noticed {
        path: (*path).to_owned(),
        evidence: Evidence { kills: in_it(path), how: How::Log },
    });
    noticed.filter(|noticed| noticed.evidence.kills > 0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(path: &str, kills: u64, version: CgroupVersion) -> Seen<'_> {
        let is_leaf = !matches!(path, "/pods" | "/pods/a");
        Seen { path, kills: Some(kills), version, is_home: is_leaf, is_leaf, is_limited: true }
    }

    fn v2(path: &str, kills: u64) -> Seen<'_> {
        at(path, kills, CgroupVersion::V2)
    }

    fn found(watch: &mut Watch, now: &[Seen<'_>]) -> Vec<(String, u64, How)> {
        let noticed = watch.look(now, Vec::new).into_iter();
        noticed.map(|n| (n.path, n.evidence.kills, n.evidence.how)).collect()
    }

    #[test]
    fn a_counter_that_rose_tells_and_what_was_counted_before_does_not() {
        let mut watch = Watch::default();
        assert_eq!(found(&mut watch, &[v2("/a", 3), v2("/b", 0)]), []);
        let expected = [("/a".to_owned(), 2, How::Counter)];
        assert_eq!(found(&mut watch, &[v2("/a", 5), v2("/b", 0), v2("/new", 7)]), expected);
        assert_eq!(found(&mut watch, &[v2("/a", 5), v2("/b", 0), v2("/new", 7)]), []);
        let unread = Seen { kills: None, ..v2("/a", 0) };
        assert_eq!(found(&mut watch, &[unread, v2("/b", 0)]), []);
        assert_eq!(found(&mut watch, &[v2("/a", 9), v2("/b", 0)]), [], "since when is not known");
    }

    #[test]
    fn on_v1_a_container_counts_what_is_below_it() {
        let v1 = |path, kills, is_home| Seen { is_home, ..at(path, kills, CgroupVersion::V1) };
        let mut watch = Watch::default();
        assert_eq!(found(&mut watch, &[v1("/c", 0, true), v1("/c/in", 1, false)]), []);
        let expected = [("/c".to_owned(), 1, How::Counter)];
        assert_eq!(found(&mut watch, &[v1("/c", 0, true), v1("/c/in", 2, false)]), expected);
    }

    #[test]
    fn who_is_gone_was_killed_where_a_cgroup_above_counts_one_more_than_those_who_stayed() {
        let before = [v2("/pods", 1), v2("/pods/a", 1), v2("/pods/a/x", 0), v2("/pods/a/y", 1)];
        let is_told = |now: &[Seen<'_>]| {
            let mut watch = Watch::default();
            found(&mut watch, &before);
            found(&mut watch, now)
        };
        let above = |among| How::Ancestor { path: "/pods/a".to_owned(), among };
        let one = is_told(&[v2("/pods", 2), v2("/pods/a", 2), v2("/pods/a/y", 1)]);
        assert_eq!(one, [("/pods/a/x".to_owned(), 1, above(1))]);
        let two = is_told(&[v2("/pods", 2), v2("/pods/a", 2)]);
        let paths: Vec<_> = two.iter().map(|(path, _, how)| (path.as_str(), how)).collect();
        assert_eq!(paths, [("/pods/a/x", &above(2)), ("/pods/a/y", &above(2))]);
        // The kill was of the one that stayed, or of one that is new.
        let stayed = is_told(&[v2("/pods", 2), v2("/pods/a", 2), v2("/pods/a/y", 2)]);
        assert_eq!(stayed, [("/pods/a/y".to_owned(), 1, How::Counter)]);
        let y = v2("/pods/a/y", 1);
        assert_eq!(is_told(&[v2("/pods", 2), v2("/pods/a", 2), y, v2("/pods/a/z", 1)]), []);
        assert_eq!(is_told(&[v2("/pods", 1), v2("/pods/a", 1), y]), [], "it just ended");
    }

    #[test]
    fn else_the_kernels_log_tells_and_is_asked_only_where_a_limit_bound_who_is_gone() {
        let free = Seen { is_limited: false, ..v2("/free", 0) };
        let mut watch = Watch::default();
        found(&mut watch, &[v2("/a", 0), v2("/b", 0), free]);
        let asked = watch.look(&[v2("/a", 0), v2("/b", 0)], || panic!("it was asked"));
        assert_eq!(asked, []);
        let log = || ["/b/in", "/a", "/bb"].map(str::to_owned).to_vec();
        let evidence = Evidence { kills: 1, how: How::Log };
        let expected = [Noticed { path: "/b".to_owned(), evidence }];
        assert_eq!(watch.look(&[v2("/a", 0)], log), expected);
    }
}
