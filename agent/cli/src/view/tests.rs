//! Pages are snapshots, documents are held against the published schema.

use std::time::UNIX_EPOCH;

use jsonschema::Validator;
use memgap_json as json;
use memgap_ledger::coverage::by_program;
use memgap_ledger::finding::Subject;
use memgap_ledger::program::programs;
use memgap_ledger::reason;
use memgap_ledger::sample::{CgroupSample, CgroupVersion, Named, ProcessKind, ProcessSample};
use memgap_ledger::{
    CgroupLedger, Coverage, Missing, MissingKind, ProcessLedger, Scope, Unread, cgroup, host,
    limits, process,
};
use serde::Serialize;
use serde_json::Value;
use unicode_width::UnicodeWidthStr;

use super::samples;
use super::terminal::Style;
use super::{coverage, page, table};

const PAGE: Style = Style { width: 80, color: false, unicode: true };
const SHOWN: page::Shown = page::Shown { maps: false, findings: false };
const ASCII: Style = Style { unicode: false, ..PAGE };

fn of_container(sample: &CgroupSample, members: &[ProcessSample]) -> CgroupLedger {
    let members: Vec<ProcessLedger> = members.iter().map(process::ledger).collect();
    let refs: Vec<&ProcessLedger> = members.iter().collect();
    cgroup::ledger(sample, Ok(&refs))
}

fn gone() -> Missing {
    Missing::new(MissingKind::Gone, "it ended while it was read")
}

fn processes() -> Vec<ProcessLedger> {
    let kernel = ProcessSample { kind: ProcessKind::Kernel, ..samples::server() };
    let hostile =
        ProcessSample { name: "\x1b[2J\u{202e}日本語".to_owned(), ..samples::server() };
    let lost = ProcessSample::missing(7, &gone());
    [samples::server(), samples::probed(), samples::denied(), kernel, hostile, lost]
        .iter()
        .map(process::ledger)
        .collect()
}

fn cgroups() -> Vec<CgroupLedger> {
    let v1 = CgroupSample {
        version: CgroupVersion::V1,
        path: "/a".to_owned(),
        limit: Ok(None),
        ..samples::container()
    };
    let lost =
        CgroupSample { usage: Err(gone()), stat: Err(gone()), limit: Err(gone()), ..v1.clone() };
    let mut made = vec![
        of_container(&samples::container(), &[samples::server()]),
        of_container(&samples::container(), &[samples::probed(), samples::denied()]),
        of_container(&v1, &[]),
        of_container(&lost, &[]),
    ];
    made.push(cgroup::ledger(&v1, Err(&gone())));
    made
}

#[test]
fn a_process_reads_as_a_waterfall() {
    let ledger = process::ledger(&samples::server());
    insta::assert_snapshot!(page::page(Subject::Process(&ledger), &[12, 13], SHOWN, &PAGE));
}

#[test]
fn statistics_that_tell_no_addresses_give_intervals() {
    let ledger = process::ledger(&samples::probed());
    insta::assert_snapshot!(page::page(Subject::Process(&ledger), &[], SHOWN, &PAGE));
}

#[test]
fn what_was_not_read_is_named() {
    let mut sample = samples::probed();
    sample.runtimes.push(Err(Unread {
        name: "luajit".to_owned(),
        file: "/usr/bin/lua\u{1b}jit".to_owned(),
        why: Missing::absent("LuaJIT, which no probe reads: in use leaves out what it holds"),
        within_another: false,
    }));
    let ledger = process::ledger(&sample);
    let text = page::page(Subject::Process(&ledger), &[], SHOWN, &PAGE);
    assert!(text.contains("not read: luajit in /usr/bin/lua"), "{text}");
    assert!(!text.contains("not known: runtime"), "{text}");
    let wide = Style { width: 120, ..PAGE };
    let text = coverage::table(&Coverage::of([&ledger]), &by_program(&[ledger]), &wide);
    assert!(text.contains("jemalloc; not read: luajit"), "{text}");
}

#[test]
fn a_long_name_costs_a_mapping_none_of_its_figures() {
    let mut sample = samples::server();
    let mut walk = sample.walk.clone().expect("walked");
    let most = (0..walk.areas.len()).max_by_key(|at| walk.areas[*at].rss).expect("some");
    let name = format!("/srv/{}/data.mdb", "deep/".repeat(30)).into();
    walk.named = vec![Named { area: most, access: *b"rw-p", name, file: None }].into();
    sample.walk = Ok(walk);
    let text = page::page(
        Subject::Process(&process::ledger(&sample)),
        &[],
        page::Shown { maps: true, ..SHOWN },
        &PAGE,
    );
    let line = text.lines().find(|line| line.contains("rw-p")).expect("listed");
    assert!(line.contains("iB of ") && line.ends_with("/data.mdb"), "{line}");
    assert!(line.width() == 80, "{line}");
}

#[test]
fn a_long_cgroup_leaves_a_programs_name_and_keeps_its_own_end() {
    let path = format!("/kubepods/{}/the-end", "0123456789abcdef".repeat(4));
    let made = process::ledger(&ProcessSample { cgroup: Ok(path), ..samples::server() });
    let rows = programs(&[made], false);
    let wide = Style { width: 100, ..PAGE };
    let [narrow, wide] = [PAGE, wide].map(|style| {
        let text = table::programs(&rows, &style);
        let line = text.lines().nth(1).expect("one row");
        assert!(line.width() <= style.width, "{line}");
        line.to_owned()
    });
    assert!(narrow.ends_with(" api-server 4711"), "{narrow}");
    assert!(wide.contains(" api-server 4711 ") && wide.ends_with("/the-end"), "{wide}");
}

#[test]
fn of_what_is_read_in_part_only_the_low_bound_is_a_least() {
    let mut sample = samples::probed();
    for runtime in sample.runtimes.iter_mut().flatten() {
        runtime.in_use_bounds = Some((10 * samples::MIB, 300 * samples::MIB));
    }
    let ledger = process::ledger(&ProcessSample { pid: 5, ..sample.clone() });
    // So that less than nine tenths are read.
    let mut walk = sample.walk.clone().expect("walked");
    let more = memgap_ledger::sample::Area {
        start: 1 << 46,
        end: (1 << 46) + 200 * samples::MIB,
        rss: 200 * samples::MIB,
        pss: 200 * samples::MIB,
        anonymous: 200 * samples::MIB,
        private: 200 * samples::MIB,
        accessible: true,
        writable: true,
        ..Default::default()
    };
    walk.areas = walk.areas.iter().cloned().chain([more]).collect();
    let partly = process::ledger(&ProcessSample { walk: Ok(walk), ..sample });
    let text = page::page(Subject::Process(&partly), &[], SHOWN, &PAGE);
    assert!(text.contains(">=10.0 MiB"), "{text}");
    assert!(text.contains("at least, 300 MiB by"), "{text}");
    assert!(!text.contains(">=300 MiB"), "{text}");
    let text = table::programs(&programs(&[partly, ledger], true), &PAGE);
    assert!(!text.contains(">=300 MiB") && text.contains("~300 MiB"), "{text}");
}

#[test]
fn what_was_denied_is_said() {
    let ledger = process::ledger(&samples::denied());
    insta::assert_snapshot!(page::page(Subject::Process(&ledger), &[], SHOWN, &ASCII));
}

#[test]
fn a_container_is_one_waterfall_with_cuts() {
    let ledger = of_container(&samples::container(), &[samples::server()]);
    insta::assert_snapshot!(page::page(Subject::Cgroup(&ledger), &[], SHOWN, &PAGE));
}

#[test]
fn a_limit_that_is_met_first_further_up_is_named() {
    let mut made: Vec<_> =
        samples::above().iter().map(|c| cgroup::ledger(c, Err(&gone()))).collect();
    made.push(of_container(&samples::container(), &[samples::server()]));
    limits::settle(&mut made, &Ok(0));
    insta::assert_snapshot!(page::page(Subject::Cgroup(&made[2]), &[], SHOWN, &PAGE));
    let text = json::Document::new(UNIX_EPOCH, json::explanation(Subject::Cgroup(&made[2]), &[]));
    let text = text.text().expect("serializes");
    assert!(text.contains("\"path\": \"/kubepods.slice\""), "{text}");
}

#[test]
fn a_legend_explains_what_is_to_be_seen() {
    let mut small = samples::container();
    if let Ok(stat) = &mut small.stat {
        // All that can be taken back is too little to be drawn.
        (stat.active_file, stat.inactive_file, stat.file) = (0, 0, stat.shmem);
        stat.slab_reclaimable = Some(1 << 10);
    }
    let mut made = cgroups();
    made.push(of_container(&small, &[]));
    for cgroup in &made {
        let text = page::page(Subject::Cgroup(cgroup), &[], SHOWN, &PAGE);
        for glyph in ['▒', '▓', '·'] {
            assert_ne!(text.matches(glyph).count(), 1, "{text}");
        }
    }
}

#[test]
fn without_processes_a_container_still_closes() {
    let ledger = cgroup::ledger(&samples::container(), Err(&gone()));
    insta::assert_snapshot!(page::page(Subject::Cgroup(&ledger), &[], SHOWN, &ASCII));
}

#[test]
fn a_container_whose_process_is_closed_to_us_is_answered_in_part() {
    let open = of_container(&samples::container(), &[samples::server()]);
    let closed = of_container(&samples::container(), &[samples::denied()]);
    assert!(!reason::is_denied(Subject::Cgroup(&open)));
    assert!(reason::is_denied(Subject::Cgroup(&closed)));
    assert!(page::page(Subject::Cgroup(&closed), &[], SHOWN, &PAGE).contains("run as root"));
}

#[test]
fn the_host_closes_on_its_total() {
    let ledger = host::ledger(&samples::machine());
    insta::assert_snapshot!(page::page(Subject::Host(&ledger), &[], SHOWN, &PAGE));
}

#[test]
fn tables_hold_one_line_each() {
    insta::assert_snapshot!(
        table::programs(&programs(&processes(), false), &PAGE) + &table::cgroups(&cgroups(), &PAGE)
    );
}

#[test]
fn coverage_tells_who_explains_what() {
    let processes = processes();
    insta::assert_snapshot!(coverage::table(
        &Coverage::of(&processes),
        &by_program(&processes),
        &PAGE
    ));
}

#[test]
fn no_line_is_wider_than_the_page_nor_moves_the_cursor() {
    let host = host::ledger(&samples::machine());
    let (processes, cgroups) = (processes(), cgroups());
    for width in [80, 120] {
        for style in [Style { width, ..PAGE }, Style { width, ..ASCII }] {
            let mut pages = vec![
                table::programs(&programs(&processes, true), &style),
                table::cgroups(&cgroups, &style),
                table::accounts(&style),
                coverage::table(&Coverage::of(&processes), &by_program(&processes), &style),
                page::page(Subject::Host(&host), &[], SHOWN, &style),
            ];
            pages.extend(
                processes.iter().map(|p| page::page(Subject::Process(p), &[], SHOWN, &style)),
            );
            pages
                .extend(cgroups.iter().map(|c| page::page(Subject::Cgroup(c), &[], SHOWN, &style)));
            for line in pages.iter().flat_map(|page| page.lines()) {
                assert!(line.width() <= width, "{} of {width}: {line}", line.width());
                assert!(!line.contains(['\x1b', '\u{202e}']), "{line:?}");
                assert!(style.unicode || line.is_ascii(), "{line}");
            }
        }
    }
}

#[test]
fn colour_adds_nothing_but_colour() {
    let ledger = of_container(&samples::container(), &[samples::server()]);
    let plain = page::page(Subject::Cgroup(&ledger), &[], SHOWN, &PAGE);
    let painted = page::page(Subject::Cgroup(&ledger), &[], SHOWN, &Style { color: true, ..PAGE });
    let mut stripped = String::new();
    for (at, part) in painted.split('\x1b').enumerate() {
        stripped += if at == 0 { part } else { part.split_once('m').expect("a colour").1 };
    }
    assert_eq!(stripped, plain);
}

#[test]
fn every_account_is_listed() {
    let text = table::accounts(&PAGE);
    let document = document(&json::accounts());
    let listed = document["accounts"].as_array().expect("array");
    for (scope, account) in Scope::ALL.into_iter().flat_map(|s| s.accounts().map(move |a| (s, a))) {
        assert!(text.contains(account.name()));
        let found =
            listed.iter().any(|a| a["scope"] == scope.name() && a["name"] == account.name());
        assert!(found, "{} {}", scope.name(), account.name());
    }
}

#[test]
fn every_document_is_as_the_schema_says() {
    let schema = schema();
    let host = host::ledger(&samples::machine());
    let (processes, cgroups) = (processes(), cgroups());
    let mut documents: Vec<Value> =
        processes.iter().map(|p| document(&json::explanation(Subject::Process(p), &[1]))).collect();
    documents.extend(cgroups.iter().map(|c| document(&json::explanation(Subject::Cgroup(c), &[]))));
    documents.push(document(&json::explanation(Subject::Host(&host), &[])));
    for document in &documents {
        reasoned(document);
    }
    let lists = [
        document(&json::processes(&programs(&processes, false), &processes)),
        document(&json::cgroups(&cgroups)),
    ];
    for line in
        lists.iter().filter_map(|l| l["processes"].as_array().or(l["cgroups"].as_array())).flatten()
    {
        reasoned(line);
    }
    documents.extend(lists);
    documents.push(document(&json::accounts()));
    let counts = json::Counts { processes: 1, cgroups: 2, files: 3, bytes: 4, redacted: true };
    documents.push(document(&json::capture("/tmp/a", counts, &[gone()])));
    documents.push(document(&json::Output::Files(vec!["memgap.1".to_owned()])));
    documents.push(document(&json::Output::Text("text".to_owned())));
    for document in &documents {
        let errors: Vec<String> = schema.iter_errors(document).map(|e| e.to_string()).collect();
        assert!(errors.is_empty(), "{errors:?} in {document:#}");
    }
}

#[test]
fn the_schema_refuses_what_it_does_not_describe() {
    let schema = schema();
    let whole =
        document(&json::explanation(Subject::Process(&process::ledger(&samples::server())), &[]));
    assert!(schema.is_valid(&whole));
    for (path, wrong) in [
        ("/schema", Value::from("memgap/2")),
        ("/headline/rss", Value::from("1 GiB")),
        ("/accounts/0/bytes", Value::from(0)),
        ("/accounts/0/class", Value::from("other")),
        ("/scope/kind", Value::from("cgroup")),
    ] {
        let mut document = whole.clone();
        *document.pointer_mut(path).expect(path) = wrong;
        assert!(!schema.is_valid(&document), "{path}");
    }
}

fn schema() -> Validator {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/schema/memgap-1.json");
    let text = std::fs::read_to_string(path).expect("the schema is readable");
    jsonschema::validator_for(&serde_json::from_str(&text).expect("JSON")).expect("a schema")
}

fn document<T: Serialize>(body: &T) -> Value {
    let text = json::Document::new(UNIX_EPOCH, body).text().expect("encodes");
    serde_json::from_str(&text).expect("JSON")
}

/// Whatever is null has its reason in `absent`.
fn reasoned(document: &Value) {
    let absent = document["absent"].as_array().expect("array");
    let has = |what: &str| absent.iter().any(|a| a["what"] == what);
    for (name, figure) in document["headline"].as_object().expect("object") {
        let name = if name == "in_use_coverage" { "in_use" } else { name };
        assert!(!figure.is_null() || has(name), "{name} in {document:#}");
    }
    for (name, value) in document["scope"].as_object().expect("object") {
        assert!(!value.is_null() || has(name), "{name} in {document:#}");
    }
    for account in document["accounts"].as_array().into_iter().flatten() {
        let name = account["name"].as_str().expect("text");
        assert!(!account["bytes"].is_null() || has(name), "{name} in {document:#}");
    }
}
