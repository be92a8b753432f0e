//! The thread that walks: what is listed, what is entered, and what others are to look at.

use std::ops::Range;
use std::sync::Arc;

use anyhow::Context;
use rustix::fs::FileType;
use rustix::io::Errno;

use crate::edge::look::{self, CACHE_TAG, Looker};
use crate::edge::ordered::{Gone, Submit};
use crate::edge::walk::{DirectoryNames, OpenDirectory, TreeWalk, WalkStep};
use crate::format::band::BandName;
use crate::format::entry::Kind;
use crate::format::path::Path;
use crate::ops::scan::masks::Masks;
use crate::ops::scan::own::OwnCache;
use crate::ops::scan::seen::{ScanVerdict, UnlistedReason, WalkedEntry, WalkedKind};
use crate::report::message::{Report, why};

/// Entries that are looked at in a piece.
const BATCH: usize = 512;

/// A piece of the walk that somebody is to look at.
enum Visit {
    /// Names of one directory that are no directories.
    Names { place: Arc<OpenDirectory>, names: Arc<DirectoryNames>, range: Range<usize> },
    /// A directory that the walk has opened.
    Opened { place: Arc<OpenDirectory>, verdict: ScanVerdict, unread: UnlistedReason },
    /// A directory that the walk has not opened.
    Closed {
        above: Arc<OpenDirectory>,
        names: Arc<DirectoryNames>,
        at: usize,
        verdict: ScanVerdict,
        unread: UnlistedReason,
    },
    /// What need not be looked at.
    Known(Box<WalkedEntry>),
}

/// Visits that are handed on together.
#[derive(Default)]
struct Batch {
    visits: Vec<Visit>,
    entries: usize,
}

impl Batch {
    /// Adds an entry that is no directory.
    fn push_name(&mut self, place: &Arc<OpenDirectory>, names: &Arc<DirectoryNames>, at: usize) {
        self.entries += 1;
        if let Some(Visit::Names { names: last, range, .. }) = self.visits.last_mut()
            && range.end == at
            && Arc::ptr_eq(last, names)
        {
            range.end += 1;
            return;
        }
        let (place, names) = (Arc::clone(place), Arc::clone(names));
        self.visits.push(Visit::Names { place, names, range: at..at + 1 });
    }
}

/// What is wanted of a walk.
pub(super) struct WalkPlan {
    /// What is left out, and what is let in.
    pub masks: Arc<Masks>,
    /// Whether directories are passed by that say they are caches.
    pub caches: bool,
    /// The device to stay on.
    pub device: Option<u64>,
    /// The caches of this host.
    pub own: Vec<OwnCache>,
    /// Only what comes after this path.
    pub after: Option<Path>,
}

/// The walk, and what it has found that nobody looks at yet.
pub(super) struct Walker<'a> {
    walk: TreeWalk,
    wanted: WalkPlan,
    submit: Submit<Vec<WalkedEntry>>,
    batch: Batch,
    /// Visits that a batch may have: each may keep a directory open.
    most_visits: usize,
    report: &'a Report,
}

impl<'a> Walker<'a> {
    /// A walk that hands its findings to `submit`, in batches that keep so many directories open.
    pub(super) fn new(
        wanted: WalkPlan,
        submit: Submit<Vec<WalkedEntry>>,
        most_visits: usize,
        report: &'a Report,
    ) -> Walker<'a> {
        let (walk, batch) = (TreeWalk::default(), Batch::default());
        Walker { walk, wanted, submit, batch, most_visits, report }
    }

    /// Walks the tree below `root`.
    pub(super) fn run(mut self, root: &Arc<OpenDirectory>, shown: &str) -> anyhow::Result<()> {
        let (names, failed) = self.walk.read(root);
        let unread = match failed {
            Some(error) if names.is_empty() => return Err(error).context(shown.to_owned()),
            Some(error) => UnlistedReason::Failed(why(&error)),
            None => UnlistedReason::No,
        };
        if self.wanted.caches && look::is_tagged_cache(root) {
            self.report
                .note("./CACHEDIR.TAG: the source itself is tagged as a cache: listed anyway");
        }
        self.tell_of_bands(root, &names);
        let verdict =
            if self.wanted.after.is_some() { ScanVerdict::IfBelow } else { ScanVerdict::List };
        // Nobody takes the findings any more when the listing has failed, which has the reason.
        let _ = self.descend(root, names, verdict, unread);
        Ok(())
    }

    fn descend(
        &mut self,
        root: &Arc<OpenDirectory>,
        names: DirectoryNames,
        verdict: ScanVerdict,
        unread: UnlistedReason,
    ) -> Result<(), Gone> {
        self.push(Visit::Opened { place: Arc::clone(root), verdict, unread })?;
        self.walk.enter(Arc::clone(root), Arc::new(names));
        loop {
            match self.walk.step() {
                WalkStep::Entry(at) => self.visit(at)?,
                WalkStep::Lost(dir, names, from) => {
                    for at in from..names.len() {
                        let (path, kind) = (dir.child(names.raw(at)), hint(&names, at));
                        let what = WalkedKind::Failed(path, kind, Errno::STALE.into());
                        self.know(ScanVerdict::List, what)?;
                    }
                }
                WalkStep::End => return self.flush(),
            }
        }
    }

    /// Decides about an entry of the current directory.
    fn visit(&mut self, at: usize) -> Result<(), Gone> {
        let Some((place, names)) = self.walk.here() else { return Ok(()) };
        let mut kind = names.kind(at);
        let is_leaf = !matches!(kind, FileType::Directory | FileType::Unknown);
        if is_leaf && self.wanted.after.is_none() {
            self.batch.push_name(place, names, at);
            return self.flush_full();
        }
        let (place, names) = (Arc::clone(place), Arc::clone(names));
        let path = place.path.child(names.raw(at));
        let mut above = false;
        if let Some(after) = &self.wanted.after {
            above = path == *after || path.holds(after);
            if path <= *after && (!above || is_leaf) {
                return Ok(());
            }
            if !above {
                self.wanted.after = None;
            }
        }
        let raw = if self.wanted.masks.are_some() { path.raw() } else { Vec::new() };
        if kind == FileType::Unknown {
            let masks = &self.wanted.masks;
            if masks.excludes(&raw, true) && masks.excludes(&raw, false) {
                return self.know(ScanVerdict::List, WalkedKind::Excluded(path, Kind::File));
            }
            kind = match look::stat(&place, names.name(at)) {
                Ok(stat) => FileType::from_raw_mode(stat.st_mode),
                Err(error) => {
                    let wanted = |is_dir| {
                        let judged = masks.judge(&raw, is_dir, place.selected);
                        judged.is_some_and(|(verdict, _)| verdict == ScanVerdict::List)
                    };
                    let wanted = !above && (wanted(true) || wanted(false));
                    let verdict = if wanted { ScanVerdict::List } else { ScanVerdict::IfBelow };
                    return self.know(verdict, WalkedKind::Failed(path, Kind::File, error));
                }
            };
        }
        if kind == FileType::Directory {
            self.visit_dir(&place, &names, at, path, &raw, above)
        } else if above {
            Ok(())
        } else {
            self.push_name(&place, &names, at)
        }
    }

    /// Decides about a directory: whether it is listed, and whether the walk goes there.
    fn visit_dir(
        &mut self,
        above: &Arc<OpenDirectory>,
        names: &Arc<DirectoryNames>,
        at: usize,
        path: Path,
        raw: &[u8],
        behind: bool,
    ) -> Result<(), Gone> {
        let Some((verdict, selected)) = self.wanted.masks.judge(raw, true, above.selected) else {
            return self.know(ScanVerdict::List, WalkedKind::Excluded(path, Kind::Dir));
        };
        let verdict = if behind { ScanVerdict::IfBelow } else { verdict };
        let name = names.name(at);
        let ino = names.ino(at);
        if self.wanted.own.iter().any(|own| own.is(above, name, &path, ino)) {
            self.report.verbose(format_args!("{path}: left out: it is the cache of this host"));
            return self.know(ScanVerdict::List, WalkedKind::Excluded(path, Kind::Dir));
        }
        let closed = |unread| Visit::Closed {
            above: Arc::clone(above),
            names: Arc::clone(names),
            at,
            verdict,
            unread,
        };
        // Asked first, because opening it could have something mounted there.
        if let Some(device) = self.wanted.device {
            match look::stat(above, name) {
                Ok(stat) if stat.st_dev == device => {}
                Ok(_) => return self.push(closed(UnlistedReason::ByWish)),
                Err(error) => return self.push(closed(UnlistedReason::Failed(why(&error)))),
            }
        }
        let place = match above.open(name, selected) {
            Ok(place) => place,
            Err(error) => {
                return match Errno::from_io_error(&error) {
                    Some(Errno::NOENT) => {
                        self.know(verdict, WalkedKind::Failed(path, Kind::Dir, error))
                    }
                    // It is something else by now.
                    Some(Errno::NOTDIR | Errno::LOOP) => self.push_name(above, names, at),
                    _ => self.push(closed(UnlistedReason::Failed(why(&error)))),
                };
            }
        };
        if let Some(device) = self.wanted.device
            && !rustix::fs::fstat(&place).is_ok_and(|stat| stat.st_dev == device)
        {
            return self.push(Visit::Opened { place, verdict, unread: UnlistedReason::ByWish });
        }
        let (mut inside, failed) = self.walk.read(&place);
        let mut unread =
            failed.map_or(UnlistedReason::No, |error| UnlistedReason::Failed(why(&error)));
        let tag = CACHE_TAG.to_bytes();
        if self.wanted.caches && inside.find(tag).is_some() && look::is_tagged_cache(&place) {
            unread = UnlistedReason::ByWish;
            inside.keep(tag);
        }
        self.tell_of_bands(&place, &inside);
        self.push(Visit::Opened { place: Arc::clone(&place), verdict, unread })?;
        if !inside.is_empty() {
            self.walk.enter(place, Arc::new(inside));
        }
        Ok(())
    }

    /// An archive inside of the source grows by a copy of itself with each band.
    fn tell_of_bands(&self, place: &OpenDirectory, names: &DirectoryNames) {
        let is_band = |at: &usize| {
            let raw = names.raw(*at);
            raw.get(8) == Some(&b'T')
                && std::str::from_utf8(raw).is_ok_and(|name| name.parse::<BandName>().is_ok())
                && rustix::fs::statat(
                    place,
                    [raw, b"/HEAD"].concat(),
                    rustix::fs::AtFlags::SYMLINK_NOFOLLOW,
                )
                .is_ok()
        };
        if (0..names.len()).any(|at| is_band(&at)) {
            self.report.note(format_args!(
                "{}: holds bands of an archive: listed anyway, unless --exclude leaves it out",
                place.path
            ));
        }
    }

    fn push_name(
        &mut self,
        place: &Arc<OpenDirectory>,
        names: &Arc<DirectoryNames>,
        at: usize,
    ) -> Result<(), Gone> {
        self.batch.push_name(place, names, at);
        self.flush_full()
    }

    fn know(&mut self, verdict: ScanVerdict, what: WalkedKind) -> Result<(), Gone> {
        self.push(Visit::Known(Box::new(WalkedEntry { verdict, what })))
    }

    fn push(&mut self, visit: Visit) -> Result<(), Gone> {
        self.batch.visits.push(visit);
        self.batch.entries += 1;
        self.flush_full()
    }

    fn flush_full(&mut self) -> Result<(), Gone> {
        let Batch { visits, entries } = &self.batch;
        let full = *entries >= BATCH || visits.len() >= self.most_visits;
        if full { self.flush() } else { Ok(()) }
    }

    /// Hands the batch on; fails when nobody takes the results any more.
    fn flush(&mut self) -> Result<(), Gone> {
        let Batch { visits, entries } = std::mem::take(&mut self.batch);
        let masks = Arc::clone(&self.wanted.masks);
        self.submit.submit(move || {
            let mut seen = Vec::with_capacity(entries);
            for visit in visits {
                look_at(visit, &masks, &mut seen);
            }
            seen
        })
    }
}

/// What a directory says that an entry is; a file where it does not say.
fn hint(names: &DirectoryNames, at: usize) -> Kind {
    look::kind(names.kind(at)).unwrap_or(Kind::File)
}

/// Looks at what the walk came upon.
fn look_at(visit: Visit, masks: &Masks, seen: &mut Vec<WalkedEntry>) {
    match visit {
        Visit::Known(known) => seen.push(*known),
        Visit::Opened { place, verdict, unread } => {
            let what = match look::look_at_open(&place) {
                Ok(looked) => WalkedKind::Entry(looked, unread),
                Err(error) => WalkedKind::Failed(place.path.clone(), Kind::Dir, error),
            };
            seen.push(WalkedEntry { verdict, what });
        }
        Visit::Closed { above, names, at, verdict, unread } => {
            let path = || above.path.child(names.raw(at));
            let what = match Looker::new(&above).look(names.name(at)) {
                Ok(Some(looked)) if looked.entry.kind == Kind::Dir => {
                    WalkedKind::Entry(looked, unread)
                }
                Ok(Some(looked)) => WalkedKind::Entry(looked, UnlistedReason::No),
                Ok(None) => WalkedKind::Socket(path()),
                Err(error) => WalkedKind::Failed(path(), Kind::Dir, error),
            };
            seen.push(WalkedEntry { verdict, what });
        }
        Visit::Names { place, names, range } => {
            let looker = Looker::new(&place);
            let mut raw = if masks.are_some() { place.path.raw() } else { Vec::new() };
            if !raw.is_empty() {
                raw.push(b'/');
            }
            let dir = raw.len();
            for at in range {
                if masks.are_some() {
                    raw.truncate(dir);
                    raw.extend_from_slice(names.raw(at));
                }
                let path = || place.path.child(names.raw(at));
                let what = match masks.judge(&raw, false, place.selected) {
                    None => WalkedKind::Excluded(path(), hint(&names, at)),
                    Some((ScanVerdict::IfBelow, _)) => continue,
                    Some(_) => match looker.look(names.name(at)) {
                        Ok(Some(looked)) => {
                            let unread = unseen(looked.entry.kind);
                            WalkedKind::Entry(looked, unread)
                        }
                        Ok(None) => WalkedKind::Socket(path()),
                        Err(error) => WalkedKind::Failed(path(), hint(&names, at), error),
                    },
                };
                seen.push(WalkedEntry { verdict: ScanVerdict::List, what });
            }
        }
    }
}

/// Of what was no directory when the walk passed it, and is one now, nobody knows what is in it.
fn unseen(kind: Kind) -> UnlistedReason {
    match kind {
        Kind::Dir => UnlistedReason::Failed("became a directory during the scan".to_owned()),
        _ => UnlistedReason::No,
    }
}
