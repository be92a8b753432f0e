//! Reading entries of the source into the tar of a member.

use std::io;
use std::sync::atomic::Ordering;

use crate::core::links::{LostLinks, Role};
use crate::core::outcome::{FileVersion, ReadFile, ReadFlaw, ReadOutcome, content_unchanged};
use crate::edge::attributes::Attributes;
use crate::edge::clock;
use crate::edge::source::{FileStat, SizeTrust, SourceFile};
use crate::format::digest;
use crate::format::entry::{Entry, EntryState, Kind, Meta};
use crate::format::tarball::{self, Content, Segment, padding};
use crate::format::time::Time;
use crate::ops::pack::attributes::Got;
use crate::ops::pack::raw::{MAX_WHOLE, Raw};
use crate::ops::pack::reading::FileReading;
use crate::report::message::why;

/// What is read at once of a file behind the size that it should have.
const MORE: usize = 64 << 10;

/// The outcome of a planned member.
pub(super) struct Gathered {
    pub raw: Raw,
    /// Entries from the first on that turned out too large to be held in memory.
    pub rest: Vec<Entry>,
    pub links: LostLinks,
}

/// Why an entry is not stored.
pub(super) enum Trouble {
    Vanished,
    Changed,
    Io(io::Error),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Trouble {
        if error.kind() == io::ErrorKind::NotFound { Trouble::Vanished } else { Trouble::Io(error) }
    }
}

impl FileReading {
    /// A member with room for most.
    pub(super) fn empty(&self) -> Raw {
        self.buffers.empty()
    }

    /// Reads the entries of a planned member, each file once, all into memory.
    pub(super) fn gather(&self, entries: Vec<Entry>, mut links: LostLinks) -> Gathered {
        let mut raw = self.empty();
        raw.member.border = true;
        let mut entries = entries.into_iter();
        while let Some(mut entry) = entries.next() {
            let data = self.settle_role(&mut entry, &mut links);
            if !data {
                self.push_plain(&mut raw, &entry);
                continue;
            }
            match self.open(&entry) {
                Ok((_, facts, _)) if facts.size > MAX_WHOLE => {
                    let rest = std::iter::once(entry).chain(entries).collect();
                    return Gathered { raw, rest, links };
                }
                Ok((file, facts, opened_at)) => {
                    let large =
                        self.push_whole(&mut raw, entry, &file, (facts, opened_at), &mut links);
                    if let Some(entry) = large {
                        let rest = std::iter::once(entry).chain(entries).collect();
                        return Gathered { raw, rest, links };
                    }
                }
                Err(trouble) => self.skip(&entry, trouble, &mut links),
            }
        }
        Gathered { raw, rest: Vec::new(), links }
    }

    /// Puts the entry into the role that lost first names leave it; true if it is a file whose
    /// content is to be stored.
    pub(super) fn settle_role(&self, entry: &mut Entry, links: &mut LostLinks) -> bool {
        match links.role(entry) {
            // It is a file of its own now.
            Role::IfSame(name) | Role::LinkTo(name)
                if !self.source.is_one_file(&entry.path, &name) =>
            {
                entry.hard = None;
            }
            Role::AsListed | Role::IfSame(_) => {}
            Role::File => {
                links.handle_stand_in(entry);
                entry.hard = None;
            }
            Role::LinkTo(first) => entry.hard = Some(first),
        }
        entry.kind == Kind::File && entry.hard.is_none() && entry.meta().is_some()
    }

    pub(super) fn open(&self, entry: &Entry) -> Result<(SourceFile, FileStat, Time), Trouble> {
        let opened_at = clock::now()?;
        let file = self.source.open(&entry.path).map_err(|error| match error.raw_os_error() {
            Some(code) if code == rustix::io::Errno::LOOP.raw_os_error() => Trouble::Changed,
            _ => Trouble::from(error),
        })?;
        let facts = file.facts()?;
        if facts.is_file { Ok((file, facts, opened_at)) } else { Err(Trouble::Changed) }
    }

    pub(super) fn skip(&self, entry: &Entry, trouble: Trouble, links: &mut LostLinks) {
        let path = &entry.path;
        match trouble {
            Trouble::Vanished => {
                self.report.warn(format_args!("{path}: vanished before it was read: not stored"))
            }
            Trouble::Changed => {
                self.report.warn(format_args!("{path}: no longer a file: not stored"))
            }
            Trouble::Io(error) => {
                self.report.warn(format_args!("{path}: {}: not stored", why(&error)))
            }
        }
        self.skipped.fetch_add(1, Ordering::Relaxed);
        links.handle_lost(entry);
    }

    /// Stores all that has no content: directories, links, devices, fifos, hard links, and lines
    /// without a tar entry.
    fn push_plain(&self, raw: &mut Raw, entry: &Entry) {
        let mut entry = entry.clone();
        let EntryState::Present(meta) = entry.state else {
            raw.line(&entry);
            return;
        };
        if entry.kind == Kind::Dir && meta.mode & 0o100 == 0 {
            raw.closed.push(entry.path.clone());
        }
        let Got { attributes, all } = self.of_plain(&entry);
        if entry.hard.is_none() {
            entry.x = !attributes.is_empty();
        }
        if !all {
            entry.ctime = None;
        }
        let content = match (&entry.hard, entry.kind, &entry.link, entry.device) {
            (Some(first), ..) => Content::Hard(first),
            (_, Kind::Link, Some(target), _) => Content::Link(target),
            (_, Kind::Char | Kind::Block, _, Some((major, minor))) => Content::Device(major, minor),
            _ => Content::Nothing,
        };
        let stored = self.write_header(&mut raw.tar, &entry, meta, content, &attributes);
        entry.x &= stored;
        raw.line(&entry);
    }

    /// Writes the headers; without the attributes if they do not fit, which is told and gives
    /// false.
    pub(super) fn write_header(
        &self,
        out: &mut Vec<u8>,
        entry: &Entry,
        meta: Meta,
        content: Content<'_>,
        attributes: &Attributes,
    ) -> bool {
        let (uname, gname) = (self.users.user(meta.uid), self.users.group(meta.gid));
        let header = tarball::TarHeader {
            path: &entry.path,
            kind: entry.kind,
            meta,
            uname: uname.as_deref().map(str::as_bytes),
            gname: gname.as_deref().map(str::as_bytes),
            content,
            xattrs: &attributes.xattrs,
            acl_access: attributes.acl_access.as_deref(),
            acl_default: attributes.acl_default.as_deref(),
        };
        match header.write_header(out) {
            Ok(_) => true,
            Err(too_long) => {
                self.unattributed.fetch_add(1, Ordering::Relaxed);
                self.report.warn(format_args!("{}: attributes not stored: {too_long}", entry.path));
                // Without them a header is a few kilobytes at most.
                let _ = tarball::TarHeader {
                    xattrs: &[],
                    acl_access: None,
                    acl_default: None,
                    ..header
                }
                .write_header(out);
                false
            }
        }
    }

    /// Stores a file that can be held in memory; gives the entry back if there turns out to be more
    /// of it.
    fn push_whole(
        &self,
        raw: &mut Raw,
        mut entry: Entry,
        file: &SourceFile,
        (before, opened_at): (FileStat, Time),
        links: &mut LostLinks,
    ) -> Option<Entry> {
        let sizes = self.source.sizes(file, &before);
        let Got { attributes, all } = self.of_file(&entry, file, &before);
        let start = raw.tar.len();
        let header = |raw: &mut Raw, entry: &Entry, content| {
            self.write_header(&mut raw.tar, entry, before.meta, content, &attributes)
        };
        let mut fits = header(raw, &entry, Content::Bytes(before.size));
        let data = raw.tar.len();
        let (read, segments, after) = match read_whole(file, &before, sizes, &mut raw.tar) {
            Ok(Some(all)) => all,
            Ok(None) => {
                raw.tar.truncate(start);
                return Some(entry);
            }
            Err(error) => {
                raw.tar.truncate(start);
                self.skip(&entry, error.into(), links);
                return None;
            }
        };
        let sha256 = digest::of(&raw.tar[data..]);
        let says_nothing = sizes == SizeTrust::Meaningless && after == before;
        let came = ReadOutcome::of(read, before.size, says_nothing);
        let was = read_file(&before, &after, opened_at, (read, came, all));
        if came == ReadOutcome::Whole
            && read == before.size
            && attributes.is_empty()
            && self.may_stay(&mut entry, &before, Some(sha256))
        {
            raw.tar.truncate(start);
            self.close(&mut entry, &was, links);
            raw.line(&entry);
            return None;
        }
        if read != before.size || segments.is_some() {
            // Held whole, so the header can say what really came; and holes are left out.
            let bytes = raw.tar.split_off(data);
            raw.tar.truncate(start);
            let whole = [Segment { offset: 0, len: read }];
            let segments = segments.filter(|_| read == before.size);
            let content = segments
                .as_deref()
                .map_or(Content::Bytes(read), |segments| Content::Sparse(segments, read));
            fits = header(raw, &entry, content);
            for Segment { offset, len } in segments.as_deref().unwrap_or(&whole) {
                raw.tar.extend_from_slice(&bytes[*offset as usize..(offset + len) as usize]);
            }
        }
        // Headers and maps are whole blocks, so only the content can leave one open.
        raw.tar.resize(raw.tar.len() + padding(raw.tar.len() as u64), 0);
        entry.x = fits && !attributes.is_empty();
        (entry.sha256, entry.body) = (Some(sha256), None);
        self.close(&mut entry, &was, links);
        let tar = Some(start..raw.tar.len());
        raw.file(&entry, tar, false);
        None
    }

    /// Whether the content is that of the older block that diff suspects it in; if not, the entry
    /// forgets the block.
    pub(super) fn may_stay(
        &self,
        entry: &mut Entry,
        facts: &FileStat,
        sha256: Option<digest::Digest>,
    ) -> bool {
        content_unchanged(entry, self.layered, (facts.nlink, facts.size), sha256)
    }

    /// Fills in what the file's line says once it is read, and tells what is not as it should be.
    pub(super) fn close(&self, entry: &mut Entry, file: &ReadFile, links: &mut LostLinks) {
        if let Some(flaw) = file.close(entry, links) {
            self.report.warn(format_args!("{}: {}", entry.path, in_words(flaw)));
        }
    }
}

/// A file that was opened at this time, and was `before` and `after` it was read as they say; what
/// the tar gives it, how it came, and whether all of its attributes did.
pub(super) fn read_file(
    before: &FileStat,
    after: &FileStat,
    opened_at: Time,
    (stored, came, all): (u64, ReadOutcome, bool),
) -> ReadFile {
    let seen = |stat: &FileStat| FileVersion {
        size: stat.size,
        time: stat.meta.time,
        ctime: stat.ctime,
        inode: stat.inode,
    };
    let FileStat { meta, nlink, .. } = *before;
    let is_same = before == after;
    let (before, after) = (seen(before), seen(after));
    ReadFile { opened_at, before, meta, nlink, after, is_same, stored, came, all }
}

fn in_words(flaw: ReadFlaw) -> String {
    match flaw {
        ReadFlaw::EndsEarly(len, size) => {
            format!("ends after {len} bytes instead of {size}: stored as it was read")
        }
        ReadFlaw::Shrank(len) => {
            format!("shrank while it was read: stored with its {len} bytes")
        }
        ReadFlaw::ShrankInside(len, stored) => format!(
            "shrank to {len} bytes while it was read: stored with zeros up to its {stored} bytes"
        ),
        ReadFlaw::Longer(stored) => format!(
            "longer than its size says, and too large for a temporary copy: truncated to {stored} bytes"
        ),
        ReadFlaw::Grew(stored) => {
            format!("grew while it was read: stored with the {stored} bytes that were read")
        }
        ReadFlaw::GrewBehind(size) => {
            format!("grew while it was read: truncated to its {size} bytes")
        }
        ReadFlaw::Changed => "changed while it was read".to_owned(),
    }
}

/// How many bytes came, where they lie if the file has holes, and what it was afterwards.
type WasRead = (u64, Option<Vec<Segment>>, FileStat);

/// Reads a file that can be held in memory to its end: how many bytes came, its segments, and what
/// it is after that. None if there is more of it than is held.
#[allow(clippy::type_complexity)]
fn read_whole(
    file: &SourceFile,
    before: &FileStat,
    sizes: SizeTrust,
    out: &mut Vec<u8>,
) -> io::Result<Option<WasRead>> {
    let mut read = file.read_at(0, before.size as usize, out)? as u64;
    let segments = file.segments(before)?;
    let mut after = file.facts()?;
    if read == before.size && (sizes != SizeTrust::True || after.size > before.size) {
        loop {
            let came = file.read_at(read, MORE, out)? as u64;
            read += came;
            if came == 0 {
                break;
            }
            if read > MAX_WHOLE {
                return Ok(None);
            }
        }
        after = file.facts()?;
    }
    Ok(Some((read, segments, after)))
}
