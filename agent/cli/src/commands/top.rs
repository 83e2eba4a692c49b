//! `memgap top`: the terminal, the keys and the thread that reads.

mod screen;

use std::io::{self, IsTerminal};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use memgap_ledger::{Machine, Missing};
use memgap_reader::{Collector, Reader, WalkPolicy};
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::args;
use crate::output::{Answer, Output};
use crate::view::top::{After, Key, Top, draw};
use screen::Screen;

/// What happens.
enum Happens {
    /// A collection ended.
    Read(Result<Box<Machine>, Missing>, Instant),
    Pressed(Key),
    Resized,
    /// A signal asks for an end, or nobody can press a key any more.
    Quit,
    /// The thread that reads has died.
    Died,
}

/// Things that happened and were not looked at yet. Who has more to tell waits.
const PENDING: usize = 16;

/// How shells say that a signal ended a program.
const SIGNALLED: i32 = 128;

/// Shows what happens until somebody has seen enough.
pub fn run(reader: Reader, asked: &args::Top, output: &Output) -> anyhow::Result<Answer> {
    if output.json {
        bail!("top has no document to print: memgap ps --json has");
    }
    if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        bail!("top needs a terminal: memgap ps prints the same once");
    }
    let (sender, happens) = sync_channel(PENDING);
    // Before the terminal is changed: an early signal must not leave it so.
    let caught = catch(sender.clone()).context("can not take over signals")?;
    collect(reader, asked.interval, sender.clone()).context("can not start a thread")?;
    let mut screen = Screen::open().context("can not use the terminal")?;
    listen(sender).context("can not start a thread")?;
    let mut top = Top::new(output.style, asked.interval);
    let shown = show(&mut top, &mut screen, &happens);
    drop(screen);
    match shown? {
        Ended::ByUser => Ok(Answer::whole(String::new())),
        Ended::Died => bail!("the thread that reads has ended"),
        Ended::BySignal => {
            let signal = caught.load(std::sync::atomic::Ordering::Relaxed);
            let code = u8::try_from(SIGNALLED + signal).unwrap_or(u8::MAX);
            Ok(Answer { text: String::new(), code })
        }
    }
}

enum Ended {
    ByUser,
    BySignal,
    Died,
}

fn show(top: &mut Top, screen: &mut Screen, happens: &Receiver<Happens>) -> anyhow::Result<Ended> {
    let begin = Instant::now();
    loop {
        screen.draw(|frame| draw(top, frame)).context("can not write to the terminal")?;
        let mut next = happens.recv().ok();
        // All that has happened meanwhile is drawn once.
        while let Some(happened) = next {
            match happened {
                Happens::Read(Ok(machine), at) => {
                    top.take(*machine, at.saturating_duration_since(begin));
                }
                Happens::Read(Err(missing), _) => top.lacks(missing.to_string()),
                Happens::Pressed(key) if top.press(key) == After::Quit => {
                    return Ok(Ended::ByUser);
                }
                Happens::Pressed(_) | Happens::Resized => {}
                Happens::Quit => return Ok(Ended::BySignal),
                Happens::Died => return Ok(Ended::Died),
            }
            next = happens.try_recv().ok();
        }
    }
}

/// Reads the machine for ever: a target that keeps it waiting keeps nothing else.
fn collect(reader: Reader, interval: Duration, sender: SyncSender<Happens>) -> io::Result<()> {
    struct Alive(SyncSender<Happens>);
    impl Drop for Alive {
        fn drop(&mut self) {
            // Nobody hears it where all is over.
            let _ = self.0.send(Happens::Died);
        }
    }
    let collect = move || {
        let alive = Alive(sender);
        let mut collector = Collector::new(reader, WalkPolicy::default());
        loop {
            let begin = Instant::now();
            let read = collector.machine().map(|(machine, _)| Box::new(machine));
            if alive.0.send(Happens::Read(read, begin)).is_err() {
                return;
            }
            std::thread::sleep(interval.saturating_sub(begin.elapsed()));
        }
    };
    std::thread::Builder::new().name("collect".to_owned()).spawn(collect).map(drop)
}

/// Hands over keys until there are none. It is given up with the process.
fn listen(sender: SyncSender<Happens>) -> io::Result<()> {
    let listen = move || {
        loop {
            let happened = match event::read() {
                Ok(Event::Key(pressed)) if pressed.kind != KeyEventKind::Release => key(pressed),
                Ok(Event::Resize(..)) => Some(Happens::Resized),
                Ok(_) => None,
                Err(_) => Some(Happens::Quit),
            };
            let is_last = matches!(happened, Some(Happens::Quit));
            if happened.is_some_and(|happened| sender.send(happened).is_err()) || is_last {
                return;
            }
        }
    };
    std::thread::Builder::new().name("keys".to_owned()).spawn(listen).map(drop)
}

fn key(pressed: KeyEvent) -> Option<Happens> {
    let with = pressed.modifiers;
    Some(Happens::Pressed(match pressed.code {
        // Without a terminal that makes it a signal, it is a key.
        KeyCode::Char('c') if with.contains(KeyModifiers::CONTROL) => return Some(Happens::Quit),
        KeyCode::Char(_) if with.intersects(KeyModifiers::CONTROL | KeyModifiers::ALT) => {
            return None;
        }
        KeyCode::Char(letter) => Key::Char(letter),
        KeyCode::Up => Key::Up,
        KeyCode::Down => Key::Down,
        KeyCode::PageUp => Key::PageUp,
        KeyCode::PageDown => Key::PageDown,
        KeyCode::Home => Key::Home,
        KeyCode::End => Key::End,
        KeyCode::Enter => Key::Enter,
        KeyCode::Esc => Key::Escape,
        KeyCode::Backspace => Key::Backspace,
        KeyCode::Tab | KeyCode::BackTab => Key::Tab,
        _ => return None,
    }))
}

type Caught = std::sync::Arc<std::sync::atomic::AtomicI32>;

/// The signal that ended it, once one has; SIGINT until then, for that is what Ctrl-C means.
fn catch(sender: SyncSender<Happens>) -> io::Result<Caught> {
    let caught = Caught::new(SIGINT.into());
    let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM])?;
    let first = Caught::clone(&caught);
    let wait = move || {
        for signal in signals.forever() {
            first.store(signal, std::sync::atomic::Ordering::Relaxed);
            if sender.send(Happens::Quit).is_err() {
                return;
            }
        }
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(wait)?;
    Ok(caught)
}
