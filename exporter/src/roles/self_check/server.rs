//! What the process that answers gives up, tried out in a thread, and where it listens.

use std::io;
use std::sync::mpsc::channel;
use std::thread;

use anyhow::Context;
use memgap_exporter::args::Args;
use memgap_exporter::sandbox::{self, Confined};
use memgap_exporter::self_check::Line;
use memgap_exporter::server::listeners::Listener;

pub(super) fn lines(args: &Args) -> Vec<Line> {
    let mut lines = match confined(args.otlp.port()) {
        Ok((confined, status)) => confinement(&confined, &status, args.otlp.port()),
        Err(error) => {
            let remedy = "the server would not start";
            vec![Line::no("capabilities", format!("{error:#}"), remedy)]
        }
    };
    lines.extend(args.listen.iter().map(|address| listens(address)));
    lines
}

/// Confines a thread as the server is, and what the kernel then says of it.
fn confined(port: Option<u16>) -> anyhow::Result<(Confined, String)> {
    let (sender, confined) = channel();
    let (leave, left) = channel::<()>();
    let work = move || {
        let id = rustix::thread::gettid();
        if sender.send((id, sandbox::confine(port))).is_ok() {
            // Until it has been looked at.
            let _ = left.recv();
        }
    };
    let thread = thread::Builder::new().name("confined".to_owned()).spawn(work)?;
    let (id, confined) = confined.recv().context("a thread ended")?;
    let status = std::fs::read_to_string(format!("/proc/self/task/{}/status", id.as_raw_nonzero()));
    drop(leave);
    thread.join().map_err(|_| anyhow::anyhow!("a thread panicked"))?;
    Ok((confined?, status.context("/proc/self/task can not be read")?))
}

fn confinement(confined: &Confined, status: &str, port: Option<u16>) -> Vec<Line> {
    let value = |key: &str| {
        let mut lines = status.lines().filter_map(|line| line.split_once(":\t"));
        lines.find_map(|(name, value)| (name == key).then_some(value)).unwrap_or("not told")
    };
    let held = ["CapInh", "CapPrm", "CapEff", "CapAmb"].map(value);
    let none = held.iter().all(|set| set.bytes().all(|digit| digit == b'0'));
    let mut lines = Vec::new();
    lines.push(if none && value("NoNewPrivs") == "1" {
        Line::yes("capabilities", "none, and it can gain none (no_new_privs)")
    } else {
        let remedy = "the server would keep rights that it must not have";
        Line::no("capabilities", format!("{held:?}"), remedy)
    });
    lines.push(match &confined.calls {
        Ok(allowed) if value("Seccomp") == "2" => {
            Line::yes("system calls", format!("a filter leaves it {allowed} (seccomp)"))
        }
        Ok(_) => Line::no("system calls", "the filter does not hold", "report that"),
        Err(error) => {
            let remedy = "who finds a fault in it may make every call: allow seccomp(2)";
            Line::less("system calls", format!("{error:#}"), remedy)
        }
    });
    lines.push(match &confined.paths {
        Ok(abi) => {
            let abi = format!("{abi:?}");
            let abi = abi.trim_start_matches('V');
            let reach = port.map_or_else(String::new, |port| {
                format!("; it may connect by TCP to port {port}, for --otlp.endpoint")
            });
            Line::yes("files", format!("none, by Landlock ABI {abi}{reach}"))
        }
        Err(error) => {
            let remedy = "who finds a fault in it has only the filter of system calls before \
                          him: Linux 5.13, CONFIG_SECURITY_LANDLOCK, and landlock among lsm=";
            Line::less("files", format!("{error:#}"), remedy)
        }
    });
    lines
}

fn listens(address: &str) -> Line {
    let name = "listens";
    if address.starts_with("unix:") {
        // To try it would leave a socket there.
        return Line::yes(name, format!("{address}, which was not tried"));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let bound = runtime
        .map_err(anyhow::Error::from)
        .and_then(|runtime| runtime.block_on(Listener::bind(address)));
    match bound {
        Ok(_) => Line::yes(name, format!("{address} is free")),
        Err(error) if is_in_use(&error) => {
            let remedy = "by an exporter that runs, or by another program: then choose another \
                          --web.listen-address";
            Line::less(name, format!("{address} is in use"), remedy)
        }
        Err(error) => Line::no(name, format!("{error:#}"), "the exporter would not start"),
    }
}

fn is_in_use(error: &anyhow::Error) -> bool {
    let cause = error.root_cause().downcast_ref::<io::Error>();
    cause.is_some_and(|cause| cause.kind() == io::ErrorKind::AddrInUse)
}
