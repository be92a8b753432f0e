//! Sums of a large file: the chunks that its content is cut into, by which the next version of the
//! file finds what has not changed. They stand beside the file's block, and nothing is lost with
//! them: without sums the next version is stored whole.

use std::fmt::Write as _;

use super::digest::{self, Digest};
use super::entry::number;

/// The first 16 bytes of a chunk's BLAKE3.
pub type ChunkHash = [u8; 16];

/// The least and the most bytes that chunks have in the mean; powers of two.
pub const MIN_AVERAGE: u32 = 16 << 10;
/// See [`MIN_AVERAGE`].
pub const MAX_AVERAGE: u32 = 4 << 20;

/// A file with more chunks has no sums: what compares them holds them in memory.
pub const MAX_CHUNKS: usize = 3 << 20;

/// The longest piece of a hole that is one chunk.
pub const MAX_HOLE: u32 = 1 << 31;

/// A piece of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk {
    /// Its length in bytes, at least one.
    pub len: u32,
    /// What it holds; none for (a part of) a hole.
    pub hash: Option<ChunkHash>,
}

/// A line of sums.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SumsLine {
    /// The next chunk.
    Chunk(Chunk),
    /// The next chunks are those of the base from this one on, so many.
    OfBase(u32, u32),
}

/// What such an object says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChunkSums {
    /// SHA-256 of the content.
    pub sha256: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// The mean length of chunks that the cutter was asked for.
    pub average: u32,
    /// SHA-256 of the content of the base, if lines refer to that.
    pub base: Option<Digest>,
    /// The chunks in their order.
    pub lines: Vec<SumsLine>,
}

const FORM: &str = "#dura sums 1";
const CUTTER: &str = "#cutter fastcdc ";
const HASH: &str = "#hash blake3 16";

impl ChunkSums {
    /// The text of the object, before compression.
    pub fn text(&self) -> String {
        let mut text = format!("{FORM}\n#content {} {}\n", hex::encode(self.sha256), self.size);
        _ = writeln!(text, "{CUTTER}{}\n{HASH}", self.average);
        if let Some(base) = &self.base {
            _ = writeln!(text, "#base {}", hex::encode(base));
        }
        for line in &self.lines {
            _ = match line {
                SumsLine::Chunk(Chunk { len, hash: Some(hash) }) => {
                    writeln!(text, "{len} {}", hex::encode(hash))
                }
                SumsLine::Chunk(Chunk { len, hash: None }) => writeln!(text, "{len} -"),
                SumsLine::OfBase(first, count) => writeln!(text, "@{first} {count}"),
            };
        }
        let end = hex::encode(digest::of(text.as_bytes()));
        _ = writeln!(text, "#end {end}");
        text
    }

    /// Reads it; none for anything else, and if a byte of it was changed.
    pub fn parse(text: &[u8]) -> Option<ChunkSums> {
        let body = text.strip_suffix(b"\n")?;
        let (_, end) = body.split_at_checked(memchr::memrchr(b'\n', body)? + 1)?;
        let said = digest::parse(end.strip_prefix(b"#end ")?)?;
        let body = &body[..body.len() - end.len()];
        if digest::of(body) != said {
            return None;
        }
        let mut lines = body.strip_suffix(b"\n")?.split(|&b| b == b'\n').peekable();
        let mut header = |begin: &str| lines.next_if(|line| line.starts_with(begin.as_bytes()));
        header(FORM).filter(|line| *line == FORM.as_bytes())?;
        let content = header("#content ")?.strip_prefix(b"#content ")?;
        let (sha256, size) = halves(content)?;
        let average = number(header(CUTTER)?.strip_prefix(CUTTER.as_bytes())?)?;
        header(HASH).filter(|line| *line == HASH.as_bytes())?;
        let base = match header("#base ") {
            Some(line) => Some(digest::parse(line.strip_prefix(b"#base ")?)?),
            None => None,
        };
        let is_sound = |average: &u32| {
            average.is_power_of_two() && (MIN_AVERAGE..=MAX_AVERAGE).contains(average)
        };
        let average = Some(average).filter(is_sound)?;
        let (sha256, size) = (digest::parse(sha256)?, number(size)?);
        let lines = lines.map(|line| sums_line(line, base.is_some())).collect::<Option<Vec<_>>>();
        let lines = lines.filter(|lines| lines.len() <= MAX_CHUNKS)?;
        Some(ChunkSums { sha256, size, average, base, lines })
    }

    /// All chunks; `base` has those of the base. None if they are not those of so many bytes, or
    /// lines refer to chunks that are not there.
    pub fn chunks(&self, base: &[Chunk]) -> Option<Vec<Chunk>> {
        let mut chunks = Vec::with_capacity(self.lines.len());
        for line in &self.lines {
            match *line {
                SumsLine::Chunk(chunk) => chunks.push(chunk),
                SumsLine::OfBase(first, count) => {
                    let end = first.checked_add(count)?;
                    chunks.extend_from_slice(base.get(first as usize..end as usize)?);
                }
            }
            if chunks.len() > MAX_CHUNKS {
                return None;
            }
        }
        let sum: u64 = chunks.iter().map(|chunk| u64::from(chunk.len)).sum();
        (sum == self.size).then_some(chunks)
    }
}

fn halves(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = text.iter().position(|&b| b == b' ')?;
    Some((&text[..at], &text[at + 1..]))
}

fn sums_line(line: &[u8], has_base: bool) -> Option<SumsLine> {
    let (first, second) = halves(line)?;
    if let Some(first) = first.strip_prefix(b"@") {
        let count: u32 = number(second)?;
        return (has_base && count > 0).then_some(SumsLine::OfBase(number(first)?, count));
    }
    let len: u32 = number(first)?;
    let hash = match second {
        b"-" => None,
        hash => {
            let mut bytes = ChunkHash::default();
            hex::decode_to_slice(hash, &mut bytes).ok()?;
            Some(bytes)
        }
    };
    (0 < len && len <= MAX_HOLE).then_some(SumsLine::Chunk(Chunk { len, hash }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASHED: Chunk = Chunk { len: 16_000, hash: Some([0xab; 16]) };
    const HOLE: Chunk = Chunk { len: 4096, hash: None };

    fn sums() -> ChunkSums {
        ChunkSums {
            sha256: [1; 32],
            size: 16_000 + 4096 + 2 * 16_000,
            average: MIN_AVERAGE,
            base: Some([2; 32]),
            lines: vec![SumsLine::Chunk(HASHED), SumsLine::Chunk(HOLE), SumsLine::OfBase(1, 2)],
        }
    }

    #[test]
    fn golden() {
        let text = sums().text();
        let (lines, end) = text.rsplit_once("#end ").unwrap();
        assert_eq!(
            lines,
            format!(
                "#dura sums 1\n#content {} 52096\n#cutter fastcdc 16384\n#hash blake3 16\n#base {}\n16000 {}\n4096 -\n@1 2\n",
                "01".repeat(32),
                "02".repeat(32),
                "ab".repeat(16)
            )
        );
        assert_eq!(end.trim_end(), hex::encode(digest::of(lines.as_bytes())));
        assert_eq!(ChunkSums::parse(text.as_bytes()), Some(sums()));
        let base = [HOLE, HASHED, HASHED, HOLE];
        assert_eq!(sums().chunks(&base).unwrap(), [HASHED, HOLE, HASHED, HASHED]);
        // Of another base, or of one that is not there.
        assert_eq!((sums().chunks(&base[1..]), sums().chunks(&[])), (None, None));
    }

    /// Text with a digest that fits, whatever it says.
    fn sealed(lines: &str) -> Option<ChunkSums> {
        let end = hex::encode(digest::of(lines.as_bytes()));
        ChunkSums::parse(format!("{lines}#end {end}\n").as_bytes())
    }

    #[test]
    fn what_no_program_writes() {
        let text = sums().text();
        let (lines, _) = text.rsplit_once("#end ").unwrap();
        assert!(sealed(lines).is_some());
        for (part, other) in [
            ("sums 1", "sums 2"),
            ("52096", "+52096"),
            ("fastcdc 16384", "fastcdc 16383"),
            ("fastcdc 16384", "fastcdc 8192"),
            ("fastcdc", "gear"),
            ("blake3 16", "md5 16"),
            ("16000 ab", "16000 a"),
            ("16000 ", "0 "),
            ("4096 -", "4294967295 -"),
            ("@1 2", "@1 0"),
            ("@1 2", "@-1 2"),
            ("4096 -\n", "\n"),
            (&format!("#base {}\n", "02".repeat(32)), ""),
        ] {
            assert!(lines.contains(part), "{part}");
            assert_eq!(sealed(&lines.replace(part, other)), None, "{other}");
        }
        assert_eq!(ChunkSums::parse(text.replace("4096", "4097").as_bytes()), None);
        assert_eq!(ChunkSums::parse(&text.as_bytes()[..text.len() - 1]), None);
        assert_eq!(ChunkSums::parse(b""), None);
    }
}
