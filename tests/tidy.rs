//! The invariants of docs/architecture.md that the source itself can break.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use memgap_ledger::account::{Account, Class, Scope};
use memgap_ledger::finding;
use memgap_tests::imports::Imports;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ stands in the workspace")
}

/// Every Rust file below a folder of the workspace.
fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder of the workspace") {
            let path = entry.expect("listable").path();
            // What the tests fetch is not ours to judge.
            if path.is_dir() {
                let hidden = path.file_name().is_some_and(|n| n.as_encoded_bytes()[0] == b'.');
                folders.extend((!hidden).then_some(path));
            } else if path.extension().is_some_and(|e| e == "rs") {
                let text = std::fs::read_to_string(&path).expect("source is UTF-8");
                found.push((path, text));
            }
        }
    }
    assert!(!found.is_empty(), "no source below {folder}");
    found
}

/// The crates of the workspace that a crate is built with, without its tests.
fn own_dependencies(package: &str) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--offline", "-e", "normal", "--prefix", "none", "-p", package])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let names = text.lines().skip(1).filter_map(|line| line.split(' ').next());
    names.filter(|name| name.starts_with("memgap")).map(str::to_owned).collect()
}

fn manifest_of(package: &str) -> String {
    let folder = match package {
        "memgap" => "agent/cli",
        _ => "exporter",
    };
    std::fs::read_to_string(root().join(folder).join("Cargo.toml")).expect("readable")
}

#[test]
fn dependencies_point_towards_the_ledger() {
    let set = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(own_dependencies("memgap-ledger"), set(&[]));
    let mut below = vec!["memgap-ledger"];
    for next in ["memgap-kernel", "memgap-probes", "memgap-reader"] {
        assert_eq!(own_dependencies(next), set(&below), "{next}");
        below.push(next);
    }
    assert_eq!(own_dependencies("memgap-json"), set(&["memgap-ledger"]));
    below.push("memgap-json");
    for program in ["memgap", "memgap-exporter"] {
        assert_eq!(own_dependencies(program), set(&below), "{program}");
        let manifest = manifest_of(program);
        for hidden in ["memgap-kernel", "memgap-probes"] {
            assert!(!manifest.contains(hidden), "{program} names {hidden}: go through the reader");
        }
    }
}

#[test]
fn the_ledger_does_no_io_and_reads_no_clock() {
    for (path, text) in sources("agent/ledger/src") {
        for word in [
            "std::fs",
            "std::io",
            "std::net",
            "std::process",
            "Instant",
            "SystemTime",
            "extern crate",
        ] {
            assert!(!text.contains(word), "{} names {word}", path.display());
        }
    }
    let manifest =
        std::fs::read_to_string(root().join("agent/ledger/Cargo.toml")).expect("readable");
    assert!(!manifest.contains("[dependencies]"), "the ledger needs the standard library alone");
}

#[test]
fn no_two_files_of_a_crate_import_each_other() {
    for package in ["ledger", "json", "kernel", "probes", "reader", "beacon", "cli"] {
        assert_no_circle(&format!("agent/{package}/src"));
    }
    assert_no_circle("exporter/src");
}

fn assert_no_circle(folder: &str) {
    let files = sources(folder);
    let base = root().join(folder);
    let below = |(path, text): &'_ (PathBuf, String)| {
        (path.strip_prefix(&base).expect("it stands there").to_owned(), text.clone())
    };
    let files: Vec<(PathBuf, String)> = files.iter().map(below).collect();
    let circles =
        Imports::of(files.iter().map(|(path, text)| (path.as_path(), text.as_str()))).circles();
    assert!(circles.is_empty(), "{folder}: files import each other: {circles:?}");
}

#[test]
fn views_know_the_ledger_only() {
    let mut views = sources("agent/cli/src/view");
    views.extend(sources("agent/json/src"));
    // One role of the exporter reads, one tells what it may, and one asks the API server by
    // the reader's HTTP; all others know samples.
    let reads = ["reader", "self_check", "watcher"]
        .map(|role| root().join("exporter/src/roles").join(role));
    let pages = sources("exporter/src")
        .into_iter()
        .filter(|(path, _)| !reads.iter().any(|role| path.with_extension("").starts_with(role)));
    for (path, text) in views.into_iter().chain(pages) {
        assert!(!text.contains("memgap_reader"), "{} names the reader", path.display());
    }
}

#[test]
fn files_are_short_enough_to_be_read() {
    const MOST: usize = 400;
    for folder in ["agent", "exporter/src", "tests"] {
        for (path, text) in sources(folder) {
            let lines = text.lines().count();
            assert!(lines <= MOST, "{} has {lines} lines: split it", path.display());
        }
    }
}

#[test]
fn no_test_is_switched_off() {
    let marks = [concat!("#[", "ignore"), concat!("to", "do!("), concat!("dbg", "!(")];
    for folder in ["agent", "exporter/src", "tests"] {
        for (path, text) in sources(folder) {
            for mark in marks {
                assert!(!text.contains(mark), "{} holds {mark}", path.display());
            }
        }
    }
}

/// `docs/accounts.md` comes from the enum. `UPDATE_DOCS=1 cargo test -p
/// memgap-tests --test tidy` writes it.
#[test]
fn the_accounts_page_is_the_enum() {
    let path = root().join("docs/accounts.md");
    let page = accounts_page();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &page).expect("docs/ is writable");
    }
    let found = std::fs::read_to_string(&path).expect("docs/accounts.md is readable");
    assert_eq!(found, page, "run with UPDATE_DOCS=1");
}

fn accounts_page() -> String {
    let mut page = String::from(
        "# Accounts\n\nEvery byte stands on exactly one account. The set of a scope is fixed; an account that could\nnot be read is absent, and its bytes stand on a residual account. Signed accounts may be negative.\nGenerated from the account enum (`memgap accounts` prints the same).\n\nClasses: ",
    );
    page += &Class::ALL.map(Class::name).join(", ");
    page += ".\n";
    for scope in Scope::ALL {
        let cut = if scope == Scope::Process {
            "The accounts up to `skew` sum to the RSS.\n\n"
        } else {
            ""
        };
        page += &format!(
            "\n## {} (sums to {})\n\n{cut}| account | class | what the bytes are |\n| --- | --- | --- |\n",
            scope.name(),
            scope.total()
        );
        for account in scope.accounts() {
            page += &row(account);
        }
    }
    page
}

fn row(account: Account) -> String {
    let signed = if account.is_signed() { " (signed)" } else { "" };
    format!("| `{}` | {}{signed} | {} |\n", account.name(), account.class().name(), account.help())
}

#[test]
fn every_finding_has_its_page() {
    for diagnosis in finding::ALL {
        let page = root().join(format!("docs/findings/{}.md", diagnosis.id));
        let text = std::fs::read_to_string(&page).unwrap_or_default();
        assert!(text.starts_with(&format!("# {}\n", diagnosis.id)), "{}", page.display());
    }
}

#[test]
fn every_finding_has_its_words_in_the_dashboards() {
    let source = root().join("grafana/source/families.py");
    let text = std::fs::read_to_string(&source).expect("the dashboards' source");
    for diagnosis in finding::ALL {
        let key = format!("\n    \"{}\": \"", diagnosis.id);
        assert!(text.contains(&key), "{}: no words for {}", source.display(), diagnosis.id);
    }
}
