//! Restore's plan: which blocks are read in which order, and what comes from which of them.
//!
//! The entries of a version go in, in canonical order, each with whether it is wanted; steps come
//! out. Each tier is read by a lane that goes forward through the blocks of its band and through
//! the entries of each, so every block is read once. What lies behind a lane (the first name of a
//! hard link, when that name itself is not wanted) is read by a second lane of the tier.
//!
//! Invariants:
//! 1. In each lane, tickets rise, and under one ticket, paths do.
//! 2. A [`RestoreStep::Open`] comes before the first [`RestoreStep::Take`] with its ticket, and all
//!    opens come in the order of their first takes.
//! 3. A hard link is made only to a name whose own step came before.
//!
//! A file that several paths refer to is kept when it is first read, as far as there is room, and
//! the others are written from what was kept: so small files that are there many times cost no
//! block each.
//!
//! Memory: the directories above the current path, the first names of all inodes with several
//! links, and up to [`MAX_REFERENCES`] contents that are referred to.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

use super::merge::{Placed, is_first_name};
use crate::format::entry::{Entry, Kind, Within};
use crate::format::object::{BlockForm, Compression};
use crate::format::path::Path;

/// Lanes of each tier.
pub const LANES: usize = 2;

/// So many contents that are referred to are known: 24 MiB.
pub const MAX_REFERENCES: usize = 1 << 20;

/// Files of more bytes are not kept: reading their block again is cheap beside their content.
pub const MAX_KEPT: u64 = 8 << 20;

/// What a kept file takes besides its content: its headers.
const HEADERS: u64 = 2 << 10;

/// What the content of an entry in a block is known by.
pub fn key_in_block(block: Within, name: &Path) -> u64 {
    let mut hasher = DefaultHasher::new();
    (block, name.as_bytes()).hash(&mut hasher);
    hasher.finish()
}

/// How often contents are referred to, found out before the plan is made.
#[derive(Debug, Default)]
pub struct References(HashMap<u64, u32>);

impl References {
    /// An entry that is wanted; false if there are too many to know them all.
    pub fn handle_entry(&mut self, placed: &Placed) -> bool {
        let is_small = placed.entry.size.is_some_and(|size| size <= MAX_KEPT);
        let small = is_small && placed.entry.deltas == 0;
        if placed.entry.reference.is_none() || !small {
            return true;
        }
        let key = key_in_block(placed.data(), placed.name_in_block());
        let room = self.0.len() < MAX_REFERENCES || self.0.contains_key(&key);
        if room {
            *self.0.entry(key).or_default() += 1;
        }
        room
    }
}

/// What is to be done next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RestoreStep {
    /// Start to read this block: it will be wanted in this lane under this ticket.
    Open(BlockTicket),
    /// Write what the block has under a path.
    Take(Box<Take>),
    /// Write what was kept when it was taken before.
    Kept(Box<Take>),
    /// Write a file whose content is a delta, laid over what that names.
    Patch(Box<Take>),
    /// Write an entry that its line describes fully: a directory above what is wanted, or a hard
    /// link to what was written before.
    Make(Box<Entry>),
    /// A hard link whose first name the version does not have.
    Stray(Box<Placed>),
}

/// A block that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockTicket {
    /// The lane in which it is read.
    pub lane: usize,
    /// Its number in the lane, from 1.
    pub ticket: u64,
    /// The block.
    pub block: Within,
    /// Whether it is a delta.
    pub is_delta: bool,
}

impl BlockTicket {
    /// The form of the block, in a band of this compression.
    pub fn form(&self, compression: Compression) -> BlockForm {
        BlockForm::of(compression, self.is_delta)
    }
}

/// An entry that is taken from a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Take {
    /// What is written.
    pub entry: Entry,
    /// The path under which the block has it.
    pub under: Path,
    /// Where it is.
    pub from: BlockTicket,
    /// An older block that holds the same content.
    pub spare: Option<Within>,
    /// Others will refer to it: it is to be kept.
    pub keep: bool,
}

/// A first name that was not wanted, or the name that it was written under.
#[derive(Debug)]
enum FirstName {
    /// The name itself was written.
    Written,
    /// It was written under this name.
    As(Path),
    /// It was passed over.
    Passed(Box<Placed>),
}

/// Where a lane stands.
#[derive(Debug, Default)]
struct LanePosition {
    /// The open block, and the last path that was taken from it.
    at: Option<(u32, Path)>,
    ticket: u64,
}

/// The machine: [`RestorePlan::handle_entry`] for each entry, and [`RestorePlan::poll`] after each
/// until it gives none.
#[derive(Debug)]
pub struct RestorePlan {
    lanes: Vec<LanePosition>,
    /// Directories above the current path that were not wanted for themselves and are not written
    /// yet.
    above: Vec<Placed>,
    firsts: BTreeMap<Path, FirstName>,
    steps: VecDeque<RestoreStep>,
    /// References that are still to come.
    references: References,
    kept: HashSet<u64>,
    /// Bytes that may still be kept.
    room: u64,
}

impl RestorePlan {
    /// A plan for a chain of so many bands.
    pub fn new(tiers: usize) -> RestorePlan {
        let lanes = (0..tiers * LANES).map(|_| LanePosition::default()).collect();
        RestorePlan {
            lanes,
            above: Vec::new(),
            firsts: BTreeMap::new(),
            steps: VecDeque::new(),
            references: References::default(),
            kept: HashSet::new(),
            room: 0,
        }
    }

    /// Content that is referred to will be kept, as far as there is room for so many bytes.
    pub fn keep(&mut self, references: References, room: u64) {
        (self.references, self.room) = (references, room);
    }

    /// The next entry of the version.
    pub fn handle_entry(&mut self, placed: Placed, wanted: bool) {
        while self.above.pop_if(|dir| !dir.entry.path.holds(&placed.entry.path)).is_some() {}
        if !wanted {
            if placed.entry.kind == Kind::Dir {
                self.above.push(placed);
            } else if is_first_name(&placed.entry) {
                self.handle_first(placed);
            }
            return;
        }
        // The root is where the tar is extracted: it is somebody's already, and stays as it is.
        for dir in std::mem::take(&mut self.above) {
            if dir.entry.path.is_root() {
                continue;
            }
            // Its line lacks only attributes; it is not worth a block to learn the owner's name.
            if dir.entry.x {
                self.take(dir)
            } else {
                self.steps.push_back(RestoreStep::Make(Box::new(dir.entry)))
            }
        }
        match &placed.entry.hard {
            Some(first) => {
                let first = first.clone();
                self.link(placed, first);
            }
            None => {
                if is_first_name(&placed.entry) {
                    self.firsts.insert(placed.entry.path.clone(), FirstName::Written);
                }
                self.take(placed);
            }
        }
    }

    /// Of the directories above that would come with the next entry that is wanted, only these
    /// come.
    pub fn retain_above(&mut self, comes: impl Fn(&Path) -> bool) {
        self.above.retain(|dir| comes(&dir.entry.path));
    }

    /// A first name that is not wanted, or that was looked up for a stray.
    pub fn handle_first(&mut self, placed: Placed) {
        if placed.entry.kind != Kind::Dir && placed.entry.hard.is_none() {
            self.firsts
                .entry(placed.entry.path.clone())
                .or_insert_with(|| FirstName::Passed(Box::new(placed)));
        }
    }

    /// The next step; none until another entry has come.
    pub fn poll(&mut self) -> Option<RestoreStep> {
        self.steps.pop_front()
    }

    fn link(&mut self, mut placed: Placed, first: Path) {
        match self.firsts.get_mut(&first) {
            Some(FirstName::Written) => {
                self.steps.push_back(RestoreStep::Make(Box::new(placed.entry)))
            }
            Some(FirstName::As(name)) => {
                placed.entry.hard = Some(name.clone());
                self.steps.push_back(RestoreStep::Make(Box::new(placed.entry)));
            }
            Some(passed @ FirstName::Passed(_)) => {
                let name = placed.entry.path;
                let FirstName::Passed(first) =
                    std::mem::replace(passed, FirstName::As(name.clone()))
                else {
                    return;
                };
                let Placed { entry, at, under, spare } = *first;
                let under = under.unwrap_or_else(|| entry.path.clone());
                self.take(Placed {
                    entry: Entry { path: name, ..entry },
                    at,
                    under: Some(under),
                    spare,
                });
            }
            None => self.steps.push_back(RestoreStep::Stray(Box::new(placed))),
        }
    }

    fn take(&mut self, placed: Placed) {
        let block = placed.data();
        let under = placed.name_in_block().clone();
        if placed.entry.deltas > 0 {
            let from = BlockTicket { lane: 0, ticket: 0, block, is_delta: true };
            let take = Take { entry: placed.entry, under, from, spare: None, keep: false };
            self.steps.push_back(RestoreStep::Patch(Box::new(take)));
            return;
        }
        let key = key_in_block(block, &under);
        let left = match self.references.0.get_mut(&key) {
            None => 0,
            Some(left) => {
                *left -= u32::from(placed.entry.reference.is_some() && *left > 0);
                *left
            }
        };
        let Placed { entry, spare, .. } = placed;
        if self.kept.contains(&key) {
            let from = BlockTicket { lane: 0, ticket: 0, block, is_delta: false };
            let take = Take { entry, under, from, spare, keep: false };
            self.steps.push_back(RestoreStep::Kept(Box::new(take)));
            return;
        }
        let Some(from) = self.find(block, &under) else { return };
        let size = entry.size.unwrap_or(0) + HEADERS;
        let keep = left > 0 && size <= self.room;
        if keep {
            self.room -= size;
            self.kept.insert(key);
        }
        self.steps.push_back(RestoreStep::Take(Box::new(Take { entry, under, from, spare, keep })));
    }

    /// The lane that can still get there; opens the block where it is not open.
    fn find(&mut self, block: Within, under: &Path) -> Option<BlockTicket> {
        let first = usize::from(block.tier) * LANES;
        let lanes = self.lanes.get_mut(first..first + LANES)?;
        let ahead = |lane: &LanePosition| {
            lane.at.as_ref().is_none_or(|(open, last)| (*open, last) < (block.block, under))
        };
        // The one that skips least; what was moved is read beside what was not.
        let at = (0..LANES).filter(|at| ahead(&lanes[*at])).max_by_key(|at| {
            let place = lanes[*at].at.as_ref();
            (place.map(|(open, last)| (*open, last)), LANES - at)
        });
        let at = at.unwrap_or(LANES - 1);
        let lane = &mut lanes[at];
        let open = lane.at.as_ref().is_some_and(|(open, _)| *open == block.block) && ahead(lane);
        if !open {
            lane.ticket += 1;
        }
        match &mut lane.at {
            Some((at, last)) => {
                *at = block.block;
                last.clone_from(under);
            }
            at => *at = Some((block.block, under.clone())),
        }
        let (lane, ticket) = (first + at, lane.ticket);
        let from = BlockTicket { lane, ticket, block, is_delta: false };
        if !open {
            self.steps.push_back(RestoreStep::Open(from));
        }
        Some(from)
    }
}

#[cfg(test)]
mod tests {
    use super::super::merge::tests::sample::entry;
    use super::*;

    /// `BLOCK: line`, as the tests of the overlay have it; `-` before it if it is not wanted.
    fn steps(lines: &[&str]) -> Vec<String> {
        let mut plan = RestorePlan::new(2);
        let mut said = Vec::new();
        for line in lines {
            let (wanted, line) = line.strip_prefix('-').map_or((true, *line), |rest| (false, rest));
            let (block, line) = line.split_once(": ").unwrap();
            let entry = entry(line);
            plan.handle_entry(
                Placed {
                    entry,
                    at: Within { tier: 1, block: block.parse().unwrap() },
                    under: None,
                    spare: None,
                },
                wanted,
            );
            while let Some(step) = plan.poll() {
                let open = |open: &BlockTicket| {
                    format!(
                        "{}#{} {}/{}",
                        open.lane, open.ticket, open.block.tier, open.block.block
                    )
                };
                said.push(match step {
                    RestoreStep::Open(it) => format!("open {}", open(&it)),
                    RestoreStep::Take(it) => {
                        format!(
                            "take {} of {} at {}#{}",
                            it.entry.path, it.under, it.from.lane, it.from.ticket
                        )
                    }
                    RestoreStep::Kept(it) => format!("kept {} of {}", it.entry.path, it.under),
                    RestoreStep::Patch(it) => format!("patch {} of {}", it.entry.path, it.under),
                    RestoreStep::Make(it) => format!(
                        "make {} {}",
                        it.path,
                        it.hard.map_or_else(String::new, |hard| hard.to_string())
                    ),
                    RestoreStep::Stray(it) => format!("stray {}", it.entry.path),
                });
            }
        }
        said
    }

    #[test]
    fn each_block_is_opened_once_in_its_lane() {
        assert_eq!(
            steps(&[
                "0: . dir",
                "0: ./a file",
                "3: ./b file",
                "4: ./c file s1 in0/2",
                "4: ./d file"
            ]),
            [
                "open 2#1 1/0",
                "take . of . at 2#1",
                "take ./a of ./a at 2#1",
                "open 2#2 1/3",
                "take ./b of ./b at 2#2",
                "open 0#1 0/2",
                "take ./c of ./c at 0#1",
                "open 2#3 1/4",
                "take ./d of ./d at 2#3",
            ]
        );
    }

    #[test]
    fn what_is_referred_to_is_kept_while_there_is_room() {
        let small = "./a file s900";
        let refer = |path: &str| {
            let mut entry = entry(&format!("{path} file s900 in1/0"));
            let of = Path::from_raw(b"a");
            entry.reference = Some(Box::new(crate::format::entry::Reference {
                of: Some(of.clone()),
                name: None,
            }));
            let at = Within { tier: 1, block: 3 };
            Placed { entry, at, under: Some(of), spare: None }
        };
        for (room, says) in [(9_000, ["take", "kept", "kept"]), (100, ["take", "take", "take"])] {
            let (mut plan, mut references) = (RestorePlan::new(2), References::default());
            assert!(references.handle_entry(&refer("./b")));
            assert!(references.handle_entry(&refer("./c")));
            plan.keep(references, room);
            let at = Within { tier: 1, block: 0 };
            let origin = Placed { entry: entry(small), at, under: None, spare: None };
            let mut said = Vec::new();
            for placed in [origin, refer("./b"), refer("./c")] {
                plan.handle_entry(placed, true);
                while let Some(step) = plan.poll() {
                    match step {
                        RestoreStep::Take(_) => said.push("take"),
                        RestoreStep::Kept(_) => said.push("kept"),
                        _ => {}
                    }
                }
            }
            assert_eq!(said, says, "{room}");
        }
    }

    #[test]
    fn directories_above_come_when_something_below_does() {
        assert_eq!(
            steps(&[
                "-0: . dir",
                "-0: ./a dir",
                "-0: ./a/x file",
                "-1: ./b dir",
                "-1: ./b/c dir",
                "1: ./b/c/y file",
                "1: ./b/c/z file"
            ]),
            [
                "make ./b ",
                "make ./b/c ",
                "open 2#1 1/1",
                "take ./b/c/y of ./b/c/y at 2#1",
                "take ./b/c/z of ./b/c/z at 2#1"
            ]
        );
    }

    #[test]
    fn the_first_wanted_name_becomes_the_file() {
        assert_eq!(
            steps(&[
                "-0: . dir",
                "-0: ./a file n3 i1",
                "1: ./b file n3 i1 h./a",
                "1: ./c file",
                "1: ./d file n3 i1 h./a",
                "1: ./e file n2 i2 h./none"
            ]),
            [
                "open 2#1 1/0",
                "take ./b of ./a at 2#1",
                "open 2#2 1/1",
                "take ./c of ./c at 2#2",
                "make ./d ./b",
                "stray ./e",
            ]
        );
    }

    #[test]
    fn what_lies_behind_is_read_beside() {
        assert_eq!(
            steps(&[
                "-0: ./a file n2 i1",
                "-0: ./b file n2 i2",
                "0: ./c file",
                "1: ./d file n2 i1 h./a",
                "1: ./e file n2 i2 h./b",
                "1: ./f file"
            ]),
            [
                "open 2#1 1/0",
                "take ./c of ./c at 2#1",
                "open 3#1 1/0",
                "take ./d of ./a at 3#1",
                "take ./e of ./b at 3#1",
                "open 2#2 1/1",
                "take ./f of ./f at 2#2",
            ]
        );
    }
}
