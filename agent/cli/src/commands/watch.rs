//! `memgap watch TARGET`: what it holds, again and again, and whether it leaks.

use std::time::{Duration, Instant, SystemTime};

use memgap_json as json;
use memgap_ledger::history::Point;
use memgap_ledger::{Growth, History, process};
use memgap_reader::{Depth, Error, Found, Reader, Target, find};

use super::seen::{read_cgroup, within_limits};
use crate::args::Watch;
use crate::output::{Answer, Output, print};
use crate::patience;
use crate::view::watch;

/// Prints a line a sample, and at last the verdict.
pub fn run(reader: &Reader, asked: &Watch, output: &Output) -> anyhow::Result<Answer> {
    let target: Target = asked.target.parse()?;
    let found = find(reader, &target)?;
    let mut history = History::default();
    let begin = Instant::now();
    loop {
        let at = begin.elapsed();
        let point = match read(reader, &found) {
            Ok(point) => point,
            Err(error) if history.is_empty() => return Err(error),
            // It has ended.
            Err(_) => break,
        };
        if history.is_empty() && !output.json {
            print(&watch::head(&output.style))?;
        }
        history.push(at, point);
        let growth = Growth::of(history.iter());
        let now = SystemTime::now();
        let line = if output.json {
            json::watch::line(now, &point, growth)? + "\n"
        } else {
            watch::line(now, &point, growth, &output.style)
        };
        print(&line)?;
        let next = at.saturating_add(asked.interval);
        if asked.time.is_some_and(|time| next > time) {
            break;
        }
        patience::pause(next.saturating_sub(begin.elapsed()).max(Duration::from_millis(1)));
    }
    let growth = Growth::of(history.iter());
    let verdict = if output.json { String::new() } else { watch::verdict(growth, &output.style) };
    Ok(Answer::whole(verdict))
}

fn read(reader: &Reader, found: &Found) -> anyhow::Result<Point> {
    Ok(match found {
        Found::Process { pid, .. } => {
            Point::of_process(&process::ledger(&reader.process(*pid, Depth::Full)?))
        }
        Found::Cgroup { path } => {
            Point::of_cgroup(&within_limits(reader, read_cgroup(reader, path, Depth::Full)?))
        }
        Found::Host => {
            let remedy = "name a process or a cgroup: a machine as a whole has nothing in use";
            return Err(Error::Usage { word: "host".to_owned(), remedy }.into());
        }
    })
}
