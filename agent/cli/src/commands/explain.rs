//! `memgap TARGET`: the ledger of one process, cgroup or the host.

use anyhow::anyhow;
use memgap_json as json;
use memgap_ledger::finding::Subject;
use memgap_ledger::reason;
use memgap_reader::{Depth, Endpoint, Error, Found, Limits, Reader, Target, find, read_endpoint};

use super::seen;
use crate::args::Look;
use crate::output::{Answer, Output};
use crate::own;
use crate::view::page::{self, Shown};

/// Explains what a user names.
pub fn run(reader: &Reader, target: &str, look: &Look, output: &Output) -> anyhow::Result<Answer> {
    let depth = if look.deep { Depth::Pages } else { Depth::Full };
    let endpoint = look.endpoint.as_deref().map(str::parse).transpose()?;
    explain(
        reader,
        target,
        (depth, Shown { maps: look.maps, findings: look.all }),
        endpoint.as_ref(),
        output,
    )
}

fn explain(
    reader: &Reader,
    target: &str,
    (depth, shown): (Depth, Shown),
    endpoint: Option<&Endpoint>,
    output: &Output,
) -> anyhow::Result<Answer> {
    let target: Target = target.parse()?;
    let show = |subject: Subject<'_>, others: &[u32]| {
        let document = || json::explanation(subject, others);
        let text = output.text(document, |style| {
            let deeper =
                if depth == Depth::Full { page::deeper(subject, style) } else { String::new() };
            page::page(subject, others, shown, style) + &deeper
        })?;
        Ok(Answer::of(text, reason::is_denied(subject)))
    };
    let found = find(reader, &target)?;
    if let (Some(endpoint), Found::Cgroup { .. } | Found::Host) = (endpoint, &found) {
        // An endpoint's figures are those of one process.
        return Err(Error::Endpoint {
            word: endpoint.to_string(),
            remedy: "name the process that it is of, not a cgroup or the host",
        }
        .into());
    }
    let seen = seen::read(reader, found, depth, |sample| {
        if target == Target::Own {
            let reported = own::reported();
            sample.add_report(Ok(
                reported.map_err(|e| anyhow!("jemalloc tells no statistics: {e}"))?
            ));
        }
        if let Some(endpoint) = endpoint {
            let answer = read_endpoint(endpoint, &Limits::default());
            sample.add_report(answer.map(|answer| answer.reported(endpoint)));
        }
        Ok(())
    })?;
    show(seen.subject(), seen.others())
}
