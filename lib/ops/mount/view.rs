//! What the mounted directory shows: names, attributes and content by inode, without the kernel.

use std::collections::{HashMap, HashSet};
use std::fmt::Display;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use super::table::{TableRow, VersionTable};
use super::versions::{MountedVersion, MountedVersions};
use crate::archive::contents::{ContentShelf, OpenContent, has_content};
use crate::archive::locked::locked;
use crate::core::mount::inodes::InodePlace;
use crate::core::mount::layout::FileLayout;
use crate::format::acl;
use crate::format::entry::{Entry, Kind};
use crate::format::time::Time;
use crate::report::message::{Report, chain};

/// Messages that are kept, to say each once.
const TOLD: usize = 10_000;

/// Open files whose content stays open, too.
const KEPT_OPEN: usize = 64;

/// In units of so many bytes files take room.
const UNIT: u64 = 512;

/// The smallest hole that a file can have, on most file systems.
const HOLE: u32 = 4096;

/// Why something is not to be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// There is no such name.
    NoEntry,
    /// It is something else than was asked for.
    Invalid,
    /// It has no such attribute.
    NoAttribute,
    /// There is nothing behind this place.
    NoMore,
    /// It is damaged, lost, or cannot be read now; that was told.
    Failed,
}

/// What an inode is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct InodeLook {
    pub place: InodePlace,
    pub kind: Kind,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub size: u64,
    /// In units of 512 bytes.
    pub blocks: u64,
    pub time: Time,
    pub ctime: Time,
    pub nlink: u32,
    pub device: Option<(u32, u32)>,
    /// Whether it never changes: the names of versions do.
    pub is_lasting: bool,
}

/// A name in a directory.
pub(super) struct NamedEntry {
    pub name: Vec<u8>,
    pub place: InodePlace,
    pub kind: Kind,
    /// What it is, unless that costs more than its line.
    pub look: Option<InodeLook>,
    /// Where to go on behind it.
    pub next: u64,
}

/// A file that is open.
pub(super) struct MountedFile {
    version: Arc<MountedVersion>,
    row: TableRow,
    content: Mutex<Option<Arc<OpenContent>>>,
}

/// The view.
pub(super) struct MountView {
    versions: MountedVersions,
    shelf: ContentShelf,
    /// Who gets everything, if not the owners that the entries have.
    owner: Option<(u32, u32)>,
    /// Who owns what is in no version, and the time of it.
    user: (u32, u32),
    since: Time,
    files: Mutex<HashMap<u64, Arc<MountedFile>>>,
    last_file: AtomicU64,
    told: Mutex<HashSet<String>>,
    report: Arc<Report>,
}

type Answer<T> = Result<T, Refusal>;

impl MountView {
    /// The view of these versions. Their owners are shown as `user`, if `as_own` says so.
    pub(super) fn new(
        versions: MountedVersions,
        user: (u32, u32),
        as_own: bool,
        since: Time,
        report: &Arc<Report>,
    ) -> MountView {
        MountView {
            versions,
            shelf: ContentShelf::new(),
            owner: as_own.then_some(user),
            user,
            since,
            files: Mutex::default(),
            last_file: AtomicU64::new(0),
            told: Mutex::default(),
            report: Arc::clone(report),
        }
    }

    /// Says once why something failed.
    fn fail(&self, what: impl Display, why: impl Display) -> Refusal {
        let text = format!("{what}: {why}");
        let mut told = locked(&self.told);
        if told.len() < TOLD && told.insert(text.clone()) {
            self.report.warn(text);
        }
        Refusal::Failed
    }

    fn version(&self, tree: u32) -> Answer<Arc<MountedVersion>> {
        self.versions.get(tree as usize / 2).ok_or(Refusal::NoEntry)
    }

    fn table(&self, version: &MountedVersion) -> Answer<Arc<VersionTable>> {
        version.table().map_err(|error| self.fail(&version.name, chain(&error)))
    }

    fn row(&self, version: &MountedVersion, ordinal: u32) -> Answer<TableRow> {
        let row = match ordinal {
            0 => version.root().map(Some),
            _ => self.table(version)?.row(ordinal),
        };
        let row = row.map_err(|error| self.fail(&version.name, chain(&error)))?;
        row.ok_or(Refusal::NoEntry)
    }

    /// What an entry is; of a hard link what its first name is.
    fn look(&self, version: &MountedVersion, tree: u32, ordinal: u32) -> Answer<InodeLook> {
        let mut row = self.row(version, ordinal)?;
        if row.inode != ordinal {
            row = self.row(version, row.inode)?;
        }
        self.look_of(tree, &row)
    }

    /// The same, of a row that is at hand.
    fn look_of(&self, tree: u32, row: &TableRow) -> Answer<InodeLook> {
        let entry = &row.placed.entry;
        let meta = entry.meta().ok_or(Refusal::NoEntry)?;
        let size = match (entry.kind, &entry.link) {
            (Kind::File, _) => entry.size.unwrap_or(0).min(i64::MAX as u64),
            (Kind::Link, Some(target)) => target.len() as u64,
            _ => 0,
        };
        let blocks = match entry.kind {
            // How much data it has, only its block says.
            Kind::File if entry.body.is_some() => 8,
            // Programs that keep holes look for them in what takes less room than its size.
            Kind::File if size > u64::from(HOLE) => size.div_ceil(UNIT) - 2,
            Kind::File => size.div_ceil(UNIT),
            _ => 0,
        };
        // One link tells programs that it says nothing about directories in it.
        let nlink = if entry.kind == Kind::Dir { 1 } else { entry.nlink.unwrap_or(1) };
        let (uid, gid) = self.owner.unwrap_or((meta.uid, meta.gid));
        Ok(InodeLook {
            place: InodePlace::Entry { tree, ordinal: row.inode },
            kind: entry.kind,
            mode: meta.mode,
            uid,
            gid,
            size,
            blocks,
            time: meta.time,
            ctime: entry.ctime.unwrap_or(meta.time),
            nlink: u32::try_from(nlink).unwrap_or(u32::MAX),
            device: entry.device,
            is_lasting: true,
        })
    }

    /// A directory that is in no version.
    fn own(&self, place: InodePlace) -> InodeLook {
        InodeLook {
            place,
            kind: Kind::Dir,
            mode: 0o555,
            uid: self.user.0,
            gid: self.user.1,
            size: 0,
            blocks: 0,
            time: self.since,
            ctime: self.since,
            nlink: 1,
            device: None,
            is_lasting: false,
        }
    }

    /// A version's root. That its name stands for it may change.
    fn root(&self, number: usize, is_latest: bool) -> Answer<InodeLook> {
        let tree = number as u32 * 2 + u32::from(is_latest);
        let version = self.version(tree)?;
        Ok(InodeLook { is_lasting: false, ..self.look(&version, tree, 0)? })
    }

    fn newest(&self) -> Answer<Option<usize>> {
        let latest = self.versions.latest();
        let latest = latest.map_err(|error| self.fail("latest", chain(&error)))?;
        Ok(latest.map(|(number, _)| number))
    }

    /// The entry with this name in a directory.
    pub(super) fn lookup(&self, dir: InodePlace, name: &[u8]) -> Answer<InodeLook> {
        match dir {
            InodePlace::Top => match name {
                b"by-time" => Ok(self.own(InodePlace::ByTime)),
                b"latest" => self.root(self.newest()?.ok_or(Refusal::NoEntry)?, true),
                _ => Err(Refusal::NoEntry),
            },
            InodePlace::ByTime => {
                let named = self.versions.named(name);
                let named = named.map_err(|error| self.fail("by-time", chain(&error)))?;
                self.root(named.ok_or(Refusal::NoEntry)?, false)
            }
            InodePlace::Entry { tree, ordinal } => {
                let version = self.version(tree)?;
                let table = self.table(&version)?;
                let found = table.find(ordinal, name);
                let found = found.map_err(|error| self.fail(&version.name, chain(&error)))?;
                match found {
                    Some(found) => self.look(&version, tree, found),
                    None if table.tree.is_doubtful(ordinal) => {
                        Err(self.fail_in(&version, &self.row(&version, ordinal)?))
                    }
                    None => Err(Refusal::NoEntry),
                }
            }
        }
    }

    /// An index is lost that may say more of a directory.
    fn fail_in(&self, version: &MountedVersion, row: &TableRow) -> Refusal {
        let path = &row.placed.entry.path;
        let what = format_args!("{}: {path}", version.name).to_string();
        self.fail(what, "an index is lost or damaged, so not all that is in it is known")
    }

    /// What an inode is.
    pub(super) fn attributes(&self, place: InodePlace) -> Answer<InodeLook> {
        match place {
            InodePlace::Top | InodePlace::ByTime => Ok(self.own(place)),
            InodePlace::Entry { tree, ordinal } => self.look(&*self.version(tree)?, tree, ordinal),
        }
    }

    /// The target of a symbolic link.
    pub(super) fn target(&self, place: InodePlace) -> Answer<Vec<u8>> {
        let InodePlace::Entry { tree, ordinal } = place else { return Err(Refusal::Invalid) };
        let row = self.row(&*self.version(tree)?, ordinal)?;
        row.placed.entry.link.ok_or(Refusal::Invalid)
    }

    /// Gives the names in a directory from `from` on, which is 0 or the `next` of a name, until
    /// `take` says that there is no more room. `plus` if what they are is wanted, too.
    pub(super) fn names(
        &self,
        place: InodePlace,
        from: u64,
        plus: bool,
        take: &mut dyn FnMut(NamedEntry) -> bool,
    ) -> Answer<()> {
        for (at, name) in [(0, &b"."[..]), (1, b"..")] {
            let (name, kind, next) = (name.to_vec(), Kind::Dir, at + 1);
            if from <= at && !take(NamedEntry { name, place, kind, look: None, next }) {
                return Ok(());
            }
        }
        let at = from.saturating_sub(2);
        match place {
            InodePlace::Top => self.top_names(at, take),
            InodePlace::ByTime => self.version_names(at, take),
            InodePlace::Entry { tree, ordinal } => {
                let version = self.version(tree)?;
                let table = self.table(&version)?;
                let children = table.tree.children(ordinal);
                let rest = children.get(at as usize..).unwrap_or_default();
                for (at, child) in (at..).zip(rest) {
                    let row = self.row(&version, *child)?;
                    let path = row.placed.entry.path.raw();
                    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
                    let (place, kind) =
                        (InodePlace::Entry { tree, ordinal: row.inode }, row.placed.entry.kind);
                    let look = match row.inode == *child {
                        _ if !plus => None,
                        true => Some(self.look_of(tree, &row)?),
                        false => Some(self.look(&version, tree, row.inode)?),
                    };
                    let name = name.to_vec();
                    if !take(NamedEntry { name, place, kind, look, next: at + 3 }) {
                        return Ok(());
                    }
                }
                // What there is was given: whoever asks for more learns that it is not all.
                if rest.is_empty() && table.tree.is_doubtful(ordinal) {
                    return Err(self.fail_in(&version, &self.row(&version, ordinal)?));
                }
                Ok(())
            }
        }
    }

    fn top_names(&self, at: u64, take: &mut dyn FnMut(NamedEntry) -> bool) -> Answer<()> {
        let by_time = (0, b"by-time".to_vec(), InodePlace::ByTime);
        let latest = self.newest()?.map(|number| {
            let place = InodePlace::Entry { tree: number as u32 * 2 + 1, ordinal: 0 };
            (1, b"latest".to_vec(), place)
        });
        for (number, name, place) in [Some(by_time), latest].into_iter().flatten() {
            let entry = NamedEntry { name, place, kind: Kind::Dir, look: None, next: number + 3 };
            if number >= at && !take(entry) {
                return Ok(());
            }
        }
        Ok(())
    }

    /// A version has the same place in the list as long as the mount is there.
    fn version_names(&self, at: u64, take: &mut dyn FnMut(NamedEntry) -> bool) -> Answer<()> {
        let all = self.versions.list();
        for (number, version) in all.map_err(|error| self.fail("by-time", chain(&error)))? {
            let place = InodePlace::Entry { tree: number as u32 * 2, ordinal: 0 };
            let (name, next) = (version.name.as_bytes().to_vec(), number as u64 + 3);
            let entry = NamedEntry { name, place, kind: Kind::Dir, look: None, next };
            if number as u64 >= at && !take(entry) {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Opens a file; gives a number for [`MountView::read`].
    pub(super) fn open(&self, place: InodePlace) -> Answer<u64> {
        let InodePlace::Entry { tree, ordinal } = place else { return Err(Refusal::Invalid) };
        let version = self.version(tree)?;
        let row = self.row(&version, ordinal)?;
        let Entry { path, kind, hard, .. } = &row.placed.entry;
        if *kind != Kind::File {
            return Err(Refusal::Invalid);
        }
        let what = format!("{}: {path}", version.name);
        if self.table(&version)?.tree.is_doubtful(ordinal) {
            let why = "an index of a newer band is lost or damaged, so it may have changed";
            return Err(self.fail(what, why));
        }
        if let Some(first) = hard {
            let why =
                format_args!("it is a hard link to {first}, which this version does not have");
            return Err(self.fail(what, why));
        }
        let file = Arc::new(MountedFile { version, row, content: Mutex::default() });
        let number = self.last_file.fetch_add(1, Ordering::Relaxed) + 1;
        locked(&self.files).insert(number, file);
        Ok(number)
    }

    /// Closes a file.
    pub(super) fn close(&self, number: u64) {
        locked(&self.files).remove(&number);
    }

    fn content(&self, number: u64) -> Answer<(Arc<MountedFile>, Option<Arc<OpenContent>>)> {
        let (file, count) = {
            let files = locked(&self.files);
            (Arc::clone(files.get(&number).ok_or(Refusal::Invalid)?), files.len())
        };
        if !has_content(&file.row.placed.entry) {
            return Ok((file, None));
        }
        let mut content = locked(&file.content);
        let found = match &*content {
            Some(found) => Arc::clone(found),
            None => {
                let source = file.version.source(&self.shelf);
                let source = source.map_err(|error| self.fail_file(&file, chain(&error)))?;
                // What cannot be looked ahead at is told when it is read.
                let _ = file.version.read_ahead(&file.row, &self.shelf);
                let opened = self.shelf.open(&source, &file.row.placed);
                let opened = Arc::new(opened.map_err(|why| self.fail_file(&file, why))?);
                if count <= KEPT_OPEN {
                    *content = Some(Arc::clone(&opened));
                }
                opened
            }
        };
        drop(content);
        Ok((file, Some(found)))
    }

    fn fail_file(&self, file: &MountedFile, why: impl Display) -> Refusal {
        self.fail(format_args!("{}: {}", file.version.name, file.row.placed.entry.path), why)
    }

    /// Bytes of an open file, as many as are wanted, or as it has.
    pub(super) fn read(&self, number: u64, place: u64, most: u32) -> Answer<Vec<u8>> {
        let (file, content) = self.content(number)?;
        let Some(content) = content else { return Ok(Vec::new()) };
        let size = file.row.placed.entry.size.unwrap_or(0);
        let mut bytes = vec![0; size.saturating_sub(place).min(most.into()) as usize];
        content.read(place, &mut bytes).map_err(|why| {
            // What was open may be lost for good, or only now.
            *locked(&file.content) = None;
            self.fail_file(&file, why)
        })?;
        Ok(bytes)
    }

    /// Where an open file has data, or a hole, at or behind this place.
    pub(super) fn seek(&self, number: u64, place: u64, to_data: bool) -> Answer<u64> {
        let (file, content) = self.content(number)?;
        let size = file.row.placed.entry.size.unwrap_or(0);
        if place >= size {
            return Err(Refusal::NoMore);
        }
        let layout = match content {
            None => Arc::new(FileLayout::dense(size)),
            Some(content) => content.layout().map_err(|why| self.fail_file(&file, why))?,
        };
        match to_data {
            true => layout.next_data(place).ok_or(Refusal::NoMore),
            false => Ok(layout.next_hole(place)),
        }
    }

    /// The extended attributes of an inode, with ACLs in the kernel's form.
    pub(super) fn xattrs(&self, place: InodePlace) -> Answer<Vec<(Vec<u8>, Vec<u8>)>> {
        let InodePlace::Entry { tree, ordinal } = place else { return Ok(Vec::new()) };
        let version = self.version(tree)?;
        let row = self.row(&version, ordinal)?;
        if !row.placed.entry.x {
            return Ok(Vec::new());
        }
        let what = format_args!("{}: {}", version.name, row.placed.entry.path).to_string();
        let source = version.source(&self.shelf);
        let source = source.map_err(|error| self.fail(&what, chain(&error)))?;
        let extras = self.shelf.extras(&source, &row.placed);
        let extras = extras.map_err(|why| self.fail(&what, why))?;
        let mut all = extras.xattrs;
        for (name, text) in [(acl::ACCESS, extras.acl_access), (acl::DEFAULT, extras.acl_default)] {
            if let Some(value) = text.and_then(|text| acl::from_text(&text)) {
                all.push((name.to_vec(), value));
            }
        }
        Ok(all)
    }

    /// One of them.
    pub(super) fn xattr(&self, place: InodePlace, name: &[u8]) -> Answer<Vec<u8>> {
        let found = self.xattrs(place)?.into_iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value).ok_or(Refusal::NoAttribute)
    }
}
