//! Bands on bands, interruptions, and restore: what comes back is what was there.

use std::path::Path;
use std::process::Command;

/// Runs a script in `dir` with the programs on the PATH; it must succeed.
fn run(dir: &Path, script: &str) -> String {
    let programs = Path::new(env!("CARGO_BIN_EXE_dura-scan")).parent().unwrap();
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
    let mut bash = Command::new("bash");
    bash.args(["-c", &format!("set -eu; {script}")])
        .current_dir(dir)
        .env("PATH", path)
        .env("DURA_CACHE", dir.join("cache"));
    let out = bash.output().unwrap();
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{script}\n{}{said}", String::from_utf8_lossy(&out.stdout));
    String::from_utf8(out.stdout).unwrap()
}

const TREE: &str = "mkdir -p src/a/b src/c; seq 1000 > src/a/seq; head -c 3000000 /dev/urandom > src/big; ln src/a/seq src/c/hard; \
    ln -s a src/link; for i in $(seq 200); do echo $i > src/c/$i; done; touch -d '2020-01-01' src/a/seq src/big src/c/*";
const BACKUP: &str = "backup() { dura-scan -q src | dura-index diff -q arc | dura-pack -q --block-size 100k | dura-seal | dura-push -q arc; }; \
    set -o pipefail;";
const SAME: &str = "rm -rf out out2; mkdir out; dura-restore -q arc | tar -xpf - -C out; diff -r --no-dereference src out; \
    (cd arc; cd $(ls | tail -n 1); sh recover.sh ../../out2 2>/dev/null); diff -r --no-dereference src out2";

/// Each layer costs what changed, and every version comes back by dura-restore and by recover.sh.
#[test]
fn layers_restore_exactly() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    run(dir, &format!("{TREE}; sleep 2.1; {BACKUP} backup; {SAME}"));
    run(dir, &format!("{BACKUP} sleep 1; backup; {SAME}"));
    // Everything is touched, but little is new; types change; first names go.
    run(
        dir,
        &format!(
            "touch src/big src/c/*; rm src/a/seq; rm -r src/a/b; echo x > src/a/b; rm src/link; mkdir src/link; {BACKUP} sleep 1; backup; {SAME}"
        ),
    );
    let sizes = run(dir, "for band in arc/*; do cat $band/*/* | wc -c; done");
    let sizes: Vec<u64> = sizes.lines().map(|line| line.trim().parse().unwrap()).collect();
    assert_eq!(sizes.len(), 3);
    assert!(sizes[0] > 3_000_000 && sizes[1] < 4_000 && sizes[2] < 60_000, "{sizes:?}");
    assert_eq!(run(dir, "dura-index bands arc | cut -d' ' -f2"), "complete\ncomplete\ncomplete\n");
    // An older version is still what it was.
    let old = run(dir, "dura-restore -q --band $(ls arc | head -n 1) arc ./a ./link | tar -tf -");
    assert_eq!(old, "./a/\n./a/b/\n./a/seq\n./link\n");
}

/// A run that is cut off at any place is continued, and what is stored is not stored again.
#[test]
fn interrupted_runs_are_continued() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    run(
        dir,
        &format!(
            "{TREE}; for i in 1 2 3 4 5; do head -c 300000 /dev/urandom > src/c/r$i; done; sleep 2.1"
        ),
    );
    for cut in [1000, 200_000, 3_500_000, 700_000, 300_000] {
        let stream = "dura-scan -q src | dura-index diff -q arc | dura-pack -q --block-size 100k | dura-seal";
        run(
            dir,
            &format!(
                "({stream} | head -c {cut} | dura-push -q arc) 2>/dev/null && exit 1; [ -z \"$(ls arc/*/TAIL 2>/dev/null)\" ]"
            ),
        );
        run(
            dir,
            "find arc -type f -exec sha256sum {} + | sort > now; [ ! -e before ] || [ -z \"$(comm -23 before now)\" ]; mv now before",
        );
    }
    run(dir, &format!("{BACKUP} backup; {SAME}; [ $(ls arc | wc -l) = 1 ]"));
}

/// A large file that was only touched, a chmod and a chown add under 2 KiB each: blocks, indexes,
/// tables and checksum lists are counted, encrypted; HEAD, the notes, TAIL, and what the lists say
/// of these are not, because every band has them, whatever it holds.
#[test]
fn small_changes_cost_little() {
    use crate::util::gpg::{self, KEY};
    use crate::util::tree::root;
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let home = gpg::home().dir.display();
    run(
        dir,
        &format!(
            "{TREE}; head -c 26214400 /dev/urandom > src/large; touch -d 2020-01-01 src/large; sleep 2.1"
        ),
    );
    let backup = format!(
        "export GNUPGHOME={home}; set -o pipefail; dura-scan -q src | dura-index diff -q arc | dura-pack -q | dura-seal -q -r {KEY} | dura-push -q arc"
    );
    run(dir, &backup);
    let chown = if root() { "chown 1000:1000 src/large" } else { "chmod 0604 src/large" };
    for change in ["touch src/large", "chmod 0600 src/large", chown, "true"] {
        run(dir, &format!("{change}; sleep 2.1"));
        run(dir, &backup);
        let sizes = "cd arc; cd $(ls | tail -n 1); cat */* | grep -av 'HEAD\\|RECOVER\\|recover\\|rsrepair\\|rdpatch' | wc -c; cat $(find . -type f) | wc -c";
        let sizes: Vec<u64> =
            run(dir, sizes).lines().map(|line| line.trim().parse().unwrap()).collect();
        println!("{change}: {} bytes, {} with HEAD, notes and TAIL", sizes[0], sizes[1]);
        assert!(sizes[0] < 2048, "{change} costs {} bytes", sizes[0]);
    }
    let same = "mkdir out; dura-restore -q arc | tar -xpf - -C out; diff -r --no-dereference src out; \
        [ \"$(stat -c '%a %u %g %Y' src/large)\" = \"$(stat -c '%a %u %g %Y' out/large)\" ]";
    run(dir, &format!("export GNUPGHOME={home}; {same}"));
}
