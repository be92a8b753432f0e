//! Runs that are cut off, everywhere, and two that continue the same band: nothing stored is lost,
//! stored again or changed.
//!
//! All of it is done with the public key only, as a host has it that is backed up; only restores
//! have the secret key.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::util::backup::only_band;
use crate::util::gpg::{self, KEY};
use crate::util::run::{Shell, bare, dura, finish as finish_child, scratch};
use crate::util::small::refused;
use crate::util::snapshot::{EXACT, Snapshot, assert_same, take};
use crate::util::stream::{Member, join, split};
use crate::util::sweep::part;
use crate::util::tree::noise;

/// A tree, what was in it, and one clean run over it.
struct Tree {
    dir: PathBuf,
    was: Snapshot,
}

/// Files of a block each (a block ends where a compressed member does, and small files share one),
/// with hard links and directories across them.
fn tree(blocks: u64) -> Tree {
    let dir = scratch("interrupted").join("src");
    for sub in ["a", "a/sub", "b", "z"] {
        fs::create_dir_all(dir.join(sub)).unwrap();
    }
    for n in 0..blocks {
        let mut bytes = noise(n, 100_000);
        bytes.resize(1_100_000, b'.');
        fs::write(dir.join(["a", "a/sub", "b"][n as usize % 3]).join(format!("{n}")), bytes)
            .unwrap();
        fs::write(dir.join(format!("b/tiny-{n}")), format!("{n}")).unwrap();
    }
    fs::hard_link(dir.join("a/0"), dir.join("b/linked")).unwrap();
    fs::hard_link(dir.join("a/0"), dir.join("z/linked")).unwrap();
    std::thread::sleep(Duration::from_millis(2100));
    Tree { was: take(&dir), dir }
}

const PACK: &str = "--block-size 50k";

/// `scan | diff | pack | seal` with the public key, in the directory of a case with its `archive`
/// and its `cache`.
fn made(tree: &Tree, case: &Path, pack: &str) -> Vec<u8> {
    let line = format!(
        "dura-scan -q \"$SRC\" | dura-index diff -q archive | dura-pack -q {pack} | dura-seal -q -r {KEY} > stream"
    );
    on_host(&line, case).var("SRC", &tree.dir).ok();
    fs::read(case.join("stream")).unwrap()
}

/// With the public key and the cache of the case.
fn on_host(line: &str, case: &Path) -> Shell {
    dura(line).dir(case).var("GNUPGHOME", &gpg::public().dir).var("DURA_CACHE", case.join("cache"))
}

/// One uninterrupted run: the stream and its members, and the directory with the cache that it
/// left.
struct Clean {
    tree: Tree,
    case: PathBuf,
    stream: Vec<u8>,
    members: Vec<Member>,
    /// The paths that each index lists, by the object's name within the band.
    listed: BTreeMap<String, Vec<Vec<u8>>>,
}

fn clean(blocks: u64) -> Clean {
    let (tree, case) = (tree(blocks), scratch("clean"));
    let stream = made(&tree, &case, PACK);
    let members = split(&stream);
    let ids = fs::read_dir(case.join("cache")).unwrap().map(|entry| entry.unwrap().path());
    let mut ids = ids.filter(|path| path.file_name().is_some_and(|name| name.len() == 32));
    let cache = only_band(&ids.next().unwrap());
    let line = "for i in */*.mtree.gz; do gzip -dc $i | awk -v i=$i '!/^#/ { print i, $1 }'; done";
    let indexes = bare(line).dir(&cache).ok().text();
    let mut listed: BTreeMap<String, Vec<Vec<u8>>> = BTreeMap::new();
    for (index, path) in indexes.lines().filter_map(|line| line.split_once(' ')) {
        let path = path.strip_prefix("./").unwrap_or(path).as_bytes().to_vec();
        listed.entry(format!("{index}.gpg")).or_default().push(path);
    }
    Clean { tree, case, stream, members, listed }
}

/// What a store has: inode, time and bytes of each object.
fn objects(archive: &Path) -> BTreeMap<PathBuf, (u64, i64, i64, Vec<u8>)> {
    let mut found = BTreeMap::new();
    let mut folders = vec![archive.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let entry = entry.unwrap();
            let meta = entry.metadata().unwrap();
            if meta.is_dir() {
                folders.push(entry.path());
            } else {
                let bytes = fs::read(entry.path()).unwrap();
                found.insert(entry.path(), (meta.ino(), meta.mtime(), meta.mtime_nsec(), bytes));
            }
        }
    }
    found
}

/// Bytes of blocks without an index, and of all objects.
fn sizes(archive: &Path) -> (u64, u64) {
    let all = objects(archive);
    let name = |path: &Path| path.to_string_lossy().into_owned();
    let has_index = |block: &str| {
        let (number, _) = block.split_once(".tar").unwrap();
        all.keys().any(|path| name(path).starts_with(&format!("{number}.mtree")))
    };
    let size = |(_, (_, _, _, bytes)): (&PathBuf, &(u64, i64, i64, Vec<u8>))| bytes.len() as u64;
    let loose =
        all.iter().filter(|(path, _)| name(path).contains(".tar") && !has_index(&name(path)));
    (loose.map(size).sum(), all.iter().map(size).sum())
}

/// With the secret key, what is there comes back; of an unfinished band with status 1.
fn restored(case: &Path) -> Snapshot {
    let line = "rm -rf out; mkdir out; dura-restore -q archive | tar --xattrs --acls -xpf - -C out";
    let done = dura(line).dir(case).var("GNUPGHOME", &gpg::home().dir).stages();
    let unfinished = done.stderr.contains(": unfinished: ");
    assert_eq!(done.stages, [i32::from(unfinished), 0], "{}", done.report());
    take(&case.join("out"))
}

fn complete(case: &Path) -> bool {
    only_band(&case.join("archive")).join("TAIL").exists()
}

/// Goes on until the end: what was there is untouched, the version is exact, in one band.
fn finish(tree: &Tree, case: &Path) {
    let before = objects(&case.join("archive"));
    made(tree, case, PACK);
    on_host("dura-push -q archive < stream", case).ok();
    let after = objects(&case.join("archive"));
    for (name, object) in &before {
        assert!(after.get(name) == Some(object), "{} was changed", name.display());
    }
    assert!(complete(case));
    assert_same("the version", &tree.was, &restored(case), EXACT);
}

/// Cut after each object, and in each: what is there comes back, and the next run sends the rest
/// and no more.
#[test]
fn cut_anywhere() {
    let clean = clean(8);
    let total: u64 = clean.members.iter().map(|member| member.data.len() as u64).sum();
    let mut cuts = vec![];
    let mut at = 0;
    for member in &clean.members {
        cuts.push(at + 512 + member.data.len() / 2);
        at += 512 + member.data.len().next_multiple_of(512);
        cuts.push(at);
    }
    assert!(cuts.len() > 40, "{} objects are too few for this", clean.members.len());
    // Within an object and after one, in turn.
    let cuts = part(cuts, 3);
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while let Some(cut) = cuts.get(next.fetch_add(1, Ordering::Relaxed)) {
                    cut_at(&clean, *cut, total)
                }
            });
        }
    });
}

fn cut_at(clean: &Clean, cut: usize, total: u64) {
    let case = scratch("cut");
    bare("cp -a \"$CLEAN/cache\" .").dir(&case).var("CLEAN", &clean.case).ok();
    refused(
        &format!("cut at {cut}"),
        &on_host("dura-push -q archive", &case).input(&clean.stream[..cut]).run(),
    );
    if !case.join("archive").exists() {
        assert!(cut < 512 + clean.members[0].data.len(), "nothing was stored of {cut} bytes");
        return;
    }
    let (band, archive) = (only_band(&case.join("archive")), case.join("archive"));
    assert!(!band.join("TAIL").exists(), "cut at {cut}: TAIL");
    let is = restored(&case);
    let counted = clean.listed.iter().filter(|(index, _)| band.join(index).exists());
    let paths: Vec<&Vec<u8>> = counted.flat_map(|(_, paths)| paths).collect();
    let was = clean.tree.was.clone().only(|path, _| paths.iter().any(|listed| *listed == path));
    let is = is.only(|path, _| path != b"." || !paths.is_empty());
    assert_same(&format!("cut at {cut}"), &was, &is, EXACT);

    let (loose, _) = sizes(&archive);
    finish(&clean.tree, &case);
    let (_, sent) = sizes(&archive);
    assert!(
        sent <= total * 102 / 100 + loose,
        "cut at {cut}: {sent} bytes were sent, of {total}; {loose} were in flight"
    );
    fs::remove_dir_all(case).unwrap();
}

/// Cut again and again, after every index: the runs together send little more than one.
#[test]
fn cut_again_and_again() {
    let clean = clean(10);
    let total: u64 = clean.members.iter().map(|member| member.data.len() as u64).sum();
    let case = scratch("again");
    let archive = case.join("archive");
    let mut in_flight = 0;
    let mut runs = 0;
    loop {
        let stream = made(&clean.tree, &case, PACK);
        let members = split(&stream);
        // After the first index and the block behind it; the last run goes through.
        let is = |member: &Member, what: &str| member.name().contains(what);
        let cut = match members.iter().filter(|member| is(member, ".mtree")).count() {
            0 | 1 => stream.len(),
            _ => {
                let first = members.iter().position(|member| is(member, ".mtree")).unwrap();
                let block =
                    first + members[first..].iter().position(|member| is(member, ".tar")).unwrap();
                join(&members[..=block]).len() - 1024
            }
        };
        let before = objects(&archive);
        let done = on_host("dura-push -q archive", &case).input(&stream[..cut]).run();
        runs += 1;
        let after = objects(&archive);
        assert!(
            before.iter().all(|(name, object)| after.get(name) == Some(object)),
            "an object was changed"
        );
        if cut == stream.len() {
            assert_eq!(done.code, 0, "{}", done.report());
            break;
        }
        refused("cut", &done);
        in_flight = sizes(&archive).0;
    }
    assert!(runs > 5, "only {runs} runs");
    assert!(complete(&case));
    let (_, sent) = sizes(&archive);
    assert!(
        sent <= total * 102 / 100 + in_flight,
        "{sent} bytes were sent in {runs} runs, of {total}; {in_flight} in flight"
    );
    assert_same("after many cuts", &clean.tree.was, &restored(&case), EXACT);
}

/// Two runs go on with the same band at once, whatever the order in which their objects arrive: one
/// is refused or superseded, and the version is exact.
///
/// Both were cut out of the same band; the first one's push stands still after each of its objects
/// in turn, while the second one goes through: once decided before the first stored anything, once
/// after.
#[test]
fn two_at_once() {
    let tree = tree(6);
    let start = scratch("start");
    let stream = open(&tree, &start, PACK);
    let half = split(&stream)
        .iter()
        .position(|member| member.name().ends_with("000000001.mtree.gz"))
        .unwrap();
    let cut = join(&split(&stream)[..=half]).len() - 1024;
    refused("the start", &on_host("dura-push -q archive", &start).input(&stream[..cut]).run());
    let first = open(&tree, &start, PACK);
    let members = split(&first);
    assert!(members.len() > 8, "{}", members.len());
    let turns = (0..=members.len()).flat_map(|stop| [(stop, false), (stop, true)]).collect();
    let turns: Vec<(usize, bool)> = part(turns, 3);
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while let Some((stop, late)) = turns.get(next.fetch_add(1, Ordering::Relaxed)) {
                    meet(&tree, &start, &first, *stop, *late);
                }
            });
        }
    });
}

/// Not encrypted: that is another matter, and this is faster.
fn open(tree: &Tree, case: &Path, pack: &str) -> Vec<u8> {
    let line = format!(
        "dura-scan -q \"$SRC\" | dura-index diff -q archive | dura-pack -q {pack} | dura-seal -q > stream"
    );
    on_host(&line, case).var("SRC", &tree.dir).ok();
    fs::read(case.join("stream")).unwrap()
}

/// The first run's push waits after `stop` members, until the second run is through.
fn meet(tree: &Tree, start: &Path, first: &[u8], stop: usize, late: bool) {
    let what = format!(
        "the first stands still after {stop} members, the second began {}",
        if late { "then" } else { "before" }
    );
    let case = scratch("meet");
    bare("cp -a \"$START/archive\" \"$START/cache\" .").dir(&case).var("START", start).ok();
    let archive = case.join("archive");
    let members = split(first);
    let before = if late { None } else { Some(open(tree, &case, "--block-size 120k")) };
    let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
    let one = on_host("dura-push -q archive", &case).stdin(reader).start();
    let mut pipe = fs::File::from(writer);
    let at = if stop == members.len() {
        first.len() - 1024
    } else {
        join(&members[..stop]).len() - 1024
    };
    // It may be refused meanwhile.
    let fed = pipe.write_all(&first[..at]);
    let last = members[..stop]
        .iter()
        .rev()
        .find(|member| member.name().contains("/0"))
        .map(|member| archive.join(member.name()));
    wait_for(|| last.as_ref().is_none_or(|object| object.exists()));
    let second = before.unwrap_or_else(|| open(tree, &case, "--block-size 120k"));
    let two = on_host("dura-push -q archive", &case).input(&second).run();
    drop(fed.and_then(|()| pipe.write_all(&first[at..])));
    drop(pipe);
    let one = finish_child(one, "the first");
    assert!(
        one.code == 2 || two.code == 2,
        "{what}: both are content\n{}\n{}",
        one.report(),
        two.report()
    );
    for done in [&one, &two] {
        assert!(
            done.code == 0 || done.code == 2 && done.stderr.contains("dura-push: "),
            "{what}\n{}",
            done.report()
        );
    }
    if !complete(&case) {
        open(tree, &case, PACK);
        on_host("dura-push -q archive < stream", &case).ok();
    }
    assert_same(&what, &tree.was, &restored(&case), EXACT);
    let recovered = bare("cd archive/* && dash recover.sh ../../two").dir(&case).run();
    assert!(
        recovered.code == 0,
        "{what}\n{}\nthe first: {}\nthe second: {}\n{}",
        recovered.report(),
        one.report(),
        two.report(),
        bare("cd archive/*; ls -la --time-style=full-iso 00000; cat 00000/*.sha256 | cut -c1-70; sha256sum 00000/*")
            .dir(&case)
            .run()
            .text()
    );
    assert_same(
        &format!("{what}, by recover.sh\n{}", recovered.report()),
        &tree.was,
        &take(&case.join("two")),
        EXACT,
    );
    fs::remove_dir_all(case).unwrap();
}

fn wait_for(there: impl Fn() -> bool) {
    let begun = Instant::now();
    while !there() {
        assert!(begun.elapsed() < Duration::from_secs(60), "waited in vain");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Without the cache and without the secret key nobody can say where the band ends; that is told,
/// with the way out, which works.
#[test]
fn neither_cache_nor_secret_key() {
    let tree = tree(4);
    let case = scratch("lost");
    let stream = made(&tree, &case, PACK);
    refused(
        "cut",
        &on_host("dura-push -q archive", &case).input(&stream[..stream.len() / 2]).run(),
    );
    fs::remove_dir_all(case.join("cache")).unwrap();
    let before = objects(&case.join("archive"));
    let line = "dura-scan -q \"$SRC\" | dura-index diff -q OPTIONS archive > listing";
    let scan =
        |options: &str| on_host(&line.replace("OPTIONS", options), &case).var("SRC", &tree.dir);
    let band = only_band(&case.join("archive")).file_name().unwrap().to_string_lossy().into_owned();
    for options in ["", "--no-resume", "--tier 1"] {
        let done = scan(options).code(2);
        done.tells(&band)
            .tells("secret key")
            .tells("dura-index: hint: ")
            .tells("--cache")
            .tells("--full");
    }
    let line =
        format!("dura-pack -q {PACK} < listing | dura-seal -q -r {KEY} | dura-push -q archive");
    scan("--no-resume --full").ok();
    on_host(&line, &case).ok();
    let after = objects(&case.join("archive"));
    assert!(
        before.iter().all(|(name, object)| after.get(name) == Some(object)),
        "an object was changed"
    );
    assert_same("the way out", &tree.was, &restored(&case), EXACT);
    // The next one builds on it, with the cache that was made meanwhile.
    scan("").ok();
    on_host(&line, &case).ok();
    assert_same("after it", &tree.was, &restored(&case), EXACT);
}
