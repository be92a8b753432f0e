//! Entries that are taken from an archive (`dura-pack --from`): the listing says which, and they are
//! read as restore reads them.
//!
//! Nothing is stored of a file whose content is not what its line says: it is told, and skipped like
//! a file that cannot be read.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::io::{BufRead, Read, Seek, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};

use anyhow::{Context, anyhow, bail};
use tempfile::SpooledTempFile;

use crate::archive::entries::sink::{ContentCame, EntrySink, write_headers};
use crate::archive::entries::wanted::{TakeLine, Wanted};
use crate::archive::entries::{self, HowToRead};
use crate::archive::named::ArchiveName;
use crate::archive::reading::ReadOptions;
use crate::archive::version::must_exist;
use crate::archive::{Archive, BandInChain};
use crate::core::merge::is_first_name;
use crate::core::planner::{MAX_ENTRIES, MEMBER};
use crate::core::references::may_refer;
use crate::core::start::ListingEnd;
use crate::core::taking::{LineFate, fate, line_of_taken};
use crate::edge::ordered::{Gone, Submit};
use crate::format::band::BandId;
use crate::format::entry::{Entry, Kind};
use crate::format::head::{Head, Parent};
use crate::format::listing::{Header, Line, ListingReader};
use crate::format::path::Path;
use crate::format::tarball::{BLOCK, Extras, padding};
use crate::format::time::Stamp;
use crate::ops::pack::compress::{Codecs, Packed};
use crate::ops::pack::raw::Raw;
use crate::ops::pack::settle::Settler;
use crate::ops::pack::{Made, OpenListing};
use crate::ops::room::{self, room};
use crate::report::message::{Hinted, Report};

/// A larger file is kept on disk until all of it came; an eighth of the memory if that is less.
const IN_MEMORY: u64 = 64 << 20;

/// The archive that entries are taken from.
#[derive(Debug, Clone)]
pub struct FromArchive {
    /// The archive.
    pub archive: ArchiveName,
    /// How it is read. The listing says which version.
    pub reading: ReadOptions,
    /// Where content is kept that several files have, and large files are until they are complete
    /// [default: TMPDIR].
    pub spool: Option<PathBuf>,
    /// How many blocks are fetched and decrypted at a time [default: one for each core].
    pub jobs: Option<usize>,
}

impl FromArchive {
    /// Finds the version that a listing is of.
    pub(super) fn open(
        &self,
        version: Option<&Parent>,
        report: &Arc<Report>,
    ) -> anyhow::Result<OldVersion> {
        let shown = &self.archive;
        let version = version.cloned().ok_or_else(|| {
            let hint = format!("list a version with: dura-index list {shown}");
            Hinted::wrap(anyhow!("the listing has no #version line, which --from needs"), hint)
        })?;
        must_exist(shown)?;
        let archive = Arc::new(self.reading.open(shown, report)?);
        let Parent { band, id, .. } = &version;
        let head = archive.ends(band)?.0.filter(|head| head.id == *id).ok_or_else(|| {
            let hint = format!("list a version of it with: dura-index list {shown}");
            Hinted::wrap(anyhow!("{shown}: does not have the band that was listed, {band}"), hint)
        })?;
        let chain = archive.chain(band)?;
        let how = HowToRead {
            spool: self.spool.clone(),
            owner_names: true,
            jobs: room::jobs(self.jobs, 0, entries::PER_JOB),
            salvages: false,
        };
        Ok(OldVersion { version, head, archive, chain, how })
    }
}

/// The version that entries are taken from.
pub(crate) struct OldVersion {
    version: Parent,
    head: Head,
    archive: Arc<Archive>,
    chain: Vec<BandInChain>,
    how: HowToRead,
}

impl OldVersion {
    /// When it was current.
    pub(super) fn as_of(&self) -> Stamp {
        self.head.as_of.unwrap_or(self.head.started)
    }

    /// The id of its source.
    pub(super) fn source_id(&self) -> Option<BandId> {
        self.head.source_id
    }

    /// The line by which a later run knows what the band was taken from.
    pub(super) fn header(&self) -> Header {
        let Parent { band, id, last } = self.version.clone();
        Header::Taken(band, id, last)
    }

    /// Takes what the listing says.
    pub(super) fn take(
        self,
        listing: OpenListing<impl BufRead + Send + 'static>,
        mut sink: BandSink<'_>,
    ) -> anyhow::Result<Made> {
        let (done, ended) = channel();
        let OpenListing { lines, first, ended: so_far, .. } = listing;
        let listed = TakenListing { lines, next: Some(first), ended: so_far, done };
        sink.spool = self.how.spool.clone();
        let report = Arc::clone(sink.report);
        let sink = entries::read(self.archive, self.chain, listed, sink, &self.how, &report)?;
        let (skipped, unattributed) = sink.finish()?;
        let ended = ended.recv().context("the listing has no #end line")?;
        Ok(Made { ended, skipped, unattributed })
    }
}

/// The listing, held against the version.
struct TakenListing<R> {
    lines: ListingReader<R>,
    next: Option<Line>,
    ended: ListingEnd,
    done: Sender<ListingEnd>,
}

impl<R: BufRead> TakenListing<R> {
    /// The next line about an entry; none at the end.
    fn peek(&mut self) -> anyhow::Result<Option<&mut Entry>> {
        loop {
            match self.next.take() {
                Some(Line::Header(header)) => self.ended.handle_header(&header),
                Some(line) => {
                    let next = self.next.insert(line);
                    return Ok(match next {
                        Line::Entry(entry) => Some(entry),
                        _ => None,
                    });
                }
                None => {}
            }
            let line = self.lines.next_line()?;
            self.next = Some(line.context("the listing has no #end line")?);
        }
    }

    /// Hands on the line that is next, which the version has as `known`; true if its entry is
    /// wanted.
    fn hand_on(&mut self, known: Option<&Entry>, lines: TakeLine<'_>) -> anyhow::Result<bool> {
        let Some(Line::Entry(mut line)) = self.next.take() else { return Ok(false) };
        let fate = fate(&mut line, known);
        match fate {
            LineFate::Dropped => {}
            LineFate::Whole => lines(line, false)?,
            LineFate::Taken | LineFate::Missing => lines(line, true)?,
        }
        Ok(fate == LineFate::Taken)
    }
}

impl<R: BufRead + Send + 'static> Wanted for TakenListing<R> {
    fn paths(&self) -> Option<Vec<Path>> {
        None
    }

    fn wants(&mut self, entry: &Entry, lines: TakeLine<'_>) -> anyhow::Result<bool> {
        while let Some(line) = self.peek()? {
            match line.path.cmp(&entry.path) {
                Ordering::Less => _ = self.hand_on(None, lines)?,
                Ordering::Equal => return self.hand_on(Some(entry), lines),
                Ordering::Greater => break,
            }
        }
        Ok(false)
    }

    // The listing can be read only once.
    fn wants_ahead(&self) -> Box<dyn FnMut(&Entry) -> bool> {
        Box::new(|_| true)
    }

    // What is wanted has its own line.
    fn wants_above(&self, _: &Path) -> bool {
        false
    }

    fn finish(&mut self, lines: TakeLine<'_>) -> anyhow::Result<()> {
        while self.peek()?.is_some() {
            self.hand_on(None, lines)?;
        }
        let Some(Line::End(end)) = self.next.take() else { bail!("the listing has no #end line") };
        // Nothing may follow the end.
        self.lines.next_line()?;
        self.ended.end = end;
        // Whoever waits for it may be gone.
        let _ = self.done.send(self.ended);
        Ok(())
    }
}

/// Where the tar of an entry lies that is being taken.
enum Taking {
    /// In the member, from there on.
    Small(usize),
    /// In a file, until all of it came.
    Large(SpooledTempFile),
    /// The content is stored already.
    Stored,
}

/// Puts entries into members, and hands these on.
pub(super) struct BandSink<'a> {
    settler: Settler<'a>,
    codecs: Arc<Codecs>,
    submit: Submit<std::io::Result<Packed>>,
    report: &'a Arc<Report>,
    spool: Option<PathBuf>,
    raw: Raw,
    /// A line whose entry is to come.
    awaited: Option<Entry>,
    /// The entry that is coming.
    taking: Option<(Entry, Taking)>,
    /// Bytes that came of its content.
    came: u64,
    /// First names that are not stored.
    lost: HashSet<Path>,
    skipped: u64,
    unattributed: u64,
}

fn gone(_: Gone) -> anyhow::Error {
    anyhow!("the object stream stopped unexpectedly")
}

impl<'a> BandSink<'a> {
    /// One that has nothing yet.
    pub(super) fn new(
        settler: Settler<'a>,
        codecs: Arc<Codecs>,
        submit: Submit<std::io::Result<Packed>>,
        report: &'a Arc<Report>,
    ) -> BandSink<'a> {
        let raw = codecs.buffers.empty();
        BandSink {
            settler,
            codecs,
            submit,
            report,
            spool: None,
            raw,
            awaited: None,
            taking: None,
            came: 0,
            lost: HashSet::new(),
            skipped: 0,
            unattributed: 0,
        }
    }

    /// All came. Gives how many entries are not stored, and how many lack attributes.
    fn finish(mut self) -> anyhow::Result<(u64, u64)> {
        self.miss();
        self.close()?;
        Ok((self.skipped, self.unattributed))
    }

    /// The entry of the last line did not come, and nobody has told why.
    fn miss(&mut self) {
        if let Some(line) = self.awaited.take() {
            self.report
                .warn(format_args!("{}: the version has no such entry: not stored", line.path));
            self.skip(&line);
        }
    }

    fn skip(&mut self, line: &Entry) {
        self.skipped += 1;
        if is_first_name(line) {
            self.lost.insert(line.path.clone());
        }
    }

    /// Hands on what is in the member.
    fn close(&mut self) -> anyhow::Result<()> {
        if self.raw.member.entries == 0 {
            return Ok(());
        }
        let mut raw = std::mem::replace(&mut self.raw, self.codecs.buffers.empty());
        raw.member.border = true;
        self.hand_on(raw).map(drop)
    }

    /// Hands on a member; false if it is a large file's line alone, and its content is not stored.
    fn hand_on(&mut self, raw: Raw) -> anyhow::Result<bool> {
        let Ok(settled) = self.settler.settle(raw) else { return Ok(false) };
        let codecs = Arc::clone(&self.codecs);
        self.submit.submit(move || codecs.compress(settled)).map_err(gone)?;
        Ok(true)
    }

    /// An entry is in the member.
    fn close_if_full(&mut self) -> anyhow::Result<()> {
        let is_full =
            self.raw.tar.len() as u64 >= MEMBER || self.raw.member.entries >= MAX_ENTRIES as u64;
        if is_full { self.close() } else { Ok(()) }
    }

    /// Begins a file that has members of its own.
    fn begin_large(&mut self, line: &Entry, headers: &[u8]) -> anyhow::Result<Taking> {
        self.close()?;
        if may_refer(line) && line.sha256.is_some() {
            let mut raw = self.codecs.buffers.empty();
            raw.member.border = true;
            raw.file(line, None, true);
            if self.hand_on(raw)? {
                return Ok(Taking::Stored);
            }
        }
        let in_memory = room().bytes(IN_MEMORY, 8) as usize;
        let mut file = match &self.spool {
            Some(dir) => tempfile::spooled_tempfile_in(in_memory, dir),
            None => tempfile::spooled_tempfile(in_memory),
        };
        file.write_all(headers).context(CANNOT_KEEP)?;
        Ok(Taking::Large(file))
    }

    /// Hands on a large file, all of which came.
    fn put_large(&mut self, line: &Entry, mut file: SpooledTempFile) -> anyhow::Result<()> {
        file.write_all(&[0; BLOCK][..padding(self.came)]).context(CANNOT_KEEP)?;
        let mut left = file.stream_position().context(CANNOT_KEEP)?;
        file.rewind().context(CANNOT_KEEP)?;
        while left > 0 {
            let mut raw = self.codecs.buffers.empty();
            let now = left.min(MEMBER);
            (&mut file).take(now).read_to_end(&mut raw.tar).context(CANNOT_KEEP)?;
            left -= now;
            if left == 0 {
                raw.member.border = true;
                raw.file(line, None, false);
            }
            self.hand_on(raw)?;
        }
        Ok(())
    }
}

const CANNOT_KEEP: &str = "cannot keep a large file until all of it has arrived (--spool DIR)";

impl EntrySink for BandSink<'_> {
    const DONE: &'static str = "stored";

    fn line(&mut self, line: Entry, awaits: bool) -> anyhow::Result<()> {
        self.miss();
        if awaits {
            self.awaited = Some(line);
            return Ok(());
        }
        if line.meta().is_some()
            && let Some(first) = &line.hard
        {
            if self.lost.contains(first) {
                let path = &line.path;
                self.report.warn(format_args!(
                    "{path}: lost: it is a hard link to {first}, which is lost"
                ));
                self.skip(&line);
                return Ok(());
            }
            write_headers(&mut self.raw.tar, &line, &Extras::default(), None)?;
        }
        self.raw.line(&line);
        self.close_if_full()
    }

    fn begin(
        &mut self,
        entry: &Entry,
        extras: &Extras,
        sparse: Option<(&[u8], u64)>,
    ) -> anyhow::Result<()> {
        let awaited = self.awaited.take().filter(|line| line.path == entry.path);
        let mut line =
            line_of_taken(awaited.context("an entry came that no line asks for")?, entry);
        let member = extras.member(&line, sparse.is_some())?;
        let has_some = !member.xattrs.is_empty()
            || member.acl_access.is_some()
            || member.acl_default.is_some();
        if !extras.all_of(&line) || line.x && !has_some {
            // The next run tries again.
            self.unattributed += 1;
            self.report.warn(format_args!(
                "{}: attributes not stored: the archive does not have all of them",
                line.path
            ));
            line.ctime = None;
        }
        line.x &= has_some;
        self.came = 0;
        let is_large = line.kind == Kind::File && line.size > Some(MEMBER) && line.hard.is_none();
        let taking = if is_large {
            let mut headers = Vec::new();
            write_headers(&mut headers, &line, extras, sparse)?;
            self.begin_large(&line, &headers)?
        } else {
            let start = self.raw.tar.len();
            write_headers(&mut self.raw.tar, &line, extras, sparse)?;
            Taking::Small(start)
        };
        self.taking = Some((line, taking));
        Ok(())
    }

    fn content(&mut self, piece: &[u8]) -> anyhow::Result<()> {
        self.came += piece.len() as u64;
        match &mut self.taking {
            Some((_, Taking::Small(_))) => self.raw.tar.extend_from_slice(piece),
            Some((_, Taking::Large(file))) => file.write_all(piece).context(CANNOT_KEEP)?,
            _ => {}
        }
        Ok(())
    }

    fn end(&mut self, _: &Entry, came: ContentCame) -> anyhow::Result<()> {
        let Some((line, taking)) = self.taking.take() else { return Ok(()) };
        match taking {
            Taking::Stored => Ok(()),
            Taking::Small(start) if came != ContentCame::Whole => {
                self.raw.tar.truncate(start);
                self.skip(&line);
                Ok(())
            }
            Taking::Large(_) if came != ContentCame::Whole => {
                self.skip(&line);
                Ok(())
            }
            Taking::Small(start) => {
                let raw = &mut self.raw;
                raw.tar.resize(raw.tar.len() + padding(self.came), 0);
                match line.kind {
                    Kind::File if line.hard.is_none() => {
                        let tar = Some(start..raw.tar.len());
                        raw.file(&line, tar, false);
                    }
                    _ => _ = raw.line(&line),
                }
                if line.kind == Kind::Dir && line.meta().is_some_and(|meta| meta.mode & 0o100 == 0)
                {
                    raw.closed.push(line.path);
                }
                self.close_if_full()
            }
            Taking::Large(file) => self.put_large(&line, file),
        }
    }

    fn lose(&mut self, _: &Entry) {
        if let Some(line) = self.awaited.take() {
            self.skip(&line);
        }
    }
}
