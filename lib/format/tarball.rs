//! Headers of the tar entries in a block: POSIX ustar, with pax records where ustar cannot hold a
//! value.
//!
//! The `tar` crate fills the 512-byte header; the records are written here, because the crate
//! splits them at newlines. What each reader makes of each record was tried: see `docs/recover.md`.

use super::entry::{Kind, Meta, number};
use super::path::Path;
use super::time::Time;

mod line;

pub use line::{Extras, LineError, header_of, is_of_line, line_of};

/// Tar's unit.
pub const BLOCK: usize = 512;

/// Readers refuse or drop a pax header from 1 MiB on.
const MAX_RECORDS: usize = 1_000_000;

/// The highest id that seven octal digits hold.
const MAX_OCTAL_ID: u32 = 0o7_777_777;

/// The highest size or time that eleven octal digits hold.
const MAX_OCTAL_SIZE: u64 = 0o77_777_777_777;

/// A run of a sparse file that holds data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// Where it begins in the file.
    pub offset: u64,
    /// How long it is.
    pub len: u64,
}

/// What an entry stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content<'a> {
    /// A file's bytes, so many.
    Bytes(u64),
    /// A file's data segments; its size with the holes.
    Sparse(&'a [Segment], u64),
    /// A symbolic link to this raw target.
    Link(&'a [u8]),
    /// A hard link to this entry.
    Hard(&'a Path),
    /// A device's major and minor number.
    Device(u32, u32),
    /// A directory or fifo.
    Nothing,
}

/// All that a header says.
#[derive(Debug, Clone)]
pub struct TarHeader<'a> {
    /// Where it is.
    pub path: &'a Path,
    /// What it is.
    pub kind: Kind,
    /// Mode, owner, time.
    pub meta: Meta,
    /// The owner's name, if there is one.
    pub uname: Option<&'a [u8]>,
    /// The group's name, if there is one.
    pub gname: Option<&'a [u8]>,
    /// What it stores.
    pub content: Content<'a>,
    /// Extended attributes without ACLs, sorted by name.
    pub xattrs: &'a [(Vec<u8>, Vec<u8>)],
    /// Numeric text of the access ACL.
    pub acl_access: Option<&'a str>,
    /// Numeric text of the default ACL.
    pub acl_default: Option<&'a str>,
}

/// The attributes of an entry do not fit a pax header that all tars read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("its extended attributes take {0} bytes, more than tar programs read in a header")]
pub struct TooLong(usize);

/// How many bytes of zeros follow `len` bytes of content.
pub fn padding(len: u64) -> usize {
    (BLOCK as u64 - len % BLOCK as u64) as usize % BLOCK
}

impl<'a> TarHeader<'a> {
    /// An entry without names, extended attributes and ACLs.
    pub fn plain(path: &'a Path, kind: Kind, meta: Meta, content: Content<'a>) -> TarHeader<'a> {
        TarHeader {
            path,
            kind,
            meta,
            uname: None,
            gname: None,
            content,
            xattrs: &[],
            acl_access: None,
            acl_default: None,
        }
    }

    /// Appends the headers, and for a sparse file its map; the content and its padding come after.
    /// Returns how many bytes of content the caller has to write (without padding).
    ///
    /// # Errors
    /// If a record or the content has no room in a tar header.
    pub fn write_header(&self, out: &mut Vec<u8>) -> Result<u64, TooLong> {
        let map = match self.content {
            Content::Sparse(segments, _) => sparse_map(segments),
            _ => Vec::new(),
        };
        let data = match self.content {
            Content::Bytes(size) => size,
            Content::Sparse(segments, _) => segments.iter().map(|segment| segment.len).sum(),
            _ => 0,
        };
        self.write_head(out, data + map.len() as u64)?;
        out.extend(map);
        Ok(data)
    }

    /// Appends the headers alone, for `size` bytes of stored content: of a sparse file that is its
    /// map and its data, and what the segments say does not matter.
    ///
    /// # Errors
    /// If a record or the content has no room in a tar header.
    pub fn write_head(&self, out: &mut Vec<u8>, size: u64) -> Result<(), TooLong> {
        let mut name = b"./".to_vec();
        name.extend(self.path.raw());
        let records = self.records(&name, size);
        if records.len() > MAX_RECORDS {
            return Err(TooLong(records.len()));
        }
        push_records(out, &records);
        let shown = match self.content {
            Content::Sparse(..) => sparse_name(&name),
            _ if self.kind == Kind::Dir && !self.path.is_root() => [&name[..], b"/"].concat(),
            _ => name,
        };
        out.extend(self.ustar(&shown, size).as_bytes());
        Ok(())
    }

    fn link_target(&self) -> Option<Vec<u8>> {
        match self.content {
            Content::Link(target) => Some(target.to_vec()),
            Content::Hard(first) => Some([b"./", &first.raw()[..]].concat()),
            _ => None,
        }
    }

    fn ustar(&self, name: &[u8], size: u64) -> tar::Header {
        let mut header = tar::Header::new_ustar();
        let (prefix, base) = split_name(name).unwrap_or_else(|| (b"", truncated(name, self.kind)));
        put_name(&mut header, prefix, base);
        let fields = header.as_mut_bytes();
        if let Some(target) = self.link_target() {
            put_bytes(&mut fields[157..257], &target);
        }
        put_bytes(&mut fields[265..296], self.uname.unwrap_or_default());
        put_bytes(&mut fields[297..328], self.gname.unwrap_or_default());
        put_meta(&mut header, &self.meta);
        put_size(&mut header, size);
        header.set_entry_type(match (self.content, self.kind) {
            (Content::Hard(_), _) => tar::EntryType::Link,
            (_, Kind::File) => tar::EntryType::Regular,
            (_, Kind::Dir) => tar::EntryType::Directory,
            (_, Kind::Link) => tar::EntryType::Symlink,
            (_, Kind::Fifo) => tar::EntryType::Fifo,
            (_, Kind::Char) => tar::EntryType::Char,
            (_, Kind::Block) => tar::EntryType::Block,
        });
        if let Content::Device(major, minor) = self.content {
            // Linux gives majors 12 bits and minors 20: both fit the seven octal digits. The
            // setters only fail for other magics.
            let _ = header.set_device_major(major);
            let _ = header.set_device_minor(minor);
        }
        put_checksum(&mut header);
        header
    }

    fn records(&self, name: &[u8], size: u64) -> Vec<u8> {
        let mut out = Vec::new();
        let target = self.link_target().filter(|target| target.len() > 100);
        let sparse = matches!(self.content, Content::Sparse(..));
        let long = !sparse && split_name(name).is_none();
        // libarchive takes other records for UTF-8 and composes accents: two names that differ only
        // so would become one.
        let raw = |text: &[u8]| !text.is_ascii();
        if ((long || sparse) && raw(name)) || target.as_deref().is_some_and(raw) {
            record(&mut out, b"hdrcharset", b"BINARY");
        }
        if long {
            let slash: &[u8] = if self.kind == Kind::Dir { b"/" } else { b"" };
            record(&mut out, b"path", &[name, slash].concat());
        }
        if let Some(target) = target {
            record(&mut out, b"linkpath", &target);
        }
        if size > MAX_OCTAL_SIZE {
            record(&mut out, b"size", size.to_string().as_bytes());
        }
        for (key, id) in [(&b"uid"[..], self.meta.uid), (b"gid", self.meta.gid)] {
            if id > MAX_OCTAL_ID {
                record(&mut out, key, id.to_string().as_bytes());
            }
        }
        let Time { sec, nsec } = self.meta.time;
        if nsec != 0 || sec < 0 || sec as u64 > MAX_OCTAL_SIZE {
            record(&mut out, b"mtime", self.meta.time.to_pax().as_bytes());
        }
        if let Content::Sparse(_, whole) = self.content {
            record(&mut out, b"GNU.sparse.major", b"1");
            record(&mut out, b"GNU.sparse.minor", b"0");
            record(&mut out, b"GNU.sparse.name", name);
            record(&mut out, b"GNU.sparse.realsize", whole.to_string().as_bytes());
        }
        for (key, acl) in [
            (&b"SCHILY.acl.access"[..], self.acl_access),
            (b"SCHILY.acl.default", self.acl_default),
        ] {
            if let Some(acl) = acl {
                record(&mut out, key, acl.as_bytes());
            }
        }
        for (name, value) in self.xattrs {
            let mut key = b"SCHILY.xattr.".to_vec();
            for &byte in name {
                match byte {
                    b'%' => key.extend(b"%25"),
                    b'=' => key.extend(b"%3D"),
                    byte => key.push(byte),
                }
            }
            record(&mut out, &key, value);
        }
        out
    }
}

/// Appends a pax record: its own length in decimal, a blank, `KEY=VALUE`, a newline.
pub fn record(out: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let digits = |len: usize| len.ilog10() as usize + 1;
    let mut len = rest + 1;
    while rest + digits(len) != len {
        len = rest + digits(len);
    }
    out.extend(len.to_string().into_bytes());
    out.push(b' ');
    out.extend(key);
    out.push(b'=');
    out.extend(value);
    out.push(b'\n');
}

/// Appends the pax header that holds these records, if there are any.
fn push_records(out: &mut Vec<u8>, records: &[u8]) {
    if records.is_empty() {
        return;
    }
    let mut header = tar::Header::new_ustar();
    put_bytes(&mut header.as_mut_bytes()[..100], b"PaxHeaders/entry");
    put_meta(&mut header, &Meta { mode: 0o644, uid: 0, gid: 0, time: Time { sec: 0, nsec: 0 } });
    put_size(&mut header, records.len() as u64);
    header.set_entry_type(tar::EntryType::XHeader);
    put_checksum(&mut header);
    out.extend(header.as_bytes());
    out.extend(records);
    out.resize(out.len() + padding(records.len() as u64), 0);
}

/// Writes mode, owner, and the whole seconds of the time.
fn put_meta(header: &mut tar::Header, meta: &Meta) {
    let fields = header.as_mut_bytes();
    put_octal(&mut fields[100..108], meta.mode.into());
    put_octal(&mut fields[136..148], meta.time.sec.clamp(0, MAX_OCTAL_SIZE as i64) as u64);
    if !put_octal(&mut fields[108..116], meta.uid.into()) {
        header.set_uid(meta.uid.into());
    }
    if !put_octal(&mut header.as_mut_bytes()[116..124], meta.gid.into()) {
        header.set_gid(meta.gid.into());
    }
}

fn put_size(header: &mut tar::Header, size: u64) {
    if !put_octal(&mut header.as_mut_bytes()[124..136], size) {
        header.set_size(size);
    }
}

/// Goes last.
fn put_checksum(header: &mut tar::Header) {
    let sum = checksum(header.as_bytes());
    put_octal(&mut header.as_mut_bytes()[148..156], sum.into());
}

/// What the checksum of a header must be.
pub(super) fn checksum(header: &[u8; BLOCK]) -> u32 {
    let sum_of = |bytes: &[u8]| bytes.iter().map(|&byte| u32::from(byte)).sum::<u32>();
    // Its own field counts as blanks.
    sum_of(header) - sum_of(&header[148..156]) + 8 * 32
}

/// Writes octal digits as the crate does, which makes a text of each number first. False if the
/// field has too few of them.
fn put_octal(field: &mut [u8], mut value: u64) -> bool {
    if let Some((end, digits)) = field.split_last_mut() {
        *end = 0;
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + (value & 7) as u8;
            value >>= 3;
        }
    }
    value == 0
}

fn put_name(header: &mut tar::Header, prefix: &[u8], base: &[u8]) {
    let fields = header.as_mut_bytes();
    fields[..100].fill(0);
    fields[345..500].fill(0);
    put_bytes(&mut fields[..100], base);
    put_bytes(&mut fields[345..500], prefix);
}

fn put_bytes(field: &mut [u8], bytes: &[u8]) {
    let len = bytes.len().min(field.len());
    field[..len].copy_from_slice(&bytes[..len]);
}

/// Splits a name into ustar's `prefix` and `name`; none if it does not fit.
fn split_name(name: &[u8]) -> Option<(&[u8], &[u8])> {
    if name.len() <= 100 {
        return Some((b"", name));
    }
    // The slash between is not stored; the name behind it must not be empty.
    let from = name.len().saturating_sub(101);
    let at = from + name[from..name.len() - 1].iter().position(|&b| b == b'/')?;
    (at <= 155).then(|| (&name[..at], &name[at + 1..]))
}

fn truncated(name: &[u8], kind: Kind) -> &[u8] {
    let mut short = &name[..100];
    while let ([rest @ .., b'/'], true) = (short, kind != Kind::Dir) {
        short = rest;
    }
    short
}

/// GNU's name for a sparse member, by which a tar without sparse support leaves it beside the real
/// one.
fn sparse_name(name: &[u8]) -> Vec<u8> {
    let slash = name.iter().rposition(|&b| b == b'/').map_or(0, |at| at + 1);
    let whole = [&name[..slash], b"GNUSparseFile.0/", &name[slash..]].concat();
    if split_name(&whole).is_some() { whole } else { truncated(&whole, Kind::File).to_vec() }
}

/// No map of a file that a machine has is longer.
pub(super) const MAX_MAP: usize = 64 << 20;

/// How many newlines a map has, by its first tar block: one behind the count of segments, and two
/// for each. None if the block begins no map.
pub(super) fn newlines(block: &[u8]) -> Option<u64> {
    let end = memchr::memchr(b'\n', block)?;
    number::<u64>(&block[..end])?.checked_mul(2)?.checked_add(1)
}

/// GNU.sparse 1.0: the count of segments, offset and length of each, a line each, padded to tar's
/// unit.
pub fn sparse_map(segments: &[Segment]) -> Vec<u8> {
    let mut map = format!("{}\n", segments.len());
    for segment in segments {
        map += &format!("{}\n{}\n", segment.offset, segment.len);
    }
    let mut map = map.into_bytes();
    map.resize(map.len() + padding(map.len() as u64), 0);
    map
}

#[cfg(test)]
mod tests;
