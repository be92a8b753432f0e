//! What a run of pack begins with: which band it makes or continues, and how, by the listing's header
//! lines and what is asked for.

use crate::core::assemble::AssemblerConfig;
use crate::core::chain::naming::{self, NoName};
use crate::core::diff::Distrust;
use crate::format::band::{BandId, BandName};
use crate::format::counted::CountedBlocks;
use crate::format::cut::BegunBlock;
use crate::format::digest::{self, Digest};
use crate::format::head::{Head, Parent};
use crate::format::listing::{End, Have, Header};
use crate::format::object::{Compression, ObjectName};
use crate::format::path::Path;
use crate::format::stream::Preface;
use crate::format::time::Stamp;

/// How a listing ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ListingEnd {
    /// Its last line.
    pub end: End,
    /// What the new version holds, if diff says so.
    pub tree: Option<Have>,
    /// What changed behind the point from which the band is continued.
    pub behind: u64,
}

impl ListingEnd {
    /// A header line that stands before the end.
    pub fn handle_header(&mut self, header: &Header) {
        match header {
            Header::Tree(tree) => self.tree = Some(*tree),
            Header::Behind(behind) => self.behind = *behind,
            _ => {}
        }
    }
}

/// The header lines of a listing.
#[derive(Debug, Clone, Default)]
pub struct RunHeaders {
    /// The host and the directory of the source.
    pub source: Option<(Vec<u8>, Vec<u8>)>,
    partial: bool,
    mask: Option<Digest>,
    source_id: Option<BandId>,
    runs: Vec<u32>,
    deletes_meant: bool,
    /// What the lines say that stand before the end.
    pub ended: ListingEnd,
    /// The version that the listing is of.
    pub taken: Option<Parent>,
    parent: Option<Parent>,
    band_after: Option<Stamp>,
    continued: Option<(BandName, BandId)>,
    next: u32,
    after: Option<u32>,
    have: Have,
    compression: Option<Compression>,
    counted: CountedBlocks,
    unlisted: Vec<(ObjectName, u64)>,
    parts: Vec<BegunBlock>,
    continued_head: Option<Head>,
    distrusted: Distrust,
    /// The file that the scan hands over, and where its content waits.
    pub handed: Option<(Path, Vec<u8>)>,
}

/// What is asked for, and what chance and the clock give.
#[derive(Debug, Clone)]
pub struct PackWish {
    /// The band's name.
    pub band: Option<BandName>,
    /// The band's id.
    pub id: Option<BandId>,
    /// The compression of blocks.
    pub compression: Option<Compression>,
    /// Bytes at which a block ends.
    pub block_size: u64,
    /// Bytes of the parts of larger blocks.
    pub part_size: u64,
    /// Store files again that were moved or copied.
    pub no_references: bool,
    /// From which size on what has changed of a file is stored, and not all of it; 0 for never.
    pub delta_over: u64,
    /// Where entries come from an archive: since when it has them, the id of its source, and the
    /// line that says which version it is.
    pub old: Option<(Stamp, Option<BandId>, Header)>,
    /// The clock.
    pub started: Stamp,
    /// Two random ids: of the band, and of a source that is new.
    pub random: (BandId, BandId),
    /// What HEAD calls its writer.
    pub writer: &'static str,
}

/// What is worth knowing of a run that begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StartNote {
    /// The band goes on with the compression that it has, though another is asked for.
    KeepsCompression(Compression),
    /// It has no parent.
    IsFull,
    /// The archive has a newer band than the clock says: it is called this.
    IsAhead(BandName),
}

/// Why a run cannot begin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// Pieces of a count do not follow each other.
    #[error("the listing has `#counted` lines out of order")]
    Unordered,
    /// Another name or id is asked for.
    #[error("--band and --id cannot rename a band that is continued")]
    Renamed,
    /// What is continued was begun from files, or from another version.
    #[error("{0} was taken from an archive, or from another version")]
    OtherVersion(BandName),
    /// The name stands on another band than the listing.
    #[error("--band {0}: its parent must be {1}, as the listing says")]
    OtherParent(BandName, BandName),
    /// The name stands on a band, and the listing on none.
    #[error("--band {0}: it names a parent, but the listing is of a full band")]
    NoParent(BandName),
    /// There is no name for it.
    #[error(transparent)]
    NoName(#[from] NoName),
}

/// What the run does.
#[derive(Debug)]
pub struct RunStart {
    /// How the band is put together.
    pub config: AssemblerConfig,
    /// The HEAD of a new band; none when one is continued.
    pub head: Option<Head>,
    /// True if the band has a parent, so that content may be left in older blocks.
    pub layered: bool,
    /// Whether lines may refer to content that is stored already.
    pub refers: bool,
    /// From which size on what has changed of a file is stored, and not all of it.
    pub delta_over: Option<u64>,
    /// The band below, and what of the chain is lost.
    pub origins: Option<(Parent, Distrust)>,
    /// What the object stream says before its first object.
    pub preface: Preface,
    /// What is to be told.
    pub notes: Vec<StartNote>,
}

impl RunHeaders {
    /// Whether a listing may have no entries: nothing has changed since the band below.
    pub fn may_be_empty(&self) -> bool {
        self.parent.is_some() || self.continued.is_some()
    }

    /// Takes the next header line.
    ///
    /// # Errors
    /// If the lines do not fit each other.
    pub fn handle_header(&mut self, header: Header) -> Result<(), StartError> {
        match header {
            Header::Source(host, dir) => self.source = Some((host, dir)),
            Header::Partial => self.partial = true,
            Header::Taken(band, id, last) => self.taken = Some(Parent { band, id, last }),
            Header::Parent(band, id, last) => self.parent = Some(Parent { band, id, last }),
            Header::BandAfter(stamp) => self.band_after = Some(stamp),
            Header::Band(band, id) => self.continued = Some((band, id)),
            Header::Next(next) => self.next = next,
            Header::After(after) => self.after = Some(after),
            Header::Have(have) => self.have = have,
            Header::Counted(piece) => {
                if !self.counted.extend(&piece) {
                    return Err(StartError::Unordered);
                }
            }
            Header::Unlisted(name, size) => self.unlisted.push((name, size)),
            Header::Parts(block) => BegunBlock::extend(&mut self.parts, block),
            Header::Compression(compression) => self.compression = Some(compression),
            Header::Mask(sha256) => (self.partial, self.mask) = (true, Some(sha256)),
            Header::Stdin(path, socket) => self.handed = Some((path, socket)),
            Header::SourceId(id) => self.source_id = Some(id),
            Header::Runs(runs) => self.runs = runs,
            Header::Tree(_) | Header::Behind(_) => self.ended.handle_header(&header),
            Header::DeletesMeant => self.deletes_meant = true,
            Header::DistrustedBlock(_) | Header::DistrustedFile(_) => {
                self.distrusted.handle_header(&header);
            }
            Header::Head(text) => self.continued_head = Head::parse(&text).ok(),
            Header::Above(..)
            | Header::Mtree
            | Header::Version(_)
            | Header::Socket(_)
            | Header::Index(..)
            | Header::Comment => {}
        }
        Ok(())
    }

    /// Settles names, numbers and forms.
    ///
    /// # Errors
    /// If what is asked for does not fit the listing.
    pub fn decide(self, wish: &PackWish) -> Result<RunStart, StartError> {
        let mut notes = Vec::new();
        let as_of = wish.old.as_ref().map(|(as_of, ..)| *as_of);
        let mut headers = Vec::new();
        if let Some((host, dir)) = &self.source
            && (!host.is_empty() || !dir.is_empty())
        {
            headers.push(Header::Source(host.clone(), dir.clone()));
        }
        headers.extend(wish.old.as_ref().map(|(_, _, version)| version.clone()));
        headers.extend(self.partial.then_some(Header::Partial));
        headers.extend(self.mask.map(Header::Mask));
        headers.extend(self.deletes_meant.then_some(Header::DeletesMeant));
        let (band, id, head, compression) = match &self.continued {
            Some((band, id)) => {
                let (named, compression) = self.goes_on(wish, band, *id, as_of)?;
                notes.extend(named);
                (band.clone(), *id, None, compression)
            }
            None => {
                let (band, note) = self.name(wish)?;
                let parent = self.parent.clone();
                notes.extend(parent.is_none().then_some(StartNote::IsFull).into_iter().chain(note));
                let id = wish.id.unwrap_or(wish.random.0);
                let compression = wish.compression.unwrap_or(Compression::Gzip);
                let of_old = wish.old.as_ref().and_then(|(_, source, _)| *source);
                let source_id = self.source_id.or(of_old);
                let head = Head {
                    source_id: Some(source_id.unwrap_or_else(|| new_source_id(wish))),
                    as_of,
                    partial: self.partial,
                    keys: true,
                    references: true,
                    deltas: true,
                    ..Head::new(band.clone(), id, parent, wish.started, compression, wish.writer)
                };
                (band, id, Some(head), compression)
            }
        };
        let repeated = head
            .clone()
            .or(self.continued_head.filter(|head| (&head.band, head.id) == (&band, id)));
        let config = AssemblerConfig {
            band,
            id,
            compression,
            block_size: wish.block_size,
            part_size: wish.part_size,
            first: self.next,
            after: self.after,
            have: self.have,
            runs: self.runs,
            head: repeated,
            headers,
        };
        let own = config.head.as_ref();
        let refers = !wish.no_references && own.is_some_and(|head| head.references);
        let has_deltas = refers && own.is_some_and(|head| head.deltas);
        let delta_over = Some(wish.delta_over).filter(|over| has_deltas && *over > 0);
        let parent = own.and_then(|head| head.parent.clone());
        let continues = head.is_none().then(|| (config.band.clone(), config.id));
        let next = continues.is_some().then_some(config.first);
        // A band keeps to the format that it was begun in.
        let keys = continues.is_some() && own.is_some_and(|head| head.keys);
        let RunHeaders { counted, unlisted, distrusted, parts, .. } = self;
        let preface =
            Preface { continues, next, keys, counted, unlisted, parts, ..Preface::default() };
        let origins = parent.map(|parent| (parent, distrusted));
        let layered = config.band.tier() > 0;
        Ok(RunStart { config, head, layered, refers, delta_over, origins, preface, notes })
    }

    /// How a band is continued.
    fn goes_on(
        &self,
        wish: &PackWish,
        band: &BandName,
        id: BandId,
        as_of: Option<Stamp>,
    ) -> Result<(Option<StartNote>, Compression), StartError> {
        if wish.band.as_ref().is_some_and(|asked| asked != band)
            || wish.id.is_some_and(|asked| asked != id)
        {
            return Err(StartError::Renamed);
        }
        if self.continued_head.as_ref().is_some_and(|head| head.as_of != as_of) {
            return Err(StartError::OtherVersion(band.clone()));
        }
        let compression = self.compression.unwrap_or(Compression::Gzip);
        let is_other = wish.compression.is_some_and(|asked| asked != compression);
        Ok((is_other.then_some(StartNote::KeepsCompression(compression)), compression))
    }

    /// What a new band is called.
    fn name(&self, wish: &PackWish) -> Result<(BandName, Option<StartNote>), StartError> {
        let parent = self.parent.as_ref().map(|parent| &parent.band);
        if let Some(name) = &wish.band {
            return match parent {
                _ if name.parent().as_ref() == parent => Ok((name.clone(), None)),
                Some(parent) => Err(StartError::OtherParent(name.clone(), parent.clone())),
                None => Err(StartError::NoParent(name.clone())),
            };
        }
        let named = naming::name(parent, self.band_after, wish.started)?;
        let note = (named.ahead > 0).then(|| StartNote::IsAhead(named.name.clone()));
        Ok((named.name, note))
    }
}

/// The id of a source of which there is no band yet: random, but the same each time where the
/// band's id was given, so that the same tree and options give the same bytes.
fn new_source_id(wish: &PackWish) -> BandId {
    let Some(BandId(band)) = wish.id else { return wish.random.1 };
    let digest = digest::of(&[&b"dura source "[..], &band].concat());
    let mut id = [0; 16];
    id.copy_from_slice(&digest[..16]);
    BandId(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: &str = "20261101T020000Z";
    const LAYER: &str = "20261101T020000Z-20261108T020000Z";
    const ID: BandId = BandId([7; 16]);

    fn clock() -> Stamp {
        Stamp::from_unix(1_800_000_000).unwrap()
    }

    fn wish() -> PackWish {
        PackWish {
            band: None,
            id: None,
            compression: None,
            block_size: 10,
            part_size: 20,
            no_references: false,
            delta_over: 30,
            old: None,
            started: clock(),
            random: (BandId([1; 16]), BandId([2; 16])),
            writer: "dura 1",
        }
    }

    fn with(headers: impl IntoIterator<Item = Header>) -> RunHeaders {
        let mut run = RunHeaders::default();
        let source = Header::Source(b"host".to_vec(), b"/tree".to_vec());
        for header in std::iter::once(source).chain(headers) {
            run.handle_header(header).unwrap();
        }
        run
    }

    fn on_full() -> Header {
        Header::Parent(FULL.parse().unwrap(), ID, 4)
    }

    /// The lines of a band that is continued, and its HEAD.
    fn continued(head: impl FnOnce(Head) -> Head) -> RunHeaders {
        let band: BandName = FULL.parse().unwrap();
        let new = Head::new(band.clone(), ID, None, clock(), Compression::Zstd, "dura 0");
        let head = head(Head { keys: true, references: true, ..new });
        with([
            Header::Band(band, ID),
            Header::Next(32),
            Header::After(5),
            Header::Compression(Compression::Zstd),
            Header::Head(head.to_string().into_bytes()),
        ])
    }

    #[test]
    fn new_bands() {
        let start = with([]).decide(&wish()).unwrap();
        assert_eq!(start.notes, [StartNote::IsFull]);
        assert_eq!(start.config.band, BandName::full(clock()));
        assert_eq!((start.config.id, start.config.first), (BandId([1; 16]), 0));
        let head = start.head.unwrap();
        assert_eq!((head.source_id, head.keys), (Some(BandId([2; 16])), true));
        assert_eq!((start.layered, start.refers, start.delta_over), (false, true, Some(30)));
        assert!(start.origins.is_none() && start.preface == Preface::default());

        // The same id gives the same source.
        let given = PackWish { id: Some(ID), ..wish() };
        let source = |wish: &PackWish| with([]).decide(wish).unwrap().head.unwrap().source_id;
        let other = PackWish { random: (ID, ID), ..given.clone() };
        assert_eq!(source(&given), source(&other));
        assert_ne!(source(&given), Some(ID));

        let start = with([on_full(), Header::SourceId(ID)]).decide(&wish()).unwrap();
        assert_eq!(start.notes, []);
        assert!(start.layered);
        assert_eq!(start.origins.unwrap().0.last, 4);
        assert_eq!(start.head.unwrap().source_id, Some(ID));

        let plain = PackWish { no_references: true, ..wish() };
        let start = with([]).decide(&plain).unwrap();
        assert_eq!((start.refers, start.delta_over), (false, None));
        let start = with([]).decide(&PackWish { delta_over: 0, ..wish() }).unwrap();
        assert_eq!((start.refers, start.delta_over), (true, None));
    }

    #[test]
    fn names_that_are_asked_for() {
        let named = |headers: RunHeaders, name: &str| {
            let wish = PackWish { band: Some(name.parse().unwrap()), ..wish() };
            headers.decide(&wish).map(|start| start.config.band.to_string())
        };
        assert_eq!(named(with([]), FULL), Ok(FULL.to_owned()));
        assert_eq!(named(with([on_full()]), LAYER), Ok(LAYER.to_owned()));
        let (full, layer): (BandName, BandName) = (FULL.parse().unwrap(), LAYER.parse().unwrap());
        assert_eq!(named(with([]), LAYER), Err(StartError::NoParent(layer)));
        let other = StartError::OtherParent(full.clone(), full.clone());
        assert_eq!(named(with([on_full()]), FULL), Err(other));
        // The archive has a band from later than now.
        let late = Header::BandAfter(Stamp::from_unix(clock().unix() + 9).unwrap());
        let start = with([on_full(), late]).decide(&wish()).unwrap();
        assert_eq!(start.notes, [StartNote::IsAhead(start.config.band.clone())]);
        assert_eq!(start.config.band.start().unix(), clock().unix() + 10);
    }

    #[test]
    fn bands_that_are_continued() {
        let start = continued(|head| head).decide(&wish()).unwrap();
        assert!(start.head.is_none() && start.config.head.is_some());
        assert_eq!((start.config.first, start.config.after), (32, Some(5)));
        assert_eq!(start.config.compression, Compression::Zstd);
        assert_eq!((start.preface.next, start.preface.keys), (Some(32), true));
        assert_eq!(start.preface.continues, Some((FULL.parse().unwrap(), ID)));
        // It was begun when there were no deltas.
        assert_eq!((start.refers, start.delta_over, start.notes), (true, None, vec![]));

        let older = continued(|head| Head { keys: false, references: false, ..head });
        let start = older.decide(&wish()).unwrap();
        assert_eq!((start.refers, start.preface.keys), (false, false));

        let gzip = PackWish { compression: Some(Compression::Gzip), ..wish() };
        let start = continued(|head| head).decide(&gzip).unwrap();
        assert_eq!(start.notes, [StartNote::KeepsCompression(Compression::Zstd)]);

        let errors = [
            (PackWish { band: Some(LAYER.parse().unwrap()), ..wish() }, StartError::Renamed),
            (PackWish { id: Some(BandId([8; 16])), ..wish() }, StartError::Renamed),
            (
                PackWish { old: Some((clock(), None, on_full())), ..wish() },
                StartError::OtherVersion(FULL.parse().unwrap()),
            ),
        ];
        for (wish, error) in errors {
            assert_eq!(continued(|head| head).decide(&wish).unwrap_err(), error);
        }
    }
}
