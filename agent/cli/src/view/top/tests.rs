//! Screens are snapshots; keys are pressed on made ledgers.

use std::sync::Arc;
use std::time::Duration;

use memgap_ledger::sample::{MachineSample, ProcessSample};
use memgap_ledger::{Machine, Missing};
use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::*;
use crate::view::samples::{self, MIB};

const STYLE: Style = Style { width: 80, color: false, unicode: true };

fn process(pid: u32, name: &str, cgroup: &str, sample: ProcessSample) -> ProcessSample {
    ProcessSample { pid, name: name.to_owned(), cgroup: Ok(cgroup.to_owned()), ..sample }
}

/// A container with its pod, and processes in it and elsewhere; `grown` is what one of them
/// holds beyond what it began with.
fn machine(grown: u64) -> Machine {
    let mut growing = samples::probed();
    if let Ok(counters) = &mut growing.counters {
        counters.rss += grown;
    }
    let container = samples::container();
    let path = container.path.clone();
    let processes = vec![
        process(10, "api-server", &path, samples::server()),
        process(11, "growing", &path, growing),
        process(12, "hidden", "/system.slice/a.service", samples::denied()),
        process(13, "\x1b[2J日本語", "/system.slice/a.service", samples::probed()),
    ];
    let cgroups = Ok(samples::above().into_iter().chain([container]).collect());
    Machine::of(&MachineSample { host: samples::machine(), cgroups, processes })
}

fn top() -> Top {
    let mut top = Top::new(STYLE, Duration::from_secs(2));
    for step in 0..20u64 {
        top.take(machine(step * 10 * MIB), Duration::from_secs(step * 10));
    }
    top
}

fn press(top: &mut Top, keys: &str) {
    for key in keys.chars() {
        assert_eq!(top.press(Key::Char(key)), After::GoOn);
    }
}

fn drawn(top: &mut Top, width: u16, height: u16) -> Terminal<TestBackend> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a test's");
    terminal.draw(|frame| draw(top, frame)).expect("a test's");
    terminal
}

fn screen(top: &mut Top, width: u16, height: u16) -> String {
    drawn(top, width, height).backend().to_string()
}

fn names(top: &Top) -> Vec<&str> {
    top.listed.iter().map(|row| top.rows[*row].label.as_str()).collect()
}

#[test]
fn programs_and_containers_at_three_sizes() {
    for (width, height) in [(80, 24), (120, 40), (200, 60)] {
        let mut top = top();
        insta::assert_snapshot!(format!("programs-{width}"), screen(&mut top, width, height));
        top.press(Key::Tab);
        insta::assert_snapshot!(format!("containers-{width}"), screen(&mut top, width, height));
        top.press(Key::Enter);
        insta::assert_snapshot!(format!("explained-{width}"), screen(&mut top, width, height));
    }
}

#[test]
fn help_fits_the_least_screen() {
    let mut top = top();
    press(&mut top, "?");
    insta::assert_snapshot!(screen(&mut top, 80, 24));
    press(&mut top, "x");
    assert!(!top.help);
}

#[test]
fn every_size_is_drawn_whatever_is_shown() {
    for keys in ["", "?", "2", "/none"] {
        for (width, height) in [(0, 0), (1, 1), (3, 2), (20, 5), (79, 23), (300, 100)] {
            let mut top = top();
            press(&mut top, keys);
            drawn(&mut top, width, height);
            top.press(Key::Enter);
            top.press(Key::Enter);
            drawn(&mut top, width, height);
        }
    }
    drawn(&mut Top::new(STYLE, Duration::from_secs(2)), 80, 24);
}

#[test]
fn keys_sort_and_what_is_not_known_comes_last() {
    let mut top = top();
    press(&mut top, "g");
    assert_eq!(names(&top)[0], "growing");
    assert_eq!(top.rows[top.listed[0]].growth, Some(signed(190 * MIB)));
    press(&mut top, "b");
    assert_eq!(names(&top).last(), Some(&"hidden"));
    press(&mut top, "n");
    assert_eq!(names(&top)[1], "api-server");
    press(&mut top, "r");
    assert!(["api-server", "growing"].contains(&names(&top)[0]), "{:?}", names(&top));
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).expect("a test's")
}

#[test]
fn a_filter_is_typed_kept_and_dropped() {
    let mut top = top();
    press(&mut top, "/GROWq");
    assert!(names(&top).is_empty());
    top.press(Key::Backspace);
    assert_eq!(names(&top), ["growing"]);
    top.press(Key::Enter);
    top.take(machine(0), Duration::from_secs(500));
    assert_eq!(names(&top), ["growing"]);
    top.press(Key::Escape);
    assert_eq!(names(&top).len(), 4);
    assert_eq!(top.press(Key::Char('q')), After::Quit);
}

#[test]
fn the_selected_one_stays_selected_when_the_order_changes() {
    let mut top = top();
    press(&mut top, "n");
    while names(&top)[top.at()] != "growing" {
        assert!(top.at() < 3, "it is not there");
        top.press(Key::Down);
    }
    top.take(machine(500 * MIB), Duration::from_secs(500));
    assert_eq!(names(&top)[top.at()], "growing");
    press(&mut top, "g");
    assert_eq!(top.at(), 0);
}

#[test]
fn one_that_has_ended_is_said_to_have() {
    let mut top = top();
    press(&mut top, "g");
    top.press(Key::Enter);
    let mut machine = machine(0);
    machine.processes.retain(|process| process.name != "growing");
    top.take(machine.clone(), Duration::from_secs(500));
    assert!(screen(&mut top, 80, 24).contains("it has ended"));
    top.press(Key::Escape);
    assert_eq!(names(&top).len(), 3);
    // Its history ended with it: one that comes back under its name begins anew.
    machine.processes.push(Arc::new(memgap_ledger::process::ledger(&process(
        99,
        "growing",
        "/system.slice/a.service",
        samples::probed(),
    ))));
    top.take(machine, Duration::from_secs(510));
    assert_eq!(top.rows.iter().find(|row| row.label == "growing").and_then(|r| r.growth), Some(0));
}

#[test]
fn what_can_not_be_read_is_said_and_the_last_stays() {
    let mut top = top();
    top.lacks("/proc: no such directory".to_owned());
    let shown = screen(&mut top, 80, 24);
    assert!(shown.contains("/proc: no such directory") && shown.contains("api-server"), "{shown}");
    let mut machine = machine(0);
    machine.cgroups = Err(Missing::absent("no cgroup file system is mounted"));
    top.take(machine, Duration::from_secs(500));
    press(&mut top, "2");
    assert!(screen(&mut top, 80, 24).contains("no cgroup file system"));
}
