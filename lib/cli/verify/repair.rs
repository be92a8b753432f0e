//! Rebuilding what a group lacks, and writing it as an object stream.

use std::collections::{BTreeSet, HashMap};
use std::io::Write;
use std::sync::Arc;

use anyhow::{Context, anyhow};
use rayon::prelude::*;

use super::super::message::Report;
use super::check::describe;
use super::loose::Loose;
use crate::core::parity::Encoder;
use crate::core::repair::{Plan, Row};
use crate::core::verify::relist::{Claims, relist};
use crate::core::verify::{Finding, Kind, State, judge};
use crate::edge::gpg::{self, Verdict};
use crate::edge::pipe::Out;
use crate::format::band::{BandId, BandName};
use crate::format::digest;
use crate::format::group::{List, MAX_LIST, Member, OPENING, PIECE};
use crate::format::head::Tail;
use crate::format::object::{Object, ObjectName};
use crate::format::stream::{self, Item};
use crate::store::Store;

const CANNOT_WRITE: &str = "cannot write the object stream";

/// A piece of a member, by member and row.
type Pieces = HashMap<(usize, usize), Vec<u8>>;

/// What repairs.
pub(super) struct Repairer {
    store: Arc<dyn Store>,
    out: Out,
    mtime: u64,
    /// The band whose objects are written.
    band: Option<BandName>,
    /// The bands of the archive: notes are the same in many.
    bands: Vec<BandName>,
    /// What was found missing or damaged and is not rebuilt.
    left: BTreeSet<String>,
    /// Lists and TAILs that were rebuilt, by name: signatures that seemed bad may fit them.
    texts: HashMap<String, Vec<u8>>,
    /// How many objects were written, and their bytes.
    written: (u64, u64),
}

impl Repairer {
    /// A repairer that writes to `out`; `mtime` stands in the headers of objects.
    pub(super) fn new(
        store: &Arc<dyn Store>,
        out: Out,
        mtime: u64,
        bands: Vec<BandName>,
    ) -> Repairer {
        Repairer {
            store: Arc::clone(store),
            out,
            mtime,
            band: None,
            bands,
            left: BTreeSet::new(),
            texts: HashMap::new(),
            written: (0, 0),
        }
    }

    /// Takes note of what is to be repaired.
    pub(super) fn handle_finding(&mut self, finding: &Finding) -> anyhow::Result<()> {
        if matches!(finding.kind, Kind::Missing | Kind::Damaged) {
            self.left.insert(finding.name.clone());
        }
        match finding.name.strip_suffix("/TAIL").map(str::parse) {
            Some(Ok(band)) if finding.kind == Kind::Damaged => self.tail(&band),
            _ => Ok(()),
        }
    }

    /// Rebuilds what a group lacks.
    pub(super) fn handle_group(&mut self, list: &List, states: &[State]) -> anyhow::Result<()> {
        if states.iter().all(State::is_sound) {
            return Ok(());
        }
        let is_good =
            |member: usize, row| states.get(member).is_some_and(|state| state.has_piece(row));
        let unsound: Vec<usize> = (0..list.members.len())
            .filter(|at| !states.get(*at).is_some_and(State::is_sound))
            .collect();
        let mut plan = Plan::new(list, is_good);
        let mut pieces = Pieces::new();
        // What something else has takes nothing of what parity can give to others.
        for at in unsound.iter().copied().filter(|at| !plan.saves(*at)) {
            let bytes = self.elsewhere(&list.band, &list.members[at]).unwrap_or_default();
            pieces.extend(
                bytes.chunks(PIECE).enumerate().map(|(row, piece)| ((at, row), piece.to_vec())),
            );
        }
        if !pieces.is_empty() {
            plan = Plan::new(list, |member, row| {
                pieces.contains_key(&(member, row)) || is_good(member, row)
            });
        }
        pieces.extend(self.rebuild(list, &plan, &pieces));
        for at in unsound {
            if let Some(bytes) = self.assemble(list, at, &mut pieces) {
                self.write(&list.band, list.id, list.members[at].name, bytes)?;
            }
        }
        Ok(())
    }

    /// Makes a list anew, and rebuilds what its group lacks. Gives what is to be told.
    pub(super) fn handle_loose(
        &mut self,
        loose: &Loose,
        report: &Report,
    ) -> anyhow::Result<Vec<Finding>> {
        let Loose { band, id, group, signed } = loose;
        let (n, c) = group.name;
        let own = ObjectName::plain(Object::List(n, c));
        let (slots, parity) = group.shape;
        let shards = (0..parity as u32).map(|shard| ObjectName::plain(Object::Parity(n, c, shard)));
        let mut found = Vec::new();
        let is_it = |list: &List| (&list.band, list.id, list.name) == (band, *id, group.name);
        let astray =
            group.objects.iter().find_map(|name| self.list_in(&format!("{band}/{name}"), is_it));
        let claims = astray.map_or_else(
            || group.claims.clone(),
            |text| Claims::read(&text, band, *id, group.name),
        );
        for name in group.objects.iter().copied().chain(shards) {
            // What is not there, or cannot be read, is for the old list to name.
            found.extend(describe(self.store.as_ref(), band, name));
        }
        let frame = List {
            band: band.clone(),
            id: *id,
            name: group.name,
            slots,
            parity,
            members: Vec::new(),
        };
        let hopeless = |what: &str| vec![Finding::new(Kind::Damaged, band, own, what)];
        let Some(made) = relist(frame, &found, &claims) else {
            return Ok(if group.had_list {
                hopeless("cannot be made anew: too little of its group is left")
            } else {
                Vec::new()
            });
        };
        let list = made.list;
        let states: Vec<State> = list
            .members
            .iter()
            .map(|member| match found.iter().find(|found| found.name == member.name) {
                None => State::Absent,
                Some(found) if found == member => State::Good,
                Some(found) => State::Bad(
                    found.size,
                    member
                        .pieces
                        .iter()
                        .enumerate()
                        .map(|(at, piece)| found.pieces.get(at) == Some(piece))
                        .collect(),
                ),
            })
            .collect();
        let told = judge(&list, &states);
        told.iter().try_for_each(|finding| self.handle_finding(finding))?;
        if !made.vouched.iter().all(|sure| *sure)
            && list.parity > 0
            && states.iter().all(State::is_sound)
            && !self.agrees(&list)
        {
            return Ok(hopeless(
                "cannot be made anew: something else of its group is lost or damaged, for its parity is not that of what is there",
            ));
        }
        let text = list.text().into_bytes();
        let sure = if made.vouched.iter().all(|sure| *sure) || list.parity > 0 {
            ""
        } else {
            ", by what its objects are now"
        };
        let signature = self.store.get(&format!("{band}/{}", list.signature()));
        if *signed
            && !signature
                .is_ok_and(|sig| matches!(gpg::verify(&sig, &text), Ok(Verdict::Signed(_))))
        {
            report.note(format_args!("{band}/{own}: made anew{sure}, and not signed: gpg --detach-sign it, if you trust it"));
        } else {
            report.note(format_args!("{band}/{own}: made anew{sure}"));
        }
        self.write(band, *id, own, text)?;
        self.handle_group(&list, &states)?;
        Ok(told)
    }

    /// Ends the stream; fails if not all was rebuilt.
    pub(super) fn finish(mut self, report: &Report) -> anyhow::Result<()> {
        self.out.write_all(&stream::END).context(CANNOT_WRITE)?;
        self.out.finish().context(CANNOT_WRITE)?;
        let fits = |name: &String| {
            let text = name.strip_suffix(".sig").and_then(|of| self.texts.get(of));
            let signature = text.and_then(|_| self.store.get(name).ok()).unwrap_or_default();
            text.is_some_and(|text| matches!(gpg::verify(&signature, text), Ok(Verdict::Signed(_))))
        };
        self.left.retain(|name| !fits(name));
        let (objects, bytes) = self.written;
        report.note(format_args!(
            "{objects} objects rebuilt, {}",
            super::super::common::human(bytes)
        ));
        report.events().emit(
            "rebuilt",
            &[
                ("objects", objects.into()),
                ("bytes", bytes.into()),
                ("left", self.left.len().into()),
            ],
        );
        for name in &self.left {
            report.warn(format_args!("{name}: cannot be rebuilt"));
        }
        match self.left.len() {
            0 => Ok(()),
            left => Err(super::Hinted::wrap(
                anyhow!(
                    "{left} objects cannot be rebuilt: more is damaged than parity makes up for, or there is none"
                ),
                "take them from another copy of the archive, if there is one; dura(7) says what can be had without them",
            )),
        }
    }

    fn write(
        &mut self,
        band: &BandName,
        id: BandId,
        name: ObjectName,
        bytes: Vec<u8>,
    ) -> anyhow::Result<()> {
        if self.band.as_ref() != Some(band) {
            self.out.write_all(&stream::continuation(band, &id)).context(CANNOT_WRITE)?;
            self.band = Some(band.clone());
        }
        let path = format!("{band}/{name}");
        self.left.remove(&path);
        if matches!(name.object, Object::List(..) | Object::Tail) {
            self.texts.insert(path, bytes.clone());
        }
        self.written = (self.written.0 + 1, self.written.1 + bytes.len() as u64);
        stream::write(&mut self.out, &Item { band: band.clone(), name, bytes }, self.mtime)
            .context(CANNOT_WRITE)
    }

    /// The text of the list that lies under the name of another object, if it is the one that is
    /// looked for.
    fn list_in(&self, name: &str, is_it: impl Fn(&List) -> bool) -> Option<Vec<u8>> {
        let begins =
            self.store.get_range(name, 0, OPENING.len() as u64).is_ok_and(|begin| begin == OPENING);
        let text = if begins {
            self.store.get_range(name, 0, MAX_LIST as u64).ok()?
        } else {
            return None;
        };
        List::parse(&text).is_ok_and(|list| is_it(&list)).then_some(text)
    }

    fn piece(&self, list: &List, member: usize, row: usize) -> Option<Vec<u8>> {
        let member = &list.members[member];
        let start = (row * PIECE) as u64;
        let len = (PIECE as u64).min(member.size.saturating_sub(start));
        let bytes =
            self.store.get_range(&format!("{}/{}", list.band, member.name), start, len).ok()?;
        (Some(&digest::of(&bytes)) == member.pieces.get(row)).then_some(bytes)
    }

    /// The pieces that are rebuilt: only those of objects that come out whole, and that have the
    /// digest that the list says.
    fn rebuild(&self, list: &List, plan: &Plan, pieces: &Pieces) -> Pieces {
        let rows = plan.rows().par_iter().flat_map_iter(|row| {
            let wanted: Vec<usize> =
                row.bad.iter().copied().filter(|member| plan.saves(*member)).collect();
            let sums = if wanted.is_empty() {
                None
            } else {
                self.rebuild_row(list, plan, pieces, row, &wanted)
            };
            let made = wanted.into_iter().zip(sums.unwrap_or_default());
            made.map(|(member, bytes)| ((member, row.row), bytes)).collect::<Vec<_>>()
        });
        let as_listed = |(at, bytes): &((usize, usize), Vec<u8>)| {
            list.members[at.0].pieces.get(at.1) == Some(&digest::of(bytes))
        };
        rows.filter(as_listed).collect()
    }

    fn rebuild_row(
        &self,
        list: &List,
        plan: &Plan,
        pieces: &Pieces,
        row: &Row,
        wanted: &[usize],
    ) -> Option<Vec<Vec<u8>>> {
        let mut rebuild = plan.rebuild(row, wanted)?;
        for &member in &row.from {
            match pieces.get(&(member, row.row)) {
                Some(piece) => rebuild.handle_piece(member, piece),
                None => rebuild.handle_piece(member, &self.piece(list, member, row.row)?),
            }
        }
        Some(rebuild.finish())
    }

    /// An object from pieces that are there and pieces that were rebuilt; none unless all of it is
    /// as the list says.
    fn assemble(&self, list: &List, member: usize, rebuilt: &mut Pieces) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        for row in 0..list.members[member].pieces.len() {
            let piece = rebuilt.remove(&(member, row)).or_else(|| self.piece(list, member, row))?;
            bytes.extend(piece);
        }
        let member = &list.members[member];
        (bytes.len() as u64 == member.size && digest::of(&bytes) == member.sha256).then_some(bytes)
    }

    /// What parity could not give, but something else can: one of the notes, from this program or
    /// another band; HEAD, from TAIL; a small object with a flipped bit.
    fn elsewhere(&self, band: &BandName, member: &Member) -> Option<Vec<u8>> {
        let is_it = |bytes: &[u8]| digest::of(bytes) == member.sha256;
        if let Object::Note(note) = member.name.object {
            let own = super::super::pack::NOTES
                .iter()
                .find(|(name, _)| *name == note)
                .map(|(_, text)| text.to_vec());
            let others =
                self.bands.iter().filter_map(|band| self.store.get(&format!("{band}/{note}")).ok());
            return own.into_iter().chain(others).find(|bytes| is_it(bytes));
        }
        if member.name.object == Object::Head {
            // TAIL repeats it.
            let tail = self.store.get_range(&format!("{band}/TAIL"), 0, MAX_FLIPPED).ok();
            let head = tail
                .and_then(|tail| Tail::parse(&tail).ok()?.head)
                .map(|head| head.to_string().into_bytes());
            if let Some(head) = head.filter(|head| is_it(head)) {
                return Some(head);
            }
        }
        let small = member.size <= MAX_FLIPPED;
        let bytes = if small {
            self.store.get_range(&format!("{band}/{}", member.name), 0, member.size).ok()?
        } else {
            return None;
        };
        flip(bytes, &is_it)
    }

    /// TAIL with a flipped bit, or with something behind it: its own last line tells when it is
    /// right.
    fn tail(&mut self, band: &BandName) -> anyhow::Result<()> {
        let Ok(bytes) = self.store.get_range(&format!("{band}/TAIL"), 0, MAX_FLIPPED) else {
            return Ok(());
        };
        let read = |bytes: &[u8]| {
            Tail::parse(bytes)
                .ok()
                .filter(|tail| tail.band == *band && tail.to_string().as_bytes() == bytes)
        };
        let lines =
            (1..bytes.len()).filter(|end| bytes[end - 1] == b'\n').map(|end| bytes[..end].to_vec());
        let found = lines.into_iter().find(|begin| read(begin).is_some());
        match found
            .or_else(|| flip(bytes.clone(), &|bytes| read(bytes).is_some()))
            .and_then(|bytes| read(&bytes))
        {
            Some(tail) => self.write(
                band,
                tail.id,
                ObjectName::plain(Object::Tail),
                tail.to_string().into_bytes(),
            ),
            None => Ok(()),
        }
    }

    /// Whether the parity of a group is that of its objects.
    fn agrees(&self, list: &List) -> bool {
        let Some(mut encoder) = Encoder::new(list.slots, list.parity) else { return false };
        let objects = list.objects();
        let rows = list.members.iter().map(|member| member.pieces.len()).max().unwrap_or(0);
        (0..rows).all(|row| {
            for member in 0..objects {
                let piece = match row < list.members[member].pieces.len() {
                    true => self.piece(list, member, row),
                    false => Some(Vec::new()),
                };
                let Some(piece) = piece else { return false };
                encoder.handle_object(&piece);
            }
            let sums = encoder.finish();
            (objects..list.members.len()).zip(sums).all(|(member, sum)| {
                list.members[member].pieces.get(row) == Some(&digest::of(&sum))
            })
        })
    }
}

/// An object of more bytes than this is not tried bit by bit.
const MAX_FLIPPED: u64 = 4 << 10;

/// The bytes with one bit flipped that are what is looked for.
fn flip(mut bytes: Vec<u8>, is_it: &dyn Fn(&[u8]) -> bool) -> Option<Vec<u8>> {
    for at in 0..bytes.len() {
        for bit in 0..8 {
            bytes[at] ^= 1 << bit;
            if is_it(&bytes) {
                return Some(bytes);
            }
            bytes[at] ^= 1 << bit;
        }
    }
    None
}
