//! PHP programs against what its memory manager says of itself, `memory_get_usage`.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use memgap_ledger::account::{self, Account};
use memgap_ledger::{ProcessLedger, Runtime, process};
use memgap_reader::{Depth, Reader, Roots};
use memgap_tests::frozen::Frozen;
use memgap_tests::php::phps;
use memgap_tests::target::Target;
use memgap_tests::traces::of_a_thousand_looks;

/// What PHP allocates after it has said how much it has: a buffer of 8 KiB to read a line by,
/// which it keeps, and what describes that.
const FOR_A_LINE: u64 = 9 << 10;
const PAGE: u64 = 4096;
/// How long a server may take.
const PATIENCE: Duration = Duration::from_mins(1);

fn explain(target: &Target, depth: Depth) -> Result<ProcessLedger> {
    let _frozen = Frozen::stop(target.pid())?;
    let made = process::ledger(&Reader::open(Roots::default())?.process(target.pid(), depth)?);
    assert_eq!(Some(made.ledger.sum(account::RSS)), made.headline.rss.point());
    Ok(made)
}

fn zend(made: &ProcessLedger) -> Result<&Runtime> {
    let found = made.runtimes.iter().find(|r| r.name == "zend");
    found.with_context(|| format!("{:?}", made.absent))
}

#[test]
fn in_use_is_what_php_says() -> Result<()> {
    for php in phps()? {
        let mut target = php.run(&[])?;
        // The first word is said before a line was ever read.
        target.again()?;
        for step in ["full", "patchy", "thin", "dropped"] {
            if step != "full" {
                target.step()?;
            }
            for depth in [Depth::Full, Depth::Pages] {
                let made = explain(&target, depth)?;
                let runtime = zend(&made)?;
                let (usage, real) = (target.holds("usage")?, target.holds("real")?);
                let in_use = runtime.in_use.context("no amount")?;
                println!("{} {step}: {in_use} in use, {usage} said: {runtime:?}", php.version);
                assert_eq!(in_use.abs_diff(usage), 0, "PHP {} {step}", php.version);
                assert_eq!(runtime.in_use_bounds, None);
                // The rest of what it has from the system, but for the chunks' own pages.
                let own = real - in_use - runtime.free.context("no amount")?;
                assert!(own >= PAGE && own % PAGE == 0 && own <= real / 256, "{own}");
                assert!(runtime.evidence.iter().any(|e| e.contains("all that it has")));
                let left = made.ledger.booked(Account::Unexplained) + i64::try_from(made.cut)?;
                let unprobed = made.ledger.booked(Account::HeapUnprobed);
                assert!(left + unprobed <= 256 << 10, "{:?}", made.ledger);
            }
        }
    }
    Ok(())
}

#[test]
fn in_use_of_a_program_at_work_is_within_a_line_of_what_it_says() -> Result<()> {
    for php in phps()? {
        let target = php.run(&[])?;
        let made = explain(&target, Depth::Full)?;
        let in_use = zend(&made)?.in_use.context("no amount")?;
        let usage = target.holds("usage")?;
        assert!((usage..=usage + FOR_A_LINE).contains(&in_use), "{in_use}, said {usage}");
    }
    Ok(())
}

/// PHP's own server, which ends with the value.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What it answers, once it listens.
fn ask(server: &mut Server, port: u16) -> Result<u64> {
    let began = Instant::now();
    let mut stream = loop {
        match TcpStream::connect((Ipv4Addr::LOCALHOST, port)) {
            Ok(stream) => break stream,
            Err(_) if began.elapsed() < PATIENCE && server.0.try_wait()?.is_none() => {
                std::thread::sleep(Duration::from_millis(20));
            }
            Err(error) => return Err(error).context("it does not listen"),
        }
    };
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.lines().last().context("no answer")?.parse()?)
}

#[test]
fn between_requests_what_is_kept_for_the_next_one_is_free() -> Result<()> {
    for php in phps()? {
        // Free a moment ago; whoever takes it meanwhile makes the server end.
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let mut command = php.command("served.php", &["-S", &format!("127.0.0.1:{port}")])?;
        let mut server = Server(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?);
        let reader = Reader::open(Roots::default())?;
        for _ in 0..3 {
            let held = ask(&mut server, port)?;
            // It closes the connection first, and ends the request then.
            let began = Instant::now();
            let runtime = loop {
                let made = process::ledger(&reader.process(server.0.id(), Depth::Full)?);
                let runtime = zend(&made).cloned();
                if runtime.as_ref().is_ok_and(|r| r.in_use.is_some_and(|bytes| bytes < held / 10)) {
                    break runtime?;
                }
                ensure!(began.elapsed() < PATIENCE, "{runtime:?}");
                std::thread::sleep(Duration::from_millis(20));
            };
            println!("{}: {held} held, then {runtime:?}", php.version);
            assert!(runtime.evidence.iter().any(|e| e.contains("all that it has")));
            assert!(runtime.free.is_some_and(|bytes| bytes >= 3 << 20), "{runtime:?}");
        }
    }
    Ok(())
}

#[test]
fn what_malloc_serves_is_not_taken_for_a_heap() -> Result<()> {
    let php = phps()?.into_iter().next().context("no PHP")?;
    let target = php.run(&[("USE_ZEND_ALLOC", "0")])?;
    let made = explain(&target, Depth::Full)?;
    assert!(zend(&made).is_err());
    let is_named = made.absent.iter().any(|a| a.missing.why.contains("USE_ZEND_ALLOC=0"));
    assert!(is_named, "{:?}", made.absent);
    Ok(())
}

#[test]
fn a_thousand_probes_leave_no_trace() -> Result<()> {
    for php in phps()? {
        let target = php.run(&[])?;
        let _frozen = Frozen::stop(target.pid())?;
        let (more, rss) = of_a_thousand_looks(target.pid(), "zend")?;
        println!("{}: {more} bytes referenced of {rss}", php.version);
        assert!(more * 100 <= rss, "{more}");
    }
    Ok(())
}
