//! Memory of the machine that belongs to no program: huge pages, zram, socket buffers. The
//! kernel's own counters are the oracle, read apart from memgap's reader.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result, ensure};
use memgap_ledger::account::Account;
use memgap_ledger::finding::{self, Subject};
use memgap_ledger::host_detail::HostDetail;
use memgap_ledger::{HostLedger, gap, host, note};
use memgap_reader::{Reader, Roots};
use memgap_tests::rights::{Need, left_out, machine_lacks};
use memgap_tests::target::{self, Target};

const MIB: u64 = 1 << 20;

/// What `kernel_unaccounted` may move by while nothing of ours does: other programs' pages
/// move between the files that are read one after the other.
const STILL: i64 = 8 << 20;

/// One test at a time changes what the whole machine has.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn read() -> HostLedger {
    let reader = Reader::open(Roots::default()).expect("procfs is mounted");
    let mut made = host::ledger(&reader.host());
    made.detail = Some(reader.host_detail(&reader.cgroups()));
    let total = made.headline.total.point().expect("meminfo is readable");
    assert_eq!(made.ledger.total(), total);
    made
}

/// As [`read`], of several readings the one whose residual is the nearest to `before`.
fn read_still(before: i64) -> HostLedger {
    const TRIES: usize = 20;
    let off = |made: &HostLedger| (unaccounted(made) - before).abs();
    (0..TRIES).map(|_| read()).min_by_key(off).expect("some were made")
}

fn unaccounted(made: &HostLedger) -> i64 {
    made.ledger.booked(Account::KernelUnaccounted)
}

/// What is still and what all say: the parts of the sentence are the whole.
fn assert_adds_up(made: &HostLedger) {
    let gap = &gap::of_host(made)[0];
    let parts = gap::host_parts(made).expect("less than all is available");
    assert_eq!(parts.iter().map(|part| part.bytes).sum::<i64>(), gap.bytes);
    let rest = parts.iter().find(|part| part.what.contains("do not agree"));
    assert!(rest.is_none_or(|part| part.bytes.abs() < STILL), "{parts:?}");
}

fn notes(made: &HostLedger) -> String {
    note::notes(Subject::Host(made)).join("\n")
}

fn number(path: &Path) -> Result<u64> {
    let text =
        fs::read_to_string(path).with_context(|| format!("failed to read {}", path.display()))?;
    Ok(text.trim().parse()?)
}

/// A number in a file of the kernel's that is put back with the value.
struct Set {
    path: PathBuf,
    before: u64,
}

impl Set {
    fn raise(path: &Path, by: u64) -> Result<Self> {
        let before = number(path)?;
        let set = Self { path: path.to_owned(), before };
        fs::write(path, (before + by).to_string()).context("the tests need root")?;
        Ok(set)
    }
}

impl Drop for Set {
    fn drop(&mut self) {
        let _ = fs::write(&self.path, self.before.to_string());
    }
}

#[test]
fn huge_pages_that_nobody_uses_are_named() -> Result<()> {
    if left_out(Need::Machine) {
        return Ok(());
    }
    let _alone = alone();
    let before = unaccounted(&read());
    let place = Path::new("/sys/kernel/mm/hugepages/hugepages-2048kB");
    // Where memory is in pieces the kernel sets fewer aside than it is asked for.
    let _ = fs::write("/proc/sys/vm/compact_memory", "1");
    let _set = Set::raise(&place.join("nr_hugepages"), 32)?;
    let mut target = Target::start("hugetlb")?;
    target.step()?;
    let made = read_still(before);
    let of = |name: &str| Ok::<u64, anyhow::Error>(number(&place.join(name))? * 2 * MIB);
    let (all, free) = (of("nr_hugepages")?, of("free_hugepages")?);
    assert!(all >= 24 * MIB, "the kernel set {all} aside");
    let booked = |account| u64::try_from(made.ledger.booked(account)).expect("not negative");
    assert_eq!(booked(Account::HugetlbFree), free);
    assert_eq!(booked(Account::Hugetlb), target.holds("used")?);
    assert_eq!(made.hugetlb_promised.point(), Some(8 << 20));
    assert!((unaccounted(&made) - before).abs() < STILL, "{before} {}", unaccounted(&made));
    assert!(notes(&made).contains("of huge pages are reserved and used by nobody"));
    assert!(notes(&made).contains("8.0 MiB of them are promised"), "{}", notes(&made));
    assert_adds_up(&made);
    Ok(())
}

#[test]
fn buffers_of_sockets_are_booked_once() -> Result<()> {
    if left_out(Need::Buffers) {
        return Ok(());
    }
    let _alone = alone();
    let mut target = Target::start("queues")?;
    let before = unaccounted(&read());
    target.step()?;
    let udp = udp_queues(target.pid())?;
    assert!(udp > 48 * MIB, "{udp} wait");
    let made = read_still(before);
    assert!((unaccounted(&made) - before).abs() < STILL, "{before} {}", unaccounted(&made));
    let (low, high) = made.udp_in_slab.bounds().expect("sockstat is readable");
    let udp = i64::try_from(udp)?;
    assert!(low <= udp + STILL && udp - STILL <= high, "{udp} of {low}..{high}");
    let slab = made.ledger.booked(Account::SlabUnreclaimable);
    assert!(low <= slab && slab >= udp - STILL, "they are slab: {slab}");
    assert!(notes(&made).contains("are buffers of UDP sockets"), "{}", notes(&made));

    let sock = made.ledger.booked(Account::Sock);
    target.step()?;
    let made = read_still(before);
    assert!((unaccounted(&made) - before).abs() < STILL, "{before} {}", unaccounted(&made));
    let sent = i64::try_from(target.holds("tcp")?)?;
    assert!(made.ledger.booked(Account::Sock) - sock >= sent - STILL, "{sent} sent");
    assert_adds_up(&made);
    Ok(())
}

/// `rx_queue` of the process's network namespace: what the buffers cost.
fn udp_queues(pid: u32) -> Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/net/udp"))?;
    let queued = |line: &str| {
        let queues = line.split_whitespace().nth(4)?;
        u64::from_str_radix(queues.split_once(':')?.1, 16).ok()
    };
    Ok(text.lines().skip(1).filter_map(queued).sum())
}

/// A zram device of the test's own, removed with the value.
struct Zram {
    number: u64,
    node: PathBuf,
    /// Whether the kernel had it as a module that nobody had loaded: it is unloaded again.
    loaded: bool,
}

impl Zram {
    /// `None` where the kernel has no zram, built in or as a module.
    fn add() -> Result<Option<Self>> {
        let control = Path::new("/sys/class/zram-control");
        let loaded = !control.exists() && modprobe(&["zram"]);
        let Ok(text) = fs::read_to_string(control.join("hot_add")) else {
            return Ok(None);
        };
        let number = text.trim().parse()?;
        let node = target::directory()?.join(format!("zram-{}", std::process::id()));
        let zram = Self { number, node, loaded };
        fs::write(zram.file("disksize"), "256M")?;
        let device = fs::read_to_string(zram.file("dev"))?;
        let (major, minor) = device.trim().split_once(':').context("major:minor")?;
        let device = rustix::fs::makedev(major.parse()?, minor.parse()?);
        let (kind, mode) = (rustix::fs::FileType::BlockDevice, 0o600.into());
        rustix::fs::mknodat(rustix::fs::CWD, &zram.node, kind, mode, device)?;
        Ok(Some(zram))
    }

    fn file(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("/sys/block/zram{}/{name}", self.number))
    }

    /// Writes what does not compress to it.
    fn fill(&self, bytes: u64) -> Result<()> {
        let mut device = fs::OpenOptions::new().write(true).open(&self.node)?;
        let mut chunk = vec![0; 1 << 20];
        for _ in 0..bytes / MIB {
            getrandom(&mut chunk)?;
            device.write_all(&chunk)?;
        }
        device.sync_all()?;
        Ok(())
    }
}

fn getrandom(chunk: &mut [u8]) -> Result<()> {
    use std::io::Read;
    fs::File::open("/dev/urandom")?.read_exact(chunk)?;
    Ok(())
}

impl Drop for Zram {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.node);
        let _ = fs::write(self.file("reset"), "1");
        let _ = fs::write("/sys/class/zram-control/hot_remove", self.number.to_string());
        if self.loaded {
            modprobe(&["--remove", "zram"]);
        }
    }
}

/// Whether `modprobe` did so; a kernel without modules, or a system without them, has none.
fn modprobe(arguments: &[&str]) -> bool {
    let done = Command::new("/sbin/modprobe").arg("--quiet").args(arguments).status();
    done.is_ok_and(|status| status.success())
}

#[test]
fn what_a_zram_device_holds_is_named() -> Result<()> {
    if left_out(Need::Machine) {
        return Ok(());
    }
    let _alone = alone();
    let Some(zram) = Zram::add()? else {
        machine_lacks("", "the kernel has no zram, nor a module of it");
        return Ok(());
    };
    let start = read();
    let before = unaccounted(&start);
    zram.fill(64 * MIB)?;
    let made = read_still(before);
    // The third figure of mm_stat: what the device takes.
    let text = fs::read_to_string(zram.file("mm_stat"))?;
    let used: u64 = text.split_whitespace().nth(2).context("mm_stat has three")?.parse()?;
    ensure!(used >= 60 * MIB, "the device holds {used}");
    let booked = made.ledger.booked(Account::Zspages) - start.ledger.booked(Account::Zspages);
    assert!((booked - i64::try_from(used)?).abs() <= 1 << 20, "{booked} of {used}");
    assert!((unaccounted(&made) - before).abs() < STILL, "{before} {}", unaccounted(&made));
    let why = &gap::of_host(&made)[0].why;
    assert!(why.contains("compressed pages of zram and zswap"), "{why}");
    let found = finding::findings(Subject::Host(&made));
    let found = found.iter().find(|f| f.id == "compressed-swap");
    // It is found where it is much of what the machine holds.
    let is_much =
        made.ledger.booked(Account::Zspages) >= made.headline.usage.point().expect("read") / 20;
    assert_eq!(found.is_some(), is_much, "{found:?}");
    assert_adds_up(&made);
    Ok(())
}

#[test]
fn what_the_kernel_caches_is_named() {
    if left_out(Need::KernelFiles) {
        return;
    }
    let _alone = alone();
    let made = read();
    let detail: &HostDetail = made.detail.as_ref().expect("asked for");
    let slabs = detail.slabs.as_ref().expect("slabinfo is readable");
    let sum: u64 = slabs.iter().map(|slab| slab.bytes).sum();
    let slab = made.ledger.sum(&[Account::SlabReclaimable, Account::SlabUnreclaimable]);
    let slab = u64::try_from(slab).expect("not negative");
    // Objects of more than two pages have no cache.
    assert!(sum <= slab + slab / 10 && sum >= slab / 2, "caches {sum}, slab {slab}");
    let dentries = slabs.iter().find(|slab| slab.name == "dentry").expect("every kernel's");
    let counted = detail.dentries.as_ref().expect("readable");
    assert!(counted.total * 100 <= dentries.bytes && counted.unused <= counted.total);
}
