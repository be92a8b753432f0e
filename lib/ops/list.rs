//! A version as a listing.

use std::io::Write;
use std::sync::Arc;

use anyhow::Context;

use crate::archive::named::ArchiveName;
use crate::archive::reading::{Chosen, ReadOptions};
use crate::archive::version::Version;
use crate::format::head::Head;
use crate::format::listing::{End, Header, VERSION};
use crate::ops::CANNOT_WRITE;
use crate::report::message::Report;

/// Writes a version as a listing. Gives what its last line says.
///
/// # Errors
/// What keeps the listing from its end.
pub fn run(
    shown: &ArchiveName,
    reading: &ReadOptions,
    out: &mut dyn Write,
    report: &Arc<Report>,
) -> anyhow::Result<End> {
    let Chosen { archive, chain } = reading.version(shown, report)?;
    let mut version = Version::open(&archive, &chain, report)?;
    let mut buffer = Vec::new();
    let mut end = End::default();
    let mut next = version.next_entry()?;
    let taken = version.last().and_then(|(tier, last)| {
        let Head { band, id, .. } = &chain.get(tier)?.head;
        Some(Header::Taken(band.clone(), *id, last))
    });
    for header in [Header::Mtree, Header::Version(VERSION)].into_iter().chain(taken) {
        writeln!(buffer, "{header}")?;
    }
    for header in
        version.headers().iter().filter(|header| matches!(header, Header::Source(..))).take(1)
    {
        writeln!(buffer, "{header}")?;
    }
    while let Some(placed) = next {
        let mut entry = placed.entry;
        // These say how a band builds on another; a version builds on nothing.
        entry.over = false;
        entry.forget_place();
        entry.write(&mut buffer);
        end.entries += 1;
        if buffer.len() > 64 << 10 {
            out.write_all(&buffer).context(CANNOT_WRITE)?;
            buffer.clear();
        }
        next = version.next_entry()?;
    }
    writeln!(buffer, "{end}")?;
    out.write_all(&buffer).context(CANNOT_WRITE)?;
    Ok(end)
}
