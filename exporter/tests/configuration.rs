//! The real binary, configured by flags, variables and a file.
#![allow(clippy::float_cmp, reason = "they are 0 or 1, or the same figure twice")]

mod common;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use common::daemon::{Daemon, EXPORTER};
use common::{Family, samples};
use rustix::process::{Pid, Signal, kill_process};

/// A file that is there for one test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str, text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("memgap-{name}-{}.toml", std::process::id()));
        let scratch = Self(path);
        scratch.write(text);
        scratch
    }

    fn write(&self, text: &str) {
        fs::write(&self.0, text).expect("a scratch file");
    }

    fn path(&self) -> &str {
        self.0.to_str().expect("UTF-8")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn run(args: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(EXPORTER);
    command.args(args).envs(environment.iter().copied()).output().expect("it runs")
}

fn figure(families: &[Family], name: &str) -> f64 {
    samples(families, name).first().map_or(f64::NAN, |sample| sample.value)
}

const SUCCESSFUL: &str = "memgap_exporter_config_last_reload_successful";
const TIME: &str = "memgap_exporter_config_last_reload_success_timestamp_seconds";

fn hang_up(daemon: &Daemon) {
    let pid = Pid::from_raw(daemon.pids()[0].cast_signed()).expect("a pid");
    kill_process(pid, Signal::HUP).expect("it runs");
}

#[test]
fn a_file_is_checked_without_starting_anything() {
    let file = Scratch::new("check", "[walk]\ncapp = '1s'\n[web]\nmax-connections = 1\n");
    let check = ["--check-config", "--config.file", file.path()];
    let output = run(&check, &[("MEMGAP_INTERVAL", "1")]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).expect("UTF-8");
    let lines: Vec<_> = said.lines().collect();
    let at = |line: u32| format!("{}:{line}: ", file.path());
    assert_eq!(lines.len(), 3, "{said}");
    assert!(lines[0].starts_with(&at(2)) && lines[0].ends_with("did you mean walk.cap?"), "{said}");
    assert!(lines[1].starts_with(&at(4)) && lines[1].contains("web.max-connections"), "{said}");
    assert!(lines[2].starts_with("MEMGAP_INTERVAL: \"1\""), "{said}");

    // It does not start with it either, and says the same.
    let output = run(&["--config.file", file.path()], &[]);
    let said = String::from_utf8(output.stderr).expect("UTF-8");
    assert_eq!((output.status.code(), said.matches("Error: ").count()), (Some(1), 2), "{said}");

    file.write("[walk]\ncap = '1s'\n");
    let output = run(&check, &[]);
    assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0));
    let output = run(&["--check-config", "--walk.capp=1s"], &[]);
    let said = String::from_utf8(output.stderr).expect("UTF-8");
    assert_eq!((output.status.code(), said.lines().count()), (Some(1), 1), "{said}");
}

#[test]
fn what_is_printed_is_accepted_and_prints_the_same() {
    let file = Scratch::new("print", "interval = '3s'\n");
    let flags = ["--print-config", "--config.file", file.path(), "--endpoint=a=http://[::1]:1/"];
    let print = |args: &[&str], environment: &[(&str, &str)]| {
        let output = run(args, environment);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    let printed = print(&flags, &[("MEMGAP_WALK_CAP", "9ms")]);
    for line in [
        &format!("interval = \"3s\" # {}:1", file.path()),
        "walk.cap = \"9ms\" # MEMGAP_WALK_CAP",
        "\"endpoint\" = [\"a=http://[::1]:1/\"] # --endpoint",
        "max-series = 20000 # default",
    ] {
        assert!(printed.lines().any(|found| found == line), "{line}\n{printed}");
    }
    file.write(&printed);
    let again = print(&["--print-config", "--config.file", file.path()], &[]);
    let settings = |text: &str| -> Vec<String> {
        text.lines().map(|line| line.split(" # ").next().unwrap_or("").to_owned()).collect()
    };
    let is_set = |line: &String| !line.starts_with('#');
    let set = |text: &str| settings(text).into_iter().filter(is_set).collect::<Vec<_>>();
    assert_eq!(set(&again), set(&printed));
}

#[test]
fn what_can_change_at_run_time_changes_and_nothing_that_was_counted_is_lost() {
    let file = Scratch::new("reload", "interval = '60m'\n");
    let daemon = Daemon::ready(&["--config.file", file.path()]);
    let (reader, server) = (daemon.process("memgap-reader"), daemon.process("memgap-server"));
    let text = daemon.get("/metrics").text();
    let families = daemon.families();
    let first = figure(&families, TIME);
    assert_eq!(figure(&families, SUCCESSFUL), 1.0);
    assert!(samples(&families, "memgap_process_group_rss_bytes").len() > 1);

    // A wrong one leaves all as it is: it says so, and no collection is due for an hour.
    file.write("interval = '1'\n");
    hang_up(&daemon);
    let line = daemon.wait_for_line("the configuration stays as it was");
    assert!(line.contains(&format!("{}:1: interval: ", file.path())), "{line}");
    assert_eq!(daemon.get("/metrics").text(), text);

    file.write(
        "interval = '100ms'\nprocess-groups = 1\nlog.level = 'debug'\nweb.telemetry-path = '/m'\n",
    );
    hang_up(&daemon);
    let line = daemon.wait_for_line("read the configuration again");
    assert!(line.contains("interval, process-groups, log.level"), "{line}");
    let line = daemon.wait_for_line("at the next start only");
    assert!(line.contains("web.telemetry-path"), "{line}");
    let mut answers = daemon.answers();
    let groups = |families: &Vec<Family>| {
        // The largest, and all others.
        samples(families, "memgap_process_group_rss_bytes").len() == 2
    };
    let changed = answers.find(groups).expect("it goes on");
    assert_eq!(figure(&changed, SUCCESSFUL), 1.0);
    assert!(figure(&changed, TIME) > first);
    let encoded = |families: &[Family]| {
        let counts = samples(families, "memgap_exporter_collection_seconds_count");
        counts.iter().find(|s| s.label("stage") == "encode").map_or(0.0, |s| s.value)
    };
    assert!(encoded(&changed) >= 1.0, "the count of collections went on");

    file.write("interval = \n");
    hang_up(&daemon);
    let failed = answers.find(|families| figure(families, SUCCESSFUL) == 0.0).expect("it goes on");
    assert_eq!(figure(&failed, TIME), figure(&changed, TIME));
    assert_eq!(daemon.process("memgap-reader"), reader, "it is the same process");
    assert_eq!(daemon.process("memgap-server"), server, "it is the same process");
}

#[test]
fn a_restarted_reader_has_the_settings_of_the_last_reload() {
    let file = Scratch::new("restart", "interval = '60m'\n");
    let daemon = Daemon::ready(&["--config.file", file.path()]);
    file.write("interval = '100ms'\nprocess-groups = 1\n");
    hang_up(&daemon);
    daemon.wait_for_line("read the configuration again");
    // What the file says meanwhile is not what is in effect.
    file.write("interval = '60m'\nprocess-groups = 0\n");
    let old = daemon.process("memgap-reader");
    let pid = Pid::from_raw(old.cast_signed()).expect("a pid");
    let started =
        |families: &[Family]| figure(families, "memgap_exporter_reader_start_time_seconds");
    let before = started(&daemon.families());
    kill_process(pid, Signal::KILL).expect("it runs");
    let is_new = |families: &Vec<Family>| started(families) > before;
    let families = daemon.answers().find(is_new).expect("it goes on");
    assert_eq!(samples(&families, "memgap_process_group_rss_bytes").len(), 2);
    assert_eq!(figure(&families, SUCCESSFUL), 1.0);
}

#[test]
fn the_log_is_json_where_that_is_asked() {
    let daemon = Daemon::ready(&["--interval=100ms", "--log.format=json"]);
    hang_up(&daemon);
    let line = daemon.wait_for_line("read the configuration again");
    let value: serde_json::Value = serde_json::from_str(&line).expect("an object");
    assert_eq!(value["level"], "INFO");
    assert_eq!(value["message"], "read the configuration again");
    assert!(value["timestamp"].is_string(), "{line}");

    let output = run(&["--log.format=json", "--path.procfs=/no/such/directory"], &[]);
    let said = String::from_utf8(output.stderr).expect("UTF-8");
    assert_eq!(output.status.code(), Some(1));
    let is_object = |line: &str| serde_json::from_str::<serde_json::Value>(line).is_ok();
    assert!(said.contains("/no/such/directory") && said.lines().all(is_object), "{said}");
}
