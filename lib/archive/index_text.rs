//! What the text of an index says of itself.

use anyhow::Context;

use crate::core::diff::count;
use crate::format::band::BandId;
use crate::format::digest::Digest;
use crate::format::entry::{Entry, EntryState};
use crate::format::head::Parent;
use crate::format::listing::{Have, Header, parse_header};
use crate::format::object::Object;
use crate::format::path::Path;
use crate::format::toc::Toc;

/// What one index of an unfinished band holds.
#[derive(Debug, Clone, Default)]
pub(crate) struct IndexFacts {
    /// Its number.
    pub number: u32,
    /// Its counts.
    pub have: Have,
    /// Its last path.
    pub last: Option<Path>,
    /// Whether a run begins with it.
    pub begins_run: bool,
    /// Whether the run that it begins used a mask.
    pub partial: bool,
    /// The sha256 of that mask.
    pub mask: Option<Digest>,
    /// The version that the run has taken its contents from.
    pub taken: Option<Parent>,
    /// Whether it has a line that is deleted, or that takes the place of a directory.
    pub deletes: bool,
    /// Whether its run was told that it may delete any number of entries.
    pub deletes_meant: bool,
}

/// The number of an index and that of the one before it, if its text is of the band with this id.
pub(crate) fn first_line(text: &[u8], id: BandId) -> anyhow::Result<Option<(u32, Option<u32>)>> {
    let index = headers(text).find_map(|header| match header {
        Header::Index(own, number, after) => Some((own == id).then_some((number, after))),
        _ => None,
    });
    index.context("no index: it has no #index line")
}

/// The header lines that it begins with.
fn headers(text: &[u8]) -> impl Iterator<Item = Header> {
    let lines = text.split(|&b| b == b'\n').take_while(|line| line.first() == Some(&b'#'));
    lines.filter_map(|line| parse_header(line).ok())
}

/// Whether a text is that of this index or table of contents of the band with this id.
pub(super) fn is_own(text: &[u8], object: Object, id: BandId) -> bool {
    match object {
        Object::Index(number) => {
            text.last() == Some(&b'\n')
                && matches!(first_line(text, id), Ok(Some((said, _))) if said == number)
        }
        Object::Toc(number) => {
            Toc::parse(text).is_some_and(|toc| toc.id == id && toc.number() == Some(number))
        }
        _ => true,
    }
}

/// The id of the band that an index is of.
pub(super) fn id_of(text: &[u8]) -> Option<BandId> {
    headers(text).find_map(|header| match header {
        Header::Index(id, ..) => Some(id),
        _ => None,
    })
}

/// What an index says of itself and what it holds. None if it is of another band.
pub(super) fn facts_of(text: &[u8], id: BandId) -> anyhow::Result<Option<IndexSays>> {
    let Some((number, after)) = first_line(text, id)? else { return Ok(None) };
    let mut facts = IndexFacts { number, ..IndexFacts::default() };
    for header in headers(text) {
        match header {
            Header::Source(..) => facts.begins_run = true,
            Header::Mask(mask) => facts.mask = Some(mask),
            Header::Taken(band, id, last) => facts.taken = Some(Parent { band, id, last }),
            Header::Partial => facts.partial = true,
            Header::DeletesMeant => facts.deletes_meant = true,
            _ => {}
        }
    }
    for line in
        text.split(|&b| b == b'\n').filter(|line| !matches!(line.first(), None | Some(b'#')))
    {
        let entry = Entry::parse(line)?;
        count(&mut facts.have, &entry);
        facts.deletes |= entry.over || entry.state == EntryState::Deleted;
        facts.last = Some(entry.path);
    }
    Ok(Some((after, facts)))
}

/// The index before it, and the rest.
type IndexSays = (Option<u32>, IndexFacts);
