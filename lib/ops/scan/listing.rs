//! The listing as it is written.

use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path as FsPath;

use anyhow::Context;

use crate::core::held_back::HeldBack;
use crate::core::links::FirstNames;
use crate::edge::look::{Looked, look_again};
use crate::edge::source::SourceRoot;
use crate::format::digest::Digest;
use crate::format::entry::{Entry, EntryState, Kind};
use crate::format::listing::{End, Header, VERSION};
use crate::format::path::Path;
use crate::ops::scan::ScanSum;
use crate::ops::scan::seen::{ScanVerdict, UnlistedReason, WalkedEntry, WalkedKind};
use crate::report::message::{Report, why};

/// Takes what was seen, in canonical order, and writes the lines.
pub(super) struct Listing<'a> {
    out: &'a mut dyn Write,
    buffer: Vec<u8>,
    report: &'a Report,
    end: End,
    /// Of all files, but further names of one.
    bytes: u64,
    /// Which directories are listed only if something below them is.
    held: HeldBack,
    /// First name listed of each inode with several links.
    links: FirstNames,
    /// Where a first name is looked up again.
    source: SourceRoot,
}

/// What the first lines say.
pub(super) struct Heading<'a> {
    /// The host that is backed up.
    pub host: Vec<u8>,
    /// The directory that is backed up.
    pub root: &'a FsPath,
    /// Whether what is not listed may be there all the same.
    pub partial: bool,
    /// What the mask is, if there is one.
    pub mask: Option<Digest>,
}

impl<'a> Listing<'a> {
    pub(super) fn new(
        out: &'a mut dyn Write,
        source: SourceRoot,
        report: &'a Report,
    ) -> Listing<'a> {
        let (held, links) = (HeldBack::default(), FirstNames::default());
        let (buffer, end) = (Vec::new(), End::default());
        Listing { out, buffer, report, end, bytes: 0, held, links, source }
    }

    pub(super) fn begin(&mut self, heading: Heading<'_>) -> anyhow::Result<()> {
        let source = Header::Source(heading.host, heading.root.as_os_str().as_bytes().to_vec());
        let headers = [Header::Mtree, Header::Version(VERSION), source].into_iter();
        let partial = heading.partial.then_some(Header::Partial);
        for header in headers.chain(partial).chain(heading.mask.map(Header::Mask)) {
            writeln!(self.buffer, "{header}")?;
        }
        Ok(())
    }

    pub(super) fn handle(
        &mut self,
        WalkedEntry { verdict, what }: WalkedEntry,
    ) -> anyhow::Result<()> {
        let (WalkedKind::Entry(Looked { entry: Entry { path, .. }, .. }, _)
        | WalkedKind::Socket(path)
        | WalkedKind::Excluded(path, _)
        | WalkedKind::Failed(path, ..)) = &what;
        if !self.held.handle_next(path) {
            return Ok(());
        }
        match what {
            WalkedKind::Entry(looked, unread) => self.handle_entry(looked, verdict, unread),
            WalkedKind::Excluded(path, kind) => {
                if self.held.handle_left_out(&path) {
                    self.end.excluded += 1;
                    self.list(Entry::new(path, kind, EntryState::Excluded))?;
                }
                Ok(())
            }
            WalkedKind::Socket(path) => {
                self.flush_above(&path)?;
                writeln!(self.buffer, "{}", Header::Socket(path))?;
                Ok(())
            }
            WalkedKind::Failed(path, kind, error) => self.handle_failed(path, kind, verdict, error),
        }
    }

    fn handle_entry(
        &mut self,
        Looked { mut entry, unlisted }: Looked,
        verdict: ScanVerdict,
        unread: UnlistedReason,
    ) -> anyhow::Result<()> {
        if let Some(error) = unlisted {
            let (path, text) = (&entry.path, why(&error));
            self.report.warn(format_args!("{path}: cannot list its extended attributes: {text}"));
        }
        if verdict == ScanVerdict::IfBelow && entry.kind != Kind::Dir {
            return Ok(());
        }
        entry.unread = unread != UnlistedReason::No;
        match &unread {
            UnlistedReason::No => {}
            UnlistedReason::ByWish => self.end.excluded += 1,
            UnlistedReason::Failed(text) => {
                self.report.warn(format_args!("{}: {text}", entry.path));
                self.end.unreadable += 1;
            }
        }
        if verdict == ScanVerdict::IfBelow && !matches!(unread, UnlistedReason::Failed(_)) {
            self.held.handle_waiting(entry);
            return Ok(());
        }
        self.end.entries += 1;
        // Gives an entry with several links its `hard:`.
        entry.hard = self.links.handle_entry(&entry, |first| look_again(&self.source, first));
        self.bytes += entry.size.filter(|_| entry.hard.is_none()).unwrap_or(0);
        self.list(entry)
    }

    fn handle_failed(
        &mut self,
        path: Path,
        kind: Kind,
        verdict: ScanVerdict,
        error: io::Error,
    ) -> anyhow::Result<()> {
        let vanished = error.kind() == io::ErrorKind::NotFound;
        if kind == Kind::Dir {
            self.held.handle_barred(path.clone());
        }
        if vanished && verdict == ScanVerdict::IfBelow {
            return Ok(());
        }
        let text = if vanished { "vanished during the scan".to_owned() } else { why(&error) };
        self.report.warn(format_args!("{path}: {text}"));
        if path.is_root() {
            return Err(error.into());
        }
        self.end.unreadable += 1;
        self.list(Entry::new(path, kind, EntryState::Unreadable))
    }

    fn flush_above(&mut self, next: &Path) -> anyhow::Result<()> {
        for dir in self.held.handle_listed(next) {
            self.end.entries += 1;
            self.write(&dir)?;
        }
        Ok(())
    }

    fn list(&mut self, entry: Entry) -> anyhow::Result<()> {
        self.flush_above(&entry.path)?;
        self.report.verbose(&entry.path);
        self.write(&entry)
    }

    fn write(&mut self, entry: &Entry) -> anyhow::Result<()> {
        entry.write(&mut self.buffer);
        if self.buffer.len() >= 64 << 10 {
            self.out.write_all(&self.buffer).context("cannot write the listing")?;
            self.buffer.clear();
        }
        Ok(())
    }

    /// Writes the last line, and all of it out.
    pub(super) fn end(mut self) -> anyhow::Result<ScanSum> {
        if let Some(root) = self.held.finish(self.end.entries) {
            self.end.entries = 1;
            self.write(&root)?;
        }
        writeln!(self.buffer, "{}", self.end)?;
        self.out.write_all(&self.buffer).context("cannot write the listing")?;
        self.out.flush().context("cannot write the listing")?;
        self.report.events().emit(
            "listed",
            &[
                ("entries", self.end.entries.into()),
                ("excluded", self.end.excluded.into()),
                ("unreadable", self.end.unreadable.into()),
                ("bytes", self.bytes.into()),
            ],
        );
        Ok(ScanSum { end: self.end, bytes: self.bytes })
    }
}
