//! Large files in which runs are cut: the next run goes on behind the parts that are stored, with
//! the public key alone, and what comes of it is whole for every reader.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::util::backup::only_band;
use crate::util::gpg::{self, KEY};
use crate::util::run::{Done, Shell, bare, dura, scratch};
use crate::util::snapshot::{EXACT, assert_same, take};
use crate::util::stream::split;
use crate::util::tree::noise;

/// A part has one member of noise.
const PART: &str = "1200k";

/// A directory with a tree whose second file is large: so many mebibytes, each a member, and each a
/// part.
fn host(name: &str, parts: u64) -> PathBuf {
    let dir = scratch(name);
    fs::create_dir(dir.join("src")).unwrap();
    fs::write(dir.join("src/a"), "first").unwrap();
    fs::write(dir.join("src/large"), noise(1, (parts as usize) << 20)).unwrap();
    fs::write(dir.join("src/z"), "last").unwrap();
    std::thread::sleep(Duration::from_millis(2100));
    dir
}

/// With the public key and the cache of the host.
fn on_host(line: &str, dir: &Path) -> Shell {
    dura(line).dir(dir).var("GNUPGHOME", &gpg::public().dir).var("DURA_CACHE", dir.join("cache"))
}

/// All programs up to seal, and what comes behind them.
fn made(seal: &str, archive: &str, part: &str, then: &str) -> String {
    format!(
        "dura-scan -q src | dura-index diff {archive} | \
         dura-pack --part-size {part} --block-size 1k --delta-over 1M | dura-seal -q {seal} {then}"
    )
}

/// One run, of whose stream so many bytes are pushed; what it gave, and the names of its parts.
fn backup(dir: &Path, seal: &str, most: u64, archives: &str) -> (Done, Vec<String>) {
    let push = format!("> stream\nhead -c {most} stream | dura-push -q -j 1 {archives}");
    let first = archives.split(' ').next().unwrap();
    let done = on_host(&made(seal, first, PART, &push), dir).run();
    (done, parts(dir))
}

/// The names of the parts in the last stream.
fn parts(dir: &Path) -> Vec<String> {
    let stream = fs::read(dir.join("stream")).unwrap();
    let names = split(&stream).into_iter().map(|member| member.name());
    names.filter(|name| is_part(name)).collect()
}

fn is_part(name: &str) -> bool {
    name.contains(".tar.gz.0") || name.contains(".rdiff.gz.0")
}

/// Inode and time of each object: none is written again.
fn objects(dir: &Path) -> BTreeMap<String, (u64, i64)> {
    let listed = bare("find arc -type f").dir(dir).ok().text();
    let stat =
        |name: &str| fs::metadata(dir.join(name)).map(|stat| (stat.ino(), stat.mtime_nsec()));
    listed.lines().map(|name| (name.to_owned(), stat(name).unwrap())).collect()
}

/// Every reader gives the tree back, and nothing is found to be wrong.
fn is_whole(dir: &Path) {
    let with = |line: &str| dura(line).dir(dir).var("GNUPGHOME", &gpg::home().dir);
    with("dura-verify --files arc").ok();
    with("dura-verify arc").ok();
    let was = take(&dir.join("src"));
    with("rm -rf out; mkdir out; dura-restore -q --no-cache arc | tar -xpf - -C out").ok();
    assert_same("dura-restore", &was, &take(&dir.join("out")), EXACT);
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/lib/notes/recover.sh");
    for shell in ["dash", "busybox sh"] {
        let line = format!(
            "rm -rf out; cd \"$(ls -d arc/2*Z | tail -n 1)\" && {shell} {script} ../../out"
        );
        bare(&line).dir(dir).var("GNUPGHOME", &gpg::home().dir).ok();
        assert_same(shell, &was, &take(&dir.join("out")), EXACT);
    }
}

/// Cut again and again, with groups that are full and such that are not: each run sends what the
/// one before lost, and no more; also where pack itself is cut off.
#[test]
fn each_run_goes_on_in_the_file() {
    const PARTS: usize = 8;
    for (seal, whole_stream) in [
        (format!("-r {KEY} --group 3"), true),
        (format!("-r {KEY} --group 8 --parity 1"), false),
        (format!("-r {KEY} --group 32"), true),
        ("--group 4".to_owned(), false),
    ] {
        let dir = host("large", PARTS as u64);
        let (mut runs, mut was) = (0, BTreeMap::<String, (u64, i64)>::new());
        loop {
            let (done, parts) = match whole_stream {
                true => backup(&dir, &seal, 3 << 20, "arc"),
                false => {
                    let push = "| head -c 3145728 | dura-push -q -j 1 arc";
                    (on_host(&made(&seal, "arc", PART, push), &dir).run(), vec![])
                }
            };
            let stored = objects(&dir);
            assert!(was.iter().all(|(name, stat)| stored.get(name) == Some(stat)), "{seal}");
            let earlier = was.keys().filter(|name| is_part(name)).count();
            let now = stored.keys().filter(|name| is_part(name)).count();
            runs += 1;
            assert!(runs <= 6 && (now > earlier || done.code == 0), "{}", done.report());
            if whole_stream {
                assert_eq!(parts.len(), PARTS - earlier, "{seal}: {}", done.report());
            }
            let continues = done.stderr.contains("./large: continuing in it");
            // When all of them are there, the index may be, too.
            assert!(continues == (earlier > 0) || earlier == PARTS, "{seal}: {}", done.report());
            was = stored;
            if done.code == 0 {
                break;
            }
            assert_eq!(done.code, 2, "{}", done.report());
        }
        assert!(runs >= 3, "{runs}");
        // All of it under the number that the first run gave it.
        let parts = was.keys().filter(|name| is_part(name));
        let numbers: Vec<&str> =
            parts.filter_map(|name| Some(name.split_once(".tar")?.0)).collect();
        assert_eq!(numbers.len(), PARTS);
        assert!(numbers.windows(2).all(|pair| pair[0] == pair[1]), "{numbers:?}");
        is_whole(&dir);
        // A next run builds on it.
        fs::write(dir.join("src/z"), "changed").unwrap();
        let (done, parts) = backup(&dir, &seal, u64::MAX, "arc");
        assert_eq!((done.code, parts.len()), (0, 0), "{}", done.report());
    }
}

/// A file that is another one by now is stored from its beginning, and so is one of which this host
/// has no notes.
#[test]
fn what_has_changed_begins_anew() {
    let seal = format!("-r {KEY}");
    for change in
        ["printf x >> src/large", "touch src/large", "rm -r cache/cut", "rm -r cache/journal"]
    {
        let dir = host("changed", 4);
        let (done, _) = backup(&dir, &seal, 3 << 20, "arc");
        assert_eq!(done.code, 2, "{}", done.report());
        bare(&format!("{change}; sleep 2.1")).dir(&dir).ok();
        let (done, parts) = backup(&dir, &seal, u64::MAX, "arc");
        assert_eq!(done.code, 0, "{change}: {}", done.report());
        assert!(parts.iter().all(|name| name.contains("/000000032.")), "{change}: {parts:?}");
        assert!(parts.len() >= 4 && !done.stderr.contains("continuing in it"), "{change}");
        is_whole(&dir);
    }
}

/// Where another archive may have parts in another form, the number is given up: in an archive that
/// was pushed to beside, or into which a spool was emptied.
#[test]
fn parts_that_lie_in_two_archives() {
    let seal = format!("-r {KEY}");
    for (archives, then) in
        [("arc other", "true"), ("arc", "dura-push -q --from arc --move --keep-indexes other")]
    {
        let dir = host("two", 4);
        backup(&dir, &seal, 3 << 20, archives);
        on_host(then, &dir).run();
        let (done, parts) = backup(&dir, &seal, u64::MAX, archives);
        assert_eq!(done.code, 0, "{}", done.report());
        assert!(parts.iter().all(|name| name.contains("/000000032.")), "{parts:?}");
        on_host("dura-push -q --from arc --move other; mv other arc", &dir).run();
    }
}

/// A part that was on its way when the run was cut, and comes when the next one has begun.
#[test]
fn a_part_that_comes_late() {
    let dir = host("late", 6);
    let seal = format!("-r {KEY}");
    let (_, parts) = backup(&dir, &seal, 4 << 20, "arc");
    let band = only_band(&dir.join("arc"));
    let late = band.join(parts[2].split_once('/').unwrap().1);
    assert!(late.exists(), "{parts:?}");
    // The listing of the second run does not have it, and it is refused.
    let kept = dir.join("late");
    fs::rename(&late, &kept).unwrap();
    let line = "dura-scan -q src | dura-index diff -q arc | dura-pack --part-size 1200k --block-size 1k | dura-seal -q -r $KEY > stream
                mv late $LATE; dura-push -q -j 1 arc < stream";
    let done = on_host(line, &dir).var("KEY", KEY).var("LATE", &late).run();
    assert_eq!(done.code, 2, "{}", done.report());
    // Which of the two is stored is looked at. It is not the last one: the number is given up.
    let (done, parts) = backup(&dir, &seal, u64::MAX, "arc");
    assert_eq!(done.code, 0, "{}", done.report());
    assert!(parts.iter().all(|name| name.contains("/000000064.")), "{parts:?}");
    is_whole(&dir);
}

/// Cut after each object (after every third one, and of a small file, in the usual run of the
/// tests): the next run sends the parts that are not there, and no other. `scripts/large` has a
/// file of 300 MiB.
#[test]
fn cut_after_each_object() {
    let large = std::env::var("DURA_LARGE_MIB").ok().map(|text| text.parse().unwrap());
    let (mebibytes, part, step) = large.map_or((5, PART, 3), |mebibytes| (mebibytes, "8M", 1));
    cut_after_each(&host("sweep", mebibytes), part, |cut, _| cut.is_multiple_of(step));
}

/// The same for a file of which a delta is stored.
#[test]
fn cut_after_each_object_of_a_delta() {
    let large = std::env::var("DURA_LARGE_MIB").ok().map(|text| text.parse().unwrap());
    let (mebibytes, part) = large.map_or((6, PART), |mebibytes| (mebibytes, "8M"));
    let dir = host("sweep-delta", mebibytes);
    let seal = format!("-r {KEY}");
    on_host(&made(&seal, "arc", part, "| dura-push -q arc"), &dir).ok();
    let file = fs::File::options().write(true).open(dir.join("src/large")).unwrap();
    file.write_all_at(&noise(7, (mebibytes as usize) << 19), 1 << 20).unwrap();
    std::thread::sleep(Duration::from_millis(2100));
    bare("cp -a arc arc.base; cp -a cache cache.base").dir(&dir).ok();
    let of_file = |last: &str| last.contains(".rdiff.") || last.contains(".sums.");
    cut_after_each(&dir, part, |_, last| large.is_some() || of_file(last));
    let found = bare("find arc -name '*.rdiff.gz.0*'").dir(&dir).ok().text();
    assert!(found.lines().count() >= 3, "{found}");
}

/// Begins with `arc.base` and `cache.base`, if they are there.
fn cut_after_each(dir: &Path, part: &str, is_tried: impl Fn(usize, &str) -> bool) {
    let seal = format!("-r {KEY} --group 4 --parity 1");
    let fresh = || {
        let start = "rm -rf arc cache; [ ! -d arc.base ] || { cp -a arc.base arc; cp -a cache.base cache; }";
        bare(start).dir(dir).ok();
        on_host(&made(&seal, "arc", part, "> stream"), dir).ok();
        split(&fs::read(dir.join("stream")).unwrap())
    };
    let mut tried = 0;
    let names: Vec<String> = fresh().iter().map(|member| member.name()).collect();
    let last = |cut: usize| cut.checked_sub(1).map_or("", |last| names[last].as_str());
    for cut in (0..=names.len()).filter(|cut| is_tried(*cut, last(*cut))) {
        let members = fresh();
        let (all, name) = (parts(dir).len(), members.last().unwrap().name());
        let band = name.split_once('/').unwrap().0;
        let ends = members.iter().take(cut).map(|it| 512 + it.data.len().next_multiple_of(512));
        let most: usize = ends.sum();
        on_host(&format!("head -c {most} stream | dura-push -q arc"), dir).run();
        let there = "find arc/$BAND -name '*.gz.0*' | wc -l; find arc/$BAND -name '*.sums*' | wc -l; ls arc/$BAND/TAIL";
        let there = bare(there).dir(dir).var("BAND", band).run().text();
        let is_complete = there.contains("TAIL");
        let mut counts = there.lines().map(|line| line.trim().parse::<usize>().unwrap_or(0));
        let (there, sums) = (counts.next().unwrap(), counts.next().unwrap());
        on_host(&made(&seal, "arc", part, "> stream\ndura-push -q arc < stream"), dir).ok();
        let sent = parts(dir).len();
        assert_eq!(sent, if is_complete { 0 } else { all - there }, "after {}", last(cut));
        let stream = split(&fs::read(dir.join("stream")).unwrap());
        let sent = stream.iter().filter(|it| it.name().contains(".sums.")).count();
        assert_eq!(sent + sums, 1, "after {}", last(cut));
        is_whole(dir);
        tried += 1;
    }
    assert!(tried >= 4, "{tried}");
}
