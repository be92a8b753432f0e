//! What HEAD and TAIL of a band are taken to say, when one of them is damaged or gone.
//!
//! TAIL repeats HEAD, so each stands in for the other as far as it can. That is the one place where
//! this is decided; readers, builders and push all ask here.

use crate::format::band::BandName;
use crate::format::head::{Head, Tail};

/// One of the two, as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EndPiece<T> {
    /// Nobody has looked.
    Unread,
    /// It is not there.
    Absent,
    /// It cannot be read.
    Damaged,
    /// It says this.
    Whole(T),
}

/// What a band is taken to be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BandEnds {
    /// What HEAD says, or TAIL repeats.
    pub head: Option<Head>,
    /// What TAIL says, if it is the band's.
    pub tail: Option<Tail>,
    /// HEAD is gone, and TAIL stands in for it. The band may be about to be removed, so nothing is
    /// built on it.
    pub headless: bool,
    /// HEAD is there, and cannot be read or is another's.
    pub head_damaged: bool,
    /// TAIL is there, and cannot be read or is another's. It counts as none.
    pub tail_damaged: bool,
    /// Each can be read, and TAIL is of another band of this name than HEAD.
    pub disagree: bool,
    /// The folder is that of this band, under another name.
    pub foreign: Option<BandName>,
}

impl BandEnds {
    /// Neither HEAD nor TAIL is there.
    pub fn is_nothing(&self) -> bool {
        *self == BandEnds::default()
    }
}

/// Decides what the band with this name is, from its HEAD and TAIL.
pub fn ends(name: &BandName, head: EndPiece<Head>, tail: EndPiece<Tail>) -> BandEnds {
    let mut ends = BandEnds {
        head_damaged: head == EndPiece::Damaged,
        tail_damaged: tail == EndPiece::Damaged,
        ..BandEnds::default()
    };
    let (is_absent, is_unread) = (head == EndPiece::Absent, head == EndPiece::Unread);
    let mut own_head = match head {
        EndPiece::Whole(head) => Some(head),
        _ => None,
    };
    let mut own_tail = match tail {
        EndPiece::Whole(tail) => Some(tail),
        _ => None,
    };
    if let Some(tail) = own_tail.take_if(|tail| tail.band != *name) {
        match &own_head {
            Some(head) if head.band == tail.band => {}
            _ => ends.tail_damaged = true,
        }
    }
    if let Some(head) = own_head.take_if(|head| head.band != *name) {
        match own_tail.as_ref().and_then(|tail| tail.head.as_ref()) {
            Some(_) => ends.head_damaged = true,
            None => ends.foreign = Some(head.band),
        }
    }
    if let (Some(head), Some(tail)) = (&own_head, &own_tail)
        && head.id != tail.id
    {
        own_tail = None;
        ends.tail_damaged = true;
        ends.disagree = true;
    }
    let repeated = own_tail.as_ref().and_then(|tail| tail.head.clone());
    ends.headless = is_absent && own_tail.is_some();
    ends.head = match repeated.filter(|head| head.band == *name) {
        Some(repeated) if own_head.is_none() || is_unread => Some(repeated),
        _ => own_head,
    };
    ends.tail = own_tail;
    ends
}

#[cfg(test)]
mod tests {
    use super::EndPiece::*;
    use super::*;
    use crate::format::band::BandId;
    use crate::format::object::Compression;

    fn head(name: &str, id: u8) -> Head {
        let band: BandName = name.parse().unwrap();
        let started = band.start();
        Head::new(band, BandId([id; 16]), None, started, Compression::Gzip, "")
    }

    fn tail(name: &str, id: u8, repeats: bool) -> Tail {
        let head = head(name, id);
        Tail {
            band: head.band.clone(),
            id: head.id,
            finished: head.started,
            last: 0,
            toc: 0,
            entries: 0,
            files: 0,
            bytes: 0,
            tree: None,
            skipped: 0,
            behind: None,
            unattributed: 0,
            runs: Vec::new(),
            head: repeats.then_some(head),
        }
    }

    /// Which of both stand, and what is to be said.
    fn decide(own: EndPiece<Head>, last: EndPiece<Tail>) -> String {
        let found = ends(&OWN.parse().unwrap(), own, last);
        let words = [
            (found.head.is_some(), "head"),
            (found.tail.is_some(), "tail"),
            (found.headless, "headless"),
            (found.head_damaged, "head-damaged"),
            (found.tail_damaged, "tail-damaged"),
            (found.foreign.is_some(), "foreign"),
        ];
        let words: Vec<&str> = words.iter().filter(|(is, _)| *is).map(|(_, word)| *word).collect();
        words.join(" ")
    }

    const OWN: &str = "20261101T020000Z";
    const OTHER: &str = "20261102T020000Z";

    #[test]
    fn each_stands_in_for_the_other() {
        for (own, last, wanted) in [
            (Whole(head(OWN, 1)), Whole(tail(OWN, 1, true)), "head tail"),
            (Whole(head(OWN, 1)), Absent, "head"),
            (Whole(head(OWN, 1)), Damaged, "head tail-damaged"),
            (Unread, Whole(tail(OWN, 1, true)), "head tail"),
            (Absent, Whole(tail(OWN, 1, true)), "head tail headless"),
            (Damaged, Whole(tail(OWN, 1, true)), "head tail head-damaged"),
            // By releases whose TAIL did not repeat HEAD.
            (Whole(head(OWN, 1)), Whole(tail(OWN, 1, false)), "head tail"),
            (Damaged, Whole(tail(OWN, 1, false)), "tail head-damaged"),
            (Absent, Absent, ""),
            (Absent, Damaged, "tail-damaged"),
            (Damaged, Absent, "head-damaged"),
            (Damaged, Damaged, "head-damaged tail-damaged"),
            // Those of other bands.
            (Whole(head(OWN, 1)), Whole(tail(OWN, 2, true)), "head tail-damaged"),
            (Whole(head(OWN, 1)), Whole(tail(OTHER, 1, true)), "head tail-damaged"),
            (Whole(head(OTHER, 1)), Whole(tail(OWN, 1, true)), "head tail head-damaged"),
            (Whole(head(OTHER, 1)), Whole(tail(OTHER, 1, true)), "foreign"),
            (Whole(head(OTHER, 1)), Absent, "foreign"),
            (Absent, Whole(tail(OTHER, 1, true)), "tail-damaged"),
        ] {
            let shown = format!("{own:?} {last:?}");
            assert_eq!(decide(own, last), wanted, "{shown}");
        }
    }
}
