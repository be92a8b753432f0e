//! A scan's listing against the version below it: what a new band must record.
//!
//! Call order: [`Diff::handle_header`] for the scan's header lines, then [`Diff::poll`] until it
//! gives none; when it gives [`Effect::WantScan`], answer with one [`Diff::handle_scan`] or
//! [`Diff::handle_scan_end`], and [`Effect::WantVersion`] with one [`Diff::handle_version`],
//! [`Diff::handle_orphan`] or [`Diff::handle_version_end`]; then [`Diff::finish`]. Both streams are
//! in canonical order, and so is what comes out. Memory is an entry of each stream, the directories
//! above the current path, and the inodes with several links that the band records.
//!
//! 1. What is new, changed or deleted is recorded, and before it the directories above it.
//! 2. Of what is deleted only the topmost path is recorded; below what is excluded, unreadable or
//!    unread, nothing is, nor anything that a mask leaves out.
//! 3. Between a directory and anything else the new entry is `over`.
//! 4. A hard link is recorded if it names another path than before, or one that the band records.
//! 5. A continuation records nothing at or before the path that it continues from, and nothing
//!    below what the version so far does not have as a directory. A hard link to what could not be
//!    recorded so becomes a file of its own. What it does not record though it differs is counted:
//!    the band does not have it as it is now.

mod change;
mod distrust;
mod limit;
mod links;
mod opening;
mod unended;

use std::cmp::Ordering;
use std::collections::VecDeque;

pub use self::change::{EntryChange, compare};
use self::change::{is_as_recorded, is_same_file, may_keep_content};
pub use self::distrust::{Distrust, NoFinding};
pub use self::limit::{Deletions, MaxChanged, MaxDeleted};
use self::links::OpenLinks;
pub use self::opening::{Continuation, Opening, count};
use self::unended::is_unchanged;
use super::merge::Placed;
use super::merge::nest::Nest;
use crate::format::entry::{Entry, EntryState, Kind, Reference};
use crate::format::listing::{End, Have, Header};
use crate::format::path::Path;

/// What the machine needs to know before it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiffConfig {
    /// Tier of the band that is written.
    pub tier: u8,
    /// The band records everything, and the version (of the band that would else be the parent)
    /// only shows what it drops.
    pub full: bool,
    /// The first file to be recorded of so many bytes or more is passed over: two runs began to
    /// store it and did not come to its end. It must not hold up the rest.
    pub pass_over: Option<u64>,
    /// The last path of the last counted index of the band that is continued. The version's newest
    /// tier is then this band itself.
    pub after: Option<Path>,
}

/// What the machine asks for or gives.
// A record is moved through here once and hardly ever queued, so a box for it would only cost.
#[allow(clippy::large_enum_variant)]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// The next line of the scan is wanted, or its end.
    WantScan,
    /// The next entry of the version is wanted, or its end.
    WantVersion,
    /// The band records this line. With `in:`, its content is to be read, and it stays in that
    /// block if the digest is the line's.
    Record(Entry),
    /// The version so far does not have this path as a directory, so nothing below it is recorded;
    /// the next band does that.
    LeftOut(Path),
    /// This file is passed over: see [`DiffConfig::pass_over`].
    PassedOver(Path),
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DiffSummary {
    /// For the `#end` line: the lines recorded, and the scan's other counts.
    pub end: End,
    /// Paths that the version does not have.
    pub new: u64,
    /// Paths that it has otherwise, those of `touched` among them.
    pub changed: u64,
    /// Files of which probably only time, mode or owner changed.
    pub touched: u64,
    /// Topmost paths that are gone.
    pub deleted: u64,
    /// Unchanged directories recorded for what is in them.
    pub above: u64,
    /// Entries that a continuation left out.
    pub left_out: u64,
    /// Names of the file that was passed over.
    pub passed_over: u64,
    /// Entries that the band has not as they are now, because they stand before the path that it is
    /// continued from, or below what was left out.
    pub behind: u64,
    /// Entries of the version that the scan no longer has, before the path that the band is
    /// continued from.
    pub gone_before: u64,
    /// Entries of the scan that the version does not have, before that path.
    pub new_before: u64,
    /// What of the version goes, for `--max-deleted`.
    pub deletions: Deletions,
    /// What the new version holds; none if a mask kept the old one from being read.
    pub tree: Option<Have>,
    /// Entries of the version that a full band drops though they may still be there: excluded,
    /// unreadable, or below what is unread.
    pub dropped: u64,
}

/// The scan's listing did not come to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the scan's listing was not read to its end")]
pub struct Unfinished;

/// What the version has below a path, when the scan says nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum VersionBelow {
    /// It goes, with what is recorded at the path.
    Gone,
    /// It stays, because the scan did not look; a full band drops it.
    Kept,
}

/// The version's next entry.
#[derive(Debug)]
struct VersionNext {
    placed: Placed,
    /// The version does not have its directory, so nobody sees it; but it would come back with the
    /// directory.
    orphan: bool,
}

/// The machine.
#[derive(Debug)]
pub struct Diff {
    config: DiffConfig,
    partial: bool,
    scan: Option<Entry>,
    scan_end: Option<End>,
    version: Option<VersionNext>,
    version_ended: bool,
    /// Whether the streams stand at or before the path that the band is continued from.
    past: bool,
    /// A path of the scan with nothing below it there, and what this means for what the version has
    /// below it.
    below: Option<(Path, VersionBelow)>,
    /// A directory that the scan has not read, or not to its end: what the version has below it
    /// stays, but for what the scan says.
    unread: Option<Path>,
    /// A directory of the scan that the version so far does not have as one; and whether that was
    /// told.
    left_out: Option<(Path, bool)>,
    /// A path of the version that the scan no longer has, before the point that the band is
    /// continued from.
    gone_before: Option<Path>,
    /// The file that was passed over.
    passed_over: Option<Path>,
    tree: Have,
    /// Unchanged directories above the current path, not recorded unless something below them is.
    held: Vec<Entry>,
    /// The scan's directories above the current path that the version has or gets.
    dirs: Nest<()>,
    links: OpenLinks,
    distrust: Distrust,
    out: VecDeque<Effect>,
    summary: DiffSummary,
}

impl Diff {
    /// A machine at the start of both streams.
    pub fn new(config: DiffConfig) -> Diff {
        Diff {
            past: config.after.is_some(),
            config,
            partial: false,
            scan: None,
            scan_end: None,
            version: None,
            version_ended: false,
            below: None,
            unread: None,
            left_out: None,
            gone_before: None,
            passed_over: None,
            tree: Have::default(),
            held: Vec::new(),
            dirs: Nest::new(),
            links: OpenLinks::default(),
            distrust: Distrust::default(),
            out: VecDeque::new(),
            summary: DiffSummary::default(),
        }
    }

    /// What is stored anew although it did not change, if it is said before the entry comes.
    pub fn distrust(&mut self) -> &mut Distrust {
        &mut self.distrust
    }

    /// A header line of the scan; it must come before the first entry. Only `#partial` means
    /// anything here.
    pub fn handle_header(&mut self, header: &Header) {
        self.partial |= *header == Header::Partial;
    }

    /// The next line of the scan.
    pub fn handle_scan(&mut self, entry: Entry) {
        // No scan writes `deleted`; absence says the same.
        if entry.state != EntryState::Deleted {
            self.scan = Some(entry);
        }
    }

    /// The scan's `#end` line came, and nothing after it.
    pub fn handle_scan_end(&mut self, end: End) {
        self.scan_end = Some(end);
    }

    /// The next entry of the version.
    pub fn handle_version(&mut self, placed: Placed) {
        self.version = Some(VersionNext { placed, orphan: false });
    }

    /// The version's next line, whose directory the version does not have. The scan's line is
    /// recorded in any case; if there is none, the path is deleted, so that it does not come back
    /// with its directory.
    pub fn handle_orphan(&mut self, placed: Placed) {
        self.version = Some(VersionNext { placed, orphan: true });
    }

    /// The version has no more entries.
    pub fn handle_version_end(&mut self) {
        self.version_ended = true;
    }

    /// What comes next; none when both streams have ended and everything was given.
    pub fn poll(&mut self) -> Option<Effect> {
        loop {
            if let Some(effect) = self.out.pop_front() {
                return Some(effect);
            }
            if self.scan.is_none() && self.scan_end.is_none() {
                return Some(Effect::WantScan);
            }
            // A mask's absence means nothing, so the rest of the version need not be read.
            if self.partial && self.scan.is_none() {
                return None;
            }
            if self.version.is_none() && !self.version_ended {
                return Some(Effect::WantVersion);
            }
            self.step()?;
        }
    }

    /// The counts, once [`Diff::poll`] gave none.
    ///
    /// # Errors
    /// If the listing has not come to its end.
    pub fn finish(self) -> Result<DiffSummary, Unfinished> {
        let scan = self.scan_end.ok_or(Unfinished)?;
        let end = End {
            entries: self.summary.end.entries,
            unreadable: scan.unreadable + self.summary.passed_over,
            ..scan
        };
        let is_read = self.version_ended || self.config.full;
        let behind = self.summary.behind + self.summary.left_out;
        Ok(DiffSummary { end, behind, tree: is_read.then_some(self.tree), ..self.summary })
    }

    /// Takes what stands first in order, from one stream or from both; none at the end of both.
    fn step(&mut self) -> Option<()> {
        let order = match (&self.scan, &self.version) {
            (Some(scan), Some(known)) => scan.path.cmp(&known.placed.entry.path),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => return None,
        };
        let scan = if order == Ordering::Greater { None } else { self.scan.take() };
        let known = if order == Ordering::Less { None } else { self.version.take() };
        if self.past {
            let path = scan
                .as_ref()
                .map(|scan| &scan.path)
                .or(known.as_ref().map(|known| &known.placed.entry.path));
            self.past = path <= self.config.after.as_ref();
        }
        let is_known = known.as_ref().is_some_and(|known| !known.orphan);
        self.summary.deletions.of += u64::from(is_known);
        match (scan, known) {
            (Some(scan), known) if self.past => self.pass_by(scan, known),
            (Some(scan), known) => self.look_at(scan, known),
            (None, Some(known)) if !self.past => self.miss(known),
            (None, Some(known)) => self.miss_before(known),
            (None, None) => {}
        }
        Some(())
    }

    /// A path of the scan behind the point that the band is continued from.
    fn look_at(&mut self, mut scan: Entry, known: Option<VersionNext>) {
        if self.is_left_out(&scan) {
            return self.keep(known.as_ref());
        }
        if scan.meta().is_none() {
            self.keep(known.as_ref());
            self.summary.dropped += u64::from(self.config.full && known.is_some());
            self.below = Some((scan.path, VersionBelow::Kept));
            return;
        }
        scan.over = false;
        scan.forget_place();
        if let Some(first) = self.links.redirect(&mut scan) {
            self.links.stand_in(first, &scan.path);
        }
        let follows = self.links.follows_recorded(&scan);
        if scan.kind == Kind::Dir {
            self.dirs.leave(scan.path.as_bytes());
            self.dirs.enter(scan.path.as_bytes(), ());
            self.note_unread(&scan);
        }
        if self.is_passed_over(&scan)
            && !known.as_ref().is_some_and(|known| is_unchanged(&scan, known))
        {
            return self.pass_over(scan, known.as_ref());
        }
        self.summary.deletions.new += u64::from(known.is_none());
        let Some(known) = known.filter(|_| !self.config.full) else {
            self.summary.new += 1;
            return self.record_present(scan);
        };
        let version = &known.placed;
        let change = match compare(&scan, &version.entry) {
            // A name whose content lies under the first name that it lost is stored anew once it is
            // seen, so that no line ever needs to name it as it was before.
            _ if version.outlives_first_name() || self.distrust.concerns(version) => {
                EntryChange::More
            }
            // Its line is found again when its directory is, but until then nobody sees it.
            EntryChange::Nothing if known.orphan => EntryChange::Touched,
            change => change,
        };
        if change == EntryChange::Nothing && !follows {
            count(&mut self.tree, &scan);
            if scan.kind == Kind::Dir {
                self.hold(scan);
            }
            return;
        }
        self.summary.changed += 1;
        scan.over = (scan.kind == Kind::Dir) != (version.entry.kind == Kind::Dir);
        if scan.over {
            self.below = Some((scan.path.clone(), VersionBelow::Gone));
        }
        let older = version.data().tier < self.config.tier;
        if change == EntryChange::Touched && older && may_keep_content(&scan, &version.entry) {
            self.summary.touched += 1;
            (scan.sha256, scan.body) = (version.entry.sha256, version.entry.body);
            (scan.within, scan.deltas) = (Some(version.data()), version.entry.deltas);
            scan.reference = version.under.clone().map(Reference::under);
        }
        self.record_present(scan);
    }

    /// A path that only the version has.
    fn miss(&mut self, known: VersionNext) {
        let entry = known.placed.entry;
        if let Some((path, below)) = &self.below {
            if path.holds(&entry.path) {
                match below {
                    VersionBelow::Kept if !self.config.full && !known.orphan => {
                        count(&mut self.tree, &entry)
                    }
                    VersionBelow::Gone => self.summary.deletions.gone += u64::from(!known.orphan),
                    VersionBelow::Kept => {}
                }
                self.summary.dropped += u64::from(self.config.full && *below == VersionBelow::Kept);
                return;
            }
            self.below = None;
        }
        if self.unread.as_ref().is_some_and(|dir| dir.holds(&entry.path)) {
            if !self.config.full && !known.orphan {
                count(&mut self.tree, &entry);
            }
            self.summary.dropped += u64::from(self.config.full);
            return;
        }
        // An orphan can be told as deleted only where its directory is there again.
        let reachable = !known.orphan || self.dirs.has_parent_of(entry.path.as_bytes());
        if self.partial || !reachable {
            if !known.orphan && !self.config.full {
                count(&mut self.tree, &entry);
            }
            return;
        }
        self.summary.deletions.gone += u64::from(!known.orphan);
        if self.config.full {
            return;
        }
        self.summary.deleted += 1;
        self.below = Some((entry.path.clone(), VersionBelow::Gone));
        self.record(Entry::new(entry.path, entry.kind, EntryState::Deleted));
    }

    /// What the version has at the path stays in the new one.
    fn keep(&mut self, known: Option<&VersionNext>) {
        if let Some(known) = known.filter(|known| !known.orphan && !self.config.full) {
            count(&mut self.tree, &known.placed.entry);
        }
    }

    /// A path that only the version has, before the point that the band is continued from.
    fn miss_before(&mut self, known: VersionNext) {
        self.keep(Some(&known));
        let path = &known.placed.entry.path;
        let is_below = |above: &Path| above.holds(path);
        let is_kept = self.below.as_ref().is_some_and(|(above, _)| is_below(above))
            || self.unread.as_ref().is_some_and(is_below);
        if self.partial || known.orphan || is_kept {
            return;
        }
        // It stays, but a run that misses half of the source must not complete the band.
        self.summary.deletions.gone += 1;
        self.summary.gone_before += 1;
        if !self.gone_before.as_ref().is_some_and(is_below) {
            self.summary.behind += 1;
            self.gone_before = Some(path.clone());
        }
    }

    /// A path of the scan that the band which is continued has behind it: nothing is recorded, but
    /// what follows may depend on it.
    fn pass_by(&mut self, mut scan: Entry, known: Option<VersionNext>) {
        self.keep(known.as_ref());
        let version = known.filter(|known| !known.orphan).map(|known| known.placed);
        if scan.meta().is_some() {
            let is_recorded =
                version.as_ref().is_some_and(|version| is_as_recorded(&scan, &version.entry));
            self.summary.behind += u64::from(!is_recorded);
            self.summary.deletions.new += u64::from(version.is_none());
            self.summary.new_before += u64::from(version.is_none());
        }
        if scan.meta().is_none() {
            self.below = Some((scan.path, VersionBelow::Kept));
            return;
        }
        if scan.kind == Kind::Dir {
            self.note_unread(&scan);
            if version.is_some_and(|version| version.entry.kind == Kind::Dir) {
                self.dirs.leave(scan.path.as_bytes());
                self.dirs.enter(scan.path.as_bytes(), ());
            } else if !self.left_out.as_ref().is_some_and(|(path, _)| path.holds(&scan.path)) {
                self.left_out = Some((scan.path, false));
            }
            return;
        }
        let first = self.links.redirect(&mut scan);
        self.links.follows_recorded(&scan);
        let stays = |it: &Placed| !it.outlives_first_name() && is_same_file(&scan, &it.entry);
        match version {
            Some(version) if stays(&version) => {
                if version.at.tier == self.config.tier {
                    self.links.recorded(&scan);
                }
                if let Some(first) = first {
                    self.links.stand_in(first, &scan.path);
                }
            }
            _ if first.is_none() => self.links.lost(&scan),
            _ => {}
        }
    }

    /// Notes a directory of the scan that was not read.
    fn note_unread(&mut self, dir: &Entry) {
        if dir.unread && !self.unread.as_ref().is_some_and(|known| known.holds(&dir.path)) {
            self.unread = Some(dir.path.clone());
        }
    }

    /// Whether the entry lies below a path that the version so far does not have as a directory.
    fn is_left_out(&mut self, scan: &Entry) -> bool {
        match &mut self.left_out {
            Some((path, told)) if path.holds(&scan.path) => {
                if scan.meta().is_some() {
                    self.summary.left_out += 1;
                    if !std::mem::replace(told, true) {
                        self.out.push_back(Effect::LeftOut(path.clone()));
                    }
                }
                self.links.lost(scan);
                true
            }
            left_out => {
                *left_out = None;
                false
            }
        }
    }

    /// Keeps an unchanged directory for what may come below it.
    fn hold(&mut self, dir: Entry) {
        self.release(&dir.path);
        self.held.push(dir);
    }

    /// Lets go of the directories that `path` does not lie in.
    fn release(&mut self, path: &Path) {
        while self.held.last().is_some_and(|dir| !dir.path.holds(path)) {
            self.held.pop();
        }
    }

    fn record_present(&mut self, entry: Entry) {
        count(&mut self.tree, &entry);
        // Without a version to come, all other names are recorded anyway.
        let all_is_new = self.config.full || (self.version_ended && self.version.is_none());
        if !all_is_new {
            self.links.recorded(&entry);
        }
        self.record(entry);
    }

    fn record(&mut self, entry: Entry) {
        self.release(&entry.path);
        self.summary.above += self.held.len() as u64;
        self.summary.end.entries += self.held.len() as u64 + 1;
        self.out.extend(self.held.drain(..).map(Effect::Record));
        self.out.push_back(Effect::Record(entry));
    }
}

#[cfg(test)]
mod tests;
