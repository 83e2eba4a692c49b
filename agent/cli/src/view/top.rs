//! `memgap top`: what is shown, in which order, and what keys do. Pure: whoever owns the terminal
//! hands it ledgers and keys.

mod ansi;
mod draw;
mod name;
mod past;
mod rows;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use memgap_ledger::{CgroupLedger, Machine, ProcessLedger, Program, program};

pub use draw::draw;
use name::Name;
use past::Past;
use rows::Row;

use super::terminal::Style;

/// What the table lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tab {
    /// The processes of one name in one cgroup together.
    Programs,
    /// Cgroups without others below them.
    Containers,
}

/// The order of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    /// What could be had back, the most first.
    Back,
    /// Room, the least first.
    Room,
    /// Growth since it was first seen, the most first.
    Growth,
    /// What it holds, the most first.
    Size,
    /// By name.
    Name,
}

/// What a user pressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// A character.
    Char(char),
    /// A step up or down.
    Up,
    /// See above.
    Down,
    /// A page up or down.
    PageUp,
    /// See above.
    PageDown,
    /// To the begin or the end.
    Home,
    /// See above.
    End,
    /// Show the selected one.
    Enter,
    /// Back.
    Escape,
    /// Take the last character back.
    Backspace,
    /// The other list.
    Tab,
}

/// Whether it goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// It does.
    GoOn,
    /// The user has seen enough.
    Quit,
}

/// The one that is shown alone: what was read of it last, and whether it still is there.
#[derive(Debug, Clone)]
struct Shown {
    name: Name,
    of: Of,
    is_gone: bool,
    scroll: usize,
}

#[derive(Debug, Clone)]
enum Of {
    Process { ledger: Arc<ProcessLedger>, others: Vec<u32> },
    Cgroup(Arc<CgroupLedger>),
}

/// All that is shown.
#[derive(Debug)]
pub struct Top {
    style: Style,
    interval: Duration,
    machine: Option<Machine>,
    programs: Vec<Program>,
    /// Why the last collection failed.
    lack: Option<String>,
    /// All rows of the tab, then those that are shown of them, in order.
    rows: Vec<Row>,
    listed: Vec<usize>,
    past: Past,
    tab: Tab,
    sort: Sort,
    filter: String,
    /// Whether keys are written into the filter.
    typing: bool,
    selected: Option<Name>,
    shown: Option<Shown>,
    help: bool,
    /// Lines of a page, as they were drawn last.
    page: usize,
}

/// Characters of a filter.
const LONGEST_FILTER: usize = 64;

impl Top {
    /// Nothing is known yet.
    pub fn new(style: Style, interval: Duration) -> Self {
        Self {
            style,
            interval,
            machine: None,
            programs: Vec::new(),
            lack: None,
            rows: Vec::new(),
            listed: Vec::new(),
            past: Past::default(),
            tab: Tab::Programs,
            sort: Sort::Back,
            filter: String::new(),
            typing: false,
            selected: None,
            shown: None,
            help: false,
            page: 10,
        }
    }

    /// Takes the ledgers of a collection, made at that time.
    pub fn take(&mut self, machine: Machine, at: Duration) {
        self.programs = program::programs(&machine.processes, false);
        self.past.note(&machine, &self.programs, at);
        self.machine = Some(machine);
        self.lack = None;
        self.list();
        self.look_again();
    }

    /// A collection failed: what was read before stays.
    pub fn lacks(&mut self, why: String) {
        self.lack = Some(why);
    }

    /// Does what a key asks for.
    pub fn press(&mut self, key: Key) -> After {
        if self.typing {
            self.write(key);
        } else if self.help {
            self.help = false;
        } else if key == Key::Char('q') {
            return After::Quit;
        } else if self.shown.is_some() {
            self.scroll(key);
        } else {
            self.command(key);
        }
        After::GoOn
    }

    fn command(&mut self, key: Key) {
        match key {
            Key::Tab => {
                let other = if self.tab == Tab::Programs { Tab::Containers } else { Tab::Programs };
                self.open(other);
            }
            Key::Char('1') => self.open(Tab::Programs),
            Key::Char('2') => self.open(Tab::Containers),
            Key::Char('/') => self.typing = true,
            Key::Char('?' | 'h') => self.help = true,
            Key::Enter => self.show(),
            Key::Escape => {
                self.filter.clear();
                self.list();
            }
            Key::Char(letter) => match Sort::of(letter) {
                Some(sort) => {
                    self.sort = sort;
                    // Whoever asks for the most wants to see it.
                    self.selected = None;
                    self.list();
                }
                None => self.step(key),
            },
            _ => self.step(key),
        }
    }

    fn open(&mut self, tab: Tab) {
        if self.tab != tab {
            self.tab = tab;
            self.selected = None;
            self.list();
        }
    }

    fn write(&mut self, key: Key) {
        match key {
            Key::Char(letter) if self.filter.chars().count() < LONGEST_FILTER => {
                self.filter.push(letter);
            }
            Key::Backspace => {
                self.filter.pop();
            }
            Key::Enter => self.typing = false,
            Key::Escape => {
                self.typing = false;
                self.filter.clear();
            }
            Key::Up | Key::Down => {
                self.typing = false;
                self.step(key);
            }
            _ => {}
        }
        self.list();
    }

    fn step(&mut self, key: Key) {
        let last = self.listed.len().saturating_sub(1);
        let at = self.at();
        let to = moved(at, key, self.page).min(last);
        self.selected = self.listed.get(to).map(|row| self.rows[*row].name.clone());
    }

    fn scroll(&mut self, key: Key) {
        let page = self.page;
        let Some(shown) = &mut self.shown else { return };
        match key {
            Key::Escape | Key::Enter | Key::Backspace => self.shown = None,
            // Drawing knows how many lines there are.
            key => shown.scroll = moved(shown.scroll, key, page),
        }
    }

    /// The line of the selected row; that of one that has gone is the first.
    fn at(&self) -> usize {
        let is_selected = |row: &usize| Some(&self.rows[*row].name) == self.selected.as_ref();
        self.listed.iter().position(is_selected).unwrap_or(0)
    }

    fn show(&mut self) {
        let Some(row) = self.listed.get(self.at()) else { return };
        let name = self.rows[*row].name.clone();
        if let Some(of) = self.machine.as_ref().and_then(|machine| rows::find(machine, &name)) {
            self.selected = Some(name.clone());
            self.shown = Some(Shown { name, of, is_gone: false, scroll: 0 });
        }
    }

    fn look_again(&mut self) {
        if let (Some(shown), Some(machine)) = (&mut self.shown, &self.machine) {
            match rows::find(machine, &shown.name) {
                Some(of) => (shown.of, shown.is_gone) = (of, false),
                None => shown.is_gone = true,
            }
        }
    }

    /// Makes the rows anew, and their order.
    fn list(&mut self) {
        let Some(machine) = &self.machine else { return };
        self.rows = match self.tab {
            Tab::Programs => rows::of_programs(machine, &self.programs, &self.past),
            Tab::Containers => rows::of_containers(machine, &self.past),
        };
        let wanted = self.filter.to_lowercase();
        let rows = &self.rows;
        let mut listed: Vec<usize> =
            (0..rows.len()).filter(|row| rows[*row].has(&wanted)).collect();
        // What is not known comes last, and what is equal by its size.
        listed.sort_by(|a, b| {
            let (a, b) = (&rows[*a], &rows[*b]);
            let most = |figure: fn(&Row) -> Option<i64>| figure(b).cmp(&figure(a));
            let order = match self.sort {
                Sort::Back => most(|row| row.back.point()),
                Sort::Growth => most(|row| row.growth),
                Sort::Room => most(|row| row.room.map(|room| -room)),
                Sort::Size => std::cmp::Ordering::Equal,
                Sort::Name => a.label.cmp(&b.label),
            };
            order.then_with(|| most(|row| row.size.point())).then_with(|| a.name.cmp(&b.name))
        });
        self.listed = listed;
        // One that is selected by no one is the first, whoever that is.
        let is_there = |name: &Name| self.listed.iter().any(|row| self.rows[*row].name == *name);
        self.selected = self.selected.take().filter(is_there);
    }
}

impl Sort {
    fn of(letter: char) -> Option<Self> {
        Some(match letter {
            'b' => Self::Back,
            'r' => Self::Room,
            'g' => Self::Growth,
            'm' => Self::Size,
            'n' => Self::Name,
            _ => return None,
        })
    }
}

fn moved(at: usize, key: Key, page: usize) -> usize {
    match key {
        Key::Up | Key::Char('k') => at.saturating_sub(1),
        Key::Down | Key::Char('j') => at.saturating_add(1),
        Key::PageUp => at.saturating_sub(page),
        Key::PageDown | Key::Char(' ') => at.saturating_add(page),
        Key::Home => 0,
        Key::End => usize::MAX,
        _ => at,
    }
}
