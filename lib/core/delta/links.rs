//! What the content of a file is made of that is a delta: from the newest delta down to the block
//! that the oldest one is laid over, by the lines of their indexes.

use std::fmt;

use crate::format::entry::{Entry, Within};
use crate::format::path::Path;
use crate::format::sums::{Chunk, ChunkSums};

/// A delta, or the block below all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeltaLink {
    /// Where it is, with its index.
    pub at: Within,
    /// The line of that index.
    pub line: Entry,
}

impl DeltaLink {
    /// Whether it is a delta.
    pub fn is_delta(&self) -> bool {
        self.line.delta.is_some()
    }
}

/// An index that does not lead on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokenLink {
    /// Whose index it is.
    pub at: Within,
    /// The path that a line of it should have.
    pub name: Path,
    /// Whether the index is there.
    pub has_index: bool,
}

impl fmt::Display for BrokenLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.has_index {
            true => write!(f, "does not list {} as a delta needs it", self.name),
            false => write!(f, "missing"),
        }
    }
}

/// Follows a file from the delta that has it under this name; `index` gives the texts of indexes.
///
/// # Errors
/// Those of `index`; and inside, the index at which the way ends.
pub fn follow<T: AsRef<[u8]>, E>(
    at: Within,
    name: &Path,
    index: &mut dyn FnMut(Within) -> Result<Option<T>, E>,
) -> Result<Result<Vec<DeltaLink>, BrokenLink>, E> {
    let mut links: Vec<DeltaLink> = Vec::new();
    let mut next = Some((at, name.clone()));
    while let Some((at, name)) = next {
        let text = index(at)?;
        let has_index = text.is_some();
        let line = text.and_then(|text| line_of(text.as_ref(), &name));
        let Some(line) = line.filter(|line| leads_on(at, line, links.last())) else {
            return Ok(Err(BrokenLink { at, name, has_index }));
        };
        let base = line.delta.as_ref().and_then(|base| base.as_deref());
        next = base.and_then(|base| Some((base.within, base.reference.name_in_block()?.clone())));
        links.push(DeltaLink { at, line });
    }
    Ok(Ok(links))
}

/// Whether the line stores its content itself, and that is what the delta above is laid over. What
/// it is laid over itself lies in an older band, so the way has an end.
fn leads_on(at: Within, line: &Entry, above: Option<&DeltaLink>) -> bool {
    let base = line.delta.as_ref().and_then(|base| base.as_deref());
    line.within.is_none()
        && line.hard.is_none()
        && base.is_none_or(|base| base.within.tier < at.tier)
        && above.is_none_or(|above| above.line.deltas == line.deltas + 1)
}

fn line_of(text: &[u8], path: &Path) -> Option<Entry> {
    let begin = [path.as_bytes(), b" "].concat();
    let line = text.split(|&b| b == b'\n').find(|line| line.starts_with(&begin))?;
    Entry::parse(line).ok()
}

/// The chunks of the newest of these and their mean length; `sums` gives the texts of sums. None if
/// one that is needed is not there, or not of its content.
pub fn chunks(
    links: &[DeltaLink],
    sums: &mut dyn FnMut(Within) -> Option<Vec<u8>>,
) -> Option<(u32, Vec<Chunk>)> {
    let mut all: Vec<ChunkSums> = Vec::new();
    for DeltaLink { at, line } in links {
        let read = ChunkSums::parse(&sums(*at)?)?;
        let is_of_line = (Some(read.sha256), Some(read.size)) == (line.sha256, line.size);
        let wanted = all.last().and_then(|above| above.base);
        if !is_of_line || wanted.is_some_and(|wanted| wanted != read.sha256) {
            return None;
        }
        all.push(read);
        if all.last()?.base.is_none() {
            break;
        }
    }
    let average = all.first()?.average;
    // Without the base's there is nothing that its lines could refer to.
    let chunks = all.into_iter().rev().try_fold(Vec::new(), |base, sums| sums.chunks(&base))?;
    Some((average, chunks))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::sums::{MIN_AVERAGE, SumsLine};
    use std::collections::BTreeMap;

    fn line(path: &str, sha256: u8, tags: &str) -> String {
        let hex = format!("{sha256:02x}").repeat(32);
        format!(
            "{path} type=file mode=0644 uid=0 gid=0 time=0.000000000 nlink=1 size=30 sha256digest={hex}{tags}\n"
        )
    }

    fn at(tier: u8, block: u32) -> Within {
        Within { tier, block }
    }

    fn followed(lines: &[(Within, String)]) -> Result<Vec<DeltaLink>, BrokenLink> {
        let indexes: BTreeMap<Within, &String> =
            lines.iter().map(|(at, line)| (*at, line)).collect();
        let mut index = |at: Within| Ok::<_, ()>(indexes.get(&at).copied());
        follow(at(2, 7), &Path::from_raw(b"a"), &mut index).unwrap()
    }

    fn good() -> Vec<(Within, String)> {
        vec![
            (at(2, 7), line("./a", 3, " tags=in:1/5,of:./b,rdiff,deltas:2")),
            (at(1, 5), line("./b", 2, " tags=in:0/4,of:./b,as:./c,rdiff,deltas:1")),
            (at(0, 4), format!("#index\n{}{}", line("./b", 9, ""), line("./c", 1, ""))),
        ]
    }

    #[test]
    fn from_the_newest_to_the_block() {
        let links = followed(&good()).unwrap();
        let seen: Vec<_> = links.iter().map(|link| (link.at, link.line.path.to_string())).collect();
        let wanted = [(at(2, 7), "./a"), (at(1, 5), "./b"), (at(0, 4), "./c")];
        assert_eq!(seen, wanted.map(|(at, path)| (at, path.to_owned())));
        assert_eq!(links.iter().map(DeltaLink::is_delta).collect::<Vec<_>>(), [true, true, false]);
        // Of one without a base there is no more.
        let alone = [(at(2, 7), line("./a", 3, " tags=rdiff,deltas:1"))];
        assert_eq!(followed(&alone).unwrap().len(), 1);
    }

    #[test]
    fn ways_that_end_or_turn() {
        for (number, other, wanted) in [
            (0, None, (at(2, 7), false)),
            (2, None, (at(0, 4), false)),
            (2, Some(line("./d", 1, "")), (at(0, 4), true)),
            (2, Some(line("./c", 1, " tags=in:0/1")), (at(0, 4), true)),
            (2, Some(line("./c", 1, " tags=hard:./b")), (at(0, 4), true)),
            (1, Some(line("./b", 2, " tags=in:0/4,of:./b,rdiff,deltas:2")), (at(1, 5), true)),
            (1, Some(line("./b", 2, " tags=in:1/5,of:./b,rdiff,deltas:1")), (at(1, 5), true)),
            (1, Some(line("./b", 2, " tags=in:2/7,of:./a,rdiff,deltas:1")), (at(1, 5), true)),
        ] {
            let mut lines = good();
            match other {
                Some(other) => lines[number].1 = other,
                None => _ = lines.remove(number),
            }
            let broken = followed(&lines).unwrap_err();
            assert_eq!((broken.at, broken.has_index), wanted, "{lines:?}");
        }
    }

    #[test]
    fn chunks_are_put_together_from_the_sums_below() {
        let chunk = |b: u8| Chunk { len: 10, hash: Some([b; 16]) };
        let sums = |sha256: u8, base: Option<u8>, lines: Vec<SumsLine>| ChunkSums {
            sha256: [sha256; 32],
            size: 30,
            average: MIN_AVERAGE,
            base: base.map(|base| [base; 32]),
            lines,
        };
        let own = |b: u8| SumsLine::Chunk(chunk(b));
        let all = [
            (at(2, 7), sums(3, Some(2), vec![SumsLine::OfBase(1, 2), own(9)])),
            (
                at(1, 5),
                sums(2, Some(1), vec![SumsLine::OfBase(0, 1), own(8), SumsLine::OfBase(2, 1)]),
            ),
            (at(0, 4), sums(1, None, vec![own(5), own(6), own(7)])),
        ];
        let links = followed(&good()).unwrap();
        let made = |all: &[(Within, ChunkSums)]| {
            let texts: BTreeMap<Within, String> =
                all.iter().map(|(at, sums)| (*at, sums.text())).collect();
            chunks(&links, &mut |at| Some(texts.get(&at)?.clone().into_bytes()))
        };
        assert_eq!(made(&all), Some((MIN_AVERAGE, vec![chunk(8), chunk(7), chunk(9)])));
        // Those below are not asked for without need.
        let whole = (at(2, 7), sums(3, None, vec![own(1), own(2), own(3)]));
        assert_eq!(made(&[whole]).unwrap().1.len(), 3);
        // One is not there, or of other content, or of another base.
        assert_eq!(made(&all[..2]), None);
        let mut other = all.clone();
        other[2].1.sha256 = [7; 32];
        assert_eq!(made(&other), None);
        let mut other = all.clone();
        other[0].1.base = Some([1; 32]);
        assert_eq!(made(&other), None);
    }
}
