//! What was read, in the listing's order: to be decided and compressed.

use std::sync::Arc;

use crate::core::links::LostLinks;
use crate::edge::ordered::{Gone, Results, Submit};
use crate::format::entry::Entry;
use crate::ops::pack::compress::{Codecs, Packed};
use crate::ops::pack::raw::Raw;
use crate::ops::pack::read::Gathered;
use crate::ops::pack::reading::FileReading;
use crate::ops::pack::settle::Settler;

/// What threads share.
pub(super) struct Shared {
    pub(super) reading: FileReading,
    pub(super) codecs: Arc<Codecs>,
}

/// What was read, in the listing's order.
pub(super) enum Done {
    /// A planned member, to be read again if first names of its hard links were lost before.
    Gathered { raw: Raw, planned: Vec<Entry>, rest: Vec<Entry>, links: LostLinks },
    /// A piece of a large file.
    Piece(Raw),
    /// A large file is through; the first names that were lost with it.
    Passed(LostLinks),
}

/// Where members go that were read.
pub(super) struct MemberSink<'a> {
    pub(super) shared: &'a Arc<Shared>,
    pub(super) settler: Settler<'a>,
    pub(super) submit: Submit<std::io::Result<Packed>>,
}

impl MemberSink<'_> {
    /// Decides what of a member is stored, and queues it to be compressed.
    fn member(&mut self, raw: Raw, links: &mut LostLinks) -> Result<(), Gone> {
        match self.settler.settle(raw) {
            Ok(settled) => {
                let codecs = Arc::clone(&self.shared.codecs);
                self.submit.submit(move || codecs.compress(settled))
            }
            // It only looked like one that is stored.
            Err(entry) => self.large(*entry, true, links),
        }
    }

    fn large(&mut self, entry: Entry, again: bool, links: &mut LostLinks) -> Result<(), Gone> {
        let shared = Arc::clone(self.shared);
        let mut found = links.clone();
        let read =
            shared.reading.stream(entry, again, links, &mut |raw| self.member(raw, &mut found));
        links.merge(found);
        read
    }
}

/// Takes members in order, reads again what lost first names have changed, and hands them on.
pub(super) fn collect(results: Results<Done>, out: &mut MemberSink<'_>) {
    let mut links = LostLinks::default();
    for done in results {
        let handed = match done {
            Done::Piece(raw) => out.member(raw, &mut links),
            Done::Passed(lost) => {
                links.merge(lost);
                Ok(())
            }
            Done::Gathered { planned, .. } if links.touches(&planned) => {
                members(planned, &mut links, out)
            }
            Done::Gathered { raw, rest, links: found, .. } => {
                links.merge(found);
                out.member(raw, &mut links).and_then(|()| members(rest, &mut links, out))
            }
        };
        // When nobody takes them any more, the taker has the reason.
        if handed.is_err() {
            return;
        }
    }
}

/// Reads entries here and now, whatever their size; for the rare cases that the plan did not
/// foresee.
fn members(
    mut entries: Vec<Entry>,
    links: &mut LostLinks,
    out: &mut MemberSink<'_>,
) -> Result<(), Gone> {
    while !entries.is_empty() {
        let Gathered { raw, rest, links: found } =
            out.shared.reading.gather(entries, links.clone());
        *links = found;
        out.member(raw, links)?;
        let mut rest = rest.into_iter();
        if let Some(large) = rest.next() {
            out.large(large, false, links)?;
        }
        entries = rest.collect();
    }
    Ok(())
}
