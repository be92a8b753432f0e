//! The object stream between the programs: a tar whose members are a band's objects under their
//! final names.

use std::io::{self, Read, Write};

use super::band::{BandId, BandName};
pub use super::object::MAX_OBJECT;
use super::object::{Object, ObjectName};
use super::tarball::{BLOCK, padding, record};

mod preface;

pub use preface::{Preface, SealedAs, continuation};

/// Longest pax header that a reader takes.
const MAX_RECORDS: u64 = 64 << 10;

/// Why an object stream is refused.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// The input could not be read.
    #[error("cannot read the object stream")]
    Io(#[from] io::Error),
    /// Input ended before the first object.
    #[error("the input is empty: the previous program failed")]
    Nothing,
    /// Input ended before the two zero blocks.
    #[error("the object stream ends early, at byte {0}: a previous program failed or was killed")]
    Cut(u64),
    /// A header is no tar header.
    #[error("no tar header at byte {0}: this is not an object stream, or it is damaged")]
    NotTar(u64),
    /// A member that is no plain file.
    #[error("member `{0}` is not a regular file: this is not an object stream")]
    NotFile(String),
    /// A name that is not BAND/OBJECT.
    #[error("member `{0}` does not have the name of an object")]
    BadName(String),
    /// Objects of two bands.
    #[error("member `{0}` is of another band than the first")]
    OtherBand(String),
    /// Larger than any object that Dura makes.
    #[error("member `{0}` has {1} bytes, more than an object may have")]
    TooLarge(String, u64),
    /// Something behind the end.
    #[error("bytes that are not zero follow the end of the object stream")]
    AfterEnd,
    /// Whoever reads did not want the next object.
    #[error("the object stream was not read to its end")]
    Stopped,
    /// The two zero blocks came before any object.
    #[error("the object stream has no objects")]
    Empty,
}

/// An object on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamItem {
    /// The band it belongs to.
    pub band: BandName,
    /// Its name in the band's folder.
    pub name: ObjectName,
    /// Its content.
    pub bytes: Vec<u8>,
}

/// The two zero blocks that close a stream.
pub const END: [u8; 2 * BLOCK] = [0; 2 * BLOCK];

/// The headers of an object; content and [`padding`] follow them. `mtime` is in seconds since 1970.
pub fn header(band: &BandName, name: &ObjectName, size: u64, mtime: u64) -> Vec<u8> {
    let (folder, name) = (band.to_string(), name.to_string());
    let mut out = Vec::with_capacity(BLOCK);
    let (prefix, base) = match folder.len() + 1 + name.len() {
        ..=100 => ("", format!("{folder}/{name}")),
        _ if folder.len() <= 155 => (folder.as_str(), name),
        // Only the folder of a band of tier 9 is too long for ustar.
        _ => {
            let mut records = Vec::new();
            record(&mut records, b"path", format!("{folder}/{name}").as_bytes());
            push_header(
                &mut out,
                "",
                "PaxHeaders/entry",
                records.len() as u64,
                0,
                tar::EntryType::XHeader,
            );
            let pad = padding(records.len() as u64);
            out.extend(records);
            out.resize(out.len() + pad, 0);
            ("", name)
        }
    };
    push_header(&mut out, prefix, &base, size, mtime, tar::EntryType::Regular);
    out
}

fn push_header(
    out: &mut Vec<u8>,
    prefix: &str,
    name: &str,
    size: u64,
    mtime: u64,
    kind: tar::EntryType,
) {
    let mut header = tar::Header::new_ustar();
    let fields = header.as_mut_bytes();
    fields[345..][..prefix.len()].copy_from_slice(prefix.as_bytes());
    fields[..name.len()].copy_from_slice(name.as_bytes());
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(mtime);
    header.set_size(size);
    header.set_entry_type(kind);
    header.set_cksum();
    out.extend(header.as_bytes());
}

/// Writes an object with header and padding.
///
/// # Errors
/// If it cannot be written.
pub fn write(out: &mut impl Write, item: &StreamItem, mtime: u64) -> io::Result<()> {
    let size = item.bytes.len() as u64;
    out.write_all(&header(&item.band, &item.name, size, mtime))?;
    out.write_all(&item.bytes)?;
    out.write_all(&[0; BLOCK][..padding(size)])
}

/// Reads an object stream.
pub struct StreamReader<R> {
    input: R,
    at: u64,
    band: Option<BandName>,
    preface: Preface,
    /// An object has come.
    begun: bool,
    mtime: u64,
    ended: bool,
    repairs: bool,
}

impl<R: Read> StreamReader<R> {
    /// A reader of `input`.
    pub fn new(input: R) -> StreamReader<R> {
        StreamReader {
            input,
            at: 0,
            band: None,
            preface: Preface::default(),
            begun: false,
            mtime: 0,
            ended: false,
            repairs: false,
        }
    }

    /// A reader of a stream of repaired objects: of several bands, the objects of each behind a
    /// header that names it, or of none.
    pub fn repairs(input: R) -> StreamReader<R> {
        StreamReader { repairs: true, ..StreamReader::new(input) }
    }

    /// The id of the band that the stream continues, once the first object has come; none if it
    /// begins with HEAD. In a stream of repaired objects, that of the band of the last object.
    pub fn continues(&self) -> Option<BandId> {
        self.preface.continues.as_ref().map(|(_, id)| *id)
    }

    /// The band that the last object is added to; none if the stream adds to none.
    pub fn adds(&self) -> Option<&(BandName, BandId)> {
        self.preface.adds.as_ref()
    }

    /// What stood before the first object, once that has come.
    pub fn preface(&self) -> &Preface {
        &self.preface
    }

    /// The time in the header of the last object, in seconds since 1970.
    pub fn mtime(&self) -> u64 {
        self.mtime
    }

    /// The next object; none once the end has come and nothing but zeros follows.
    ///
    /// # Errors
    /// What is wrong with the stream: also that it ends early.
    pub fn next_item(&mut self) -> Result<Option<StreamItem>, StreamError> {
        self.next_item_if(&mut |_| true)
    }

    /// The same, but asks before it takes an object's bytes into memory; gives
    /// [`StreamError::Stopped`] when they are not wanted.
    ///
    /// # Errors
    /// As of [`StreamReader::next_item`].
    pub fn next_item_if(
        &mut self,
        admit: &mut dyn FnMut(u64) -> bool,
    ) -> Result<Option<StreamItem>, StreamError> {
        if self.ended {
            return Ok(None);
        }
        let mut long = None;
        loop {
            let at = self.at;
            let mut header = tar::Header::new_old();
            self.read_exact(header.as_mut_bytes())?;
            if header.as_bytes().iter().all(|&b| b == 0) && long.is_none() {
                return self.finish(at).map(|()| None);
            }
            let (path, size) = sound(&header).ok_or(StreamError::NotTar(at))?;
            let follows = long.is_some();
            let path = long.take().unwrap_or(path);
            match header.entry_type() {
                tar::EntryType::Regular if header.as_bytes()[156] == b'0' => {
                    return self.object(&path, size, header.mtime().unwrap_or(0), admit).map(Some);
                }
                tar::EntryType::XHeader if !follows && size <= MAX_RECORDS => {
                    let records = self.body(size)?;
                    long = Some(
                        only_record(&records, "path").ok_or(StreamError::NotTar(at))?.to_owned(),
                    );
                }
                tar::EntryType::XGlobalHeader
                    if (!self.begun || self.repairs || self.preface.adds.is_some())
                        && !follows
                        && size <= MAX_RECORDS =>
                {
                    let records = self.body(size)?;
                    self.handle_global(&records).ok_or(StreamError::NotTar(at))?;
                }
                _ => return Err(StreamError::NotFile(path)),
            }
        }
    }

    fn object(
        &mut self,
        path: &str,
        size: u64,
        mtime: u64,
        admit: &mut dyn FnMut(u64) -> bool,
    ) -> Result<StreamItem, StreamError> {
        let parsed = path.split_once('/').and_then(|(band, name)| {
            Some((band.parse::<BandName>().ok()?, ObjectName::parse(name)?))
        });
        let (band, name) =
            parsed.ok_or_else(|| StreamError::BadName(path.escape_default().to_string()))?;
        if (self.repairs && self.band.is_none())
            || *self.band.get_or_insert_with(|| band.clone()) != band
        {
            return Err(StreamError::OtherBand(path.to_owned()));
        }
        if size > name.most_of_all() {
            return Err(StreamError::TooLarge(path.to_owned(), size));
        }
        self.mtime = mtime;
        self.begun = true;
        if !admit(size) {
            return Err(StreamError::Stopped);
        }
        Ok(StreamItem { band, name, bytes: self.body(size)? })
    }

    fn handle_global(&mut self, records: &[u8]) -> Option<()> {
        let line = only_record(records, "comment")?;
        if self.repairs || self.preface.adds.is_some() {
            // Each header stands for itself: only the last band counts.
            self.preface = Preface::default();
        }
        self.preface.handle_line(line)?;
        if let Some((band, _)) = self.preface.continues.as_ref().or(self.preface.adds.as_ref()) {
            self.band = Some(band.clone());
        }
        Some(())
    }

    fn body(&mut self, size: u64) -> Result<Vec<u8>, StreamError> {
        // Grown as bytes come, so that a header that lies about its size costs nothing.
        let mut bytes = Vec::with_capacity(size.min(16 << 20) as usize);
        let read = (&mut self.input).take(size).read_to_end(&mut bytes)?;
        self.at += read as u64;
        if (read as u64) < size {
            return Err(StreamError::Cut(self.at));
        }
        let mut pad = [0; BLOCK];
        self.read_exact(&mut pad[..padding(size)])?;
        Ok(bytes)
    }

    fn finish(&mut self, at: u64) -> Result<(), StreamError> {
        let mut block = [0; BLOCK];
        self.read_exact(&mut block)?;
        if block.iter().any(|&b| b != 0) {
            return Err(StreamError::NotTar(at));
        }
        if !self.begun && self.band.is_none() && !self.repairs {
            return Err(StreamError::Empty);
        }
        let mut rest = [0; 16 << 10];
        loop {
            match self.input.read(&mut rest) {
                Ok(0) => break,
                Ok(n) if rest[..n].iter().all(|&b| b == 0) => {}
                Ok(_) => return Err(StreamError::AfterEnd),
                Err(why) if why.kind() == io::ErrorKind::Interrupted => {}
                Err(why) => return Err(why.into()),
            }
        }
        self.ended = true;
        Ok(())
    }

    fn read_exact(&mut self, buffer: &mut [u8]) -> Result<(), StreamError> {
        match self.input.read_exact(buffer) {
            Ok(()) => {
                self.at += buffer.len() as u64;
                Ok(())
            }
            Err(why) if why.kind() == io::ErrorKind::UnexpectedEof => {
                Err(if self.begun { StreamError::Cut(self.at) } else { StreamError::Nothing })
            }
            Err(why) => Err(why.into()),
        }
    }
}

/// The value of a pax header that has one record with this key, byte for byte as [`record`] writes
/// it.
fn only_record<'a>(records: &'a [u8], key: &str) -> Option<&'a str> {
    let at = records.iter().position(|&b| b == b'=')? + 1;
    let value = records.get(at..records.len().checked_sub(1)?)?;
    let mut wanted = Vec::with_capacity(records.len());
    record(&mut wanted, key.as_bytes(), value);
    (wanted == records).then(|| std::str::from_utf8(value).ok())?
}

/// A tar header of an object stream: its name and size. Every tar must read the same name and size
/// out of it as this reader, so all that tars differ in is refused.
fn sound(header: &tar::Header) -> Option<(String, u64)> {
    let bytes = header.as_bytes();
    let sum: u32 = bytes
        .iter()
        .enumerate()
        .map(|(i, &b)| if (148..156).contains(&i) { 32 } else { u32::from(b) })
        .sum();
    let right = header.cksum().ok()? == sum && &bytes[257..265] == b"ustar\x0000";
    let (digits, end) = bytes[124..136].split_at(11);
    let octal = digits.iter().all(|b| (b'0'..=b'7').contains(b))
        && [b"\0", b" "].contains(&end.try_into().ok()?);
    let size = u64::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok()?;
    let (prefix, name) = (text(&bytes[345..500])?, text(&bytes[..100])?);
    let name = if prefix.is_empty() { name } else { format!("{prefix}/{name}") };
    (right && octal).then_some((name, size))
}

/// A field with a name: nothing but zeros stands behind its end.
fn text(field: &[u8]) -> Option<String> {
    let end = field.iter().position(|&b| b == 0).unwrap_or(field.len());
    let name = String::from_utf8_lossy(&field[..end]).into_owned();
    field[end..].iter().all(|&b| b == 0).then_some(name)
}

/// True if a stream may hold `next` after `before`: HEAD first or not at all, TAIL last.
pub fn in_place(before: Option<&ObjectName>, next: &ObjectName, continues: bool) -> bool {
    let after_tail = matches!(before.map(|name| name.object), Some(Object::Tail | Object::TailSig));
    match next.object {
        Object::Head => before.is_none() && !continues,
        Object::TailSig => matches!(before.map(|name| name.object), Some(Object::Tail)),
        _ => !after_tail && (before.is_some() || continues),
    }
}

#[cfg(test)]
mod tests;
