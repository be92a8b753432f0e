//! Paths as archives write them: bytes, octal-escaped, in canonical order.
//!
//! Names are bytes and never assumed to be UTF-8. Every byte outside 0x21–0x7e, and each of
//! `\ # = * ? [`, is written as `\` and three octal digits: the only escape that NetBSD mtree
//! and libarchive both understand fully.

use std::cmp::Ordering;
use std::fmt;

/// A path below the source's root in its encoded form: `.` for the root, else `./a\040b/c`.
///
/// Two paths are equal exactly when their encodings are, because the encoding is canonical. `Ord`
/// is the canonical order of every walk, listing, index and block: depth first, siblings by the
/// bytes of their encoded names.
#[derive(PartialEq, Eq, Hash)]
pub struct Path(Vec<u8>);

impl Clone for Path {
    fn clone(&self) -> Path {
        Path(self.0.clone())
    }

    /// Into the memory that `self` has already.
    fn clone_from(&mut self, other: &Path) {
        self.0.clone_from(&other.0);
    }
}

/// Why some bytes are no path of a listing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// It is neither `.` nor begins with `./`.
    #[error("path does not begin with ./")]
    NotRelative,
    /// A component is empty, `.` or `..`.
    #[error("path has an empty, `.` or `..` component")]
    BadComponent,
    /// A `\` is not followed by three octal digits that give a byte.
    #[error("bad escape in path")]
    BadEscape,
    /// A byte stands raw that must be escaped, or an escape stands for a byte that must not be.
    #[error("path is not in canonical encoding")]
    NotCanonical,
}

const fn plain(byte: u8) -> bool {
    PLAIN[byte as usize]
}

/// The bytes that stand for themselves. Every byte of every path is looked up here.
const PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut byte = 0x21;
    while byte <= 0x7e {
        plain[byte] = !matches!(byte as u8, b'\\' | b'#' | b'=' | b'*' | b'?' | b'[');
        byte += 1;
    }
    plain
};

fn plain_in_tag(byte: u8) -> bool {
    plain(byte) && byte != b',' && byte != b':'
}

fn encode_with(mut raw: &[u8], out: &mut Vec<u8>, plain: impl Fn(u8) -> bool) {
    while let Some(at) = raw.iter().position(|&byte| !plain(byte)) {
        let byte = raw[at];
        out.extend_from_slice(&raw[..at]);
        out.extend([b'\\', b'0' + (byte >> 6), b'0' + (byte >> 3 & 7), b'0' + (byte & 7)]);
        raw = &raw[at + 1..];
    }
    out.extend_from_slice(raw);
}

/// Bytes that a person typed, as a message shows them: encoded if they are not text or have control
/// characters.
pub fn shown(raw: &[u8]) -> String {
    match std::str::from_utf8(raw) {
        Ok(text) if !text.contains(char::is_control) => text.to_owned(),
        _ => {
            let mut encoded = Vec::new();
            encode(raw, &mut encoded);
            String::from_utf8_lossy(&encoded).into_owned()
        }
    }
}

/// Appends `raw` in the encoding of paths and link targets.
pub fn encode(raw: &[u8], out: &mut Vec<u8>) {
    encode_with(raw, out, plain);
}

/// Appends `raw` in the encoding of values inside `tags=`, where `,` and `:` are escaped too.
pub fn encode_tag(raw: &[u8], out: &mut Vec<u8>) {
    encode_with(raw, out, plain_in_tag);
}

/// Undoes [`encode`] and [`encode_tag`].
///
/// # Errors
/// If an escape is cut off or no octal number, or a byte should have been escaped.
pub fn decode(text: &[u8]) -> Result<Vec<u8>, PathError> {
    let mut raw = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, tail @ ..] = rest {
        if *first == b'\\' {
            let [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', tail @ ..] = tail else {
                return Err(PathError::BadEscape);
            };
            raw.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
            rest = tail;
        } else {
            raw.push(*first);
            rest = tail;
        }
    }
    Ok(raw)
}

/// Where two texts differ first, as far as both go: neighbours in a listing have long beginnings in
/// common.
fn mismatch(a: &[u8], b: &[u8]) -> Option<usize> {
    const STEP: usize = 8;
    let (a_words, b_words) = (a.as_chunks::<STEP>().0, b.as_chunks::<STEP>().0);
    let same = a_words
        .iter()
        .zip(b_words)
        .take_while(|(x, y)| u64::from_ne_bytes(**x) == u64::from_ne_bytes(**y))
        .count()
        * STEP;
    a[same..].iter().zip(&b[same..]).position(|(x, y)| x != y).map(|at| same + at)
}

/// Compares two encoded paths canonically: the end of a path sorts first, then `/`, then all other
/// bytes.
pub fn compare(a: &[u8], b: &[u8]) -> Ordering {
    let rank = |byte: u8| if byte == b'/' { 0 } else { byte };
    match mismatch(a, b) {
        Some(i) => rank(a[i]).cmp(&rank(b[i])),
        None => a.len().cmp(&b.len()),
    }
}

/// Compares two raw names of one directory by the bytes of their encodings, without encoding them.
pub fn compare_names(a: &[u8], b: &[u8]) -> Ordering {
    match mismatch(a, b) {
        Some(i) => {
            // Two escaped bytes compare as their octal digits do, which is as the bytes do.
            let rank = |byte: u8| if plain(byte) { (byte, 0) } else { (b'\\', byte) };
            rank(a[i]).cmp(&rank(b[i]))
        }
        None => a.len().cmp(&b.len()),
    }
}

impl Path {
    /// The source's root, `.`.
    pub fn root() -> Path {
        Path(b".".to_vec())
    }

    /// The path of the raw bytes `a/b/c`, without a leading `./`; empty means the root.
    pub fn from_raw(raw: &[u8]) -> Path {
        if raw.is_empty() {
            return Path::root();
        }
        let mut out = Vec::with_capacity(raw.len() + 2);
        out.extend(b"./");
        encode(raw, &mut out);
        Path(out)
    }

    /// The path of an entry of this directory, by its raw name.
    pub fn child(&self, name: &[u8]) -> Path {
        let mut out = Vec::with_capacity(self.0.len() + 1 + name.len());
        out.extend_from_slice(&self.0);
        out.push(b'/');
        encode(name, &mut out);
        Path(out)
    }

    /// Takes an encoded path; refuses what a canonical writer would not write, and every path that
    /// could leave the root.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn parse(text: &[u8]) -> Result<Path, PathError> {
        if text == b"." {
            return Ok(Path::root());
        }
        let rest = text.strip_prefix(b"./").ok_or(PathError::NotRelative)?;
        let simple = rest.iter().all(|&b| plain(b));
        if !simple {
            let raw = decode(rest)?;
            let mut again = Vec::with_capacity(rest.len());
            encode(&raw, &mut again);
            if again != rest || raw.contains(&0) {
                return Err(PathError::NotCanonical);
            }
        }
        if rest.split(|&b| b == b'/').any(|part| matches!(part, b"" | b"." | b"..")) {
            return Err(PathError::BadComponent);
        }
        Ok(Path(text.to_vec()))
    }

    /// Takes a path as a person types it: raw bytes, with or without a leading `./` or trailing
    /// `/`.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn from_typed(raw: &[u8]) -> Result<Path, PathError> {
        if raw.first() == Some(&b'/') {
            return Err(PathError::NotRelative);
        }
        let mut out = Vec::with_capacity(raw.len() + 2);
        out.push(b'.');
        for part in raw.split(|&b| b == b'/').filter(|part| !matches!(*part, b"" | b".")) {
            if part == b".." {
                return Err(PathError::BadComponent);
            }
            out.push(b'/');
            encode(part, &mut out);
        }
        Ok(Path(out))
    }

    /// The encoded bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// True for `.`.
    pub fn is_root(&self) -> bool {
        self.0 == b"."
    }

    /// The raw bytes relative to the root, without `./`; empty for the root.
    pub fn raw(&self) -> Vec<u8> {
        if self.is_root() {
            return Vec::new();
        }
        // Every `Path` was checked when it was made, so its escapes are good.
        decode(&self.0[2..]).unwrap_or_default()
    }

    /// The path of the directory that holds this one; none for the root.
    pub fn parent(&self) -> Option<Path> {
        let slash = self.0.iter().rposition(|&b| b == b'/')?;
        Some(Path(self.0[..slash].to_vec()))
    }

    /// True if `other` lies below this path, at any depth; a path is not below itself.
    pub fn holds(&self, other: &Path) -> bool {
        other.0.len() > self.0.len()
            && other.0.starts_with(&self.0)
            && other.0[self.0.len()] == b'/'
    }

    /// This path as seen from `dir`, which holds it or is it.
    pub fn seen_from(&self, dir: &Path) -> Option<Path> {
        let rest = self.0.strip_prefix(dir.as_bytes())?;
        let inside = rest.is_empty() || rest.first() == Some(&b'/');
        inside.then(|| Path([b".", rest].concat()))
    }

    /// How many directories lie above: 0 for the root.
    pub fn depth(&self) -> usize {
        self.0.iter().filter(|&&b| b == b'/').count()
    }
}

impl Ord for Path {
    fn cmp(&self, other: &Path) -> Ordering {
        compare(&self.0, &other.0)
    }
}

impl PartialOrd for Path {
    fn partial_cmp(&self, other: &Path) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

impl fmt::Debug for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_one_encoding() {
        for byte in 1..=255u8 {
            if byte == b'/' {
                continue;
            }
            let path = Path::from_raw(&[b'a', byte]);
            assert_eq!(Path::parse(path.as_bytes()).unwrap(), path);
            assert_eq!(path.raw(), [b'a', byte]);
            assert!(path.as_bytes().iter().all(|b| (0x21..=0x7e).contains(b)));
        }
        assert_eq!(
            Path::from_raw(b"a b#=*?[\\\n\xff,:").as_bytes(),
            b"./a\\040b\\043\\075\\052\\077\\133\\134\\012\\377,:"
        );
    }

    #[test]
    fn what_is_no_path() {
        for (text, why) in [
            (&b"a"[..], PathError::NotRelative),
            (b"", PathError::NotRelative),
            (b"/a", PathError::NotRelative),
            (b"./", PathError::BadComponent),
            (b"./a/", PathError::BadComponent),
            (b"./a//b", PathError::BadComponent),
            (b"./../a", PathError::BadComponent),
            (b"./a/..", PathError::BadComponent),
            (b"./\\056\\056/a", PathError::NotCanonical),
            (b"./\\4001", PathError::BadEscape),
            (b"./\\04", PathError::BadEscape),
            (b"./a b", PathError::NotCanonical),
            (b"./\\141", PathError::NotCanonical),
            (b"./\\000", PathError::NotCanonical),
            (b"./a\\057b", PathError::NotCanonical),
        ] {
            assert_eq!(Path::parse(text), Err(why), "{}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn order_is_depth_first_by_encoded_names() {
        let sorted = ["", "a", "a/b", "a/b/c", "a!", "a-b", "a.txt", "a b", "b"]
            .map(|s| Path::from_raw(s.as_bytes()));
        for (i, a) in sorted.iter().enumerate() {
            for (j, b) in sorted.iter().enumerate() {
                assert_eq!(a.cmp(b), i.cmp(&j), "{a} {b}");
            }
        }
    }

    #[test]
    fn names_compare_as_their_encodings() {
        let names: Vec<Vec<u8>> = (1..=255u8)
            .filter(|b| *b != b'/')
            .flat_map(|b| [vec![b], vec![b'a', b], vec![b, b'a']])
            .collect();
        for a in &names {
            for b in &names {
                assert_eq!(
                    compare_names(a, b),
                    Path::from_raw(a).cmp(&Path::from_raw(b)),
                    "{a:?} {b:?}"
                );
            }
        }
    }

    #[test]
    fn family() {
        let path = Path::from_raw(b"a/b");
        assert_eq!(path.parent(), Some(Path::from_raw(b"a")));
        assert_eq!(path.parent().unwrap().parent(), Some(Path::root()));
        assert_eq!(Path::root().parent(), None);
        assert!(
            Path::root().holds(&path)
                && !path.holds(&path)
                && !Path::from_raw(b"a/bc").holds(&path)
        );
        assert_eq!(Path::root().child(b"a").child(b"b"), path);
        assert_eq!(path.seen_from(&Path::from_raw(b"a")), Some(Path::from_raw(b"b")));
        assert_eq!(path.seen_from(&path), Some(Path::root()));
        assert_eq!(path.seen_from(&Path::root()), Some(path.clone()));
        assert_eq!(Path::from_raw(b"ab").seen_from(&Path::from_raw(b"a")), None);
        assert_eq!(Path::from_typed(b"./a//b/"), Ok(path));
        assert_eq!(Path::from_typed(b"."), Ok(Path::root()));
        assert!(Path::from_typed(b"a/../b").is_err() && Path::from_typed(b"/a").is_err());
    }
}
