//! What is lost of groups, in every way and by chance: `dura-verify --repair | dura-push --replace`
//! and `rsrepair.py` give back exactly what parity can give, tell the rest by name, and leave that
//! as it was.
//!
//! `DURA_LOSSES_CASES` says how many random cases each test runs, `DURA_LOSSES_SEED` with which to
//! begin; `scripts/losses` runs hundreds, and every loss of larger groups.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::util::dice::{Dice, variable};
use crate::util::run::{Done, bare, dura, scratch};
use crate::util::small::BAND;
use crate::util::tree::noise;
use crate::verify::files;

const PIECE: usize = 1 << 20;

/// A stored band.
struct Band {
    archive: PathBuf,
    /// The band's folder.
    dir: PathBuf,
    objects: BTreeMap<String, Vec<u8>>,
    groups: Vec<Group>,
}

/// A group, as its list describes it.
pub(crate) struct Group {
    pub(crate) list: String,
    pub(crate) parity: usize,
    pub(crate) members: Vec<String>,
}

impl Group {
    pub(crate) fn parse(name: &str, text: &[u8]) -> Group {
        let text = std::str::from_utf8(text).unwrap();
        let parity = text.split("parity=").nth(1).unwrap().lines().next().unwrap().parse().unwrap();
        let members = text
            .lines()
            .filter(|line| !line.starts_with('#'))
            .map(|line| line[66..].to_owned())
            .collect();
        Group { list: name.to_owned(), parity, members }
    }
}

/// What repairs.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Tool {
    Programs,
    Script,
}

const TOOLS: [Tool; 2] = [Tool::Programs, Tool::Script];

/// Bad pieces, by object and row; a row behind the end of all stands for an object that is gone.
type Bad = BTreeSet<(String, usize)>;

const GONE: usize = usize::MAX;

impl Band {
    /// A band of files with these contents, each in a block of its own.
    fn new(contents: impl IntoIterator<Item = Vec<u8>>, pack: &str, seal: &str) -> Band {
        let top = scratch("losses");
        fs::create_dir(top.join("src")).unwrap();
        for (n, content) in contents.into_iter().enumerate() {
            fs::write(top.join(format!("src/{n:03}")), content).unwrap();
        }
        let line = format!(
            "dura-scan src | dura-pack --block-size 1k {pack} --band {BAND} | dura-seal {seal} | dura-push archive"
        );
        dura(&line).dir(&top).ok();
        fs::remove_dir_all(top.join("src")).unwrap();
        let archive = top.join("archive");
        let dir = archive.join(BAND);
        let objects = files(&dir);
        let lists = objects.iter().filter(|(name, _)| name.ends_with(".sha256"));
        let groups = lists.map(|(name, text)| Group::parse(name, text)).collect();
        Band { archive, dir, objects, groups }
    }

    /// Of a group with these bad pieces, the objects that a tool cannot give back.
    fn hopeless(&self, group: &Group, bad: &Bad, tool: Tool) -> BTreeSet<String> {
        // The programs have the notes themselves, and HEAD from TAIL.
        let elsewhere = |name: &str| tool == Tool::Programs && !name.contains('/');
        let is_bad = |name: &String, row| {
            row * PIECE < self.objects[name].len()
                && [row, GONE].iter().any(|row| bad.contains(&(name.clone(), *row)))
        };
        let rows = group
            .members
            .iter()
            .map(|name| self.objects[name].len().div_ceil(PIECE))
            .max()
            .unwrap();
        let rows = (0..rows).map(|row| -> Vec<String> {
            group
                .members
                .iter()
                .filter(|name| is_bad(name, row) && !elsewhere(name))
                .cloned()
                .collect()
        });
        rows.filter(|bad| bad.len() > group.parity).flatten().collect()
    }

    fn damage(&self, bad: &Bad, dice: &mut Dice) {
        for (name, row) in bad {
            let path = self.dir.join(name);
            if *row == GONE {
                fs::remove_file(path).unwrap();
                continue;
            }
            let bytes = &self.objects[name];
            let (from, end) = (row * PIECE, bytes.len().min((row + 1) * PIECE));
            let at = from + dice.below((end - from) as u64) as usize;
            // More than a bit, which a small object can be mended of without parity.
            let wrong: Vec<u8> =
                bytes[at..end.min(at + 5000)].iter().map(|byte| byte ^ 0x5a).collect();
            fs::OpenOptions::new()
                .write(true)
                .open(path)
                .unwrap()
                .write_all_at(&wrong, at as u64)
                .unwrap();
            if wrong.len() == 1 {
                let before = if at > from { at - 1 } else { at };
                fs::OpenOptions::new()
                    .write(true)
                    .open(self.dir.join(name))
                    .unwrap()
                    .write_all_at(b"\0", before as u64)
                    .unwrap();
            }
        }
    }

    fn repair(&self, tool: Tool, bad: &Bad) -> Done {
        if tool == Tool::Programs {
            let line = "dura-verify --repair \"$ARCHIVE\" | dura-push --replace \"$ARCHIVE\"";
            let done = dura(line).var("ARCHIVE", &self.archive).stages();
            assert_eq!(done.stages[1], 0, "{}", done.report());
            return done;
        }
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("lib/notes/rsrepair.py");
        let hit = self
            .groups
            .iter()
            .filter(|group| bad.iter().any(|(name, _)| group.members.contains(name)));
        let lists: Vec<&str> = hit.map(|group| group.list.as_str()).collect();
        let line =
            "status=0; for l in $LISTS; do python3 \"$SCRIPT\" $l || status=$?; done; exit $status";
        bare(line).dir(&self.dir).var("SCRIPT", script).var("LISTS", lists.join(" ")).run()
    }

    /// Does the damage and has it repaired: what can be had comes back, what cannot is named and as
    /// it was, and there is nothing else. Gives how many objects could not be had.
    fn case(&self, bad: &Bad, tool: Tool, dice: &mut Dice, what: &str) -> usize {
        self.damage(bad, dice);
        let mut wanted = self.objects.clone();
        let hopeless: BTreeSet<String> =
            self.groups.iter().flat_map(|group| self.hopeless(group, bad, tool)).collect();
        for name in &hopeless {
            match fs::read(self.dir.join(name)) {
                Ok(bytes) => _ = wanted.insert(name.clone(), bytes),
                Err(_) => _ = wanted.remove(name),
            }
        }
        let done = self.repair(tool, bad);
        let what = || format!("{what}, {tool:?}, {bad:?}\n{}", done.report());
        let (code, usual) = match tool {
            Tool::Programs => (done.stages[0], 1),
            Tool::Script => (done.code, 0),
        };
        assert_eq!(code, if hopeless.is_empty() { usual } else { 2 }, "{}", what());
        for name in &hopeless {
            let told = match tool {
                Tool::Programs => {
                    done.stderr.contains(&format!("{BAND}/{name}: cannot be rebuilt"))
                }
                Tool::Script => done.stderr.lines().any(|line| {
                    line.contains("cannot be rebuilt") && line.split(' ').any(|word| word == name)
                }),
            };
            assert!(told, "{name} is not told: {}", what());
        }
        let is = files(&self.dir);
        let others: Vec<&String> = is
            .keys()
            .chain(wanted.keys())
            .filter(|name| is.get(*name) != wanted.get(*name))
            .collect();
        assert!(others.is_empty(), "not as expected: {others:?}: {}", what());
        hopeless
            .iter()
            .for_each(|name| fs::write(self.dir.join(name), &self.objects[name]).unwrap());
        hopeless.len()
    }
}

/// All ways to take `count` of `of`.
fn subsets(of: &[String], count: usize) -> Vec<Vec<&String>> {
    match (count, of) {
        (0, _) => vec![vec![]],
        (_, []) => vec![],
        (_, [first, rest @ ..]) => {
            let with = subsets(rest, count - 1).into_iter().map(|mut some| {
                some.insert(0, first);
                some
            });
            with.chain(subsets(rest, count)).collect()
        }
    }
}

/// A content that makes a block for itself, and a small one.
fn small(n: u64) -> Vec<u8> {
    let mut bytes = noise(n, 500 + 40 * n as usize);
    bytes.resize(1_100_000, b'.');
    bytes
}

fn gone(lost: &[&String]) -> Bad {
    lost.iter().map(|name| ((*name).clone(), GONE)).collect()
}

/// Each way to lose as many objects of a group as it has parity: all comes back. Each way to lose
/// one more: nothing comes back, and each is named.
#[test]
fn every_loss_of_small_groups() {
    let shapes = [(2, 1), (2, 2), (3, 1), (3, 2), (4, 3), (5, 2), (6, 3), (4, 4)];
    let all = variable("DURA_LOSSES_CASES", 0) > 0;
    let mut told = 0;
    for (slots, parity) in if all { &shapes[..] } else { &shapes[..5] } {
        let band = Band::new((0..2).map(small), "", &format!("--group {slots} --parity {parity}"));
        assert_eq!(band.groups.len(), 10_usize.div_ceil(*slots));
        for (more, tool) in [0, 1].into_iter().flat_map(|more| TOOLS.map(|tool| (more, tool))) {
            if !all && tool == Tool::Script && *parity > 2 {
                continue;
            }
            let losses: Vec<_> =
                band.groups.iter().map(|group| subsets(&group.members, parity + more)).collect();
            // All groups at once, each in another way.
            for turn in 0..losses.iter().map(Vec::len).max().unwrap() {
                let lost: Bad = losses
                    .iter()
                    .filter_map(|ways| Some(gone(ways.get(turn)?)))
                    .flatten()
                    .collect();
                let left = band.case(
                    &lost,
                    tool,
                    &mut Dice::new(0),
                    &format!("{slots} slots, {parity} parity, loss {turn}"),
                );
                assert!(left == 0 || more > 0);
                told += left;
            }
        }
    }
    assert!(told > 100, "only {told} objects were beyond parity");
}

/// Random cases, each from a seed of its own.
fn at_random(usual: u64, case: impl Fn(&mut Dice, &str) -> usize) {
    let (count, first) = (variable("DURA_LOSSES_CASES", usual), variable("DURA_LOSSES_SEED", 1));
    let told = (first..first + count)
        .filter(|seed| case(&mut Dice::new(*seed), &format!("seed {seed}")) > 0)
        .count() as u64;
    // A few cases may be all of one kind.
    assert!(
        count < usual || (0 < told && told < count),
        "of {count} cases from seed {first} on {told} were more than parity makes up for"
    );
}

/// Groups of 32 from which some objects are lost, up to one more than parity gives back.
#[test]
fn random_losses_of_large_groups() {
    let bands =
        [2, 5].map(|parity| Band::new((0..37).map(small), "", &format!("--parity {parity}")));
    at_random(8, |dice, what| {
        let mut left = 0;
        for band in &bands {
            assert_eq!(band.groups.len(), 3);
            let mut lost = Bad::new();
            for group in &band.groups {
                let mut names: Vec<&String> = group.members.iter().collect();
                let usual = group.parity as u64;
                for _ in 0..if dice.chance(15) { usual + 1 } else { usual - dice.below(2) } {
                    lost.insert((
                        names.swap_remove(dice.below(names.len() as u64) as usize).clone(),
                        GONE,
                    ));
                }
            }
            left += TOOLS.iter().map(|tool| band.case(&lost, *tool, dice, what)).sum::<usize>();
        }
        left
    });
}

/// Bad pieces anywhere, of one in a thousand to one in twenty: what is hit comes back exactly when
/// no row has too many of them.
#[test]
fn random_damage_to_pieces() {
    let sizes = (0..14).map(|n| noise(n, 3_300_000 + 230_000 * (n as usize % 14)));
    let band = Band::new(sizes, "--compress none", "--parity 2");
    assert_eq!(band.groups.len(), 2);
    let members = || band.groups.iter().flat_map(|group| &group.members);
    let pieces: Vec<(String, usize)> = members()
        .flat_map(|name| {
            (0..band.objects[name].len().div_ceil(PIECE)).map(|row| (name.clone(), row))
        })
        .collect();
    assert!(pieces.len() > 70, "{}", pieces.len());
    at_random(6, |dice, what| {
        let mut left = 0;
        for (rate, tool) in [1, 10, 50].into_iter().flat_map(|rate| TOOLS.map(|tool| (rate, tool)))
        {
            let mut bad: Bad = pieces.iter().filter(|_| dice.below(1000) < rate).cloned().collect();
            if bad.is_empty() {
                bad.insert(pieces[dice.below(pieces.len() as u64) as usize].clone());
            }
            left += band.case(&bad, tool, dice, &format!("{what}, {rate} ‰"));
        }
        left
    });
}
