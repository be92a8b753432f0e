//! What the blocks of a band hold, member by member, against the lines of their indexes.

use crate::archive::blocks::{BlockSource, LaneFeed};
use crate::core::restore::BlockTicket;
use crate::core::verify::{Finding, FindingKind, Subject};
use crate::format::band::BandName;
use crate::format::entry::{Entry, Kind as Type};
use crate::format::object::ObjectName;
use crate::format::sparse::{Digester, is_sparse};
use crate::format::tarball::header_of;
use crate::format::untar::{self, Untar, UntarError};
use crate::report::message::why;

/// Where findings go.
pub(super) type FindingSink<'a> = &'a mut dyn FnMut(Finding) -> anyhow::Result<()>;

/// The machine: [`MemberCheck::turn_to`] for each block, [`MemberCheck::handle_line`] for each line
/// that has a member there, then [`MemberCheck::finish`].
pub(super) struct MemberCheck<'a> {
    untar: Untar<LaneFeed>,
    source: &'a BlockSource,
    band: &'a BandName,
    open: Option<BlockTicket>,
    /// A member behind the one that was looked for.
    ahead: Option<untar::TarEntry>,
    /// What was damaged last in the block.
    damage: Option<String>,
    /// How many zero blocks of this block were reported, and bytes behind contents.
    zeros: u64,
    dirt: u64,
    /// Files that were read.
    read: u64,
}

impl<'a> MemberCheck<'a> {
    /// The members that come out of `feed`.
    pub(super) fn new(
        feed: LaneFeed,
        source: &'a BlockSource,
        band: &'a BandName,
    ) -> MemberCheck<'a> {
        MemberCheck {
            untar: Untar::new(feed),
            source,
            band,
            open: None,
            ahead: None,
            damage: None,
            zeros: 0,
            dirt: 0,
            read: 0,
        }
    }

    /// Goes on to a block; the one before must hold nothing more.
    pub(super) fn turn_to(
        &mut self,
        open: BlockTicket,
        found: FindingSink<'_>,
    ) -> anyhow::Result<()> {
        self.end(found)?;
        self.open = Some(open);
        self.untar.input_mut().turn_to(open.ticket);
        self.untar.restart();
        (self.ahead, self.damage) = (None, None);
        (self.zeros, self.dirt) = (self.untar.zero_blocks(), self.untar.dirt());
        Ok(())
    }

    /// Compares the next member with the next line.
    pub(super) fn handle_line(
        &mut self,
        line: &Entry,
        found: FindingSink<'_>,
    ) -> anyhow::Result<()> {
        let stored = loop {
            match self.next(found)? {
                Some(stored) if stored.path == line.path => break stored,
                Some(stored) if stored.path < line.path => self.stray(&stored, found)?,
                behind => {
                    self.ahead = behind;
                    let why =
                        self.damage.clone().unwrap_or("the block does not hold it".to_owned());
                    return found(self.wrong(line, why));
                }
            }
        };
        match header_of(line, &stored) {
            Ok(header) if header == stored.headers => {}
            Ok(_) => {
                let why = "its header there is not what its index line says".to_owned();
                return found(self.wrong(line, why));
            }
            Err(error) => return found(self.wrong(line, error.to_string())),
        }
        if line.kind != Type::File || line.hard.is_some() {
            return Ok(());
        }
        self.read += 1;
        self.content(line, &stored, found)
    }

    /// All lines have come. Gives how many files were read.
    pub(super) fn finish(mut self, found: FindingSink<'_>) -> anyhow::Result<u64> {
        self.end(found)?;
        Ok(self.read)
    }

    fn content(
        &mut self,
        line: &Entry,
        stored: &untar::TarEntry,
        found: FindingSink<'_>,
    ) -> anyhow::Result<()> {
        let mut digester = Digester::of_line(line, is_sparse(stored));
        let mut came = 0;
        let copied = self.untar.copy(stored, &mut |piece| {
            came += piece.len() as u64;
            if let Some(digester) = &mut digester {
                digester.update(piece);
            }
            Ok::<(), UntarError>(())
        });
        if let Err(error) = copied {
            let why = told(&error);
            self.step_over(why.clone());
            let what = format!("damaged from byte {came} of the stored content on: {why}");
            return found(self.wrong(line, what));
        }
        match digester.map(Digester::finish) {
            Some(made) if made != line.digest() => {
                found(self.wrong(line, "its content has another sha256".to_owned()))
            }
            _ => Ok(()),
        }
    }

    /// The next member, past damage.
    fn next(&mut self, found: FindingSink<'_>) -> anyhow::Result<Option<untar::TarEntry>> {
        if let Some(ahead) = self.ahead.take() {
            return Ok(Some(ahead));
        }
        loop {
            let next = self.untar.next_entry();
            if let Some(error) = self.untar.input_mut().hopeless.take() {
                return Err(error);
            }
            if self.untar.zero_blocks() > self.zeros {
                self.zeros = u64::MAX;
                let what = "it has zeros where a header should be, which tars take for its end";
                found(self.of_block(what.to_owned()))?;
            }
            if self.untar.dirt() > self.dirt {
                self.dirt = u64::MAX;
                let what = "it has bytes after the content of an entry where zeros should be";
                found(self.of_block(what.to_owned()))?;
            }
            match next {
                Ok(next) => return Ok(next),
                Err(error) => self.step_over(told(&error)),
            }
        }
    }

    fn step_over(&mut self, damage: String) {
        self.damage = Some(damage);
        self.untar.input_mut().resume();
        self.untar.restart();
    }

    /// The block must be at its end.
    fn end(&mut self, found: FindingSink<'_>) -> anyhow::Result<()> {
        if self.open.is_none() {
            return Ok(());
        }
        let before = self.damage.clone();
        while let Some(stored) = self.next(found)? {
            self.stray(&stored, found)?;
        }
        // Damage behind the last line costs no file; only what is there could be told from it.
        match &self.damage {
            Some(damage) if before.is_none() => {
                found(self.of_block(format!("after its last entry: {damage}")))
            }
            _ => Ok(()),
        }
    }

    fn stray(&self, stored: &untar::TarEntry, found: FindingSink<'_>) -> anyhow::Result<()> {
        found(
            self.of_block(format!("it holds {}, which its index does not list there", stored.path)),
        )
    }

    fn wrong(&self, line: &Entry, why: String) -> Finding {
        let block = self.open.map(|open| self.source.name(open.block)).unwrap_or_default();
        let subject = Subject::File(self.band.clone(), line.path.clone());
        Finding::new(FindingKind::File, subject, format!("block {block}: {why}"))
    }

    fn of_block(&self, what: String) -> Finding {
        let name = self.open.map(|open| self.source.name(open.block)).unwrap_or_default();
        let object = name.split_once('/').and_then(|(_, name)| ObjectName::parse(name));
        match object {
            Some(object) => Finding::of(FindingKind::Damaged, self.band, object, what),
            None => {
                Finding::new(FindingKind::Damaged, Subject::Stray(self.band.clone(), name), what)
            }
        }
    }
}

fn told(error: &UntarError) -> String {
    match error {
        UntarError::Io(error) => why(error),
        other => other.to_string(),
    }
}
