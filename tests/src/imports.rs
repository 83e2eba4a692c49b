//! Which files of a crate import which others, by their `use` lines and their paths.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// A module's path below its crate: `[]` is `lib.rs` or `main.rs`.
type Module = Vec<String>;

/// The files of one crate.
#[derive(Debug)]
pub struct Imports {
    texts: BTreeMap<Module, String>,
}

impl Imports {
    /// Takes in the files of a crate, each by its path below `src` and its text.
    pub fn of<'f>(files: impl IntoIterator<Item = (&'f Path, &'f str)>) -> Self {
        let texts = files.into_iter().map(|(path, text)| (module(path), without_tests(text)));
        Self { texts: texts.collect() }
    }

    /// Circles of files that import each other, each as the files on its way. A module
    /// and its parent may know each other.
    pub fn circles(&self) -> Vec<Vec<String>> {
        let edges: BTreeMap<&Module, BTreeSet<Module>> =
            self.texts.keys().map(|from| (from, self.imported(from))).collect();
        let mut circles = BTreeSet::new();
        for start in self.texts.keys() {
            if let Some(way) = way_back(start, &edges) {
                let mut names: Vec<String> = way.iter().map(|module| module.join("::")).collect();
                let first = (0..names.len()).min_by_key(|i| &names[*i]).unwrap_or(0);
                names.rotate_left(first);
                circles.insert(names);
            }
        }
        circles.into_iter().collect()
    }

    fn imported(&self, from: &Module) -> BTreeSet<Module> {
        let text = &self.texts[from];
        let paths = used(text).into_iter().chain(inline(text));
        let found = paths.filter_map(|path| self.resolve(from, &path, 0));
        found.filter(|to| to != from && !is_parent(to, from) && !is_parent(from, to)).collect()
    }

    /// The file that a path of another file leads to; names that a file hands on lead to
    /// where they are made.
    fn resolve(&self, from: &Module, path: &[String], hops: usize) -> Option<Module> {
        let (mut at, mut rest) = match path.first()?.as_str() {
            "crate" => (Module::new(), &path[1..]),
            "self" => (from.clone(), &path[1..]),
            "super" => (from[..from.len().checked_sub(1)?].to_vec(), &path[1..]),
            child => {
                let inner = [from.as_slice(), &[child.to_owned()]].concat();
                self.texts.contains_key(&inner).then_some(())?;
                (inner, &path[1..])
            }
        };
        while let [first, after @ ..] = rest {
            let next = match first.as_str() {
                "super" => at[..at.len().checked_sub(1)?].to_vec(),
                name => [at.as_slice(), &[name.to_owned()]].concat(),
            };
            if !self.texts.contains_key(&next) {
                break;
            }
            (at, rest) = (next, after);
        }
        let handed_on = rest.first().filter(|_| hops < 8).and_then(|name| {
            let handed = used_publicly(&self.texts[&at]);
            let origin = handed.into_iter().find(|path| path.last() == Some(name))?;
            self.resolve(&at, &origin, hops + 1)
        });
        Some(handed_on.unwrap_or(at))
    }
}

fn module(path: &Path) -> Module {
    let mut names: Module =
        path.iter().map(|name| name.to_string_lossy().trim_end_matches(".rs").to_owned()).collect();
    if matches!(names.as_slice(), [only] if only == "lib" || only == "main") {
        names.clear();
    }
    names
}

fn is_parent(parent: &Module, child: &Module) -> bool {
    child.len() == parent.len() + 1 && child.starts_with(parent)
}

/// The text without comments, and without the tests at its end.
fn without_tests(text: &str) -> String {
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let line = |line: &str| line.split("//").next().unwrap_or_default().to_owned() + "\n";
    code.lines().map(line).collect()
}

/// The paths of all `use` statements.
fn used(text: &str) -> Vec<Vec<String>> {
    statements(text).flat_map(|(tree, _)| leaves(tree)).collect()
}

/// Those that other files can name.
fn used_publicly(text: &str) -> Vec<Vec<String>> {
    statements(text).filter(|(_, public)| *public).flat_map(|(tree, _)| leaves(tree)).collect()
}

/// Each `use` statement's tree, and whether it hands its names on.
fn statements(text: &str) -> impl Iterator<Item = (&str, bool)> {
    text.match_indices("use ").filter_map(|(at, word)| {
        let line = text[..at].rsplit('\n').next()?.trim_start();
        (line.is_empty() || line.starts_with("pub")).then_some(())?;
        let tree = text[at + word.len()..].split(';').next()?;
        Some((tree, !line.is_empty()))
    })
}

/// The paths of a tree: `a::{b, c::d}` has two.
fn leaves(tree: &str) -> Vec<Vec<String>> {
    let tree = tree.trim();
    let Some((before, inner)) = tree.split_once('{') else {
        let path = tree.split(" as ").next().unwrap_or_default();
        return vec![path.split("::").map(|name| name.trim().to_owned()).collect()];
    };
    let inner = inner.rsplit_once('}').map_or(inner, |(inner, _)| inner);
    let prefix: Vec<String> = names(before);
    let whole = branches(inner).into_iter().flat_map(leaves);
    whole
        .map(|leaf| {
            prefix.iter().cloned().chain(leaf.into_iter().filter(|n| n != "self")).collect()
        })
        .collect()
}

/// The parts of a list, divided at commas outside of braces.
fn branches(list: &str) -> Vec<&str> {
    let (mut depth, mut from, mut parts) = (0, 0, Vec::new());
    for (at, letter) in list.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&list[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&list[from..]);
    parts.into_iter().filter(|part| !part.trim().is_empty()).collect()
}

fn names(path: &str) -> Vec<String> {
    path.split("::").map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// Paths that stand in the code itself: `crate::a::b(…)`.
fn inline(text: &str) -> Vec<Vec<String>> {
    let starts = ["crate::", "super::"].into_iter().flat_map(|word| text.match_indices(word));
    let path = |(at, _): (usize, &str)| {
        let before = text[..at].chars().next_back();
        let is_start = before.is_none_or(|c| !c.is_alphanumeric() && c != '_' && c != ':');
        let end = text[at..].find(|c: char| !c.is_alphanumeric() && c != '_' && c != ':');
        is_start.then(|| names(&text[at..end.map_or(text.len(), |end| at + end)]))
    };
    starts.filter_map(path).collect()
}

/// The way from a file along its imports back to it, if there is one.
fn way_back<'m>(
    start: &'m Module,
    edges: &'m BTreeMap<&Module, BTreeSet<Module>>,
) -> Option<Vec<&'m Module>> {
    let mut came_from: BTreeMap<&Module, &Module> = BTreeMap::new();
    let mut next = vec![start];
    while let Some(at) = next.pop() {
        for to in edges.get(at).into_iter().flatten() {
            if to == start {
                let mut way = vec![at];
                while let Some(before) = way.last().and_then(|last| came_from.get(*last)) {
                    way.push(before);
                    if *before == start {
                        break;
                    }
                }
                way.reverse();
                return Some(way);
            }
            if !came_from.contains_key(to) {
                came_from.insert(to, at);
                next.push(to);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn circles(files: &[(&str, &str)]) -> Vec<Vec<String>> {
        let files = files.iter().map(|(path, text)| (Path::new(*path), *text));
        Imports::of(files).circles()
    }

    #[test]
    fn files_that_import_each_other_are_found_however_they_name_each_other() {
        let lib = ("lib.rs", "mod a;\nmod b;\npub use b::Thing;\n");
        let back = ("b.rs", "use super::a::Other;\n");
        for a in ["use crate::b::{Thing, x};", "use crate::Thing;", "fn f() { crate::b::g() }"] {
            assert_eq!(circles(&[lib, ("a.rs", a), back]), [["a", "b"]], "{a}");
        }
        let none: [Vec<String>; 0] = [];
        assert_eq!(circles(&[lib, ("a.rs", "// crate::b\nuse crate::c;"), back]), none);
    }

    #[test]
    fn a_module_and_its_parent_may_know_each_other() {
        let none: [Vec<String>; 0] = [];
        let files =
            [("lib.rs", "mod a;"), ("a.rs", "mod b;\nuse b::X;"), ("a/b.rs", "use super::Y;")];
        assert_eq!(circles(&files), none);
        // But not a sibling of the parent that the parent imports too.
        let files = [
            ("lib.rs", "mod a;\nmod c;"),
            ("a.rs", "mod b;"),
            ("a/b.rs", "use crate::c::Z;"),
            ("c.rs", "use crate::a::b::X;"),
        ];
        assert_eq!(circles(&files), [["a::b", "c"]]);
    }

    #[test]
    fn tests_may_import_what_they_like() {
        let none: [Vec<String>; 0] = [];
        let a = "#[cfg(test)]\nmod tests {\n    use crate::b::X;\n}\n";
        assert_eq!(circles(&[("lib.rs", ""), ("a.rs", a), ("b.rs", "use crate::a::Y;")]), none);
    }
}
