//! Files that were moved or copied are stored once; what a lost block costs is named for each.

use std::fs;
use std::path::PathBuf;

use crate::util::run::{Done, dura, scratch};
use crate::util::snapshot::{EXACT, assert_same, take};
use crate::util::tree::noise;

const BACKUP: &str = "set -o pipefail; dura-scan src | dura-index diff $DIFF archive | \
    dura-pack $PACK --block-size 200k | dura-seal | dura-push archive";
const RESTORE: &str = "rm -rf out; mkdir out; dura-restore archive | tar -xpf - -C out";

struct Trial {
    dir: PathBuf,
    nights: std::cell::Cell<u32>,
}

impl Trial {
    fn new(name: &str) -> Trial {
        let dir = scratch(name);
        for at in 0..8 {
            let path = dir.join(format!("src/old/f{at}"));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, noise(at, 400_000)).unwrap();
        }
        Trial { dir, nights: std::cell::Cell::new(0) }
    }

    fn run(&self, line: &str) -> Done {
        dura(line).dir(&self.dir).var("DURA_CACHE", self.dir.join("cache")).run()
    }

    #[track_caller]
    fn ok(&self, line: &str) -> String {
        let done = self.run(line);
        assert_eq!(done.code, 0, "{line}\n{}", done.report());
        String::from_utf8(done.stdout).unwrap()
    }

    /// The next night's run; gives how many bytes its blocks have.
    #[track_caller]
    fn backup(&self, options: &str) -> u64 {
        self.nights.set(self.nights.get() + 1);
        let time = 1_800_000_000 + 86_400 * self.nights.get();
        self.ok(&format!("export SOURCE_DATE_EPOCH={time}; {options}\n{BACKUP}"));
        self.ok(RESTORE);
        self.same("out");
        self.blocks().iter().map(|path| fs::metadata(path).unwrap().len()).sum()
    }

    #[track_caller]
    fn same(&self, restored: &str) {
        let tree = |name: &str| take(&self.dir.join(name));
        assert_same(restored, &tree("src"), &tree(restored), EXACT);
    }

    /// The blocks of the newest band.
    fn blocks(&self) -> Vec<PathBuf> {
        self.ok("cd archive; find \"$(ls | tail -n 1)\" -name '*.tar.*' | sort")
            .lines()
            .map(|path| self.dir.join("archive").join(path))
            .collect()
    }
}

/// A renamed folder, a copy, and the same content twice in one run; every version, single files
/// too, and by recover.sh.
#[test]
fn moved_and_copied_files_are_stored_once() {
    let trial = Trial::new("moved");
    fs::copy(trial.dir.join("src/old/f1"), trial.dir.join("src/old/twin")).unwrap();
    let first = trial.backup("");
    assert!((3_200_000..3_210_000).contains(&first), "eight files of 400,000 bytes: {first}");
    trial.ok("mv src/old src/new; cp -r src/new src/copy; head -c 70000 /dev/urandom >src/x; cp src/x src/y");
    let second = trial.backup("");
    assert!((70_000..75_000).contains(&second), "only x is new: {second}");
    // What was moved is moved again, and its content changes below a copy.
    trial.ok("mv src/new src/old; echo >>src/old/f2; mv src/y src/z; rm src/x");
    let third = trial.backup("");
    assert!((400_000..410_000).contains(&third), "only f2 is new: {third}");
    trial.ok("dura-verify --files archive");
    trial.ok("cd archive; cd \"$(ls | tail -n 1)\"; sh recover.sh ../../hand >&2");
    trial.same("hand");
    for path in ["copy/f1", "old/twin", "z", "old/f2"] {
        trial
            .ok(&format!("dura-restore archive ./{path} | tar -xOf - ./{path} | cmp - src/{path}"));
    }
    // Nothing is kept, and each is read again.
    let done = trial.run("dura-restore --spool /proc archive >tar");
    assert_eq!(done.code, 0, "{}", done.report());
    done.tells("cannot keep what several files have in common");
    trial.ok("dura-restore archive | cmp - tar");
    let whole = trial.backup("cp -r src/copy src/again; export PACK=--no-references");
    assert!(whole > 3_200_000, "with --no-references all is stored: {whole}");
}

/// Without its own copies of the indexes a run has nothing to look content up in.
#[test]
fn without_a_cache_only_content_of_the_run_is_found() {
    let trial = Trial::new("uncached");
    trial.backup("");
    trial.ok("mv src/old src/new; cp src/new/f3 src/new/g3");
    let second = trial.backup("export PACK=--no-cache");
    assert!((3_200_000..3_210_000).contains(&second), "{second}");
}

/// A lost block costs all files that refer to it, in its band and in newer ones; verify names them,
/// and the findings are what diff needs to store them again.
#[test]
fn what_a_lost_block_costs_is_named() {
    let trial = Trial::new("costs");
    fs::copy(trial.dir.join("src/old/f0"), trial.dir.join("src/old/twin")).unwrap();
    trial.backup("");
    let lost = trial.blocks().remove(0);
    trial.ok("cp -r src/old src/copy; mv src/old/f0 src/moved");
    trial.backup("");
    trial.ok("touch -d 2001-01-01 src/copy/f0");
    trial.backup("");
    fs::remove_file(&lost).unwrap();
    let done = trial.run("dura-verify --files archive >findings");
    assert_eq!(done.code, 1, "{}", done.report());
    let findings = fs::read_to_string(trial.dir.join("findings")).unwrap();
    let bands = trial.ok("ls archive");
    let bands: Vec<&str> = bands.lines().collect();
    for (band, path) in [
        (0, "old/f0"),
        (0, "old/twin"),
        (1, "copy/f0"),
        (1, "moved"),
        (1, "copy/twin"),
        (2, "copy/f0"),
    ] {
        let line = format!("file {}/./{path}: ", bands[band]);
        assert!(findings.contains(&line), "{line}\n{findings}");
    }
    assert!(!findings.contains("f7"), "{findings}");
    let done = trial.run("dura-restore archive >tar");
    assert_eq!(done.code, 1, "{}", done.report());
    for path in ["old/twin", "copy/f0", "moved"] {
        assert!(done.stderr.contains(path), "{path}\n{}", done.report());
    }
    // Nothing of the newest version needs what is lost.
    trial.backup("export DIFF='--distrust findings'");
}
