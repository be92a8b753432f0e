//! HEAD and TAIL: `key: value` lines at the start and the end of a band.

use std::fmt;

use super::band::{BandId, BandName};
use super::digest;
use super::listing::Have;
use super::object::Compression;
pub use super::object::MAX_HEAD as MAX_LEN;
use super::time::Stamp;

/// The highest format that this build reads.
pub const FORMAT: u32 = 2;

/// What a HEAD of format 2 says a reader has to know, of what this build knows.
const USES_KEYS: &str = "keys";
const USES_REFERENCES: &str = "references";
const USES_DELTAS: &str = "deltas";

/// The key that HEAD begins with, and only a TAIL that repeats HEAD has.
const FIRST_KEY: &str = "dura-band";

/// The band that another one is laid over, and how far it had come when diff read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parent {
    /// Its name.
    pub band: BandName,
    /// Its id.
    pub id: BandId,
    /// Its last index that diff counted.
    pub last: u32,
}

/// What HEAD says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Name of the band.
    pub band: BandName,
    /// Its id.
    pub id: BandId,
    /// The band below; none for a full band.
    pub parent: Option<Parent>,
    /// The clock when the run began.
    pub started: Stamp,
    /// How the band's blocks are compressed.
    pub compression: Compression,
    /// Program and version.
    pub writer: String,
    /// Random, the same in all bands of a source; none in bands of releases before this key.
    pub source_id: Option<BandId>,
    /// A mask was used: what the band does not list may be there all the same.
    pub partial: bool,
    /// For a band that was taken from an old version: when that was current.
    pub as_of: Option<Stamp>,
    /// True for format 2: the band may hold key objects. In format 1 each object is sealed to the
    /// recipients.
    pub keys: bool,
    /// `uses: references`: lines may refer to content that lies under another path.
    pub references: bool,
    /// `uses: deltas`: a block may be a delta, against what the version below has.
    pub deltas: bool,
    /// Lines with keys that this build does not know, in their order.
    pub others: Vec<(String, String)>,
}

/// What TAIL says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tail {
    /// Name of the band.
    pub band: BandName,
    /// Its id.
    pub id: BandId,
    /// The clock when the run ended.
    pub finished: Stamp,
    /// Number of the last index.
    pub last: u32,
    /// Number of the last table of contents.
    pub toc: u32,
    /// Lines of all indexes.
    pub entries: u64,
    /// Those of them that are files.
    pub files: u64,
    /// Bytes of these files in the source.
    pub bytes: u64,
    /// What the version holds; none where it was not counted.
    pub tree: Option<Have>,
    /// How many entries could not be stored.
    pub skipped: u64,
    /// How many entries changed behind the point from which the band was continued, so that it
    /// does not have them as they are now. None in bands of releases before this key.
    pub behind: Option<u64>,
    /// The first number of each run that wrote the band; empty where that is not known.
    pub runs: Vec<u32>,
    /// How many entries are stored without their attributes, or without some of them.
    pub unattributed: u64,
    /// What HEAD says: a complete band can be read without it. None where it is not repeated.
    pub head: Option<Head>,
}

/// Why a HEAD or TAIL is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    /// Written by a later Dura.
    #[error("format {0} is newer than this program, which knows format {FORMAT}: use a later Dura")]
    Newer(u64),
    /// Written by a Dura that knows more of format 2.
    #[error("it uses {0} of format 2, which this program does not know: use a later Dura")]
    Uses(String),
    /// Not `key: value` lines in UTF-8, each with a newline.
    #[error("not lines of `key: value`")]
    NotLines,
    /// Longer than any.
    #[error("over {MAX_LEN} bytes, more than it ever has")]
    TooLong,
    /// A key is not there.
    #[error("`{0}` is missing")]
    Missing(&'static str),
    /// A key stands twice.
    #[error("`{0}` stands twice")]
    Twice(String),
    /// A value makes no sense.
    #[error("bad value of `{0}`")]
    Bad(&'static str),
    /// TAIL's last line is not the sha256 of the lines above.
    #[error("its sha256 line does not agree with its text")]
    Digest,
}

struct HeadLines<'a>(Vec<(&'a str, &'a str)>);

impl<'a> HeadLines<'a> {
    fn parse(bytes: &'a [u8]) -> Result<HeadLines<'a>, HeadError> {
        if bytes.len() > MAX_LEN {
            return Err(HeadError::TooLong);
        }
        let text = std::str::from_utf8(bytes)
            .ok()
            .and_then(|text| text.strip_suffix('\n'))
            .ok_or(HeadError::NotLines)?;
        let mut lines: Vec<(&str, &str)> = Vec::new();
        for line in text.split('\n') {
            let (key, value) = line.split_once(": ").ok_or(HeadError::NotLines)?;
            if lines.iter().any(|(known, _)| *known == key) {
                return Err(HeadError::Twice(key.to_owned()));
            }
            lines.push((key, value));
        }
        Ok(HeadLines(lines))
    }

    fn get<T>(
        &self,
        key: &'static str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, HeadError> {
        let (_, value) =
            self.0.iter().find(|(known, _)| *known == key).ok_or(HeadError::Missing(key))?;
        read(value).ok_or(HeadError::Bad(key))
    }

    /// The value of a key that may be absent.
    fn optional<T>(
        &self,
        key: &'static str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, HeadError> {
        match self.get(key, read) {
            Err(HeadError::Missing(_)) => Ok(None),
            found => found.map(Some),
        }
    }

    fn number<T: std::str::FromStr>(&self, key: &'static str) -> Result<T, HeadError> {
        self.get(key, |value| {
            value.bytes().all(|b| b.is_ascii_digit()).then(|| value.parse().ok())?
        })
    }

    fn optional_number(&self, key: &'static str) -> Result<Option<u64>, HeadError> {
        match self.number(key) {
            Err(HeadError::Missing(_)) => Ok(None),
            found => found.map(Some),
        }
    }
}

/// The keys of HEAD and TAIL that this build knows.
const KEYS: &[&str] = &[
    FIRST_KEY,
    "band",
    "id",
    "parent",
    "parent-id",
    "parent-last",
    "started",
    "compression",
    "writer",
    "source-id",
    "partial",
    "as-of",
    "uses",
    "finished",
    "last",
    "toc",
    "entries",
    "files",
    "bytes",
    "tree-entries",
    "tree-files",
    "tree-bytes",
    "skipped",
    "behind",
    "unattributed",
    "runs",
    "sha256",
];

impl Head {
    /// The HEAD of a band without a mask, of a source of its own.
    pub fn new(
        band: BandName,
        id: BandId,
        parent: Option<Parent>,
        started: Stamp,
        compression: Compression,
        writer: &str,
    ) -> Head {
        Head {
            band,
            id,
            parent,
            started,
            compression,
            writer: writer.to_owned(),
            source_id: None,
            partial: false,
            as_of: None,
            keys: false,
            references: false,
            deltas: false,
            others: Vec::new(),
        }
    }

    /// Reads a HEAD; unknown keys are ignored.
    ///
    /// # Errors
    /// What is wrong with it, or that its format is newer.
    pub fn parse(bytes: &[u8]) -> Result<Head, HeadError> {
        Head::read(&HeadLines::parse(bytes)?)
    }

    fn read(lines: &HeadLines<'_>) -> Result<Head, HeadError> {
        let format: u64 = lines.number(FIRST_KEY)?;
        if format > FORMAT.into() {
            return Err(HeadError::Newer(format));
        }
        let keys = format == 2;
        let (mut references, mut deltas) = (false, false);
        if keys {
            let uses = lines.optional("uses", |v| Some(v.to_owned()))?;
            let uses = uses.ok_or_else(|| HeadError::Uses("all".to_owned()))?;
            let mut words = uses.split(' ').peekable();
            let later = [USES_REFERENCES, USES_DELTAS];
            if words.next_if_eq(&USES_KEYS).is_none()
                && words.peek().is_some_and(|word| later.contains(word))
            {
                return Err(HeadError::Bad("uses"));
            }
            references = words.next_if_eq(&USES_REFERENCES).is_some();
            deltas = words.next_if_eq(&USES_DELTAS).is_some();
            if let Some(unknown) = words.next() {
                return Err(HeadError::Uses(format!("`{unknown}`")));
            }
        }
        let band: BandName = lines.get("band", |v| v.parse().ok())?;
        let parent = match lines.get("parent", |v| Some(v.to_owned()))?.as_str() {
            "-" => None,
            name => Some(Parent {
                band: name.parse().map_err(|_| HeadError::Bad("parent"))?,
                id: lines.get("parent-id", |v| v.parse().ok())?,
                last: lines.number("parent-last")?,
            }),
        };
        if band.parent() != parent.as_ref().map(|parent| parent.band.clone()) {
            return Err(HeadError::Bad("parent"));
        }
        Ok(Head {
            band,
            id: lines.get("id", |v| v.parse().ok())?,
            parent,
            started: lines.get("started", Stamp::parse_rfc3339)?,
            compression: lines.get("compression", Compression::from_word)?,
            writer: lines.get("writer", |v| Some(v.to_owned()))?,
            source_id: lines.optional("source-id", |v| v.parse().ok())?,
            partial: lines.optional("partial", |v| Some(v == "yes"))?.unwrap_or(false),
            as_of: lines.optional("as-of", Stamp::parse_rfc3339)?,
            keys,
            references,
            deltas,
            others: (lines.0.iter())
                .filter(|(key, _)| !KEYS.contains(key) || (*key == "uses" && !keys))
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect(),
        })
    }
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let format = if self.keys { 2 } else { 1 };
        writeln!(f, "dura-band: {format}\nband: {}\nid: {}", self.band, self.id)?;
        match &self.parent {
            Some(parent) => writeln!(
                f,
                "parent: {}\nparent-id: {}\nparent-last: {:09}",
                parent.band, parent.id, parent.last
            )?,
            None => writeln!(f, "parent: -\nparent-id: -\nparent-last: -")?,
        }
        writeln!(
            f,
            "started: {}\ncompression: {}\nwriter: {}",
            self.started.to_rfc3339(),
            self.compression.word(),
            self.writer
        )?;
        if let Some(id) = self.source_id {
            writeln!(f, "source-id: {id}")?;
        }
        if self.partial {
            writeln!(f, "partial: yes")?;
        }
        if let Some(as_of) = self.as_of {
            writeln!(f, "as-of: {}", as_of.to_rfc3339())?;
        }
        if self.keys {
            write!(f, "uses: {USES_KEYS}")?;
            let later = [(USES_REFERENCES, self.references), (USES_DELTAS, self.deltas)];
            for (word, _) in later.into_iter().filter(|(_, is_used)| *is_used) {
                write!(f, " {word}")?;
            }
            writeln!(f)?;
        }
        self.others.iter().try_for_each(|(key, value)| writeln!(f, "{key}: {value}"))
    }
}

impl Tail {
    /// Reads a TAIL and checks its sha256; unknown keys are ignored. Where it repeats HEAD, it does
    /// so whole.
    ///
    /// # Errors
    /// What is wrong with it, or that its format is newer.
    pub fn parse(bytes: &[u8]) -> Result<Tail, HeadError> {
        let lines = HeadLines::parse(bytes)?;
        let Some(("sha256", digest)) = lines.0.last() else {
            return Err(HeadError::Missing("sha256"));
        };
        // The line is "sha256: ", 64 digits and a newline.
        let above = &bytes[..bytes.len() - digest.len() - "sha256: \n".len()];
        if digest::parse(digest.as_bytes()) != Some(digest::of(above)) {
            return Err(HeadError::Digest);
        }
        let repeats = lines.0.iter().any(|(key, _)| *key == FIRST_KEY);
        Ok(Tail {
            band: lines.get("band", |v| v.parse().ok())?,
            id: lines.get("id", |v| v.parse().ok())?,
            finished: lines.get("finished", Stamp::parse_rfc3339)?,
            last: lines.number("last")?,
            toc: lines.number("toc")?,
            entries: lines.number("entries")?,
            files: lines.number("files")?,
            bytes: lines.number("bytes")?,
            tree: match lines.optional_number("tree-entries")? {
                Some(entries) => Some(Have {
                    entries,
                    files: lines.number("tree-files")?,
                    bytes: lines.number("tree-bytes")?,
                }),
                None => None,
            },
            skipped: lines.number("skipped")?,
            behind: lines.optional_number("behind")?,
            runs: lines
                .optional("runs", |v| v.split(' ').map(|n| n.parse().ok()).collect())?
                .unwrap_or_default(),
            unattributed: lines.optional_number("unattributed")?.unwrap_or(0),
            head: repeats.then(|| Head::read(&lines)).transpose()?,
        })
    }

    /// HEAD byte for byte, out of the text of a TAIL that repeats it; keys that are not known are
    /// kept. None if it does not, or is no TAIL.
    pub fn head_text(bytes: &[u8]) -> Option<String> {
        let tail = Tail::parse(bytes).ok()?;
        let head = tail.head?;
        let text = std::str::from_utf8(bytes).ok()?;
        let repeated =
            &text[text.find(&format!("\n{FIRST_KEY}: "))? + 1..text.rfind("sha256: ")?];
        let (first, rest) = repeated.split_once('\n')?;
        let text = format!("{first}\nband: {}\nid: {}\n{rest}", tail.band, tail.id);
        (Head::parse(text.as_bytes()) == Ok(head)).then_some(text)
    }
}

impl fmt::Display for Tail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut above = format!(
            "band: {}\nid: {}\nfinished: {}\nlast: {:09}\ntoc: {:09}\nentries: {}\nfiles: {}\nbytes: {}\n",
            self.band,
            self.id,
            self.finished.to_rfc3339(),
            self.last,
            self.toc,
            self.entries,
            self.files,
            self.bytes,
        );
        if let Some(Have { entries, files, bytes }) = self.tree {
            above +=
                &format!("tree-entries: {entries}\ntree-files: {files}\ntree-bytes: {bytes}\n");
        }
        above += &format!("skipped: {}\n", self.skipped);
        if let Some(behind) = self.behind {
            above += &format!("behind: {behind}\n");
        }
        if self.unattributed > 0 {
            above += &format!("unattributed: {}\n", self.unattributed);
        }
        if !self.runs.is_empty() {
            above += "runs:";
            self.runs.iter().for_each(|first| above += &format!(" {first:09}"));
            above.push('\n');
        }
        // The band's name and id stand there already.
        let head = self.head.as_ref().map(Head::to_string).unwrap_or_default();
        above.extend(
            head.split_inclusive('\n')
                .filter(|line| !line.starts_with("band: ") && !line.starts_with("id: ")),
        );
        writeln!(f, "{above}sha256: {}", hex::encode(digest::of(above.as_bytes())))
    }
}

#[cfg(test)]
mod tests;
