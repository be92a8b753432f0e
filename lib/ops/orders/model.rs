//! Small runs for the search over all orders: a tree of a few entries goes through diff, pack's
//! header lines, the assembler, seal's groups and push's schedule, as in the programs; the store is
//! in memory, and files hold their own names.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::archive::Archive;
use crate::archive::version::{Version, choose};
use crate::core::assemble::{Assembler, Finish, PackedMember as Piece};
use crate::core::groups::Groups;
use crate::core::parity::Encoder;
use crate::core::schedule::order::SignedFirst;
use crate::core::schedule::retry::Patience;
use crate::core::schedule::{Limits, NextAction, Schedule, WriteOutcome};
use crate::core::unlisted::{left, members};
use crate::edge::gpg::stand_in;
use crate::format::band::{BandId, BandName};
use crate::format::entry::Entry;
use crate::format::group::{GroupMember, List};
use crate::format::head::Tail;
use crate::format::listing::{End, Header, Line, ListingReader};
use crate::format::object::{Object, ObjectName};
use crate::format::sealed::SealedNote;
use crate::format::stream::{END, Preface, StreamItem, write};
use crate::format::time::Stamp;
use crate::ops::diff::{self, compare};
use crate::ops::effort::{entry, member, memory, told};
use crate::ops::pack::{self, Start};
use crate::report::events::Events;
use crate::report::message::Report;
use crate::store::Store;
use crate::store::memory::Memory;

/// Objects of an archive, by their names.
pub(super) type ModelObjects = BTreeMap<String, Vec<u8>>;

/// What seal has noted of each band.
pub(super) type Notes = BTreeMap<BandName, Vec<SealedNote>>;

/// The entries of a version, with their times.
pub(super) type ModelEntries = BTreeMap<String, i64>;

/// A tree: names, with `/` behind those of directories, and times.
pub(super) type ModelTree = Vec<(&'static str, i64)>;

/// How many objects a group has.
const SLOTS: usize = 3;

/// A run that is ready to be stored.
#[derive(Clone)]
pub(super) struct Stream {
    /// The band that it writes.
    pub band: BandName,
    /// Its objects in the order of the stream; TAIL comes last.
    pub objects: Vec<(ObjectName, Vec<u8>)>,
    /// What it says before its first object.
    pub preface: Preface,
    /// Its status: 0 or 1.
    pub status: u8,
    /// What its scan saw.
    pub saw: ModelEntries,
    /// What seal has noted.
    pub notes: Notes,
}

/// What a run is asked for.
pub(super) struct RunWish<'a> {
    pub tree: &'a ModelTree,
    /// The scan was made with this mask, and sees no more of the source.
    pub mask: Option<u8>,
    pub options: &'a [&'a str],
    pub parity: usize,
    /// Lists and TAIL are signed.
    pub sign: bool,
    /// The number of the run: its clock, and the id of its band.
    pub run: u8,
}

/// Nobody hears it; it counts.
fn report() -> Arc<Report> {
    Arc::new(Report::new("test", -2, Events::default()))
}

pub(super) fn store(objects: &ModelObjects) -> Arc<dyn Store> {
    let store = Memory::default();
    for (name, bytes) in objects {
        store.put_new(name, bytes).unwrap();
    }
    Arc::new(store)
}

/// What a run would store; none if diff refuses.
pub(super) fn run(there: &ModelObjects, wish: &RunWish<'_>, notes: &Notes) -> Option<Stream> {
    run_over(store(there), there, wish, notes)
}

/// The same, where diff reads this store; what the run finds of the band that it goes on with is
/// there.
pub(super) fn run_over(
    store: Arc<dyn Store>,
    there: &ModelObjects,
    wish: &RunWish<'_>,
    notes: &Notes,
) -> Option<Stream> {
    let mut scan = "#mtree\n#dura listing 1\n#source host /tree\n".to_owned().into_bytes();
    if let Some(mask) = wish.mask {
        scan.extend(format!("#partial\n#mask {}\n", format!("{mask:02x}").repeat(32)).into_bytes());
    }
    let entries: BTreeMap<String, Entry> = wish
        .tree
        .iter()
        .map(|(name, time)| entry(name, *time))
        .map(|entry| (entry.path.to_string(), entry))
        .collect();
    let of_tree = wish.tree.iter().map(|(name, time)| entry(name, *time));
    of_tree.for_each(|entry| Entry { sha256: None, ..entry }.write(&mut scan));
    let end = End { entries: wish.tree.len() as u64, ..End::default() };
    scan.extend(format!("{end}\n").into_bytes());
    let asks = |option| wish.options.contains(&option);
    let (full, no_resume) = (asks("--full"), asks("--no-resume"));
    let options = diff::Options { full, no_resume, ..diff::Options::of(memory()) };
    let said = report();
    let mut refused = false;
    let archive = Archive::over(store, None);
    let listing = told(|out| {
        refused =
            compare(&options, ListingReader::new(&scan[..]), || Ok(archive), out, &said).is_err();
    });
    if refused {
        return None;
    }
    Some(packed(there, wish, notes, &entries, &listing, said.warnings() > 0))
}

fn packed(
    there: &ModelObjects,
    wish: &RunWish<'_>,
    notes: &Notes,
    entries: &BTreeMap<String, Entry>,
    listing: &str,
    warned: bool,
) -> Stream {
    let id = format!("{:02x}", wish.run).repeat(16);
    let options = pack::Options {
        directory: Some("/".into()),
        block_size: Some(1),
        id: (!listing.contains("\n#band ")).then(|| id.parse().unwrap()),
        no_cache: true,
        ..pack::Options::default()
    };
    let mut listing = ListingReader::new(listing.as_bytes());
    let (start, first) = Start::read(&mut listing, &options).unwrap();
    let clock = Stamp::from_unix(1_800_000_000 + i64::from(wish.run) * 3600).unwrap();
    let plan = start.decide(&options, None, clock, &report()).unwrap();
    let (plan, mut ended) = (plan.start, plan.ended);
    let (band, id) = (plan.config.band.clone(), plan.config.id);
    let mut preface = plan.preface;
    let mut assembler = Assembler::new(plan.config);
    if let Some(head) = &plan.head {
        assembler.handle_head(head, &[("RECOVER.txt", b"a note")]);
    }
    let mut line = Some(first);
    let end = loop {
        match line.take() {
            Some(Line::Entry(entry)) => {
                assembler.handle_member(piece(entry, entries)).unwrap();
            }
            Some(Line::Header(Header::Tree(it))) => ended.tree = Some(it),
            Some(Line::Header(Header::Behind(it))) => ended.behind = it,
            Some(Line::Header(_)) => {}
            Some(Line::End(end)) => break end,
            None => {}
        }
        line = listing.next_line().unwrap();
    };
    let (tree, behind) = (ended.tree, ended.behind);
    let finish = Finish { end, skipped: 0, unattributed: 0, tree, behind, finished: clock };
    assembler.finish(finish).unwrap();
    let mut sealer =
        ModelSealer::new(&band, id, wish, notes.get(&band).cloned().unwrap_or_default());
    if let Some(next) = preface.next {
        // What the store has, as diff finds it with a cache.
        let of_band: Vec<(ObjectName, u64)> = own(there, &band)
            .filter_map(|(name, bytes)| Some((ObjectName::parse(name)?, bytes.len() as u64)))
            .collect();
        preface.unlisted = left(&of_band, &sealer.notes);
        sealer.late(next, &of_band);
    }
    while let Some((name, bytes)) = assembler.poll_object() {
        sealer.object(name, bytes);
    }
    let ModelSealer { objects, notes: own, .. } = sealer.finish();
    let mut notes = notes.clone();
    notes.insert(band.clone(), own);
    let status = u8::from(warned || behind > 0);
    Stream { band, objects, preface, status, saw: seen(wish.tree), notes }
}

/// An entry on its way into the archive: data for files, a line for the rest.
fn piece(entry: Entry, tree: &BTreeMap<String, Entry>) -> Piece {
    match tree.get(&entry.path.to_string()).filter(|_| entry.meta().is_some()) {
        Some(own) => member(own),
        None => {
            let mut lines = Vec::new();
            entry.write(&mut lines);
            let span = Some((entry.path.clone(), entry.path));
            Piece { lines, entries: 1, span, border: true, ..Piece::default() }
        }
    }
}

/// Seal, without encryption.
struct ModelSealer {
    groups: Groups,
    encoder: Option<Encoder>,
    sign: bool,
    objects: Vec<(ObjectName, Vec<u8>)>,
    tail: Option<(ObjectName, Vec<u8>)>,
    notes: Vec<SealedNote>,
}

impl ModelSealer {
    fn new(band: &BandName, id: BandId, wish: &RunWish<'_>, notes: Vec<SealedNote>) -> ModelSealer {
        let parity = wish.parity;
        ModelSealer {
            groups: Groups::new(band.clone(), id, SLOTS, parity),
            encoder: (parity > 0).then(|| Encoder::new(SLOTS, parity).unwrap()),
            sign: wish.sign,
            objects: Vec::new(),
            tail: None,
            notes,
        }
    }

    fn late(&mut self, next: u32, there: &[(ObjectName, u64)]) {
        let left = members(&left(there, &self.notes), &self.notes);
        for list in self.groups.handle_left(next, left) {
            let notes = list.members.iter().cloned();
            let group = list.name;
            self.notes.extend(notes.map(|member| SealedNote { group, member }));
            self.signed(list.object(), list.text().into_bytes(), list.signature());
        }
    }

    fn signed(&mut self, name: ObjectName, bytes: Vec<u8>, signature: ObjectName) {
        let signed = self.sign.then(|| (signature, stand_in(&bytes)));
        self.objects.push((name, bytes));
        self.objects.extend(signed);
    }

    fn object(&mut self, name: ObjectName, bytes: Vec<u8>) {
        if name.object == Object::Tail {
            self.tail = Some((name, bytes));
            return;
        }
        let member = GroupMember::of(name, &bytes);
        let group = self.groups.group_of(&name).unwrap();
        self.notes.push(SealedNote { group, member: member.clone() });
        self.encoder.iter_mut().for_each(|encoder| encoder.handle_object(&bytes));
        self.objects.push((name, bytes));
        let list = self.groups.handle_object(member);
        self.close(list);
    }

    fn close(&mut self, list: Option<List>) {
        let Some(mut list) = list else { return };
        let shards = self.encoder.as_mut().map(Encoder::finish).unwrap_or_default();
        for (shard, bytes) in shards.into_iter().enumerate() {
            let name = list.shard(shard as u32);
            list.members.push(GroupMember::of(name, &bytes));
            self.objects.push((name, bytes));
        }
        self.signed(list.object(), list.text().into_bytes(), list.signature());
    }

    fn finish(mut self) -> ModelSealer {
        let list = self.groups.finish();
        self.close(list);
        if let Some((name, bytes)) = self.tail.take() {
            self.signed(name, bytes, ObjectName::plain(Object::TailSig));
        }
        self
    }
}

/// The sets of objects, by their places in the stream, that a store may have when push is cut:
/// after each write, with every subset of those under way having arrived. Push's own schedule says
/// what is under way.
pub(super) fn cuts(stream: &Stream, jobs: usize) -> BTreeSet<Vec<usize>> {
    let patience = Patience { retries: 0, first: Duration::ZERO, most: Duration::ZERO };
    let mut schedule = Schedule::new(Limits { jobs, rate: None, patience, seed: 1 });
    let is_end = |name: &ObjectName| matches!(name.object, Object::Tail | Object::TailSig);
    let before_tail = stream.objects.iter().take_while(|(name, _)| !is_end(name)).count();
    let is_signed = stream.objects.iter().any(|(name, _)| name.object == Object::TailSig);
    let mut order = SignedFirst::new(is_signed);
    let mut places = Vec::new();
    for (at, (name, _)) in stream.objects[..before_tail].iter().enumerate() {
        places.extend(order.handle_object(name, at));
    }
    for (name, bytes) in places.iter().map(|at| &stream.objects[*at]) {
        schedule.handle_object(*name, bytes.len() as u64);
    }
    let (mut cuts, mut done, mut open) = (BTreeSet::new(), Vec::new(), Vec::new());
    loop {
        while let NextAction::Start(ticket) = schedule.poll(Duration::ZERO) {
            open.push(ticket);
        }
        for subset in 0..1u32 << open.len() {
            let arrived = open.iter().enumerate().filter(|(at, _)| subset >> at & 1 == 1);
            let mut stored: Vec<usize> = done.clone();
            stored.extend(arrived.map(|(_, ticket)| places[*ticket as usize]));
            stored.sort_unstable();
            cuts.insert(stored);
        }
        if open.is_empty() {
            // TAIL and its signature come one by one.
            cuts.extend((before_tail + 1..stream.objects.len()).map(|end| (0..end).collect()));
            return cuts;
        }
        let first = open.remove(0);
        schedule.handle_done(first, WriteOutcome::Stored, Duration::ZERO);
        done.push(places[first as usize]);
    }
}

/// The stream as push reads it.
pub(super) fn bytes(stream: &Stream) -> Vec<u8> {
    let mut out = stream.preface.to_bytes();
    for (name, bytes) in &stream.objects {
        let item = StreamItem { band: stream.band.clone(), name: *name, bytes: bytes.clone() };
        write(&mut out, &item, 0).unwrap();
    }
    out.extend(END);
    out
}

/// What a store holds.
pub(super) fn held(store: &Arc<dyn Store>) -> ModelObjects {
    let mut found = ModelObjects::new();
    let mut folders = vec![String::new()];
    while let Some(folder) = folders.pop() {
        let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        for (name, _) in store.list(&folder).unwrap() {
            match name.strip_suffix('/') {
                Some(name) => folders.push(format!("{prefix}{name}")),
                None => {
                    let name = format!("{prefix}{name}");
                    let bytes = store.get(&name).unwrap();
                    found.insert(name, bytes);
                }
            }
        }
    }
    found
}

/// Stores these objects of a stream. False if one is there with other content: push stops.
pub(super) fn put(
    there: &mut ModelObjects,
    stream: &Stream,
    which: impl IntoIterator<Item = usize>,
) -> bool {
    for at in which {
        let (name, bytes) = &stream.objects[at];
        let name = format!("{}/{name}", stream.band);
        match there.get(&name) {
            Some(found) if found != bytes => return false,
            _ => _ = there.insert(name, bytes.clone()),
        }
    }
    true
}

/// The objects of one band, by their names in it.
pub(super) fn own<'a>(
    there: &'a ModelObjects,
    band: &BandName,
) -> impl Iterator<Item = (&'a str, &'a Vec<u8>)> + use<'a> {
    let prefix = format!("{band}/");
    there.iter().filter_map(move |(name, bytes)| Some((name.strip_prefix(&prefix)?, bytes)))
}

/// What a reader finds.
pub(super) struct ReadState {
    pub band: BandName,
    /// The band has its TAIL.
    pub complete: bool,
    /// The entries, with their times.
    pub entries: ModelEntries,
    /// It went without a word of warning.
    pub silent: bool,
}

/// The version of a band, or of the one that a reader takes.
pub(super) fn read(store: Arc<dyn Store>, band: Option<&BandName>) -> Option<ReadState> {
    let (archive, said) = (Arc::new(Archive::over(store, None)), report());
    let text = band.map(ToString::to_string);
    let read = || -> anyhow::Result<ReadState> {
        let band = choose(
            &archive,
            &std::ffi::OsString::from("memory").into(),
            text.as_deref(),
            None,
            &said,
        )?;
        let chain = archive.chain(&band)?;
        let complete = chain.last().is_some_and(|band| band.tail.is_some());
        let mut version = Version::open(&archive, &chain, &said)?;
        let mut entries = BTreeMap::new();
        while let Some(placed) = version.next_entry()? {
            let time = placed.entry.meta().map_or(-1, |meta| meta.time.sec);
            entries.insert(placed.entry.path.to_string(), time);
        }
        Ok(ReadState { band, complete, entries, silent: true })
    };
    let found = read().ok()?;
    Some(ReadState { silent: is_silent(&said), ..found })
}

/// The same: the entries, and whether it went without a warning.
pub(super) fn version(
    there: &ModelObjects,
    band: Option<&BandName>,
) -> Option<(ModelEntries, bool)> {
    read(store(there), band).map(|found| (found.entries, found.silent))
}

fn is_silent(said: &Report) -> bool {
    said.warnings() == 0 && !said.failed()
}

/// A tree as a version shows it.
pub(super) fn seen(tree: &ModelTree) -> ModelEntries {
    tree.iter().map(|(name, time)| (entry(name, *time).path.to_string(), *time)).collect()
}

/// TAIL of a band.
pub(super) fn tail(there: &ModelObjects, band: &BandName) -> Option<Tail> {
    Tail::parse(there.get(&format!("{band}/TAIL"))?).ok()
}

/// The indexes of an unfinished band that count.
pub(super) fn counted(there: &ModelObjects, band: &BandName) -> Vec<u32> {
    let archive = Archive::over(store(there), None);
    let Ok(Some(head)) = archive.head(band) else { return Vec::new() };
    let (indexes, _) = archive.indexes(&head).unwrap();
    indexes.of_unfinished().counted.into_iter().flatten().collect()
}
