//! The entries of a band, read ahead index by index.

use std::ops::RangeInclusive;
use std::sync::Arc;

use anyhow::{Context, bail};

use super::{Archive, Trust};
use crate::edge::ordered::{Ordered, Results};
use crate::format::band::BandId;
use crate::format::entry::{Entry, Kind};
use crate::format::head::Head;
use crate::format::listing::{Have, Header, parse_header};
use crate::format::object::{Object, ObjectName};
use crate::format::path::Path;

/// Indexes that are fetched, decrypted and decompressed ahead of the one that is read.
const AHEAD: usize = 4;

/// The number of an index and that of the one before it, if its text is of the band with this id.
pub(super) fn first_line(text: &[u8], id: BandId) -> anyhow::Result<Option<(u32, Option<u32>)>> {
    for line in text.split(|&b| b == b'\n').take_while(|line| line.first() == Some(&b'#')) {
        if let Ok(Header::Index(own, number, after)) = parse_header(line) {
            return Ok((own == id).then_some((number, after)));
        }
    }
    bail!("no index: it has no #index line")
}

/// What an index says of itself and what it holds: its number, the one before it, counts and last path. None if it is of another band.
pub(super) fn facts_of(text: &[u8], id: BandId) -> anyhow::Result<Option<IndexSays>> {
    let Some((number, after)) = first_line(text, id)? else { return Ok(None) };
    let mut have = Have::default();
    let mut last = None;
    for line in text.split(|&b| b == b'\n').filter(|line| !matches!(line.first(), None | Some(b'#'))) {
        let entry = Entry::parse(line)?;
        let is_file = entry.kind == Kind::File && entry.meta().is_some();
        have.entries += 1;
        have.files += u64::from(is_file);
        have.bytes += entry.size.filter(|_| is_file && entry.hard.is_none()).unwrap_or(0);
        last = Some(entry.path);
    }
    Ok(Some((number, after, have, last)))
}

type IndexSays = (u32, Option<u32>, Have, Option<Path>);

type Fetched = (u32, anyhow::Result<Vec<u8>>);

/// The entries of a band's counted indexes, in order.
pub(in super::super) struct Entries {
    band: Arc<Head>,
    results: Results<Fetched>,
    number: u32,
    text: Vec<u8>,
    at: usize,
    headers: Vec<Header>,
    /// The last path of the index before.
    last: Option<Path>,
    /// Indexes that could not be read, and why.
    pub failed: Vec<(u32, anyhow::Error)>,
}

impl Entries {
    /// Starts to read the indexes of a band with these numbers.
    pub(in super::super) fn start(
        archive: &Arc<Archive>,
        band: &Arc<Head>,
        numbers: Vec<RangeInclusive<u32>>,
        trust: Trust,
    ) -> anyhow::Result<Entries> {
        let (submit, results) = Ordered::start::<Fetched>(2, AHEAD)?;
        let (archive, head) = (Arc::clone(archive), Arc::clone(band));
        // Ends when all is submitted, or when nobody takes the results any more.
        std::thread::spawn(move || {
            for number in numbers.into_iter().flatten() {
                let (archive, head) = (Arc::clone(&archive), Arc::clone(&head));
                let work = move || (number, fetch(&archive, &head, number, trust));
                if submit.submit(work).is_err() {
                    return;
                }
            }
        });
        Ok(Entries {
            band: Arc::clone(band),
            results,
            number: 0,
            text: Vec::new(),
            at: 0,
            headers: Vec::new(),
            last: None,
            failed: Vec::new(),
        })
    }

    /// The next entry, with the number of its index. An index that cannot be read goes to `failed`, and the next one follows.
    pub(in super::super) fn next_entry(&mut self) -> Option<(u32, Entry)> {
        loop {
            while self.at < self.text.len() {
                let rest = &self.text[self.at..];
                let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
                let line = &rest[..end];
                self.at += end + 1;
                if line.first() == Some(&b'#') {
                    match parse_header(line) {
                        // Where the index before was read, it came there; else what follows stands below it.
                        Ok(Header::Above(number, entry)) if self.last.as_ref() < Some(&entry.path) => {
                            return Some((number, *entry));
                        }
                        Ok(Header::Above(..)) | Err(_) => {}
                        Ok(header) => self.headers.push(header),
                    }
                    continue;
                }
                match Entry::parse(line) {
                    Ok(entry) => return Some((self.number, entry)),
                    Err(error) => {
                        let what = anyhow::Error::new(error).context(self.name(self.number));
                        self.failed.push((self.number, what));
                        self.text.clear();
                    }
                }
            }
            self.last = last_path(&self.text).or(self.last.take());
            let (number, text) = self.results.next()?;
            self.number = number;
            self.at = 0;
            match text {
                Ok(text) => self.text = text,
                Err(error) => {
                    self.text.clear();
                    self.failed.push((number, error));
                }
            }
        }
    }

    /// The header lines that came so far.
    pub(in super::super) fn headers(&self) -> &[Header] {
        &self.headers
    }

    fn name(&self, number: u32) -> String {
        format!("{}/{}", self.band.band, ObjectName::plain(Object::Index(number)))
    }
}

/// The path that an index ends with.
fn last_path(text: &[u8]) -> Option<Path> {
    let line = text.rsplit(|&b| b == b'\n').find(|line| !matches!(line.first(), None | Some(b'#')))?;
    Path::parse(line.split(|&b| b == b' ').next()?).ok()
}

/// Whether an index lists with `#above` all directories above the path that it begins with.
pub(super) fn has_above(text: &[u8]) -> bool {
    let mut above = Vec::new();
    for line in text.split(|&b| b == b'\n') {
        match parse_header(line) {
            Ok(Header::Above(_, entry)) => above.push(entry.path),
            _ if line.first() == Some(&b'#') => {}
            _ => {
                let first = line.split(|&b| b == b' ').next().and_then(|path| Path::parse(path).ok());
                let dirs = std::iter::successors(first.and_then(|path| path.parent()), Path::parent);
                return dirs.into_iter().all(|dir| above.contains(&dir));
            }
        }
    }
    true
}

fn fetch(archive: &Archive, head: &Head, number: u32, trust: Trust) -> anyhow::Result<Vec<u8>> {
    let name = || format!("{}/{}", head.band, ObjectName::plain(Object::Index(number)));
    let text = archive.text(head, Object::Index(number), trust)?.with_context(|| format!("{}: lost", name()))?;
    match first_line(&text, head.id).with_context(name)? {
        Some((said, _)) if said == number => {}
        _ => bail!("{}: of another band, or another index", name()),
    }
    if text.last() != Some(&b'\n') {
        bail!("{}: cut off", name());
    }
    Ok(text)
}
