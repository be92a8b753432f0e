//! SHA-256 digests and their hexadecimal form.

/// A SHA-256.
pub type Digest = [u8; 32];

/// The SHA-256 of `bytes`.
pub fn of(bytes: &[u8]) -> Digest {
    use sha2::Digest as _;
    sha2::Sha256::digest(bytes).into()
}

/// Reads 64 hexadecimal digits in lower case.
pub fn parse(text: &[u8]) -> Option<Digest> {
    let (pairs, []) = text.as_chunks::<2>() else { return None };
    let mut digest = Digest::default();
    if pairs.len() != digest.len() {
        return None;
    }
    let mut bad = 0;
    for (byte, [high, low]) in digest.iter_mut().zip(pairs) {
        let (high, low) = (VALUES[usize::from(*high)], VALUES[usize::from(*low)]);
        bad |= high | low;
        *byte = high << 4 | low;
    }
    (bad < 16).then_some(digest)
}

/// What each byte stands for as a digit; over 15 if it is none. Every file of every listing has 64
/// of them.
const VALUES: [u8; 256] = {
    let mut values = [0x80; 256];
    let mut value = 0;
    while value < 16 {
        values[DIGITS[value] as usize] = value as u8;
        value += 1;
    }
    values
};

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// Appends the 64 hexadecimal digits.
pub fn push(out: &mut Vec<u8>, digest: &Digest) {
    let mut text = [0; 64];
    for (pair, byte) in text.as_chunks_mut::<2>().0.iter_mut().zip(digest) {
        *pair = [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]];
    }
    out.extend_from_slice(&text);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_as_text() {
        let digest = of(b"x");
        let mut text = Vec::new();
        push(&mut text, &digest);
        assert_eq!(text, hex::encode(digest).into_bytes());
        assert_eq!(parse(&text), Some(digest));
        for at in 0..text.len() {
            for bad in [b'g', b'A', b'/', b':', b'`', 0, 0xff] {
                let mut other = text.clone();
                other[at] = bad;
                assert_eq!(parse(&other), None);
            }
        }
        assert!(
            parse(&text[1..]).is_none()
                && parse(&text[2..]).is_none()
                && parse(&[&text[..], b"00"].concat()).is_none()
        );
    }
}
