//! Checksum lists of groups: what `sha256sum -c` reads, with sizes and piece digests in comments.

use std::collections::HashSet;
use std::fmt::{self, Write};

use super::band::{BandId, BandName};
use super::digest::{self, Digest};
use super::entry::number;
pub use super::object::MAX_LIST;
use super::object::{MAX_NUMBER, MAX_OBJECT, Object, ObjectName};

/// How many objects a group has unless `--group` says otherwise.
pub const DEFAULT_SLOTS: usize = 32;

/// The unit of piece digests and of repair.
pub const PIECE: usize = 1 << 20;

/// Slots and parity shards together: the code works in a field of so many elements.
pub const MAX_SHARDS: usize = 256;

/// How every list begins.
pub const OPENING: &[u8] = b"#dura group ";

/// An object of a group, as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupMember {
    /// Its name in the band's folder.
    pub name: ObjectName,
    /// Its size in bytes.
    pub size: u64,
    /// SHA-256 of all of it.
    pub sha256: Digest,
    /// SHA-256 of each [`PIECE`] of it.
    pub pieces: Vec<Digest>,
}

impl GroupMember {
    /// Describes an object that is in memory.
    pub fn of(name: ObjectName, bytes: &[u8]) -> GroupMember {
        let pieces: Vec<Digest> = bytes.chunks(PIECE).map(digest::of).collect();
        let sha256 = match pieces.as_slice() {
            [only] => *only,
            _ => digest::of(bytes),
        };
        GroupMember { name, size: bytes.len() as u64, sha256, pieces }
    }
}

/// A checksum list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct List {
    /// The band's name.
    pub band: BandName,
    /// The band's id.
    pub id: BandId,
    /// The number and counter that name the group.
    pub name: (u32, u32),
    /// 0; for the list of a message that was added to a run later, its number.
    pub added: u32,
    /// How many slots it has, filled or not.
    pub slots: usize,
    /// How many parity shards it has.
    pub parity: usize,
    /// The objects in its slots, then the parity shards.
    pub members: Vec<GroupMember>,
}

/// Why a checksum list is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ListError {
    /// Its first line is another.
    #[error("not a checksum list of Dura")]
    NotList,
    /// Written by a later Dura.
    #[error("format {0} of checksum lists is newer than this program: use a later Dura")]
    Newer(u64),
    /// Longer than any list.
    #[error("over {MAX_LIST} bytes, more than any checksum list has")]
    TooLong,
    /// A line, counted from 1, that no program writes.
    #[error("line {0}: {1}")]
    Line(usize, &'static str),
    /// Something is missing at its end, or in all of it.
    #[error("cut off, or damaged: {0}")]
    Lacks(&'static str),
}

impl fmt::Display for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (number, counter) = self.name;
        writeln!(f, "#dura group 1\n#band {} {}", self.band, self.id)?;
        let added = if self.added > 0 { format!(".{}", self.added) } else { String::new() };
        let (slots, parity) = (self.slots, self.parity);
        writeln!(f, "#group {number:09}-{counter}{added} slots={slots} parity={parity}")?;
        for GroupMember { name, size, sha256, pieces } in &self.members {
            write!(f, "#object {size} {name}")?;
            for piece in pieces {
                f.write_char(' ')?;
                f.write_str(&hex::encode(piece))?;
            }
            writeln!(f, "\n{}  {name}", hex::encode(sha256))?;
        }
        Ok(())
    }
}

impl List {
    /// Reads a list. Lines with `#` and an unknown word are ignored; all else is as
    /// [`fmt::Display`] writes it, or is refused.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &[u8]) -> Result<List, ListError> {
        if text.len() > MAX_LIST {
            return Err(ListError::TooLong);
        }
        let text = text.strip_prefix(OPENING).ok_or(ListError::NotList)?;
        let text = text.strip_suffix(b"\n").ok_or(ListError::Lacks("its last line has no end"))?;
        let text = before_end(text)?;
        let mut lines = text.split(|&b| b == b'\n');
        match lines.next().and_then(number::<u64>) {
            Some(1) => {}
            Some(later) if later > 1 => return Err(ListError::Newer(later)),
            _ => return Err(ListError::NotList),
        }
        let mut draft = GroupDraft::default();
        for (at, line) in lines.enumerate() {
            draft.line(line).map_err(|what| ListError::Line(at + 2, what))?;
        }
        draft.finish().map_err(ListError::Lacks)
    }

    /// Reads a list that stands in a band's folder under this name; it must say so itself. The
    /// band's id is compared where it is known.
    ///
    /// # Errors
    /// What is wrong with it, or of which other list or band it is.
    pub fn parse_own(
        text: &[u8],
        band: &BandName,
        id: Option<BandId>,
        name: &ObjectName,
    ) -> Result<List, String> {
        let list = List::parse(text).map_err(|error| error.to_string())?;
        let own = list.object();
        // A list by an early build has no #end line, and nothing else that its text could be held
        // against.
        let ended =
            text.rsplit(|&b| b == b'\n').nth(1).is_some_and(|last| last.starts_with(b"#end "));
        if !ended && text != list.to_string().as_bytes() {
            return Err("not written as lists are".to_owned());
        }
        if list.band != *band {
            return Err(format!("it is a list of {}", list.band));
        }
        if id.is_some_and(|id| id != list.id) {
            let id = list.id;
            return Err(format!("it is a list of another band of this name, with id {id}"));
        }
        if own != *name {
            return Err(format!("it is the list {own}"));
        }
        Ok(list)
    }

    /// All of its text: what [`fmt::Display`] writes, and a last line with the sha256 of that. No
    /// other list names a list, so it has to tell by itself whether it is damaged.
    pub fn text(&self) -> String {
        let above = self.to_string();
        let sum = hex::encode(digest::of(above.as_bytes()));
        above + "#end " + &sum + "\n"
    }

    /// Its own name in the band's folder.
    pub fn object(&self) -> ObjectName {
        ObjectName::plain(match self.added {
            0 => Object::List(self.name.0, self.name.1),
            added => Object::KeyList(self.name.0, self.name.1, added),
        })
    }

    /// The name of its signature.
    pub fn signature(&self) -> ObjectName {
        self.object().signature().unwrap_or(self.object())
    }

    /// The name of one of its parity shards.
    pub fn shard(&self, shard: u32) -> ObjectName {
        ObjectName::plain(Object::Parity(self.name.0, self.name.1, shard))
    }

    /// How many objects are in its slots; the members behind them are parity.
    pub fn objects(&self) -> usize {
        self.members.iter().filter(|member| !member.name.is_parity()).count()
    }
}

fn longest(members: &[GroupMember]) -> u64 {
    members
        .iter()
        .filter(|member| !member.name.is_parity())
        .map(|member| member.size)
        .max()
        .unwrap_or(0)
}

/// A list while it is read.
#[derive(Default)]
struct GroupDraft {
    band: Option<(BandName, BandId)>,
    /// Name, the number of an added message, slots, parity.
    group: Option<((u32, u32), u32, usize, usize)>,
    members: Vec<GroupMember>,
    names: HashSet<ObjectName>,
    /// How many parity shards there were.
    shards: usize,
    /// What `#object` said, until its checksum comes.
    object: Option<(ObjectName, u64, Vec<Digest>)>,
}

impl GroupDraft {
    fn line(&mut self, line: &[u8]) -> Result<(), &'static str> {
        let Some(comment) = line.strip_prefix(b"#") else { return self.checksum(line) };
        let mut words =
            comment.split(|&b| b == b' ').map(|word| std::str::from_utf8(word).unwrap_or_default());
        match words.next() {
            Some("band") if self.band.is_some() => Err("a second #band"),
            Some("band") => {
                self.band = Some(band(&mut words).ok_or("a bad #band")?);
                Ok(())
            }
            Some("group") if self.group.is_some() => Err("a second #group"),
            Some("group") => {
                let (name, added, slots, parity) = group(&mut words).ok_or("a bad #group")?;
                if slots == 0 || slots > MAX_SHARDS || parity > MAX_SHARDS - slots {
                    return Err("no code has so many slots and parity shards");
                }
                self.group = Some((name, added, slots, parity));
                Ok(())
            }
            Some("object") if self.object.is_some() => {
                Err("an #object without a checksum before it")
            }
            Some("object") => self.object(&mut words),
            Some("end") => Err("an #end before the end"),
            _ => Ok(()),
        }
    }

    fn object<'a>(
        &mut self,
        words: &mut impl Iterator<Item = &'a str>,
    ) -> Result<(), &'static str> {
        let Some((group, added, slots, parity)) = self.group else {
            return Err("an #object before #group");
        };
        let size =
            words.next().and_then(|word| number::<u64>(word.as_bytes())).ok_or("a bad size")?;
        if size > MAX_OBJECT {
            return Err("a size that no object has");
        }
        let name = words.next().and_then(ObjectName::parse).ok_or("a name that no object has")?;
        match name.object {
            Object::Parity(n, c, j) => {
                if (n, c) != group || j as usize != self.shards || self.shards >= parity {
                    return Err("parity that is not the group's next");
                }
                if size != longest(&self.members) {
                    return Err("parity that is not as long as the longest object");
                }
                self.shards += 1;
            }
            Object::Key(n, c, m) if added > 0 && ((n, c), m) == (group, added) => {}
            _ if !name.is_grouped() || added > 0 => {
                return Err("an object that belongs in no list");
            }
            _ if self.shards > 0 => return Err("an object behind parity"),
            _ if self.members.len() >= slots => return Err("more objects than slots"),
            _ => {}
        }
        if !self.names.insert(name) {
            return Err("an object that stands twice");
        }
        let count = size.div_ceil(PIECE as u64) as usize;
        let mut pieces = Vec::with_capacity(count.min(64));
        for word in words {
            pieces.push(digest::parse(word.as_bytes()).ok_or("a bad digest of a piece")?);
        }
        if pieces.len() != count {
            return Err("digests of more or fewer pieces than the size has");
        }
        self.object = Some((name, size, pieces));
        Ok(())
    }

    fn checksum(&mut self, line: &[u8]) -> Result<(), &'static str> {
        let (name, size, pieces) =
            self.object.take().ok_or("a checksum without an #object, or no line of a list")?;
        let (sha256, path) = line.split_at_checked(64).ok_or("no checksum")?;
        let sha256 = digest::parse(sha256).ok_or("no checksum")?;
        if path.strip_prefix(b"  ") != Some(name.to_string().as_bytes()) {
            return Err("the checksum of another object than the #object before it");
        }
        let whole = match pieces.as_slice() {
            [] => Some(digest::of(b"")),
            [only] => Some(*only),
            _ => None,
        };
        if whole.is_some_and(|whole| whole != sha256) {
            return Err("a checksum that the digest of its only piece contradicts");
        }
        self.members.push(GroupMember { name, size, sha256, pieces });
        Ok(())
    }

    fn finish(self) -> Result<List, &'static str> {
        let (band, id) = self.band.ok_or("no #band")?;
        let (name, added, slots, parity) = self.group.ok_or("no #group")?;
        if self.object.is_some() {
            return Err("an #object without its checksum");
        }
        if self.members.len() == self.shards {
            return Err("no object");
        }
        if self.shards != parity {
            return Err("not all parity shards");
        }
        Ok(List { band, id, name, added, slots, parity, members: self.members })
    }
}

/// The lines above the last one, `#end`, if they have the sha256 that it says; all of them if there
/// is none. `text` is without the first words and the last newline.
fn before_end(text: &[u8]) -> Result<&[u8], ListError> {
    let last = text.iter().rposition(|&b| b == b'\n').map_or(0, |at| at + 1);
    let Some(hex) = text[last..].strip_prefix(b"#end ") else { return Ok(text) };
    let above = [OPENING, &text[..last]].concat();
    match digest::parse(hex) == Some(digest::of(&above)) {
        true => Ok(text[..last].strip_suffix(b"\n").unwrap_or_default()),
        false => Err(ListError::Lacks("its #end line does not agree with its text")),
    }
}

/// The words behind `#band`.
fn band<'a>(words: &mut impl Iterator<Item = &'a str>) -> Option<(BandName, BandId)> {
    let found = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    words.next().is_none().then_some(found)
}

/// The words behind `#group`.
fn group<'a>(words: &mut impl Iterator<Item = &'a str>) -> Option<((u32, u32), u32, usize, usize)> {
    let (n, c) = words.next()?.split_once('-')?;
    let (c, added) = match c.split_once('.') {
        Some((c, added)) => (c, number(added.as_bytes()).filter(|added| *added > 0)?),
        None => (c, 0),
    };
    let name: (u32, u32) = (number(n.as_bytes())?, number(c.as_bytes())?);
    let mut parameter = |key: &str| number(words.next()?.strip_prefix(key)?.as_bytes());
    let (slots, parity) = (parameter("slots=")?, parameter("parity=")?);
    (name.0.max(name.1).max(added) <= MAX_NUMBER && words.next().is_none())
        .then_some((name, added, slots, parity))
}

#[cfg(test)]
mod tests;
