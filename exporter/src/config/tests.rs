use std::fs;

use super::*;

/// A file that is there for one test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str, text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("memgap-{name}-{}.toml", std::process::id()));
        fs::write(&path, text).expect("a scratch file");
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn no_http(name: &str, value: &str) -> Result<(), String> {
    let is_wrong = name == "endpoint" && value.contains("https:");
    if is_wrong { Err("TLS is not spoken".to_owned()) } else { Ok(()) }
}

fn sources(flags: &[&str], environment: &[(&str, &str)]) -> Sources {
    let flags: Vec<OsString> =
        ["memgap-exporter"].iter().chain(flags).map(OsString::from).collect();
    let environment = environment.iter().map(|(name, value)| (name.into(), value.into()));
    Sources::new(&flags, environment, no_http).expect("a command line")
}

/// What the file, at a path that stands as FILE, makes of it.
fn faults(name: &str, text: &str) -> Vec<String> {
    let file = Scratch::new(name, text);
    let path = file.0.to_str().expect("UTF-8");
    let faults = sources(&["--config.file", path], &[]).load().expect_err(text);
    faults.lines().iter().map(|line| line.replace(path, "FILE")).collect()
}

#[test]
fn flags_go_before_variables_and_those_before_the_file() {
    let file = Scratch::new("order", "[walk]\ncap = '1s'\nbudget = 0.1\n\n[endpoint]\npods = 'x'");
    let path = file.0.to_str().expect("UTF-8");
    let environment = [
        ("MEMGAP_CONFIG_FILE", path),
        ("MEMGAP_WALK_CAP", "2s"),
        ("MEMGAP_INTERVAL", "3s"),
        ("MEMGAP_MAX_SERIES", ""),
        ("MEMGAP_WEB_LISTEN_ADDRESS", " :1\n:2 "),
        ("MEMGAP_PORT", "tcp://10.0.0.1:9877"),
    ];
    let configuration = sources(&["--interval=4s", "--process-pids"], &environment).load();
    let configuration = configuration.expect("all is right");
    let args = &configuration.args;
    assert_eq!(args.walk_budget.to_bits(), 0.1f64.to_bits());
    assert_eq!((args.walk_cap.as_secs(), args.interval.as_secs()), (2, 4));
    assert_eq!(args.listen, [":1", ":2"]);
    assert!(args.process_pids);
    assert_eq!((args.max_series, args.pods.as_deref()), (20_000, Some("x")));
    assert!(configuration.doubts.is_empty(), "{:?}", configuration.doubts);

    let printed = configuration.print();
    for line in [
        "web.listen-address = [\":1\", \":2\"] # MEMGAP_WEB_LISTEN_ADDRESS",
        "walk.cap = \"2s\" # MEMGAP_WALK_CAP",
        &format!("walk.budget = 0.1 # {path}:3"),
        "interval = \"4s\" # --interval",
        "process-pids = true # --process-pids",
        "max-series = 20000 # default",
        "# path.cgroupfs is not set: default",
        "\"endpoint\" = [] # default",
        &format!("\"endpoint.pods\" = \"x\" # {path}:6"),
    ] {
        assert!(printed.lines().any(|found| found == line), "{line}\n{printed}");
    }
}

#[test]
fn what_is_printed_is_a_file_that_says_the_same() {
    let flags = ["--endpoint=a \"b\"\n=http://127.0.0.1:1/", "--walk.cap=7ms", "--log.format=json"];
    let whole = sources(&flags, &[]).load().expect("all is right");
    for configuration in [sources(&[], &[]).load().expect("all is right"), whole] {
        let file = Scratch::new("printed", &configuration.print());
        let path = file.0.to_str().expect("UTF-8");
        let again = sources(&["--config.file", path], &[]).load().expect("it is accepted");
        assert_eq!(format!("{:?}", again.args), format!("{:?}", configuration.args));
    }
}

#[test]
fn each_fault_has_a_line_with_file_line_and_key() {
    let text = "intervall = '1s'\nmax-series = 5\nwalk.cap = ['1s']\n[web]\nlisten-address = []\n\
                telemetry-path = '/a\\nb'\n[probe]\nbudgets = 1\n'colour\\n' = 'red'\n";
    assert_eq!(
        faults("each", text),
        [
            "FILE:1: intervall: no setting is called so: did you mean interval?",
            "FILE:2: max-series: \"5\": 5 is not in 1000..=4294967295",
            "FILE:3: walk.cap: it takes one value, no list",
            "FILE:5: web.listen-address: the list is empty: leave it out for the default",
            "FILE:6: web.telemetry-path: \"/a\\\\nb\": it must start with / and hold letters, digits and -_./ only",
            "FILE:8: probe.budgets: no setting is called so: did you mean probe.budget?",
            "FILE:9: probe.colour\\n: no setting is called so",
        ]
    );
    let twice = "walk.cap = '1s'\n'walk.cap' = '2s'\n";
    assert_eq!(faults("twice", twice), ["FILE:2: walk.cap: it is set in line 1 too"]);
    let list = "endpoint = [\n  'a=http://[::1]/',\n  'b=https://[::1]/',\n]\n";
    assert_eq!(faults("list", list), ["FILE:3: endpoint: \"b=https://[::1]/\": TLS is not spoken"]);
    let many = format!("endpoint = [{}]", "'a=b',".repeat(65));
    assert_eq!(faults("many", &many), ["FILE:1: endpoint: it has 65 values: 64 are the most"]);
    assert!(faults("syntax", "a = 1\nb")[0].starts_with("FILE:2: "));
}

#[test]
fn a_variable_that_is_wrong_is_named() {
    let environment = [("MEMGAP_WALK_CAP", "20"), ("MEMGAP_ENDPOINT", "a=https://[::1]/")];
    let faults = sources(&[], &environment).load().expect_err("both are wrong");
    assert_eq!(
        faults.lines(),
        [
            "MEMGAP_WALK_CAP: \"20\": give a number and a unit: 500ms, 10s, 1m",
            "MEMGAP_ENDPOINT: \"a=https://[::1]/\": TLS is not spoken",
        ]
    );
    let doubtful = sources(&[], &[("MEMGAP_INTERVALL", "1s")]).load().expect("it may be another's");
    let doubts = ["MEMGAP_INTERVALL: no setting is called so: did you mean MEMGAP_INTERVAL?"];
    assert_eq!(doubtful.doubts, doubts);
    let file = [("MEMGAP_CONFIG_FILE", "/no/such/file")];
    let faults = sources(&[], &file).load().expect_err("it is not there");
    assert!(faults.lines()[0].starts_with("/no/such/file: can not read it: No such file"));
}

#[test]
fn what_can_change_changes_and_the_rest_is_named() {
    let load = |flags: &[&str]| sources(flags, &[]).load().expect("all is right");
    let running = load(&["--interval=1s", "--path.procfs=/p", "--walk.cap=1s"]);
    let new = load(&["--interval=2s", "--path.procfs=/q", "--max-series=1000"]);
    let (next, changes) = running.changed(new.clone()).expect("both are right");
    assert_eq!(changes.made, ["interval", "max-series", "walk.cap"]);
    assert_eq!(changes.left, ["path.procfs"]);
    assert_eq!((next.args.interval.as_secs(), next.args.max_series), (2, 1000));
    assert_eq!((next.args.procfs.to_str(), next.args.walk_cap.as_millis()), (Some("/p"), 50));
    // What waits for a start is named again each time.
    let (_, changes) = next.changed(new).expect("both are right");
    assert_eq!((changes.made.len(), changes.left), (0, vec!["path.procfs".to_owned()]));
}

#[test]
fn an_error_of_the_command_line_is_one_line() {
    for (flags, told) in [
        (&["memgap-exporter", "--walk.capp=1s"][..], "unexpected argument '--walk.capp' found"),
        (&["memgap-exporter", "--walk.cap=1"], "give a number and a unit"),
        (&["memgap-exporter", "--log.format=xml"], "possible values: text, json"),
    ] {
        let line = usage(&Args::try_parse_from(flags).expect_err("it is wrong"));
        assert!(line.contains(told) && !line.contains('\n'), "{line}");
    }
}
