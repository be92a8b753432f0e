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

/// A restore of ten tiers, each in the midst of a block of 10 MiB: what it holds is bounded by those,
/// and what is fetched or decompressed ahead gives way to them, also if tar is slow.
#[test]
fn a_restore_of_ten_tiers() {
    let dir = scratch("tiers");
    let script = r#"set -eu
mkdir src; for i in $(seq -w 0 99); do head -c 1000000 /dev/urandom >src/$i; done
for tier in $(seq 0 9); do
    dura-scan -q src | dura-index diff -q arc | dura-pack -q --compress zstd | dura-seal | dura-push -q arc
    for i in $(seq 0 9); do [ $tier = 9 ] || head -c 1000000 /dev/urandom >src/$i$tier; done
done
[ $(ls arc | wc -l) = 10 ]
for band in $(ls arc | sed -n '1p;$p'); do
    python3 -c 'import resource, subprocess, sys, time
with open("out.tar", "wb") as out, subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE) as restore:
    while piece := restore.stdout.read(1 << 20): out.write(piece) and time.sleep(0.01)
if restore.returncode: sys.exit(restore.returncode)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024)' dura-restore -q --band $band arc
done
mkdir out; tar -xpf out.tar -C out; diff -r src out >&2"#;
    let peaks = crate::continued::bash(&dir, script, &[]);
    let peaks: Vec<u64> = peaks.lines().map(|line| line.parse().unwrap()).collect();
    let [one, ten] = peaks[..] else { panic!("{peaks:?}") };
    // 206 MiB of ten, when nothing gave way; 150 while blocks were held to the next 2 MiB; 140 while
    // each tier that waited held three members.
    assert!(one <= 90 && ten <= 124, "{one} MiB of one tier, {ten} MiB of ten");
}
