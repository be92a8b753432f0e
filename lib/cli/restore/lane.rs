//! Finding entries in the blocks of a lane, past damage.

use super::super::message::why;
use super::blocks::Feed;
use crate::core::restore::Take;
use crate::format::entry::{self, Kind};
use crate::format::path::Path;
use crate::format::sparse::is_sparse;
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
                Ok(Some(entry)) if entry.path == take.under => {
                    return agrees(&entry, take).map(|()| entry);
                }
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
    pub(in super::super) fn copy<E>(
        &mut self,
        entry: &Entry,
        put: &mut dyn FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<Copied, E> {
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

/// Whether a stored header says of the entry what its index line says: a tar goes by the header,
/// and whoever can write to the store can write there what he likes.
fn agrees(stored: &Entry, take: &Take) -> Result<(), String> {
    let entry = &take.entry;
    let mut names =
        stored.records().filter(|(key, _)| matches!(*key, b"path" | b"GNU.sparse.name"));
    // The path under which it was found is that of one of them, if there are any.
    let named = names.clone().nth(1).is_none()
        || names.all(|(_, name)| Path::from_typed(name).as_ref() == Ok(&take.under));
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
    let size =
        stored.record(b"GNU.sparse.realsize").map_or(Some(stored.stored), entry::number::<u64>);
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
