//! All containers and programs of a collection, by what one looks for.

use std::cmp::Reverse;
use std::io;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::documents::Document;
use super::html::Page;
use crate::api::index::{Entry, List, Span, cgroup};
use crate::api::store::Store;

/// Documents of each list that are looked at, and lines that are shown.
const MOST: usize = 2000;
const SHOWN: usize = 100;

/// What the rows are sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sort {
    /// What could be had back: usage less required; of a process what its allocator keeps free and
    /// what is lazily freed, where both are known.
    #[default]
    Back,
    /// Least room first.
    Room,
    /// Usage, or RSS.
    Usage,
    /// Required.
    Required,
    /// By name.
    Name,
}

/// What the overview shows.
#[derive(Debug)]
pub struct Overview {
    collection: u64,
    time: String,
    host: Option<String>,
    containers: Vec<Row>,
    containers_left_out: u64,
    programs: Vec<Row>,
    programs_left_out: u64,
}

#[derive(Debug)]
struct Row {
    title: String,
    link: String,
    usage: Option<i64>,
    required: Option<i64>,
    room: Option<i64>,
    back: Option<i64>,
    in_use: Option<i64>,
    /// Severity, id and sentence of the gravest.
    finding: Option<(String, String, String)>,
}

/// The columns of a table, by what they sort by, and what stands above each.
type Columns = &'static [(Sort, &'static str)];

const OF_CONTAINERS: Columns = &[
    (Sort::Name, "name"),
    (Sort::Usage, "usage"),
    (Sort::Required, "required"),
    (Sort::Room, "room"),
    (Sort::Back, "could be had back"),
];

const OF_PROGRAMS: Columns =
    &[(Sort::Name, "name"), (Sort::Usage, "RSS"), (Sort::Back, "free or lazily freed")];

const SORTS: [(Sort, &str); 5] = [
    (Sort::Name, "name"),
    (Sort::Usage, "usage"),
    (Sort::Required, "required"),
    (Sort::Room, "room"),
    (Sort::Back, "back"),
];

impl Sort {
    /// What a word of a query asks for.
    pub fn of(word: &str) -> Option<Self> {
        SORTS.iter().find(|(_, known)| *known == word).map(|(sort, _)| *sort)
    }

    /// The words that there are.
    pub fn words() -> String {
        SORTS.map(|(_, word)| word).join(", ")
    }

    fn word(self) -> &'static str {
        SORTS.iter().find(|(sort, _)| *sort == self).map_or("", |(_, word)| word)
    }
}

impl Overview {
    /// Reads the documents of a collection.
    pub async fn of(store: &Store) -> io::Result<Self> {
        let is_home =
            |entry: &&Entry| entry.labels.get(cgroup::KIND).is_some_and(|kind| kind != "other");
        let (containers, containers_left_out) =
            rows(store, &store.index.cgroups, is_home, of_cgroup).await?;
        let (programs, programs_left_out) =
            rows(store, &store.index.processes, |_| true, of_process).await?;
        let host = store.index.host.map(|span| read(store, span)).transpose()?.flatten();
        Ok(Self {
            collection: store.index.collection,
            time: store.index.time.clone(),
            host: host.map(|host| host.verdict),
            containers,
            containers_left_out,
            programs,
            programs_left_out,
        })
    }

    /// Whether it is of that collection.
    pub fn is_of(&self, store: &Store) -> bool {
        self.collection == store.index.collection
    }

    /// The page, its rows in that order.
    pub fn page(&self, sort: Sort) -> Page {
        let mut page = Page::new("memgap", true);
        page.raw("<p><a href=\"host\">host</a>: ");
        page.word(self.host.as_deref().unwrap_or("not read"));
        page.raw("</p><p class=\"time\">as of ");
        page.word(&self.time);
        page.raw("</p>");
        page.element("h2", "containers and units");
        table(&mut page, &self.containers, OF_CONTAINERS, sort);
        hidden(&mut page, self.containers.len(), self.containers_left_out);
        page.element("h2", "programs");
        table(&mut page, &self.programs, OF_PROGRAMS, sort);
        hidden(&mut page, self.programs.len(), self.programs_left_out);
        page
    }
}

type Read = fn(&Document) -> Option<Row>;

async fn rows(
    store: &Store,
    list: &List,
    takes: impl Fn(&&Entry) -> bool,
    of: Read,
) -> io::Result<(Vec<Row>, u64)> {
    let wanted: Vec<&Entry> = list.entries.iter().filter(takes).collect();
    let mut rows = Vec::new();
    for entry in wanted.iter().take(MOST) {
        rows.extend(read(store, entry.span)?.as_ref().and_then(of));
        // One thread serves all: scrapes and probes come in between.
        tokio::task::yield_now().await;
    }
    let beyond = wanted.len().saturating_sub(MOST) as u64;
    Ok((rows, list.left_out.saturating_add(beyond)))
}

/// A document; none where it is not what this program knows.
pub fn read(store: &Store, span: Span) -> io::Result<Option<Document>> {
    let mut bytes = Vec::new();
    store.read(span, &mut bytes)?;
    Ok(serde_json::from_slice(&bytes).ok())
}

fn of_cgroup(document: &Document) -> Option<Row> {
    let path = document.scope.path.as_ref()?;
    let (usage, required) = (document.figure("usage"), document.figure("required"));
    let back = usage.zip(required).map(|(usage, required)| usage.saturating_sub(required).max(0));
    Some(row(document, link("cgroup", "path", path), usage, required, back))
}

fn of_process(document: &Document) -> Option<Row> {
    let pid = document.scope.pid?;
    let rss = document.figure("rss");
    let of = |name: &str| {
        let account = document.accounts.iter().find(|account| account.name == name);
        account.and_then(|account| account.bytes)
    };
    let back = of("lazy_free").zip(of("allocator_free"));
    let back = back.map(|(lazy, free)| lazy.saturating_add(free));
    Some(row(document, format!("process?pid={pid}"), rss, None, back))
}

fn row(
    document: &Document,
    link: String,
    usage: Option<i64>,
    required: Option<i64>,
    back: Option<i64>,
) -> Row {
    let finding = document.findings.first();
    Row {
        title: document.title(),
        link,
        usage,
        required,
        room: document.figure("room"),
        back,
        in_use: document.figure("in_use"),
        finding: finding.map(|f| (f.severity.clone(), f.id.clone(), f.summary.clone())),
    }
}

/// A link to what a word names.
pub fn link(page: &str, name: &str, value: &str) -> String {
    format!("{page}?{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC))
}

fn table(page: &mut Page, rows: &[Row], columns: Columns, sort: Sort) {
    let mut sorted: Vec<&Row> = rows.iter().collect();
    sorted.sort_by(|a, b| a.title.cmp(&b.title));
    // What is not known stands at the end, and the larger first of what is alike.
    let most = |figure: Option<i64>| Reverse(figure.unwrap_or(i64::MIN));
    match sort {
        Sort::Name => {}
        Sort::Back => sorted.sort_by_key(|row| (most(row.back), most(row.usage))),
        Sort::Usage => sorted.sort_by_key(|row| most(row.usage)),
        Sort::Required => sorted.sort_by_key(|row| (most(row.required), most(row.usage))),
        Sort::Room => {
            sorted.sort_by_key(|row| (row.room.unwrap_or(i64::MAX), most(row.usage)));
        }
    }
    page.raw("<table><thead><tr>");
    for (known, title) in columns {
        let direction = match sort {
            Sort::Name | Sort::Room => "ascending",
            _ => "descending",
        };
        let sorted = if *known == sort { &*format!(" aria-sort=\"{direction}\"") } else { "" };
        let class = if *known == Sort::Name { "" } else { " class=\"n\"" };
        let word = known.word();
        page.raw(&format!("<th scope=\"col\"{class}{sorted}><a href=\"./?sort={word}\">"));
        page.word(title);
        page.raw("</a></th>");
    }
    page.raw(
        "<th scope=\"col\" class=\"n\">in use</th><th scope=\"col\">what was found</th></tr></thead><tbody>\n",
    );
    for row in sorted.iter().take(SHOWN) {
        line(page, row, columns);
    }
    page.raw("</tbody></table>\n");
}

/// What is not in a table.
fn hidden(page: &mut Page, rows: usize, left_out: u64) {
    let hidden = (rows.saturating_sub(SHOWN) as u64).saturating_add(left_out);
    if hidden > 0 {
        let words = format!("{hidden} more are not shown: sort by something else, or ask the API");
        page.element("p", &words);
    } else if rows == 0 {
        page.element("p", "none");
    }
}

fn line(page: &mut Page, row: &Row, columns: Columns) {
    page.raw("<tr><th scope=\"row\"><a href=\"");
    page.word(&row.link);
    page.raw("\">");
    page.word(&row.title);
    page.raw("</a></th>");
    for (column, _) in columns {
        match column {
            Sort::Name => {}
            Sort::Usage => page.amount(row.usage, "-"),
            Sort::Required => page.amount(row.required, "-"),
            Sort::Room => page.amount(row.room, "-"),
            Sort::Back => page.amount(row.back, "-"),
        }
    }
    page.amount(row.in_use, "-");
    match &row.finding {
        Some((severity, id, sentence)) => {
            page.raw("<td class=\"");
            page.word(severity);
            page.raw("\"><a href=\"finding?id=");
            page.word(id);
            page.raw("\">");
            page.word(id);
            page.raw("</a>: ");
            page.word(sentence);
            page.raw("</td>");
        }
        None => page.raw("<td></td>"),
    }
    page.raw("</tr>\n");
}
