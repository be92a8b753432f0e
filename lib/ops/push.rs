//! `dura-push`: stores a band's objects in archives.

use std::io::Read;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{anyhow, bail};

use crate::archive::named::ArchiveName;
use crate::archive::retrying::Retrying;
use crate::archive::stores::open_store_to_write;
use crate::core::chain::kept_up::Waived;
use crate::core::schedule::Limits;
use crate::core::schedule::rate::Rate;
use crate::core::schedule::retry::Patience;
use crate::edge::clock;
use crate::edge::signals::StopFlag;
use crate::format::band::BandName;
use crate::format::head::{Head, Tail};
use crate::format::stream::{self, Preface, StreamItem, StreamReader};
use crate::format::time::Stamp;
use crate::report::message::Report;
use crate::report::units::human;

mod add;
mod checks;
mod confirm;
mod feed;
mod held;
mod lane;
mod progress;
mod replace;
mod run;
mod shortfall;
mod signatures;
mod spool;
mod used;
mod write;

use feed::StreamStart;
use lane::{Duty, LaneSummary, Uploader};
use run::{LaneEvent, UploadRun, UploadTarget};
use shortfall::Shortfall;
pub use spool::SpoolRequest;

/// What is stored, where, and how.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The archives.
    pub archives: Vec<ArchiveName>,
    /// How many objects are written at a time to each [default: 4, or 32 over a network].
    pub jobs: Option<u16>,
    /// Bytes a second to each, on average; none: no limit.
    pub limit_rate: Option<u64>,
    /// How often something is tried again that fails for a reason that may pass.
    pub retries: u32,
    /// When to end, whether all is stored or not.
    pub until: Option<Stamp>,
    /// The cache whose journal records the archives [default: the usual place].
    pub cache: Option<PathBuf>,
    /// Record nothing.
    pub no_cache: bool,
    /// Refuse an archive that does not hold a band yet.
    pub must_exist: bool,
    /// What of the band below may be missing in this one.
    pub waived: Waived,
    /// Make an archive even though the place contains other things.
    pub beside_others: bool,
    /// Store nothing.
    pub dry_run: bool,
}

/// Writes at once to a local directory: more do not make a disk faster.
const LOCAL_JOBS: usize = 4;

/// Writes at once over a network, where most of the time goes by waiting for replies.
const NETWORK_JOBS: usize = 32;

/// Stores the objects of a stream in archives. Gives how many objects and bytes were written.
///
/// # Errors
/// What keeps it from beginning. What keeps a band from being whole in an archive is reported.
pub fn run(
    options: Options,
    input: impl Read + Send + 'static,
    report: &Arc<Report>,
) -> anyhow::Result<(u64, u64)> {
    let (run, places) = prepare(options, report)?;
    let outcomes = push_stream(&run, &places, input)?;
    Ok(conclude(report, &places, outcomes))
}

/// Replaces damaged or missing objects of archives by the rebuilt ones of a stream. Gives how many
/// objects and bytes were replaced.
///
/// # Errors
/// What keeps it from its end; an archive that cannot be repaired is reported.
pub fn replace(
    options: Options,
    input: impl Read,
    report: &Arc<Report>,
) -> anyhow::Result<(u64, u64)> {
    let (run, places) = prepare(options, report)?;
    replace::run(&run, &places, input)
}

/// Sends what archives lack of a spool.
///
/// # Errors
/// What keeps it from its end; a band that cannot be stored is reported.
pub fn send(options: Options, asked: &SpoolRequest, report: &Arc<Report>) -> anyhow::Result<()> {
    let (run, places) = prepare(options, report)?;
    spool::run(&run, &places, asked)
}

/// Opens the archives, and listens to signals.
fn prepare(
    options: Options,
    report: &Arc<Report>,
) -> anyhow::Result<(UploadRun, Vec<UploadTarget>)> {
    let seed = u64::from_le_bytes(clock::random_id()?.0[..8].try_into()?);
    let limits =
        Limits { jobs: LOCAL_JOBS, rate: None, patience: Patience::new(options.retries), seed };
    let stop = StopFlag::on_signals()?;
    if let Some(until) = options.until {
        let report = Arc::clone(report);
        let shown = until.to_rfc3339();
        stop.set_at(until, move || {
            report.note(format_args!("it is {shown} (--until): ending"));
            report.events().emit("ending", &[("until", shown.into())]);
        });
    }
    let run = UploadRun {
        report: Arc::clone(report),
        journal: used::journal(options.cache.as_deref(), options.no_cache, report),
        stop,
        limits,
        dry_run: options.dry_run,
        must_exist: options.must_exist,
        waived: options.waived,
        beside_others: options.beside_others,
        began: Instant::now(),
    };
    let stores = options
        .archives
        .iter()
        .map(|archive| open_store_to_write(archive, report))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let several = options.archives.len() > 1;
    let labels: Vec<String> = options
        .archives
        .iter()
        .map(|a| if several { format!("{a}: ") } else { String::new() })
        .collect();
    let shares = progress::shares(report, &labels);
    let jobs =
        |archive: &ArchiveName| options.jobs.map_or_else(|| default_jobs(archive), usize::from);
    let places: Vec<UploadTarget> = (options.archives.iter().zip(stores).zip(labels).zip(shares))
        .map(|(((archive, (store, ahead)), label), share)| {
            let rate = Arc::new(Mutex::new(options.limit_rate.map(Rate::new)));
            let (shown, address) = (archive.to_string(), archive.address()?);
            Ok(UploadTarget {
                store,
                ahead,
                shown,
                address,
                label,
                jobs: jobs(archive),
                rate,
                share,
            })
        })
        .collect::<anyhow::Result<_>>()?;
    Ok((run, places))
}

fn default_jobs(archive: &ArchiveName) -> usize {
    if matches!(archive.local(), Ok(Some(_))) { LOCAL_JOBS } else { NETWORK_JOBS }
}

/// Tells how each archive fared. Each that is not done is named, and makes the status 2. Gives what
/// was written.
fn conclude(
    report: &Report,
    places: &[UploadTarget],
    outcomes: Vec<anyhow::Result<LaneSummary>>,
) -> (u64, u64) {
    let (mut shortfall, mut written) = (Shortfall::default(), (0, 0));
    for (place, outcome) in places.iter().zip(outcomes) {
        match outcome {
            Ok(summary) => {
                shortfall = shortfall.max(Shortfall::of(summary.tail.as_ref()));
                written = (written.0 + summary.stored.0, written.1 + summary.stored.1);
            }
            Err(error) => report.fail(&place.label, error),
        }
    }
    shortfall.report(report);
    written
}

/// Stores a stream in all places at once. Fails when it does not even begin.
fn push_stream(
    run: &UploadRun,
    places: &[UploadTarget],
    input: impl Read + Send + 'static,
) -> anyhow::Result<Vec<anyhow::Result<LaneSummary>>> {
    let lanes: Vec<(Sender<LaneEvent>, Receiver<LaneEvent>)> =
        places.iter().map(|_| channel()).collect();
    let begin =
        feed::start(StreamReader::new(input), lanes.iter().map(|(send, _)| send.clone()).collect());
    let StreamStart { first, preface, additions } = wait_for(&begin, &run.stop)?;
    if let Some(additions) = additions {
        return add::run(run, places, &additions).map(|()| Vec::new());
    }
    if !stream::in_place(None, &first.item.name, preface.continues.is_some()) {
        bail!("the object stream does not begin with HEAD");
    }
    // What dura-seal did not mark is pack's own.
    let sealed = preface.sealed.unwrap_or_default();
    let push = |place: &UploadTarget, (done, events): (Sender<LaneEvent>, Receiver<LaneEvent>)| {
        let reads = Retrying::new(
            Arc::clone(&place.store),
            run.limits.patience,
            run.limits.seed,
            &run.report,
            &run.stop,
        );
        if run.must_exist {
            checks::holds_a_band(&reads, &place.shown)?;
        }
        let counted = &preface.counted;
        // What the band below has is asked for at the same time.
        let (begun, kept_up) = std::thread::scope(|scope| {
            let kept_up = below(&first.item, &preface).map(|(band, index)| {
                let reads = &reads;
                scope.spawn(move || checks::kept_up(reads, &band, index, sealed, run.waived))
            });
            let begun = match &preface.continues {
                Some((band, id)) => checks::continued(&reads, band, *id, (counted, &preface.parts)),
                None => checks::settles(&reads, &place.shown, &first.item, run.beside_others)
                    .and_then(|()| {
                        checks::new_band(&reads, place.ahead.as_deref(), &first.item, counted)
                    }),
            };
            let broke_off = |_| Err(anyhow!("a reader thread stopped unexpectedly"));
            (begun, kept_up.map_or(Ok(()), |thread| thread.join().unwrap_or_else(broke_off)))
        });
        let (id, below) = begun.map_err(|error| checks::behind(error, places, place))?;
        kept_up?;
        run.report.verbose(format_args!("{}band {} {id}", place.label, first.item.band));
        let duty = Duty { id, below, sees: false };
        let summary = Uploader::run(run, place, duty, &events, &done, &mut |_| ())?;
        if let Some(tail) = summary.tail.as_ref().filter(|_| !run.dry_run) {
            emit_made(&run.report, place, tail, &summary);
            run.report.done(format_args!("{}{}", place.label, made(tail, &summary)));
        }
        Ok(summary)
    };
    Ok(std::thread::scope(|scope| {
        let threads: Vec<_> = places
            .iter()
            .zip(lanes)
            .map(|(place, lane)| scope.spawn(|| push(place, lane)))
            .collect();
        threads
            .into_iter()
            .map(|thread| {
                thread.join().unwrap_or_else(|_| Err(anyhow!("the run stopped unexpectedly")))
            })
            .collect()
    }))
}

/// What was made, for scripts and UIs.
fn emit_made(report: &Report, place: &UploadTarget, tail: &Tail, summary: &LaneSummary) {
    let counts = [
        ("entries", tail.entries),
        ("files", tail.files),
        ("bytes", tail.bytes),
        ("skipped", tail.skipped),
        ("behind", tail.behind.unwrap_or(0)),
        ("unattributed", tail.unattributed),
        ("stored", summary.stored.1),
    ];
    let mut fields: Vec<(&str, serde_json::Value)> =
        vec![("archive", place.shown.clone().into()), ("band", tail.band.to_string().into())];
    fields.extend(counts.map(|(name, count)| (name, count.into())));
    report.events().emit("made", &fields);
}

/// What was made, for people.
fn made(tail: &Tail, summary: &LaneSummary) -> String {
    let sealed = summary.sealed;
    let count = |n: u64, one: &str, more: &str| format!("{n} {}", if n == 1 { one } else { more });
    let (entries, files) =
        (count(tail.entries, "entry", "entries"), count(tail.files, "file", "files"));
    let how = [
        if sealed.encrypted { ", encrypted" } else { ", not encrypted" },
        if sealed.signed { ", signed" } else { "" },
        if sealed.parity > 0 { ", with parity" } else { "" },
    ];
    let stored = human(summary.stored.1);
    format!("{}: OK: {entries}, {files}, {stored} stored{}", tail.band, how.concat())
}

/// The band that the run goes on with or stands on, and an index of it that counts.
fn below(first: &StreamItem, preface: &Preface) -> Option<(BandName, Option<u32>)> {
    let index = preface.counted.stretches().last().map(|stretch| stretch.last);
    match &preface.continues {
        Some((band, _)) => Some((band.clone(), index)),
        None => {
            let parent = Head::parse(&first.bytes).ok()?.parent?;
            Some((parent.band, Some(parent.last)))
        }
    }
}

/// What the stream begins with, unless the program is asked to end while nothing has come.
fn wait_for<T, E: Into<anyhow::Error>>(
    begin: &Receiver<Result<T, E>>,
    stop: &StopFlag,
) -> anyhow::Result<T> {
    loop {
        match begin.recv_timeout(Duration::from_millis(200)) {
            Ok(begin) => return begin.map_err(Into::into),
            Err(RecvTimeoutError::Timeout) if !stop.is_set() => {}
            Err(_) => bail!("interrupted before anything arrived"),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
