//! Reads the object stream, and hands each object to all archives.

use std::io::Read;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use crate::core::intake::{Flaw, Intake, IntakeVerdict, SignatureCheck};
use crate::core::schedule::order::SignedFirst;
use crate::edge::budget::Budget;
use crate::format::band::BandId;
use crate::format::digest;
use crate::format::group::List;
use crate::format::head::{Head, Tail};
use crate::format::object::Object;
use crate::format::stream::{self, Preface, StreamError, StreamItem, StreamReader};
use crate::ops::push::add::Addition;
use crate::ops::push::held::{self, Held};
use crate::ops::push::run::{Ending, LaneEvent};
use crate::ops::push::signatures;
use crate::report::message::chain;

/// How a stream begins.
pub(super) struct StreamStart {
    /// The first object: HEAD, unless the stream continues a band.
    pub first: Arc<Held>,
    /// What it says before that.
    pub preface: Preface,
    /// All that comes, the first too, if it is added to bands that are there.
    pub additions: Option<Receiver<Addition>>,
}

/// Starts to read. What the stream begins with, or why it does not, comes first; the objects go to
/// `lanes`, the first one, too.
///
/// The thread is not joined: after a failure it may sit in a read of a pipe whose other end is in
/// no hurry.
pub(super) fn start(
    mut stream: StreamReader<impl Read + Send + 'static>,
    lanes: Vec<Sender<LaneEvent>>,
) -> Receiver<Result<StreamStart, StreamError>> {
    let (send, begin) = channel();
    std::thread::spawn(move || {
        let budget = Arc::new(Budget::new(held::most()));
        let read = stream.next_item_if(&mut |bytes| held::take(&budget, bytes));
        let first = match read.and_then(|first| first.ok_or(StreamError::Empty)) {
            Ok(first) => Held::new(first, &budget),
            Err(error) => return drop(send.send(Err(error))),
        };
        let preface = stream.preface().clone();
        let continues = preface.continues.is_some();
        let begin =
            StreamStart { first: Arc::clone(&first), preface: preface.clone(), additions: None };
        if preface.adds.is_some() {
            let (give, additions) = channel();
            if send.send(Ok(StreamStart { additions: Some(additions), ..begin })).is_ok() {
                add(stream, &first, &give);
            }
            return;
        }
        if send.send(Ok(begin)).is_ok() {
            let intake = Intake::new(first.item.band.clone(), id_of(&first, &preface), &preface);
            let ending = feed(stream, first, continues, intake, &budget, &lanes);
            lanes.iter().for_each(|lane| drop(lane.send(LaneEvent::End(ending.clone()))));
        }
    });
    begin
}

/// Passes on what is added to bands; such objects are small.
fn add(mut stream: StreamReader<impl Read>, first: &Held, give: &Sender<Addition>) {
    let mut next = Ok(Some(first.item.clone()));
    loop {
        let id = stream.adds().map(|(_, id)| *id).ok_or(StreamError::Empty);
        let addition = match next {
            Ok(None) => return,
            Ok(Some(item)) => id.map(|id| (item, id)),
            Err(error) => Err(error),
        };
        if give.send(addition).is_err() {
            return;
        }
        next = stream.next_item();
    }
}

fn feed(
    mut stream: StreamReader<impl Read>,
    first: Arc<Held>,
    continues: bool,
    mut intake: Intake,
    budget: &Arc<Budget>,
    lanes: &[Sender<LaneEvent>],
) -> Ending {
    let mut before = None;
    let mut ends = StreamTail::default();
    let mut order = SignedFirst::new(intake.is_signed());
    let mut next = first;
    loop {
        let name = next.item.name;
        if !stream::in_place(before.as_ref(), &name, continues) {
            return broken(StreamError::BadName(next.name()));
        }
        before = Some(name);
        let verdict = look(&mut intake, &next.item, &mut ends);
        // An archive that has failed takes nothing any more.
        let given: Vec<Arc<Held>> = match verdict {
            IntakeVerdict::Store => order.handle_object(&name, next).collect(),
            IntakeVerdict::Leave => order.handle_left_out().into_iter().collect(),
        };
        for object in given {
            let give =
                |lane: &&Sender<LaneEvent>| lane.send(LaneEvent::Object(Arc::clone(&object)));
            if lanes.iter().filter(|lane| give(lane).is_ok()).count() == 0 {
                return broken(StreamError::Stopped);
            }
        }
        next = match stream.next_item_if(&mut |bytes| held::take(budget, bytes)) {
            Ok(Some(item)) => Held::new(item, budget),
            Ok(None) => {
                return whole(intake.finish(ends.tail.as_ref(), ends.signature));
            }
            Err(error) => return broken(error),
        };
    }
}

/// The id of the band that comes. One whose HEAD cannot be read is refused before anything of it is
/// stored.
fn id_of(first: &Held, preface: &Preface) -> BandId {
    let continued = preface.continues.as_ref().map(|(_, id)| *id);
    continued.or(Head::parse(&first.item.bytes).map(|head| head.id).ok()).unwrap_or(BandId([0; 16]))
}

/// What comes last, and what may still get a signature.
#[derive(Default)]
struct StreamTail {
    tail: Option<Tail>,
    signature: Option<SignatureCheck>,
    /// The list or TAIL that came just before: a copy, which holds up no larger object.
    text: Option<Vec<u8>>,
}

/// Holds an object against what came before it.
fn look(intake: &mut Intake, item: &StreamItem, ends: &mut StreamTail) -> IntakeVerdict {
    let text = ends.text.take();
    let signature = |text: Option<Vec<u8>>| {
        text.map_or(SignatureCheck::Unknown, |text| signatures::look(&item.bytes, &text))
    };
    match item.name.object {
        Object::List(..) => {
            ends.text = Some(item.bytes.clone());
            intake.handle_list(item.name, List::parse(&item.bytes).ok().as_ref())
        }
        Object::ListSig(..) => intake.handle_signature(item.name, signature(text)),
        // What is wrong with TAIL itself is told where it is stored.
        Object::Tail => {
            ends.text = Some(item.bytes.clone());
            ends.tail = Tail::parse(&item.bytes).ok();
            IntakeVerdict::Store
        }
        Object::TailSig => {
            ends.signature = Some(signature(text));
            IntakeVerdict::Store
        }
        _ => {
            intake.handle_object(item.name, item.bytes.len() as u64, digest::of(&item.bytes));
            IntakeVerdict::Store
        }
    }
}

fn whole(flaws: Vec<Flaw>) -> Ending {
    match flaws.as_slice() {
        [] => Ending::Whole,
        [first] => Ending::Broken(format!("the object stream was damaged on the way: {first}")),
        [first, rest @ ..] => Ending::Broken(format!(
            "the object stream was damaged on the way: {first} (and {} more)",
            rest.len()
        )),
    }
}

fn broken(error: StreamError) -> Ending {
    match error {
        StreamError::Cut(at) => Ending::Cut(at),
        error => Ending::Broken(chain(&error.into())),
    }
}
