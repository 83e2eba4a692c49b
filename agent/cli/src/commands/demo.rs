//! `memgap demo`: reads what its scenarios ask for.

use memgap_json as json;
use memgap_ledger::{Missing, process};
use memgap_reader::{Depth, Reader};

use super::seen::read_cgroup;
use crate::demo::{self, DemoArgs, End, Explain};
use crate::output::{Answer, Output};

/// The exit code where a scenario disagrees with the truth.
const DISAGREED: u8 = 1;

/// Plays the demo; each scenario is printed as soon as it has ended.
pub fn run(reader: &Reader, args: &DemoArgs, output: &Output) -> anyhow::Result<Answer> {
    if let Some(list) = args.list() {
        return output
            .text(|| json::Output::Text(list.clone()), |_| list.clone())
            .map(Answer::whole);
    }
    let explain = Explain {
        process: &|pid| reader.process(pid, Depth::Full).map(|sample| process::ledger(&sample)),
        cgroup: &|path| read_cgroup(reader, path, Depth::Walk),
        own: own_cgroup(reader),
    };
    let mut document = demo::Demo::default();
    let end = demo::run(args, &explain, &mut |reported| {
        if output.json {
            document.demo.push(reported.json());
            return Ok(());
        }
        crate::output::print(&format!("{}\n", reported.text(&output.style)))
    })?;
    let code = match end {
        End::Agreed => 0,
        End::Disagreed => DISAGREED,
        End::Signal(signal) => return Ok(Answer { text: String::new(), code: 128 + signal }),
    };
    Ok(Answer { text: output.text(|| document, |_| String::new())?, code })
}

fn own_cgroup(reader: &Reader) -> Result<demo::Own, Missing> {
    let hierarchy = reader.hierarchy()?;
    let mount = hierarchy.mount_point().to_owned();
    let path = reader.process(std::process::id(), Depth::Counters)?.cgroup?;
    Ok(demo::Own { version: hierarchy.version(), mount, path })
}
