//! Reads the object stream, and hands each object to all archives.

use std::io::Read;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use super::super::message::chain;
use super::held::{self, Held, MAX_UNDER_WAY};
use super::lane::{Ending, Event};
use crate::edge::budget::Budget;
use crate::format::stream::{self, Preface, Reader, StreamError};

/// How a stream begins.
pub(super) struct Begin {
    /// The first object: HEAD, unless the stream continues a band.
    pub first: Arc<Held>,
    /// What it says before that.
    pub preface: Preface,
}

/// Starts to read. What the stream begins with, or why it does not, comes first; the objects go to
/// `lanes`, the first one, too.
///
/// The thread is not joined: after a failure it may sit in a read of a pipe whose other end is in
/// no hurry.
pub(super) fn start(
    mut stream: Reader<impl Read + Send + 'static>,
    lanes: Vec<Sender<Event>>,
) -> Receiver<Result<Begin, StreamError>> {
    let (send, begin) = channel();
    std::thread::spawn(move || {
        let budget = Arc::new(Budget::new(MAX_UNDER_WAY));
        let read = stream.next_item_if(&mut |bytes| held::take(&budget, bytes));
        let first = match read.and_then(|first| first.ok_or(StreamError::Empty)) {
            Ok(first) => Held::new(first, &budget),
            Err(error) => return drop(send.send(Err(error))),
        };
        let preface = stream.preface().clone();
        let continues = preface.continues.is_some();
        if send.send(Ok(Begin { first: Arc::clone(&first), preface })).is_ok() {
            let ending = feed(stream, first, continues, &budget, &lanes);
            lanes.iter().for_each(|lane| drop(lane.send(Event::End(ending.clone()))));
        }
    });
    begin
}

fn feed(
    mut stream: Reader<impl Read>,
    first: Arc<Held>,
    continues: bool,
    budget: &Arc<Budget>,
    lanes: &[Sender<Event>],
) -> Ending {
    let mut before = None;
    let mut next = first;
    loop {
        let name = next.item.name;
        if !stream::in_place(before.as_ref(), &name, continues) {
            return broken(StreamError::BadName(next.name()));
        }
        before = Some(name);
        // An archive that has failed takes nothing any more.
        let taken =
            lanes.iter().filter(|lane| lane.send(Event::Object(Arc::clone(&next))).is_ok()).count();
        if taken == 0 {
            return broken(StreamError::Stopped);
        }
        drop(next);
        next = match stream.next_item_if(&mut |bytes| held::take(budget, bytes)) {
            Ok(Some(item)) => Held::new(item, budget),
            Ok(None) => return Ending::Whole,
            Err(error) => return broken(error),
        };
    }
}

fn broken(error: StreamError) -> Ending {
    Ending::Broken(chain(&error.into()))
}
