//! The verdict: one sentence that says what a target's memory is, and whether anything is
//! wrong with it.

use crate::account::{Account, KERNEL};
use crate::finding::{Finding, Severity, Subject};
use crate::sample::ProcessKind;
use crate::size::iec;
use crate::{CgroupLedger, Figure, HostLedger, Ledger, ProcessLedger, headlines, reason};

/// Kinds of memory that the sentence tells apart.
type Groups = &'static [(&'static str, &'static [Account])];

use Account as A;

/// What nobody's heap statistics speak for.
const UNREAD: &[Account] = &[A::HeapUnprobed, A::Unexplained, A::Unreadable];
const PROGRAM: &[Account] = &[A::ElfData, A::JitCode, A::Metaspace, A::Stack];
const TABLES: &[Account] = &[A::AllocatorMetadata, A::GcTables];

const OF_PROCESS: Groups = &[
    ("in use", &[A::HeapInUse]),
    ("free and kept by its allocator", &[A::AllocatorFree]),
    ("freed lazily", &[A::LazyFree]),
    ("of a use that is not known", UNREAD),
    ("stacks, code and program data", PROGRAM),
    ("tables of its allocator", TABLES),
    ("mapped files", &[A::FileMapped]),
    ("shared memory", &[A::Shmem]),
    ("of devices and of the kernel", &[A::KernelMapped, A::Device]),
];

const OF_CGROUP: Groups = &[
    ("in use", &[A::HeapInUse]),
    ("free and kept by allocators", &[A::AllocatorFree]),
    ("freed lazily", &[A::LazyFree]),
    ("of a use that is not known", UNREAD),
    ("held by none of its processes", &[A::MovedCharges]),
    ("stacks, code and program data", PROGRAM),
    ("tables of allocators", TABLES),
    ("page cache", &[A::PageCache]),
    ("shared memory and tmpfs", &[A::Shmem]),
    ("kernel caches", &[A::SlabReclaimable]),
    ("kernel memory", KERNEL),
    ("socket buffers", &[A::Sock]),
    ("huge pages of hugetlbfs", &[A::Hugetlb]),
    ("off the reclaim lists", &[A::OffLru]),
];

const OF_HOST: Groups = &[
    ("of programs", &[A::Anonymous]),
    ("freed lazily", &[A::LazyFree]),
    ("page cache", &[A::PageCache]),
    ("shared memory and tmpfs", &[A::Shmem]),
    ("kernel caches", &[A::SlabReclaimable]),
    ("kernel memory", &[A::SlabUnreclaimable, A::PageTables, A::Vmalloc, A::Percpu]),
    ("socket buffers", &[A::Sock]),
    ("huge pages of hugetlbfs", &[A::Hugetlb]),
    ("huge pages that nobody uses", &[A::HugetlbFree]),
    ("compressed pages", &[A::Zspages]),
    ("the hypervisor's balloon", &[A::Balloon]),
    ("without a name in the kernel's counters", &[A::KernelUnaccounted]),
];

/// Kinds that are named, each no less than this part of the whole.
const NAMED: usize = 3;
const PART: i64 = 10;

/// The sentence, without a full stop. `findings` are those of the subject, in their order.
pub fn verdict(subject: Subject<'_>, findings: &[Finding]) -> String {
    let (what, is_read) = match subject {
        Subject::Process(process) => of_process(process),
        Subject::Cgroup(cgroup) => of_cgroup(cgroup),
        Subject::Host(host) => of_host(host),
    };
    match (findings.first(), is_read) {
        (_, Read::Nothing) => what,
        (None, Read::All) => format!("{what}; no fault found"),
        (None, Read::InPart) => format!("{what}; no fault found in what was read"),
        (Some(first), _) => format!("{what}; {}", judgement(first, findings)),
    }
}

/// How much the sentence rests on.
enum Read {
    /// There is nothing to judge.
    Nothing,
    InPart,
    All,
}

fn judgement(first: &Finding, findings: &[Finding]) -> String {
    let alike = findings.iter().filter(|f| f.severity == first.severity).count();
    let name = first.severity.name();
    let more = match alike {
        0 | 1 => String::new(),
        n => format!("; {} more of that severity", n - 1),
    };
    match first.severity {
        Severity::Critical | Severity::Warning => format!("{name}: {}{more}", first.brief),
        Severity::Info => format!("no fault, but {}", first.brief),
    }
}

fn of_process(process: &ProcessLedger) -> (String, Read) {
    let unnamed = format!("process {}", process.pid);
    let name = if process.name.is_empty() { &unnamed } else { &process.name };
    let nothing = match process.kind {
        ProcessKind::Kernel => Some("a thread of the kernel, which has no memory of its own"),
        ProcessKind::Zombie => Some("a zombie: it has ended, and its memory is given back"),
        ProcessKind::User => None,
    };
    if let Some(what) = nothing {
        return (format!("{name} is {what}"), Read::Nothing);
    }
    let Some(rss) = process.headline.rss.point() else {
        return (unknown(name, Subject::Process(process)), Read::Nothing);
    };
    if rss == 0 {
        return (format!("{name} has no memory (RSS is 0)"), Read::Nothing);
    }
    let swapped = process.ledger.figure(A::Swapped).bounds().map_or(0, |(low, _)| low);
    let swapped = if matters(swapped, rss) {
        format!(", and {} swapped out", iec(swapped))
    } else {
        String::new()
    };
    let parts = parts(
        &process.ledger,
        rss,
        OF_PROCESS,
        headlines::partly_read(Subject::Process(process)).is_some(),
    );
    let text = format!("{name} has {} in memory (RSS): {parts}{swapped}", iec(rss));
    let unread = process.ledger.sum(UNREAD);
    let is_read = process.is_walked() && !process.is_denied() && !matters(unread, rss);
    (text, if is_read { Read::All } else { Read::InPart })
}

fn of_cgroup(cgroup: &CgroupLedger) -> (String, Read) {
    let subject = Subject::Cgroup(cgroup);
    let name = headlines::cgroup_name(&cgroup.path, &cgroup.identity);
    let h = &cgroup.headline;
    let Some(usage) = h.usage.point() else {
        return (unknown(&name, subject), Read::Nothing);
    };
    if usage == 0 {
        return (format!("{name} is charged for no memory"), Read::Nothing);
    }
    if h.required == Figure::Absent {
        let why = why(subject);
        return (
            format!("{name} is charged for {}, of what kind is not known: {why}", iec(usage)),
            Read::Nothing,
        );
    }
    let parts = parts(&cgroup.ledger, usage, OF_CGROUP, headlines::partly_read(subject).is_some());
    let kept = h.required.words();
    let room = match &cgroup.room {
        Ok(room) => format!(
            ", with room for {} under {}",
            room.bytes.words(),
            room.limit.words(&cgroup.path)
        ),
        Err(_) => String::new(),
    };
    let text = format!(
        "{name} is charged for {}: {parts}; {kept} of it can not be taken back{room}",
        iec(usage)
    );
    let is_read = !reason::is_denied(subject) && !matters(cgroup.ledger.sum(UNREAD), usage);
    (text, if is_read { Read::All } else { Read::InPart })
}

fn of_host(host: &HostLedger) -> (String, Read) {
    let h = &host.headline;
    let (Some(total), Some(usage)) = (h.total.point(), h.usage.point()) else {
        return (unknown("the host", Subject::Host(host)), Read::Nothing);
    };
    let parts = parts(&host.ledger, usage, OF_HOST, false);
    let available = h.available.point().map_or(String::new(), |bytes| {
        format!("; {} can be had for programs (MemAvailable)", iec(bytes))
    });
    (format!("the host uses {} of {}: {parts}{available}", iec(usage), iec(total)), Read::All)
}

fn unknown(name: &str, subject: Subject<'_>) -> String {
    format!("nothing is known of the memory of {name}: {}", why(subject))
}

/// Why the first of what is not known is not.
fn why(subject: Subject<'_>) -> String {
    reason::broad(subject)
        .into_iter()
        .next()
        .map_or_else(|| "it was not read".to_owned(), |r| r.why)
}

/// The largest kinds of memory. Of what is in use and read in part only the least is known.
fn parts(ledger: &Ledger, whole: i64, groups: Groups, is_partly_read: bool) -> String {
    let sum = |accounts: &[Account]| {
        accounts.iter().fold(Figure::Absent, |sum, account| sum.plus(ledger.figure(*account)))
    };
    let mut found: Vec<(i64, Figure, &str)> = groups
        .iter()
        .map(|(what, accounts)| (sum(accounts), *what))
        .map(|(figure, what)| (figure.point().unwrap_or(0), figure, what))
        .filter(|(point, ..)| matters(*point, whole))
        // "At least nothing" says nothing, and what is not read may be in use too.
        .filter(|(_, figure, what)| {
            let is_low = figure.bounds().is_some_and(|(low, _)| low == 0);
            !(is_partly_read && is_low && *what == "in use")
        })
        .collect();
    found.sort_by_key(|(point, ..)| std::cmp::Reverse(*point));
    let words: Vec<String> = found
        .iter()
        .take(NAMED)
        .map(|(_, figure, what)| match figure.bounds() {
            Some((low, _)) if is_partly_read && *what == "in use" => {
                format!("at least {} {what}", iec(low))
            }
            _ => format!("{} {what}", figure.words()),
        })
        .collect();
    match words.split_last() {
        None => "of many kinds".to_owned(),
        Some((last, [])) => last.clone(),
        Some((last, before)) => format!("{} and {last}", before.join(", ")),
    }
}

fn matters(bytes: i64, whole: i64) -> bool {
    bytes > 0 && bytes >= whole / PART
}
