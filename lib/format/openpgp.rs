//! OpenPGP messages as packets (RFC 4880, RFC 9580), as far as they can be seen without a key.

use std::fmt;

/// Why bytes are no message that can be looked at.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PacketError {
    /// A packet ends early, or has a length or version that is not known.
    #[error("packet {0} cannot be read")]
    Unreadable(usize),
    /// It is text: armored, or no message at all.
    #[error("it is not in OpenPGP's binary form")]
    NotBinary,
    /// A packet that does not belong there, by its tag.
    #[error("a packet with tag {0} is in it")]
    Unexpected(u8),
    /// What it should hold is not there.
    #[error("nothing encrypted is in it")]
    Nothing,
}

/// The tag of a signature packet.
const SIGNATURE: u8 = 2;

/// How an armored signature begins and ends.
const ARMOR: (&[u8], &[u8]) = (b"-----BEGIN PGP SIGNATURE-----", b"-----END PGP SIGNATURE-----");

/// The key id that a message names a recipient by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(pub u64);

impl KeyId {
    /// The id that stands for a recipient who is not named.
    pub const HIDDEN: KeyId = KeyId(0);

    /// The id of a key with this fingerprint, or this id, in hex.
    pub fn of(fingerprint: &str) -> Option<KeyId> {
        let at = fingerprint.len().checked_sub(16)?;
        u64::from_str_radix(fingerprint.get(at..)?, 16).ok().map(KeyId)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016X}", self.0)
    }
}

/// How a passphrase is made into a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Derivation {
    /// Number of the cipher.
    pub cipher: u8,
    /// True if a salt goes into it.
    pub salted: bool,
    /// Bytes that are hashed; 0 where only the passphrase itself is.
    pub count: u64,
}

/// What keeps a message from being changed unnoticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageProtection {
    /// Nothing.
    None,
    /// A hash under the encryption (MDC).
    Hash,
    /// Authenticated encryption.
    Authenticated,
}

/// An encrypted message, as seen from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// Whose keys open it.
    pub recipients: Vec<KeyId>,
    /// How passphrases open it.
    pub passphrases: Vec<Derivation>,
    /// What keeps it from being changed.
    pub protection: MessageProtection,
}

/// Literal data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Literal {
    /// Its mode: `b` is binary.
    pub mode: u8,
    /// The name that goes with it.
    pub name: Vec<u8>,
    /// The data.
    pub body: Vec<u8>,
}

/// Looks at an encrypted message.
///
/// # Errors
/// If it is no encrypted message.
pub fn envelope(bytes: &[u8]) -> Result<Envelope, PacketError> {
    let mut packets = Packets::new(bytes)?;
    let mut envelope = Envelope {
        recipients: Vec::new(),
        passphrases: Vec::new(),
        protection: MessageProtection::None,
    };
    while let Some((tag, body)) = packets.next_packet()? {
        let unreadable = || PacketError::Unreadable(packets.count);
        match tag {
            1 => envelope.recipients.push(recipient(&body).ok_or_else(unreadable)?),
            3 => envelope.passphrases.push(derivation(&body).ok_or_else(unreadable)?),
            9 | 18 | 20 => {
                envelope.protection = match (tag, body.first()) {
                    (9, _) => MessageProtection::None,
                    (18, Some(1)) => MessageProtection::Hash,
                    (18, Some(2)) | (20, Some(1)) => MessageProtection::Authenticated,
                    _ => return Err(unreadable()),
                };
                return match packets.next_packet()? {
                    None => Ok(envelope),
                    Some((tag, _)) => Err(PacketError::Unexpected(tag)),
                };
            }
            // A marker, or padding.
            10 | 21 => {}
            tag => return Err(PacketError::Unexpected(tag)),
        }
    }
    Err(PacketError::Nothing)
}

/// Whether a packet that begins with this byte is none with which an encrypted message begins: one
/// that tells what opens it, a marker or padding. Text is not looked at: it may be armored.
pub fn begins_something_else(first: u8) -> bool {
    let tag = match first {
        0xc0.. => first & 0x3f,
        0x80.. => first >> 2 & 0xf,
        _ => return false,
    };
    !matches!(tag, 1 | 3 | 10 | 21)
}

/// What opens a message, as far as its first bytes tell: whose keys, and how passphrases do.
pub fn openers(start: &[u8]) -> (Vec<KeyId>, Vec<Derivation>) {
    let (mut recipients, mut passphrases) = (Vec::new(), Vec::new());
    let mut rest = start;
    while let Some((tag, body, behind)) = packet(rest) {
        match tag {
            1 => recipients.extend(recipient(body)),
            3 => passphrases.extend(derivation(body)),
            10 | 21 => {}
            _ => break,
        }
        rest = behind;
    }
    (recipients, passphrases)
}

/// About how many bytes a message holds, if it is not compressed; none if it is no message.
pub fn holds(bytes: &[u8]) -> Option<usize> {
    // A packet of literal data without a name, what stands before it, and the hash behind it.
    const AROUND: usize = 49;
    let mut packets = Packets::new(bytes).ok()?;
    while let Ok(Some((tag, body))) = packets.next_packet() {
        if matches!(tag, 9 | 18 | 20) {
            return Some(body.len().saturating_sub(AROUND));
        }
    }
    None
}

/// Reads a message that is one literal packet and nothing else.
///
/// # Errors
/// If it is anything else.
pub fn literal(bytes: &[u8]) -> Result<Literal, PacketError> {
    let mut packets = Packets::new(bytes)?;
    match packets.next_packet()? {
        Some((11, body)) => {
            let unreadable = PacketError::Unreadable(packets.count);
            let name = body.get(1).map(|len| 2 + usize::from(*len));
            let parts = name.and_then(|end| Some((body.get(2..end)?, body.get(end + 4..)?)));
            let (name, data) = parts.ok_or(unreadable)?;
            let literal = Literal { mode: body[0], name: name.to_vec(), body: data.to_vec() };
            match packets.next_packet()? {
                None => Ok(literal),
                Some((tag, _)) => Err(PacketError::Unexpected(tag)),
            }
        }
        Some((tag, _)) => Err(PacketError::Unexpected(tag)),
        None => Err(PacketError::Nothing),
    }
}

/// The signatures in a file that holds nothing else, each as its own bytes.
pub fn signatures(bytes: &[u8]) -> Option<Vec<&[u8]>> {
    let mut packets = Packets::new(bytes).ok()?;
    let mut found = Vec::new();
    loop {
        let before = packets.rest;
        match packets.next_packet().ok()? {
            Some((2, _)) => found.push(&before[..before.len() - packets.rest.len()]),
            Some(_) => return None,
            None => return Some(found).filter(|found| !found.is_empty()),
        }
    }
}

/// True for one or more whole signatures and nothing else. gpg looks no further than the signature
/// that it finds: what stands behind it may be damage, or what somebody hides there.
pub fn is_signatures(bytes: &[u8]) -> bool {
    if bytes.starts_with(ARMOR.0) {
        let end = bytes.trim_ascii_end();
        let one = |what: &[u8]| memchr::memmem::find_iter(end, what).count() == 1;
        return end.ends_with(ARMOR.1) && one(ARMOR.0) && one(ARMOR.1) && end.is_ascii();
    }
    let mut rest = bytes;
    while !rest.is_empty() {
        let Some((tag, body, behind)) = packet(rest) else { return false };
        // Versions of signatures are 3 to 6; the shortest has more bytes than this.
        let whole = body.len() > 16 && (3..=6).contains(&body[0]);
        if tag != SIGNATURE || !whole {
            return false;
        }
        rest = behind;
    }
    !bytes.is_empty()
}

/// The first packet's tag and body, and what is behind it; none if it is not whole, or its length
/// is not said at its begin.
fn packet(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    let number = |bytes: &[u8]| bytes.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
    let (tag, len, rest) = match first {
        0xc0.. => {
            let (&one, rest) = rest.split_first()?;
            let (len, rest) = match one {
                0..=191 => (usize::from(one), rest),
                192..=223 => {
                    let (&two, rest) = rest.split_first()?;
                    ((usize::from(one) - 192) << 8 | usize::from(two), rest)
                }
                224..=254 => return None,
                255 => (number(rest.get(..4)?), &rest[4..]),
            };
            // Two octets begin where one ends.
            (first & 0x3f, if (192..=223).contains(&one) { len + 192 } else { len }, rest)
        }
        0x80.. => {
            let octets = [1, 2, 4].get(usize::from(first & 3)).copied()?;
            (first >> 2 & 0xf, number(rest.get(..octets)?), &rest[octets..])
        }
        _ => return None,
    };
    let (body, behind) = rest.split_at_checked(len)?;
    Some((tag, body, behind))
}

fn recipient(body: &[u8]) -> Option<KeyId> {
    let id = match body.first()? {
        3 => body.get(1..9)?,
        // A length, the version of the key, its fingerprint; the id of a key of version 6 is at
        // the fingerprint's start.
        6 => match (body.get(1)?, body.get(2)) {
            (0, _) => return Some(KeyId::HIDDEN),
            (21, Some(4)) => body.get(15..23)?,
            (33, Some(6)) => body.get(3..11)?,
            _ => return None,
        },
        _ => return None,
    };
    Some(KeyId(u64::from_be_bytes(id.try_into().ok()?)))
}

fn derivation(body: &[u8]) -> Option<Derivation> {
    // Where the cipher and the specifier stand differs between versions 4, 5 and 6.
    let (cipher, at) = match body.first()? {
        4 => (1, 2),
        5 => (1, 3),
        6 => (2, 5),
        _ => return None,
    };
    let (salted, count) = match body.get(at)? {
        0 => (false, 0),
        1 => (true, 0),
        3 => {
            let coded = u64::from(*body.get(at + 10)?);
            (true, (16 + (coded & 15)) << ((coded >> 4) + 6))
        }
        // Argon2: its cost is not a count of bytes, and is high in any case.
        4 => (true, u64::MAX),
        _ => return None,
    };
    Some(Derivation { cipher: *body.get(cipher)?, salted, count })
}

/// Takes packets apart.
struct Packets<'a> {
    rest: &'a [u8],
    count: usize,
}

impl<'a> Packets<'a> {
    fn new(bytes: &'a [u8]) -> Result<Packets<'a>, PacketError> {
        match bytes.first() {
            Some(first) if first & 0x80 != 0 => Ok(Packets { rest: bytes, count: 0 }),
            _ => Err(PacketError::NotBinary),
        }
    }

    fn next_packet(&mut self) -> Result<Option<(u8, Vec<u8>)>, PacketError> {
        let Some(first) = self.take(1) else { return Ok(None) };
        self.count += 1;
        let unreadable = PacketError::Unreadable(self.count);
        self.packet(first[0]).map(Some).ok_or(unreadable)
    }

    fn packet(&mut self, first: u8) -> Option<(u8, Vec<u8>)> {
        match first & 0xc0 {
            0xc0 => {
                let (tag, mut body) = (first & 0x3f, Vec::new());
                loop {
                    let (length, more) = match self.take(1)?[0] {
                        short @ 0..192 => (usize::from(short), false),
                        high @ 192..224 => {
                            let low = usize::from(self.take(1)?[0]);
                            (((usize::from(high) - 192) << 8) + low + 192, false)
                        }
                        255 => (self.number(4)?, false),
                        power => (1 << (power & 31), true),
                    };
                    body.extend_from_slice(self.take(length)?);
                    if !more {
                        return Some((tag, body));
                    }
                }
            }
            0x80 => {
                let length = match first & 3 {
                    // To the end.
                    3 => self.rest.len(),
                    power => self.number(1 << power)?,
                };
                Some(((first >> 2) & 15, self.take(length)?.to_vec()))
            }
            _ => None,
        }
    }

    fn number(&mut self, bytes: usize) -> Option<usize> {
        let add = |sum: usize, byte: &u8| (sum << 8) | usize::from(*byte);
        Some(self.take(bytes)?.iter().fold(0, add))
    }

    fn take(&mut self, bytes: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(bytes)?;
        self.rest = rest;
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What gpg 2.2 wrote, with the session key's ciphertext cut to two bytes.
    fn to_a_key(rest: &[u8]) -> Vec<u8> {
        let mut message = vec![0x84, 12, 3, 0x0f, 0x35, 0x1a, 0x80, 0xd9, 0xb0, 0x37, 0x1e];
        message.extend([18, 0xab, 0xcd]);
        message.extend(rest);
        message
    }

    #[test]
    fn what_begins_an_encrypted_message() {
        for first in [0x84, 0x85, 0x8c, 0xa8, 0xc1, 0xc3, 0xd5, b'-', 0] {
            assert!(!begins_something_else(first), "{first:x}");
        }
        // A signature, a key, compressed, encrypted and literal data, others.
        for first in [0x88, 0x99, 0xa0, 0xa3, 0xa4, 0xd2, 0xd4, 0xac, 0xaf, 0xc8, 0xcb, 0xcd, 0xfd]
        {
            assert!(begins_something_else(first), "{first:x}");
        }
    }

    #[test]
    fn envelopes() {
        let hash = [0xd2, 3, 1, 9, 9];
        let seen = envelope(&to_a_key(&hash)).unwrap();
        assert_eq!(seen.recipients, [KeyId(0x0f35_1a80_d9b0_371e)]);
        assert_eq!(seen.recipients[0].to_string(), "0F351A80D9B0371E");
        assert_eq!((seen.protection, seen.passphrases), (MessageProtection::Hash, Vec::new()));
        for (body, protection) in [
            (&[0xc9, 1, 7][..], MessageProtection::None),
            (&[0xd2, 2, 2, 7], MessageProtection::Authenticated),
            (&[0xd4, 2, 1, 7], MessageProtection::Authenticated),
            (&[0xd2, 0xe1, 1, 2, 1, 3], MessageProtection::Hash),
        ] {
            assert_eq!(envelope(&to_a_key(body)).map(|seen| seen.protection), Ok(protection));
        }
        let symmetric = [0x8c, 13, 4, 9, 3, 8, 1, 2, 3, 4, 5, 6, 7, 8, 0x60, 0xd2, 1, 1];
        let passphrase = Derivation { cipher: 9, salted: true, count: 65_536 };
        assert_eq!(envelope(&symmetric).unwrap().passphrases, [passphrase]);
        let unsalted = [0x8c, 4, 4, 2, 0, 2, 0xd2, 1, 1];
        let passphrase = Derivation { cipher: 2, salted: false, count: 0 };
        assert_eq!(envelope(&unsalted).unwrap().passphrases, [passphrase]);
    }

    #[test]
    fn what_is_no_envelope() {
        let whole = to_a_key(&[0xd2, 3, 1, 9, 9]);
        for len in 1..whole.len() {
            assert!(envelope(&whole[..len]).is_err(), "{len}");
        }
        assert_eq!(envelope(b"-----BEGIN PGP MESSAGE-----"), Err(PacketError::NotBinary));
        assert_eq!(envelope(b""), Err(PacketError::NotBinary));
        assert_eq!(envelope(&to_a_key(&[0xcb, 1, 0])), Err(PacketError::Unexpected(11)));
        let two = to_a_key(&[0xd2, 1, 1, 0xd2, 1, 1]);
        assert_eq!(envelope(&two), Err(PacketError::Unexpected(18)));
    }

    #[test]
    fn signatures_and_nothing_else() {
        let one = [0x88, 3, 4, 0, 1];
        let other = [0xc2, 2, 4, 1];
        let both = [&one[..], &other[..]].concat();
        assert_eq!(signatures(&one), Some(vec![&one[..]]));
        assert_eq!(signatures(&both), Some(vec![&one[..], &other[..]]));
        for bad in [&both[..8], &[&both[..], &[0]].concat(), &[&one[..], &[0xca, 0]].concat(), b""]
        {
            assert_eq!(signatures(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn literals() {
        let packet = [0xcb, 9, b'b', 1, b'n', 0, 0, 0, 0, b'h', b'i'];
        let literal_of = |mode| Literal { mode, name: b"n".to_vec(), body: b"hi".to_vec() };
        assert_eq!(literal(&packet), Ok(literal_of(b'b')));
        let mut text = packet;
        text[2] = b't';
        assert_eq!(literal(&text), Ok(literal_of(b't')));
        let old = [0xac, 9, b'b', 1, b'n', 0, 0, 0, 0, b'h', b'i'];
        assert_eq!(literal(&old), Ok(literal_of(b'b')));
        for len in 0..packet.len() {
            assert!(literal(&packet[..len]).is_err(), "{len}");
        }
        assert_eq!(literal(&[0xc8, 1, 1]), Err(PacketError::Unexpected(8)));
    }

    #[test]
    fn whole_signatures_and_nothing_else() {
        let body = [&[4, 0][..], &[7; 200]].concat();
        let old = [&[0x88, 202][..], &body].concat();
        let older = [&[0x89, 0, 202][..], &body].concat();
        let new = [&[0xc2, 192, 10][..], &body].concat();
        let longest = [&[0xc2, 255, 0, 0, 0, 202][..], &body].concat();
        for good in [&old, &older, &new, &longest, &[&old[..], &new].concat()] {
            assert!(is_signatures(good));
            for garbage in
                [&b"x"[..], b"\n", b"\0", &[0x88, 0], &[0x88, 1, 4], &old[..9], &[7; 300]]
            {
                assert!(!is_signatures(&[&good[..], garbage].concat()), "{garbage:?}");
            }
            assert!((0..body.len()).all(|end| !is_signatures(&good[..end])));
        }
        // A literal packet, and lengths that are not said.
        assert!(!is_signatures(&[&[0xac, 202][..], &body].concat()));
        assert!(!is_signatures(&[&[0x8b][..], &body].concat()));
        assert!(!is_signatures(&[&[0xc2, 230][..], &body].concat()));
        let armored = "-----BEGIN PGP SIGNATURE-----\n\niQ==\n-----END PGP SIGNATURE-----\n";
        assert!(is_signatures(armored.as_bytes()));
        assert!(!is_signatures(format!("{armored}x\n").as_bytes()));
        assert!(!is_signatures(armored.repeat(2).as_bytes()));
        assert!(!is_signatures(b""));
    }
}
