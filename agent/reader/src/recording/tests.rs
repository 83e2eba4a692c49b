use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use memgap_kernel::special;
use memgap_ledger::claim::{Claim, Extent, Priority};
use memgap_ledger::runtime::{Gc, Runtime, SecondSource, Unread};
use memgap_ledger::sample::{
    Area, FileRange, Named, OneMemory, ProcessSample, Sampled, Stacks, Walk,
};
use memgap_ledger::{Account, Fact, Figure, Machine, Missing, MissingKind};
use proptest::prelude::*;

use super::*;
use crate::{Collector, Reader, Roots, WalkPolicy};

/// A file of a test, which goes with it, and the older one too.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let (pid, nth) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        Self(std::env::temp_dir().join(format!("memgap-recording-{pid}-{nth}")))
    }

    fn with(bytes: &[u8]) -> Self {
        let scratch = Self::new();
        std::fs::write(&scratch.0, bytes).expect("written");
        scratch
    }

    /// All samples that can be read, and what is said of the rest.
    fn read(&self) -> (Vec<MachineSample>, Option<String>) {
        let mut recording = Recording::open(&self.0).expect("a recording");
        let mut samples = Vec::new();
        while recording.advance().is_some() {
            samples.push(recording.sample().expect("in its form"));
        }
        (samples, recording.damage().map(str::to_owned))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
        let _ = std::fs::remove_file(before(&self.0));
    }
}

/// The captured node, with a process that has something in every field.
fn node() -> MachineSample {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/kubernetes");
    let reader = Reader::open(Roots {
        procfs: format!("{root}/proc").into(),
        cgroupfs: Some(format!("{root}/sys/fs/cgroup").into()),
        container_logs: format!("{root}/var/log/containers").into(),
    });
    let reader = reader.expect("a captured node");
    let collected = Collector::new(reader, WalkPolicy::default()).collect();
    let mut sample = collected.expect("it is read").0;
    sample.processes.push(full());
    sample
}

fn full() -> ProcessSample {
    let lack = |why: &str| Missing::new(MissingKind::Denied, why);
    let name = "/home/alice/secret-project/bin/server";
    let area = Area {
        start: 4096,
        end: 8192,
        special: special::of_name(b"/memfd:x").map(|found| found.1),
        rss: 4096,
        merged: Some(0),
        ..Area::default()
    };
    let gc = Gc { name: Some("G1".to_owned()), paused: Some(Duration::MAX), ..Gc::default() };
    let second = SecondSource { name: "http://10.0.0.1/metrics".into(), in_use: 1, differs_by: -3 };
    let runtime = Runtime {
        file: name.to_owned(),
        in_use: Some(u64::MAX),
        evidence: vec![format!("found in {name}")],
        gc: Some(gc),
        second_source: Some(second),
        ..Runtime::named("glibc")
    };
    let mut unread = Unread::process(lack(&format!("{name}: permission denied")));
    unread.file = name.to_owned();
    ProcessSample {
        name: "secret".to_owned(),
        walk: Ok(Walk {
            areas: Arc::new([area]),
            age: Duration::from_nanos(1_500_000_001),
            resident: Some(Ok(Arc::new([(4096, 8192)]))),
            stacks: Some(Ok(Stacks { running: 3, ..Stacks::default() })),
            named: Arc::new([Named {
                area: 0,
                access: *b"rw-p",
                name: name.into(),
                file: Some(FileRange { device: (8, 1), inode: 7, offset: 0 }),
            }]),
        }),
        lazily_freed: Some(Ok(Sampled {
            figure: Figure::interval(-5, 0, i64::MAX),
            age: Duration::ZERO,
        })),
        one_memory: Some(OneMemory { counted_at: 1, others: vec![2, 3] }),
        claims: vec![Claim::new(
            Priority::Malloc,
            "glibc",
            Extent::Ranges(vec![(1, 2)]),
            &[(Account::HeapInUse, 5)],
        )],
        runtimes: vec![Ok(runtime), Err(unread)],
        cgroup: Ok("/system.slice/secret.service".to_owned()),
        ..ProcessSample::missing(4_000_000, &lack("/proc/4000000/status: permission denied"))
    }
}

/// What follows a sample: some grew, one went, one came.
fn next(sample: &MachineSample, by: u64) -> MachineSample {
    let mut next = sample.clone();
    for process in next.processes.iter_mut().step_by(2) {
        if let Ok(counters) = &mut process.counters {
            counters.rss += by << 12;
        }
    }
    next.processes.remove(0);
    let pid = 5_000_000 + u32::try_from(by).expect("small");
    next.processes.push(ProcessSample::missing(pid, &Missing::absent("a test")));
    next
}

/// A recording of three samples.
fn recorded() -> (Vec<u8>, Vec<MachineSample>) {
    let scratch = Scratch::new();
    let first = node();
    let second = next(&first, 1);
    let third = next(&second, 300);
    let mut recorder = Recorder::create(&scratch.0, 1 << 30, false).expect("created");
    for (second, sample) in [&first, &second, &third].into_iter().enumerate() {
        let at = UNIX_EPOCH + Duration::from_secs(1_795_252_087 + second as u64);
        recorder.add(at, sample.clone()).expect("written");
    }
    (std::fs::read(&scratch.0).expect("readable"), vec![first, second, third])
}

fn sorted(mut sample: MachineSample) -> MachineSample {
    sample.processes.sort_by_key(|process| process.pid);
    if let Ok(cgroups) = &mut sample.cgroups {
        cgroups.sort_by(|a, b| a.path.cmp(&b.path));
    }
    sample
}

#[test]
fn what_was_recorded_is_read_again_and_explained_the_same() {
    let (bytes, samples) = recorded();
    let (read, damage) = Scratch::with(&bytes).read();
    assert_eq!(damage, None);
    let sorted: Vec<MachineSample> = samples.into_iter().map(sorted).collect();
    assert!(read == sorted, "{} of {} samples are read", read.len(), sorted.len());
    let ledgers = |all: &[MachineSample]| all.iter().map(Machine::of).collect::<Vec<_>>();
    assert!(ledgers(&read) == ledgers(&sorted), "ledgers differ");
}

#[test]
fn of_a_file_that_was_cut_all_whole_blocks_are_read() {
    let (bytes, samples) = recorded();
    let samples: Vec<MachineSample> = samples.into_iter().map(sorted).collect();
    let mut most = 0;
    for length in HEAD..bytes.len() {
        let cut = Scratch::with(&bytes[..length]);
        let mut recording = Recording::open(&cut.0).expect("the head is there");
        let mut count = 0;
        while recording.advance().is_some() {
            count += 1;
        }
        assert!(count == most || count == most + 1, "{length} bytes: {count} after {most}");
        if count > most {
            most = count;
            assert!(recording.sample().expect("in its form") == samples[count - 1]);
            assert_eq!(recording.damage(), None, "nothing is lost between two blocks");
        } else if recording.damage().is_none() {
            assert_eq!(length, HEAD, "what was lost is said");
        }
    }
    assert_eq!(most, 2);
    for length in 0..HEAD {
        let error = Recording::open(&Scratch::with(&bytes[..length]).0).expect_err("no head");
        assert!(error.to_string().contains("no recording"), "{error}");
    }
}

#[test]
fn a_byte_that_was_changed_is_seen() {
    let (bytes, samples) = recorded();
    let samples: Vec<MachineSample> = samples.into_iter().map(sorted).collect();
    for at in (HEAD..bytes.len()).step_by(37).chain(HEAD..HEAD + FRAME) {
        let mut spoilt = bytes.clone();
        spoilt[at] ^= 0x10;
        let (read, damage) = Scratch::with(&spoilt).read();
        assert!(samples.starts_with(&read) && read.len() < 3, "byte {at}");
        assert!(damage.is_some_and(|why| !why.contains('\n')), "byte {at}");
    }
}

#[test]
fn newer_and_foreign_files_get_a_line() {
    let (mut bytes, _) = recorded();
    bytes[MAGIC.len()] += 1;
    for (bytes, says) in [(&bytes[..], "a newer memgap"), (b"{}", "no recording"), (b"", "no rec")]
    {
        let scratch = Scratch::with(bytes);
        let error = Recording::open(&scratch.0).expect_err("refused").to_string();
        assert!(error.contains(says) && error.contains(&*scratch.0.to_string_lossy()), "{error}");
    }
    assert!(Recorder::create(&Scratch::with(b"x").0, 1, true).is_err(), "nothing is overwritten");
}

#[test]
fn a_full_file_is_renamed_and_both_are_one_recording() {
    let scratch = Scratch::new();
    let sample = node();
    let mut recorder = Recorder::create(&scratch.0, 2, false).expect("created");
    for second in 0..3 {
        // Each file is full with one sample.
        recorder.add(UNIX_EPOCH + Duration::from_secs(second), sample.clone()).expect("written");
    }
    let mut recording = Recording::open(&scratch.0).expect("a recording");
    let times: Vec<SystemTime> = std::iter::from_fn(|| recording.advance()).collect();
    assert_eq!(times, [1, 2].map(|second| UNIX_EPOCH + Duration::from_secs(second)));
    // That of another recording is none of it.
    std::fs::write(before(&scratch.0), recorded().0).expect("written");
    assert_eq!(scratch.read().0.len(), 1);
}

#[test]
fn no_name_is_in_a_redacted_recording_and_its_sums_are_the_same() {
    let scratch = Scratch::new();
    let mut sample = node();
    let lack: Fact<u64> = Err(Missing::absent("/kubepods/secret/memory.current: no such file"));
    sample.cgroups.as_mut().expect("known")[1].usage = lack;
    Recorder::create(&scratch.0, 1 << 30, true)
        .and_then(|mut recorder| recorder.add(UNIX_EPOCH, sample.clone()))
        .expect("written");
    let read = scratch.read().0.remove(0);
    let text = format!("{read:?}");
    for word in ["alice", "secret", "postgres", "checkout", "10.0.0.1"] {
        assert!(!text.contains(word), "{word}");
    }
    assert!(format!("{sample:?}").contains("checkout"), "it was there");
    assert_eq!(read.host, sample.host);
    assert_eq!(read.processes.len(), sample.processes.len());
    let charged = |sample: &MachineSample| {
        let all = Machine::of(sample).cgroups.expect("known");
        let mut all: Vec<_> =
            all.iter().map(|one| (one.headline.usage.point(), one.processes)).collect();
        all.sort_unstable();
        all
    };
    assert_eq!(charged(&read), charged(&sample));
}

proptest! {
    #[test]
    fn no_block_whatever_it_says_brings_the_reader_down(
        at in any::<prop::sample::Index>(),
        bytes in prop::collection::vec(any::<u8>(), 1..40),
        is_rest in any::<bool>(),
    ) {
        let mut state = State::default();
        let mut block = state.write(UNIX_EPOCH, &MachineSample {
            host: node_host(),
            cgroups: Ok(Vec::new()),
            processes: vec![full()],
        }, true);
        let from = at.index(block.len());
        let to = if is_rest { block.len() } else { (from + bytes.len()).min(block.len()) };
        block.splice(from..to, bytes);
        let mut read = State::default();
        if read.read(&block).is_some() {
            let _ = read.sample();
        }
        let _ = read.read(&block);
        let _ = read.sample();
    }

    #[test]
    fn what_changed_is_what_is_read(
        counts in prop::collection::vec((any::<u64>(), any::<Option<u64>>(), any::<i64>()), 1..20),
    ) {
        let (mut written, mut read) = (State::default(), State::default());
        for (nth, (rss, swap, point)) in counts.into_iter().enumerate() {
            let mut process = full();
            process.counters = Ok(memgap_ledger::sample::Counters {
                source: "statm", rss, swap, ..Default::default()
            });
            process.lazily_freed = Some(Ok(Sampled {
                figure: Figure::Exact(point), age: Duration::from_nanos(rss),
            }));
            let sample = MachineSample {
                host: node_host(), cgroups: Err(Missing::absent("none")), processes: vec![process],
            };
            let block = written.write(UNIX_EPOCH, &sample, nth == 0);
            prop_assert_eq!(read.read(&block), Some(UNIX_EPOCH));
            prop_assert_eq!(read.sample(), Some(sample));
        }
    }
}

fn node_host() -> memgap_ledger::sample::HostSample {
    let lack = Missing::absent("a test");
    memgap_ledger::sample::HostSample {
        meminfo: Err(lack.clone()),
        pcp: Ok(1),
        sock: Err(lack.clone()),
        vmstat: Err(lack.clone()),
        huge_pages: Err(lack),
        cpus: 2,
    }
}
