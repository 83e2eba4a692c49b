//! Ten programs that nobody here wrote, and how much of their memory is explained:
//! `memgap ps --coverage` over all of them, and `docs/coverage.md` from it.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use memgap_tests::cgroup::Cgroup;
use memgap_tests::java::machines;
use memgap_tests::node::nodes;
use memgap_tests::python::own;
use memgap_tests::rights::{Need, left_out};
use memgap_tests::service::Service;
use memgap_tests::target::{Target, built};
use serde_json::Value;

/// What the programs are called in `comm`, but for a version behind it, and what they were
/// made to hold.
const PROGRAMS: [(&str, &str); 10] = [
    ("postgres", "after `pgbench -i -s 5`, 1,000 transactions of two clients"),
    ("redis-server", "200,000 keys of 100 bytes"),
    ("nginx", "one worker"),
    ("memcached", "20,000 values of 1,000 bytes"),
    ("mariadbd", "a fresh data directory"),
    ("python3", "200,000 dictionaries, of which nine of ten are dropped"),
    ("node", "22: 300,000 objects, of which nine of ten are dropped"),
    ("java", "17, G1: 100 MB in blocks of 100,000 bytes"),
    ("prometheus", "scrapes itself each second"),
    ("bash", "an array of 100,000 lines"),
];

#[test]
fn of_ten_programs_hardly_anything_is_left_unexplained() -> Result<()> {
    if left_out(Need::Cgroups) {
        return Ok(());
    }
    let group = Cgroup::new("coverage")?;
    let inside = group.enter()?;
    let started = start()?;
    let memgap = built("memgap")?;
    let run = |arguments: &[&str]| -> Result<String> {
        let mut command = Command::new(&memgap);
        command.args(["ps", "--coverage", "--cgroup", group.path()]).args(arguments);
        let output = command.output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?)
    };
    println!("{}", run(&[])?);
    let document: Value = serde_json::from_str(&run(&["--json"])?)?;
    drop(started);
    drop(inside);

    let found = document["programs"].as_array().context("no programs")?;
    let mut rows = Vec::new();
    for (name, holds) in PROGRAMS {
        let row = found.iter().find(|row| row["name"].as_str().is_some_and(|n| is(n, name)));
        rows.push((name, holds, row.with_context(|| format!("{name} is not there: {found:?}"))?));
    }
    let sum = |key: &str| -> Result<i64> {
        rows.iter().map(|(name, _, row)| row[key].as_i64().context(*name)).sum()
    };
    let (anonymous, rss, residual) = (sum("anonymous")?, sum("rss")?, sum("residual_bytes")?);
    println!("residual {residual} of {anonymous} bytes of anonymous memory, {rss} of RSS");
    assert!(residual * 10 <= anonymous, "{residual} of {anonymous}");
    assert!(residual * 20 <= rss, "{residual} of {rss}");
    document_page(&page(&rows)?)
}

/// Whether a program is called so: `python3.12` is `python3` too.
fn is(comm: &str, name: &str) -> bool {
    let version = comm.strip_prefix(name);
    version.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Starts all of them. What they are fed with has ended by then.
fn start() -> Result<(Vec<Service>, Vec<Target>)> {
    let postgres = Service::postgres()?;
    pgbench(&postgres, &["-i", "-s", "5"])?;
    pgbench(&postgres, &["-c", "2", "-t", "500"])?;
    let redis = Service::redis()?;
    ask(&redis, b"DEBUG POPULATE 200000 key 100\r\n", b"+OK\r\n")?;
    let memcached = Service::memcached()?;
    let mut values = Vec::new();
    for key in 0..20_000 {
        values.extend(format!("set key{key} 0 0 1000 noreply\r\n{:1000}\r\n", "").bytes());
    }
    values.extend(b"set last 0 0 1\r\n1\r\n");
    ask(&memcached, &values, b"STORED\r\n")?;
    let services = vec![
        postgres,
        redis,
        memcached,
        Service::nginx()?,
        Service::mariadb()?,
        Service::prometheus()?,
    ];
    let java = machines()?.into_iter().find(|m| m.release() == 17).context("no Java 17")?;
    let targets = Path::new(env!("CARGO_MANIFEST_DIR")).join("targets");
    let mut python = own()?.run(&[])?;
    python.step()?;
    let node = nodes()?.into_iter().find(|n| n.version.starts_with("22.")).context("no node")?;
    let mut node = node.run()?;
    node.step()?;
    let java = Target::spawn(&mut java.command(&["-XX:+UseG1GC"], 1000)?)?;
    let bash = Target::spawn(Command::new("bash").arg(targets.join("heap.sh")))?;
    Ok((services, vec![python, node, java, bash]))
}

fn ask(service: &Service, words: &[u8], answer: &[u8]) -> Result<()> {
    let mut socket = UnixStream::connect(service.socket())?;
    socket.write_all(words)?;
    let mut reply = vec![0; answer.len()];
    socket.read_exact(&mut reply)?;
    ensure!(reply == answer, "{:?}", String::from_utf8_lossy(&reply));
    Ok(())
}

fn pgbench(postgres: &Service, arguments: &[&str]) -> Result<()> {
    let mut command = Command::new("pgbench");
    command.arg("-h").arg(postgres.dir()).args(["-U", "postgres"]).args(arguments);
    let output = command.arg("postgres").output().context("failed to start pgbench")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// The heading of the part of the page that is not made here.
const OTHERS: &str = "\n## Other programs\n";

/// Holds the page against the one that is there; with `UPDATE_DOCS` it is written.
fn document_page(page: &str) -> Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/coverage.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        // What stands behind the table is made by `tests/coverage/others`.
        let there = std::fs::read_to_string(&path).unwrap_or_default();
        let others = there.find(OTHERS).map_or("", |at| &there[at..]);
        return Ok(std::fs::write(path, format!("{page}{others}"))?);
    }
    // Figures differ each time; the programs must not.
    let there = std::fs::read_to_string(&path).context("no docs/coverage.md: set UPDATE_DOCS=1")?;
    for (name, holds) in PROGRAMS {
        let tells = |line: &str| {
            let mut cells = line.split('|').map(str::trim).skip(1);
            cells.next().is_some_and(|comm| is(comm, name)) && cells.next() == Some(holds)
        };
        if !there.lines().any(tells) {
            bail!("docs/coverage.md does not tell of {name}: set UPDATE_DOCS=1");
        }
    }
    Ok(())
}

fn page(rows: &[(&str, &str, &Value)]) -> Result<String> {
    const MIB: f64 = 1_048_576.0;
    let mut text = String::from(
        "# Coverage

How much of the memory of ten programs is explained. The residual is what stands on
`heap_unprobed`, `unexplained` and `unreadable`, |`skew`|, and what claims had to cut. Made by
`UPDATE_DOCS=1 cargo test -p memgap-tests --test live-coverage`, which starts the programs and runs
`memgap ps --coverage`; the test holds the sums to 10 % of anonymous memory and 5 % of RSS. What is
left of mariadbd are caches and a log buffer that it maps itself: no allocator keeps statistics of them.

| program | it holds | RSS, MiB | anonymous (PSS), MiB | residual, MiB | of anonymous | explained by |
| --- | --- | ---: | ---: | ---: | ---: | --- |
",
    );
    let mut sums = [0.0; 3];
    for (name, holds, row) in rows {
        let bytes = |key: &str| row[key].as_f64().with_context(|| format!("{name} has no {key}"));
        let figures = [bytes("rss")?, bytes("anonymous")?, bytes("residual_bytes")?];
        let explained = row["explained"].as_array().context("no owners")?;
        let owners: Vec<&str> = explained
            .iter()
            .filter_map(|one| one["name"].as_str())
            .filter(|name| !["mappings", "lazy_free"].contains(name))
            .collect();
        let name = row["name"].as_str().context("no name")?;
        text += &line(name, holds, figures.map(|bytes| bytes / MIB), &owners.join(", "));
        for (sum, figure) in sums.iter_mut().zip(figures) {
            *sum += figure / MIB;
        }
    }
    Ok(text + &line("sum", "", sums, ""))
}

fn line(name: &str, holds: &str, [rss, anonymous, residual]: [f64; 3], owners: &str) -> String {
    let share = residual / anonymous * 100.0;
    format!(
        "| {name} | {holds} | {rss:.1} | {anonymous:.1} | {residual:.2} | {share:.1} % | {owners} |\n"
    )
}
