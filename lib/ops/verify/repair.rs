//! Rebuilding what a group lacks, and writing it as an object stream.

use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::sync::Arc;

use anyhow::{Context, anyhow};

use crate::core::repair::RepairPlan;
use crate::core::verify::relist::{Claims, relist};
use crate::core::verify::{Finding, FindingKind, ObjectState, Subject, judge};
use crate::edge::gpg::{self, Signatory, SignatureVerdict};
use crate::format::band::{BandId, BandName};
use crate::format::digest;
use crate::format::group::{GroupMember, List, MAX_LIST, OPENING, PIECE};
use crate::format::head::{MAX_LEN, Tail};
use crate::format::object::{Object, ObjectName};
use crate::format::stream::{self, StreamItem};
use crate::ops::verify::check::describe;
use crate::ops::verify::copies::KeyCopies;
use crate::ops::verify::loose::GroupToList;
use crate::report::message::{Hinted, Report};
use crate::report::units;
use crate::store::Store;
use flip::{MAX_FLIPPED, flip};
use rebuild::{MemberPieces, assemble, rebuild};

mod again;
mod flip;
mod rebuild;

const CANNOT_WRITE: &str = "cannot write the object stream";

/// What repairs.
pub(super) struct Repairer<'a> {
    store: Arc<dyn Store>,
    out: &'a mut dyn Write,
    mtime: u64,
    /// The band whose objects are written.
    band: Option<BandName>,
    /// The bands of the archive: notes are the same in many.
    bands: Vec<BandName>,
    /// What was found missing or damaged and is not rebuilt, by how it is shown.
    left: BTreeMap<String, Subject>,
    /// The key that signs lists which are made again.
    signer: Option<Signatory>,
    /// Signatures that were found missing.
    unsigned: Vec<(BandName, ObjectName)>,
    /// Lists and TAILs that were rebuilt, by name: signatures that seemed bad may fit them.
    texts: HashMap<String, Vec<u8>>,
    /// How many objects were written, and their bytes.
    written: (u64, u64),
    /// Key objects that were rebuilt.
    keys: KeyCopies,
}

impl<'a> Repairer<'a> {
    /// A repairer that writes to `out`; `mtime` stands in the headers of objects.
    pub(super) fn new(
        store: &Arc<dyn Store>,
        out: &'a mut dyn Write,
        mtime: u64,
        bands: Vec<BandName>,
        signer: Option<Signatory>,
    ) -> Repairer<'a> {
        Repairer {
            store: Arc::clone(store),
            out,
            mtime,
            band: None,
            bands,
            left: BTreeMap::new(),
            signer,
            unsigned: Vec::new(),
            texts: HashMap::new(),
            written: (0, 0),
            keys: KeyCopies::default(),
        }
    }

    /// Takes note of what is to be repaired.
    pub(super) fn handle_finding(&mut self, finding: &Finding) -> anyhow::Result<()> {
        if finding.bad && matches!(finding.kind, FindingKind::Missing | FindingKind::Damaged) {
            self.left.insert(finding.subject.to_string(), finding.subject.clone());
        }
        match finding.subject.object() {
            Some((band, name))
                if matches!(finding.kind, FindingKind::Missing | FindingKind::Damaged)
                    && matches!(name.object, Object::ListSig(..) | Object::TailSig) =>
            {
                self.unsigned.push((band.clone(), name));
                Ok(())
            }
            Some((band, name))
                if finding.kind == FindingKind::Damaged && name.object == Object::Tail =>
            {
                let band = band.clone();
                self.tail(&band)
            }
            _ => Ok(()),
        }
    }

    /// Takes note that a list is not needed any more.
    pub(super) fn handle_dropped(&mut self, band: &BandName, list: ObjectName) {
        self.left.remove(&format!("{band}/{list}"));
    }

    /// Rebuilds what a group lacks.
    pub(super) fn handle_group(
        &mut self,
        list: &List,
        states: &[ObjectState],
    ) -> anyhow::Result<()> {
        if !states.iter().any(ObjectState::wants_repair) {
            return Ok(());
        }
        let is_good =
            |member: usize, row| states.get(member).is_some_and(|state| state.has_piece(row));
        let unsound: Vec<usize> = (0..list.members.len())
            .filter(|at| states.get(*at).is_none_or(ObjectState::wants_repair))
            .collect();
        let mut plan = RepairPlan::new(list, is_good);
        let mut pieces = MemberPieces::new();
        // What something else has takes nothing of what parity can give to others.
        for at in unsound.iter().copied().filter(|at| !plan.saves(*at)) {
            let bytes = self.elsewhere(&list.band, &list.members[at]).unwrap_or_default();
            pieces.extend(
                bytes.chunks(PIECE).enumerate().map(|(row, piece)| ((at, row), piece.to_vec())),
            );
        }
        if !pieces.is_empty() {
            plan = RepairPlan::new(list, |member, row| {
                pieces.contains_key(&(member, row)) || is_good(member, row)
            });
        }
        pieces.extend(rebuild(self.store.as_ref(), list, &plan, &pieces));
        for at in unsound {
            if let Some(bytes) = assemble(self.store.as_ref(), list, at, &mut pieces) {
                self.write(&list.band, list.id, list.members[at].name, bytes)?;
            }
        }
        Ok(())
    }

    /// Makes a list again, and rebuilds what its group lacks. Gives what else was found.
    pub(super) fn handle_loose(
        &mut self,
        loose: &GroupToList,
        report: &Report,
    ) -> anyhow::Result<Vec<Finding>> {
        let GroupToList { band, id, group, .. } = loose;
        let (n, c) = group.name;
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
            match describe(self.store.as_ref(), band, name) {
                Ok(member) => found.push(member),
                Err(error) if error.kind.is_unavailable() => {
                    report.note(format_args!("{band}/{name}: cannot be read now: no list is made"));
                    return Ok(Vec::new());
                }
                Err(_) => {}
            }
        }
        let members = Vec::new();
        let (band, id, name) = (band.clone(), *id, group.name);
        let frame = List { band: band.clone(), id, name, added: 0, slots, parity, members };
        let made = relist(frame.clone(), &found, &claims)
            .or_else(|| relist(frame.clone(), &self.with_shards(&frame, &found)?, &claims));
        let Some(made) = made else {
            return self.without_parity(loose, &found, report, "too little of its group is left");
        };
        let list = made.list;
        let states: Vec<ObjectState> = list
            .members
            .iter()
            .map(|member| match found.iter().find(|found| found.name == member.name) {
                None => ObjectState::Absent,
                Some(found) if found == member => ObjectState::Good,
                Some(found) => ObjectState::Bad(
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
        let vouched = made.vouched.iter().all(|sure| *sure);
        if !vouched && list.parity > 0 && states.iter().all(ObjectState::is_sound) {
            let objects = list.members[..list.objects()].to_vec();
            if self.shards_of(&list, &objects).as_deref() != Some(&list.members[objects.len()..]) {
                let what = "another object of its group is lost or damaged, because its parity does not match the objects";
                return self.without_parity(loose, &found, report, what);
            }
        }
        let mut told = judge(&list, &states);
        told.retain(|finding| group.is_told(finding));
        told.iter().try_for_each(|finding| self.handle_finding(finding))?;
        self.write_list(loose, &list, vouched || list.parity > 0, report)?;
        self.handle_group(&list, &states)?;
        Ok(told)
    }

    /// What can be done for a group that its parity does not fit: if its run was cut, its parity
    /// may be of objects that never came, and what is there gets a list without.
    fn without_parity(
        &mut self,
        loose: &GroupToList,
        found: &[GroupMember],
        report: &Report,
        why: &str,
    ) -> anyhow::Result<Vec<Finding>> {
        let GroupToList { band, id, group, .. } = loose;
        let own = ObjectName::plain(Object::List(group.name.0, group.name.1));
        let objects: Vec<GroupMember> =
            found.iter().filter(|member| member.name.is_grouped()).cloned().collect();
        let whole = objects.len() == group.objects.len();
        if let Some(name) = group.spare.filter(|_| whole && group.claims.is_empty()) {
            let (band, members) = (band.clone(), objects);
            let (id, slots) = (*id, group.shape.0);
            let list = List { band, id, name, added: 0, slots, parity: 0, members };
            self.left.remove(&format!("{}/{own}", list.band));
            self.write_list(loose, &list, false, report)?;
            return Ok(Vec::new());
        }
        let what = format!("cannot be recreated: {why}");
        Ok(match group.had_list {
            true => vec![Finding::of(FindingKind::Damaged, band, own, what)],
            false => Vec::new(),
        })
    }

    /// Writes a list that was made again, and its signature.
    fn write_list(
        &mut self,
        loose: &GroupToList,
        list: &List,
        vouched: bool,
        report: &Report,
    ) -> anyhow::Result<()> {
        let (band, id, own) = (&list.band, list.id, list.object());
        let text = list.text().into_bytes();
        let sure = if vouched { "" } else { ", from its objects as they are now" };
        let less = match list.parity < loose.parity {
            true => {
                format!(", with {} parity shards, where others have {}", list.parity, loose.parity)
            }
            false => String::new(),
        };
        let name = format!("{band}/{}", list.signature());
        let signature = self.store.get_range(&name, 0, list.signature().most());
        let fits = signature
            .is_ok_and(|sig| matches!(gpg::verify(&sig, &text), Ok(SignatureVerdict::Signed(_))));
        let unsigned = match (loose.signed && !fits, &self.signer) {
            (true, None) => ", but not signed: use --sign KEY if you trust it",
            _ => "",
        };
        report.note(format_args!("{band}/{own}: recreated{sure}{less}{unsigned}"));
        let sign = self.signer.clone().filter(|_| !fits);
        self.unsigned.retain(|own| *own != (band.clone(), list.signature()));
        let signature = sign.map(|key| key.sign(&text).with_context(|| own.to_string()));
        self.write(band, id, own, text)?;
        match signature {
            Some(signature) => self.write(band, id, list.signature(), signature?),
            None => Ok(()),
        }
    }

    /// What was found of a group, with the parity shards that its objects make in the place of
    /// those that are there, if these are the same. None if they are not, or there is none to tell.
    fn with_shards(&self, frame: &List, found: &[GroupMember]) -> Option<Vec<GroupMember>> {
        let (mut all, shards): (Vec<GroupMember>, Vec<GroupMember>) =
            found.iter().cloned().partition(|member| member.name.is_grouped());
        if shards.is_empty() || all.len() > frame.slots {
            return None;
        }
        let made = self.shards_of(frame, &all)?;
        all.extend(made);
        shards.iter().all(|shard| all.contains(shard)).then_some(all)
    }

    /// Ends the stream; fails if not all was rebuilt.
    pub(super) fn finish(mut self, report: &Report) -> anyhow::Result<()> {
        self.heads()?;
        self.sign_again(report)?;
        self.out.write_all(&stream::END).context(CANNOT_WRITE)?;
        self.out.flush().context(CANNOT_WRITE)?;
        let fits = |name: &String| {
            let text = name.strip_suffix(".sig").and_then(|of| self.texts.get(of));
            let signature =
                text.and_then(|_| self.store.get_range(name, 0, 64 << 10).ok()).unwrap_or_default();
            text.is_some_and(|text| {
                matches!(gpg::verify(&signature, text), Ok(SignatureVerdict::Signed(_)))
            })
        };
        let fitting: Vec<String> = self.left.keys().filter(|name| fits(name)).cloned().collect();
        fitting.iter().for_each(|name| _ = self.left.remove(name));
        let (objects, bytes) = self.written;
        report.note(format_args!(
            "{} rebuilt, {}",
            units::count(objects, "object"),
            units::human(bytes)
        ));
        report.events().emit(
            "rebuilt",
            &[
                ("objects", objects.into()),
                ("bytes", bytes.into()),
                ("left", self.left.len().into()),
            ],
        );
        for name in self.left.keys() {
            report.warn(format_args!("{name}: cannot be rebuilt"));
        }
        match self.left.len() {
            0 => Ok(()),
            left => Err(Hinted::wrap(
                anyhow!(
                    "{} cannot be rebuilt: more is damaged than parity can rebuild, or there is no parity",
                    units::count(left as u64, "object")
                ),
                "copy them from another copy of the archive, if there is one; dura(7) says what can be recovered without them",
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
        if name.is_key() {
            self.keys.handle_rebuilt(&bytes);
        }
        if matches!(name.object, Object::List(..) | Object::Tail) {
            self.texts.insert(path, bytes.clone());
        }
        self.written = (self.written.0 + 1, self.written.1 + bytes.len() as u64);
        stream::write(&mut self.out, &StreamItem { band: band.clone(), name, bytes }, self.mtime)
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

    /// What parity could not give, but something else can: a key object, from another one of its
    /// run; one of the notes, from this program or
    /// another band; HEAD, from TAIL; a small object with a flipped bit.
    fn elsewhere(&self, band: &BandName, member: &GroupMember) -> Option<Vec<u8>> {
        let is_it = |bytes: &[u8]| digest::of(bytes) == member.sha256;
        if let (true, Some(bytes)) =
            (member.name.is_key(), self.keys.find(self.store.as_ref(), band, member))
        {
            return Some(bytes);
        }
        if let Object::Note(note) = member.name.object {
            let own = crate::format::notes::NOTES
                .iter()
                .find(|(name, _)| *name == note)
                .map(|(_, text)| text.to_vec());
            let others = self.bands.iter().filter_map(|band| {
                self.store.get_range(&format!("{band}/{note}"), 0, 1 << 20).ok()
            });
            return own.into_iter().chain(others).find(|bytes| is_it(bytes));
        }
        if member.name.object == Object::Head {
            // TAIL repeats it.
            let tail = self.store.get_range(&format!("{band}/TAIL"), 0, MAX_FLIPPED).ok();
            let head = tail.and_then(|tail| Some(head_in(&tail, band)?.1));
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

    /// HEADs that are lost or damaged and that nothing has given back so far: TAIL repeats them.
    fn heads(&mut self) -> anyhow::Result<()> {
        let bands: Vec<BandName> = self
            .left
            .values()
            .filter_map(Subject::object)
            .filter(|(_, name)| name.object == Object::Head)
            .map(|(band, _)| band.clone())
            .collect();
        for band in bands {
            let name = format!("{band}/TAIL");
            let tail = match self.texts.get(&name) {
                Some(rebuilt) => Some(rebuilt.clone()),
                None => self.store.get_range(&name, 0, MAX_LEN as u64).ok(),
            };
            if let Some((id, head)) = tail.as_deref().and_then(|tail| head_in(tail, &band)) {
                self.write(&band, id, ObjectName::plain(Object::Head), head)?;
            }
        }
        Ok(())
    }
}

/// HEAD as a TAIL repeats it, and the band's id.
fn head_in(tail: &[u8], band: &BandName) -> Option<(BandId, Vec<u8>)> {
    let read = Tail::parse(tail).ok().filter(|tail| tail.band == *band)?;
    Some((read.id, Tail::head_text(tail)?.into_bytes()))
}
