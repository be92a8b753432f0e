//! `dura-verify`: finds damage in an archive, and rebuilds what parity allows.

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, anyhow, bail};
use clap::{CommandFactory, Parser};

use super::archive::Archive;
use super::archive::version::{choose, must_exist};
use super::common::{self, Common, size};
use super::index::time;
use super::message::{Hinted, Report};
use super::stores::open_store;
use crate::core::chain::choice::{Known, find};
use crate::core::verify::part::Part;
use crate::core::verify::{Finding, State, judge};
use crate::edge::ordered::{Ordered, Results};
use crate::edge::{clock, pipe};
use crate::format::band::BandName;
use crate::format::time::Stamp;

mod against;
mod band;
mod check;
mod files;
mod loose;
mod repair;
mod signed;
mod source;
mod told;

use against::Against;
use band::Walk;
use check::{Event, Meter};
use repair::Repairer;
use signed::Wanted;
use told::Told;

/// Find damage in an archive, and rebuild what parity allows
///
/// Reads each object and compares it with its checksum list; says what is missing, damaged, in no
/// list, or should not be there, a line each. Only --files and --source need the secret key.
#[derive(Debug, Parser)]
#[command(name = "dura-verify", version, max_term_width = 100)]
#[command(
    after_help = "Exit status: 0 all is well; 1 done, but something is not as it should be; 2 not done, or not all can be rebuilt.\n\
    Example: dura-verify --repair /mnt/backup | dura-push --replace /mnt/backup"
)]
struct VerifyArgs {
    /// The archive: a directory, s3://BUCKET/PREFIX, or https://HOST/PATH
    #[arg(value_name = "ARCHIVE")]
    archive: String,
    /// Compare only names and sizes with HEAD, TAIL and the lists
    #[arg(long, conflicts_with_all = ["files", "repair", "sample", "limit"])]
    quick: bool,
    /// Read every file out as well, and compare it with its index; needs the secret key
    #[arg(long, conflicts_with_all = ["sample", "limit", "repair"])]
    files: bool,
    /// Read only so many per cent of the objects, others each time
    #[arg(long, value_name = "PCT", value_parser = percent, conflicts_with = "repair")]
    sample: Option<f64>,
    /// Read at most so many bytes, such as 10G, of other objects each time
    #[arg(long, value_name = "BYTES", value_parser = size, conflicts_with = "repair")]
    limit: Option<u64>,
    /// With --sample or --limit: read the same objects as another run with this seed
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Compare with OTHER as well, another archive or a cache
    #[arg(long, value_name = "OTHER", conflicts_with_all = ["limit", "repair"])]
    against: Option<String>,
    /// Compare the files in DIR with the newest version, or that of --band or --at; needs the
    /// secret key, or a cache
    #[arg(long, value_name = "DIR", conflicts_with_all = ["limit", "repair"])]
    source: Option<PathBuf>,
    /// Demand a good signature of KEY on each list and each TAIL
    #[arg(long, value_name = "KEY")]
    signed_by: Option<String>,
    /// Write what can be rebuilt as an object stream, for dura-push --replace; findings go to
    /// stderr
    #[arg(long)]
    repair: bool,
    /// Use the plain copies of indexes in DIR
    #[arg(long, value_name = "DIR", env = "DURA_CACHE", hide_env_values = true)]
    cache: Option<PathBuf>,
    /// Look only at band NAME, which may be shortened, and those below it; latest is the newest
    #[arg(long, value_name = "NAME")]
    band: Option<String>,
    /// Look only at the newest band that was started at TIME or before, and those below it:
    /// 2026-11-01, or 2026-11-01T02:00:00Z
    #[arg(long, value_name = "TIME", value_parser = time, conflicts_with = "band")]
    at: Option<Stamp>,
    /// How many objects are read at once [default: one for each core]
    #[arg(short, long, value_name = "N")]
    jobs: Option<usize>,
    #[command(flatten)]
    common: Common,
}

/// Reads a percentage.
fn percent(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').unwrap_or(text).parse::<f64>().ok();
    number
        .filter(|number| *number > 0.0 && *number <= 100.0)
        .ok_or_else(|| "wanted a number over 0, up to 100".to_owned())
}

/// The program's arguments, for tests and tools.
pub fn command() -> clap::Command {
    VerifyArgs::command()
}

/// The program.
pub fn main() -> ExitCode {
    common::main("dura-verify", |args: &VerifyArgs| &args.common, run)
}

/// The bands that are looked at, and the newest of all if it is among them.
struct Bands {
    names: Vec<BandName>,
    newest: Option<BandName>,
}

fn run(args: VerifyArgs, report: &Arc<Report>) -> anyhow::Result<()> {
    if args.repair && pipe::stdout_is_terminal() {
        let hint = "pipe it into dura-push --replace ARCHIVE, or into a file";
        return Err(Hinted::wrap(anyhow!("standard output is a terminal"), hint));
    }
    must_exist(&args.archive)?;
    let wanted = Arc::new(Wanted::by(args.signed_by.as_deref())?);
    let archive = Arc::new(Archive::open(&args.archive, args.cache.as_deref())?);
    let bands = select(&archive, &args, report)?;
    let meter = Arc::new(Meter::new(args.limit));
    let results = start(&archive, &args, &bands, &wanted, &meter)?;
    let (out, repairer) = match args.repair {
        false => (Some(pipe::stdout()?), None),
        true => {
            let mtime = clock::now()?.sec.try_into().unwrap_or(0);
            (None, Some(Repairer::new(archive.store(), pipe::stdout()?, mtime, archive.names()?)))
        }
    };
    let mut run = Run {
        told: Told::new(report, out),
        repairer,
        states: Vec::new(),
        signed: (false, Vec::new()),
    };
    run.follow(results)?;
    run.more(&archive, &args, &bands, report)?;
    if meter.reached() {
        run.told.note("the limit is reached: the rest was not read".to_owned());
    }
    run.told.finish(&meter)?;
    run.repairer.map_or(Ok(()), |repairer| repairer.finish(report))
}

/// Finds the bands that the options ask for.
fn select(archive: &Archive, args: &VerifyArgs, report: &Report) -> anyhow::Result<Bands> {
    let names = archive.names()?;
    let newest = names.last().cloned();
    let chosen = match (&args.band, args.at) {
        (None, None) => None,
        (Some(text), _) => {
            let known: Vec<Known> = names.iter().cloned().map(Known::new).collect();
            Some(find(&known, text)?.name.clone())
        }
        (None, at) => Some(choose(archive, &args.archive, None, at, report)?),
    };
    if names.is_empty() {
        bail!("{}: no band there", args.archive);
    }
    let Some(chosen) = chosen else { return Ok(Bands { names, newest }) };
    // An ancestor that is not there is told like one that is damaged.
    let mut chain = chosen.chain();
    chain.retain(|name| names.contains(name));
    Ok(Bands { names: chain, newest })
}

/// What part of the objects is read.
fn part(archive: &Archive, args: &VerifyArgs, bands: &Bands) -> anyhow::Result<Part> {
    let seed = match args.seed {
        Some(seed) => seed,
        None => clock::random_id()?.0.iter().fold(0, |seed, byte| (seed << 8) | u64::from(*byte)),
    };
    let mut share = args.sample.map_or(1.0, |percent| percent / 100.0);
    if let Some(limit) = args.limit {
        // Lists are read in any case. A little less than the limit allows, or chance would keep it
        // from the last bands.
        let (mut all, mut lists) = (0_u64, 0_u64);
        for band in &bands.names {
            archive.sizes(band, &mut |name, size| {
                all = all.saturating_add(size);
                if !name.is_grouped() && !name.is_parity() {
                    lists = lists.saturating_add(size);
                }
            })?;
        }
        share = share.min(
            0.95 * limit.saturating_sub(lists) as f64 / all.saturating_sub(lists).max(1) as f64,
        );
    }
    Ok(Part::new(seed, share))
}

/// Starts to walk the bands.
fn start(
    archive: &Arc<Archive>,
    args: &VerifyArgs,
    bands: &Bands,
    signer: &Arc<Wanted>,
    meter: &Arc<Meter>,
) -> anyhow::Result<Results<Vec<Event>>> {
    let jobs = common::jobs(args.jobs);
    let (submit, results) = Ordered::start::<Vec<Event>>(jobs, 4 * jobs)?;
    let walk = Walk {
        archive: Arc::clone(archive),
        store: Arc::clone(archive.store()),
        submit,
        quick: args.quick,
        keys: args.files,
        repair: args.repair,
        part: part(archive, args, bands)?,
        meter: Arc::clone(meter),
        signer: Arc::clone(signer),
        seen: HashMap::new(),
    };
    let (names, newest) = (bands.names.clone(), bands.newest.clone());
    // Ends when all is submitted, or when nobody takes the results any more.
    std::thread::spawn(move || walk.run(&names, newest.as_ref()));
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
    fn follow(&mut self, results: Results<Vec<Event>>) -> anyhow::Result<()> {
        for event in results.flatten() {
            match event {
                Event::Band => {
                    self.signatures()?;
                    self.told.bands += 1;
                }
                Event::Found(finding) => self.found(&finding)?,
                Event::Note(what) => self.told.note(what),
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
                Event::Loose(loose) => {
                    let Some(repairer) = &mut self.repairer else { continue };
                    for finding in repairer.handle_loose(&loose, self.told.report)? {
                        self.told.finding(&finding)?;
                    }
                }
                Event::End => return self.signatures(),
            }
        }
        bail!("the walk through the archive broke off")
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
        report: &Arc<Report>,
    ) -> anyhow::Result<()> {
        let jobs = common::jobs(args.jobs);
        if args.files {
            for band in &bands.names {
                let read = files::read_out(archive, band, jobs, &mut |finding| {
                    self.told.finding(&finding)
                })?;
                report.verbose(format_args!("{band}: {read} files read out"));
            }
        }
        if let Some(shown) = &args.against {
            must_exist(shown)?;
            let other = open_store(shown)?;
            let plain = Archive::open(&args.archive, None)?;
            let part = part(archive, args, bands)?;
            let against =
                Against { archive: &plain, other: other.as_ref(), shown, quick: args.quick, part };
            against.run(&bands.names, args.band.is_none() && args.at.is_none(), &mut self.told)?;
        }
        if let Some(dir) = &args.source {
            let band = match args.band.is_some() || args.at.is_some() {
                true => bands.names.last().cloned().context("no band is there")?,
                false => choose(archive, &args.archive, None, None, report)?,
            };
            let part = part(archive, args, bands)?;
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
