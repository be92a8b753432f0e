//! The band as it is written: objects to the next program, copies and notes to the cache.

use std::io::Write;

use anyhow::Context;

use crate::archive::unzip;
use crate::core::assemble::{Assembler, AssemblerConfig, Finish, PackedMember};
use crate::format::band::{BandId, BandName};
use crate::format::digest;
use crate::format::head::{Head, Tail};
use crate::format::journal::JournalEntry;
use crate::format::notes::NOTES;
use crate::format::object::Object;
use crate::format::stream::{self, Preface};
use crate::format::time::Stamp;
use crate::ops::pack::compress::Packed;
use crate::ops::pack::own::Borders;
use crate::ops::pack::{resume, settle};
use crate::report::message::{Report, why};
use crate::store::cache::Cache;
use crate::store::cut::CutNotes;
use crate::store::journal::Journal;

const CANNOT_WRITE: &str = "cannot write the object stream";

/// The object stream as it is written.
pub(super) struct BandWriter<'a> {
    out: &'a mut dyn Write,
    band: BandName,
    mtime: u64,
    assembler: Assembler,
    cache: Option<Cache>,
    /// What later runs know this one's bands by.
    journal: Option<Journal>,
    id: BandId,
    /// Which blocks have what later lines refer to.
    borders: Borders,
    /// What a later run goes on by, if this one is cut in a large file.
    cut: Option<CutNotes>,
    /// How far the run is in the source.
    read: ReadSum,
    report: &'a Report,
}

/// What has been read of the source.
#[derive(Debug, Default)]
struct ReadSum {
    /// Lines.
    entries: u64,
    /// Bytes of the files that have their line.
    files: u64,
    /// What has come of a large file that has not.
    open: u64,
}

impl ReadSum {
    fn handle_member(&mut self, member: &PackedMember, tar: u64) {
        self.entries += member.entries;
        self.files += member.source_bytes;
        self.open = if member.border { 0 } else { self.open + tar };
    }

    fn bytes(&self) -> u64 {
        self.files + self.open
    }
}

/// Where this host notes what it stores.
pub(super) struct BandNotes {
    pub(super) cache: Option<Cache>,
    pub(super) journal: Option<Journal>,
    pub(super) cut: Option<CutNotes>,
}

impl<'a> BandWriter<'a> {
    pub(super) fn new(
        config: &AssemblerConfig,
        started: Stamp,
        notes: BandNotes,
        out: &'a mut dyn Write,
        report: &'a Report,
    ) -> BandWriter<'a> {
        let BandNotes { cache, journal, cut } = notes;
        BandWriter {
            out,
            band: config.band.clone(),
            mtime: started.unix().max(0) as u64,
            assembler: Assembler::new(config.clone()),
            cache,
            journal,
            id: config.id,
            borders: Borders::default(),
            cut,
            read: ReadSum::default(),
            report,
        }
    }

    /// Writes what comes before the first object, and HEAD with its notes if the band is new.
    pub(super) fn begin(&mut self, preface: &Preface, head: Option<&Head>) -> anyhow::Result<()> {
        self.write(&preface.to_bytes())?;
        if let Some(head) = head {
            self.assembler.handle_head(head, &NOTES);
        }
        Ok(())
    }

    /// Ends the band, and the stream.
    pub(super) fn finish(&mut self, finish: Finish) -> anyhow::Result<Tail> {
        let tail = self.assembler.finish(finish)?;
        self.drain()?;
        self.write(&stream::END)?;
        self.out.flush().context(CANNOT_WRITE)?;
        Ok(tail)
    }

    pub(super) fn member(&mut self, packed: Packed) -> anyhow::Result<()> {
        let Packed { mut member, pending, start, tar } = packed;
        self.read.handle_member(&member, tar);
        let number = self.assembler.open_for(&member)?;
        if member.border {
            self.borders.push(start, number);
        }
        for (at, line) in pending {
            let block = self.borders.block(line).context("a file refers to none")?;
            settle::fill_in(&mut member.lines, at, block);
        }
        self.assembler.handle_member(member)?;
        self.drain()
    }

    fn drain(&mut self) -> anyhow::Result<()> {
        while let Some(note) = self.assembler.poll_note() {
            resume::note(&mut self.cut, &note, self.report);
        }
        while let Some((name, bytes)) = self.assembler.poll_object() {
            self.report.verbose(format_args!("{name} {} bytes", bytes.len()));
            self.report.events().emit(
                "object",
                &[
                    ("name", name.to_string().into()),
                    ("bytes", bytes.len().into()),
                    ("entries", self.read.entries.into()),
                    ("read", self.read.bytes().into()),
                ],
            );
            if let (Some(cache), Object::Head | Object::Index(_) | Object::Toc(_) | Object::Sums(_)) =
                (&self.cache, name.object)
                && let Err(error) = cache.put(&self.band, self.id, name.object, &bytes)
            {
                self.report.note(format_args!("cannot keep a copy in the cache: {}", why(&error)));
                self.cache = None;
            }
            self.note(name.object, &bytes)?;
            let item = stream::StreamItem { band: self.band.clone(), name, bytes };
            stream::write(&mut self.out, &item, self.mtime).context(CANNOT_WRITE)?;
        }
        Ok(())
    }

    /// Notes HEAD or an index in the journal, before it leaves: what is stored must be known.
    fn note(&mut self, object: Object, bytes: &[u8]) -> anyhow::Result<()> {
        let Some(journal) = &self.journal else { return Ok(()) };
        let entries = match object {
            Object::Head => {
                vec![JournalEntry::Band(self.band.clone()), JournalEntry::Head(digest::of(bytes))]
            }
            Object::Index(number) => {
                let text = unzip(bytes, Object::Index(0))?;
                vec![JournalEntry::Index(number, digest::of(&text), digest::of(bytes))]
            }
            _ => return Ok(()),
        };
        if let Err(error) = journal.append(self.id, &entries) {
            self.report.note(format_args!(
                "cannot write the journal: {}: later runs may not build on this band",
                why(&error)
            ));
            self.journal = None;
        }
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        self.out.write_all(bytes).context(CANNOT_WRITE)
    }
}
