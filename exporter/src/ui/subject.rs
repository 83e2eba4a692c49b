//! One process, cgroup or the host: verdict, figures, the ledger as a waterfall, findings.

use axum::http::StatusCode;
use memgap_ledger::size::iec;

use super::documents::{Account, Document, Finding};
use super::html::Page;
use super::overview::{link, read};
use super::{Made, lost};
use crate::api::index::Span;
use crate::api::store::Store;

/// Width of the waterfall's bars.
const WIDTH: i64 = 400;

/// The page of what a document is about.
pub fn page(store: &Store, span: Option<Span>, what: &str) -> Made {
    let gone = || {
        let why = format!("{what} was not there at the last collection, or had no room in it");
        (StatusCode::NOT_FOUND, why)
    };
    let document = read(store, span.ok_or_else(gone)?).map_err(|e| lost(&e))?.ok_or_else(gone)?;
    let mut page = Page::new(&document.title(), false);
    page.element("p", &format!("{}.", document.verdict));
    if let Some(path) = document.scope.cgroup.as_ref() {
        page.raw("<p>in cgroup <a href=\"");
        page.word(&link("cgroup", "path", path));
        page.raw("\">");
        page.word(path);
        page.raw("</a></p>");
    }
    findings(&mut page, &document.findings);
    headline(&mut page, &document);
    for axis in ["rss", "vsz", "usage", "total"] {
        let accounts: Vec<&Account> =
            document.accounts.iter().filter(|account| account.axis == axis).collect();
        if !accounts.is_empty() {
            waterfall(&mut page, axis, &accounts);
        }
    }
    why(&mut page, &document);
    page.raw("<p class=\"time\">as of ");
    page.word(&store.index.time);
    page.raw("</p>");
    Ok(page)
}

fn findings(page: &mut Page, findings: &[Finding]) {
    for finding in findings {
        page.raw("<section class=\"");
        page.word(&finding.severity);
        page.raw("\"><h2>");
        page.word(&finding.severity);
        page.raw(": <a href=\"finding?id=");
        page.word(&finding.id);
        page.raw("\">");
        page.word(&finding.id);
        page.raw("</a></h2>");
        page.element("p", &finding.summary);
        page.raw("<dl>");
        for (term, text) in [
            ("evidence", finding.evidence.join("; ").as_str()),
            ("it is not", &finding.is_not),
            ("remedy", &finding.remedy),
        ] {
            page.element("dt", term);
            page.element("dd", text);
        }
        page.raw("</dl></section>\n");
    }
}

fn headline(page: &mut Page, document: &Document) {
    page.raw("<h2>figures</h2><table><tbody>");
    for (name, value) in &document.headline {
        let Some(bytes) = value.as_i64() else { continue };
        page.raw("<tr><th scope=\"row\">");
        page.word(name);
        page.raw("</th>");
        page.amount(Some(bytes), "");
        page.raw("</tr>");
    }
    page.raw("</tbody></table>\n");
}

/// Accounts that sum to a figure, each from where the one before it ends.
fn waterfall(page: &mut Page, axis: &str, accounts: &[&Account]) {
    let known = accounts.iter().filter_map(|account| account.bytes);
    let sum = known.clone().fold(0i64, i64::saturating_add);
    let most = known.scan(0i64, |end, bytes| {
        *end = end.saturating_add(bytes);
        Some(*end)
    });
    let most = most.max().unwrap_or(0).max(sum).max(1);
    page.raw("<h2>");
    page.word(axis);
    page.raw("</h2><table class=\"waterfall\"><tbody>\n");
    let mut begin = 0i64;
    for account in accounts {
        let end = begin.saturating_add(account.bytes.unwrap_or(0));
        if account.bytes != Some(0) {
            line(page, account, (begin.min(end), begin.max(end)), most);
        }
        begin = end;
    }
    page.raw("<tr class=\"sum\"><th scope=\"row\">sum</th>");
    page.amount(Some(sum), "");
    page.raw("<td></td><td></td></tr></tbody></table>\n");
}

fn line(page: &mut Page, account: &Account, (begin, end): (i64, i64), most: i64) {
    page.raw("<tr><th scope=\"row\">");
    page.word(&account.name);
    page.raw("</th>");
    page.amount(account.bytes, "not read");
    page.raw("<td class=\"bounds\">");
    if let (Some(low), Some(high)) = (account.low, account.high)
        && low < high
    {
        page.word(&format!("{} .. {}", iec(low), iec(high)));
    }
    page.raw("</td><td>");
    if account.bytes.is_some() {
        bar(page, &account.class, (begin, end), most);
    }
    page.raw("</td></tr>\n");
}

fn bar(page: &mut Page, class: &str, (begin, end): (i64, i64), most: i64) {
    let at = |bytes: i64| i128::from(bytes.max(0)) * i128::from(WIDTH) / i128::from(most);
    let width = (at(end) - at(begin)).max(1);
    page.raw(&format!(
        "<svg width=\"{WIDTH}\" height=\"12\" aria-hidden=\"true\"><rect x=\"{}\" width=\"{width}\" height=\"12\" class=\"",
        at(begin)
    ));
    page.word(class);
    page.raw("\"/></svg>");
}

fn why(page: &mut Page, document: &Document) {
    if !document.gaps.is_empty() {
        page.raw("<h2>why the figures differ</h2><ul>");
        for gap in &document.gaps {
            let words = format!("{} to {}: {}: {}", gap.from, gap.to, iec(gap.bytes), gap.why);
            page.element("li", &words);
        }
        page.raw("</ul>");
    }
    if !document.notes.is_empty() {
        page.raw("<h2>notes</h2><ul>");
        for note in &document.notes {
            page.element("li", note);
        }
        page.raw("</ul>");
    }
    if !document.absent.is_empty() {
        page.raw("<details><summary>what could not be read</summary><ul>");
        for lack in &document.absent {
            page.element("li", &format!("{}: {}", lack.what, lack.why));
        }
        page.raw("</ul></details>\n");
    }
}
