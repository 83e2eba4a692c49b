//! `--self-check`: what holds on this machine, for each process of the exporter. It is
//! tried out where that can be done, and nothing is left changed.

mod machine;
mod reader;
mod server;

use memgap_exporter::args::Args;
use memgap_exporter::self_check::{Line, Part, Report};
use memgap_reader::{Access, Reader, Roots};

/// Looks at what holds for an exporter with those arguments, and the rights of this process.
pub fn report(args: &Args) -> Report {
    let release = machine::text(&args.procfs.join("sys/kernel/osrelease"));
    let release = release.unwrap_or_else(|| "of unknown release".to_owned());
    let title = format!(
        "memgap-exporter {} on Linux {release}, {}",
        env!("CARGO_PKG_VERSION"),
        std::env::consts::ARCH
    );
    let roots = Roots {
        procfs: args.procfs.clone(),
        cgroupfs: args.cgroupfs.clone(),
        container_logs: args.container_logs.clone(),
    };
    let mut parts = vec![Part { title, lines: Vec::new() }];
    match Reader::open(roots) {
        Ok(reader) => {
            let access = Access::of(&reader);
            let title = "The reader: collects, with the rights of this process".to_owned();
            parts.push(Part { title, lines: reader::lines(args, &access) });
            let lines = machine::lines(args, &reader, access.ok().as_ref());
            parts.push(Part { title: "The machine".to_owned(), lines });
        }
        Err(error) => {
            let remedy = "nothing can be read: mount procfs, or name it by --path.procfs";
            parts[0].lines.push(Line::no("procfs", error.to_string(), remedy));
        }
    }
    let title = "The server: answers, with its sockets and nothing else".to_owned();
    parts.push(Part { title, lines: server::lines(args) });
    Report(parts)
}
