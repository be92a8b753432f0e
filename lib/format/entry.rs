//! One line of a listing or index: an entry of the tree, in the dialect of mtree(5) that
//! `docs/format.md` gives.

mod within;
mod write;

pub use self::within::{ContentPlace, DeltaBase, Reference, Within};
pub(crate) use self::write::push_number;
use super::digest::{self, Digest};
use super::path::{self, Path, PathError};
use super::time::Time;

/// What kind of file an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Kind {
    File,
    Dir,
    Link,
    Fifo,
    Char,
    Block,
}

impl Kind {
    /// The word behind `type=`.
    pub fn word(self) -> &'static str {
        match self {
            Kind::File => "file",
            Kind::Dir => "dir",
            Kind::Link => "link",
            Kind::Fifo => "fifo",
            Kind::Char => "char",
            Kind::Block => "block",
        }
    }
}

/// The attributes that every entry has which is there and could be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meta {
    /// Permission bits with setuid, setgid and sticky: 0 to 0o7777.
    pub mode: u32,
    /// Owner, numeric.
    pub uid: u32,
    /// Group, numeric.
    pub gid: u32,
    /// Modification time.
    pub time: Time,
}

/// What a line says of its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryState {
    /// It is there, with these attributes.
    Present(Meta),
    /// It is gone, with all below it (in a band, against its parent).
    Deleted,
    /// It is there but not wanted now.
    Excluded,
    /// It is there, or was a moment ago, but could not be looked at.
    Unreadable,
}

/// A device or inode pair as written in `i:DEV.INO`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Inode {
    /// `st_dev`.
    pub dev: u64,
    /// `st_ino`.
    pub ino: u64,
}

/// One line. Fields that a line does not have are `None` or false.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where it is.
    pub path: Path,
    /// `type=`
    pub kind: Kind,
    /// What the line says of it.
    pub state: EntryState,
    /// How many links the inode has.
    pub nlink: Option<u64>,
    /// Length of a regular file in bytes.
    pub size: Option<u64>,
    /// SHA-256 of a regular file's content.
    pub sha256: Option<Digest>,
    /// `body:` SHA-256 of what the tar entry holds of a file that is nearly all holes, map and
    /// data; stands in the place of `sha256`.
    pub body: Option<Digest>,
    /// Target of a symbolic link, raw bytes.
    pub link: Option<Vec<u8>>,
    /// Major and minor number of a device.
    pub device: Option<(u32, u32)>,
    /// `c:` change time; left out when the entry may have changed since.
    pub ctime: Option<Time>,
    /// `i:` of an entry with several links.
    pub inode: Option<Inode>,
    /// `hard:` first name listed of the same inode.
    pub hard: Option<Path>,
    /// `x`: has extended attributes or an ACL.
    pub x: bool,
    /// `in:` content is in a block of an older band.
    pub within: Option<Within>,
    /// `of:` and `as:` the content is in that block under another path.
    pub reference: Option<Box<Reference>>,
    /// `rdiff`: the line's own block is a delta, laid over this; over nothing if it says so.
    pub delta: Option<Option<Box<DeltaBase>>>,
    /// `deltas:` so many deltas lie over each other where the content is; 0 for none.
    pub deltas: u8,
    /// `over`: replaces a directory by something else, or the reverse.
    pub over: bool,
    /// `unread`: a directory whose content was not looked at.
    pub unread: bool,
}

/// Why a line is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// The path is bad.
    #[error(transparent)]
    Path(#[from] PathError),
    /// No `type=`.
    #[error("line has no type=")]
    NoType,
    /// Unknown keyword or tag.
    #[error("unknown keyword `{0}`")]
    Unknown(String),
    /// A keyword or tag stands twice.
    #[error("`{0}` stands twice")]
    Twice(&'static str),
    /// A value cannot be read.
    #[error("bad value of `{0}`")]
    BadValue(&'static str),
    /// An entry that is there needs mode, uid, gid, time, and what its type demands.
    #[error("line lacks `{0}`")]
    Lacks(&'static str),
}

fn set<T>(slot: &mut Option<T>, name: &'static str, value: Option<T>) -> Result<(), EntryError> {
    let value = value.ok_or(EntryError::BadValue(name))?;
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(EntryError::Twice(name)),
    }
}

fn flag(slot: &mut bool, name: &'static str) -> Result<(), EntryError> {
    if std::mem::replace(slot, true) { Err(EntryError::Twice(name)) } else { Ok(()) }
}

pub(crate) fn number<T: TryFrom<u64>>(text: &[u8]) -> Option<T> {
    if text.is_empty() || text.len() > 20 {
        return None;
    }
    let mut value = 0u64;
    for &byte in text {
        if !byte.is_ascii_digit() {
            return None;
        }
        value = value.checked_mul(10)?.checked_add(u64::from(byte - b'0'))?;
    }
    T::try_from(value).ok()
}

fn octal(text: &[u8]) -> Option<u32> {
    if text.is_empty() || text.len() > 5 || !text.iter().all(|b| (b'0'..=b'7').contains(b)) {
        return None;
    }
    let value = text.iter().fold(0, |value, digit| value << 3 | u32::from(digit - b'0'));
    (value <= 0o7777).then_some(value)
}

fn pair(text: &[u8], between: u8) -> Option<(&[u8], &[u8])> {
    let at = text.iter().position(|&b| b == between)?;
    Some((&text[..at], &text[at + 1..]))
}

/// What the line says before it is checked as a whole.
#[derive(Default)]
struct EntryDraft {
    kind: Option<Kind>,
    mode: Option<u32>,
    uid: Option<u32>,
    gid: Option<u32>,
    time: Option<Time>,
    deleted: bool,
    excluded: bool,
    unreadable: bool,
    optional: bool,
    ignore: bool,
    tags: bool,
    rdiff: bool,
    deltas: Option<u8>,
}

/// So many deltas lie over each other at most.
pub const MAX_DELTAS: u8 = 9;

impl Entry {
    /// An entry with nothing known but where and what it is.
    pub fn new(path: Path, kind: Kind, state: EntryState) -> Entry {
        Entry {
            path,
            kind,
            state,
            nlink: None,
            size: None,
            sha256: None,
            body: None,
            link: None,
            device: None,
            ctime: None,
            inode: None,
            hard: None,
            x: false,
            within: None,
            reference: None,
            delta: None,
            deltas: 0,
            over: false,
            unread: false,
        }
    }

    /// The attributes, if the entry is there.
    pub fn meta(&self) -> Option<&Meta> {
        match &self.state {
            EntryState::Present(meta) => Some(meta),
            _ => None,
        }
    }

    /// What shows that a file's content is the same: equal for equal content, map and data if it is
    /// nearly all holes.
    pub fn digest(&self) -> Option<Digest> {
        self.sha256.or(self.body)
    }

    /// The path under which a block has the content.
    pub fn name_in_block(&self) -> &Path {
        let reference = self.reference.as_ref();
        reference.and_then(|reference| reference.name_in_block()).unwrap_or(&self.path)
    }

    /// The content is stored with the line itself, as far as is known.
    pub fn forget_place(&mut self) {
        (self.within, self.reference, self.delta, self.deltas) = (None, None, None, 0);
    }

    /// The content is there.
    pub fn refer_to(&mut self, place: ContentPlace) {
        self.forget_place();
        (self.within, self.deltas) = (Some(place.within), place.deltas);
        self.reference = Some(Box::new(place.reference));
    }

    /// Whether the line only refers to content that the band or its parent has under another path.
    pub fn is_reference(&self) -> bool {
        self.reference.as_ref().is_some_and(|reference| reference.of.is_some())
    }

    /// Reads a line, without its newline.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(line: &[u8]) -> Result<Entry, EntryError> {
        let mut spaces = memchr::memchr_iter(b' ', line);
        let mut end = spaces.next().unwrap_or(line.len());
        let path = Path::parse(&line[..end])?;
        let mut entry = Entry::new(path, Kind::File, EntryState::Deleted);
        let mut draft = EntryDraft::default();
        while end < line.len() {
            let start = end + 1;
            end = spaces.next().unwrap_or(line.len());
            entry.word(&line[start..end], &mut draft)?;
        }
        entry.kind = draft.kind.ok_or(EntryError::NoType)?;
        entry.state = match (draft.deleted, draft.excluded, draft.unreadable) {
            (true, false, false) => EntryState::Deleted,
            (false, true, false) => EntryState::Excluded,
            (false, false, true) => EntryState::Unreadable,
            (false, false, false) => EntryState::Present(Meta {
                mode: draft.mode.ok_or(EntryError::Lacks("mode"))?,
                uid: draft.uid.ok_or(EntryError::Lacks("uid"))?,
                gid: draft.gid.ok_or(EntryError::Lacks("gid"))?,
                time: draft.time.ok_or(EntryError::Lacks("time"))?,
            }),
            _ => return Err(EntryError::BadValue("tags")),
        };
        entry.deltas = draft.deltas.unwrap_or(0);
        if draft.rdiff {
            entry.take_base()?;
        }
        entry.check()?;
        Ok(entry)
    }

    /// What `in:`, `of:` and `as:` of a delta's line name is its base.
    fn take_base(&mut self) -> Result<(), EntryError> {
        let base = match (self.within.take(), self.reference.take()) {
            (None, None) => None,
            (Some(within), Some(reference)) if reference.of.is_some() => {
                Some(Box::new(DeltaBase { within, reference: *reference }))
            }
            _ => return Err(EntryError::BadValue("tags")),
        };
        self.delta = Some(base);
        Ok(())
    }

    /// Whether the tags on deltas fit to each other and to the rest of the line.
    fn has_sound_delta(&self) -> bool {
        let is_elsewhere = self.within.is_some();
        match &self.delta {
            _ if self.deltas > MAX_DELTAS => false,
            None => self.deltas == 0 || is_elsewhere,
            Some(base) => {
                let is_content = self.kind == Kind::File && self.sha256.is_some() && !self.x;
                let counts = if base.is_none() { self.deltas == 1 } else { self.deltas > 0 };
                is_content && self.hard.is_none() && counts
            }
        }
    }

    fn check(&self) -> Result<(), EntryError> {
        if self.meta().is_none() {
            return Ok(());
        }
        let device = matches!(self.kind, Kind::Char | Kind::Block);
        match self.kind {
            Kind::File if self.size.is_none() => Err(EntryError::Lacks("size")),
            Kind::Link if self.link.is_none() => Err(EntryError::Lacks("link")),
            _ if device && self.device.is_none() => Err(EntryError::Lacks("device")),
            _ if self.path.is_root() && self.kind != Kind::Dir => Err(EntryError::BadValue("type")),
            Kind::Dir if self.hard.is_some() => Err(EntryError::BadValue("tags")),
            _ if self.unread && self.kind != Kind::Dir => Err(EntryError::BadValue("tags")),
            _ if self.body.is_some() && (self.kind != Kind::File || self.sha256.is_some()) => {
                Err(EntryError::BadValue("tags"))
            }
            _ if self.within.is_some() && self.kind != Kind::File => {
                Err(EntryError::BadValue("tags"))
            }
            _ if !self.has_sound_delta() => Err(EntryError::BadValue("tags")),
            // Only whole content can be copied: attributes and links are a tar entry's.
            _ if self.reference.is_some()
                && (self.within.is_none() || self.x || self.hard.is_some()) =>
            {
                Err(EntryError::BadValue("tags"))
            }
            _ => Ok(()),
        }
    }

    fn word(&mut self, word: &[u8], draft: &mut EntryDraft) -> Result<(), EntryError> {
        let Some((key, value)) = pair(word, b'=') else {
            return match word {
                b"optional" => flag(&mut draft.optional, "optional"),
                b"ignore" => flag(&mut draft.ignore, "ignore"),
                _ => Err(EntryError::Unknown(String::from_utf8_lossy(word).into_owned())),
            };
        };
        match key {
            b"type" => {
                let kinds =
                    [Kind::File, Kind::Dir, Kind::Link, Kind::Fifo, Kind::Char, Kind::Block];
                set(
                    &mut draft.kind,
                    "type",
                    kinds.into_iter().find(|kind| kind.word().as_bytes() == value),
                )
            }
            b"mode" => set(&mut draft.mode, "mode", octal(value)),
            b"uid" => set(&mut draft.uid, "uid", number(value)),
            b"gid" => set(&mut draft.gid, "gid", number(value)),
            b"time" => set(&mut draft.time, "time", Time::parse(value)),
            b"nlink" => set(&mut self.nlink, "nlink", number(value)),
            b"size" => set(&mut self.size, "size", number(value)),
            b"sha256digest" => set(&mut self.sha256, "sha256digest", digest::parse(value)),
            b"link" => set(
                &mut self.link,
                "link",
                path::decode(value).ok().filter(|raw| !raw.contains(&0)),
            ),
            b"device" => {
                let numbers = value.strip_prefix(b"native,").and_then(|rest| pair(rest, b','));
                set(
                    &mut self.device,
                    "device",
                    numbers.and_then(|(major, minor)| Some((number(major)?, number(minor)?))),
                )
            }
            b"tags" => {
                flag(&mut draft.tags, "tags")?;
                value.split(|&b| b == b',').try_for_each(|tag| self.tag(tag, draft))
            }
            _ => Err(EntryError::Unknown(String::from_utf8_lossy(key).into_owned())),
        }
    }

    fn tag(&mut self, tag: &[u8], draft: &mut EntryDraft) -> Result<(), EntryError> {
        let Some((key, value)) = pair(tag, b':') else {
            return match tag {
                b"x" => flag(&mut self.x, "x"),
                b"deleted" => flag(&mut draft.deleted, "deleted"),
                b"over" => flag(&mut self.over, "over"),
                b"rdiff" => flag(&mut draft.rdiff, "rdiff"),
                b"unread" => flag(&mut self.unread, "unread"),
                b"excluded" => flag(&mut draft.excluded, "excluded"),
                b"unreadable" => flag(&mut draft.unreadable, "unreadable"),
                _ => Err(EntryError::Unknown(String::from_utf8_lossy(tag).into_owned())),
            };
        };
        match key {
            b"c" => set(&mut self.ctime, "c", Time::parse(value)),
            b"i" => {
                let numbers = pair(value, b'.')
                    .and_then(|(dev, ino)| Some(Inode { dev: number(dev)?, ino: number(ino)? }));
                set(&mut self.inode, "i", numbers)
            }
            b"hard" => set(&mut self.hard, "hard", file_path(value)?),
            b"of" => set(&mut self.reference.get_or_insert_default().of, "of", file_path(value)?),
            b"as" => set(&mut self.reference.get_or_insert_default().name, "as", file_path(value)?),
            b"body" => set(&mut self.body, "body", digest::parse(value)),
            b"in" => set(&mut self.within, "in", Within::parse(value)),
            b"deltas" => {
                set(&mut draft.deltas, "deltas", number(value).filter(|deltas| *deltas > 0))
            }
            _ => Err(EntryError::Unknown(String::from_utf8_lossy(key).into_owned())),
        }
    }
}

/// The path in a tag; none for the root, which is a directory, and those have no other name and no
/// content.
fn file_path(value: &[u8]) -> Result<Option<Path>, PathError> {
    let mut encoded = Vec::new();
    path::encode(&path::decode(value)?, &mut encoded);
    Ok(Some(Path::parse(&encoded)?).filter(|path| !path.is_root()))
}

#[cfg(test)]
mod tests;
