//! A listing as a whole: header lines, canonical order, and the `#end` line that proves that
//! nothing was cut off.

use std::fmt;
use std::io::{self, BufRead};

use super::band::{BandId, BandName};
use super::counted::CountedBlocks;
use super::cut::BegunBlock;
use super::digest;
use super::entry::{Entry, EntryError, EntryState, Kind, Within, number};
use super::object::{Compression, ObjectName};
use super::path::{self, Path};
use super::time::Stamp;

/// The listing version that this build writes, and the highest that it reads.
pub const VERSION: u32 = 1;

/// Longest line that a reader takes, in bytes: path, link target and tags of the longest names, all
/// escaped, are far below it.
pub const MAX_LINE: usize = 1 << 20;

/// The counts of the `#end` line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct End {
    /// Lines without the `excluded` and `unreadable` tags.
    pub entries: u64,
    /// What was left out by wish.
    pub excluded: u64,
    /// What could not be looked at.
    pub unreadable: u64,
}

/// What an unfinished band already holds, for its continuation: `#have`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Have {
    /// Lines of its indexes.
    pub entries: u64,
    /// Those of them that are files.
    pub files: u64,
    /// Bytes of these files in the source.
    pub bytes: u64,
}

/// A line that begins with `#`, other than `#end`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Header {
    /// `#mtree`
    Mtree,
    /// `#dura listing 1`
    Version(u32),
    /// `#source HOST DIR`, both raw.
    Source(Vec<u8>, Vec<u8>),
    /// `#partial`: a mask was used, absence means nothing.
    Partial,
    /// `#mask HEX`: the sha256 of the mask's patterns.
    Mask([u8; 32]),
    /// `#source-id HEX`: what HEAD says of the source's bands.
    SourceId(BandId),
    /// `#tree entries= files= bytes=`: what the new version holds.
    Tree(Have),
    /// `#behind N`: entries that changed behind the point from which the band is continued.
    Behind(u64),
    /// `#runs N …`: the first numbers of the runs before this one.
    Runs(Vec<u32>),
    /// `#deletes-meant`: the band may delete more than `--max-deleted` allows.
    DeletesMeant,
    /// `#distrusted TIER/NUMBER`: a block of the chain that verify found lost or damaged.
    DistrustedBlock(Within),
    /// `#distrusted PATH`: a file of the chain whose content it found damaged.
    DistrustedFile(Path),
    /// `#version BAND ID LAST`: the version that is listed, or that a band was taken from.
    Taken(BandName, BandId, u32),
    /// `#socket PATH`
    Socket(Path),
    /// `#stdin PATH SOCKET`: the file at PATH comes from this socket, raw, and its size is not known
    /// before its end.
    Stdin(Path, Vec<u8>),
    /// `#index ID NUMBER after NUMBER`
    Index(BandId, u32, Option<u32>),
    /// `#parent BAND ID LAST`
    Parent(BandName, BandId, u32),
    /// `#band-after STAMP`
    BandAfter(Stamp),
    /// `#band NAME ID`: continue this band.
    Band(BandName, BandId),
    /// `#next NUMBER`: the first free number in it.
    Next(u32),
    /// `#after NUMBER`: its last index that counts.
    After(u32),
    /// `#have entries= files= bytes=`
    Have(Have),
    /// `#counted FIRST-LAST:PARTS …`: what counts of the band that is continued, or of the parent.
    /// A long one stands in several lines.
    Counted(CountedBlocks),
    /// `#unlisted NAME SIZE`: an object of the band that is continued which an earlier run of this
    /// host has sealed and left without a list.
    Unlisted(ObjectName, u64),
    /// `#parts NUMBER [rdiff] [sums] PART …`: what is there of a block of the band that is continued
    /// which a run has begun and not ended. A long one stands in several lines.
    Parts(BegunBlock),
    /// `#compression WORD`: how the band that is continued is compressed.
    Compression(Compression),
    /// `#head TEXT`: the HEAD of the band that is continued, raw, for its TAIL to repeat.
    Head(Vec<u8>),
    /// `#above NUMBER LINE`: a directory above the first path of an index, as the index NUMBER of
    /// the band lists it.
    Above(u32, Box<Entry>),
    /// Any other.
    Comment,
}

/// A line of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
// Most lines are entries, so a box for them would only cost.
#[allow(clippy::large_enum_variant)]
pub enum Line {
    /// A line about a path.
    Entry(Entry),
    /// A header line or comment.
    Header(Header),
    /// The last line.
    End(End),
}

/// Why a listing is refused.
#[derive(Debug, thiserror::Error)]
pub enum ListingError {
    /// The input could not be read.
    #[error("cannot read the listing")]
    Io(#[from] io::Error),
    /// Input ended before the first entry.
    #[error("the input is empty: the previous program failed")]
    Nothing,
    /// Input ended before `#end`.
    #[error("the listing ends after line {0} without an #end line")]
    Cut(u64),
    /// It does not begin with `#mtree`.
    #[error("not a listing: the first line is not #mtree")]
    NotListing,
    /// Written by a later Dura.
    #[error("listing version {0} is newer than this program, which knows version {VERSION}")]
    Newer(u32),
    /// An entry cannot be read.
    #[error("line {0}")]
    Entry(u64, #[source] EntryError),
    /// A header line cannot be read.
    #[error("line {0}: bad {1} line")]
    Header(u64, &'static str),
    /// A path stands before or at the path above it.
    #[error("line {0}: {1} is out of order")]
    Order(u64, Path),
    /// The directory above a path is not listed.
    #[error("line {0}: {1} is not below a listed directory")]
    Orphan(u64, Path),
    /// Lines were lost or added.
    #[error(
        "the #end line counts {} entries, but the listing has {seen}: lines were lost or added on the way",
        said.entries
    )]
    Count {
        /// What `#end` says.
        said: End,
        /// What was there.
        seen: u64,
    },
    /// Text follows the `#end` line.
    #[error("line {0}: text after the #end line")]
    AfterEnd(u64),
    /// A line is longer than any that Dura writes.
    #[error("line {0} is longer than {MAX_LINE} bytes")]
    LongLine(u64),
}

/// Reads header lines; `Ok(Comment)` for what no program of this version writes.
///
/// # Errors
/// What is wrong with the line.
pub fn parse_header(line: &[u8]) -> Result<Header, &'static str> {
    let mut words = line.split(|&b| b == b' ');
    let keyword = words.next().unwrap_or_default();
    let words: Vec<&[u8]> = words.collect();
    let text = |word: &[u8]| String::from_utf8_lossy(word).into_owned();
    match (keyword, words.as_slice()) {
        (b"#mtree", []) => Ok(Header::Mtree),
        (b"#dura", [b"listing", version]) => {
            number(version).map(Header::Version).ok_or("#dura listing")
        }
        (b"#source", words) => match words {
            [host, dir] => path::decode(host)
                .and_then(|host| Ok(Header::Source(host, path::decode(dir)?)))
                .map_err(|_| "#source"),
            _ => Err("#source"),
        },
        (b"#partial", _) => Ok(Header::Partial),
        (b"#mask", [hex]) => digest::parse(hex).map(Header::Mask).ok_or("#mask"),
        (b"#source-id", [id]) => text(id).parse().map(Header::SourceId).map_err(|_| "#source-id"),
        (b"#tree", words) => have(words).map(Header::Tree).ok_or("#tree"),
        (b"#behind", [count]) => number(count).map(Header::Behind).ok_or("#behind"),
        (b"#runs", words) => {
            let numbers: Option<Vec<u32>> = words.iter().map(|word| number(word)).collect();
            numbers.map(Header::Runs).ok_or("#runs")
        }
        (b"#deletes-meant", []) => Ok(Header::DeletesMeant),
        (b"#distrusted", [block]) if block.first() != Some(&b'.') => {
            Within::parse(block).map(Header::DistrustedBlock).ok_or("#distrusted")
        }
        (b"#distrusted", [path]) => {
            Path::parse(path).map(Header::DistrustedFile).map_err(|_| "#distrusted")
        }
        (b"#socket", [path]) => Path::parse(path).map(Header::Socket).map_err(|_| "#socket"),
        (b"#stdin", [path, socket]) => Path::parse(path)
            .and_then(|path| Ok(Header::Stdin(path, path::decode(socket)?)))
            .map_err(|_| "#stdin"),
        (b"#index", words) => parse_index(words).ok_or("#index"),
        (b"#parent", [band, id, last]) => {
            let parent = text(band).parse().ok().zip(text(id).parse().ok()).zip(number(last));
            parent.map(|((band, id), last)| Header::Parent(band, id, last)).ok_or("#parent")
        }
        (b"#version", [band, id, last]) => {
            let version = text(band).parse().ok().zip(text(id).parse().ok()).zip(number(last));
            version.map(|((band, id), last)| Header::Taken(band, id, last)).ok_or("#version")
        }
        (b"#version", _) => Err("#version"),
        (b"#parent", _) => Err("#parent"),
        (b"#band-after", [stamp]) => {
            Stamp::parse(&text(stamp)).map(Header::BandAfter).ok_or("#band-after")
        }
        (b"#band", [band, id]) => text(band)
            .parse()
            .ok()
            .zip(text(id).parse().ok())
            .map(|(band, id)| Header::Band(band, id))
            .ok_or("#band"),
        (b"#band", _) => Err("#band"),
        (b"#next", [next]) => number(next).map(Header::Next).ok_or("#next"),
        (b"#after", [after]) => number(after).map(Header::After).ok_or("#after"),
        (b"#compression", [word]) => {
            Compression::from_word(&text(word)).map(Header::Compression).ok_or("#compression")
        }
        (b"#head", [text]) => path::decode(text).map(Header::Head).map_err(|_| "#head"),
        (b"#above", [of, ..]) => {
            let entry =
                line.get(b"#above  ".len() + of.len()..).and_then(|line| Entry::parse(line).ok());
            number(of)
                .zip(entry)
                .map(|(of, entry)| Header::Above(of, Box::new(entry)))
                .ok_or("#above")
        }
        (b"#counted", [_, ..]) => line
            .get(b"#counted ".len()..)
            .and_then(CountedBlocks::parse)
            .map(Header::Counted)
            .ok_or("#counted"),
        (b"#unlisted", [name, size]) => ObjectName::parse(&text(name))
            .zip(number(size))
            .map(|(name, size)| Header::Unlisted(name, size))
            .ok_or("#unlisted"),
        (b"#parts", words) => BegunBlock::parse(words).map(Header::Parts).ok_or("#parts"),
        (b"#have", words) => have(words).map(Header::Have).ok_or("#have"),
        _ => Ok(Header::Comment),
    }
}

fn have(words: &[&[u8]]) -> Option<Have> {
    counts(words, ["entries=", "files=", "bytes="]).map(|[entries, files, bytes]| Have {
        entries,
        files,
        bytes,
    })
}

fn parse_index(words: &[&[u8]]) -> Option<Header> {
    let [id, n, b"after", after] = words else { return None };
    let after = match *after {
        b"-" => None,
        after => Some(number(after)?),
    };
    Some(Header::Index(std::str::from_utf8(id).ok()?.parse().ok()?, number(n)?, after))
}

fn counts<const N: usize>(words: &[&[u8]], keys: [&str; N]) -> Option<[u64; N]> {
    if words.len() != N {
        return None;
    }
    let mut values = [0; N];
    for ((value, word), key) in values.iter_mut().zip(words).zip(keys) {
        *value = number(word.strip_prefix(key.as_bytes())?)?;
    }
    Some(values)
}

impl fmt::Display for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let encoded = |raw: &[u8]| {
            let mut out = Vec::new();
            path::encode(raw, &mut out);
            String::from_utf8_lossy(&out).into_owned()
        };
        match self {
            Header::Mtree => write!(f, "#mtree"),
            Header::Version(version) => write!(f, "#dura listing {version}"),
            Header::Source(host, dir) => write!(f, "#source {} {}", encoded(host), encoded(dir)),
            Header::Partial => write!(f, "#partial"),
            Header::Socket(path) => write!(f, "#socket {path}"),
            Header::Stdin(path, socket) => write!(f, "#stdin {path} {}", encoded(socket)),
            Header::Index(id, n, None) => write!(f, "#index {id} {n:09} after -"),
            Header::Index(id, n, Some(after)) => write!(f, "#index {id} {n:09} after {after:09}"),
            Header::Parent(band, id, last) => write!(f, "#parent {band} {id} {last:09}"),
            Header::Taken(band, id, last) => write!(f, "#version {band} {id} {last:09}"),
            Header::BandAfter(stamp) => write!(f, "#band-after {stamp}"),
            Header::Band(band, id) => write!(f, "#band {band} {id}"),
            Header::Next(next) => write!(f, "#next {next:09}"),
            Header::After(after) => write!(f, "#after {after:09}"),
            Header::Have(have) => write!(f, "#have {have}"),
            Header::Mask(sha256) => write!(f, "#mask {}", hex::encode(sha256)),
            Header::SourceId(id) => write!(f, "#source-id {id}"),
            Header::Tree(have) => write!(f, "#tree {have}"),
            Header::Behind(count) => write!(f, "#behind {count}"),
            Header::Runs(firsts) => {
                write!(f, "#runs")?;
                firsts.iter().try_for_each(|first| write!(f, " {first:09}"))
            }
            Header::DeletesMeant => write!(f, "#deletes-meant"),
            Header::DistrustedBlock(block) => {
                write!(f, "#distrusted {}/{:09}", block.tier, block.block)
            }
            Header::DistrustedFile(path) => write!(f, "#distrusted {path}"),
            Header::Counted(counted) => write!(f, "#counted {counted}"),
            Header::Unlisted(name, size) => write!(f, "#unlisted {name} {size}"),
            Header::Parts(block) => write!(f, "#parts {block}"),
            Header::Compression(compression) => write!(f, "#compression {}", compression.word()),
            Header::Head(text) => write!(f, "#head {}", encoded(text)),
            Header::Above(of, entry) => {
                let mut line = Vec::new();
                entry.write(&mut line);
                write!(f, "#above {of:09} {}", String::from_utf8_lossy(line.trim_ascii_end()))
            }
            Header::Comment => write!(f, "#"),
        }
    }
}

impl fmt::Display for Have {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "entries={} files={} bytes={}", self.entries, self.files, self.bytes)
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "#end entries={} excluded={} unreadable={}",
            self.entries, self.excluded, self.unreadable
        )
    }
}

/// Sees to it that paths come in canonical order, each below a directory that came before.
#[derive(Debug, Default)]
pub struct CanonicalOrder {
    last: Option<Path>,
    /// The directories above and at the last path that may hold entries.
    open: Vec<Path>,
    /// The directories above the first path have been listed before this listing began.
    continued: bool,
}

/// What [`CanonicalOrder`] finds wrong with a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Misplaced {
    /// It stands at or before the path that came last.
    OutOfOrder,
    /// Its directory did not come.
    Orphan,
}

impl CanonicalOrder {
    /// Takes the next entry.
    ///
    /// # Errors
    /// If it does not follow the one before, or its directory has not come.
    pub fn handle_entry(&mut self, entry: &Entry) -> Result<(), Misplaced> {
        let path = &entry.path;
        if self.last.as_ref().is_some_and(|last| last >= path) {
            return Err(Misplaced::OutOfOrder);
        }
        while self.open.last().is_some_and(|dir| !dir.holds(path)) {
            self.open.pop();
        }
        let slash = path.as_bytes().iter().rposition(|&b| b == b'/');
        if std::mem::take(&mut self.continued) {
            let mut above = path.parent();
            while let Some(dir) = above {
                above = dir.parent();
                self.open.insert(0, dir);
            }
        }
        if slash.map(|slash| &path.as_bytes()[..slash]) != self.open.last().map(Path::as_bytes) {
            return Err(Misplaced::Orphan);
        }
        if entry.kind == Kind::Dir && entry.meta().is_some() {
            self.open.push(path.clone());
        }
        match &mut self.last {
            Some(last) => last.clone_from(path),
            none => *none = Some(path.clone()),
        }
        Ok(())
    }
}

/// Reads a listing line by line and refuses it if it is cut off, out of order or miscounted.
pub struct ListingReader<R> {
    input: R,
    line: Vec<u8>,
    number: u64,
    order: CanonicalOrder,
    seen: u64,
    ended: bool,
}

impl<R: BufRead> ListingReader<R> {
    /// A reader of `input`.
    pub fn new(input: R) -> ListingReader<R> {
        ListingReader {
            input,
            line: Vec::new(),
            number: 0,
            order: CanonicalOrder::default(),
            seen: 0,
            ended: false,
        }
    }

    /// The next line; none once `#end` has come and nothing follows it.
    ///
    /// # Errors
    /// What is wrong with the listing: also that it ends without `#end`.
    pub fn next_line(&mut self) -> Result<Option<Line>, ListingError> {
        self.line.clear();
        match (self.read_line()?, self.ended) {
            (0, true) => return Ok(None),
            (0, false) if self.seen == 0 => return Err(ListingError::Nothing),
            (_, true) => return Err(ListingError::AfterEnd(self.number + 1)),
            _ => {}
        }
        let ended = self.line.pop_if(|last| *last == b'\n').is_some();
        if self.line.len() > MAX_LINE {
            return Err(ListingError::LongLine(self.number + 1));
        }
        if !ended {
            return Err(ListingError::Cut(self.number));
        }
        self.number += 1;
        if self.number == 1 && self.line != b"#mtree" {
            return Err(ListingError::NotListing);
        }
        self.parse().map(Some)
    }

    /// Appends what comes up to the next newline, with it, but not much more than a line may have.
    /// Gives its length.
    fn read_line(&mut self) -> io::Result<usize> {
        let mut read = 0;
        loop {
            let rest = match self.input.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                rest => rest?,
            };
            let end = memchr::memchr(b'\n', rest).map(|end| end + 1);
            let used = end.unwrap_or(rest.len());
            self.line.extend_from_slice(&rest[..used]);
            self.input.consume(used);
            read += used;
            if end.is_some() || used == 0 || read > MAX_LINE {
                return Ok(read);
            }
        }
    }

    fn parse(&mut self) -> Result<Line, ListingError> {
        let number = self.number;
        if self.line.first() != Some(&b'#') {
            let entry = Entry::parse(&self.line).map_err(|why| ListingError::Entry(number, why))?;
            match self.order.handle_entry(&entry) {
                Ok(()) => {}
                Err(Misplaced::OutOfOrder) => return Err(ListingError::Order(number, entry.path)),
                Err(Misplaced::Orphan) => return Err(ListingError::Orphan(number, entry.path)),
            }
            self.seen +=
                u64::from(matches!(entry.state, EntryState::Present(_) | EntryState::Deleted));
            return Ok(Line::Entry(entry));
        }
        if let Some(rest) = self.line.strip_prefix(b"#end ") {
            let words: Vec<&[u8]> = rest.split(|&b| b == b' ').collect();
            let [entries, excluded, unreadable] =
                counts(&words, ["entries=", "excluded=", "unreadable="])
                    .ok_or(ListingError::Header(number, "#end"))?;
            let said = End { entries, excluded, unreadable };
            if said.entries != self.seen {
                return Err(ListingError::Count { said, seen: self.seen });
            }
            self.ended = true;
            return Ok(Line::End(said));
        }
        let header =
            parse_header(&self.line).map_err(|keyword| ListingError::Header(number, keyword))?;
        match header {
            Header::Version(version) if version > VERSION => Err(ListingError::Newer(version)),
            Header::Band(..) => {
                // The band has the directories above its first new entry already.
                self.order.continued = true;
                Ok(Line::Header(header))
            }
            header => Ok(Line::Header(header)),
        }
    }
}

#[cfg(test)]
mod tests;
