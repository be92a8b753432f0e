//! Any object of a chain is damaged: dura-restore never gives fewer right files than recover.sh.
//!
//! `scripts/losses` tries every object and every kind of damage, and pairs.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::util::dice::{Dice, variable};
use crate::util::gpg::{KEY, home};
use crate::util::run::{Done, bare, dura, scratch};
use crate::util::tree::noise;
use crate::verify::files;

/// What becomes of the source from band to band: blocks of three files, a large file in parts,
/// contents that stay in an older band, files that change their type, hard links.
const ROUNDS: [&str; 3] = [
    "mkdir a b; for i in 0 1 2 3 4 5; do N a/$i; done; for i in 0 1 2; do N b/$i; done
     N large; N large; N large; N large; ln b/0 b/hard; echo t >text; ln -s text link",
    "for i in 1 3 5; do rm a/$i; N a/$i; done; touch -d @1500000000 a/0 b/1; rm a/2; rm b/hard; mkdir b/hard
     N b/hard/x; echo u >>text",
    "N a/1; touch -d @1400000000 a/0; rm -r b/hard; N b/hard; N c; rm text; mkdir text; N text/x; ln c text/y",
];
const KINDS: [&str; 6] = ["gone", "empty", "bit", "first", "last", "garbage"];

struct Chain {
    dir: PathBuf,
    newest: String,
    /// The objects, by their names in the archive.
    objects: BTreeMap<String, Vec<u8>>,
    source: BTreeMap<String, Vec<u8>>,
}

impl Chain {
    fn new(seal: &str) -> Chain {
        let top = scratch("fewer");
        fs::write(top.join("noise"), noise(5, 4_000_000)).unwrap();
        fs::create_dir(top.join("src")).unwrap();
        let backup = format!(
            "dura-scan src | dura-index diff archive |
             dura-pack --block-size 80k --part-size 1M | dura-seal {seal} --parity 1 --group 5 | dura-push archive"
        );
        for (at, round) in ROUNDS.iter().enumerate() {
            let noise = "N() { n=$((n + 1)); dd if=../noise bs=1k skip=$((AT * 1000 + n * 8)) count=360 >>$1; }";
            bare(&format!("set -e; n=0; {noise}\n{round}"))
                .dir(&top.join("src"))
                .var("AT", at.to_string())
                .ok();
            // Only what has settled is left in an older band.
            std::thread::sleep(std::time::Duration::from_millis(2100));
            home().with(dura(&backup)).dir(&top).ok();
        }
        let (dir, source) = (top.join("archive"), files(&top.join("src")));
        let objects = files(&dir);
        let bands: BTreeSet<&str> =
            objects.keys().map(|name| name.split_once('/').unwrap().0).collect();
        assert_eq!(bands.len(), ROUNDS.len());
        let newest = (*bands.last().unwrap()).to_owned();
        Chain { dir, newest, objects, source }
    }

    /// The right files that a command gives in its DEST.
    fn right(&self, line: &str) -> (Done, BTreeSet<&String>) {
        let out = scratch("out").join("out");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("lib/notes/recover.sh");
        let shell = home().with(dura(line)).var("OUT", &out).var("SCRIPT", script);
        let done = shell.dir(&self.dir).var("BAND", &self.newest).run();
        let found = if out.exists() { files(&out) } else { BTreeMap::new() };
        fs::remove_dir_all(out.parent().unwrap()).unwrap();
        let is_right = |(path, bytes): &(&String, &Vec<u8>)| found.get(*path) == Some(bytes);
        (done, self.source.iter().filter(is_right).map(|(path, _)| path).collect())
    }

    /// Damages these, looks, and mends them.
    fn holds(&self, damaged: &[(&String, &str)], dice: &mut Dice) {
        for (name, kind) in damaged {
            let (path, mut bytes) = (self.dir.join(name), self.objects[*name].clone());
            match *kind {
                "gone" => fs::remove_file(&path).unwrap(),
                "empty" => bytes.clear(),
                "bit" | "first" | "last" if !bytes.is_empty() => {
                    let most = if *kind == "bit" { bytes.len() } else { 95 };
                    let mut at = dice.below(most.min(bytes.len()) as u64) as usize;
                    if *kind == "last" {
                        at = bytes.len() - 1 - at;
                    }
                    bytes[at] ^= 1 << dice.below(8);
                }
                _ => bytes = noise(dice.below(1000), bytes.len().max(10)),
            }
            if path.exists() {
                fs::write(&path, bytes).unwrap();
            }
        }
        let (by_hand, recovered) =
            self.right("mkdir \"$OUT\"; cd \"$BAND\" && dash \"$SCRIPT\" \"$OUT\"");
        let (done, restored) =
            self.right("mkdir \"$OUT\"; dura-restore --band \"$BAND\" . | tar -xpf - -C \"$OUT\"");
        let fewer: Vec<_> = recovered.difference(&restored).collect();
        assert!(
            fewer.is_empty(),
            "{damaged:?}: dura-restore lacks {fewer:?}\n{}\nrecover.sh\n{}",
            done.report(),
            by_hand.report()
        );
        assert!(restored.len() == self.source.len() || done.code == 1, "{}", done.report());
        for (name, _) in damaged {
            fs::write(self.dir.join(name), &self.objects[*name]).unwrap();
        }
    }
}

fn never_fewer(seal: &str, every: u64) {
    let chain = Chain::new(seal);
    let cases = variable("DURA_LOSSES_CASES", 0);
    let mut dice = Dice::new(variable("DURA_LOSSES_SEED", 1));
    chain.holds(&[], &mut dice);
    // No reader looks at notes and parity.
    let objects: Vec<&String> = chain
        .objects
        .keys()
        .filter(|name| ![".txt", ".sh", ".py", ".rs0"].iter().any(|end| name.ends_with(end)))
        .collect();
    assert!(objects.len() >= 30, "{objects:?}");
    // Of an encrypted block gpg gives nearly all, before it says that it is damaged.
    let block = objects.iter().find(|name| name.contains("/000000001.tar")).unwrap();
    chain.holds(&[(block, "last")], &mut dice);
    let mut seen = 0;
    for (at, (name, kind)) in
        objects.iter().flat_map(|name| KINDS.map(|kind| (name, kind))).enumerate()
    {
        if cases > 0 || (at as u64).is_multiple_of(every) {
            chain.holds(&[(name, kind)], &mut dice);
            seen += 1;
        }
    }
    for _ in 0..cases {
        let mut one = || objects[dice.below(objects.len() as u64) as usize];
        let (first, second) = (one(), one());
        if first != second {
            let kinds = [dice.one(&KINDS), dice.one(&KINDS)];
            chain.holds(&[(first, kinds[0]), (second, kinds[1])], &mut dice);
            seen += 1;
        }
    }
    println!("{seen} cases");
    assert!(seen >= 4, "{seen} cases");
}

#[test]
fn of_a_damaged_plain_chain() {
    never_fewer("", 29);
}

#[test]
fn of_a_damaged_encrypted_chain() {
    never_fewer(&format!("-r {KEY} --sign {KEY}"), 61);
}

/// What was lost and is still in the source is stored again, and a later version needs no more of
/// what is lost.
#[test]
fn lost_blocks_are_stored_again() {
    let dir = scratch("distrust");
    let backup = |second: u32, options: &str| {
        let line = format!(
            "export SOURCE_DATE_EPOCH=17672328{second:02}; dura-scan src | \
             dura-index diff {options} archive | dura-pack -q --block-size 1k | dura-seal | dura-push -q archive"
        );
        dura(&line).dir(&dir).run()
    };
    dura("mkdir -p src/d; for i in 1 2 3 4 5 6; do head -c 1200000 /dev/urandom >src/d/$i; done; ln src/d/2 src/d/7")
        .dir(&dir)
        .ok();
    assert_eq!(backup(10, "").code, 0);
    dura("rm archive/*/00000/000000001.tar.gz archive/*/00000/000000003.tar.gz; dura-verify archive >findings")
        .dir(&dir)
        .code(1);
    // As it is, the next layer needs what is lost.
    dura("echo new >src/new").dir(&dir).ok();
    assert_eq!(backup(20, "").code, 0);
    dura("mkdir out1; dura-restore archive | tar xpf - -C out1").dir(&dir).run();
    let same = |restored: &str| {
        let sums = |tree: &str| {
            let line = format!("cd {tree} && find . -type f | sort | xargs sha256sum");
            bare(&line).dir(&dir).ok().text()
        };
        sums("src") == sums(restored)
    };
    assert!(!same("out1"));
    // A line that verify does not write is refused, before anything is stored.
    dura("echo nonsense >bad; dura-scan src | dura-index diff --distrust bad archive >out")
        .dir(&dir)
        .code(2)
        .tells("bad: line 1");
    assert_eq!(backup(30, "--distrust findings").code, 0);
    // Only what is lost is stored again.
    for (path, band) in [("d/2", "30Z"), ("d/4", "30Z"), ("d/3", "10Z"), ("d/5", "10Z")] {
        let line = format!("dura-index where archive {path} | grep tar.gz | tail -n 1");
        let block = dura(&line).dir(&dir).ok().text();
        assert!(block.contains(&format!("{band}/00000/")), "{path}: {block}");
    }
    dura("mkdir out2; dura-restore archive | tar xpf - -C out2").dir(&dir).ok();
    assert!(same("out2"));
    dura("test src/d/2 -ef src/d/7 && test out2/d/2 -ef out2/d/7").dir(&dir).ok();
    bare("mkdir out3; sh archive/*-*30Z/recover.sh out3").dir(&dir).run();
    assert!(same("out3"));
}
