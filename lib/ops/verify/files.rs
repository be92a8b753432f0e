//! `--files`: every block of a band is read from its begin to its end, and each member of it
//! compared with the next line of its index: the header byte for byte, the content by its sha256. A
//! block must hold nothing else.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use anyhow::{anyhow, bail};

use crate::archive::blocks::{BlockSource, Blocks, LaneFeed};
use crate::archive::entries::deltas::PatchedFile;
use crate::archive::kind::is_locked;
use crate::archive::{Archive, BandEntries, BandInChain, Trust};
use crate::core::chain::ancestors::Extent;
use crate::core::restore::BlockTicket;
use crate::core::verify::{Finding, FindingKind, Subject};
use crate::edge::batches::{Batches, batches};
use crate::edge::ordered::Gone;
use crate::format::band::BandName;
use crate::format::entry::{Entry, Within};
use crate::format::object::{BlockForm, Object};
use crate::format::path::{Path, compare};
use crate::format::sparse::Digester;
use crate::ops::verify::members::MemberCheck;
use crate::report::message::chain;

/// Lines that the reader may be ahead.
const STEPS: usize = 16 << 10;

/// From the thread that reads the indexes to the one that compares.
enum CompareOrder {
    Lane(LaneFeed),
    /// The next block, under its ticket.
    Block(BlockTicket),
    /// The next line of the block's index that has a member.
    Line(Box<Entry>),
    /// A line whose content is the delta there.
    Delta(Within, Box<Entry>),
    /// A line that refers to a member of this band, which came before.
    Own(Box<Entry>),
    Found(Finding),
    End(u64),
    Failed(anyhow::Error),
}

/// The files that were found to be lost, each by its band and the path that its block has: what
/// refers to them is lost as well. Clones share them.
#[derive(Clone, Default)]
pub(super) struct Lost(Arc<Mutex<HashSet<(BandName, Path)>>>);

impl Lost {
    fn push(&self, finding: &Finding) {
        if let (FindingKind::File, Subject::File(band, path), Ok(mut lost)) =
            (finding.kind, &finding.subject, self.0.lock())
        {
            lost.insert((band.clone(), path.clone()));
        }
    }

    /// That a line of this band refers to a lost file of `of`.
    fn concerns(&self, band: &BandName, entry: &Entry, of: &BandName) -> Option<Finding> {
        let lost = self.0.lock().ok().filter(|lost| !lost.is_empty())?;
        let name = entry.name_in_block();
        lost.contains(&(of.clone(), name.clone())).then(|| {
            let subject = Subject::File(band.clone(), entry.path.clone());
            Finding::new(
                FindingKind::File,
                subject,
                format!("its content is that of {name} in {of}, see there"),
            )
        })
    }
}

/// Reads out a band, after those below it. Calls `found` for what is wrong; fails if nothing can be
/// decrypted. Gives how many files were read.
pub(super) fn read_out(
    archive: &Arc<Archive>,
    name: &BandName,
    jobs: usize,
    lost: &Lost,
    found: &mut dyn FnMut(Finding) -> anyhow::Result<()>,
) -> anyhow::Result<u64> {
    let found = &mut |finding: Finding| {
        lost.push(&finding);
        found(finding)
    };
    let (head, tail) = match archive.ends(name) {
        Ok((Some(head), tail)) if head.band == *name => (head, tail),
        _ => {
            found(Finding::new(
                FindingKind::Damaged,
                Subject::Band(name.clone()),
                "no file of it can be read out: it has neither HEAD nor TAIL that tells of it",
            ))?;
            return Ok(0);
        }
    };
    let tail = tail.filter(|tail| (&tail.band, tail.id) == (name, head.id));
    let extent = tail.as_ref().map_or(Extent::Unfinished, |tail| Extent::UpTo(tail.last));
    let mut bands = vec![head.clone()];
    while let Some(below) = bands.last().and_then(|band| band.parent.clone()) {
        match archive.ends(&below.band) {
            Ok((Some(head), _)) if head.id == below.id => bands.push(head),
            _ => {
                found(Finding::top(
                    FindingKind::Damaged,
                    name,
                    Object::Head,
                    format!("what it refers to in {} cannot be examined", below.band),
                ))?;
                return Ok(0);
            }
        }
    }
    bands.reverse();
    let source = Arc::new(BlockSource {
        archive: Arc::clone(archive),
        bands,
        takes_remains: false,
        many: false,
        fetches: None,
    });
    let blocks = Blocks::new(&source, jobs)?;
    let (orders, taken) = batches(STEPS);
    let reader = FileReader {
        source: Arc::clone(&source),
        band: BandInChain { head, tail, extent },
        blocks,
        ticket: 0,
        lost: lost.clone(),
        orders,
    };
    // Not joined: after a failure it may wait for a store that is in no hurry.
    std::thread::spawn(move || reader.run());
    let mut members: Option<MemberCheck<'_>> = None;
    let mut deltas = 0;
    for order in taken {
        match order {
            CompareOrder::Lane(feed) => members = Some(MemberCheck::new(feed, &source, name)),
            CompareOrder::Block(open) => {
                let members = members.as_mut().ok_or_else(|| anyhow!("no block was opened"))?;
                members.turn_to(open, found)?;
            }
            CompareOrder::Line(line) => {
                let members = members.as_mut().ok_or_else(|| anyhow!("no block was opened"))?;
                members.handle_line(&line, found)?;
            }
            CompareOrder::Delta(at, line) => {
                deltas += 1;
                let what = wrong_delta(&source, at, &line)?;
                let subject = || Subject::File(name.clone(), line.path.clone());
                what.map_or(Ok(()), |what| {
                    found(Finding::new(FindingKind::File, subject(), what))
                })?;
            }
            CompareOrder::Own(line) => {
                lost.concerns(name, &line, name).map_or(Ok(()), &mut *found)?
            }
            CompareOrder::Found(finding) => found(finding)?,
            CompareOrder::Failed(error) => return Err(error),
            CompareOrder::End(entries) => {
                let read = members.map_or(Ok(0), |members| members.finish(found))?;
                let wrong = counts_differ(archive, name, entries);
                wrong.into_iter().try_for_each(found)?;
                return Ok(read + deltas);
            }
        }
    }
    bail!("the reader of {name} stopped unexpectedly")
}

/// What keeps a delta from making the file of its line; none if nothing does.
fn wrong_delta(source: &BlockSource, at: Within, line: &Entry) -> anyhow::Result<Option<String>> {
    let delta = source.name_as(at, true);
    let mut file = match PatchedFile::open(source, at, &line.path, line) {
        Ok(file) => file,
        Err(error) if is_locked(&error) => return Err(error),
        Err(error) => return Ok(Some(format!("delta {delta}: {}", chain(&error)))),
    };
    let mut digester = Digester::of_line(line, file.map.is_some());
    let mut take = |piece: &[u8]| {
        digester.iter_mut().for_each(|digester| digester.update(piece));
        Ok::<(), Infallible>(())
    };
    file.map.take().map_or(Ok(()), |map| take(&map))?;
    Ok(match file.copy(&mut take)? {
        Err((from, why)) => {
            Some(format!("delta {delta}: damaged from byte {from} of its data on: {why}"))
        }
        Ok(()) if digester.and_then(Digester::finish) != line.digest() => {
            Some(format!("delta {delta}: what it makes has another sha256"))
        }
        Ok(()) => None,
    })
}

/// What TAIL says of the indexes, against what they have.
fn counts_differ(archive: &Archive, name: &BandName, entries: u64) -> Option<Finding> {
    let tail = archive.tail(name).ok().flatten()?;
    let what =
        format!("says that the band has {} entries; its indexes have {entries}", tail.entries);
    (entries != u64::MAX && tail.entries != entries)
        .then(|| Finding::top(FindingKind::Damaged, name, Object::Tail, what))
}

/// Reads the indexes, makes the plan, and opens the blocks.
struct FileReader {
    source: Arc<BlockSource>,
    band: BandInChain,
    blocks: Blocks,
    ticket: u64,
    lost: Lost,
    orders: Batches<CompareOrder>,
}

impl FileReader {
    fn run(mut self) {
        let last = self.entries().map_or_else(CompareOrder::Failed, CompareOrder::End);
        // Whoever compares may be gone, and then knows why.
        drop(self.orders.send(last));
    }

    /// Gives the count of entries; the highest number if some are not known.
    fn entries(&mut self) -> anyhow::Result<u64> {
        let source = Arc::clone(&self.source);
        let archive = Arc::clone(&source.archive);
        let name = self.band.head.band.clone();
        let held = match archive.holds(&self.band) {
            Ok(held) => held,
            Err(error) if is_locked(&error) => return Err(error),
            Err(error) => {
                self.send(CompareOrder::Found(Finding::new(
                    FindingKind::Damaged,
                    Subject::Band(name.clone()),
                    format!("no index can be read: {}", chain(&error)),
                )))?;
                return Ok(u64::MAX);
            }
        };
        let mut whole = held.lost.is_empty();
        let trust =
            if self.band.tail.is_some() { Trust::Complete } else { Trust::Listed(u64::MAX) };
        let mut entries = BandEntries::start(
            &archive,
            &Arc::new(self.band.head.clone()),
            held.numbers,
            trust,
            1,
        )?;
        let tiers = source.bands.len();
        let tier = (tiers - 1) as u8;
        let (mut older, mut count) = (Older::new(&source), 0);
        // The index that is read, and whether a member of its block was asked for.
        let (mut at, mut asked) = (None, true);
        loop {
            let next = entries.next_entry();
            for (number, error) in entries.failed.drain(..) {
                if is_locked(&error) {
                    return Err(error);
                }
                whole = false;
                let object = archive.likely(&name, Object::Index(number));
                let what = format!("what it lists is not known: {}", chain(&error));
                self.send(CompareOrder::Found(Finding::of(
                    FindingKind::Damaged,
                    &name,
                    object,
                    what,
                )))?;
            }
            let Some((block, entry)) = next else { break };
            count += 1;
            if at != Some(block) {
                self.bare(at.filter(|_| !asked))?;
                (at, asked) = (Some(block), false);
            }
            if entry.meta().is_none() {
                continue;
            }
            if let Some(within) = entry.within {
                let of = source.bands.get(usize::from(within.tier)).map(|head| &head.band);
                if let Some(what) = older.differs(&entry, within)? {
                    let subject = Subject::File(name.clone(), entry.path);
                    self.send(CompareOrder::Found(Finding::new(FindingKind::File, subject, what)))?;
                } else if within.tier == tier {
                    self.send(CompareOrder::Own(Box::new(entry)))?;
                } else if let Some(finding) =
                    of.and_then(|of| self.lost.concerns(&name, &entry, of))
                {
                    self.send(CompareOrder::Found(finding))?;
                }
                continue;
            }
            if entry.delta.is_some() {
                asked = true;
                self.send(CompareOrder::Delta(Within { tier, block }, Box::new(entry)))?;
                continue;
            }
            if !asked {
                asked = true;
                self.open(Within { tier, block })?;
            }
            self.send(CompareOrder::Line(Box::new(entry)))?;
        }
        self.bare(at.filter(|_| !asked))?;
        Ok(if whole { count } else { u64::MAX })
    }

    /// Goes on to the next block.
    fn open(&mut self, block: Within) -> anyhow::Result<()> {
        self.ticket += 1;
        let open = BlockTicket { lane: 0, ticket: self.ticket, block, is_delta: false };
        // To open waits for room, which comes when blocks before it are compared.
        self.orders.flush().map_err(gone)?;
        if let Some(feed) = self.blocks.open(open) {
            self.send(CompareOrder::Lane(feed))?;
        }
        self.send(CompareOrder::Block(open))
    }

    /// An index none of whose lines has a member: it has no block.
    fn bare(&mut self, number: Option<u32>) -> anyhow::Result<()> {
        let Some(number) = number else { return Ok(()) };
        let (band, compression) = (self.band.head.band.clone(), self.band.head.compression);
        let tar = BlockForm::Tar(compression);
        for object in [Object::Block(number, tar), Object::Part(number, tar, 0)] {
            if let Some((name, _)) = self.source.archive.size(&band, object)? {
                let what = "its index lists nothing that is in it";
                let finding = Finding::of(FindingKind::Damaged, &band, name, what);
                self.send(CompareOrder::Found(finding))?;
            }
        }
        Ok(())
    }

    fn send(&mut self, order: CompareOrder) -> anyhow::Result<()> {
        self.orders.send(order).map_err(gone)
    }
}

fn gone(_: Gone) -> anyhow::Error {
    anyhow!("the comparison stopped unexpectedly")
}

/// The indexes that lines with `in:` point to, one of each tier at a time: what was not moved comes
/// in order there, too.
struct Older<'a> {
    source: &'a BlockSource,
    open: HashMap<u8, (u32, IndexLines)>,
}

/// The text of an index, and where its lines begin that are no headers.
struct IndexLines {
    text: Vec<u8>,
    starts: Vec<u32>,
}

impl IndexLines {
    fn new(text: Vec<u8>) -> IndexLines {
        let ends = memchr::memchr_iter(b'\n', &text).map(|end| end + 1);
        let starts = std::iter::once(0).chain(ends).filter(|start| *start < text.len());
        let starts = starts.filter(|start| text[*start] != b'#').map(|start| start as u32);
        IndexLines { starts: starts.collect(), text }
    }

    /// The line of a path; paths are in order.
    fn find(&self, path: &Path) -> Option<Entry> {
        let line = |start: u32| {
            let rest = &self.text[start as usize..];
            &rest[..memchr::memchr(b'\n', rest).unwrap_or(rest.len())]
        };
        let name = |start: u32| line(start).split(|&b| b == b' ').next().unwrap_or_default();
        let is_before =
            |start: &u32| compare(name(*start), path.as_bytes()) == std::cmp::Ordering::Less;
        let start = self.starts.get(self.starts.partition_point(is_before))?;
        Entry::parse(line(*start)).ok().filter(|entry| entry.path == *path)
    }
}

impl<'a> Older<'a> {
    fn new(source: &'a BlockSource) -> Older<'a> {
        Older { source, open: HashMap::new() }
    }

    /// Why the index of the block does not have the file that the entry says is there; none if it
    /// has.
    fn differs(&mut self, entry: &Entry, within: Within) -> anyhow::Result<Option<String>> {
        let place = || format!("its content should be in {}", self.source.name(within));
        if self.open.get(&within.tier).is_none_or(|(block, ..)| *block != within.block) {
            let Some(head) = self.source.bands.get(usize::from(within.tier)) else {
                return Ok(Some(place()));
            };
            let trust = Trust::Listed(u64::MAX);
            match self.source.archive.text(head, Object::Index(within.block), trust) {
                Ok(text) => {
                    let lines = IndexLines::new(text.unwrap_or_default());
                    self.open.insert(within.tier, (within.block, lines));
                }
                Err(error) if is_locked(&error) => return Err(error),
                Err(error) => return Ok(Some(format!("{}: {}", place(), chain(&error)))),
            }
        }
        let Some((_, lines)) = self.open.get(&within.tier) else { return Ok(None) };
        let Some(older) = lines.find(entry.name_in_block()) else {
            return Ok(Some(format!("{}, whose index does not list it", place())));
        };
        let content = |entry: &Entry| (entry.kind, entry.size, entry.digest(), entry.deltas);
        let same = content(&older) == content(entry) && older.within.is_none();
        let what = "the index of the block that holds its content says something else of it";
        Ok((!same).then(|| what.to_owned()))
    }
}
