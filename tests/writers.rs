//! One place for the archives of several hosts, and of one source that several writers share.

use std::fs;

use crate::util::gpg::{KEY, home};
use crate::util::run::{Done, dura, scratch};
use crate::util::snapshot::{EXACT, assert_same, take};

/// Four writers at once, each of which leaves to the others what is theirs; then a layer of each.
/// All that they stored is listed, verified and restored together.
#[test]
fn four_at_once_share_a_source() {
    let dir = scratch("writers");
    let run = |line: &str| -> Done {
        home().with(dura(line)).dir(&dir).var("DURA_CACHE", dir.join("cache")).run()
    };
    let ok = |line: &str| -> String {
        let done = run(line);
        assert_eq!(done.code, 0, "{}", done.report());
        done.text()
    };
    for (number, name) in
        ["alpha", "beta", "golf", "kilo", "oscar", "zulu", "Ärger", ".hidden"].iter().enumerate()
    {
        let folder = dir.join("src").join(name).join("below");
        fs::create_dir_all(&folder).unwrap();
        for file in 0..30 {
            fs::write(folder.join(format!("{file}")), format!("{name} {file}\n")).unwrap();
        }
        fs::write(dir.join("src").join(format!("{name}.txt")), vec![number as u8; 5000]).unwrap();
    }
    let ranges = ["/[a-f]*", "/[g-m]*", "/[n-z]*"];
    for (writer, range) in ranges.iter().enumerate() {
        fs::write(dir.join(format!("left-out.{writer}")), format!("/*\n!{range}\n")).unwrap();
    }
    // The last has what no other has, whatever that is.
    fs::write(dir.join("left-out.3"), ranges.join("\n")).unwrap();
    let backup = format!(
        "sleep 2.1; for writer in 0 1 2 3; do
           (dura-scan -q --exclude-from left-out.$writer src | dura-index diff -q --tier $TIER place/$writer | dura-pack -q |
               dura-seal -q -r {KEY} | dura-push -q place/$writer) &
           all=\"$all $!\"
         done; for one in $all; do wait $one || exit; done"
    );
    ok(&format!("TIER=0; {backup}"));
    fs::write(dir.join("src/golf/new"), "new").unwrap();
    fs::remove_dir_all(dir.join("src/zulu")).unwrap();
    fs::write(dir.join("src/.hidden.txt"), "changed").unwrap();
    ok(&format!("TIER=1; {backup}"));
    // Another host has its own folder; what else lies there is no archive.
    ok(
        "dura-scan -q src/alpha | dura-pack -q | dura-push -q place/laptop; mkdir -p place/notes; touch place/notes/x place/y",
    );
    let listed = ok("dura-index bands --below place");
    let of = |folder: &str| listed.lines().filter(|line| line.starts_with(folder)).count();
    let counts = ["0/2", "1/2", "2/2", "3/2", "laptop/2"].map(of);
    assert_eq!((counts, listed.lines().count()), ([2, 2, 2, 2, 1], 9), "{listed}");
    assert!(listed.lines().all(|line| line.contains(" complete ")), "{listed}");
    let json = ok("dura-index bands --json --below place");
    assert!(json.starts_with("{\"band\":\"0/2"), "{json}");
    // Together each entry is there once, but for the directory that all have.
    ok("for one in 0 1 2 3; do dura-verify -q --files place/$one || exit; done");
    ok("for one in 0 1 2 3; do dura-index list -q place/$one | grep '^\\./.* type=' | cut -d' ' -f1; done | sort >paths
        [ -z \"$(uniq -d <paths)\" ] && [ \"$(wc -l <paths)\" = \"$(find src -mindepth 1 | wc -l)\" ]");
    ok(
        "mkdir out; for one in 0 1 2 3; do dura-restore -q place/$one | tar -xpf - -C out || exit; done",
    );
    assert_same("together", &take(&dir.join("src")), &take(&dir.join("out")), EXACT);
    for (line, code, said) in [
        ("dura-index bands place", 2, "the archive has no band, but"),
        ("dura-index bands --below place/notes", 2, "no folder of it is an archive"),
        ("dura-index bands --below nowhere", 2, "nowhere"),
    ] {
        let done = run(line);
        assert_eq!(done.code, code, "{}", done.report());
        done.tells(said);
    }
}
