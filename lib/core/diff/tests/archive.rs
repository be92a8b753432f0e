//! An archive in memory: bands as pack writes them, read as merge does and as a person does by
//! hand.

use std::collections::BTreeMap;

use super::model::World;
use super::*;
use crate::core::merge::tests::sample::{overlay, short};
use crate::core::references::{hides, is_visible, may_be_origin, may_refer, place_of, refer};
use crate::format::entry::{ContentPlace, DeltaBase, Within};

/// A chain of bands, each its lines with the numbers of their indexes; and the contents of the
/// blocks.
#[derive(Default, Clone)]
pub(crate) struct ModelArchive {
    pub(crate) tiers: Vec<Vec<(u32, Entry)>>,
    data: BTreeMap<(u8, u32, Path), u64>,
    /// What deltas were laid over when they were made, and what they make of that.
    deltas: BTreeMap<(u8, u32, Path), (u64, u64)>,
}

/// What is there at a path of a version: its line, what it holds, and what tells it from other
/// inodes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ModelFile {
    pub(crate) line: Entry,
    pub(crate) content: u64,
    pub(crate) identity: Path,
}

impl std::fmt::Debug for ModelArchive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (tier, band) in self.tiers.iter().enumerate() {
            writeln!(f, "tier {tier}")?;
            band.iter()
                .try_for_each(|(number, line)| writeln!(f, "  {number}: {}", short(line)))?;
        }
        Ok(())
    }
}

fn digest(content: u64) -> [u8; 32] {
    [content as u8; 32]
}

impl ModelArchive {
    /// What pack does: it reads the files of the world and adds these records to the newest band,
    /// three to a block.
    pub(crate) fn pack(&mut self, world: &World, records: &[Entry]) {
        let mut own: Vec<(u32, Entry)> = Vec::new();
        let mut closed: Vec<Path> = Vec::new();
        let tier = self.tiers.len() as u8 - 1;
        let first = self.tiers[usize::from(tier)].last().map_or(0, |(number, _)| number + 2);
        for (i, record) in records.iter().enumerate() {
            let mut line = record.clone();
            let block = first + i as u32 / 3;
            if line.meta().is_some() {
                let node = world.node(&line.path).unwrap();
                // What was changed just now, or since the scan, may change again unseen.
                if line
                    .ctime
                    .is_some_and(|ctime| ctime.sec + 2 > world.clock || ctime.sec != node.ctime())
                {
                    line.ctime = None;
                }
                if line.hard.is_none() {
                    let unchanged =
                        line.within.is_some() && line.sha256 == Some(digest(node.content));
                    if line.kind == Kind::File {
                        line.sha256 = Some(digest(node.content));
                    }
                    if !unchanged {
                        line.forget_place();
                        let origin = self.origin(&line).or_else(|| {
                            let at = |block| Within { tier, block };
                            let mut own = own.iter().map(|(block, line)| (at(*block), line));
                            own.find_map(|(at, origin)| refer(&line, origin, at))
                        });
                        let base = self.base(&line).filter(|_| node.content.is_multiple_of(2));
                        match (origin.filter(|_| may_refer(&line)), base) {
                            (Some(place), _) => line.refer_to(place),
                            (None, Some((place, content))) if may_refer(&line) => {
                                line.deltas = place.deltas + 1;
                                let ContentPlace { within, reference, .. } = place;
                                line.delta = Some(Some(Box::new(DeltaBase { within, reference })));
                                let made = (content, node.content);
                                let key = (tier, block, line.path.clone());
                                // Another band may have been there.
                                self.data.remove(&key);
                                self.deltas.insert(key, made);
                                if !closed.iter().any(|dir| dir.holds(&line.path)) {
                                    own.push((block, line.clone()));
                                }
                            }
                            (None, _) => {
                                self.data.insert((tier, block, line.path.clone()), node.content);
                                if may_be_origin(&line)
                                    && !closed.iter().any(|dir| dir.holds(&line.path))
                                {
                                    own.push((block, line.clone()));
                                }
                            }
                        }
                    }
                    if line.kind == Kind::Dir && line.meta().unwrap().mode & 0o100 == 0 {
                        closed.push(line.path.clone());
                    }
                }
            }
            self.tiers[usize::from(tier)].push((block, line));
        }
    }

    /// What a block or delta has under a name.
    fn resolve(&self, at: Within, name: &Path) -> u64 {
        let key = (at.tier, at.block, name.clone());
        if let Some(content) = self.data.get(&key) {
            return *content;
        }
        let (base, content) = self.deltas.get(&key).unwrap_or_else(|| panic!("{key:?}\n{self:?}"));
        let mut lines = self.tiers[usize::from(at.tier)].iter();
        let (_, line) =
            lines.find(|(block, line)| (*block, &line.path) == (at.block, name)).unwrap();
        let below = line.delta.as_ref().unwrap().as_ref().unwrap();
        assert!(below.within.tier < at.tier, "{line:?}");
        assert_eq!(
            self.resolve(below.within, below.reference.name_in_block().unwrap()),
            *base,
            "{self:?}"
        );
        *content
    }

    /// What the version below the newest band has at a file's path, and its content, if a delta may
    /// be laid over it.
    fn base(&self, file: &Entry) -> Option<(ContentPlace, u64)> {
        let (place, known) = self.look_below(|at, known| {
            let is_it = known.path == file.path && may_be_origin(known) && known.deltas < 9;
            is_it.then(|| (place_of(known, at), known.clone()))
        })?;
        Some((place.clone(), self.resolve(place.within, known.name_in_block())))
    }

    /// What the bands below the newest have of a file's content.
    fn origin(&self, file: &Entry) -> Option<ContentPlace> {
        self.look_below(|at, origin| refer(file, origin, at))
    }

    /// The newest line of the version below that is wanted.
    fn look_below<T>(&self, wanted: impl Fn(Within, &Entry) -> Option<T>) -> Option<T> {
        let below = &self.tiers[..self.tiers.len() - 1];
        let mut flags = |tier: usize, path: &[u8]| -> Result<u64, ()> {
            let lines = below[tier].iter().filter(|(_, line)| line.path.as_bytes() == path);
            Ok(lines.filter_map(|(_, line)| hides(line, tier)).fold(0, |all, it| all | it))
        };
        let lines = below.iter().enumerate().flat_map(|(tier, band)| {
            band.iter().map(move |(block, line)| (Within { tier: tier as u8, block: *block }, line))
        });
        lines.rev().find_map(|(at, origin)| {
            let path = origin.path.as_bytes();
            let there = is_visible(path, at.tier.into(), below.len(), &mut flags).unwrap();
            wanted(at, origin).filter(|_| there)
        })
    }

    /// The version, as merge gives it.
    pub(crate) fn version(&self) -> BTreeMap<Path, ModelFile> {
        let (entries, refused) = overlay(&self.tiers);
        assert_eq!(refused, [], "{self:?}");
        let mut version: BTreeMap<Path, ModelFile> = BTreeMap::new();
        for placed in entries {
            let line = placed.entry.clone();
            let (content, identity) = match &line.hard {
                Some(first) => {
                    let first = version
                        .get(first)
                        .unwrap_or_else(|| panic!("{line:?} is linked to nothing in {version:#?}"));
                    assert_eq!(first.line.hard, None, "{line:?}");
                    (first.content, first.identity.clone())
                }
                None => {
                    let content = self.resolve(placed.data(), placed.name_in_block());
                    if line.kind == Kind::File {
                        assert_eq!(line.sha256, Some(digest(content)), "{placed:?}");
                    }
                    (content, line.path.clone())
                }
            };
            version.insert(line.path.clone(), ModelFile { line, content, identity });
        }
        version
    }

    /// The version as the steps by hand give it: for each path its kind, content, and a number
    /// for the inode.
    pub(crate) fn by_hand(&self) -> BTreeMap<Path, (Kind, u64, usize)> {
        let mut tree: BTreeMap<Path, (Kind, u64, usize)> = BTreeMap::new();
        let mut inodes = 0;
        // What an ordinary user may not read, or enter.
        let mut modes: BTreeMap<Path, u32> = BTreeMap::new();
        for (tier, band) in self.tiers.iter().enumerate() {
            let references = |own: bool| {
                let of = move |(block, line): &(u32, Entry)| {
                    if let Some(Some(base)) = line.delta.as_ref() {
                        let of = base.reference.of.clone()?;
                        return (!own).then(|| (line.path.clone(), of, Some(*block)));
                    }
                    let of = line.reference.as_ref()?.of.clone()?;
                    let is_own = line.within?.tier == tier as u8;
                    (is_own == own).then(|| (line.path.clone(), of, None))
                };
                band.iter().filter_map(of).collect::<Vec<_>>()
            };
            let content =
                |tree: &BTreeMap<Path, (Kind, u64, usize)>, path: &Path| match tree.get(path) {
                    Some((Kind::File, content, _)) => *content,
                    other => panic!("{path}: refers to {other:?}"),
                };
            let kept: Vec<(Path, u64)> = references(false)
                .into_iter()
                .map(|(path, of, delta)| {
                    assert!(modes[&of] & 0o400 != 0, "{of} cannot be read\n{self:?}");
                    let above = modes.iter().filter(|(dir, _)| dir.holds(&of));
                    above.for_each(|(dir, mode)| {
                        assert!(mode & 0o100 != 0, "{dir} above {of} is closed\n{self:?}");
                    });
                    let content = content(&tree, &of);
                    let Some(block) = delta else { return (path, content) };
                    let (base, made) = self.deltas[&(tier as u8, block, path.clone())];
                    assert_eq!(content, base, "{path}: another base\n{self:?}");
                    (path, made)
                })
                .collect();
            for (_, line) in
                band.iter().filter(|(_, line)| line.over || line.state == EntryState::Deleted)
            {
                tree.retain(|path, _| *path != line.path && !line.path.holds(path));
            }
            for (block, line) in band.iter().filter(|(_, line)| {
                line.meta().is_some() && line.within.is_none() && line.delta.is_none()
            }) {
                assert!(
                    line.path.parent().is_none_or(|dir| tree
                        .get(&dir)
                        .is_some_and(|(kind, ..)| *kind == Kind::Dir))
                );
                inodes += 1;
                let there = match (&line.hard, tree.get(&line.path)) {
                    (Some(first), _) => {
                        *tree.get(first).unwrap_or_else(|| panic!("{line:?}: no {first}"))
                    }
                    (None, Some(dir)) if line.kind == Kind::Dir => *dir,
                    (None, _) => {
                        (line.kind, self.data[&(tier as u8, *block, line.path.clone())], inodes)
                    }
                };
                tree.insert(line.path.clone(), there);
            }
            let mut put = |tree: &mut BTreeMap<Path, (Kind, u64, usize)>, path: Path, content| {
                assert!(tree.get(&path.parent().unwrap()).is_some_and(|dir| dir.0 == Kind::Dir));
                inodes += 1;
                tree.insert(path, (Kind::File, content, inodes));
            };
            kept.into_iter().for_each(|(path, content)| put(&mut tree, path, content));
            for (path, of, _) in references(true) {
                let content = content(&tree, &of);
                put(&mut tree, path, content);
            }
            modes.retain(|path, _| tree.contains_key(path));
            modes.extend(
                band.iter().filter_map(|(_, line)| Some((line.path.clone(), line.meta()?.mode))),
            );
        }
        tree
    }

    /// Reads the version in both ways; they must agree in what is there, what it holds, and which
    /// names are links to one inode.
    pub(crate) fn read(&self) -> BTreeMap<Path, ModelFile> {
        let version = self.version();
        let by_hand = self.by_hand();
        assert!(
            version.keys().eq(by_hand.keys()),
            "{self:?}\n{:?}\n{:?}",
            version.keys(),
            by_hand.keys()
        );
        let mut same: BTreeMap<&Path, usize> = BTreeMap::new();
        for ((path, found), (kind, content, inode)) in version.iter().zip(by_hand.values()) {
            let content_matters = *kind != Kind::Dir;
            assert_eq!(found.line.kind, *kind, "{path}");
            assert!(
                !content_matters || found.content == *content,
                "{path}: {found:?}, by hand {content}\n{self:?}"
            );
            let known = same.entry(&found.identity).or_insert(*inode);
            assert_eq!(known, inode, "{path} is another inode by hand\n{self:?}");
        }
        let inodes: std::collections::BTreeSet<usize> = same.values().copied().collect();
        assert_eq!(
            inodes.len(),
            same.len(),
            "names are linked by hand that are not in the version\n{self:?}"
        );
        version
    }
}
