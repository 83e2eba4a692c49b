//! Room in situations of many kinds, by the kernel's own kill.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use memgap_tests::room::case::CASES;
use memgap_tests::room::{Stage, prove};

#[test]
fn who_stays_below_lives_and_who_goes_beyond_is_killed() -> Result<()> {
    let pid = std::process::id();
    let stage = Stage {
        program: env!("CARGO_BIN_EXE_vm-guest").into(),
        disk: PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("room-{pid}")),
        tmpfs: PathBuf::from(format!("/dev/shm/memgap-room-{pid}")),
    };
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
