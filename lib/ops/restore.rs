//! `dura-restore`: a version, or parts of it, as one tar.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;

use crate::archive::Archive;
use crate::archive::blocks::FEW;
use crate::archive::entries::{self, HowToRead};
use crate::archive::named::ArchiveName;
use crate::archive::reading::{Chosen, ReadOptions};
use crate::archive::version::must_exist;
use crate::edge::pipe::Output;
use crate::ops::asked;
use crate::ops::room;
use crate::report::message::Report;
use selected::Selected;
use tar::TarSink;
pub use tar::WrittenSum;

mod selected;
mod tar;

/// Bytes of tar that wait for whoever reads it; an eighth of it if many tiers hold blocks.
const AHEAD: usize = 16 << 20;

/// What is restored, and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// The archive.
    pub archive: ArchiveName,
    /// What is restored, as it was typed [default: everything].
    pub paths: Vec<OsString>,
    /// Files with names of what is restored, too.
    pub files_from: Vec<PathBuf>,
    /// Patterns of what is left out.
    pub exclude: Vec<OsString>,
    /// Where the tar will be extracted: directories that are there already are left out.
    pub into: Option<PathBuf>,
    /// Which version, and how it is read.
    pub reading: ReadOptions,
    /// Where content is kept that several files have [default: TMPDIR].
    pub spool: Option<PathBuf>,
    /// Keep an owner's name even if it has another number on this system.
    pub owner_names: bool,
    /// How many blocks are fetched and decrypted at a time [default: one for each core].
    pub jobs: Option<usize>,
}

impl Options {
    /// Those that restore the newest version of an archive.
    pub fn of(archive: ArchiveName) -> Options {
        Options {
            archive,
            paths: Vec::new(),
            files_from: Vec::new(),
            exclude: Vec::new(),
            into: None,
            reading: ReadOptions::default(),
            spool: None,
            owner_names: false,
            jobs: None,
        }
    }
}

/// Writes a version, or parts of it, as a tar. Gives what it has.
///
/// # Errors
/// What keeps the tar from its end; what is lost or damaged is only reported.
pub fn run(options: Options, out: Output, report: &Arc<Report>) -> anyhow::Result<WrittenSum> {
    must_exist(&options.archive)?;
    let archive = options.reading.open(&options.archive, report)?;
    restore(&options, archive, out, report)
}

/// Writes what is asked for of an archive as a tar.
pub(crate) fn restore(
    options: &Options,
    archive: Archive,
    out: Output,
    report: &Arc<Report>,
) -> anyhow::Result<WrittenSum> {
    let (band, chosen) = options.reading.choose(Arc::new(archive), &options.archive, report)?;
    let Chosen { archive, chain } = chosen;
    report.verbose(format_args!("band {band}"));
    let tail = archive.ends(&band)?.1;
    if tail.is_none() {
        report.warn(format_args!("{band}: unfinished: only what its indexes list is restored"));
    }
    let typed = asked::typed(&options.paths, &options.files_from)?;
    // What a part of it has is not known before.
    let is_whole = typed.is_empty() && options.exclude.is_empty();
    let total = tail.and_then(|tail| tail.tree).filter(|_| is_whole);
    let mut fields = vec![("band", band.to_string().into())];
    if let Some(total) = total {
        fields.extend([("entries", total.entries.into()), ("bytes", total.bytes.into())]);
    }
    report.events().emit("restoring", &fields);
    let selection = asked::select(&archive, &chain, typed, &options.exclude, report)?;
    let wanted = Selected::new(selection, options.into.clone(), report);
    let ahead = if chain.len() > FEW { AHEAD / 8 } else { AHEAD };
    let out = out.ahead(room::room().bytes(ahead as u64, 4) as usize).context(tar::CANNOT_WRITE)?;
    let how = HowToRead {
        spool: options.spool.clone(),
        owner_names: options.owner_names,
        jobs: room::jobs(options.jobs, 0, entries::PER_JOB),
        salvages: true,
    };
    let sink = TarSink::new(out, total.map(|total| total.bytes), report);
    let sum = entries::read(archive, chain, wanted, sink, &how, report)?.finish()?;
    let fields =
        [("entries", sum.entries.into()), ("bytes", sum.bytes.into()), ("lost", sum.lost.into())];
    report.events().emit("restored", &fields);
    Ok(sum)
}
