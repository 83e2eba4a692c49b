//! Room in situations of many kinds, by the kernel's own kill.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use memgap_tests::rights::{Need, left_out};
use memgap_tests::room::case::CASES;
use memgap_tests::room::{Stage, prove, squeeze};

fn stage(name: &str) -> Stage {
    let name = format!("memgap-{name}-{}", std::process::id());
    Stage {
        program: env!("CARGO_BIN_EXE_vm-guest").into(),
        disk: PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(&name),
        tmpfs: PathBuf::from("/dev/shm").join(&name),
    }
}

/// What processors hold back of charges and statistics, on as many as this machine has.
fn slack() -> i64 {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    i64::try_from(processors).unwrap_or(i64::MAX).saturating_mul(512 << 10)
}

#[test]
fn required_holds_what_is_left_by_reclaim() -> Result<()> {
    if left_out(Need::Cgroups) {
        return Ok(());
    }
    let stage = stage("required");
    for case in CASES {
        let Some((required, left)) = squeeze(&case, &stage)? else { return Ok(()) };
        let (low, high) = required.bounds().context("known")?;
        println!("{}: required {low}..{high}, left {left}", case.name);
        let within = (low - slack()..=high + slack()).contains(&left);
        ensure!(within, "{}: required {required:?}, left {left}", case.name);
        // v1 leaves open what of the kernel's memory can be dropped: the point counts it.
        let open = high - low;
        let off = (required.point().context("known")? - left).abs();
        ensure!(off <= left * 3 / 100 + open, "{}: off by {off} of {left}", case.name);
    }
    Ok(())
}

#[test]
fn who_stays_below_lives_and_who_goes_beyond_is_killed() -> Result<()> {
    if left_out(Need::Cgroups) {
        return Ok(());
    }
    let stage = stage("room");
    let mut wrong = Vec::new();
    for case in CASES {
        let proof = prove(&case, &stage)?;
        let bounds = proof.room.bytes.bounds().map(|(low, high)| (low >> 20, high >> 20));
        println!("{}: room {bounds:?} MiB by {}", case.name, proof.room.limit.path);
        wrong.extend(proof.check(&case).err());
    }
    ensure!(wrong.is_empty(), "{wrong:?}");
    Ok(())
}
