//! Names of the objects in a band's folder.

use std::fmt;

use super::entry::number;

/// How blocks are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Compression {
    /// gzip members: every system can read them.
    Gzip,
    /// zstd frames: faster and smaller, if zstd is there at recovery.
    Zstd,
    /// Plain tar.
    Plain,
}

impl Compression {
    /// What HEAD and `--compress` call it.
    pub fn word(self) -> &'static str {
        match self {
            Compression::Gzip => "gzip",
            Compression::Zstd => "zstd",
            Compression::Plain => "none",
        }
    }

    /// Undoes [`Compression::word`].
    pub fn from_word(word: &str) -> Option<Compression> {
        [Compression::Gzip, Compression::Zstd, Compression::Plain]
            .into_iter()
            .find(|c| c.word() == word)
    }

    fn suffix(self) -> &'static str {
        match self {
            Compression::Gzip => ".gz",
            Compression::Zstd => ".zst",
            Compression::Plain => "",
        }
    }
}

/// What a block holds, and how it is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BlockForm {
    /// Tar entries.
    Tar(Compression),
    /// A delta in the format of librsync: what has changed of one file.
    Delta(Compression),
}

impl BlockForm {
    /// That of a delta, or of tar entries.
    pub fn of(compression: Compression, is_delta: bool) -> BlockForm {
        if is_delta { BlockForm::Delta(compression) } else { BlockForm::Tar(compression) }
    }

    /// How it is compressed.
    pub fn compression(self) -> Compression {
        let (BlockForm::Tar(compression) | BlockForm::Delta(compression)) = self;
        compression
    }

    fn word(self) -> &'static str {
        match self {
            BlockForm::Tar(_) => "tar",
            BlockForm::Delta(_) => "rdiff",
        }
    }
}

impl From<Compression> for BlockForm {
    fn from(compression: Compression) -> BlockForm {
        BlockForm::Tar(compression)
    }
}

impl fmt::Display for BlockForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.word(), self.compression().suffix())
    }
}

/// The notes on recovery that stand in each band.
pub const NOTES: [&str; 4] = ["RECOVER.txt", "recover.sh", "rsrepair.py", "rdpatch.py"];

/// What an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Object {
    /// The band's first object.
    Head,
    /// One of [`NOTES`].
    Note(&'static str),
    /// A block that is one object.
    Block(u32, BlockForm),
    /// A part of a block: block, form, part.
    Part(u32, BlockForm, u32),
    /// The chunks of a large file, beside the block that has it.
    Sums(u32),
    /// The index of a block.
    Index(u32),
    /// A table of contents, numbered by the last index it lists.
    Toc(u32),
    /// A group's checksum list: number and counter.
    List(u32, u32),
    /// The detached signature of a checksum list.
    ListSig(u32, u32),
    /// A parity shard: number, counter, shard.
    Parity(u32, u32, u32),
    /// What opens the objects of a run: number and counter of the group that it stands first in, and
    /// 0; or the number of a message for recipients that were added later, from 1.
    Key(u32, u32, u32),
    /// The checksum list of an added message.
    KeyList(u32, u32, u32),
    /// The detached signature of such a list.
    KeyListSig(u32, u32, u32),
    /// The band's last object.
    Tail,
    /// The detached signature of TAIL.
    TailSig,
}

/// The largest object that a reader takes. Pack makes parts far below it.
pub const MAX_OBJECT: u64 = 2 << 30;

/// Longest HEAD or TAIL that a reader takes, in bytes.
pub const MAX_HEAD: usize = 64 << 10;

/// The longest list that a reader takes: twice what one of 256 of the largest objects needs.
pub const MAX_LIST: usize = 64 << 20;

/// The most bytes of an index's text: 16 MiB close one, and one entry may come after; the lines of
/// the directories above its first path come on top.
pub const MAX_INDEX: usize = 48 << 20;

/// The most bytes of a table of contents' text: 4096 lines with two paths, and a line for each
/// earlier table.
pub const MAX_TOC: usize = 96 << 20;

/// The most bytes of sums' text: 2^20 chunks in the mean, and some more.
pub const MAX_SUMS: usize = 128 << 20;

/// The most bytes of a key object, and of the list of one that was added: messages for hundreds of
/// recipients, with the keys of hundreds of runs.
pub const MAX_KEY: usize = 1 << 20;

/// The most bytes of a block, a part or a parity shard that a reader takes unless `--max-object`
/// says another number: twice what `--part-size` is by default.
pub const MAX_BLOCK: u64 = 128 << 20;

/// The size of a listed entry that cannot be examined: more than any object has. It is there, may
/// be an object or a folder, and cannot be read as far as the store knows.
pub const UNSEEN: u64 = 1 << 50;

/// How many numbers a folder has.
pub const FOLDER: u32 = 10_000;

/// The highest number that nine digits can write.
pub const MAX_NUMBER: u32 = 999_999_999;

/// An object's name in the band's folder: what it is, and whether it is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ObjectName {
    /// What it is.
    pub object: Object,
    /// True if its name ends in `.gpg`.
    pub encrypted: bool,
}

impl ObjectName {
    /// The name of an object that is not encrypted.
    pub fn plain(object: Object) -> ObjectName {
        ObjectName { object, encrypted: false }
    }

    /// The number of the block that the object belongs to; 0 for HEAD and the notes, none for TAIL.
    pub fn number(&self) -> Option<u32> {
        match self.object {
            Object::Head | Object::Note(_) => Some(0),
            Object::Block(n, _) | Object::Part(n, _, _) | Object::Sums(n) => Some(n),
            Object::Index(n) | Object::Toc(n) => Some(n),
            Object::List(n, _) | Object::ListSig(n, _) | Object::Parity(n, _, _) => Some(n),
            Object::Key(n, ..) | Object::KeyList(n, ..) | Object::KeyListSig(n, ..) => Some(n),
            Object::Tail | Object::TailSig => None,
        }
    }

    /// The number of the folder that the object lies in; none for what lies in the band's own.
    pub fn folder(&self) -> Option<u32> {
        let is_on_top = matches!(self.object, Object::Head | Object::Note(_));
        self.number().filter(|_| !is_on_top).map(|number| number / FOLDER)
    }

    /// True for what holds the user's names or data, which is encrypted when anything is.
    pub fn is_secret(&self) -> bool {
        matches!(
            self.object,
            Object::Block(..)
                | Object::Part(..)
                | Object::Sums(_)
                | Object::Index(_)
                | Object::Toc(_)
        )
    }

    /// The most bytes that such an object has, as stored: what a reader takes at most. Blocks, parts
    /// and parity have what `--part-size` lets them have: for those it is the default with room to
    /// spare, and `--max-object` says another.
    pub fn most(&self) -> u64 {
        match self.object {
            Object::Head | Object::Tail => MAX_HEAD as u64,
            Object::Note(_) => 1 << 20,
            Object::List(..) => MAX_LIST as u64,
            Object::ListSig(..) | Object::KeyListSig(..) | Object::TailSig => 64 << 10,
            Object::Key(..) | Object::KeyList(..) => MAX_KEY as u64,
            Object::Sums(_) => MAX_SUMS as u64,
            Object::Index(_) => MAX_INDEX as u64,
            Object::Toc(_) => MAX_TOC as u64,
            Object::Block(..) | Object::Part(..) | Object::Parity(..) => MAX_BLOCK,
        }
    }

    /// The same where nobody says how large blocks may be: the most that any program takes.
    pub fn most_of_all(&self) -> u64 {
        match self.most() {
            MAX_BLOCK => MAX_OBJECT,
            most => most,
        }
    }

    /// True for a parity shard.
    pub fn is_parity(&self) -> bool {
        matches!(self.object, Object::Parity(..))
    }

    /// True for what opens a run, and for messages that were added to it.
    pub fn is_key(&self) -> bool {
        matches!(self.object, Object::Key(..))
    }

    /// True for what stands in a band that is sealed, and in no other.
    pub fn shows_sealing(&self) -> bool {
        self.is_key() || (self.is_secret() && self.encrypted)
    }

    /// True for what a group protects: every object but lists, parity, signatures, TAIL, and what was
    /// added to the band later.
    pub fn is_grouped(&self) -> bool {
        self.is_secret()
            || matches!(self.object, Object::Head | Object::Note(_) | Object::Key(_, _, 0))
    }

    /// True for what was added to the band when it was written already: it has a list of its own.
    pub fn is_added(&self) -> bool {
        matches!(self.object, Object::Key(_, _, 1..) | Object::KeyList(..) | Object::KeyListSig(..))
    }

    /// The name of the detached signature that stands beside a list or TAIL.
    pub fn signature(&self) -> Option<ObjectName> {
        Some(ObjectName::plain(match self.object {
            Object::List(n, c) => Object::ListSig(n, c),
            Object::KeyList(n, c, m) => Object::KeyListSig(n, c, m),
            Object::Tail => Object::TailSig,
            _ => return None,
        }))
    }

    /// Reads a name; none if no program writes it.
    pub fn parse(text: &str) -> Option<ObjectName> {
        let (bare, encrypted) = match text.strip_suffix(".gpg") {
            Some(bare) => (bare, true),
            None => (text, false),
        };
        let name = ObjectName { object: parse_bare(bare)?, encrypted };
        let may_be = match name.object {
            Object::Key(..) => encrypted,
            _ => name.is_secret() || !encrypted,
        };
        (name.to_string() == text && may_be).then_some(name)
    }
}

fn parse_bare(text: &str) -> Option<Object> {
    match text {
        "HEAD" => return Some(Object::Head),
        "TAIL" => return Some(Object::Tail),
        "TAIL.sig" => return Some(Object::TailSig),
        _ => {}
    }
    if let Some(note) = NOTES.into_iter().find(|note| *note == text) {
        return Some(Object::Note(note));
    }
    // Only the last step of `parse`, which writes the name again, makes sure of folder and digits.
    let (_, file) = text.split_once('/')?;
    let (stem, suffix) = file.split_once('.')?;
    let digits = |text: &str| number::<u32>(text.as_bytes()).filter(|n| *n <= MAX_NUMBER);
    if let Some((n, c)) = stem.split_once('-') {
        let (n, c) = (digits(n)?, digits(c)?);
        return match suffix {
            "sha256" => Some(Object::List(n, c)),
            "sha256.sig" => Some(Object::ListSig(n, c)),
            "key" => Some(Object::Key(n, c, 0)),
            _ if suffix.contains('.') => {
                let (added, suffix) = suffix.split_once('.')?;
                let added = digits(added).filter(|added| *added > 0)?;
                match suffix {
                    "key" => Some(Object::Key(n, c, added)),
                    "sha256" => Some(Object::KeyList(n, c, added)),
                    "sha256.sig" => Some(Object::KeyListSig(n, c, added)),
                    _ => None,
                }
            }
            _ => Some(Object::Parity(n, c, digits(suffix.strip_prefix("rs")?)?)),
        };
    }
    let n = digits(stem)?;
    match suffix {
        "mtree.gz" => return Some(Object::Index(n)),
        "toc.gz" => return Some(Object::Toc(n)),
        "sums.gz" => return Some(Object::Sums(n)),
        _ => {}
    }
    let (form, rest): (fn(Compression) -> BlockForm, &str) = match suffix.strip_prefix("tar") {
        Some(rest) => (BlockForm::Tar, rest),
        None => (BlockForm::Delta, suffix.strip_prefix("rdiff")?),
    };
    [Compression::Gzip, Compression::Zstd, Compression::Plain].into_iter().find_map(|compression| {
        let (form, rest) = (form(compression), rest.strip_prefix(compression.suffix())?);
        match rest.strip_prefix('.') {
            Some(part) => Some(Object::Part(n, form, digits(part)?)),
            None => rest.is_empty().then_some(Object::Block(n, form)),
        }
    })
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let folder = |n: u32| n / FOLDER;
        match self.object {
            Object::Head => write!(f, "HEAD"),
            Object::Note(note) => write!(f, "{note}"),
            Object::Block(n, form) => write!(f, "{:05}/{n:09}.{form}", folder(n)),
            Object::Part(n, form, part) => write!(f, "{:05}/{n:09}.{form}.{part:06}", folder(n)),
            Object::Sums(n) => write!(f, "{:05}/{n:09}.sums.gz", folder(n)),
            Object::Index(n) => write!(f, "{:05}/{n:09}.mtree.gz", folder(n)),
            Object::Toc(n) => write!(f, "{:05}/{n:09}.toc.gz", folder(n)),
            Object::List(n, c) => write!(f, "{:05}/{n:09}-{c}.sha256", folder(n)),
            Object::ListSig(n, c) => write!(f, "{:05}/{n:09}-{c}.sha256.sig", folder(n)),
            Object::Parity(n, c, j) => write!(f, "{:05}/{n:09}-{c}.rs{j}", folder(n)),
            Object::Key(n, c, 0) => write!(f, "{:05}/{n:09}-{c}.key", folder(n)),
            Object::Key(n, c, m) => write!(f, "{:05}/{n:09}-{c}.{m}.key", folder(n)),
            Object::KeyList(n, c, m) => write!(f, "{:05}/{n:09}-{c}.{m}.sha256", folder(n)),
            Object::KeyListSig(n, c, m) => write!(f, "{:05}/{n:09}-{c}.{m}.sha256.sig", folder(n)),
            Object::Tail => write!(f, "TAIL"),
            Object::TailSig => write!(f, "TAIL.sig"),
        }?;
        f.write_str(if self.encrypted { ".gpg" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_and_write_back() {
        use Compression::{Gzip, Plain, Zstd};
        let tar = BlockForm::Tar;
        for (text, object) in [
            ("HEAD", Object::Head),
            ("recover.sh", Object::Note("recover.sh")),
            ("00000/000000000.tar.gz", Object::Block(0, tar(Gzip))),
            ("00000/000000000.tar.zst.gpg", Object::Block(0, tar(Zstd))),
            ("00000/000000000.tar", Object::Block(0, tar(Plain))),
            ("00000/000000001.tar.gz.000000.gpg", Object::Part(1, tar(Gzip), 0)),
            ("00000/000000001.tar.000012", Object::Part(1, tar(Plain), 12)),
            ("00000/000000001.rdiff.gz.gpg", Object::Block(1, BlockForm::Delta(Gzip))),
            ("00000/000000001.rdiff.000001", Object::Part(1, BlockForm::Delta(Plain), 1)),
            ("00000/000000001.sums.gz.gpg", Object::Sums(1)),
            ("99999/999999999.mtree.gz.gpg", Object::Index(999_999_999)),
            ("00001/000010000.toc.gz", Object::Toc(10_000)),
            ("00000/000000000-0.sha256", Object::List(0, 0)),
            ("00000/000000007-12.sha256.sig", Object::ListSig(7, 12)),
            ("00000/000000000-0.rs1", Object::Parity(0, 0, 1)),
            ("00000/000000000-0.key.gpg", Object::Key(0, 0, 0)),
            ("00001/000010032-3.12.key.gpg", Object::Key(10_032, 3, 12)),
            ("00000/000000000-0.1.sha256", Object::KeyList(0, 0, 1)),
            ("00000/000000000-0.1.sha256.sig", Object::KeyListSig(0, 0, 1)),
            ("TAIL", Object::Tail),
            ("TAIL.sig", Object::TailSig),
        ] {
            let name = ObjectName::parse(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!((name.object, name.to_string().as_str()), (object, text));
        }
    }

    #[test]
    fn names_that_no_program_writes() {
        for text in [
            "",
            "HEAD.gpg",
            "TAIL.gpg",
            "head",
            "../HEAD",
            "/HEAD",
            "00000/000000000.tar.bz2",
            "00000/000000000.rdiff.sums.gz",
            "00000/000000000.sums",
            "00000/000000000.sums.zst",
            "00001/000000000.tar.gz",
            "0/000000000.tar.gz",
            "00000/00000000.tar.gz",
            "00000/+00000000.tar.gz",
            "00000/000000000.tar.gz.0",
            "00000/000000000.tar.gz.gpg.gpg",
            "00000/000000000-00.sha256",
            "00000/000000000-0.sha256.gpg",
            "100000/1000000000.tar",
            "00000/000000000",
            "00000//000000000.tar",
            "RECOVER",
            "00000/000000000-0.key",
            "00000/000000000-0.0.key.gpg",
            "00000/000000000-0.1.key",
            "00000/000000000-0.1.rs0",
            "00000/000000000-0.1.sha256.gpg",
            "00000/000000000.key.gpg",
        ] {
            assert_eq!(ObjectName::parse(text), None, "{text}");
        }
    }
}
