//! The object stream between the programs: a tar whose members are a band's objects under their
//! final names.

use std::io::{self, Read, Write};

use super::band::{BandId, BandName};
use super::object::{Object, ObjectName};
use super::tarball::{BLOCK, padding, record};

/// The largest object that a reader takes. Pack makes parts far below it.
pub const MAX_OBJECT: u64 = 2 << 30;

/// Longest pax header that a reader takes.
const MAX_RECORDS: u64 = 64 << 10;

/// Why an object stream is refused.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// The input could not be read.
    #[error("cannot read the object stream")]
    Io(#[from] io::Error),
    /// Input ended before the two zero blocks.
    #[error("the object stream is cut off at byte {0}: what came before was killed or failed")]
    Cut(u64),
    /// A header is no tar header.
    #[error("no tar header at byte {0}: this is no object stream, or it is damaged")]
    NotTar(u64),
    /// A member that is no plain file.
    #[error("member `{0}` is no plain file: this is no object stream")]
    NotFile(String),
    /// A name that is not BAND/OBJECT.
    #[error("member `{0}` is not named as an object of a band is")]
    BadName(String),
    /// Objects of two bands.
    #[error("member `{0}` is of another band than the first")]
    OtherBand(String),
    /// Larger than any object that Dura makes.
    #[error("member `{0}` has {1} bytes, more than any object has")]
    TooLarge(String, u64),
    /// Something behind the end.
    #[error("bytes that are not zero follow the end of the object stream")]
    AfterEnd,
    /// Whoever reads did not want the next object.
    #[error("the object stream was not read to its end")]
    Stopped,
    /// The two zero blocks came before any object.
    #[error("the object stream holds no object")]
    Empty,
}

/// An object on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
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

/// The pax global header by which a stream without HEAD says which band it continues.
pub fn continuation(band: &BandName, id: &BandId) -> Vec<u8> {
    let mut records = Vec::new();
    record(&mut records, b"comment", format!("dura {band} {id}").as_bytes());
    let mut out = Vec::new();
    push_header(
        &mut out,
        "",
        "PaxHeaders/dura",
        records.len() as u64,
        0,
        tar::EntryType::XGlobalHeader,
    );
    let pad = padding(records.len() as u64);
    out.extend(records);
    out.resize(out.len() + pad, 0);
    out
}

/// Writes an object with header and padding.
pub fn write(out: &mut impl Write, item: &Item, mtime: u64) -> io::Result<()> {
    let size = item.bytes.len() as u64;
    out.write_all(&header(&item.band, &item.name, size, mtime))?;
    out.write_all(&item.bytes)?;
    out.write_all(&[0; BLOCK][..padding(size)])
}

/// Reads an object stream.
pub struct Reader<R> {
    input: R,
    at: u64,
    band: Option<BandName>,
    continues: Option<BandId>,
    mtime: u64,
    ended: bool,
    repairs: bool,
}

impl<R: Read> Reader<R> {
    /// A reader of `input`.
    pub fn new(input: R) -> Reader<R> {
        Reader { input, at: 0, band: None, continues: None, mtime: 0, ended: false, repairs: false }
    }

    /// A reader of a stream of repaired objects: of several bands, the objects of each behind a
    /// header that names it, or of none.
    pub fn repairs(input: R) -> Reader<R> {
        Reader { repairs: true, ..Reader::new(input) }
    }

    /// The id of the band that the stream continues, once the first object has come; none if it
    /// begins with HEAD. In a stream of repaired objects, that of the band of the last object.
    pub fn continues(&self) -> Option<BandId> {
        self.continues
    }

    /// The time in the header of the last object, in seconds since 1970.
    pub fn mtime(&self) -> u64 {
        self.mtime
    }

    /// The next object; none once the end has come and nothing but zeros follows.
    pub fn next_item(&mut self) -> Result<Option<Item>, StreamError> {
        self.next_item_if(&mut |_| true)
    }

    /// The same, but asks before it takes an object's bytes into memory; gives
    /// [`StreamError::Stopped`] when they are not wanted.
    pub fn next_item_if(
        &mut self,
        admit: &mut dyn FnMut(u64) -> bool,
    ) -> Result<Option<Item>, StreamError> {
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
            let size = sound(&header).ok_or(StreamError::NotTar(at))?;
            let path = long
                .take()
                .unwrap_or_else(|| String::from_utf8_lossy(&header.path_bytes()).into_owned());
            match header.entry_type() {
                tar::EntryType::Regular => {
                    return self.object(&path, size, header.mtime().unwrap_or(0), admit).map(Some);
                }
                tar::EntryType::XHeader if size <= MAX_RECORDS => {
                    let records = self.body(size)?;
                    long = Some(
                        only_record(&records, " path=").ok_or(StreamError::NotTar(at))?.to_owned(),
                    );
                }
                tar::EntryType::XGlobalHeader
                    if (self.band.is_none() || self.repairs) && size <= MAX_RECORDS =>
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
    ) -> Result<Item, StreamError> {
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
        if size > MAX_OBJECT {
            return Err(StreamError::TooLarge(path.to_owned(), size));
        }
        self.mtime = mtime;
        if !admit(size) {
            return Err(StreamError::Stopped);
        }
        Ok(Item { band, name, bytes: self.body(size)? })
    }

    fn handle_global(&mut self, records: &[u8]) -> Option<()> {
        let (band, id) = only_record(records, " comment=dura ")?.split_once(' ')?;
        self.band = Some(band.parse().ok()?);
        self.continues = Some(id.parse().ok()?);
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
        if self.band.is_none() && !self.repairs {
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
                Err(StreamError::Cut(self.at))
            }
            Err(why) => Err(why.into()),
        }
    }
}

/// The value behind `key` in a pax header that has this one record.
fn only_record<'a>(records: &'a [u8], key: &str) -> Option<&'a str> {
    Some(std::str::from_utf8(records).ok()?.strip_suffix('\n')?.split_once(key)?.1)
}

/// The size that a header gives, if its checksum is right.
fn sound(header: &tar::Header) -> Option<u64> {
    let bytes = header.as_bytes();
    let sum: u32 = bytes
        .iter()
        .enumerate()
        .map(|(i, &b)| if (148..156).contains(&i) { 32 } else { u32::from(b) })
        .sum();
    (header.cksum().ok()? == sum && &bytes[257..262] == b"ustar")
        .then(|| header.entry_size().ok())?
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
mod tests {
    use super::*;

    fn items() -> Vec<Item> {
        [
            ("HEAD", &b"head"[..]),
            ("00000/000000000.tar.gz", &[7; 1000]),
            ("00000/000000000.mtree.gz", b""),
            ("TAIL", &[1; 512]),
        ]
        .map(|(name, bytes)| Item {
            band: "20261101T020000Z".parse().unwrap(),
            name: ObjectName::parse(name).unwrap(),
            bytes: bytes.to_vec(),
        })
        .to_vec()
    }

    fn stream() -> Vec<u8> {
        let mut out = Vec::new();
        items().iter().for_each(|item| write(&mut out, item, 1_793_498_400).unwrap());
        out.extend(END);
        out
    }

    fn read(bytes: &[u8]) -> Result<Vec<Item>, StreamError> {
        let mut reader = Reader::new(bytes);
        let mut items = Vec::new();
        while let Some(item) = reader.next_item()? {
            items.push(item);
        }
        assert_eq!(reader.mtime(), 1_793_498_400);
        Ok(items)
    }

    #[test]
    fn reads_what_it_writes() {
        assert_eq!(read(&stream()).unwrap(), items());
        assert_eq!(read(&[stream(), vec![0; 9000]].concat()).unwrap(), items());
        let header = &stream()[..512];
        assert_eq!(&header[..24], b"20261101T020000Z/HEAD\0\0\0");
        assert_eq!(
            &header[100..157],
            b"0000644\x000000000\x000000000\x0000000000004\x0015271516440\x000010243\x000"
        );
    }

    #[test]
    fn every_cut_is_seen() {
        let bytes = stream();
        for end in 0..bytes.len() {
            assert!(matches!(read(&bytes[..end]), Err(StreamError::Cut(_))), "cut at {end}");
        }
    }

    #[test]
    fn every_changed_byte_of_a_header_is_seen() {
        let bytes = stream();
        for i in 0..512 {
            let mut bad = bytes.clone();
            bad[i] ^= 1;
            assert!(
                !read(&bad).is_ok_and(|seen| seen == items())
                    || bad[..512] == bytes[..512]
                    || (148..156).contains(&i),
                "changed at {i}"
            );
        }
    }

    #[test]
    fn hostile_members() {
        let band: BandName = "20261101T020000Z".parse().unwrap();
        let with = |path: &str, kind: tar::EntryType, size: u64| {
            let mut header = tar::Header::new_ustar();
            header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
            header.set_size(size);
            header.set_mode(0o644);
            header.set_entry_type(kind);
            header.set_cksum();
            read(&[stream()[..1024].to_vec(), header.as_bytes().to_vec(), END.to_vec()].concat())
        };
        let file = tar::EntryType::Regular;
        for path in [
            "../HEAD",
            "/etc/passwd",
            "20261101T020000Z/../../x",
            "20261101T020000Z/x",
            "x/HEAD",
            "20261101T020000Z",
            "20261101T020000Z/00000/../HEAD",
        ] {
            assert!(matches!(with(path, file, 0), Err(StreamError::BadName(_))), "{path}");
        }
        assert!(matches!(with("20261102T020000Z/TAIL", file, 0), Err(StreamError::OtherBand(_))));
        assert!(matches!(
            with("20261101T020000Z/TAIL", tar::EntryType::Symlink, 0),
            Err(StreamError::NotFile(_))
        ));
        assert!(matches!(
            with("20261101T020000Z/TAIL", file, MAX_OBJECT + 1),
            Err(StreamError::TooLarge(..))
        ));
        assert!(matches!(
            with("20261101T020000Z/TAIL", file, MAX_OBJECT),
            Err(StreamError::Cut(_))
        ));
        assert!(matches!(read(&[stream(), b"x".to_vec()].concat()), Err(StreamError::AfterEnd)));
        assert!(matches!(read(&END), Err(StreamError::Empty)));
        assert!(matches!(read(&[b'x'; 2048]), Err(StreamError::NotTar(0))));
        assert_eq!(band.tier(), 0);
    }

    #[test]
    fn a_continuation_names_its_band() {
        let band: BandName = "20261101T020000Z".parse().unwrap();
        let id: BandId = "00112233445566778899aabbccddeeff".parse().unwrap();
        let bytes = [continuation(&band, &id), stream()[1024..].to_vec()].concat();
        let mut reader = Reader::new(&bytes[..]);
        assert_eq!(reader.next_item().unwrap().unwrap(), items()[1]);
        assert_eq!(reader.continues(), Some(id));
    }

    #[test]
    fn repairs_may_be_of_several_bands() {
        let bands: Vec<BandName> =
            ["20261101T020000Z", "20261102T020000Z"].map(|band| band.parse().unwrap()).to_vec();
        let ids = [BandId([1; 16]), BandId([2; 16])];
        let mut bytes = Vec::new();
        let mut sent = Vec::new();
        for (band, id) in bands.iter().zip(&ids) {
            bytes.extend(continuation(band, id));
            for name in ["TAIL", "HEAD"] {
                let item = Item {
                    band: band.clone(),
                    name: ObjectName::parse(name).unwrap(),
                    bytes: vec![7; 3],
                };
                write(&mut bytes, &item, 1).unwrap();
                sent.push((item, *id));
            }
        }
        bytes.extend(END);
        let mut reader = Reader::repairs(&bytes[..]);
        let mut came = Vec::new();
        while let Some(item) = reader.next_item().unwrap() {
            came.push((item, reader.continues().unwrap()));
        }
        assert_eq!(came, sent);
        // Only what replaces takes such a stream, and nothing comes before its band is named.
        let mut strict = Reader::new(&bytes[..]);
        let refused = std::iter::from_fn(|| strict.next_item().transpose()).find_map(Result::err);
        assert!(matches!(refused, Some(StreamError::NotFile(_))));
        assert!(matches!(
            Reader::repairs(&stream()[..]).next_item(),
            Err(StreamError::OtherBand(_))
        ));
        assert!(matches!(Reader::repairs(&END[..]).next_item(), Ok(None)));
    }

    #[test]
    fn the_longest_name_fits() {
        let ten: Vec<String> = (10..20).map(|day| format!("202611{day}T020000Z")).collect();
        let band: BandName = ten.join("-").parse().unwrap();
        let name = ObjectName::parse("00000/000000000.tar.zst.000000.gpg").unwrap();
        let item = Item { band, name, bytes: vec![1] };
        let mut out = Vec::new();
        write(&mut out, &item, 1).unwrap();
        let read = Reader::new(&out[..]).next_item();
        assert!(matches!(read, Ok(Some(ref back)) if *back == item), "{read:?}");
    }

    #[test]
    fn places() {
        let name = |text| ObjectName::parse(text).unwrap();
        let (head, block, tail, sig) =
            (name("HEAD"), name("00000/000000000.tar"), name("TAIL"), name("TAIL.sig"));
        assert!(
            in_place(None, &head, false)
                && in_place(Some(&head), &block, false)
                && in_place(Some(&block), &tail, false)
        );
        assert!(in_place(Some(&tail), &sig, false) && in_place(None, &block, true));
        assert!(
            !in_place(None, &block, false)
                && !in_place(Some(&block), &head, false)
                && !in_place(Some(&tail), &block, false)
        );
        assert!(!in_place(None, &head, true) && !in_place(Some(&block), &sig, false));
    }
}
