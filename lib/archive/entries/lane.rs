//! Finding entries in the blocks of a lane, past damage.

use std::io::BufRead;

use crate::archive::blocks::LaneFeed;
use crate::core::planner::MEMBER;
use crate::core::restore::Take;
use crate::format::sparse::{is_sparse, segments, zeros};
use crate::format::tarball::{is_of_line, line_of};
use crate::format::untar::{TarEntry, Untar, UntarError, begins_entry};
use crate::report::message::why;

/// Where the blocks of a lane come out.
pub(crate) struct BlockReader {
    untar: Untar<LaneFeed>,
    ticket: u64,
    /// An entry behind the one that was looked for.
    ahead: Option<TarEntry>,
    /// What was damaged last in the open block.
    damage: Option<String>,
    /// A header was damaged: the next that is whole is looked for.
    seeks: bool,
}

/// What came of copying an entry's content.
pub(crate) enum Copied {
    Whole,
    /// From one byte on until another it is lost, at least in part: why. There are zeros instead.
    Broken(u64, u64, String),
}

/// Why copying stopped.
enum CopyStop<E> {
    Input(UntarError),
    Output(E),
}

impl<E> From<UntarError> for CopyStop<E> {
    fn from(error: UntarError) -> CopyStop<E> {
        CopyStop::Input(error)
    }
}

fn told(error: &UntarError) -> String {
    match error {
        UntarError::Io(error) => why(error),
        other => other.to_string(),
    }
}

impl BlockReader {
    /// A lane at its begin.
    pub(crate) fn new(feed: LaneFeed) -> BlockReader {
        BlockReader { untar: Untar::new(feed), ticket: 0, ahead: None, damage: None, seeks: false }
    }

    /// Why no block can be read at all, if so.
    pub(crate) fn hopeless(&mut self) -> Option<anyhow::Error> {
        self.untar.input_mut().hopeless.take()
    }

    /// Why what comes of the open block is not sure to be what was stored.
    pub(crate) fn unsure(&mut self) -> Option<String> {
        self.untar.input_mut().unsure()
    }

    /// Goes on to the block with this ticket, if that is not the open one.
    pub(crate) fn turn_to(&mut self, ticket: u64) {
        if self.ticket != ticket {
            self.ticket = ticket;
            self.untar.input_mut().turn_to(ticket);
            self.untar.restart();
            self.ahead = None;
            self.damage = None;
            self.seeks = false;
        }
    }

    /// Finds the entry; the error says why it is not to be had.
    pub(crate) fn find(&mut self, take: &Take) -> Result<TarEntry, String> {
        self.turn_to(take.from.ticket);
        while let Some(entry) = self.next() {
            if entry.path == take.under {
                return match is_of_line(&entry, &take.entry) {
                    true => Ok(entry),
                    false => Err("its header there does not agree with its index line".to_owned()),
                };
            }
            if entry.path > take.under {
                self.ahead = Some(entry);
                break;
            }
        }
        Err(self.why_not())
    }

    /// Why an entry is not to be had that did not come.
    pub(crate) fn why_not(&self) -> String {
        self.damage.clone().unwrap_or_else(|| "the block does not hold it".to_owned())
    }

    /// The next entry of the open block that can be had, past damage; none at its end.
    pub(crate) fn next(&mut self) -> Option<TarEntry> {
        loop {
            let next = match self.ahead.take() {
                Some(ahead) => Ok(Some(ahead)),
                None => self.untar.next_entry(),
            };
            match next {
                // Some bytes of a file that look like a header.
                Ok(Some(entry)) if self.seeks && line_of(&entry).is_none() => self.untar.restart(),
                Ok(Some(entry)) => {
                    self.seeks = false;
                    return Some(entry);
                }
                Ok(None) => return None,
                // Headers that follow may be whole, as long as the member gives bytes.
                Err(error @ (UntarError::BadHeader(_) | UntarError::BadName(_))) => {
                    self.damage = Some(told(&error));
                    self.seeks = true;
                }
                Err(error) => self.step_over(told(&error)),
            }
        }
    }

    fn step_over(&mut self, damage: String) {
        self.damage = Some(damage);
        self.seeks = false;
        self.untar.input_mut().resume();
        self.untar.restart();
    }

    /// The map of holes of the sparse file that was found just now; none for other entries. The
    /// error says why it is not to be had.
    pub(crate) fn map(&mut self, stored: &TarEntry, size: u64) -> Result<Option<Vec<u8>>, String> {
        if !is_sparse(stored) {
            return Ok(None);
        }
        let map = match self.untar.map(stored) {
            Ok(map) => map,
            Err(UntarError::BadMap(_)) => return Err("its map of holes is not valid".to_owned()),
            Err(error) => {
                let damage = told(&error);
                self.step_over(damage.clone());
                return Err(damage);
            }
        };
        match segments(&map, stored.stored - map.len() as u64, size) {
            Some(_) => Ok(Some(map)),
            None => Err("its map of holes is not valid".to_owned()),
        }
    }

    /// Takes the next bytes of the content of the entry that was found just now, behind its map: at
    /// most so many, and one at least.
    pub(crate) fn take<T>(
        &mut self,
        most: u64,
        take: impl FnOnce(&[u8]) -> T,
    ) -> Result<T, String> {
        let taken = self.untar.take(most, take).map_err(|error| told(&error))?;
        taken.ok_or_else(|| "its content ends too early".to_owned())
    }

    /// Copies the content of the entry that was found just now, behind its map; zeros for what is
    /// lost.
    pub(crate) fn copy<E>(
        &mut self,
        entry: &TarEntry,
        put: &mut dyn FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<Copied, E> {
        let start = self.untar.content_read(entry);
        let mut holes: Option<(u64, u64, String)> = None;
        loop {
            let copied = self.untar.copy(entry, &mut |piece| put(piece).map_err(CopyStop::Output));
            let error = match copied {
                Ok(()) => break,
                Err(CopyStop::Output(error)) => return Err(error),
                Err(CopyStop::Input(error)) => error,
            };
            let damage = told(&error);
            let came = self.untar.content_read(entry);
            let bad = self.bad_member(entry, came);
            let goes_on = self.goes_on(entry, bad.1, damage.clone());
            let until = goes_on.unwrap_or(entry.stored);
            zeros(until - came, put)?;
            let (from, _, why) = holes.take().unwrap_or((bad.0.max(start) - start, 0, damage));
            holes = Some((from, until - start, why));
            if goes_on.is_none() {
                break;
            }
        }
        Ok(match holes {
            None => Copied::Whole,
            Some((from, to, why)) => Copied::Broken(from, to, why),
        })
    }

    /// From where to where in an entry's content the member is that was damaged when `came` bytes
    /// had come. A large file is cut into members of one size. Of the damaged one some bytes came,
    /// or all, or none.
    fn bad_member(&mut self, entry: &TarEntry, came: u64) -> (u64, u64) {
        let headers = entry.headers.len() as u64;
        let at = headers + came;
        let whole = at.is_multiple_of(MEMBER) && !self.untar.input_mut().came_damaged();
        let member = if whole { at / MEMBER } else { (at - 1) / MEMBER };
        let place = |member: u64| (member * MEMBER).saturating_sub(headers);
        let from = if self.untar.input_mut().came_damaged() { place(member) } else { came };
        (from, place(member + 1))
    }

    /// Goes on with the content of a large file at its byte `next`, where the first member is that
    /// is whole: mostly one is lost. None if the rest is lost.
    fn goes_on(&mut self, entry: &TarEntry, next: u64, damage: String) -> Option<u64> {
        self.damage = Some(damage);
        let there = self.untar.input_mut().resume();
        let ahead = self.untar.input_mut().fill_buf().ok()?;
        if !there || next >= entry.stored || begins_entry(ahead) {
            self.untar.restart();
            return None;
        }
        self.untar.go_on(entry, next);
        Some(next)
    }
}
