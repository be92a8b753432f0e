//! Where the system grants little memory, the programs fit themselves to it.

use std::fs;

use crate::util::run::{dura, scratch};
use crate::util::snapshot::{EXACT, assert_same, take};
use crate::util::tree::noise;

/// One large file that does not compress, and some small ones, in a quarter of the memory that a
/// pipeline takes otherwise: backed up and restored.
#[test]
fn a_backup_in_little_memory() {
    let dir = scratch("memory");
    let src = dir.join("src");
    fs::create_dir(&src).unwrap();
    fs::write(src.join("large"), noise(1, 40 << 20)).unwrap();
    for n in 0..20u64 {
        fs::write(src.join(format!("small-{n}")), noise(n, 300_000)).unwrap();
    }
    let limited = "ulimit -d 100000";
    let done = dura(&format!(
        "{limited}; dura-scan src | dura-pack -v 2> said | dura-seal --parity 1 --group 4 | dura-push archive && cat said >&2"
    ))
    .dir(&dir)
    .ok();
    done.tells("dura-pack: blocks of 3.0 MiB, parts of 3.0 MiB");
    dura(&format!(
        "{limited}; dura-verify archive && mkdir out && dura-restore archive | tar xpf - -C out"
    ))
    .dir(&dir)
    .ok();
    assert_same("restored", &take(&src), &take(&dir.join("out")), EXACT);
    let free = dura("dura-scan src | dura-pack -v > /dev/null").dir(&dir).ok();
    assert!(free.stderr.contains("MiB, parts of "), "{}", free.report());
}
