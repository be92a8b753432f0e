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
    let mut digest = Digest::default();
    let lower = !text.iter().any(u8::is_ascii_uppercase);
    (lower && hex::decode_to_slice(text, &mut digest).is_ok()).then_some(digest)
}

/// Appends the 64 hexadecimal digits.
pub fn push(out: &mut Vec<u8>, digest: &Digest) {
    out.extend(hex::encode(digest).into_bytes());
}
