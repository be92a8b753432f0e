//! `dura-verify`: finds damage in an archive, and rebuilds what parity allows.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, bail};

use crate::archive::Archive;
use crate::archive::awaited::Awaited;
use crate::archive::expected::Expected;
use crate::archive::named::ArchiveName;
use crate::archive::reading::ReadOptions;
use crate::archive::stores::open_store;
use crate::archive::version::{choose, must_exist, no_band};
use crate::core::chain::choice::{KnownBand, find};
use crate::core::verify::part::ObjectSample;
use crate::core::verify::{Finding, FindingKind, ObjectState, Subject, judge};
use crate::edge::clock;
use crate::edge::ordered::{Ordered, Results};
use crate::format::band::BandName;
use crate::format::object::Object;
use crate::ops::keyring::signer;
use crate::ops::room;
use crate::report::message::Report;
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

use against::Against;
use band::BandWalk;
use check::{CheckEvent, Meter};
use repair::Repairer;
use signed::WantedSignatures;
use told::Told;

/// What is checked, and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// The archive.
    pub archive: ArchiveName,
    /// Compare only names and sizes.
    pub quick: bool,
    /// Also read every file and compare it with its index.
    pub files: bool,
    /// Read only this share of the objects, in per cent.
    pub sample: Option<f64>,
    /// Read at most so many bytes.
    pub limit: Option<u64>,
    /// What decides which objects these are [default: chance].
    pub seed: Option<u64>,
    /// Another archive, or a cache, to compare with.
    pub against: Option<ArchiveName>,
    /// A directory whose files are compared with a version.
    pub source: Option<PathBuf>,
    /// Write what can be rebuilt as an object stream.
    pub repair: bool,
    /// The secret key that signs the lists which a repair writes.
    pub sign: Option<OsString>,
    /// Which bands are checked, and how they are read.
    pub reading: ReadOptions,
    /// How many objects are read at a time [default: one for each core].
    pub jobs: Option<usize>,
}

/// What reading an object takes, with gpg and what it decrypts.
const PER_JOB: u64 = 32 << 20;

/// The bands that are looked at, and all that there are.
struct Bands {
    names: Vec<BandName>,
    all: Vec<BandName>,
}

impl Options {
    /// Those that read all objects of an archive.
    pub fn of(archive: ArchiveName) -> Options {
        Options {
            archive,
            quick: false,
            files: false,
            sample: None,
            limit: None,
            seed: None,
            against: None,
            source: None,
            repair: false,
            sign: None,
            reading: ReadOptions::default(),
            jobs: None,
        }
    }
}

/// Compares the objects of an archive with their lists. Writes its findings, or what is rebuilt of
/// them as an object stream. Gives how many findings there are.
///
/// # Errors
/// What keeps it from looking; what is wrong with the archive is a finding, and makes the status 1.
pub fn run<'a>(
    options: Options,
    out: &'a mut dyn Write,
    report: &'a Arc<Report>,
) -> anyhow::Result<u64> {
    must_exist(&options.archive)?;
    let reading = &options.reading;
    let wanted = Arc::new(WantedSignatures::by(&reading.signed_by)?);
    let signer = options.sign.as_deref().map(|key| signer(key, report)).transpose()?;
    let archive = reading.reach(&options.archive, report)?.unlocked(&reading.unlocking, report)?;
    let archive = Arc::new(archive);
    let bands = select(&archive, &options, report)?;
    let meter = Arc::new(Meter::new(options.limit));
    let (part, sizes) = part(&archive, &options, &bands)?;
    let results = start(&archive, &options, &bands, &wanted, &meter, part)?;
    let (out, repairer) = match options.repair {
        false => (Some(out), None),
        true => {
            let mtime = clock::now()?.sec.try_into().unwrap_or(0);
            let names = archive.names()?;
            (None, Some(Repairer::new(archive.store(), out, mtime, names, signer)))
        }
    };
    let mut run = VerifyRun {
        told: Told::new(report, out),
        repairer,
        states: Vec::new(),
        signed: (false, Vec::new()),
        no_bands: HashSet::new(),
    };
    report.events().emit("verifying", &[("bands", bands.names.len().into())]);
    run.follow(results, &meter)?;
    if run.no_bands.len() == bands.names.len() {
        return Err(no_band(
            &options.archive,
            "the archive has no band, but folders with the names of bands",
        ));
    }
    if let Some(expected) = &reading.expect {
        run.expect(&archive, expected)?;
    }
    run.more(&archive, &options, &bands, part, report)?;
    if meter.reached() {
        run.told.note("the limit is reached: the rest was not read".to_owned());
    }
    if let Some(sizes) = sizes {
        sizes.tell(&meter, report);
    }
    let findings = run.told.finish(&meter)?;
    run.repairer.map_or(Ok(()), |repairer| repairer.finish(report))?;
    Ok(findings)
}

/// Finds the bands that the options ask for.
fn select(archive: &Archive, options: &Options, report: &Report) -> anyhow::Result<Bands> {
    let names = archive.names()?;
    let all = names.clone();
    let chosen = match (&options.reading.band, options.reading.at) {
        (None, None) => None,
        (Some(text), _) => {
            let known: Vec<KnownBand> = names.iter().cloned().map(KnownBand::new).collect();
            Some(find(&known, text)?.name.clone())
        }
        (None, at) => Some(choose(archive, &options.archive, None, at, report)?),
    };
    if names.is_empty() {
        return Err(no_band(&options.archive, "the archive has no band"));
    }
    let Some(chosen) = chosen else { return Ok(Bands { names, all }) };
    // An ancestor that is not there is told like one that is damaged.
    let mut chain = chosen.chain();
    chain.retain(|name| names.contains(name));
    Ok(Bands { names: chain, all })
}

/// What `--limit` has to do with the sizes of objects.
struct ReadLimit {
    limit: u64,
    /// What is left for objects when the lists were read.
    room: u64,
    smallest: Option<u64>,
    /// How many objects are larger than that, and the largest.
    over: (u64, u64),
}

impl ReadLimit {
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
    options: &Options,
    bands: &Bands,
) -> anyhow::Result<(ObjectSample, Option<ReadLimit>)> {
    let seed = match options.seed {
        Some(seed) => seed,
        None => clock::random_id()?.0.iter().fold(0_u64, |seed, byte| {
            // All of the id tells: what it begins with alone may be the same for many.
            seed.rotate_left(8) ^ u64::from(*byte)
        }),
    };
    let mut share = options.sample.map_or(1.0, |percent| percent / 100.0);
    let Some(limit) = options.limit else { return Ok((ObjectSample::new(seed, share), None)) };
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
    let mut sizes = ReadLimit { limit, room, smallest: None, over: (0, 0) };
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
    Ok((ObjectSample::new(seed, share), Some(sizes)))
}

/// Starts to walk the bands.
fn start(
    archive: &Arc<Archive>,
    options: &Options,
    bands: &Bands,
    signer: &Arc<WantedSignatures>,
    meter: &Arc<Meter>,
    part: ObjectSample,
) -> anyhow::Result<Results<Vec<CheckEvent>>> {
    let jobs = room::jobs(options.jobs, 0, PER_JOB);
    let (submit, results) = Ordered::start::<Vec<CheckEvent>>(jobs, 4 * jobs)?;
    let walk = BandWalk {
        archive: Arc::clone(archive),
        store: Arc::clone(archive.store()),
        submit,
        quick: options.quick,
        keys: options.files,
        repair: options.repair,
        part,
        meter: Arc::clone(meter),
        signer: Arc::clone(signer),
        seen: HashMap::new(),
        all: bands.all.clone(),
        plain: options.reading.unlocking.plain,
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
struct VerifyRun<'a> {
    told: Told<'a>,
    repairer: Option<Repairer<'a>>,
    /// What has come of the members of the group that is under way.
    states: Vec<ObjectState>,
    /// Whether a signature of the band was good, and those by unknown keys.
    signed: (bool, Vec<(Finding, String)>),
    /// Folders with a band's name that are none.
    no_bands: HashSet<BandName>,
}

impl VerifyRun<'_> {
    fn follow(&mut self, results: Results<Vec<CheckEvent>>, meter: &Meter) -> anyhow::Result<()> {
        for event in results.flatten() {
            self.told.draw(meter);
            match event {
                CheckEvent::Band => {
                    self.signatures()?;
                    self.told.bands += 1;
                }
                CheckEvent::NoBand(band) => {
                    let what = "not a band: no HEAD, TAIL, list or index";
                    self.told.report.verbose(format_args!("{band}: {what}"));
                    self.no_bands.insert(band);
                }
                CheckEvent::Unfinished(band) => self.told.unfinished.push(band),
                CheckEvent::Found(finding) => self.found(&finding)?,
                CheckEvent::Note(what) => self.told.note(what),
                CheckEvent::Failed(error) => return Err(error),
                CheckEvent::Signed => self.signed.0 = true,
                CheckEvent::Unknown(finding, what) => self.signed.1.push((finding, what)),
                CheckEvent::Member(state) => self.states.push(state),
                CheckEvent::Group(list) => {
                    let states = std::mem::take(&mut self.states);
                    for finding in judge(&list, &states) {
                        self.found(&finding)?;
                    }
                    if let Some(repairer) = &mut self.repairer {
                        repairer.handle_group(&list, &states)?;
                    }
                }
                CheckEvent::Dropped(band, list) => {
                    if let Some(repairer) = &mut self.repairer {
                        repairer.handle_dropped(&band, list);
                    }
                }
                CheckEvent::Loose(loose) => {
                    let Some(repairer) = &mut self.repairer else { continue };
                    for finding in repairer.handle_loose(&loose, self.told.report)? {
                        self.told.finding(&finding)?;
                    }
                }
                CheckEvent::End => return self.signatures(),
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
                Finding::top(FindingKind::Missing, &name, Object::Tail, what)
            }
            Expected::Gone(name) => {
                Finding::new(FindingKind::Missing, Subject::Band(name), "expected, and not there")
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
        options: &Options,
        bands: &Bands,
        part: ObjectSample,
        report: &Arc<Report>,
    ) -> anyhow::Result<()> {
        let jobs = room::jobs(options.jobs, 0, PER_JOB);
        if options.files {
            let lost = files::Lost::default();
            for band in bands.names.iter().filter(|band| !self.no_bands.contains(band)) {
                let read = files::read_out(archive, band, jobs, &lost, &mut |finding| {
                    self.told.finding(&finding)
                })?;
                report.verbose(format_args!("{band}: {read} files read"));
            }
        }
        if let Some(shown) = &options.against {
            must_exist(shown)?;
            // A cache has its bands in folders of their ids.
            let other: Arc<dyn Store> = match shown.local()?.and_then(as_archive) {
                Some(cache) => Arc::new(cache),
                None => open_store(shown, &options.reading.reach, Awaited::default(), report)?,
            };
            let plain = Archive::open(
                &options.archive,
                None,
                &options.reading.reach,
                Awaited::default(),
                report,
            )?;
            let plain = plain.unlocked_as(archive);
            let against = Against {
                archive: &plain,
                other: other.as_ref(),
                shown: &shown.to_string(),
                quick: options.quick,
                part,
            };
            against.run(
                &bands.names,
                options.reading.band.is_none() && options.reading.at.is_none(),
                &mut self.told,
            )?;
        }
        if let Some(dir) = &options.source {
            let band = match options.reading.band.is_some() || options.reading.at.is_some() {
                true => bands.names.last().cloned().context("the archive has no band")?,
                false => choose(archive, &options.archive, None, None, report)?,
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
