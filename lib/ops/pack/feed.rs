//! The listing as it comes: its lines into work.

use std::sync::Arc;

use anyhow::{Context, bail};

use crate::core::links::LostLinks;
use crate::core::planner::{Planner, ReadJob};
use crate::core::start::ListingEnd;
use crate::edge::ordered::{Gone, Submit};
use crate::format::listing::Line;
use crate::ops::pack::OpenListing;
use crate::ops::pack::collect::{Done, Shared};
use crate::ops::pack::handed::HandedFile;
use crate::ops::pack::read::Gathered;

/// Reads the listing and large files, and queues the work.
pub(super) fn feed(
    listing: OpenListing<impl std::io::BufRead>,
    shared: &Arc<Shared>,
    submit: &Submit<Done>,
) -> anyhow::Result<ListingEnd> {
    let OpenListing { lines: mut listing, first, mut ended, handed } = listing;
    let mut planner = Planner::new();
    let mut line = Some(first);
    let mut handed_bytes = 0;
    loop {
        let mut awaited = None;
        let end = match line {
            Some(Line::Entry(entry)) if handed.as_ref().is_some_and(|it| it.path == entry.path) => {
                planner.finish();
                awaited = Some(entry);
                None
            }
            Some(Line::Entry(entry)) => {
                planner.handle_entry(entry);
                None
            }
            Some(Line::Header(header)) => {
                ended.handle_header(&header);
                None
            }
            Some(Line::End(end)) => {
                planner.finish();
                Some(end)
            }
            None => bail!("the listing has no #end line"),
        };
        while let Some(job) = planner.poll_job() {
            // When nobody takes the results any more, the taker has the reason.
            if queue(job, shared, submit).is_err() {
                return Ok(ended);
            }
        }
        if let Some(end) = end {
            // Nothing may follow the end.
            listing.next_line()?;
            if let Some(tree) = &mut ended.tree {
                tree.bytes += handed_bytes;
            }
            return Ok(ListingEnd { end, ..ended });
        }
        let mut last = None;
        if let (Some(entry), Some(HandedFile { socket, .. })) = (awaited, &handed) {
            let emit = &mut |raw| submit.ready(Done::Piece(raw));
            let path = entry.path.to_string();
            match shared.reading.take_handed(entry, socket, emit).context(path)? {
                Ok((raw, bytes)) => (last, handed_bytes) = (Some(raw), bytes),
                Err(Gone) => return Ok(ended),
            }
        }
        // Comes only if the producer has succeeded: until then the file is not one of the band.
        line = listing.next_line()?;
        if last.is_some_and(|raw| submit.ready(Done::Piece(raw)).is_err()) {
            return Ok(ended);
        }
    }
}

fn queue(job: ReadJob, shared: &Arc<Shared>, submit: &Submit<Done>) -> Result<(), Gone> {
    match job {
        ReadJob::Member(planned) => {
            if let Ok(mut cut) = shared.reading.cut.lock() {
                cut.handle_other();
            }
            let shared = Arc::clone(shared);
            submit.submit(move || {
                let has_links = planned.iter().any(|entry| entry.hard.is_some());
                let again = if has_links { planned.clone() } else { Vec::new() };
                let Gathered { raw, rest, links } =
                    shared.reading.gather(planned, LostLinks::default());
                Done::Gathered { raw, planned: again, rest, links }
            })
        }
        ReadJob::Big(entry) => {
            let mut links = LostLinks::default();
            let emit = &mut |raw| submit.ready(Done::Piece(raw));
            shared.reading.stream(*entry, false, &mut links, emit)?;
            if links.is_empty() { Ok(()) } else { submit.ready(Done::Passed(links)) }
        }
    }
}
