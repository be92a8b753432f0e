//! Finding entries in the blocks of a lane, past damage.

use sha2::{Digest as _, Sha256};

use super::super::message::why;
use super::blocks::Feed;
use crate::core::restore::Take;
use crate::format::digest::Digest;
use crate::format::entry::{self, Kind};
use crate::format::path::Path;
use crate::format::tarball::padding;
use crate::format::untar::{Entry, Untar, UntarError};

/// Where the blocks of a lane come out.
pub(in super::super) struct Lane {
    untar: Untar<Feed>,
    ticket: u64,
    /// An entry behind the one that was looked for.
    ahead: Option<Entry>,
    /// What was damaged last in the open block.
    damage: Option<String>,
}

/// What came of copying an entry's content.
pub(in super::super) enum Copied {
    Whole,
    /// It broke off after so many bytes: why.
    Broken(u64, String),
}

/// Why copying stopped.
enum Stop<E> {
    Input(UntarError),
    Output(E),
}

impl<E> From<UntarError> for Stop<E> {
    fn from(error: UntarError) -> Stop<E> {
        Stop::Input(error)
    }
}

fn told(error: &UntarError) -> String {
    match error {
        UntarError::Io(error) => why(error),
        other => other.to_string(),
    }
}

impl Lane {
    /// A lane at its begin.
    pub(in super::super) fn new(feed: Feed) -> Lane {
        Lane { untar: Untar::new(feed), ticket: 0, ahead: None, damage: None }
    }

    /// Why no block can be read at all, if so.
    pub(in super::super) fn hopeless(&mut self) -> Option<anyhow::Error> {
        self.untar.input_mut().hopeless.take()
    }

    /// Finds the entry; the error says why it is not to be had.
    pub(in super::super) fn find(&mut self, take: &Take) -> Result<Entry, String> {
        if self.ticket != take.from.ticket {
            self.ticket = take.from.ticket;
            self.untar.input_mut().turn_to(self.ticket);
            self.untar.restart();
            self.ahead = None;
            self.damage = None;
        }
        loop {
            let next = match self.ahead.take() {
                Some(ahead) => Ok(Some(ahead)),
                None => self.untar.next_entry(),
            };
            match next {
                Ok(Some(entry)) if entry.path == take.under => return agrees(&entry, take).map(|()| entry),
                Ok(Some(entry)) if entry.path > take.under => {
                    self.ahead = Some(entry);
                    break;
                }
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(error) => self.step_over(told(&error)),
            }
        }
        Err(self.damage.clone().unwrap_or_else(|| "the block does not hold it".to_owned()))
    }

    fn step_over(&mut self, damage: String) {
        self.damage = Some(damage);
        self.untar.input_mut().resume();
        self.untar.restart();
    }

    /// Copies the content of the entry that was found just now.
    pub(in super::super) fn copy<E>(&mut self, entry: &Entry, put: &mut dyn FnMut(&[u8]) -> Result<(), E>) -> Result<Copied, E> {
        let mut came = 0;
        let copied = self.untar.copy(entry, &mut |piece| {
            came += piece.len() as u64;
            put(piece).map_err(Stop::Output)
        });
        match copied {
            Ok(()) => Ok(Copied::Whole),
            Err(Stop::Output(error)) => Err(error),
            Err(Stop::Input(error)) => {
                let damage = told(&error);
                self.step_over(damage.clone());
                Ok(Copied::Broken(came, damage))
            }
        }
    }
}

/// Whether a stored header says of the entry what its index line says: a tar goes by the header, and whoever can write to the store
/// can write there what he likes.
fn agrees(stored: &Entry, take: &Take) -> Result<(), String> {
    let entry = &take.entry;
    let names = stored.records.iter().filter(|(key, _)| matches!(key.as_slice(), b"path" | b"GNU.sparse.name"));
    let named = names.into_iter().all(|(_, name)| Path::from_typed(name).as_ref() == Ok(&take.under));
    let flag = match entry.kind {
        Kind::File => b'0',
        Kind::Dir => b'5',
        Kind::Link => b'2',
        Kind::Fifo => b'6',
        Kind::Char => b'3',
        Kind::Block => b'4',
    };
    let target = stored.record(b"linkpath").map_or_else(|| link_name(stored), <[u8]>::to_vec);
    let linked = match &entry.link {
        Some(link) => *link == target,
        None => target.is_empty(),
    };
    let size = stored.record(b"GNU.sparse.realsize").map_or(Some(stored.stored), entry::number::<u64>);
    let sized = match entry.size {
        // A sparse file's map is in its content.
        Some(wanted) => size == Some(wanted) && (is_sparse(stored) || stored.stored == wanted),
        None => stored.stored == 0,
    };
    if named && stored.flag == flag && linked && sized {
        Ok(())
    } else {
        Err("its header there is not that of its index line".to_owned())
    }
}

fn link_name(stored: &Entry) -> Vec<u8> {
    let field = stored.headers.last_chunk::<512>().map_or(&[][..], |header| &header[157..257]);
    field.iter().take_while(|&&byte| byte != 0).copied().collect()
}

fn is_sparse(stored: &Entry) -> bool {
    stored.record(b"GNU.sparse.name").is_some() && stored.record(b"GNU.sparse.major") == Some(b"1")
}

/// The digest of a file's content as it is stored, with or without a map of holes.
pub(in super::super) struct Digester {
    sha256: Sha256,
    map: Option<Map>,
    /// How far into the file the digest has come.
    at: u64,
}

/// The map at the begin of a sparse file's content.
#[derive(Default)]
struct Map {
    text: Vec<u8>,
    newlines: usize,
    /// Segments that are still to come, the first one last; none while the map is not whole.
    segments: Option<Vec<(u64, u64)>>,
    broken: bool,
}

/// No map of a file that a machine has is longer.
const MAX_MAP: usize = 64 << 20;

impl Digester {
    /// Of the content of this entry.
    pub(in super::super) fn new(stored: &Entry) -> Digester {
        Digester { sha256: Sha256::new(), map: is_sparse(stored).then(Map::default), at: 0 }
    }

    /// The next bytes of the content.
    pub(in super::super) fn update(&mut self, piece: &[u8]) {
        let Some(mut map) = self.map.take() else { return self.sha256.update(piece) };
        match map.read(piece) {
            Some(data) => self.data(&mut map, &data),
            None if map.segments.is_some() => self.data(&mut map, piece),
            None => {}
        }
        self.map = Some(map);
    }

    fn data(&mut self, map: &mut Map, mut piece: &[u8]) {
        while !piece.is_empty() {
            let Some((offset, len)) = map.segments.as_mut().and_then(Vec::pop) else {
                map.broken = true;
                return;
            };
            self.zeros(offset);
            let now = piece.len().min(usize::try_from(len).unwrap_or(usize::MAX));
            self.sha256.update(&piece[..now]);
            self.at = offset + now as u64;
            piece = &piece[now..];
            if let (true, Some(segments)) = (len > now as u64, &mut map.segments) {
                segments.push((self.at, len - now as u64));
            }
        }
    }

    fn zeros(&mut self, until: u64) {
        static ZEROS: [u8; 64 << 10] = [0; 64 << 10];
        while self.at < until {
            let len = (until - self.at).min(ZEROS.len() as u64);
            self.sha256.update(&ZEROS[..len as usize]);
            self.at += len;
        }
    }

    /// The digest of a file of this size; none if its map is broken.
    pub(in super::super) fn finish(mut self, size: u64) -> Option<Digest> {
        match &self.map {
            None => {}
            Some(map) if map.broken || map.segments.is_none() || self.at > size => return None,
            Some(_) => self.zeros(size),
        }
        Some(self.sha256.finalize().into())
    }
}

impl Map {
    /// Takes bytes until the map is whole; then gives those behind it, once.
    fn read(&mut self, piece: &[u8]) -> Option<Vec<u8>> {
        if self.segments.is_some() || self.broken {
            return None;
        }
        self.newlines += piece.iter().filter(|&&byte| byte == b'\n').count();
        self.text.extend(piece);
        self.broken = self.text.len() > MAX_MAP;
        let mut lines = self.text.split(|&byte| byte == b'\n');
        let count: usize = lines.next().filter(|_| self.newlines > 0).and_then(entry::number)?;
        if self.newlines < count.checked_mul(2)?.checked_add(1)? {
            return None;
        }
        let mut numbers = (0..count * 2).map(|_| lines.next().and_then(entry::number::<u64>));
        let mut segments = Vec::new();
        while let Some(offset) = numbers.next() {
            match (offset, numbers.next().flatten()) {
                (Some(offset), Some(len)) if offset.checked_add(len).is_some() => segments.push((offset, len)),
                _ => self.broken = true,
            }
        }
        drop(numbers);
        let rest: usize = lines.map(|line| line.len() + 1).sum::<usize>().saturating_sub(1);
        let end = self.text.len() - rest;
        let end = end + padding(end as u64);
        if end > self.text.len() {
            return None;
        }
        segments.reverse();
        // An empty segment holds no byte that would take it.
        segments.retain(|(_, len)| *len > 0);
        self.segments = Some(segments);
        Some(std::mem::take(&mut self.text).split_off(end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sparse_files_are_digested_with_their_holes() {
        let map = b"3\n512\n3\n2048\n5\n4096\n0\n";
        let mut stored = map.to_vec();
        stored.resize(512, 0);
        stored.extend(b"abcdefgh");
        let mut file = vec![0; 4096];
        file[512..515].copy_from_slice(b"abc");
        file[2048..2053].copy_from_slice(b"defgh");
        let wanted: Digest = Sha256::digest(&file).into();
        for step in [1, 7, 511, 512, 514, 4096] {
            let mut digester = Digester { sha256: Sha256::new(), map: Some(Map::default()), at: 0 };
            stored.chunks(step).for_each(|piece| digester.update(piece));
            assert_eq!(digester.finish(4096), Some(wanted), "{step}");
        }
        let mut digester = Digester { sha256: Sha256::new(), map: Some(Map::default()), at: 0 };
        digester.update(b"1\nx\n");
        assert_eq!(digester.finish(4096), None);
    }
}
