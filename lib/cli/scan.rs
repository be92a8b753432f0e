//! `dura-scan`: walks a tree and lists it.

use std::collections::{HashMap, VecDeque};
use std::ffi::OsString;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path as FsPath, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::{CommandFactory, Parser};

use super::common::{self, Common};
use super::message::{Hinted, Report, why};
use crate::edge::ordered::{Gone, Ordered, Submit};
use crate::edge::walk::{self, Found, Seen};
use crate::edge::{pipe, privilege};
use crate::format::entry::{Entry, Inode, Kind, State};
use crate::format::listing::{End, Header, VERSION};
use crate::format::path::Path;
use masks::Masks;

mod masks;

/// List a directory tree, for dura-pack or dura-index diff
///
/// Walks DIR in canonical order and writes a listing in the dialect of mtree(5) to standard output.
/// Reads no file.
#[derive(Debug, Parser)]
#[command(name = "dura-scan", version, max_term_width = 100)]
#[command(
    after_help = "Exit status: 0 done; 1 done, but something could not be looked at; 2 not done.\n\
    Example: dura-scan --exclude .cache ~ | dura-pack | dura-seal -r me@example.org | dura-push /mnt/backup"
)]
struct ScanArgs {
    /// The directory to list
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Stay on DIR's file system: a mount point is listed, not entered
    #[arg(short = 'x', long)]
    one_file_system: bool,
    /// Leave out what matches PATTERN (gitignore syntax, relative to DIR)
    #[arg(long, value_name = "PATTERN")]
    exclude: Vec<OsString>,
    /// Leave out what matches a pattern in FILE (gitignore syntax; - is standard input)
    #[arg(long, value_name = "FILE")]
    exclude_from: Vec<PathBuf>,
    /// List a directory that holds a CACHEDIR.TAG, but not what is in it
    #[arg(long)]
    exclude_caches: bool,
    /// List only what matches a pattern in FILE, and what lies below it (gitignore syntax)
    #[arg(long, value_name = "FILE")]
    only_from: Option<PathBuf>,
    /// List only what comes after PATH in canonical order, and the directories above it
    #[arg(long, value_name = "PATH")]
    after: Option<std::ffi::OsString>,
    /// How many threads look at files [default: one for each core]
    #[arg(short, long, value_name = "N")]
    jobs: Option<usize>,
    #[command(flatten)]
    common: Common,
}

/// The program's arguments, for tests and tools.
pub fn command() -> clap::Command {
    ScanArgs::command()
}

/// The program.
pub fn main() -> ExitCode {
    common::main("dura-scan", |args: &ScanArgs| &args.common, run)
}

/// Entries that are looked at in a piece.
const BATCH: usize = 512;

/// What the walk decided about an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// To be listed.
    List,
    /// A directory to be listed if anything below it is.
    IfBelow,
    /// Listed as left out.
    Excluded,
}

/// Why the content of a directory is not listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unread {
    No,
    ByWish,
    Failed,
}

struct Visit {
    found: Found,
    verdict: Verdict,
    unread: Unread,
}

type Looked = (Visit, io::Result<Option<Seen>>);

fn run(args: ScanArgs, report: &Arc<Report>) -> anyhow::Result<()> {
    let shown = args.dir.display().to_string();
    let root = args.dir.canonicalize().with_context(|| shown.clone())?;
    let stat = std::fs::metadata(&root).with_context(|| shown.clone())?;
    if !stat.is_dir() {
        let hint = "name the directory that holds it, and use --only-from to list a part";
        return Err(Hinted::wrap(anyhow::anyhow!("{shown}: not a directory"), hint));
    }
    if privilege::root_without_trusted() {
        report.note(
            "without CAP_SYS_ADMIN the system shows no trusted.* attributes: they are not stored",
        );
    }
    let masks = Masks::load(&args.exclude, &args.exclude_from, args.only_from.as_deref(), report)?;
    let after = args
        .after
        .map(|after| Path::from_typed(after.as_bytes()))
        .transpose()
        .context("--after")?;
    let jobs = common::jobs(args.jobs);
    let (submit, results) = Ordered::start::<Vec<Looked>>(jobs, jobs * 4)?;
    let device = std::os::unix::fs::MetadataExt::dev(&stat);
    let mut listing = Listing::new(args.one_file_system.then_some(device), report)?;
    // What --after leaves out is a mask too, of which nobody knows whether the next is the same.
    let mask = masks.only_sha256().filter(|_| after.is_none()).map(Header::Mask);
    let partial = masks.only_sha256().is_some() || after.is_some();
    listing.begin(&root, partial.then_some(Header::Partial).into_iter().chain(mask))?;
    std::thread::scope(|scope| {
        let walker = Walker {
            root: &root,
            masks: &masks,
            caches: args.exclude_caches,
            after,
            submit,
            batch: Vec::new(),
        };
        let walking = scope.spawn(move || walker.run(args.one_file_system, report));
        for (visit, looked) in results.flatten() {
            listing.handle(visit, looked)?;
        }
        match walking.join() {
            Ok(result) => result,
            Err(_) => bail!("the walk broke off"),
        }
    })?;
    listing.end()
}

struct Walker<'a> {
    root: &'a FsPath,
    masks: &'a Masks,
    caches: bool,
    after: Option<Path>,
    submit: Submit<Vec<Looked>>,
    batch: Vec<Visit>,
}

impl Walker<'_> {
    fn run(mut self, one_file_system: bool, report: &Report) -> anyhow::Result<()> {
        let mut walk = walk::walk(self.root, one_file_system)
            .with_context(|| self.root.display().to_string())?;
        while let Some(step) = walk.next() {
            let found = match step {
                Ok(entry) => Found::new(entry),
                Err(error) => {
                    // The walk reads and sorts a directory before it enters it, so the one that
                    // fails is the last visited.
                    let text = error.io_error().map_or_else(|| error.to_string(), why);
                    match self.batch.last_mut().filter(|last| {
                        last.found.kind == Some(Kind::Dir)
                            && !last.found.raw().as_os_str().is_empty()
                    }) {
                        Some(dir) => {
                            report.warn(format_args!("{}: {text}", dir.found.path()));
                            dir.unread = Unread::Failed;
                            walk.skip_current_dir();
                        }
                        None => bail!("{}: {text}", self.root.display()),
                    }
                    continue;
                }
            };
            let is_dir = found.kind == Some(Kind::Dir);
            let (verdict, enter) = self.judge(&found, is_dir);
            if is_dir && !enter {
                walk.skip_current_dir();
            }
            let Some(verdict) = verdict else { continue };
            let mut unread = Unread::No;
            if is_dir && enter && self.caches && walk::is_tagged_cache(&found.at) {
                unread = Unread::ByWish;
                walk.skip_current_dir();
            }
            // The last visit stays here until the next step has shown that its directory could be
            // read.
            if self.batch.len() >= BATCH {
                let last = self.batch.split_off(BATCH - 1);
                if self.flush().is_err() {
                    return Ok(());
                }
                self.batch = last;
            }
            self.batch.push(Visit { found, verdict, unread });
        }
        let _ = self.flush();
        Ok(())
    }

    /// What becomes of an entry (none: not mentioned), and whether a directory is entered.
    fn judge(&self, found: &Found, is_dir: bool) -> (Option<Verdict>, bool) {
        let raw = found.raw();
        if let Some(after) = &self.after {
            let path = &found.path();
            if path <= after {
                let above = path == after || path.holds(after);
                return (above.then_some(Verdict::IfBelow).filter(|_| is_dir), above);
            }
        }
        if raw.as_os_str().is_empty() {
            return (Some(Verdict::List), true);
        }
        if self.masks.excludes(raw, is_dir) {
            return (Some(Verdict::Excluded), false);
        }
        match (self.masks.selects(raw, is_dir), is_dir) {
            (true, _) => (Some(Verdict::List), true),
            (false, true) => (Some(Verdict::IfBelow), true),
            (false, false) => (None, false),
        }
    }

    /// Hands the batch on; fails when nobody takes the results any more, who then has the reason.
    fn flush(&mut self) -> Result<(), Gone> {
        let batch = std::mem::take(&mut self.batch);
        let look = move || {
            let look = |visit: Visit| {
                let looked = if visit.verdict == Verdict::Excluded {
                    Ok(None)
                } else {
                    walk::look(&visit.found)
                };
                (visit, looked)
            };
            batch.into_iter().map(look).collect()
        };
        self.submit.submit(look)
    }
}

/// The listing as it is written.
struct Listing<'a> {
    out: pipe::Out,
    buffer: Vec<u8>,
    report: &'a Report,
    /// The device to stay on.
    device: Option<u64>,
    end: End,
    /// Directories that are listed only if something below them is.
    above: VecDeque<Entry>,
    /// First name listed of each inode with several links, and how many names are still to come.
    links: HashMap<Inode, (Arc<Path>, u64)>,
}

impl<'a> Listing<'a> {
    fn new(device: Option<u64>, report: &'a Report) -> io::Result<Listing<'a>> {
        let (above, links) = (VecDeque::new(), HashMap::new());
        Ok(Listing {
            out: pipe::stdout()?,
            buffer: Vec::new(),
            report,
            device,
            end: End::default(),
            above,
            links,
        })
    }

    fn begin(&mut self, root: &FsPath, mask: impl Iterator<Item = Header>) -> anyhow::Result<()> {
        let host = rustix::system::uname().nodename().to_bytes().to_vec();
        let headers = [
            Header::Mtree,
            Header::Version(VERSION),
            Header::Source(host, root.as_os_str().as_bytes().to_vec()),
        ];
        for header in headers.into_iter().chain(mask) {
            writeln!(self.buffer, "{header}")?;
        }
        Ok(())
    }

    fn handle(&mut self, visit: Visit, looked: io::Result<Option<Seen>>) -> anyhow::Result<()> {
        let Visit { found, verdict, unread } = visit;
        let kind = found.kind.unwrap_or(Kind::File);
        let Seen { mut entry, device, unlisted } = match looked {
            Ok(Some(seen)) => seen,
            Ok(None) if verdict == Verdict::Excluded => {
                let path = found.path();
                self.drop_above(&path);
                // Below a directory that is not listed itself there is nothing to tell.
                if self.above.is_empty() {
                    self.end.excluded += 1;
                    self.list(Entry::new(path, kind, State::Excluded))?;
                }
                return Ok(());
            }
            Ok(None) => {
                let path = found.path();
                self.flush_above(&path)?;
                writeln!(self.buffer, "{}", Header::Socket(path))?;
                return Ok(());
            }
            Err(error)
                if error.kind() == io::ErrorKind::NotFound && verdict == Verdict::IfBelow =>
            {
                return Ok(());
            }
            Err(error) => {
                let vanished = error.kind() == io::ErrorKind::NotFound;
                let text =
                    if vanished { "vanished during the scan".to_owned() } else { why(&error) };
                let path = found.path();
                self.report.warn(format_args!("{path}: {text}"));
                if path.is_root() {
                    return Err(error.into());
                }
                self.end.unreadable += 1;
                return self.list(Entry::new(path, kind, State::Unreadable));
            }
        };
        if let Some(error) = unlisted {
            self.report.warn(format_args!(
                "{}: cannot list its extended attributes: {}",
                entry.path,
                why(&error)
            ));
        }
        let elsewhere = entry.kind == Kind::Dir && self.device.is_some_and(|own| own != device);
        entry.unread = elsewhere || unread != Unread::No;
        match unread {
            Unread::Failed => self.end.unreadable += 1,
            _ => self.end.excluded += u64::from(entry.unread),
        }
        self.end.entries += 1;
        if verdict == Verdict::IfBelow && unread != Unread::Failed {
            self.end.entries -= 1;
            self.drop_above(&entry.path);
            self.above.push_back(entry);
            return Ok(());
        }
        self.link(&mut entry);
        self.list(entry)
    }

    /// Gives an entry with several links its `hard:`.
    fn link(&mut self, entry: &mut Entry) {
        let (Some(inode), Some(nlink)) = (entry.inode, entry.nlink) else { return };
        match self.links.get_mut(&inode) {
            Some((first, left)) => {
                entry.hard = Some(Path::clone(first));
                *left -= 1;
                if *left == 0 {
                    self.links.remove(&inode);
                }
            }
            None => {
                self.links.insert(inode, (Arc::new(entry.path.clone()), nlink - 1));
            }
        }
    }

    fn drop_above(&mut self, next: &Path) {
        while self.above.back().is_some_and(|dir| !dir.path.holds(next)) {
            self.above.pop_back();
        }
    }

    fn flush_above(&mut self, next: &Path) -> anyhow::Result<()> {
        self.drop_above(next);
        while let Some(dir) = self.above.pop_front() {
            self.end.entries += 1;
            self.write(&dir)?;
        }
        Ok(())
    }

    fn list(&mut self, entry: Entry) -> anyhow::Result<()> {
        self.flush_above(&entry.path)?;
        self.report.verbose(&entry.path);
        self.write(&entry)
    }

    fn write(&mut self, entry: &Entry) -> anyhow::Result<()> {
        entry.write(&mut self.buffer);
        if self.buffer.len() >= 64 << 10 {
            self.out.write_all(&self.buffer).context("cannot write the listing")?;
            self.buffer.clear();
        }
        Ok(())
    }

    fn end(mut self) -> anyhow::Result<()> {
        // A mask that selects nothing still gives a listing, of the root.
        if self.end.entries == 0
            && let Some(root) = self.above.pop_front()
        {
            self.end.entries = 1;
            self.write(&root)?;
        }
        writeln!(self.buffer, "{}", self.end)?;
        self.out.write_all(&self.buffer).context("cannot write the listing")?;
        self.out.finish().context("cannot write the listing")?;
        self.report.verbose(self.end);
        self.report.events().emit(
            "listed",
            &[
                ("entries", self.end.entries.into()),
                ("excluded", self.end.excluded.into()),
                ("unreadable", self.end.unreadable.into()),
            ],
        );
        Ok(())
    }
}
