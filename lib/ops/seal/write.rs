//! What seal writes: the objects, and behind each group its parity, its list and the list's
//! signature.

use std::io::Write;
use std::sync::Arc;

use anyhow::Context;
use rayon::prelude::*;

use crate::core::groups::Groups;
use crate::core::unlisted::members;
use crate::edge::budget::Budget;
use crate::edge::gpg::Signatory;
use crate::format::band::{BandId, BandName};
use crate::format::group::{GroupMember, List};
use crate::format::object::{Object, ObjectName};
use crate::format::sealed::SealedNote;
use crate::format::stream::{self, Preface, StreamItem};
use crate::ops::seal::parity::Parity;
use crate::report::message::Report;
use crate::store::sealed::SealedNotes;

const CANNOT_WRITE: &str = "cannot write the object stream";

/// Where objects go.
pub(super) struct ObjectSink<'a> {
    pub(super) report: &'a Report,
    pub(super) band: BandName,
    pub(super) mtime: u64,
    /// The key that signs.
    pub(super) signer: Option<Signatory>,
    pub(super) stream: &'a mut dyn Write,
    /// How many objects were written.
    pub(super) objects: u64,
    /// Where what is sealed is noted.
    pub(super) notes: Option<SealedNotes>,
}

impl ObjectSink<'_> {
    fn write(&mut self, item: &StreamItem) -> anyhow::Result<()> {
        self.report.verbose(format_args!("{} {} bytes", item.name, item.bytes.len()));
        self.objects += 1;
        stream::write(&mut self.stream, item, self.mtime).context(CANNOT_WRITE)
    }

    /// Notes an object before it leaves. Where that fails, a run that continues this one lists
    /// less.
    fn note(&mut self, group: (u32, u32), member: &GroupMember) {
        let note = SealedNote { group, member: member.clone() };
        let Some(notes) = &mut self.notes else { return };
        if let Err(error) = notes.append(&note) {
            self.report.verbose(format_args!("cannot record what is sealed: {error}"));
            self.notes = None;
        }
    }

    fn put(&mut self, name: ObjectName, bytes: Vec<u8>) -> anyhow::Result<()> {
        let item = StreamItem { band: self.band.clone(), name, bytes };
        self.write(&item)
    }

    /// Writes an object, and its signature if there is a key for it.
    fn signed(
        &mut self,
        name: ObjectName,
        bytes: Vec<u8>,
        signature: ObjectName,
    ) -> anyhow::Result<()> {
        let signed = self.signer.as_ref().map(|key| key.sign(&bytes)).transpose();
        let signed = signed.with_context(|| format!("{}/{name}: cannot sign it", self.band))?;
        self.put(name, bytes)?;
        signed.map_or(Ok(()), |signed| self.put(signature, signed))
    }
}

/// Takes the objects in their order.
pub(super) struct SealWriter<'a> {
    out: ObjectSink<'a>,
    groups: Groups,
    parity: Option<Parity>,
    budget: Arc<Budget>,
    /// The key object of the run.
    key: Option<Vec<u8>>,
    /// What an earlier run has left without a list, for lists of this run's name.
    left: Option<(u32, Vec<GroupMember>)>,
}

impl<'a> SealWriter<'a> {
    /// A writer of groups of so many slots and parity shards, each with the key object if the run
    /// has one; what objects took of the budget is given back when they are through.
    pub(super) fn new(
        out: ObjectSink<'a>,
        id: BandId,
        (slots, parity): (usize, usize),
        key: Option<Vec<u8>>,
        budget: Arc<Budget>,
    ) -> anyhow::Result<SealWriter<'a>> {
        let groups = Groups::new(out.band.clone(), id, slots, parity);
        let groups = if key.is_some() { groups.keyed() } else { groups };
        let parity = if parity > 0 {
            Some(Parity::start(slots, parity, Arc::clone(&budget))?)
        } else {
            None
        };
        Ok(SealWriter { out, groups, parity, budget, key, left: None })
    }

    /// Begins the stream, with what that of pack says before its first object, and with lists of
    /// what an earlier run of this host has left without.
    pub(super) fn begin(&mut self, preface: &Preface) -> anyhow::Result<()> {
        self.out.stream.write_all(&preface.to_bytes()).context(CANNOT_WRITE)?;
        self.groups.begin(preface.next.unwrap_or(0));
        let Some(notes) = self.out.notes.as_ref().filter(|_| !preface.unlisted.is_empty()) else {
            return Ok(());
        };
        let left = members(&preface.unlisted, &notes.read());
        self.left = Some((preface.next.unwrap_or(0), left));
        match self.key {
            // The run's first group has what opens the run, under the name that all know.
            Some(_) => Ok(()),
            None => self.lists_of_left(),
        }
    }

    fn lists_of_left(&mut self) -> anyhow::Result<()> {
        let Some((run, left)) = self.left.take() else { return Ok(()) };
        for list in self.groups.handle_left(run, left) {
            for member in &list.members {
                self.out.note(list.name, member);
            }
            self.out.signed(list.object(), list.text().into_bytes(), list.signature())?;
        }
        Ok(())
    }

    pub(super) fn object(&mut self, item: StreamItem, member: GroupMember) -> anyhow::Result<()> {
        while let Some(name) = self.groups.key_before(&item.name) {
            let Some(bytes) = self.key.clone() else { break };
            let member = GroupMember::of(name, &bytes);
            self.budget.adjust(0, bytes.len() as u64);
            self.grouped(StreamItem { band: item.band.clone(), name, bytes }, member)?;
        }
        self.grouped(item, member)
    }

    fn grouped(&mut self, item: StreamItem, member: GroupMember) -> anyhow::Result<()> {
        if let Some(group) = self.groups.group_of(&item.name) {
            self.out.note(group, &member);
        }
        self.out.write(&item)?;
        match &self.parity {
            Some(parity) => parity.add(item.bytes)?,
            None => self.budget.adjust(item.bytes.len() as u64, 0),
        }
        self.groups.handle_object(member).map_or(Ok(()), |list| self.close(list))
    }

    /// Writes what stands behind a group.
    fn close(&mut self, mut list: List) -> anyhow::Result<()> {
        if let Some(parity) = &self.parity {
            let shards = parity.finish()?;
            let members = shards
                .par_iter()
                .enumerate()
                .map(|(j, bytes)| GroupMember::of(list.shard(j as u32), bytes));
            let members: Vec<GroupMember> = members.collect();
            for (member, bytes) in members.into_iter().zip(shards) {
                self.out.put(member.name, bytes)?;
                list.members.push(member);
            }
        }
        self.out.signed(list.object(), list.text().into_bytes(), list.signature())?;
        self.lists_of_left()
    }

    /// Closes the last group, and the stream with TAIL. Gives how many objects it has.
    pub(super) fn finish(mut self, tail: Option<StreamItem>) -> anyhow::Result<u64> {
        if let Some(list) = self.groups.finish() {
            self.close(list)?;
        }
        let tail = tail.context("the object stream has no TAIL")?;
        self.out.signed(tail.name, tail.bytes, ObjectName::plain(Object::TailSig))?;
        self.out.stream.write_all(&stream::END).context(CANNOT_WRITE)?;
        self.out.stream.flush().context(CANNOT_WRITE)?;
        Ok(self.out.objects)
    }
}
