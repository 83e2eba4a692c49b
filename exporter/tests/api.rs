//! The HTTP API of the real daemon: what it serves is what the schema describes, its books
//! close, and pages together are the whole.

mod common;

use std::collections::BTreeSet;
use std::process::{Child, Command};
use std::time::Instant;

use common::daemon::{Daemon, PATIENCE, Response};
use jsonschema::Validator;
use serde_json::{Value, json};

const SCHEMA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/schema/memgap-1.json");
const OPENAPI: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/schema/openapi-1.json");
const NODE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/kubernetes");

/// Processes that end with the value.
struct Sleepers(Vec<Child>);

impl Sleepers {
    fn start(count: usize) -> Self {
        let start = |_| Command::new("sleep").arg("600").spawn().expect("sleep is of coreutils");
        Self((0..count).map(start).collect())
    }

    fn pids(&self) -> BTreeSet<u64> {
        self.0.iter().map(|child| child.id().into()).collect()
    }
}

impl Drop for Sleepers {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn read(path: &str) -> Value {
    let text = std::fs::read_to_string(path).expect("the document is readable");
    serde_json::from_str(&text).expect("JSON")
}

fn schema() -> Validator {
    jsonschema::validator_for(&read(SCHEMA)).expect("a schema")
}

fn assert_valid(schema: &Validator, document: &Value) {
    if let Some(error) = schema.iter_errors(document).next() {
        panic!("{error} at {}: {document}", error.instance_path());
    }
}

fn of(answer: &Response) -> Value {
    serde_json::from_slice(&answer.body).expect("JSON")
}

/// What is served at a path below the API's; it is there.
fn get(daemon: &Daemon, path: &str) -> Value {
    let answer = daemon.get(&format!("/api/v1/{path}"));
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    assert_eq!(answer.header("content-type"), "application/json");
    of(&answer)
}

fn encoded(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

/// The items of all pages, with `between` done after each.
fn pages(daemon: &Daemon, list: &str, limit: usize, mut between: impl FnMut()) -> Vec<Value> {
    let mut items = Vec::new();
    let mut after = String::new();
    let by = if list.contains('?') { '&' } else { '?' };
    loop {
        let page = get(daemon, &format!("{list}{by}limit={limit}{after}"));
        let found = page["items"].as_array().expect("items");
        assert!(found.len() <= limit);
        items.extend(found.iter().cloned());
        let Some(next) = page["next"].as_str() else { return items };
        assert!(!found.is_empty(), "a page that leads on has items");
        after = format!("&after={}", encoded(next));
        between();
    }
}

/// The points of a document's accounts sum to the headlines.
fn assert_closed(document: &Value) {
    let accounts = document["accounts"].as_array().expect("accounts");
    let sum = |axes: &[&str]| -> i64 {
        let is_of = |a: &&Value| axes.contains(&a["axis"].as_str().expect("an axis"));
        accounts.iter().filter(is_of).filter_map(|a| a["bytes"].as_i64()).sum()
    };
    let totals: &[(&str, &[&str])] = match document["scope"]["kind"].as_str() {
        Some("process") => &[("rss", &["rss"]), ("vsz", &["rss", "vsz"])],
        Some("cgroup") => &[("usage", &["usage"])],
        Some("host") => &[("total", &["total"])],
        kind => panic!("no scope is {kind:?}"),
    };
    for (headline, axes) in totals {
        assert_eq!(document["headline"][headline].as_i64(), Some(sum(axes)), "{document}");
    }
}

fn pid(document: &Value) -> u64 {
    document["scope"]["pid"].as_u64().expect("a pid")
}

/// The captured Kubernetes node.
fn node(more: &[&str]) -> Daemon {
    let paths = [
        format!("--path.procfs={NODE}/proc"),
        format!("--path.cgroupfs={NODE}/sys/fs/cgroup"),
        format!("--path.container-logs={NODE}/var/log/containers"),
    ];
    let mut arguments = vec!["--web.api"];
    arguments.extend(paths.iter().map(String::as_str));
    arguments.extend(more);
    Daemon::ready(&arguments)
}

#[test]
fn all_that_is_served_is_of_the_schema_and_closes() {
    let sleepers = Sleepers::start(3);
    for daemon in [Daemon::ready(&["--web.api"]), node(&[])] {
        let schema = schema();
        for list in ["containers", "cgroups", "processes"] {
            let page = get(&daemon, list);
            assert_valid(&schema, &page);
            let items = pages(&daemon, list, 1000, || ());
            assert_eq!(page["absent"], json!([]));
            for item in &items {
                assert_valid(&schema, item);
                assert_closed(item);
                assert!(item["time"].as_str() <= page["time"].as_str());
            }
            assert!(list != "processes" || !items.is_empty());
        }
        let host = get(&daemon, "host");
        assert_valid(&schema, &host);
        assert_closed(&host);
        assert_valid(&schema, &get(&daemon, "findings"));
        assert_valid(&schema, &get(&daemon, "oom-kills"));
    }
    // Those of this machine are there, and what is asked for by name is that.
    let daemon = Daemon::ready(&["--web.api"]);
    let found: BTreeSet<u64> = pages(&daemon, "processes", 1000, || ()).iter().map(pid).collect();
    assert!(found.is_superset(&sleepers.pids()));
    for item in get(&daemon, "processes?name=sleep")["items"].as_array().expect("items") {
        assert_eq!(item["scope"]["name"], "sleep");
    }
}

#[test]
fn containers_and_their_processes_go_by_the_names_of_kubernetes() {
    let daemon = node(&[]);
    let all = pages(&daemon, "containers", 1000, || ());
    let kinds: BTreeSet<_> =
        all.iter().map(|c| c["scope"]["identity"]["kind"].as_str().expect("a kind")).collect();
    assert_eq!(kinds, BTreeSet::from(["container"]));
    let cgroups = get(&daemon, "cgroups")["count"].as_u64().expect("a count");
    assert!(cgroups > all.len() as u64, "units are no containers");
    let api = get(&daemon, "containers?namespace=shop&container=api");
    assert_eq!(api["count"], 1);
    let identity = &api["items"][0]["scope"]["identity"];
    assert_eq!(identity["names"]["container"], "api");
    let id = identity["id"].as_str().expect("an id");
    for name in ["api", id, &id[..12]] {
        let page = get(&daemon, &format!("processes?container={name}"));
        let path = api["items"][0]["scope"]["path"].as_str().expect("a path");
        let items = page["items"].as_array().expect("items");
        assert!(!items.is_empty(), "{name}");
        for item in items {
            let own = item["scope"]["cgroup"].as_str().expect("a path");
            assert!(own == path || own.starts_with(&format!("{path}/")), "{own}");
        }
    }
    assert_eq!(get(&daemon, "containers?container=nobody")["count"], 0);
}

/// In each list the pages of any size are the whole; the whole is what the documents say.
#[test]
fn pages_of_one_collection_are_the_whole() {
    let daemon = node(&["--interval=60m"]);
    for list in ["containers", "cgroups", "processes", "findings"] {
        let whole = get(&daemon, &format!("{list}?limit=1000"));
        let items = pages(&daemon, list, 1000, || ());
        assert_eq!(whole["count"].as_u64(), Some(items.len() as u64), "{list}");
        for limit in [1, 3] {
            assert_eq!(pages(&daemon, list, limit, || ()), items, "{list} by {limit}");
        }
    }
    let findings = pages(&daemon, "findings", 1000, || ());
    let mut told = 0;
    for document in pages(&daemon, "cgroups", 1000, || ())
        .into_iter()
        .chain(pages(&daemon, "processes", 1000, || ()))
        .chain([get(&daemon, "host")])
    {
        for finding in document["findings"].as_array().expect("findings") {
            told += 1;
            let same = |f: &&Value| f["finding"] == *finding && f["scope"] == document["scope"];
            assert_eq!(findings.iter().filter(same).count(), 1, "{finding}");
        }
    }
    assert_eq!(told, findings.len());
    let grave = |f: &Value| match f["finding"]["severity"].as_str() {
        Some("critical") => 2,
        Some("warning") => 1,
        _ => 0,
    };
    let ranks: Vec<_> =
        findings.iter().map(|f| (grave(f), f["finding"]["bytes"].as_i64())).collect();
    assert!(ranks.is_sorted_by(|a, b| a >= b), "{ranks:?}");
    assert!(ranks.len() > 1, "a node without findings ranks nothing");
    let severe = get(&daemon, "findings?severity=warning");
    assert_eq!(severe["count"].as_u64(), Some(ranks.iter().filter(|r| r.0 == 1).count() as u64));
}

/// Who is there from before the first page until after the last is there once, whoever
/// comes and goes meanwhile.
#[test]
fn pages_of_many_collections_lose_and_double_nobody_who_stays() {
    let stay = Sleepers::start(12);
    let daemon = Daemon::ready(&["--web.api", "--interval=100ms"]);
    let mut collections = BTreeSet::new();
    let mut guests = Sleepers::start(6);
    let items = pages(&daemon, "processes?name=sleep", 3, || {
        // Some of those that were seen go, and others come.
        guests = Sleepers::start(3);
        let seen = wait_for_another(&daemon, &collections);
        collections.insert(seen);
    });
    assert!(collections.len() >= 2, "{} collections", collections.len());
    let pids: Vec<u64> = items.iter().map(pid).collect();
    assert!(pids.is_sorted_by(|a, b| a < b), "{pids:?}");
    assert!(pids.iter().copied().collect::<BTreeSet<_>>().is_superset(&stay.pids()), "{pids:?}");
    drop(guests);
}

/// The tag of a collection that is none of those.
fn wait_for_another(daemon: &Daemon, seen: &BTreeSet<String>) -> String {
    let end = Instant::now() + PATIENCE;
    loop {
        let tag = daemon.ask("HEAD", "/api/v1/host", "").header("etag").to_owned();
        if !tag.is_empty() && !seen.contains(&tag) {
            return tag;
        }
        assert!(Instant::now() < end, "no collection in time");
        std::thread::yield_now();
    }
}

/// The order of findings is of one collection: a page of another is refused, not made up.
#[test]
fn pages_of_findings_end_with_their_collection() {
    let daemon = node(&["--interval=100ms"]);
    let page = get(&daemon, "findings?limit=1");
    let next = page["next"].as_str().expect("the node has two findings");
    let seen = BTreeSet::from([format!("\"{}\"", next.split('-').next().expect("a collection"))]);
    wait_for_another(&daemon, &seen);
    let answer = daemon.get(&format!("/api/v1/findings?limit=1&after={next}"));
    assert_eq!(answer.status, 410, "{}", answer.text());
    assert_problem(&answer, "after: that collection is gone: begin anew, without it");
}

fn assert_problem(answer: &Response, detail: &str) {
    assert_eq!(answer.header("content-type"), "application/problem+json");
    assert_eq!(answer.header("cache-control"), "no-store");
    let problem = of(answer);
    assert_eq!(problem["status"], answer.status);
    let found = problem["detail"].as_str().expect("a detail");
    assert!(found.starts_with(detail) && !found.contains('\n'), "{found}");
}

#[test]
fn a_request_that_is_wrong_gets_one_line_that_names_it() {
    let daemon = node(&[]);
    for (path, status, detail) in [
        ("processes?limit=0", 400, "limit: \"0\" is no whole number from 1 to 1000"),
        ("processes?limit=1001", 400, "limit: \"1001\" is no whole number"),
        ("processes?after=x", 400, "after: \"x\" is no pid"),
        ("processes?after=-1", 400, "after: \"-1\" is no pid"),
        ("processes?after=4294967296", 400, "after: \"4294967296\" is no pid"),
        ("processes?name=", 400, "name: it has no value"),
        ("processes?name=a&name=b", 400, "name: it is given twice"),
        ("processes?pod=a", 400, "\"pod\": there is no such parameter here: there are limit, "),
        ("containers?container=%ff", 400, "container: it is not UTF-8"),
        ("oom-kills?after=x", 400, "after: \"x\" is no number of a last ledger"),
        ("findings?after=1", 400, "after: \"1\" is no end of a page"),
        ("findings?after=1-0000000001", 410, "after: that collection is gone"),
        ("host?limit=1", 400, "\"limit\": there is no such parameter here"),
        ("openapi.json?x", 400, "\"x\": there is no such parameter here"),
        ("", 404, "there is no such path"),
        ("nothing", 404, "there is no such path"),
        ("processes/", 404, "there is no such path"),
    ] {
        let answer = daemon.get(&format!("/api/v1/{path}"));
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
        assert_problem(&answer, detail);
    }
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"] {
        for path in ["processes", "host", "openapi.json"] {
            let answer = daemon.ask(method, &format!("/api/v1/{path}"), "");
            assert_eq!((answer.status, answer.header("allow")), (405, "GET, HEAD"), "{method}");
            assert_problem(&answer, "method: it must be GET or HEAD");
        }
    }
}

#[test]
fn who_has_what_was_collected_last_is_told_so() {
    let daemon = node(&["--interval=60m"]);
    let get = |headers: &str| daemon.ask("GET", "/api/v1/host", headers);
    let whole = get("");
    let tag = whole.header("etag").to_owned();
    assert_eq!(whole.header("cache-control"), "no-store");
    for (known, status) in [
        (tag.clone(), 304),
        (format!("\"1\", W/{tag}"), 304),
        ("*".to_owned(), 304),
        ("\"1\"".to_owned(), 200),
    ] {
        let answer = get(&format!("If-None-Match: {known}\r\n"));
        assert_eq!((answer.status, answer.header("etag")), (status, &*tag), "{known}");
        assert_eq!(answer.body.is_empty(), status == 304);
    }
    let head = daemon.ask("HEAD", "/api/v1/host", "");
    assert_eq!((head.status, head.body.len()), (200, 0));
    let of_one = |response: &Response| {
        let mut headers = response.headers.clone();
        headers.remove("date");
        headers
    };
    assert_eq!(of_one(&head), of_one(&whole), "HEAD tells what GET does");
    let served = of(&daemon.get("/api/v1/openapi.json"));
    assert!(served == read(OPENAPI), "the exporter is of another document");
}

#[test]
fn who_may_not_scrape_may_not_ask() {
    let name = format!("memgap-api-{}.yml", std::process::id());
    let path = std::env::temp_dir().join(name);
    let hash = bcrypt::hash("secret", 4).expect("a hash");
    std::fs::write(&path, format!("basic_auth_users:\n  a: {hash}\n")).expect("a file");
    let daemon = node(&[&format!("--web.config.file={}", path.display())]);
    std::fs::remove_file(&path).expect("it was read");
    for path in ["host", "processes", "openapi.json", "nothing"] {
        let path = format!("/api/v1/{path}");
        let answer = daemon.get(&path);
        assert_eq!((answer.status, daemon.get("/metrics").status), (401, 401));
        assert!(answer.header("www-authenticate").starts_with("Basic "));
        assert_problem(&answer, "who asks? give a name and a password");
        // "a:secret"
        let answer = daemon.ask("GET", &path, "Authorization: Basic YTpzZWNyZXQ=\r\n");
        assert_ne!(answer.status, 401, "{path}");
    }
}

#[test]
fn without_the_flag_there_is_no_api_and_nothing_is_made_for_it() {
    let daemon = Daemon::ready(&[]);
    for path in ["/api/v1", "/api/v1/host", "/api/v1/openapi.json"] {
        let answer = daemon.get(path);
        assert_eq!(answer.status, 404);
        assert_problem(&answer, "the API is off: start the exporter with --web.api");
    }
    assert!(common::samples(&daemon.families(), "memgap_exporter_api_bytes").is_empty());
}
