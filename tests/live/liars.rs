//! Programs that lie in their own books: what can not be is refused, and nobody else's
//! books suffer.

use std::process::Command;

use anyhow::{Result, bail, ensure};
use memgap_reader::probe::{Detail, Probes};
use memgap_reader::{Buf, Reader, Roots};
use memgap_tests::glibc::Library;
use memgap_tests::target::{self, Target};

/// So that threads keep nothing for themselves, which the library counts as in use.
const NO_CACHES: (&str, &str) = ("GLIBC_TUNABLES", "glibc.malloc.tcache_count=0");

/// A program whose C library says of itself what is true, or the lie.
fn fake(lie: Option<&str>) -> Result<Target> {
    let mut command = Command::new(target::compiled("fakeglibc")?);
    Target::spawn(command.args(lie).envs([NO_CACHES]))
}

#[test]
fn one_program_that_lies_of_a_library_spoils_the_books_of_no_other() -> Result<()> {
    let liar = fake(Some("decoy"))?;
    let honest = || Target::spawn(Library::Own.malloc()?.envs([("STEPS", "steady"), NO_CACHES]));
    let honest = [honest()?, honest()?, honest()?];
    let reader = Reader::open(Roots::default())?;
    let (probes, mut buf) = (Probes::default(), Buf::default());
    let mut in_use = |target: &Target| -> Result<Option<u64>> {
        let process = reader.open_process(target.pid())?;
        let books = probes.books(&process, Detail::Counters, &mut buf);
        let [Ok(books)] = &books[..] else { bail!("{books:?}") };
        Ok(books.runtime.in_use)
    };
    // The first to show its library, again and again.
    for _ in 0..3 {
        ensure!(in_use(&liar)? != Some(liar.holds("in_use")?), "it does not lie");
    }
    for target in &honest {
        assert_eq!(in_use(target)?, Some(target.holds("in_use")?));
    }
    assert_eq!(probes.take_use().resolved, 2);
    Ok(())
}
