//! `--self-check`: what it says, with the rights of who runs it and with fewer.

use std::process::{Command, Output};

use memgap_tests::rights::{Need, left_out};

const EXPORTER: &str = env!("CARGO_BIN_EXE_memgap-exporter");

const ARGS: [&str; 3] = ["--self-check", "--web.listen-address", "127.0.0.1:0"];

fn run(command: &mut Command) -> (Output, String) {
    let output = command.output().expect("it starts");
    let text = String::from_utf8(output.stdout.clone()).expect("UTF-8");
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    for row in text.lines() {
        assert!(row.chars().count() <= 80, "{row}");
        assert_eq!(row, row.trim_end());
    }
    (output, text)
}

/// The line that tells of something, and the ones that belong to it.
fn line<'t>(text: &'t str, name: &str) -> Vec<&'t str> {
    let is_it = |row: &&str| row.get(8..).is_some_and(|row| row.starts_with(name));
    let mut rows = text.lines().skip_while(|row| !is_it(row));
    let first = rows.next().unwrap_or_else(|| panic!("nothing of {name}: {text}"));
    let rest = rows.take_while(|row| row.starts_with(&" ".repeat(26)));
    std::iter::once(first).chain(rest).collect()
}

#[test]
fn on_this_machine_it_works() {
    let (output, text) = run(Command::new(EXPORTER).args(ARGS));
    assert!(output.status.success(), "{text}");
    for name in ["user", "processes", "programs", "open files", "ptrace scope", "host", "mounts"] {
        assert!(!line(&text, name)[0].starts_with("  FAILS"), "{text}");
    }
    // Of both processes.
    assert_eq!(text.matches("capabilities ").count(), 2, "{text}");
    assert!(text.contains("none, and it can gain none (no_new_privs)"), "{text}");
    let status = std::fs::read_to_string("/proc/self/status").expect("procfs is mounted");
    if status.contains("Seccomp:") {
        assert!(line(&text, "system calls")[0].contains("a filter leaves it"), "{text}");
    }
}

#[test]
fn who_reads_it_may_have_had_enough() {
    for arguments in [&ARGS[..], &["--print-config"]] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let mut command = Command::new(EXPORTER);
        let output = command.args(arguments).stdout(writer).output().expect("it starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.is_empty(), "{arguments:?}: {said}");
        let full = std::fs::File::options().write(true).open("/dev/full").expect("Linux has it");
        let output = command.stdout(full).output().expect("it starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains("standard output"), "{said}");
    }
}

#[test]
fn without_rights_it_says_what_is_not_told_and_what_helps() {
    if left_out(Need::OtherUsers) {
        return;
    }
    let mut nobody = Command::new("setpriv");
    nobody.args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "--no-new-privs"]);
    let (output, text) = run(nobody.arg(EXPORTER).args(ARGS));
    assert!(output.status.success(), "{text}");
    let rights = line(&text, "capabilities").concat();
    assert!(rights.starts_with("  less") && rights.contains("profile cgroup"), "{text}");
    assert!(rights.contains("CAP_SYS_PTRACE"), "{text}");
    assert!(line(&text, "user")[0].contains("uid 65534"), "{text}");
    let programs = line(&text, "programs").concat();
    assert!(programs.starts_with("  less"), "{text}");
    assert!(text.contains("less than they could be"), "{text}");
}

#[test]
fn with_what_one_capability_gives_it_names_the_other() {
    if left_out(Need::OtherUsers) {
        return;
    }
    let mut ptrace = Command::new("setpriv");
    ptrace.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
    ptrace.args(["--inh-caps", "-all,+sys_ptrace", "--ambient-caps", "-all,+sys_ptrace"]);
    ptrace.args(["--bounding-set", "-all,+sys_ptrace"]);
    let (output, text) = run(ptrace.arg(EXPORTER).args(ARGS));
    assert!(output.status.success(), "{text}");
    let rights = line(&text, "capabilities").concat();
    assert!(rights.contains("CAP_SYS_PTRACE: profile process"), "{text}");
    assert!(rights.contains("CAP_DAC_READ_SEARCH"), "{text}");
}

#[test]
fn where_it_would_not_work_the_exit_status_says_so() {
    let bad = ["--path.procfs", "/no/such/directory"];
    let (output, text) = run(Command::new(EXPORTER).args(ARGS).args(bad));
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(line(&text, "procfs")[0].starts_with("  FAILS"), "{text}");
    assert!(text.contains("does not work"), "{text}");

    // An address of no machine.
    let (output, text) =
        run(Command::new(EXPORTER).args(["--self-check", "--web.listen-address", "192.0.2.1:1"]));
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(line(&text, "listens")[0].starts_with("  FAILS"), "{text}");
}

#[test]
fn an_address_that_an_exporter_has_is_no_failure() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("its address").to_string();
    let (output, text) =
        run(Command::new(EXPORTER).args(["--self-check", "--web.listen-address", &address]));
    assert!(output.status.success(), "{text}");
    assert!(line(&text, "listens")[0].starts_with("  less"), "{text}");
}
