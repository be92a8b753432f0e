//! Random trees, backed up in chains of bands that are cut off anywhere: what comes back is what
//! was there.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;

use super::archive::{ModelArchive, ModelFile};
use super::model::{Op, Veil, World};
use super::run::run;
use super::*;

/// What should be at a path: the line of the scan that saw it last, what it may hold, and its inode
/// if the newest scan saw it.
#[derive(Debug, Clone)]
struct WantedEntry {
    line: Entry,
    contents: Vec<u64>,
    inode: Option<u64>,
}

type ModelVersion = BTreeMap<Path, WantedEntry>;

/// An interruption: where the records are cut, and what happens to the tree until the band is
/// continued.
#[derive(Debug, Clone)]
struct Cut {
    at: u16,
    meanwhile: Vec<Op>,
    /// Another view of the tree from then on.
    veils: Option<Vec<Veil>>,
}

#[derive(Debug, Clone)]
struct Round {
    ops: Vec<Op>,
    veils: Vec<Veil>,
    mask: Option<Vec<u16>>,
    /// What happens while pack reads: writes to files.
    during: Vec<Op>,
    /// How many bands of the chain to build on.
    on: u16,
    cuts: Vec<Cut>,
}

fn ops(most: usize) -> impl Strategy<Value = Vec<Op>> {
    vec((0..16u8, 0..64u16, 0..64u16, 0..64u16), 0..most)
}

fn veils() -> impl Strategy<Value = Vec<Veil>> {
    prop_oneof![2 => Just(vec![]), 3 => vec((0..3u8, 0..64u16), 0..4)]
}

fn rounds() -> impl Strategy<Value = Vec<Round>> {
    let quiet = |ops: Vec<Op>, chance: bool| if chance { ops } else { vec![] };
    let cut = (
        0..200u16,
        ops(4),
        any::<bool>(),
        prop_oneof![3 => Just(None), 1 => veils().prop_map(Some)],
    )
        .prop_map(move |(at, meanwhile, stirred, veils)| Cut {
            at,
            meanwhile: quiet(meanwhile, stirred),
            veils,
        });
    let mask = prop_oneof![4 => Just(None), 1 => vec(0..64u16, 0..4).prop_map(Some)];
    let during =
        prop_oneof![3 => Just(vec![]), 1 => vec((Just(6u8), 0..64u16, 0..64u16, Just(0u16)), 0..3)];
    let cuts = prop_oneof![1 => Just(vec![]), 1 => vec(cut, 0..4)];
    let round = (ops(12), veils(), mask, during, prop_oneof![2 => Just(9u16), 1 => 0..9u16], cuts)
        .prop_map(|(ops, veils, mask, during, on, cuts)| Round {
            ops,
            veils,
            mask,
            during,
            on,
            cuts,
        });
    vec(round, 1..6)
}

/// The version that a band should give which holds all records up to `until`, behind those up to
/// `after`.
struct ExpectedStep<'a> {
    scan: &'a [Entry],
    partial: bool,
    after: Option<&'a Path>,
    until: Option<&'a Path>,
    left_out: &'a [Path],
    before: &'a World,
    now: &'a World,
}

impl ExpectedStep<'_> {
    /// Whether the step has come to this path.
    fn reaches(&self, path: &Path) -> bool {
        self.after.is_none_or(|after| path > after) && self.until.is_none_or(|until| path <= until)
    }

    /// Whether the scan says nothing of a path that it does not list.
    fn is_veiled(&self, path: &Path) -> bool {
        let above = self.scan.iter().filter(|line| line.path == *path || line.path.holds(path));
        above.clone().any(|line| line.meta().is_none() || (line.unread && line.path != *path))
            || self.partial
    }

    fn apply(&self, old: &ModelVersion) -> ModelVersion {
        let lines: BTreeMap<&Path, &Entry> =
            self.scan.iter().map(|line| (&line.path, line)).collect();
        let mut new = ModelVersion::new();
        let paths: std::collections::BTreeSet<&Path> =
            old.keys().chain(lines.keys().copied()).collect();
        for path in paths {
            let seen = lines.get(path).filter(|line| line.meta().is_some() && self.reaches(path));
            let kept = old.get(path).filter(|_| !self.reaches(path) || self.is_veiled(path));
            let wanted = match seen {
                Some(_) if self.left_out.iter().any(|dir| dir.holds(path)) => None,
                Some(line) => {
                    let contents = [self.before, self.now]
                        .iter()
                        .filter_map(|world| Some(world.node(path)?.content))
                        .collect();
                    Some(WantedEntry {
                        line: (*line).clone(),
                        contents,
                        inode: self.before.tree.get(path).copied(),
                    })
                }
                None => kept.map(|wanted| WantedEntry { inode: None, ..wanted.clone() }),
            };
            let parent = path
                .parent()
                .map(|dir| new.get(&dir).is_some_and(|dir| dir.line.kind == Kind::Dir));
            if let (Some(wanted), true) = (wanted, parent != Some(false)) {
                new.insert(path.clone(), wanted);
            }
        }
        new
    }
}

/// The version must be as wanted: paths, lines, contents, and which names seen by the newest scan
/// are one inode.
fn check(found: &BTreeMap<Path, ModelFile>, wanted: &ModelVersion, context: &dyn std::fmt::Debug) {
    let paths: (Vec<_>, Vec<_>) = (found.keys().collect(), wanted.keys().collect());
    assert_eq!(paths.0, paths.1, "{context:?}");
    let mut inodes: BTreeMap<u64, &Path> = BTreeMap::new();
    for ((path, found), wanted) in found.iter().zip(wanted.values()) {
        let line = Entry {
            ctime: found.line.ctime.and(wanted.line.ctime),
            hard: None,
            ..wanted.line.clone()
        };
        let there = Entry { hard: None, ..found.line.clone() };
        // Without a ctime the two differ by that alone.
        let differ =
            if there.ctime.is_none() { EntryChange::Touched } else { EntryChange::Nothing };
        assert_eq!(
            (compare(&line, &there), line.state),
            (differ, there.state),
            "{path}: {line:?} {there:?}\n{context:?}"
        );
        let holds = found.line.kind == Kind::Dir || wanted.contents.contains(&found.content);
        assert!(holds, "{path}: {found:?}, wanted {:?}\n{context:?}", wanted.contents);
        if let Some(inode) = wanted.inode.filter(|_| found.line.kind != Kind::Dir) {
            assert_eq!(
                inodes.entry(inode).or_insert(&found.identity),
                &&found.identity,
                "{path}\n{context:?}"
            );
        }
    }
    let apart: std::collections::BTreeSet<&&Path> = inodes.values().collect();
    assert_eq!(apart.len(), inodes.len(), "inodes fell together: {inodes:?}\n{context:?}");
}

/// Runs one band, with its interruptions; gives the version that it should have.
fn back_up(
    archive: &mut ModelArchive,
    world: &mut World,
    round: &Round,
    old: &ModelVersion,
) -> ModelVersion {
    let tier = archive.tiers.len() as u8;
    archive.tiers.push(vec![]);
    let mut version = old.clone();
    let mut veils = round.veils.clone();
    let mut after: Option<Path> = None;
    let mut disturbed = false;
    let mut cuts = round.cuts.iter();
    loop {
        let scan = world.scan(&veils, round.mask.as_deref());
        let partial = round.mask.is_some();
        let config = DiffConfig { tier, full: false, pass_over: None, after: after.clone() };
        let found = run(config, partial, &scan, &archive.tiers);
        let before = world.clone();
        // While pack reads, files are written to.
        round.during.iter().for_each(|op| world.apply(*op));
        disturbed |= !round.during.is_empty();
        let cut = cuts.next();
        let stored = cut.map_or(found.records.len(), |cut| {
            usize::from(cut.at) * (found.records.len() + 1) / 200
        });
        archive.pack(world, &found.records[..stored]);
        let until = found.records[..stored]
            .last()
            .map(|record| record.path.clone())
            .or_else(|| after.clone());
        let ends = cut.map(|_| until.as_ref());
        // If nothing was stored at all, nothing came of this run.
        if ends != Some(None) {
            let step = ExpectedStep {
                scan: &scan,
                partial,
                after: after.as_ref(),
                until: ends.flatten(),
                left_out: &found.left_out,
                before: &before,
                now: world,
            };
            version = step.apply(&version);
        }
        if disturbed {
            // Names before a cut are what they were then, so which of them are one inode is asked
            // only in a quiet run.
            version.values_mut().for_each(|wanted| wanted.inode = None);
        }
        let Some(cut) = cut else { break };
        check(&archive.read(), &version, &(&round, &archive));
        after = until;
        disturbed |=
            !cut.meanwhile.is_empty() || cut.veils.as_ref().is_some_and(|new| *new != veils);
        cut.meanwhile.iter().for_each(|op| world.apply(*op));
        veils = cut.veils.clone().unwrap_or(veils);
    }
    if !disturbed {
        // A band that was cut off lists just what it would have listed without.
        let scan = world.scan(&veils, round.mask.as_deref());
        let clean = run(
            DiffConfig { tier, full: false, pass_over: None, after: None },
            round.mask.is_some(),
            &scan,
            &archive.tiers[..usize::from(tier)],
        );
        let paths = |entries: &mut dyn Iterator<Item = &Entry>| {
            entries.map(|e| (e.path.clone(), e.over, e.state, e.hard.clone())).collect::<Vec<_>>()
        };
        assert_eq!(
            paths(&mut archive.tiers[usize::from(tier)].iter().map(|(_, entry)| entry)),
            paths(&mut clean.records.iter()),
            "{archive:?}"
        );
        // Every inode is known again, also from before a cut.
        for (path, wanted) in &mut version {
            wanted.inode = scan
                .iter()
                .any(|line| line.path == *path && line.meta().is_some())
                .then(|| world.tree[path]);
        }
    }
    version
}

fn play(ticking: bool, rounds: &[Round]) {
    let mut world = World::new(ticking);
    let mut archive = ModelArchive::default();
    let mut versions: Vec<ModelVersion> = vec![ModelVersion::new()];
    for round in rounds {
        round.ops.iter().for_each(|op| world.apply(*op));
        let on = usize::from(round.on).min(archive.tiers.len());
        archive.tiers.truncate(on);
        versions.truncate(on + 1);
        let version = back_up(&mut archive, &mut world, round, &versions[on]);
        check(&archive.read(), &version, &(round, &archive));
        versions.push(version);
    }
    // A quiet run that sees everything puts everything right, whatever the runs before it missed;
    // and a second one has nothing to do.
    world.clock += 5;
    let quiet =
        Round { ops: vec![], veils: vec![], mask: None, during: vec![], on: 9, cuts: vec![] };
    let version = back_up(&mut archive, &mut world, &quiet, &versions[versions.len() - 1]);
    let found = archive.read();
    check(&found, &version, &archive);
    assert!(found.keys().eq(world.tree.keys()));
    assert_eq!(
        run(
            DiffConfig {
                tier: archive.tiers.len() as u8,
                full: false,
                pass_over: None,
                after: None
            },
            false,
            &world.scan(&[], None),
            &archive.tiers
        )
        .records,
        []
    );
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn what_comes_back_is_what_was_there(ticking: bool, rounds in rounds()) {
        play(ticking, &rounds);
    }
}
