//! `memgap top` in a terminal that tmux keeps: it starts, obeys keys, follows the size, and
//! leaves the terminal as it was. Without tmux only the refusal is tried, and that is said.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_mins(1);

/// A tmux server of its own, which ends with the test.
struct Tmux {
    socket: PathBuf,
}

impl Tmux {
    /// A terminal in which a shell tells its settings, runs `memgap top`, and tells them again.
    fn start(name: &str) -> Option<Self> {
        let socket = std::env::temp_dir().join(format!("memgap-top-{}-{name}", std::process::id()));
        let tmux = Self { socket };
        let memgap = env!("CARGO_BIN_EXE_memgap");
        let script = format!(
            "before=$(stty -g); '{memgap}' top --interval 500ms; code=$?; \
             [ \"$before\" = \"$(stty -g)\" ] && echo as-before; echo \"left with $code\"; sleep 300"
        );
        let mut command = tmux.command();
        command.args(["-f", "/dev/null", "new-session", "-d", "-x", "80", "-y", "24", &script]);
        let Ok(started) = command.output() else {
            left_out(name);
            return None;
        };
        assert!(started.status.success(), "{}", String::from_utf8_lossy(&started.stderr));
        Some(tmux)
    }

    fn command(&self) -> Command {
        let mut command = Command::new("tmux");
        command.env("LC_ALL", "C.UTF-8").env_remove("TMUX").arg("-S").arg(&self.socket);
        command
    }

    fn tell(&self, words: &[&str]) -> String {
        let Output { status, stdout, stderr } =
            self.command().args(words).output().expect("tmux has run before");
        assert!(status.success(), "tmux {words:?}: {}", String::from_utf8_lossy(&stderr));
        String::from_utf8_lossy(&stdout).into_owned()
    }

    /// Waits until the screen is as wanted.
    fn until(&self, what: &str, is_so: impl Fn(&str) -> bool) {
        let begin = Instant::now();
        loop {
            let screen = self.tell(&["capture-pane", "-p"]);
            if is_so(&screen) {
                return;
            }
            assert!(begin.elapsed() < PATIENCE, "not {what}:\n{screen}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn until_shows(&self, text: &str) {
        self.until(text, |screen| screen.contains(text));
    }

    /// The pid of the program in the terminal.
    fn top(&self) -> String {
        let shell = self.tell(&["display-message", "-p", "#{pane_pid}"]);
        let path = format!("/proc/{0}/task/{0}/children", shell.trim());
        let children = std::fs::read_to_string(path).expect("it runs");
        children.split_whitespace().next().expect("it has started").to_owned()
    }

    fn is_left_with(&self, code: i32) {
        self.until_shows(&format!("left with {code}"));
        let screen = self.tell(&["capture-pane", "-p"]);
        assert!(screen.contains("as-before"), "other settings:\n{screen}");
        assert!(!screen.contains("memgap top, every"), "its screen stays:\n{screen}");
        let flags = self.tell(&["display-message", "-p", "#{alternate_on} #{cursor_flag}"]);
        assert_eq!(flags.trim(), "0 1", "the screen or the cursor is not given back");
    }
}

/// Adds the test to the list of what was left out (docs/tests.md); without one it fails.
fn left_out(name: &str) {
    let list = std::env::var_os("MEMGAP_LEFT_OUT").expect("tmux is missing: run tests/install");
    let list = std::fs::OpenOptions::new().append(true).open(list);
    writeln!(list.expect("the list is there"), "memgap top ({name}): tmux is missing")
        .expect("the list can be written");
}

impl Drop for Tmux {
    fn drop(&mut self) {
        let _ = self.command().arg("kill-server").output();
        let _ = std::fs::remove_file(&self.socket);
    }
}

#[test]
fn it_refuses_in_one_line_where_there_is_no_terminal() {
    let mut memgap = Command::new(env!("CARGO_BIN_EXE_memgap"));
    let output = memgap.arg("top").stdin(Stdio::null()).output().expect("it runs");
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    let why = String::from_utf8_lossy(&output.stderr);
    assert_eq!(why.lines().count(), 1, "{why}");
    assert!(why.contains("needs a terminal"), "{why}");
}

#[test]
fn keys_and_sizes_are_followed_and_the_terminal_is_given_back() {
    let Some(tmux) = Tmux::start("keys") else { return };
    tmux.until_shows("PROGRAM");
    tmux.until("a program", |screen| screen.lines().nth(3).is_some_and(|row| row.contains("iB")));
    tmux.tell(&["send-keys", "Tab"]);
    tmux.until_shows("CONTAINER OR UNIT");
    tmux.tell(&["send-keys", "1", "/"]);
    tmux.tell(&["send-keys", "-l", "memgap"]);
    tmux.until_shows("with \"memgap_\"");
    tmux.tell(&["send-keys", "Enter", "Enter"]);
    tmux.until_shows("RSS of the program over");
    tmux.tell(&["resize-window", "-x", "120", "-y", "50"]);
    tmux.until("as high as the terminal", |screen| {
        let lines: Vec<&str> = screen.trim_end().lines().collect();
        lines.len() == 50 && lines[49].contains("q quit")
    });
    tmux.tell(&["send-keys", "q"]);
    tmux.is_left_with(0);
}

#[test]
fn signals_end_it_and_the_terminal_is_given_back() {
    for (signal, code) in [("TERM", 143), ("HUP", 129), ("INT", 130)] {
        let Some(tmux) = Tmux::start(signal) else { return };
        tmux.until_shows("PROGRAM");
        let killed = Command::new("kill").args(["-s", signal, &tmux.top()]).status();
        assert!(killed.expect("kill runs").success());
        tmux.is_left_with(code);
    }
    let Some(tmux) = Tmux::start("ctrl-c") else { return };
    tmux.until_shows("PROGRAM");
    tmux.tell(&["send-keys", "C-c"]);
    tmux.is_left_with(130);
}
