//! Where the entries of a version go: a tar, or the blocks of another band.

use anyhow::Context;

use crate::format::entry::{Entry, Kind};
use crate::format::tarball::Extras;

/// How the content of an entry came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ContentCame {
    /// As its line says.
    Whole,
    /// Whole, but it has not the digest of its line; that was told.
    Other,
    /// Some of it is lost, with zeros in its place; that was told.
    Broken,
}

/// Takes entries in the order of the version: for each that can be had [`EntrySink::begin`], pieces
/// of content, [`EntrySink::end`].
pub(crate) trait EntrySink {
    /// What is done with an entry, for messages.
    const DONE: &'static str;

    /// The next line of the listing that says what is wanted, if there is one. If it `awaits` its
    /// entry, that comes next, or is lost.
    fn line(&mut self, _line: Entry, _awaits: bool) -> anyhow::Result<()> {
        Ok(())
    }

    /// An entry, and what its block adds to its line; of a sparse file the map, and how many bytes
    /// map and data have.
    fn begin(
        &mut self,
        entry: &Entry,
        extras: &Extras,
        sparse: Option<(&[u8], u64)>,
    ) -> anyhow::Result<()>;

    /// The next piece of its content; of a sparse file, of what is stored behind the map.
    fn content(&mut self, piece: &[u8]) -> anyhow::Result<()>;

    /// All of it came.
    fn end(&mut self, entry: &Entry, came: ContentCame) -> anyhow::Result<()>;

    /// An entry is lost, which was told.
    fn lose(&mut self, entry: &Entry);
}

/// Writes the headers of an entry's line, with what its block adds to it. Of a sparse file, map and
/// data have as many bytes as `sparse` says; other files have as many as the line.
pub(crate) fn write_headers(
    out: &mut Vec<u8>,
    entry: &Entry,
    extras: &Extras,
    sparse: Option<(&[u8], u64)>,
) -> anyhow::Result<()> {
    let size = match sparse {
        Some((_, size)) => size,
        None if entry.kind == Kind::File && entry.hard.is_none() => entry.size.unwrap_or(0),
        None => 0,
    };
    let member = extras.member(entry, sparse.is_some()).with_context(|| entry.path.to_string())?;
    member.write_head(out, size).with_context(|| entry.path.to_string())?;
    out.extend(sparse.map_or(&[][..], |(map, _)| map));
    Ok(())
}
