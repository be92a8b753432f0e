//! What a run of pack begins with: the listing's header lines, the options, and what follows from
//! both.

use std::ffi::OsString;
use std::io::BufRead;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use anyhow::anyhow;

use crate::core::start::{ListingEnd, PackWish, RunHeaders, RunStart, StartError, StartNote};
use crate::edge::clock;
use crate::format::head::Parent;
use crate::format::listing::{Line, ListingReader};
use crate::format::time::Stamp;
use crate::ops::pack::from::OldVersion;
use crate::ops::pack::handed::HandedFile;
use crate::ops::pack::{BLOCK_SIZE, BLOCKS, DELTA_OVER, Options, PART_SIZE};
use crate::ops::room::room;
use crate::report::message::{Hinted, Report};

/// The header lines of a listing, as far as they were read.
pub(crate) struct Start(RunHeaders);

/// What the run does.
pub(crate) struct PackPlan {
    /// Where the files are read.
    pub directory: PathBuf,
    /// How the band is made.
    pub start: RunStart,
    /// What the header lines say that stand before the listing's end.
    pub ended: ListingEnd,
    /// The file that the scan hands over.
    pub handed: Option<HandedFile>,
}

impl Start {
    /// Reads up to the first line that is no header line, which comes back too.
    pub(crate) fn read(
        listing: &mut ListingReader<impl BufRead>,
        options: &Options,
    ) -> anyhow::Result<(Start, Line)> {
        let mut headers = RunHeaders::default();
        loop {
            match listing.next_line()? {
                Some(Line::Header(header)) => headers.handle_header(header)?,
                Some(line @ Line::Entry(_)) => return Ok((Start(headers), line)),
                Some(line) if headers.may_be_empty() => return Ok((Start(headers), line)),
                Some(Line::End(_)) | None => {
                    let hint = "even an empty directory has one line, for itself";
                    return Err(Hinted::wrap(anyhow!("the listing has no entries"), hint));
                }
            }
            if options.directory.is_some() {
                headers.source.get_or_insert_default();
            }
        }
    }

    /// The version that the listing is of.
    pub(super) fn taken(&self) -> Option<&Parent> {
        self.0.taken.as_ref()
    }

    /// Where the files are that the listing names.
    fn directory(&self, options: &Options, report: &Report) -> anyhow::Result<PathBuf> {
        let Some((host, dir)) = &self.0.source else {
            return Err(Hinted::wrap(
                anyhow!("the listing has no #source line"),
                "name their directory with -C DIR",
            ));
        };
        if let Some(directory) = &options.directory {
            return Ok(directory.clone());
        }
        if self.0.handed.is_some() {
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
        let wish = PackWish {
            band: options.band.clone(),
            id: options.id,
            compression: options.compress,
            block_size: options.block_size.unwrap_or_else(|| room().bytes(BLOCK_SIZE, BLOCKS)),
            part_size: options.part_size.unwrap_or_else(|| room().bytes(PART_SIZE, BLOCKS)),
            no_references: options.no_references,
            delta_over: options.delta_over.unwrap_or(DELTA_OVER),
            old: old.map(|old| (old.as_of(), old.source_id(), old.header())),
            started,
            random: (clock::random_id()?, clock::random_id()?),
            writer: concat!("dura ", env!("CARGO_PKG_VERSION")),
        };
        let ended = self.0.ended;
        let handed = self.0.handed.clone().map(|(path, socket)| {
            let socket = OsString::from_vec(socket).into();
            HandedFile { path, socket }
        });
        let start = self.0.decide(&wish).map_err(|error| match error {
            StartError::OtherVersion(_) => {
                Hinted::wrap(error, "give --from ARCHIVE as when it was begun")
            }
            _ => error.into(),
        })?;
        for note in &start.notes {
            match note {
                StartNote::KeepsCompression(kept) => report.note(format_args!(
                    "continuing with {}, as the band was started",
                    kept.word()
                )),
                StartNote::IsFull => report.note("no parent: making a full band"),
                StartNote::IsAhead(name) => report.note(format_args!(
                    "the clock says {started}, but the archive has a newer band: naming this one {name}"
                )),
            }
        }
        Ok(PackPlan { directory, start, ended, handed })
    }
}
