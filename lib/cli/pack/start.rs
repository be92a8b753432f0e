//! What a run of pack begins with: the listing's header lines, the options, and what follows from
//! both.

use std::io::BufRead;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use anyhow::{anyhow, bail};

use super::super::message::{Hinted, Report};
use super::PackArgs;
use crate::core::assemble::Config;
use crate::core::chain::choice;
use crate::edge::clock;
use crate::format::band::{BandId, BandName};
use crate::format::head::{Head, Parent};
use crate::format::listing::{Have, Header, Line, Reader};
use crate::format::object::Compression;
use crate::format::time::Stamp;

/// The notes that stand in each band.
pub(in super::super) const NOTES: &[(&str, &[u8])] = &[
    ("RECOVER.txt", include_bytes!("../../notes/RECOVER.txt")),
    ("recover.sh", include_bytes!("../../notes/recover.sh")),
    ("rsrepair.py", include_bytes!("../../notes/rsrepair.py")),
];

/// The header lines of a listing.
#[derive(Debug, Default)]
pub(super) struct Start {
    source: Option<(Vec<u8>, Vec<u8>)>,
    partial: bool,
    parent: Option<Parent>,
    band_after: Option<Stamp>,
    continued: Option<(BandName, BandId)>,
    next: u32,
    after: Option<u32>,
    have: Have,
    compression: Option<Compression>,
    continued_head: Option<Head>,
}

/// What the run does.
pub(super) struct Plan {
    /// Where the files are read.
    pub directory: PathBuf,
    /// How the band is put together.
    pub config: Config,
    /// The HEAD of a new band; none when one is continued.
    pub head: Option<Head>,
    /// True if the band has a parent, so that content may be left in older blocks.
    pub layered: bool,
}

impl Start {
    /// Reads up to the first line that is no header line, which comes back too.
    pub(super) fn read(
        listing: &mut Reader<impl BufRead>,
        args: &PackArgs,
    ) -> anyhow::Result<(Start, Line)> {
        let mut start = Start::default();
        loop {
            match listing.next_line()? {
                Some(Line::Header(header)) => start.handle(header),
                Some(line @ Line::Entry(_)) => return Ok((start, line)),
                // Nothing has changed since the parent.
                Some(line) if start.parent.is_some() || start.continued.is_some() => {
                    return Ok((start, line));
                }
                Some(Line::End(_)) | None => {
                    let hint = "even an empty directory has a line for itself";
                    return Err(Hinted::wrap(anyhow!("the listing has no entries"), hint));
                }
            }
            if args.directory.is_some() {
                start.source.get_or_insert_default();
            }
        }
    }

    fn handle(&mut self, header: Header) {
        match header {
            Header::Source(host, dir) => self.source = Some((host, dir)),
            Header::Partial => self.partial = true,
            Header::Parent(band, id, last) => self.parent = Some(Parent { band, id, last }),
            Header::BandAfter(stamp) => self.band_after = Some(stamp),
            Header::Band(band, id) => self.continued = Some((band, id)),
            Header::Next(next) => self.next = next,
            Header::After(after) => self.after = Some(after),
            Header::Have(have) => self.have = have,
            Header::Compression(compression) => self.compression = Some(compression),
            Header::Head(text) => self.continued_head = Head::parse(&text).ok(),
            Header::Above(..)
            | Header::Mtree
            | Header::Version(_)
            | Header::Socket(_)
            | Header::Index(..)
            | Header::Comment => {}
        }
    }

    /// Settles names, numbers and places.
    pub(super) fn decide(
        self,
        args: &PackArgs,
        started: Stamp,
        report: &Report,
    ) -> anyhow::Result<Plan> {
        let Some((host, dir)) = &self.source else {
            return Err(Hinted::wrap(
                anyhow!("the listing has no #source line"),
                "say where the files are with -C DIR",
            ));
        };
        let directory = match &args.directory {
            Some(directory) => directory.clone(),
            None => {
                let own = rustix::system::uname();
                if own.nodename().to_bytes() != host.as_slice() {
                    let host = host.escape_ascii();
                    report.note(format_args!(
                        "the listing was made on {host}: reading the same directory here"
                    ));
                }
                PathBuf::from(std::ffi::OsString::from_vec(dir.clone()))
            }
        };
        let mut headers = Vec::new();
        if !host.is_empty() || !dir.is_empty() {
            headers.push(Header::Source(host.clone(), dir.clone()));
        }
        if self.partial {
            headers.push(Header::Partial);
        }
        let (band, id, head, compression) = match &self.continued {
            Some((band, id)) => {
                if args.band.as_ref().is_some_and(|asked| asked != band)
                    || args.id.is_some_and(|asked| asked != *id)
                {
                    bail!("--band and --id cannot rename a band that is continued");
                }
                let compression = self.compression.unwrap_or(Compression::Gzip);
                if args.compress.is_some_and(|asked| asked != compression) {
                    report.note(format_args!(
                        "going on with {}, as the band was begun",
                        compression.word()
                    ));
                }
                (band.clone(), *id, None, compression)
            }
            None => {
                let band = self.name(args, started, report)?;
                let id = args.id.map_or_else(clock::random_id, Ok)?;
                let compression = args.compress.unwrap_or(Compression::Gzip);
                let writer = concat!("dura ", env!("CARGO_PKG_VERSION")).to_owned();
                let head = Head {
                    band: band.clone(),
                    id,
                    parent: self.parent.clone(),
                    started,
                    compression,
                    writer,
                };
                (band, id, Some(head), compression)
            }
        };
        let repeated = head
            .clone()
            .or(self.continued_head.filter(|head| (&head.band, head.id) == (&band, id)));
        let config = Config {
            band,
            id,
            compression,
            block_size: args.block_size,
            part_size: args.part_size,
            first: self.next,
            after: self.after,
            have: self.have,
            head: repeated,
            headers,
        };
        let layered = config.band.tier() > 0;
        Ok(Plan { directory, config, head, layered })
    }

    fn name(&self, args: &PackArgs, started: Stamp, report: &Report) -> anyhow::Result<BandName> {
        let parent = self.parent.as_ref().map(|parent| &parent.band);
        if parent.is_none() {
            report.note("no parent: making a full band");
        }
        if let Some(name) = &args.band {
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
        let named = choice::name(parent, self.band_after, started)?;
        if named.ahead > 0 {
            report.note(format_args!(
                "the clock stands at {started}, and the archive has a newer band: calling this one {}",
                named.name
            ));
        }
        Ok(named.name)
    }
}
