//! SFTP version 3 as bytes: requests, and replies, of which nothing is believed that is not there.

/// The longest reply that is read. A reply holds at most one piece of a file, or a page of names.
pub const MAX_PACKET: usize = 1 << 20;

/// The bytes of one read or write: every server takes as many.
pub(super) const PIECE: usize = 32 << 10;

/// A longer handle is none: the protocol says so.
const MAX_HANDLE: usize = 256;

/// How a file is opened.
pub(super) const READ: u32 = 0x01;
/// To be written; it must not be there yet.
pub(super) const WRITE_NEW: u32 = 0x02 | 0x08 | 0x20;

/// The mode of what is written: nobody may change it, and who may read it is for the server's umask
/// to say.
const READ_ONLY: u32 = 0o444;

const HAS_SIZE: u32 = 0x01;
const HAS_OWNER: u32 = 0x02;
const HAS_MODE: u32 = 0x04;
const HAS_TIMES: u32 = 0x08;
const HAS_MORE: u32 = 0x8000_0000;

/// What a status says.
pub(super) mod code {
    pub(crate) const OK: u32 = 0;
    pub(crate) const EOF: u32 = 1;
    pub(crate) const NO_SUCH_FILE: u32 = 2;
    pub(crate) const DENIED: u32 = 3;
    /// Anything: that it exists, that the disk is full, that it failed.
    pub(crate) const FAILURE: u32 = 4;
    pub(crate) const BAD: u32 = 5;
    pub(crate) const NO_CONNECTION: u32 = 6;
    pub(crate) const CONNECTION_LOST: u32 = 7;
    pub(crate) const UNSUPPORTED: u32 = 8;
    /// Of later versions, but said by some servers in this one.
    pub(crate) const EXISTS: u32 = 11;
    pub(crate) const NO_SPACE: u32 = 14;
    pub(crate) const QUOTA: u32 = 15;
}

/// What is asked of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SftpRequest<'a> {
    /// Opens a file, as [`READ`] or [`WRITE_NEW`].
    Open(&'a [u8], u32),
    Close(&'a [u8]),
    /// Handle, place, length.
    Read(&'a [u8], u64, u32),
    Write(&'a [u8], u64, &'a [u8]),
    /// What is at a path, which may be a link.
    Look(&'a [u8]),
    /// The same, through links.
    Follow(&'a [u8]),
    OpenFolder(&'a [u8]),
    ReadFolder(&'a [u8]),
    Remove(&'a [u8]),
    MakeFolder(&'a [u8]),
    RemoveFolder(&'a [u8]),
    /// Another name for a file. Whether one that is there is replaced differs.
    Move(&'a [u8], &'a [u8]),
    /// What not every server can: its name, and paths or a handle.
    Extended(&'a str, &'a [&'a [u8]]),
}

/// What is known of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SftpAttributes {
    /// Its size.
    pub size: Option<u64>,
    /// Kind and permissions.
    pub mode: Option<u32>,
}

impl SftpAttributes {
    fn is_kind(self, kind: u32) -> bool {
        self.mode.is_some_and(|mode| mode & 0o170_000 == kind)
    }

    pub(super) fn is_file(self) -> bool {
        self.is_kind(0o100_000)
    }

    pub(super) fn is_folder(self) -> bool {
        self.is_kind(0o040_000)
    }

    pub(super) fn is_link(self) -> bool {
        self.is_kind(0o120_000)
    }
}

/// What a server answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SftpReply {
    /// How it went, in a number and in words.
    Status(u32, String),
    /// What stands for an opened file or folder.
    Handle(Vec<u8>),
    /// A piece of a file.
    Data(Vec<u8>),
    /// A page of names.
    Names(Vec<(Vec<u8>, SftpAttributes)>),
    /// What is known of a file.
    Attributes(SftpAttributes),
    /// What an extension answers.
    Extended(Vec<u8>),
}

/// What is no packet of this protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadPacket {
    /// It ends before what it should hold.
    #[error("a packet that is too short")]
    Short,
    /// It is of a kind that nobody asked for.
    #[error("a packet of kind {0}")]
    Kind(u8),
    /// A handle that is longer than any.
    #[error("a handle that is too long")]
    Handle,
    /// It speaks another version.
    #[error("SFTP version {0}, not 3")]
    Version(u32),
}

impl SftpRequest<'_> {
    /// The whole packet, with its length.
    pub(super) fn encode(&self, id: u32) -> Vec<u8> {
        let (kind, texts): (u8, &[&[u8]]) = match self {
            SftpRequest::Open(path, _) => (3, &[path]),
            SftpRequest::Close(handle) => (4, &[handle]),
            SftpRequest::Read(handle, ..) => (5, &[handle]),
            SftpRequest::Write(handle, ..) => (6, &[handle]),
            SftpRequest::Look(path) => (7, &[path]),
            SftpRequest::OpenFolder(path) => (11, &[path]),
            SftpRequest::ReadFolder(handle) => (12, &[handle]),
            SftpRequest::Remove(path) => (13, &[path]),
            SftpRequest::MakeFolder(path) => (14, &[path]),
            SftpRequest::RemoveFolder(path) => (15, &[path]),
            SftpRequest::Follow(path) => (17, &[path]),
            SftpRequest::Move(from, to) => (18, &[from, to]),
            SftpRequest::Extended(name, _) => (200, &[name.as_bytes()]),
        };
        let mut out = vec![0, 0, 0, 0, kind];
        out.extend(id.to_be_bytes());
        texts.iter().for_each(|text| put(&mut out, text));
        match self {
            SftpRequest::Open(_, flags) => {
                out.extend(flags.to_be_bytes());
                if *flags == WRITE_NEW {
                    out.extend(HAS_MODE.to_be_bytes());
                    out.extend(READ_ONLY.to_be_bytes());
                } else {
                    out.extend([0; 4]);
                }
            }
            SftpRequest::Read(_, place, length) => {
                out.extend(place.to_be_bytes());
                out.extend(length.to_be_bytes());
            }
            SftpRequest::Write(_, place, bytes) => {
                out.extend(place.to_be_bytes());
                put(&mut out, bytes);
            }
            SftpRequest::MakeFolder(_) => out.extend([0; 4]),
            SftpRequest::Extended(_, fields) => {
                fields.iter().for_each(|field| put(&mut out, field));
            }
            _ => {}
        }
        sized(out)
    }
}

/// What a client says first.
pub(super) fn hello() -> Vec<u8> {
    sized(vec![0, 0, 0, 0, 1, 0, 0, 0, 3])
}

/// Writes the length into the room for it.
fn sized(mut packet: Vec<u8>) -> Vec<u8> {
    let length = (packet.len() - 4) as u32;
    packet[..4].copy_from_slice(&length.to_be_bytes());
    packet
}

fn put(out: &mut Vec<u8>, text: &[u8]) {
    out.extend((text.len() as u32).to_be_bytes());
    out.extend(text);
}

/// The names of the extensions that a server's first packet tells of, without its length.
///
/// # Errors
/// If it is not that packet, or of another version.
pub fn greeting(packet: &[u8]) -> Result<Vec<String>, BadPacket> {
    let (mut rest, kind) = PacketRest::of(packet)?;
    if kind != 2 {
        return Err(BadPacket::Kind(kind));
    }
    match rest.number()? {
        3 => {}
        version => return Err(BadPacket::Version(version)),
    }
    let mut names = Vec::new();
    while !rest.0.is_empty() {
        names.push(String::from_utf8_lossy(rest.text()?).into_owned());
        rest.text()?;
    }
    Ok(names)
}

/// A reply, without its length, and the request that it belongs to.
///
/// # Errors
/// If it is none.
pub fn decode(packet: &[u8]) -> Result<(u32, SftpReply), BadPacket> {
    let (mut rest, kind) = PacketRest::of(packet)?;
    let id = rest.number()?;
    let reply = match kind {
        101 => {
            let code = rest.number()?;
            // Old servers leave the words out.
            let words = rest.text().unwrap_or_default();
            SftpReply::Status(code, String::from_utf8_lossy(words).into_owned())
        }
        102 => match rest.text()? {
            handle if handle.len() > MAX_HANDLE => return Err(BadPacket::Handle),
            handle => SftpReply::Handle(handle.to_vec()),
        },
        103 => SftpReply::Data(rest.text()?.to_vec()),
        104 => {
            let mut names = Vec::new();
            for _ in 0..rest.number()? {
                let name = rest.text()?.to_vec();
                rest.text()?;
                names.push((name, rest.attributes()?));
            }
            SftpReply::Names(names)
        }
        105 => SftpReply::Attributes(rest.attributes()?),
        201 => SftpReply::Extended(rest.0.to_vec()),
        kind => return Err(BadPacket::Kind(kind)),
    };
    Ok((id, reply))
}

/// The bytes that are free for us, as `statvfs@openssh.com` answers; 0 where no file is.
pub fn free(reply: &[u8]) -> Option<u64> {
    let mut rest = PacketRest(reply);
    let mut next = || rest.long().ok();
    let (_, unit, _, _, blocks) = (next()?, next()?, next()?, next()?, next()?);
    let (files, _, free_files) = (next()?, next()?, next()?);
    Some(if files > 0 && free_files == 0 { 0 } else { blocks.saturating_mul(unit) })
}

/// What is left of a packet.
struct PacketRest<'a>(&'a [u8]);

impl<'a> PacketRest<'a> {
    fn of(packet: &'a [u8]) -> Result<(PacketRest<'a>, u8), BadPacket> {
        let (kind, rest) = packet.split_first().ok_or(BadPacket::Short)?;
        Ok((PacketRest(rest), *kind))
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], BadPacket> {
        let (array, rest) = self.0.split_first_chunk().ok_or(BadPacket::Short)?;
        self.0 = rest;
        Ok(*array)
    }

    fn number(&mut self) -> Result<u32, BadPacket> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    fn long(&mut self) -> Result<u64, BadPacket> {
        Ok(u64::from_be_bytes(self.array()?))
    }

    fn text(&mut self) -> Result<&'a [u8], BadPacket> {
        let length = self.number()? as usize;
        let (text, rest) = self.0.split_at_checked(length).ok_or(BadPacket::Short)?;
        self.0 = rest;
        Ok(text)
    }

    fn attributes(&mut self) -> Result<SftpAttributes, BadPacket> {
        let flags = self.number()?;
        let mut found = SftpAttributes::default();
        if flags & HAS_SIZE != 0 {
            found.size = Some(self.long()?);
        }
        if flags & HAS_OWNER != 0 {
            self.long()?;
        }
        if flags & HAS_MODE != 0 {
            found.mode = Some(self.number()?);
        }
        if flags & HAS_TIMES != 0 {
            self.long()?;
        }
        if flags & HAS_MORE != 0 {
            for _ in 0..self.number()? {
                self.text()?;
                self.text()?;
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        hex::encode(bytes)
    }

    #[test]
    fn requests_as_bytes() {
        let cases: [(SftpRequest<'_>, &str); 9] = [
            (
                SftpRequest::Open(b"/a", READ),
                "00000013 03 00000007 00000002 2f61 00000001 00000000",
            ),
            (
                SftpRequest::Open(b"a", WRITE_NEW),
                "00000016 03 00000007 00000001 61 0000002a 00000004 00000124",
            ),
            (
                SftpRequest::Read(b"h", 1 << 32, 9),
                "00000016 05 00000007 00000001 68 0000000100000000 00000009",
            ),
            (
                SftpRequest::Write(b"h", 2, b"xyz"),
                "00000019 06 00000007 00000001 68 0000000000000002 00000003 78797a",
            ),
            (SftpRequest::Look(b""), "00000009 07 00000007 00000000"),
            (SftpRequest::MakeFolder(b"d"), "0000000e 0e 00000007 00000001 64 00000000"),
            (SftpRequest::Move(b"a", b"b"), "0000000f 12 00000007 00000001 61 00000001 62"),
            (
                SftpRequest::Extended("x@y", &[b"a", b"b"]),
                "00000016 c8 00000007 00000003 784079 00000001 61 00000001 62",
            ),
            (SftpRequest::Close(b"h"), "0000000a 04 00000007 00000001 68"),
        ];
        for (request, wanted) in cases {
            assert_eq!(hex(&request.encode(7)), wanted.replace(' ', ""), "{request:?}");
        }
        assert_eq!(hex(&hello()), "000000050100000003");
    }

    fn bytes(text: &str) -> Vec<u8> {
        hex::decode(text.replace(' ', "")).unwrap()
    }

    const NAMES: &str = "68 00000005 00000002 00000001 61 00000000 00000005 0000000000000009 000081a4 \
        00000002 6263 00000001 78 8000000f 0000000000000001 0000000100000002 000041ed 0000000300000004 \
        00000001 00000001 70 00000001 71";

    #[test]
    fn replies_from_bytes() {
        let file = SftpAttributes { size: Some(9), mode: Some(0o100_644) };
        let folder = SftpAttributes { size: Some(1), mode: Some(0o40_755) };
        let cases = [
            ("65 00000005 00000004 00000002 6e6f 00000000", SftpReply::Status(4, "no".into())),
            ("65 00000005 00000001", SftpReply::Status(1, String::new())),
            ("66 00000005 00000002 0007", SftpReply::Handle(vec![0, 7])),
            ("67 00000005 00000001 78", SftpReply::Data(b"x".to_vec())),
            ("69 00000005 00000005 0000000000000009 000081a4", SftpReply::Attributes(file)),
            ("c9 00000005 0102", SftpReply::Extended(vec![1, 2])),
            (NAMES, SftpReply::Names(vec![(b"a".to_vec(), file), (b"bc".to_vec(), folder)])),
        ];
        for (text, wanted) in cases {
            let packet = bytes(text);
            assert_eq!(decode(&packet), Ok((5, wanted.clone())), "{text}");
            // Nothing of it is enough, unless it may end there.
            for length in 0..packet.len() {
                match (decode(&packet[..length]), &wanted) {
                    (Err(BadPacket::Short), _) => {}
                    (Ok((5, SftpReply::Status(..))), SftpReply::Status(..)) => {}
                    (Ok((5, SftpReply::Extended(_))), SftpReply::Extended(_)) => {}
                    (other, _) => panic!("{text} cut to {length}: {other:?}"),
                }
            }
        }
        assert!(file.is_file() && folder.is_folder() && !SftpAttributes::default().is_file());
    }

    /// Lengths and counts are believed only as far as there are bytes.
    #[test]
    fn replies_that_lie() {
        for (text, wanted) in [
            ("67 00000005 ffffffff 78", BadPacket::Short),
            ("68 00000005 ffffffff 00000001 61 00000000 00000000", BadPacket::Short),
            ("69 00000005 80000000 ffffffff 00000000 00000000", BadPacket::Short),
            ("02 00000003", BadPacket::Kind(2)),
            ("", BadPacket::Short),
        ] {
            assert_eq!(decode(&bytes(text)), Err(wanted), "{text}");
        }
        let long = [&bytes("66 00000005 00000101")[..], &[0; 257]].concat();
        assert_eq!(decode(&long), Err(BadPacket::Handle));
    }

    #[test]
    fn greetings() {
        let good = bytes("02 00000003 00000003 784079 00000001 31 00000001 7a 00000000");
        assert_eq!(greeting(&good).unwrap(), ["x@y", "z"]);
        assert_eq!(greeting(&good[..good.len() - 1]), Err(BadPacket::Short));
        assert_eq!(greeting(&bytes("02 00000004")), Err(BadPacket::Version(4)));
        assert_eq!(greeting(&bytes("65 00000003")), Err(BadPacket::Kind(0x65)));
    }

    #[test]
    fn free_space() {
        let longs = |numbers: [u64; 11]| numbers.map(u64::to_be_bytes).concat();
        assert_eq!(free(&longs([4096, 512, 9, 8, 7, 100, 6, 5, 0, 0, 255])), Some(7 * 512));
        assert_eq!(free(&longs([4096, 512, 9, 8, 7, 100, 0, 0, 0, 0, 255])), Some(0));
        assert_eq!(free(&longs([4096, 512, 9, 8, 7, 0, 0, 0, 0, 0, 255])), Some(7 * 512));
        assert_eq!(free(&[0; 40]), None);
    }
}
