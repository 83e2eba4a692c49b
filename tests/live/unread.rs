//! Programs with memory that no probe reads: each is named, and nothing false is said
//! beside it.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use memgap_tests::target::{Target, built, compiled, directory};
use serde_json::Value;

/// What a program is named by, and how its memory stands in the ledger.
struct Expected {
    name: &'static str,
    /// The beginning of the name of the file that shows it.
    file: &'static str,
    /// Where its heap lies.
    heap: Heap,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Heap {
    /// In mappings that nobody else claims.
    Own,
    /// In part in the C library's.
    Both,
    /// In the C library's.
    Malloc,
    /// In its own, and the C library's `malloc` serves nobody.
    InPlaceOfMalloc,
}

/// What is never said of a program that has long been at work.
const FALSE_WORDS: [&str; 4] = ["yet", "just start", "program starts", "keeps its rules"];

fn memgap(target: &Target, arguments: &[&str]) -> Result<String> {
    let output =
        Command::new(built("memgap")?).arg(target.pid().to_string()).args(arguments).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

fn account(document: &Value, name: &str) -> Result<i64> {
    let accounts = document["accounts"].as_array().context("no accounts")?;
    let one = accounts.iter().find(|one| one["name"] == name).context("no such account")?;
    one["bytes"].as_i64().with_context(|| format!("{name}: {one}"))
}

/// Of what a program says of its heap, what must be resident: it may not have written all.
fn share(bytes: i64) -> i64 {
    bytes / 100 * 85
}

fn is_named(target: &Target, heap: i64, expected: &Expected) -> Result<()> {
    let document: Value = serde_json::from_str(&memgap(target, &["--json"])?)?;
    let unread = document["unread"].as_array().context("no unread")?;
    let is_it = |one: &&Value| one["name"] == expected.name;
    let one = unread.iter().find(is_it).with_context(|| format!("{document:#}"))?;
    println!("{}: {one}", expected.name);
    let file = one["file"].as_str().and_then(|path| path.rsplit('/').next()).context("no file")?;
    ensure!(file.starts_with(expected.file), "{file}");
    ensure!(one["within_another"] == (expected.heap == Heap::Malloc), "{one}");
    let read: Vec<&str> = document["runtimes"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|r| r["name"].as_str())
        .collect();
    let (unprobed, unexplained) =
        (account(&document, "heap_unprobed")?, account(&document, "unexplained")?);
    println!("heap {heap}, unprobed {unprobed}, unexplained {unexplained}, read {read:?}");
    match expected.heap {
        Heap::Own => {
            ensure!(read == ["glibc"] && unprobed >= share(heap) && unexplained == 0);
        }
        Heap::Both => ensure!(read == ["glibc"] && unexplained == 0),
        Heap::Malloc => {
            let in_use = account(&document, "heap_in_use")?;
            ensure!(read == ["glibc"] && unprobed == 0 && in_use >= share(heap), "{in_use}");
        }
        Heap::InPlaceOfMalloc => {
            ensure!(read.is_empty() && unprobed >= share(heap) && unexplained == 0);
            // What the C library keeps, which is nothing, is no news.
            ensure!(unread.len() == 1, "{unread:?}");
        }
    }
    let text = memgap(target, &[])?;
    ensure!(text.contains(&format!("not read: {} in ", expected.name)), "{text}");
    let said = text.to_lowercase();
    ensure!(FALSE_WORDS.iter().all(|word| !said.contains(word)), "{text}");
    Ok(())
}

/// A program by its interpreter, with the arguments before its script.
fn interpreted(interpreter: &[&str], script: &str, expected: &Expected) -> Result<()> {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("targets/unread");
    let mut command = Command::new(interpreter[0]);
    let target = Target::spawn(command.args(&interpreter[1..]).arg(scripts.join(script)))?;
    is_named(&target, target.holds("heap")?.try_into()?, expected)
}

/// A C program in which a library takes `malloc`'s place.
fn preloaded(library: &str, expected: &Expected) -> Result<()> {
    let mut command = Command::new(compiled("usable")?);
    let target = Target::spawn(command.env("LD_PRELOAD", library))?;
    is_named(&target, target.holds("usable")?.try_into()?, expected)
}

#[test]
fn ruby() -> Result<()> {
    let expected = Expected { name: "ruby", file: "libruby", heap: Heap::Both };
    interpreted(&["ruby"], "heap.rb", &expected)
}

#[test]
fn luajit() -> Result<()> {
    let expected = Expected { name: "luajit", file: "luajit", heap: Heap::Own };
    interpreted(&["luajit"], "heap.lua", &expected)
}

#[test]
fn lua_whose_heap_is_mallocs() -> Result<()> {
    let expected = Expected { name: "lua", file: "lua5.4", heap: Heap::Malloc };
    interpreted(&["lua5.4"], "heap.lua", &expected)
}

#[test]
fn sbcl() -> Result<()> {
    let expected = Expected { name: "sbcl", file: "sbcl", heap: Heap::Own };
    interpreted(&["sbcl", "--script"], "heap.lisp", &expected)
}

#[test]
fn a_sanitizer_in_place_of_malloc() -> Result<()> {
    let output = Command::new("gcc").arg("-print-file-name=libasan.so").output()?;
    let library = String::from_utf8(output.stdout)?;
    let expected = Expected { name: "sanitizer", file: "libasan", heap: Heap::InPlaceOfMalloc };
    preloaded(library.trim(), &expected)
}

/// A program of 32 bits for x86: it says that it is ready, waits for a line and ends.
const SMALL: &[u8] = &[
    0x7f, b'E', b'L', b'F', 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, // 32 bits, little-endian
    2, 0, 3, 0, 1, 0, 0, 0, 0x54, 0x80, 4, 8, 0x34, 0, 0,
    0, // a program, which begins at 0x8048054
    0, 0, 0, 0, 0, 0, 0, 0, 0x34, 0, 0x20, 0, 1, 0, 0x28, 0, //
    0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0x80, 4, 8, // one part, which is loaded
    0, 0x80, 4, 8, 0x90, 0, 0, 0, 0x90, 0, 0, 0, 7, 0, 0, 0, //
    0, 0x10, 0, 0, //
    0xb8, 4, 0, 0, 0, 0xbb, 1, 0, 0, 0, 0xb9, 0x8a, 0x80, 4, 8, 0xba, 6, 0, 0, 0, 0xcd,
    0x80, // write
    0xb8, 3, 0, 0, 0, 0x31, 0xdb, 0xb9, 0x8a, 0x80, 4, 8, 0xba, 1, 0, 0, 0, 0xcd,
    0x80, // read
    0xb8, 1, 0, 0, 0, 0x31, 0xdb, 0xcd, 0x80, 0x90, 0x90, 0x90, 0x90, // exit
    b'r', b'e', b'a', b'd', b'y', b'\n',
];

#[test]
fn a_program_of_32_bits_is_named() -> Result<()> {
    let program = directory()?.join("small32");
    std::fs::write(&program, SMALL)?;
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755))?;
    let target = match Target::run(&program, &[]) {
        Ok(target) => target,
        Err(error) => {
            eprintln!("left out: this machine runs no such program: {error:#}");
            return Ok(());
        }
    };
    let document: Value = serde_json::from_str(&memgap(&target, &["--json"])?)?;
    let unread = document["unread"].as_array().context("no unread")?;
    ensure!(unread.len() == 1 && unread[0]["name"] == "32-bit", "{unread:?}");
    let text = memgap(&target, &[])?;
    ensure!(text.contains("not read: 32-bit in "), "{text}");
    Ok(())
}
