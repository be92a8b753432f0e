//! The header lines that tell pack which band to write.

use crate::format::band::{BandId, BandName};
use crate::format::counted::CountedBlocks;
use crate::format::entry::{Entry, EntryState, Kind};
use crate::format::head::Parent;
use crate::format::listing::{Have, Header};
use crate::format::time::Stamp;

/// An unfinished band, as far as its continuation must know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Continuation {
    /// Its name.
    pub band: BandName,
    /// Its id.
    pub id: BandId,
    /// The first number above every one seen in it.
    pub next: u32,
    /// The number of its last index that counts; none if none does.
    pub after: Option<u32>,
    /// What its counted indexes hold.
    pub have: Have,
    /// Which indexes count, and how many parts their blocks have.
    pub counted: CountedBlocks,
}

/// Counts a line of a band's index, as TAIL does: its lines, the files that are not deleted, and
/// their bytes but those of hard links.
pub fn count(have: &mut Have, line: &Entry) {
    let file = line.kind == Kind::File && line.state != EntryState::Deleted;
    have.entries += 1;
    have.files += u64::from(file);
    if file && line.hard.is_none() {
        have.bytes += line.size.unwrap_or(0);
    }
}

/// Which band the run writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opening {
    /// A new one.
    New {
        /// The band below; none for a full band.
        parent: Option<Parent>,
        /// The start of the newest band in the archive; none if there is no band.
        band_after: Option<Stamp>,
        /// What counts of the band below.
        counted: CountedBlocks,
    },
    /// The rest of one that was interrupted.
    Continue(Continuation),
}

impl Opening {
    /// The header lines, in the order in which they are written, behind those of the scan.
    pub fn headers(&self) -> Vec<Header> {
        match self {
            Opening::New { parent, band_after, counted } => {
                let parent = parent.as_ref().map(|p| Header::Parent(p.band.clone(), p.id, p.last));
                let headers = parent.into_iter().chain(band_after.map(Header::BandAfter));
                headers.chain(counted.pieces().map(Header::Counted)).collect()
            }
            Opening::Continue(Continuation { band, id, next, after, have, counted }) => {
                let mut headers = vec![Header::Band(band.clone(), *id), Header::Next(*next)];
                headers.extend(after.map(Header::After));
                headers.push(Header::Have(*have));
                headers.extend(counted.pieces().map(Header::Counted));
                headers
            }
        }
    }
}
