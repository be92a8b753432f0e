//! The header that Dura writes for an index line: the one place that says what stands before an
//! entry in a block, for those who check a block and for those who give an entry out.
//!
//! A line says all of a header but the names of owner and group, extended attributes and ACLs, and
//! how a sparse file is laid out. These come from the stored header, each checked, and nothing else
//! does.

use super::super::acl;
use super::super::entry::{Entry, EntryState, Kind, Meta};
use super::super::sparse::is_sparse;
use super::super::time::Time;
use super::super::untar;
use super::{Content, TarHeader, TooLong};

/// What the headers of a stored entry say and its index line does not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Extras {
    /// The owner's name, with the id that it belongs to.
    pub uname: Option<(Vec<u8>, u64)>,
    /// The group's name, with the id that it belongs to.
    pub gname: Option<(Vec<u8>, u64)>,
    /// Extended attributes without ACLs, sorted by name.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// Numeric text of the access ACL.
    pub acl_access: Option<String>,
    /// Numeric text of the default ACL.
    pub acl_default: Option<String>,
}

/// Why there is no header for a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// The line is of something that is not there.
    #[error("its index line has no mode, owner and time")]
    NotPresent,
    /// The stored header has a value that no program of Dura writes.
    #[error("its header there has a bad value of `{0}`")]
    BadValue(&'static str),
    /// The stored content is longer or shorter than the line says.
    #[error("its header there says {stored} bytes, its index line {listed}")]
    OtherSize {
        /// What the stored header says.
        stored: u64,
        /// What the line says.
        listed: u64,
    },
    /// The attributes are too long.
    #[error(transparent)]
    TooLong(#[from] TooLong),
}

impl Extras {
    /// Takes them from the headers of a stored entry.
    ///
    /// # Errors
    /// [`LineError::BadValue`] for an ACL that is no numeric text, and for attributes whose names
    /// the system would not take, or that are not in order.
    pub fn of(stored: &untar::TarEntry) -> Result<Extras, LineError> {
        let mut extras = Extras::default();
        if let Some(header) = stored.headers.last_chunk::<512>() {
            let field = tar::Header::from_byte_slice(header);
            let id = |key: &[u8], field: std::io::Result<u64>| match stored.record(key) {
                Some(value) => super::super::entry::number(value),
                None => field.ok(),
            };
            extras.uname = name(&header[265..297]).zip(id(b"uid", field.uid()));
            extras.gname = name(&header[297..329]).zip(id(b"gid", field.gid()));
        }
        for (key, value) in stored.records() {
            if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                let name = unescape(name).ok_or(LineError::BadValue("SCHILY.xattr"))?;
                if extras.xattrs.last().is_some_and(|(last, _)| *last >= name) {
                    return Err(LineError::BadValue("SCHILY.xattr"));
                }
                extras.xattrs.push((name, value.to_vec()));
            }
            let (acl, what) = match key {
                b"SCHILY.acl.access" => (&mut extras.acl_access, "SCHILY.acl.access"),
                b"SCHILY.acl.default" => (&mut extras.acl_default, "SCHILY.acl.default"),
                _ => continue,
            };
            *acl = Some(acl_text(value).ok_or(LineError::BadValue(what))?);
        }
        Ok(extras)
    }
}

/// The headers for an index line whose content is stored as `stored` says: byte for byte those that
/// pack writes for it. What follows them is what follows the stored ones. Attributes are taken only
/// if the line has the tag `x`; the name of an owner only if the stored header gives it to the
/// line's id.
///
/// # Errors
/// See [`LineError`].
pub fn header_of(line: &Entry, stored: &untar::TarEntry) -> Result<Vec<u8>, LineError> {
    let extras = Extras::of(stored)?;
    let sparse = line.kind == Kind::File && line.hard.is_none() && is_sparse(stored);
    let member = extras.member(line, sparse)?;
    let wanted = match member.content {
        Content::Bytes(size) => size,
        Content::Sparse(..) => stored.stored,
        _ => 0,
    };
    if stored.stored != wanted {
        return Err(LineError::OtherSize { stored: stored.stored, listed: wanted });
    }
    let mut out = Vec::with_capacity(3 * super::BLOCK);
    member.write_head(&mut out, stored.stored)?;
    Ok(out)
}

/// Whether a stored header is of the entry in an index line, as far as a reader of the block needs
/// to know: its type, link target and size. The names that records give must agree, too.
pub fn is_of_line(stored: &untar::TarEntry, line: &Entry) -> bool {
    let mut names =
        stored.records().filter(|(key, _)| matches!(*key, b"path" | b"GNU.sparse.name"));
    // The path under which it was found is that of one of them, if there are any.
    let named = names.clone().nth(1).is_none()
        || names.all(|(_, name)| super::Path::from_typed(name).as_ref() == Ok(&stored.path));
    let flag = match line.kind {
        Kind::File => b'0',
        Kind::Dir => b'5',
        Kind::Link => b'2',
        Kind::Fifo => b'6',
        Kind::Char => b'3',
        Kind::Block => b'4',
    };
    let field = stored.headers.last_chunk::<512>().map_or(&[][..], |header| &header[157..257]);
    let end = memchr::memchr(0, field).unwrap_or(field.len());
    let target = stored.record(b"linkpath").unwrap_or(&field[..end]);
    let linked = line.link.as_deref().unwrap_or_default() == target;
    let sized = match line.size {
        Some(size) if is_sparse(stored) => {
            let whole = stored.record(b"GNU.sparse.realsize");
            whole.and_then(super::super::entry::number::<u64>) == Some(size)
        }
        size => stored.stored == size.unwrap_or(0),
    };
    named && stored.flag == flag && linked && sized
}

/// The line that a stored header stands for, where its index is lost: without digest, inode and
/// ctime, and as if other names might be linked to it. None for a header that Dura does not write.
pub fn line_of(stored: &untar::TarEntry) -> Option<Entry> {
    let header = tar::Header::from_byte_slice(stored.headers.last_chunk::<512>()?);
    let number = |key: &[u8], field: std::io::Result<u64>| match stored.record(key) {
        Some(value) => super::super::entry::number::<u64>(value),
        None => field.ok(),
    };
    let id = |key: &[u8], field| u32::try_from(number(key, field)?).ok();
    let time = match stored.record(b"mtime") {
        Some(value) => Time::from_pax(std::str::from_utf8(value).ok()?)?,
        None => Time { sec: i64::try_from(header.mtime().ok()?).ok()?, nsec: 0 },
    };
    let meta = Meta {
        mode: header.mode().ok()? & 0o7777,
        uid: id(b"uid", header.uid())?,
        gid: id(b"gid", header.gid())?,
        time,
    };
    let target = || -> Option<Vec<u8>> {
        let short = || header.link_name_bytes().map(std::borrow::Cow::into_owned);
        stored.record(b"linkpath").map(<[u8]>::to_vec).or_else(short)
    };
    let kind = match stored.flag {
        b'0' | b'1' => Kind::File,
        b'5' => Kind::Dir,
        b'2' => Kind::Link,
        b'6' => Kind::Fifo,
        b'3' => Kind::Char,
        b'4' => Kind::Block,
        _ => return None,
    };
    let mut line = Entry::new(stored.path.clone(), kind, EntryState::Present(meta));
    line.x = stored.records().any(|(key, _)| key.starts_with(b"SCHILY."));
    if kind == Kind::Dir {
        return Some(line);
    }
    line.nlink = Some(2);
    match stored.flag {
        b'0' if is_sparse(stored) => {
            line.size = Some(super::super::entry::number(stored.record(b"GNU.sparse.realsize")?)?);
        }
        b'0' => line.size = Some(stored.stored),
        b'1' => {
            line.size = Some(0);
            line.hard = Some(super::Path::from_typed(&target()?).ok()?);
        }
        b'2' => line.link = Some(target()?),
        b'3' | b'4' => {
            line.device = Some((header.device_major().ok()??, header.device_minor().ok()??));
        }
        _ => {}
    }
    Some(line)
}

impl Extras {
    /// Whether the line may have all of the attributes: it says that there are some, and an access
    /// ACL is that of its mode, or a tar would change the mode with it.
    pub fn all_of(&self, line: &Entry) -> bool {
        let none =
            self.xattrs.is_empty() && self.acl_access.is_none() && self.acl_default.is_none();
        none || line.x && self.access_of(line).is_some() == self.acl_access.is_some()
    }

    /// The access ACL, if it is that of the line's mode.
    fn access_of(&self, line: &Entry) -> Option<&str> {
        let mode = line.meta()?.mode;
        self.acl_access.as_deref().filter(|text| acl::is_of_mode(text, mode))
    }

    /// What is stored for a line with these extras; `sparse` for a file that is stored with a map
    /// of its holes.
    ///
    /// # Errors
    /// [`LineError::NotPresent`] for a line of something that is not there.
    pub fn member<'a>(&'a self, line: &'a Entry, sparse: bool) -> Result<TarHeader<'a>, LineError> {
        let meta = *line.meta().ok_or(LineError::NotPresent)?;
        let size = line.size.unwrap_or(0);
        let content = match (&line.hard, line.kind, &line.link, line.device) {
            (Some(first), ..) => Content::Hard(first),
            (_, Kind::File, ..) if sparse => Content::Sparse(&[], size),
            (_, Kind::File, ..) => Content::Bytes(size),
            (_, Kind::Link, Some(target), _) => Content::Link(target),
            (_, Kind::Char | Kind::Block, _, Some((major, minor))) => Content::Device(major, minor),
            _ => Content::Nothing,
        };
        let own = |name: &'a Option<(Vec<u8>, u64)>, id: u32| {
            name.as_ref().filter(|(_, of)| *of == u64::from(id)).map(|(name, _)| name.as_slice())
        };
        let plain = TarHeader {
            uname: own(&self.uname, meta.uid),
            gname: own(&self.gname, meta.gid),
            ..TarHeader::plain(&line.path, line.kind, meta, content)
        };
        Ok(match line.x && line.hard.is_none() {
            false => plain,
            true => TarHeader {
                xattrs: &self.xattrs,
                acl_access: self.access_of(line),
                acl_default: self.acl_default.as_deref(),
                ..plain
            },
        })
    }
}

/// A name in a field of a header; none if it is empty, or no name.
fn name(field: &[u8]) -> Option<Vec<u8>> {
    let name: Vec<u8> = field.iter().take_while(|&&byte| byte != 0).copied().collect();
    (!name.is_empty() && !name.iter().any(u8::is_ascii_control)).then_some(name)
}

/// The name of an attribute as a record has it; none for one that the system does not take, or that
/// is written in another way than pack does.
fn unescape(name: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((&byte, behind)) = rest.split_first() {
        let (byte, behind) = match (byte, behind) {
            (b'%', [b'2', b'5', behind @ ..]) => (b'%', behind),
            (b'%', [b'3', b'D', behind @ ..]) => (b'=', behind),
            (b'%' | b'=' | 0, _) => return None,
            it => it,
        };
        out.push(byte);
        rest = behind;
    }
    // An ACL has a record of its own, which is held against the mode.
    let acl = [acl::ACCESS, acl::DEFAULT].contains(&&out[..]);
    ((1..=255).contains(&out.len()) && !acl).then_some(out)
}

/// An ACL as numeric text; none if it is something else.
fn acl_text(value: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(value).ok()?;
    let entry = |entry: &str| {
        let mut words = entry.split(':');
        let (Some(who), Some(id), Some(rights), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return false;
        };
        let known = match who {
            "user" | "group" => {
                id.is_empty() || super::super::entry::number::<u32>(id.as_bytes()).is_some()
            }
            "mask" | "other" => id.is_empty(),
            _ => false,
        };
        let has = |(at, letter): (usize, u8)| {
            rights.as_bytes().get(at).is_some_and(|&b| b == letter || b == b'-')
        };
        known && rights.len() == 3 && [(0, b'r'), (1, b'w'), (2, b'x')].into_iter().all(has)
    };
    (text.is_empty() || text.split(',').all(entry)).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::super::path::Path;
    use super::super::{Segment, padding, record};
    use super::*;

    /// What the tar reader makes of a member.
    fn stored(member: &TarHeader<'_>) -> untar::TarEntry {
        let mut bytes = Vec::new();
        let data = member.write_header(&mut bytes).unwrap();
        bytes.resize(bytes.len() + data as usize + padding(data), 0);
        untar::Untar::new(&bytes[..]).next_entry().unwrap().unwrap()
    }

    fn line(kind: Kind) -> Entry {
        let meta = Meta { mode: 0o755, uid: 7, gid: 5_000_000, time: Time { sec: 1, nsec: 5 } };
        Entry::new(Path::from_raw(b"d/a\xff"), kind, EntryState::Present(meta))
    }

    fn extras() -> Extras {
        Extras {
            uname: Some((b"joe".to_vec(), 7)),
            gname: Some((b"users".to_vec(), 5_000_000)),
            xattrs: vec![(b"user.a=%".to_vec(), b"1\n".to_vec()), (b"user.b".to_vec(), vec![])],
            acl_access: Some("user::rwx,user:12:r--,group::r--,mask::r-x,other::r-x".to_owned()),
            acl_default: Some(String::new()),
        }
    }

    #[test]
    fn what_pack_writes_is_what_the_line_says() {
        let file = Entry { size: Some(600), x: true, ..line(Kind::File) };
        let link = Entry { link: Some(b"t\xfe".to_vec()), x: true, ..line(Kind::Link) };
        let node = Entry { device: Some((8, 300)), ..line(Kind::Block) };
        let hard = Entry { size: Some(9), hard: Some(Path::from_raw(b"d/0")), ..line(Kind::File) };
        let extras = extras();
        for line in [&file, &link, &node, &hard, &line(Kind::Dir), &line(Kind::Fifo)] {
            let stored = stored(&extras.member(line, false).unwrap());
            assert_eq!(header_of(line, &stored).unwrap(), stored.headers, "{line:?}");
            let read = Extras::of(&stored).unwrap();
            assert_eq!(read.uname, extras.uname);
            assert_eq!(read.xattrs, if line.x { extras.xattrs.clone() } else { Vec::new() });
        }
        let segments = [Segment { offset: 512, len: 3 }];
        let sparse = TarHeader {
            content: Content::Sparse(&segments, 600),
            ..extras.member(&file, false).unwrap()
        };
        let stored = stored(&sparse);
        assert_eq!(stored.stored, 515);
        assert_eq!(header_of(&file, &stored).unwrap(), stored.headers);
    }

    #[test]
    fn what_the_line_does_not_say_is_left_out() {
        let file = Entry { size: Some(3), x: true, ..line(Kind::File) };
        let extras = extras();
        let full = stored(&extras.member(&file, false).unwrap());
        // No tag `x`, other ids.
        let meta = Meta { mode: 0o600, uid: 8, gid: 9, time: Time { sec: 1, nsec: 0 } };
        let bare = Entry { x: false, state: EntryState::Present(meta), ..file.clone() };
        let mut plain = Vec::new();
        TarHeader::plain(&bare.path, Kind::File, meta, Content::Bytes(3))
            .write_head(&mut plain, 3)
            .unwrap();
        assert_eq!(header_of(&bare, &full).unwrap(), plain);
        let longer = Entry { size: Some(4), ..file.clone() };
        assert_eq!(header_of(&longer, &full), Err(LineError::OtherSize { stored: 3, listed: 4 }));
        let gone = Entry { state: EntryState::Deleted, ..file };
        assert_eq!(header_of(&gone, &full), Err(LineError::NotPresent));
    }

    #[test]
    fn a_header_gives_its_line_back() {
        let file = Entry { size: Some(600), nlink: Some(2), x: true, ..line(Kind::File) };
        let link = Entry { link: Some(b"t\xfe".to_vec()), nlink: Some(2), ..line(Kind::Link) };
        let node = Entry { device: Some((8, 300)), nlink: Some(2), ..line(Kind::Block) };
        let hard = Some(Path::from_raw(b"d/0"));
        let hard = Entry { size: Some(0), nlink: Some(2), hard, ..line(Kind::File) };
        let extras = extras();
        for line in [&file, &link, &node, &hard, &line(Kind::Dir)] {
            let stored = stored(&extras.member(line, false).unwrap());
            assert_eq!(line_of(&stored).as_ref(), Some(line));
        }
    }

    #[test]
    fn attributes_are_those_of_the_line_or_left_out() {
        let file = Entry { size: Some(3), x: true, ..line(Kind::File) };
        let extras = extras();
        assert!(extras.all_of(&file) && Extras::default().all_of(&file));
        assert!(!extras.all_of(&Entry { x: false, ..file.clone() }));
        // An ACL that would change the mode.
        let acl_access = Some("user::rwx,group::rwx,other::rwx".to_owned());
        let other = Extras { acl_access, ..extras };
        assert!(!other.all_of(&file));
        assert_eq!(other.member(&file, false).unwrap().acl_access, None);
    }

    #[test]
    fn values_that_no_program_writes_are_refused() {
        let file = Entry { size: Some(0), x: true, ..line(Kind::File) };
        for (key, value, what) in [
            (&b"SCHILY.xattr."[..], &b"x"[..], "SCHILY.xattr"),
            (b"SCHILY.xattr.user.%", b"x", "SCHILY.xattr"),
            (b"SCHILY.xattr.a\0b", b"x", "SCHILY.xattr"),
            (b"SCHILY.xattr.system.posix_acl_access", b"x", "SCHILY.xattr"),
            (b"SCHILY.acl.access", b"user:root:rwx", "SCHILY.acl.access"),
            (b"SCHILY.acl.access", b"u::rwx", "SCHILY.acl.access"),
            (b"SCHILY.acl.default", b"user::rwx:4", "SCHILY.acl.default"),
            (b"SCHILY.acl.default", b"user::rwz", "SCHILY.acl.default"),
        ] {
            let mut records = Vec::new();
            record(&mut records, key, value);
            let mut bytes = Vec::new();
            super::super::push_records(&mut bytes, &records);
            bytes.extend(
                stored(&Extras::default().member(&file, false).unwrap())
                    .headers
                    .split_off(BLOCK_OF_PAX),
            );
            let stored = untar::Untar::new(&bytes[..]).next_entry().unwrap().unwrap();
            assert_eq!(header_of(&file, &stored), Err(LineError::BadValue(what)), "{value:?}");
        }
    }

    /// The pax header of `line`: its mtime record takes one block.
    const BLOCK_OF_PAX: usize = 2 * super::super::BLOCK;
}
