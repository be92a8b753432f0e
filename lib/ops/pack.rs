//! `dura-pack`: reads the files of a listing and makes a band's objects.

use std::collections::HashSet;
use std::io::{BufRead, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use anyhow::{Context, bail};

use crate::archive::caching;
use crate::archive::vouching;
use crate::core::assemble::Finish;
use crate::core::start::ListingEnd;
use crate::edge::ordered::{Ordered, Submit};
use crate::edge::{clock, source::SourceRoot, users::Users};
use crate::format::band::{BandId, BandName};
use crate::format::codec;
use crate::format::head::Tail;
use crate::format::listing::{Line, ListingReader};
use crate::format::object::Compression;
use crate::ops::room;
use crate::report::message::{Report, why};
use crate::report::units;
use crate::store::cache::Cache;
use collect::{MemberSink, Shared, collect};
use compress::{Buffers, Codecs, Packed};
pub use from::FromArchive;
use from::{BandSink, OldVersion};
use handed::HandedFile;
use origins::Origins;
use own::Own;
use reading::FileReading;
use settle::Settler;
use start::PackPlan;
pub(crate) use start::Start;
use writer::{BandNotes, BandWriter};

mod attributes;
mod collect;
mod compress;
mod deltas;
mod feed;
mod from;
mod handed;
mod large;
mod origins;
mod own;
mod pieces;
mod raw;
mod read;
mod reading;
mod resume;
mod settle;
mod start;
mod writer;

/// What a band is made of, and how.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Where the files are [default: the directory that the listing names].
    pub directory: Option<PathBuf>,
    /// Take the entries from an archive, and not from files.
    pub from: Option<FromArchive>,
    /// The compression of blocks [default: gzip, or that of the band that is continued].
    pub compress: Option<Compression>,
    /// Its level [default: 5 for gzip, 3 for zstd].
    pub level: Option<i32>,
    /// Bytes, compressed, at which a block ends [default: 10 MiB, less in little memory].
    pub block_size: Option<u64>,
    /// Bytes of the parts of larger blocks [default: 64 MiB, less in little memory].
    pub part_size: Option<u64>,
    /// The band's name [default: the time of its start].
    pub band: Option<BandName>,
    /// The band's id [default: a random one].
    pub id: Option<BandId>,
    /// Where copies of indexes are kept [default: the usual place].
    pub cache: Option<PathBuf>,
    /// Keep no copies.
    pub no_cache: bool,
    /// Store files again that were moved or copied.
    pub no_references: bool,
    /// Store what has changed of files of this size or larger, and not all of them; 0 for none
    /// [default: 16 MiB].
    pub delta_over: Option<u64>,
    /// How many threads read and compress [default: one for each core, and one more].
    pub jobs: Option<usize>,
}

/// What a thread and the members that wait for it take.
const PER_JOB: u64 = 8 << 20;

/// Of what pack holds, a block or part is an eighth at most: it grows in one buffer, and then the
/// other programs of the pipeline hold it.
const BLOCKS: u64 = 8;

/// Blocks and parts, unless others are asked for or there is too little memory.
const BLOCK_SIZE: u64 = 10 << 20;
const PART_SIZE: u64 = 64 << 20;

/// Files from this size on have sums, and change by deltas, unless another is asked for.
const DELTA_OVER: u64 = 16 << 20;

/// The largest part: a reader holds a part in memory.
const MAX_PART: u64 = 1 << 30;

/// Reads a listing, and writes a band's objects. Gives what TAIL says.
///
/// # Errors
/// What keeps the band from being whole; a file that could not be read is only reported.
pub fn run(
    options: Options,
    listing: impl BufRead + Send + 'static,
    out: &mut dyn Write,
    report: &Arc<Report>,
) -> anyhow::Result<Tail> {
    if options.part_size > Some(MAX_PART) {
        bail!("--part-size: more than 1G, which a reader could not hold in memory");
    }
    let mut listing = ListingReader::new(listing);
    let (start, first) = Start::read(&mut listing, &options)?;
    let started = clock::stamp()?;
    if let Some(epoch) = std::env::var_os("SOURCE_DATE_EPOCH") {
        let epoch = epoch.to_string_lossy();
        report.note(format_args!(
            "SOURCE_DATE_EPOCH is set: using its time ({epoch}) instead of the clock"
        ));
    }
    let old = options.from.as_ref().map(|from| from.open(start.taken(), report)).transpose()?;
    let PackPlan { directory, start: mut plan, ended, handed } =
        start.decide(&options, old.as_ref(), started, report)?;
    report.verbose(format_args!("band {} {}", plan.config.band, plan.config.id));

    report.verbose(format_args!(
        "blocks of {}, parts of {}",
        units::human(plan.config.block_size),
        units::human(plan.config.part_size)
    ));

    let (low, high, default) = codec::levels(plan.config.compression);
    let level = options.level.unwrap_or(default);
    if options.level.is_some()
        && plan.config.compression != Compression::Plain
        && !(low..=high).contains(&level)
    {
        bail!("--level: {} has levels {low} to {high}", plan.config.compression.word());
    }
    let cache = caching::to_write(options.cache.as_deref(), options.no_cache, report)?;
    let journal = vouching::journal(options.cache.as_deref(), options.no_cache, report)?;
    let refers = plan.refers;
    // What comes from an archive has no times by which it would be known again.
    let noted = cache.as_ref().filter(|_| old.is_none());
    let (notes, cut) = resume::open(noted, plan.config.id, &mut plan.preface.parts, report);
    let origins = plan.origins.filter(|_| refers).and_then(|(parent, distrusted)| {
        Origins::new(&cache, &journal, parent, distrusted, report)
    });
    let origins = origins.map(|origins| Arc::new(Mutex::new(origins)));
    let buffers = Arc::new(Buffers::default());
    let input = match old {
        Some(old) => Input::Archive(Box::new(old)),
        None => Input::Files(Box::new(FileReading {
            source: SourceRoot::open_root(&directory)
                .with_context(|| directory.display().to_string())?,
            users: Users::default(),
            report: Arc::clone(report),
            skipped: AtomicU64::new(0),
            unattributed: AtomicU64::new(0),
            layered: plan.layered,
            buffers: Arc::clone(&buffers),
            origins: origins.clone(),
            large: refers.then(Mutex::default),
            part_size: plan.config.part_size,
            delta_over: plan.delta_over,
            cut: Mutex::new(cut),
        })),
    };
    let own = match refers.then(|| own_files(cache.as_ref())).transpose() {
        Ok(own) => own,
        Err(error) => {
            report.note(format_args!(
                "cannot make a scratch file: {}: storing files with the same content again",
                why(&error)
            ));
            None
        }
    };
    let codecs = Arc::new(Codecs::new(plan.config.compression, level, buffers));
    // A thread that waits for a file leaves its core to one more.
    let jobs = room::jobs(options.jobs, 1, PER_JOB);
    let (compress, compressed) = Ordered::start(jobs, jobs + 1)?;

    let mut writer = BandWriter::new(
        &plan.config,
        started,
        BandNotes { cache, journal, cut: notes },
        out,
        report,
    );
    writer.begin(&plan.preface, plan.head.as_ref())?;
    let tier = plan.config.band.tier();
    let settler =
        Settler { tier, origins: origins.as_deref(), own, closed: HashSet::new(), report };
    let listing = OpenListing { lines: listing, first, ended, handed };
    let making = move || match input {
        Input::Archive(old) => old.take(listing, BandSink::new(settler, codecs, compress, report)),
        Input::Files(reading) => of_files(listing, *reading, codecs, settler, compress, jobs),
    };
    let made = std::thread::scope(|scope| {
        let making = scope.spawn(making);
        for packed in compressed {
            writer.member(packed?)?;
        }
        making.join().unwrap_or_else(|_| bail!("a reader thread stopped unexpectedly"))
    })?;
    let Made { ended: ListingEnd { end, tree, behind }, skipped, unattributed } = made;
    let finished = clock::stamp()?;
    let finish = Finish { end, skipped, unattributed, tree, behind, finished };
    let tail = writer.finish(finish)?;
    let counts = [
        ("entries", tail.entries),
        ("files", tail.files),
        ("bytes", tail.bytes),
        ("skipped", tail.skipped),
        ("behind", behind),
        ("unattributed", tail.unattributed),
    ];
    report.events().emit("packed", &counts.map(|(key, count)| (key, count.into())));
    Ok(tail)
}

/// Where entries come from.
enum Input {
    Files(Box<FileReading>),
    Archive(Box<OldVersion>),
}

/// What came of all entries.
struct Made {
    ended: ListingEnd,
    /// Entries that could not be stored.
    skipped: u64,
    /// Entries that were stored without their attributes, or without some of them.
    unattributed: u64,
}

/// A listing behind its header lines.
struct OpenListing<R> {
    lines: ListingReader<R>,
    first: Line,
    ended: ListingEnd,
    handed: Option<HandedFile>,
}

/// Reads files.
fn of_files(
    listing: OpenListing<impl BufRead + Send>,
    reading: FileReading,
    codecs: Arc<Codecs>,
    settler: Settler<'_>,
    compress: Submit<std::io::Result<Packed>>,
    jobs: usize,
) -> anyhow::Result<Made> {
    let shared = Arc::new(Shared { reading, codecs });
    let (submit, results) = Ordered::start(jobs, jobs * 2 + 2)?;
    let ended = std::thread::scope(|scope| {
        let reader_shared = Arc::clone(&shared);
        let reading = scope.spawn(move || feed::feed(listing, &reader_shared, &submit));
        collect(results, &mut MemberSink { shared: &shared, settler, submit: compress });
        reading.join().unwrap_or_else(|_| bail!("a reader thread stopped unexpectedly"))
    })?;
    let FileReading { skipped, unattributed, .. } = &shared.reading;
    let (skipped, unattributed) =
        (skipped.load(Ordering::Relaxed), unattributed.load(Ordering::Relaxed));
    Ok(Made { ended, skipped, unattributed })
}

/// Scratch files for what the run stores.
fn own_files(cache: Option<&Cache>) -> std::io::Result<Own> {
    Ok(Own::new(origins::scratch(cache)?, origins::scratch(cache)?))
}
