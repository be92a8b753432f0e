//! What a run of pack begins with: the listing's header lines, the options, and what follows from
//! both.

use std::ffi::OsString;
use std::io::BufRead;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use anyhow::{anyhow, bail};

use crate::core::assemble::AssemblerConfig;
use crate::core::chain::naming;
use crate::core::diff::Distrust;
use crate::edge::clock;
use crate::format::band::{BandId, BandName};
use crate::format::counted::CountedBlocks;
use crate::format::cut::BegunBlock;
use crate::format::digest::{self, Digest};
use crate::format::head::{Head, Parent};
use crate::format::listing::{Have, Header, Line, ListingReader};
use crate::format::object::{Compression, ObjectName};
use crate::format::stream::Preface;
use crate::format::time::Stamp;
use crate::ops::pack::from::OldVersion;
use crate::ops::pack::handed::HandedFile;
use crate::ops::pack::{BLOCK_SIZE, BLOCKS, DELTA_OVER, ListingEnd, Options, PART_SIZE};
use crate::ops::room::room;
use crate::report::message::{Hinted, Report};

/// The header lines of a listing.
#[derive(Debug, Default)]
pub(crate) struct Start {
    source: Option<(Vec<u8>, Vec<u8>)>,
    partial: bool,
    mask: Option<Digest>,
    source_id: Option<BandId>,
    runs: Vec<u32>,
    deletes_meant: bool,
    ended: ListingEnd,
    taken: Option<Parent>,
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
    handed: Option<HandedFile>,
}

/// What the run does.
pub(crate) struct PackPlan {
    /// Where the files are read.
    pub directory: PathBuf,
    /// How the band is put together.
    pub config: AssemblerConfig,
    /// The HEAD of a new band; none when one is continued.
    pub head: Option<Head>,
    /// What the header lines say that stand before the listing's end.
    pub ended: ListingEnd,
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
    /// The file that the scan hands over.
    pub handed: Option<HandedFile>,
}

impl Start {
    /// Reads up to the first line that is no header line, which comes back too.
    pub(crate) fn read(
        listing: &mut ListingReader<impl BufRead>,
        options: &Options,
    ) -> anyhow::Result<(Start, Line)> {
        let mut start = Start::default();
        loop {
            match listing.next_line()? {
                Some(Line::Header(header)) => start.handle(header)?,
                Some(line @ Line::Entry(_)) => return Ok((start, line)),
                // Nothing has changed since the parent.
                Some(line) if start.parent.is_some() || start.continued.is_some() => {
                    return Ok((start, line));
                }
                Some(Line::End(_)) | None => {
                    let hint = "even an empty directory has one line, for itself";
                    return Err(Hinted::wrap(anyhow!("the listing has no entries"), hint));
                }
            }
            if options.directory.is_some() {
                start.source.get_or_insert_default();
            }
        }
    }

    fn handle(&mut self, header: Header) -> anyhow::Result<()> {
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
                    bail!("the listing has `#counted` lines out of order");
                }
            }
            Header::Unlisted(name, size) => self.unlisted.push((name, size)),
            Header::Parts(block) => BegunBlock::extend(&mut self.parts, block),
            Header::Compression(compression) => self.compression = Some(compression),
            Header::Mask(sha256) => (self.partial, self.mask) = (true, Some(sha256)),
            Header::Stdin(path, socket) => {
                let socket = OsString::from_vec(socket).into();
                self.handed = Some(HandedFile { path, socket });
            }
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

    /// The version that the listing is of.
    pub(super) fn taken(&self) -> Option<&Parent> {
        self.taken.as_ref()
    }

    /// Where the files are that the listing names.
    fn directory(&self, options: &Options, report: &Report) -> anyhow::Result<PathBuf> {
        let Some((host, dir)) = &self.source else {
            return Err(Hinted::wrap(
                anyhow!("the listing has no #source line"),
                "name their directory with -C DIR",
            ));
        };
        if let Some(directory) = &options.directory {
            return Ok(directory.clone());
        }
        if self.handed.is_some() {
            return Ok(PathBuf::from("/"));
        }
        let own = rustix::system::uname();
        if own.nodename().to_bytes() != host.as_slice() {
            let host = host.escape_ascii();
            report.note(format_args!(
                "the listing was made on {host}: reading the same directory here"
            ));
        }
        Ok(PathBuf::from(OsString::from_vec(dir.clone())))
    }

    /// Settles names, numbers and places; `old` if the entries come from an archive.
    pub(crate) fn decide(
        self,
        options: &Options,
        old: Option<&OldVersion>,
        started: Stamp,
        report: &Report,
    ) -> anyhow::Result<PackPlan> {
        let directory = match old {
            Some(_) => PathBuf::new(),
            None => self.directory(options, report)?,
        };
        let as_of = old.map(OldVersion::as_of);
        let mut headers = Vec::new();
        if let Some((host, dir)) = &self.source
            && (!host.is_empty() || !dir.is_empty())
        {
            headers.push(Header::Source(host.clone(), dir.clone()));
        }
        headers.extend(old.map(OldVersion::header));
        if self.partial {
            headers.push(Header::Partial);
        }
        headers.extend(self.mask.map(Header::Mask));
        headers.extend(self.deletes_meant.then_some(Header::DeletesMeant));
        let (band, id, head, compression) = match &self.continued {
            Some((band, id)) => {
                if options.band.as_ref().is_some_and(|asked| asked != band)
                    || options.id.is_some_and(|asked| asked != *id)
                {
                    bail!("--band and --id cannot rename a band that is continued");
                }
                if self.continued_head.as_ref().is_some_and(|head| head.as_of != as_of) {
                    return Err(Hinted::wrap(
                        anyhow!("{band} was taken from an archive, or from another version"),
                        "give --from ARCHIVE as when it was begun",
                    ));
                }
                let compression = self.compression.unwrap_or(Compression::Gzip);
                if options.compress.is_some_and(|asked| asked != compression) {
                    report.note(format_args!(
                        "continuing with {}, as the band was started",
                        compression.word()
                    ));
                }
                (band.clone(), *id, None, compression)
            }
            None => {
                let band = self.name(options, started, report)?;
                let id = options.id.map_or_else(clock::random_id, Ok)?;
                let compression = options.compress.unwrap_or(Compression::Gzip);
                let writer = concat!("dura ", env!("CARGO_PKG_VERSION"));
                let parent = self.parent.clone();
                let source_id = self.source_id.or(old.and_then(OldVersion::source_id));
                let head = Head {
                    source_id: Some(source_id.map_or_else(|| new_source_id(options.id), Ok)?),
                    as_of,
                    partial: self.partial,
                    keys: true,
                    references: true,
                    deltas: true,
                    ..Head::new(band.clone(), id, parent, started, compression, writer)
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
            block_size: options.block_size.unwrap_or_else(|| room().bytes(BLOCK_SIZE, BLOCKS)),
            part_size: options.part_size.unwrap_or_else(|| room().bytes(PART_SIZE, BLOCKS)),
            first: self.next,
            after: self.after,
            have: self.have,
            runs: self.runs,
            head: repeated,
            headers,
        };
        let layered = config.band.tier() > 0;
        let own = config.head.as_ref();
        let refers = !options.no_references && own.is_some_and(|head| head.references);
        let has_deltas = refers && own.is_some_and(|head| head.deltas);
        let delta_over = options.delta_over.unwrap_or(DELTA_OVER);
        let delta_over = Some(delta_over).filter(|over| has_deltas && *over > 0);
        let parent = own.and_then(|head| head.parent.clone());
        let continues = head.is_none().then(|| (config.band.clone(), config.id));
        let next = continues.is_some().then_some(config.first);
        // A band keeps to the format that it was begun in.
        let keys = continues.is_some() && config.head.as_ref().is_some_and(|head| head.keys);
        let Start { counted, unlisted, ended, distrusted, parts, handed, .. } = self;
        let preface =
            Preface { continues, next, keys, counted, unlisted, parts, ..Preface::default() };
        let origins = parent.map(|parent| (parent, distrusted));
        Ok(PackPlan {
            directory,
            config,
            head,
            ended,
            layered,
            refers,
            delta_over,
            origins,
            preface,
            handed,
        })
    }

    fn name(&self, options: &Options, started: Stamp, report: &Report) -> anyhow::Result<BandName> {
        let parent = self.parent.as_ref().map(|parent| &parent.band);
        if parent.is_none() {
            report.note("no parent: making a full band");
        }
        if let Some(name) = &options.band {
            if name.parent().as_ref() != parent {
                return match parent {
                    Some(parent) => Err(anyhow!(
                        "--band {name}: its parent must be {parent}, as the listing says"
                    )),
                    None => Err(anyhow!(
                        "--band {name}: it names a parent, but the listing is of a full band"
                    )),
                };
            }
            return Ok(name.clone());
        }
        let named = naming::name(parent, self.band_after, started)?;
        if named.ahead > 0 {
            report.note(format_args!(
                "the clock says {started}, but the archive has a newer band: naming this one {}",
                named.name
            ));
        }
        Ok(named.name)
    }
}

/// The id of a source of which there is no band yet: random, but the same each time where the
/// band's id was given, so that the same tree and options give the same bytes.
fn new_source_id(band: Option<BandId>) -> anyhow::Result<BandId> {
    let Some(BandId(band)) = band else { return Ok(clock::random_id()?) };
    let digest = digest::of(&[&b"dura source "[..], &band].concat());
    let mut id = [0; 16];
    id.copy_from_slice(&digest[..16]);
    Ok(BandId(id))
}
