//! `dura-verify`: finds damage in an archive, and rebuilds what parity allows.

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, anyhow, bail};
use clap::{CommandFactory, Parser};

use crate::archive::Archive;
use crate::archive::awaited::Awaited;
use crate::archive::caching;
use crate::archive::expected::Expected;
use crate::archive::named::ArchiveName;
use crate::archive::stores::{Reach, open_store};
use crate::archive::unlock::Unlocking;
use crate::archive::version::{choose, must_exist, no_band};
use crate::cli::at::{said, time};
use crate::cli::common::{self, Common, size};
use crate::core::chain::choice::{Known, find};
use crate::core::verify::part::Part;
use crate::core::verify::{Finding, Kind, State, Subject, judge};
use crate::edge::ordered::{Ordered, Results};
use crate::edge::{clock, pipe};
use crate::format::band::BandName;
use crate::format::moment::Moment;
use crate::format::object::Object;
use crate::ops::room;
use crate::report::message::{Hinted, Report};
use crate::report::units;
use crate::store::Store;
use crate::store::cache::as_archive;

mod added;
mod against;
mod band;
mod check;
mod copies;
mod files;
mod lists;
mod loose;
mod members;
mod plain;
mod repair;
mod signed;
mod source;
mod sources;
mod told;

use crate::ops::seal::signer;
use against::Against;
use band::Walk;
use check::{Event, Meter};
use repair::Repairer;
use signed::Wanted;
use told::Told;

/// Find damage in an archive, and rebuild what parity allows
///
/// Reads each object and compares it with its checksum list. Writes one line for each object that
/// is missing, damaged, in no list, or unexpected. Only --files and --source need the secret key.
#[derive(Debug, Parser)]
#[command(name = "dura-verify", version, max_term_width = 100)]
#[command(
    after_help = "Exit status: 0 nothing is wrong; 1 done, but something is wrong; 2 not done, or not everything can be rebuilt.\n\
    Example: dura-verify --repair /mnt/backup | dura-push --replace /mnt/backup"
)]
struct VerifyArgs {
    /// The archive: a directory, s3://BUCKET/PREFIX, or https://HOST/PATH
    #[arg(value_name = "ARCHIVE")]
    archive: ArchiveName,
    /// Compare only names and sizes with HEAD, TAIL and the lists
    #[arg(long, conflicts_with_all = ["files", "repair", "sample", "limit"])]
    quick: bool,
    /// Also read every file in the blocks and compare it with its index; needs the secret key
    #[arg(long, conflicts_with_all = ["sample", "limit", "repair"])]
    files: bool,
    /// Read only PCT per cent of the objects, different ones each time
    #[arg(long, value_name = "PCT", value_parser = percent, conflicts_with = "repair")]
    sample: Option<f64>,
    /// Read at most BYTES, such as 10G, of different objects each time
    #[arg(long, value_name = "BYTES", value_parser = size, conflicts_with = "repair")]
    limit: Option<u64>,
    /// With --sample or --limit: read the same objects as another run with this seed
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Also compare with OTHER, another archive or a cache
    #[arg(long, value_name = "OTHER", conflicts_with_all = ["limit", "repair"])]
    against: Option<ArchiveName>,
    /// Compare the files in DIR with the newest version, or that of --band or --at; needs the
    /// secret key, or a cache
    #[arg(long, value_name = "DIR", conflicts_with_all = ["limit", "repair"])]
    source: Option<PathBuf>,
    /// Require a good signature by KEY on each list and each TAIL; if given several times, a
    /// signature by one of the keys is enough
    #[arg(long, value_name = "KEY")]
    signed_by: Vec<String>,
    /// Require that band NAME, the newest that you know of, exists and is complete
    #[arg(long, value_name = "NAME")]
    expect: Option<String>,
    /// Write what can be rebuilt as an object stream, for dura-push --replace; findings go to
    /// stderr
    #[arg(long)]
    repair: bool,
    /// With --repair: sign the lists that are written with KEY, and write missing signatures
    #[arg(long, value_name = "KEY", requires = "repair")]
    sign: Option<std::ffi::OsString>,
    /// Use the plain copies of indexes in DIR
    #[arg(long, value_name = "DIR", env = "DURA_CACHE", hide_env_values = true)]
    cache: Option<PathBuf>,
    /// Neither use nor keep copies of indexes
    #[arg(long)]
    no_cache: bool,
    /// Check only band NAME, which may be shortened, and those below it; latest is the newest
    #[arg(long, value_name = "NAME")]
    band: Option<String>,
    /// Check only the newest band that was started at or before TIME, and those below it:
    /// 2026-11-27T22:30 (local time; add Z or +02:00 for others), yesterday, or 3d
    #[arg(long, value_name = "TIME", value_parser = time, conflicts_with = "band")]
    at: Option<Moment>,
    /// Read N objects at a time [default: one for each core]
    #[arg(short, long, value_name = "N")]
    jobs: Option<usize>,
    #[command(flatten)]
    unlocking: Unlocking,
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    common: Common,
}

/// Reads a percentage.
fn percent(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').unwrap_or(text).parse::<f64>().ok();
    number
        .filter(|number| *number > 0.0 && *number <= 100.0)
        .ok_or_else(|| "expected a number above 0, up to 100".to_owned())
}

/// The program's arguments, for tests and tools.
pub fn command() -> clap::Command {
    VerifyArgs::command()
}

/// What reading an object takes, with gpg and what it decrypts.
const PER_JOB: u64 = 32 << 20;

/// The program.
pub fn main() -> ExitCode {
    common::main("dura-verify", |args: &VerifyArgs| &args.common, run)
}

/// The bands that are looked at, and all that there are.
struct Bands {
    names: Vec<BandName>,
    all: Vec<BandName>,
}

fn run(args: VerifyArgs, report: &Arc<Report>) -> anyhow::Result<()> {
    if args.repair && pipe::stdout_is_terminal() {
        let hint = "pipe it into dura-push --replace ARCHIVE, or into a file";
        return Err(Hinted::wrap(anyhow!("standard output is a terminal"), hint));
    }
    must_exist(&args.archive)?;
    let wanted = Arc::new(Wanted::by(&args.signed_by)?);
    let signer = args.sign.as_deref().map(|key| signer(key, report)).transpose()?;
    let cache = caching::to_read(args.cache.as_deref(), args.no_cache, report);
    let expected = Awaited::of(&args.archive, args.cache.as_deref(), args.no_cache);
    let archive = Archive::open(&args.archive, cache, &args.reach, expected, report)?;
    let archive = Arc::new(archive.unlocked(&args.unlocking, report)?);
    let bands = select(&archive, &args, report)?;
    let meter = Arc::new(Meter::new(args.limit));
    let (part, sizes) = part(&archive, &args, &bands)?;
    let results = start(&archive, &args, &bands, &wanted, &meter, part)?;
    let (out, repairer) = match args.repair {
        false => (Some(pipe::stdout()?), None),
        true => {
            let mtime = clock::now()?.sec.try_into().unwrap_or(0);
            let (out, names) = (pipe::stdout()?, archive.names()?);
            (None, Some(Repairer::new(archive.store(), out, mtime, names, signer)))
        }
    };
    let mut run = Run {
        told: Told::new(report, out),
        repairer,
        states: Vec::new(),
        signed: (false, Vec::new()),
    };
    run.follow(results, &meter)?;
    if let Some(expected) = &args.expect {
        run.expect(&archive, expected)?;
    }
    run.more(&archive, &args, &bands, part, report)?;
    if meter.reached() {
        run.told.note("the limit is reached: the rest was not read".to_owned());
    }
    if let Some(sizes) = sizes {
        sizes.tell(&meter, report);
    }
    run.told.finish(&meter)?;
    run.repairer.map_or(Ok(()), |repairer| repairer.finish(report))
}

/// Finds the bands that the options ask for.
fn select(archive: &Archive, args: &VerifyArgs, report: &Report) -> anyhow::Result<Bands> {
    let names = archive.names()?;
    let all = names.clone();
    let chosen = match (&args.band, args.at.as_ref().map(|at| said(at, report))) {
        (None, None) => None,
        (Some(text), _) => {
            let known: Vec<Known> = names.iter().cloned().map(Known::new).collect();
            Some(find(&known, text)?.name.clone())
        }
        (None, at) => Some(choose(archive, &args.archive, None, at, report)?),
    };
    if names.is_empty() {
        return Err(no_band(&args.archive, "the archive has no band"));
    }
    let Some(chosen) = chosen else { return Ok(Bands { names, all }) };
    // An ancestor that is not there is told like one that is damaged.
    let mut chain = chosen.chain();
    chain.retain(|name| names.contains(name));
    Ok(Bands { names: chain, all })
}

/// What `--limit` has to do with the sizes of objects.
struct Sizes {
    limit: u64,
    /// What is left for objects when the lists were read.
    room: u64,
    smallest: Option<u64>,
    /// How many objects are larger than that, and the largest.
    over: (u64, u64),
}

impl Sizes {
    /// Says what was not looked at and never can be.
    fn tell(&self, meter: &Meter, report: &Report) {
        let human = units::human;
        let Some(smallest) = self.smallest else { return };
        if meter.members() == 0 && smallest > self.room {
            report.warn(format_args!(
                "--limit {}: no object can ever be read: the lists leave {}, but the smallest object has {}",
                human(self.limit),
                human(self.room),
                human(smallest)
            ));
        } else if self.over.0 > 0 {
            report.note(format_args!(
                "--limit {}: {} objects are larger than the {} that it leaves (up to {}), and are never read",
                human(self.limit),
                self.over.0,
                human(self.room),
                human(self.over.1)
            ));
        }
    }
}

/// What part of the objects is read.
fn part(
    archive: &Archive,
    args: &VerifyArgs,
    bands: &Bands,
) -> anyhow::Result<(Part, Option<Sizes>)> {
    let seed = match args.seed {
        Some(seed) => seed,
        None => clock::random_id()?.0.iter().fold(0_u64, |seed, byte| {
            // All of the id tells: what it begins with alone may be the same for many.
            seed.rotate_left(8) ^ u64::from(*byte)
        }),
    };
    let mut share = args.sample.map_or(1.0, |percent| percent / 100.0);
    let Some(limit) = args.limit else { return Ok((Part::new(seed, share), None)) };
    // Lists are read in any case. A little less than the limit allows, or chance would keep it from
    // the last bands.
    let (mut all, mut lists) = (0_u64, 0_u64);
    for band in &bands.names {
        archive.sizes(band, &mut |name, size| {
            all = all.saturating_add(size);
            if !(name.is_grouped() || name.is_parity()) {
                lists = lists.saturating_add(size);
            }
        })?;
    }
    let room = limit.saturating_sub(lists);
    share = share.min(0.95 * room as f64 / all.saturating_sub(lists).max(1) as f64);
    let mut sizes = Sizes { limit, room, smallest: None, over: (0, 0) };
    for band in &bands.names {
        archive.sizes(band, &mut |name, size| {
            if size == 0 || !(name.is_grouped() || name.is_parity()) {
                return;
            }
            sizes.smallest = Some(sizes.smallest.map_or(size, |least| least.min(size)));
            if size > room {
                sizes.over = (sizes.over.0 + 1, sizes.over.1.max(size));
            }
        })?;
    }
    Ok((Part::new(seed, share), Some(sizes)))
}

/// Starts to walk the bands.
fn start(
    archive: &Arc<Archive>,
    args: &VerifyArgs,
    bands: &Bands,
    signer: &Arc<Wanted>,
    meter: &Arc<Meter>,
    part: Part,
) -> anyhow::Result<Results<Vec<Event>>> {
    let jobs = room::jobs(args.jobs, 0, PER_JOB);
    let (submit, results) = Ordered::start::<Vec<Event>>(jobs, 4 * jobs)?;
    let walk = Walk {
        archive: Arc::clone(archive),
        store: Arc::clone(archive.store()),
        submit,
        quick: args.quick,
        keys: args.files,
        repair: args.repair,
        part,
        meter: Arc::clone(meter),
        signer: Arc::clone(signer),
        seen: HashMap::new(),
        all: bands.all.clone(),
        plain: args.unlocking.plain(),
        sealing: Default::default(),
        blind: Default::default(),
        source: None,
        tree: None,
    };
    let names = bands.names.clone();
    // Ends when all is submitted, or when nobody takes the results any more.
    std::thread::spawn(move || walk.run(&names));
    Ok(results)
}

/// The side of a run that takes what the walk comes upon.
struct Run<'a> {
    told: Told<'a>,
    repairer: Option<Repairer>,
    /// What has come of the members of the group that is under way.
    states: Vec<State>,
    /// Whether a signature of the band was good, and those by unknown keys.
    signed: (bool, Vec<(Finding, String)>),
}

impl Run<'_> {
    fn follow(&mut self, results: Results<Vec<Event>>, meter: &Meter) -> anyhow::Result<()> {
        for event in results.flatten() {
            self.told.draw(meter);
            match event {
                Event::Band => {
                    self.signatures()?;
                    self.told.bands += 1;
                }
                Event::NoBand(band) => {
                    let what = "not a band: no HEAD, TAIL, list or index";
                    self.told.report.verbose(format_args!("{band}: {what}"));
                }
                Event::Unfinished(band) => self.told.unfinished.push(band),
                Event::Found(finding) => self.found(&finding)?,
                Event::Note(what) => self.told.note(what),
                Event::Failed(error) => return Err(error),
                Event::Signed => self.signed.0 = true,
                Event::Unknown(finding, what) => self.signed.1.push((finding, what)),
                Event::Member(state) => self.states.push(state),
                Event::Group(list) => {
                    let states = std::mem::take(&mut self.states);
                    for finding in judge(&list, &states) {
                        self.found(&finding)?;
                    }
                    if let Some(repairer) = &mut self.repairer {
                        repairer.handle_group(&list, &states)?;
                    }
                }
                Event::Dropped(band, list) => {
                    if let Some(repairer) = &mut self.repairer {
                        repairer.handle_dropped(&band, list);
                    }
                }
                Event::Loose(loose) => {
                    let Some(repairer) = &mut self.repairer else { continue };
                    for finding in repairer.handle_loose(&loose, self.told.report)? {
                        self.told.finding(&finding)?;
                    }
                }
                Event::End => return self.signatures(),
            }
        }
        bail!("the walk through the archive stopped unexpectedly")
    }

    /// `--expect`: the newest band that its owner knows of must be there.
    fn expect(&mut self, archive: &Archive, expected: &str) -> anyhow::Result<()> {
        let found = match archive.expected(expected)? {
            Expected::There => return Ok(()),
            Expected::Unfinished(name) => {
                let what = "expected, and it is not complete";
                Finding::top(Kind::Missing, &name, Object::Tail, what)
            }
            Expected::Gone(name) => {
                Finding::new(Kind::Missing, Subject::Band(name), "expected, and not there")
            }
            Expected::Unclear(why) => {
                self.told.report.warn(format_args!("--expect {expected}: {why}"));
                return Ok(());
            }
        };
        self.found(&found)
    }

    /// A signature that is damaged can look like one by an unknown key: among good ones it is taken
    /// for that.
    fn signatures(&mut self) -> anyhow::Result<()> {
        let (good, unknown) = std::mem::take(&mut self.signed);
        for (finding, what) in unknown {
            match good {
                true => self.found(&finding)?,
                false => self.told.note(what),
            }
        }
        Ok(())
    }

    /// What is compared besides.
    fn more(
        &mut self,
        archive: &Arc<Archive>,
        args: &VerifyArgs,
        bands: &Bands,
        part: Part,
        report: &Arc<Report>,
    ) -> anyhow::Result<()> {
        let jobs = room::jobs(args.jobs, 0, PER_JOB);
        if args.files {
            for band in &bands.names {
                let read = files::read_out(archive, band, jobs, &mut |finding| {
                    self.told.finding(&finding)
                })?;
                report.verbose(format_args!("{band}: {read} files read"));
            }
        }
        if let Some(shown) = &args.against {
            must_exist(shown)?;
            // A cache has its bands in folders of their ids.
            let other: Arc<dyn Store> = match shown.local()?.and_then(as_archive) {
                Some(cache) => Arc::new(cache),
                None => open_store(shown, &args.reach, Awaited::default(), report)?,
            };
            let plain =
                Archive::open(&args.archive, None, &args.reach, Awaited::default(), report)?;
            let plain = plain.unlocked_as(archive);
            let against = Against {
                archive: &plain,
                other: other.as_ref(),
                shown: &shown.to_string(),
                quick: args.quick,
                part,
            };
            against.run(&bands.names, args.band.is_none() && args.at.is_none(), &mut self.told)?;
        }
        if let Some(dir) = &args.source {
            let band = match args.band.is_some() || args.at.is_some() {
                true => bands.names.last().cloned().context("the archive has no band")?,
                false => choose(archive, &args.archive, None, None, report)?,
            };
            let count = source::compare(archive, &band, dir, part, jobs, report, &mut |finding| {
                self.told.finding(&finding)
            })?;
            report.verbose(format_args!("{band}: {count} entries compared with {}", dir.display()));
        }
        Ok(())
    }

    fn found(&mut self, finding: &Finding) -> anyhow::Result<()> {
        if let Some(repairer) = &mut self.repairer {
            repairer.handle_finding(finding)?;
        }
        self.told.finding(finding)
    }
}

#[cfg(test)]
pub(crate) mod tests;
