//! Large files of which a part changes: only that is stored, and what comes of it is whole for
//! every reader.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::util::gpg::{self, KEY};
use crate::util::run::{Done, Shell, dura, need, scratch};
use crate::util::snapshot::{EXACT, assert_same, take};
use crate::util::tree::noise;

const MIB: u64 = 1 << 20;

/// A source and its archive, whose nights are days apart.
struct Host {
    dir: PathBuf,
    seal: String,
    night: std::cell::Cell<u32>,
}

impl Host {
    /// With a large file, a sparse one, and a small one.
    fn new(name: &str, seal: &str) -> Host {
        let dir = scratch(name);
        fs::create_dir_all(dir.join("src/d")).unwrap();
        fs::write(dir.join("src/a"), "small").unwrap();
        fs::write(dir.join("src/d/image"), noise(1, 3 << 20)).unwrap();
        let sparse = fs::File::create(dir.join("src/sparse")).unwrap();
        sparse.set_len(8 * MIB).unwrap();
        sparse.write_all_at(&noise(2, 2 << 20), 3 * MIB).unwrap();
        fs::write(dir.join("src/z"), "last").unwrap();
        Host { dir, seal: seal.to_owned(), night: std::cell::Cell::new(0) }
    }

    fn shell(&self, line: &str) -> Shell {
        gpg::home().with(dura(line).dir(&self.dir).var("DURA_CACHE", self.dir.join("cache")))
    }

    fn run(&self, line: &str) -> Done {
        self.shell(line).run()
    }

    #[track_caller]
    fn ok(&self, line: &str) -> String {
        let done = self.run(line);
        assert_eq!(done.code, 0, "{line}\n{}", done.report());
        String::from_utf8_lossy(&done.stdout).into_owned()
    }

    /// The next night; gives the bytes of blocks, deltas and sums of its band.
    #[track_caller]
    fn backup(&self, diff: &str) -> u64 {
        let night = self.night.get();
        self.night.set(night + 1);
        self.ok(&format!(
            "set -o pipefail; export SOURCE_DATE_EPOCH=$((1800000000 + 86400 * {night})); dura-scan src | \
             dura-index diff {diff} archive | dura-pack --delta-over 1M --block-size 1M | \
             dura-seal {} | dura-push archive",
            self.seal
        ));
        let sizes = self.ok("cd archive/\"$(ls archive | tail -n 1)\" && stat -c '%s %n' 0*/*");
        let is_content =
            |line: &&str| [".tar", ".rdiff", ".sums"].iter().any(|it| line.contains(it));
        let size = |line: &str| line.split(' ').next().unwrap().parse::<u64>().unwrap();
        sizes.lines().filter(is_content).map(size).sum()
    }

    /// The newest version is the source, for all who read it.
    #[track_caller]
    fn is_exact(&self) {
        for (out, line) in [
            ("restored", "mkdir restored; dura-restore archive | tar -xpf - -C restored"),
            (
                "recovered",
                "cd archive/\"$(ls archive | tail -n 1)\" && sh recover.sh ../../recovered 2>../../said || { cat ../../said; exit 1; }",
            ),
        ] {
            _ = fs::remove_dir_all(self.dir.join(out));
            self.ok(line);
            let tree = |name: &str| take(&self.dir.join(name));
            assert_same(out, &tree("src"), &tree(out), EXACT);
        }
        let blocks = |path: &str| {
            use std::os::unix::fs::MetadataExt;
            fs::metadata(self.dir.join(path)).unwrap().blocks()
        };
        assert!(blocks("restored/sparse") <= blocks("src/sparse") + 8, "its holes are there");
        self.ok("dura-verify --files archive");
    }

    fn write_at(&self, path: &str, at: u64, bytes: &[u8]) {
        let file = fs::File::options().write(true).open(self.dir.join("src").join(path)).unwrap();
        file.write_all_at(bytes, at).unwrap();
    }

    /// Objects of the newest band whose names have this in them.
    fn objects(&self, what: &str) -> Vec<PathBuf> {
        let found =
            self.ok(&format!("find archive/\"$(ls archive | tail -n 1)\" -name '*{what}*' | sort"));
        found.lines().map(|path| self.dir.join(path)).collect()
    }
}

fn small_changes(seal: &str, name: &str) {
    let host = Host::new(name, seal);
    assert!(host.backup("") > 5 * MIB);
    assert_eq!((host.objects(".rdiff").len(), host.objects(".sums").len()), (0, 2));
    // Written into; a hole filled in part.
    host.write_at("d/image", MIB, &noise(3, 50_000));
    host.write_at("sparse", 6 * MIB, &noise(4, 10_000));
    let second = host.backup("");
    assert!((60_000..190_000).contains(&second), "{second}");
    assert_eq!((host.objects(".rdiff").len(), host.objects(".sums").len()), (2, 2));
    host.is_exact();
    // Something inserted, something cut away; the other is only touched.
    let mut image = fs::read(host.dir.join("src/d/image")).unwrap();
    image.splice(1000..1000, *b"inserted");
    image.drain(2_000_000..2_100_000);
    fs::write(host.dir.join("src/d/image"), &image).unwrap();
    host.ok("touch -d @1790000000 src/sparse");
    let third = host.backup("--tier 2");
    assert!((10_000..190_000).contains(&third), "{third}");
    assert_eq!((host.objects(".rdiff").len(), host.objects(".sums").len()), (1, 1));
    host.is_exact();
    // Moved, and copied: the delta is referred to. What the copy was, is changed now.
    host.ok("mv src/d src/e; cp src/e/image src/copy");
    host.write_at("e/image", 5, b"changed");
    let fourth = host.backup("--tier 3");
    assert!(fourth < 4 * MIB, "{fourth}");
    host.is_exact();
    host.ok("rm src/copy; mv src/sparse src/e/sparse; ln src/e/image src/e/other");
    host.backup("--tier 4");
    host.ok("mv src/e/sparse src/sparse");
    host.backup("--tier 4");
    host.is_exact();
    let listed = host.ok("dura-index list archive");
    assert!(!listed.contains("rdiff") && !listed.contains("deltas:"), "{listed}");
}

#[test]
fn small_changes_of_large_files() {
    small_changes("", "deltas-plain");
}

#[test]
fn small_changes_of_large_files_encrypted_with_parity() {
    small_changes(&format!("-r {KEY} --parity 2"), "deltas-sealed");
}

/// Nine deltas lie over each other at most, and each of ten versions is exact.
#[test]
fn no_more_than_nine_over_each_other() {
    let host = Host::new("deltas-deep", "");
    host.backup("");
    for night in 1..10 {
        host.write_at("d/image", night * 200_000, &noise(night, 1000));
        host.backup(&format!("--tier {night}"));
    }
    let found = host
        .ok("for i in archive/*/*/*.mtree.gz; do gzip -dc $i; done | grep -o 'deltas:.*' | sort");
    let wanted: Vec<String> = (1..10).map(|deltas| format!("deltas:{deltas}")).collect();
    assert_eq!(found.lines().collect::<Vec<_>>(), wanted);
    host.is_exact();
    for band in fs::read_dir(host.dir.join("archive")).unwrap() {
        let band = band.unwrap().file_name();
        host.ok(&format!("dura-restore --band {} archive | tar -tf - >/dev/null", band.display()));
    }
    host.write_at("d/image", 2_500_000, &noise(99, 1000));
    host.backup("--tier 9");
    let whole = host.backup("--tier 9");
    assert!(whole < MIB, "on the same band: {whole}");
}

/// What is lost of a base, a delta or sums costs the files that need it, which are named, and no
/// others; the next run stores them, if it is told.
#[test]
fn damage_costs_what_depends_on_it() {
    let host = Host::new("deltas-lost", "");
    host.backup("");
    let base = host.objects("1.tar");
    host.write_at("d/image", MIB, &noise(3, 50_000));
    host.backup("");
    let delta = host.objects(".rdiff");
    let sums = host.objects(".sums");
    host.write_at("d/image", 2 * MIB, &noise(4, 50_000));
    host.ok("cp src/d/image src/k; touch src/a");
    host.backup("--tier 2");
    let _ = fs::remove_dir_all(host.dir.join("good"));
    host.ok("cp -r archive good; cp -r cache kept");
    for (lost, costs, wrong) in [
        (&sums[0], &[][..], false),
        (&delta[0], &["k", "d/image"][..], true),
        (&base[0], &["k", "d/image"][..], true),
    ] {
        for deed in
            ["rm -f", "cp /dev/null", "printf x | dd conv=notrunc bs=1 seek=40 status=none of="]
        {
            let space = if deed.ends_with('=') { "" } else { " " };
            host.ok(&format!(
                "rm -rf archive cache; cp -r good archive; cp -r kept cache; {deed}{space}{}",
                lost.display()
            ));
            let found = host.run("dura-verify --files archive");
            assert_eq!(found.code, 1, "{}", found.report());
            let said = String::from_utf8_lossy(&found.stdout).into_owned();
            let last = said
                .lines()
                .filter(|line| line.starts_with("file ") && line.matches('-').count() > 1);
            let files =
                |path: &&str| last.clone().any(|line| line.contains(&format!("/./{path}: ")));
            assert!(costs.iter().all(files), "{deed} {}\n{said}", lost.display());
            assert!(!said.contains("/./sparse: ") && !said.contains("/./z: "), "{said}");
            let out = host.run("rm -rf out; mkdir out; dura-restore archive | tar -xpf - -C out");
            let by_hand = host.run(
                "rm -rf by; cd archive/\"$(ls archive | tail -n 1)\" && sh recover.sh ../../by",
            );
            for (tree, done) in [("out", &out), ("by", &by_hand)] {
                // Of sums only the holes come.
                assert_eq!(
                    done.code == 1,
                    wrong || tree == "by",
                    "{deed} {}\n{}",
                    lost.display(),
                    done.report()
                );
                for path in ["a", "sparse", "z", "d/image", "k"] {
                    let same = is_same(&host.dir, tree, path);
                    let is_lost = costs.contains(&path);
                    let told = done.report().contains(&format!("./{path}"));
                    assert!(same || is_lost && told, "{tree}/{path}\n{}", done.report());
                }
            }
            if !wrong {
                continue;
            }
            // The next band has them anew, and then all is there again.
            host.ok("dura-verify --files archive >found || [ $? = 1 ]");
            host.ok("cat found >&2; touch src/z");
            host.backup("--tier 2 --distrust found");
            _ = fs::remove_dir_all(host.dir.join("restored"));
            host.ok("mkdir restored; dura-restore archive | tar -xpf - -C restored");
            let tree = |name: &str| take(&host.dir.join(name));
            assert_same("restored", &tree("src"), &tree("restored"), EXACT);
        }
    }
}

fn is_same(dir: &Path, tree: &str, path: &str) -> bool {
    let read = |tree: &str| fs::read(dir.join(tree).join(path)).ok();
    read(tree) == read("src")
}

/// A change of most of it is stored whole; so is one whose base's sums are not at hand, and all with
/// `--delta-over none`, and in a band that was begun without deltas.
#[test]
fn stored_whole() {
    let host = Host::new("deltas-whole", "");
    host.backup("");
    host.write_at("d/image", 0, &noise(5, 2 << 20));
    host.backup("");
    assert!(host.objects(".rdiff").is_empty());
    host.write_at("d/image", 0, b"x");
    host.ok("rm cache/*/*/*/*.sums.gz");
    host.backup("");
    assert!(host.objects(".rdiff").is_empty() && host.objects(".sums").len() == 1);
    host.write_at("d/image", 9, b"x");
    host.ok(
        "set -o pipefail; dura-scan src | dura-index diff archive | dura-pack --delta-over none | dura-seal | dura-push archive",
    );
    assert!(host.objects(".rdiff").is_empty() && host.objects(".sums").is_empty());
    host.is_exact();
}

/// rdpatch.py makes what rdiff makes, and refuses what no delta of Dura is.
#[test]
fn rdpatch_makes_what_rdiff_makes() {
    let host = Host::new("deltas-rdpatch", "");
    host.backup("");
    host.ok("cp -r src before");
    host.write_at("d/image", MIB, &noise(3, 50_000));
    host.write_at("sparse", 6 * MIB, &noise(4, 10_000));
    host.backup("");
    let rdiff = need("rdiff");
    for (delta, path) in host.objects(".rdiff").iter().zip(["d/image", "sparse"]) {
        host.ok(&format!(
            "rm -f one two; gzip -dc {} >delta; python3 archive/*-*/rdpatch.py before/{path} delta one; \
             {} patch before/{path} delta two; cmp one two && cmp one src/{path}",
            delta.display(),
            rdiff.display()
        ));
        let cut = host.run(&format!(
            "head -c 1000 delta >cut; python3 archive/*-*/rdpatch.py before/{path} cut three"
        ));
        assert_eq!(cut.code, 1);
        assert!(cut.report().contains("cut"), "{}", cut.report());
    }
    for (delta, says) in [
        ("", "cut off"),
        ("rs\\2\\067\\0", "is no delta"),
        ("rs\\0026E\\5\\5E\\4\\1\\0", "goes back"),
        ("rs\\0026E\\5\\0\\0", "goes back"),
        ("rs\\0026A\\0\\0", "bad command"),
        ("rs\\0026\\125\\0", "bad command"),
        ("rs\\0026\\1x\\0x", "follows the end"),
        ("rs\\0026\\110\\377\\377\\377\\377\\377\\377\\377\\377\\1\\0", "ends too early"),
    ] {
        let done = host.run(&format!(
            "rm -f one; printf '{delta}' >delta; python3 archive/*-*/rdpatch.py src/d/image delta one"
        ));
        assert!(done.code == 1 && done.report().contains(says), "{delta}\n{}", done.report());
    }
}
