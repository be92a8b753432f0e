//! The journal of a host: which HEADs and indexes it has written itself, or has taken in, by their
//! sha256. What a store shows beside that is nobody's word but the store's.
//!
//! One file for each band, named by its id, of lines that are only ever appended:
//!
//! ```text
//! #dura journal 1
//! band 20261101T020000Z
//! head HEX
//! index 000000012 HEX HEX
//! differs 000000012
//! stored /mnt/backup
//! ```
//!
//! The first digest of an index is that of its plain text, the second that of its gzip as pack
//! wrote it. `differs` says that the archive had another text under that number: it is not believed
//! again. `stored` names an archive into which the band was pushed from this host.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt::Write as _;

use super::band::BandName;
use super::digest::{self, Digest};
use super::entry::number;

/// How a journal's file begins.
const OPENING: &str = "#dura journal 1";

/// What the journal knows of a band.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BandRecord {
    /// Its name.
    pub band: Option<BandName>,
    /// HEADs that were written or taken in; more than one is not usual.
    pub heads: Vec<Digest>,
    /// The digests of its indexes: plain text and gzip. A run that was cut, or another one beside
    /// it, may have written a number before.
    indexes: HashMap<u32, Vec<(Digest, Digest)>>,
    /// Indexes of which the archive had another text.
    differing: HashSet<u32>,
    /// The archives into which it was pushed from this host.
    pub stored: BTreeSet<String>,
}

/// Something that the journal is to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JournalEntry {
    /// The band's name.
    Band(BandName),
    /// The sha256 of its HEAD.
    Head(Digest),
    /// An index: its number, the sha256 of its plain text, and that of its gzip.
    Index(u32, Digest, Digest),
    /// The archive has another index under this number.
    Differs(u32),
    /// It is pushed into the archive of this address.
    Stored(String),
}

impl JournalEntry {
    /// The line of it, with its newline.
    fn push(&self, out: &mut String) {
        let written = match self {
            JournalEntry::Band(band) => writeln!(out, "band {band}"),
            JournalEntry::Head(sha256) => writeln!(out, "head {}", hex::encode(sha256)),
            JournalEntry::Index(number, text, gzip) => {
                writeln!(out, "index {number:09} {} {}", hex::encode(text), hex::encode(gzip))
            }
            JournalEntry::Differs(number) => writeln!(out, "differs {number:09}"),
            // A name with a line feed cannot be told.
            JournalEntry::Stored(address) if address.contains('\n') => Ok(()),
            JournalEntry::Stored(address) => writeln!(out, "stored {address}"),
        };
        // A string takes all.
        written.unwrap_or_default();
    }
}

/// The text to append for these entries; `begins` is true for a new file.
pub fn lines(entries: &[JournalEntry], begins: bool) -> String {
    let mut out = if begins { format!("{OPENING}\n") } else { String::new() };
    entries.iter().for_each(|entry| entry.push(&mut out));
    out
}

impl BandRecord {
    /// Reads a file. A line that is cut or unknown says nothing; none if it is no journal.
    pub fn parse(text: &str) -> Option<BandRecord> {
        let mut lines = text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
        if lines.next()? != OPENING {
            return None;
        }
        let mut record = BandRecord::default();
        for line in lines {
            if let Some(address) = line.strip_prefix("stored ") {
                record.stored.insert(address.to_owned());
                continue;
            }
            let mut words = line.split(' ');
            let keyword = words.next().unwrap_or_default();
            let words: Vec<&str> = words.collect();
            match (keyword, words.as_slice()) {
                ("band", [name]) => record.band = name.parse().ok().or(record.band.take()),
                ("head", [hex]) => record.heads.extend(digest::parse(hex.as_bytes())),
                ("index", [at, text, gzip]) => {
                    let sums = (digest::parse(text.as_bytes()), digest::parse(gzip.as_bytes()));
                    if let (Some(at), (Some(text), Some(gzip))) = (number(at.as_bytes()), sums) {
                        record.indexes.entry(at).or_default().push((text, gzip));
                    }
                }
                ("differs", [at]) => {
                    if let Some(at) = number(at.as_bytes()) {
                        record.indexes.remove(&at);
                        record.differing.insert(at);
                    }
                }
                _ => {}
            }
        }
        Some(record)
    }

    /// Whether the journal has an index of this number.
    pub fn knows(&self, number: u32) -> bool {
        self.indexes.contains_key(&number)
    }

    /// Whether the archive had another text of the index of this number.
    pub fn refuses(&self, number: u32) -> bool {
        self.differing.contains(&number) && !self.knows(number)
    }

    /// Whether the gzip of an index is the one that was written, or else its text is.
    pub fn vouches(&self, number: u32, gzip: &[u8], text: &[u8]) -> bool {
        let Some(known) = self.indexes.get(&number) else { return false };
        // No gzip is the gzip of no index.
        let of_gzip = Some(digest::of(gzip)).filter(|_| !gzip.is_empty());
        known.iter().any(|(_, known)| Some(*known) == of_gzip) || {
            let of_text = digest::of(text);
            known.iter().any(|(known, _)| *known == of_text)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_known() {
        let (text, gzip) = (digest::of(b"text"), digest::of(b"gzip"));
        let entries = [
            JournalEntry::Band("20261101T020000Z".parse().unwrap()),
            JournalEntry::Head(digest::of(b"head")),
            JournalEntry::Index(7, text, gzip),
        ];
        let written = lines(&entries, true);
        assert!(written.starts_with("#dura journal 1\nband 20261101T020000Z\nhead "));
        let record = BandRecord::parse(&written).unwrap();
        assert_eq!(record.heads, [digest::of(b"head")]);
        assert!(record.knows(7) && !record.knows(8));
        assert!(record.vouches(7, b"gzip", b"other") && record.vouches(7, b"other", b"text"));
        assert!(!record.vouches(7, b"other", b"other") && !record.vouches(8, b"gzip", b"text"));
        // One of which the gzip was not at hand says nothing of any other text.
        let bare = lines(&[JournalEntry::Index(9, text, digest::of(b""))], true);
        let bare = BandRecord::parse(&bare).unwrap();
        assert!(bare.vouches(9, b"", b"text") && !bare.vouches(9, b"", b"other"));
        // Another run begins the file again, or another text was seen.
        let more = written.clone() + &lines(&[JournalEntry::Index(8, text, gzip)], false);
        let twice = JournalEntry::Index(7, digest::of(b"other"), digest::of(b"others"));
        let more = more + &lines(&[twice], false);
        let record = BandRecord::parse(&more).unwrap();
        assert!(record.vouches(7, b"gzip", b"text") && record.vouches(7, b"others", b"other"));
        assert!(BandRecord::parse(&more).unwrap().knows(8));
        let differs = more + &lines(&[JournalEntry::Differs(7)], false);
        let record = BandRecord::parse(&differs).unwrap();
        assert!(!record.knows(7) && record.refuses(7) && !record.refuses(8));
    }

    #[test]
    fn a_line_that_is_cut_says_nothing() {
        let written = lines(&[JournalEntry::Index(7, digest::of(b"t"), digest::of(b"g"))], true);
        for end in 0..written.len() {
            let record = BandRecord::parse(&written[..end]);
            assert!(record.is_none_or(|record| !record.knows(7)), "cut at {end}");
        }
        assert_eq!(BandRecord::parse("something else\n"), None);
        let odd = format!("{OPENING}\nlater thing\nindex x y z\nband ../x\n");
        assert_eq!(BandRecord::parse(&odd), Some(BandRecord::default()));
    }
}
