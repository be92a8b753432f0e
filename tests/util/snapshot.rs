//! All that can be known of a tree, and the differences between two of them.
//!
//! Paths are bytes. A difference is one line of text, for people.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use rustix::fs::SeekFrom;
use sha2::{Digest, Sha256};

/// One entry of a tree.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    /// `-`, `d`, `l`, `p`, `c`, `b` or `s`.
    pub(crate) kind: char,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mtime: (i64, i64),
    pub(crate) size: u64,
    /// Of files: a digest of what is in it; `None` where it could not be read.
    pub(crate) content: Option<String>,
    pub(crate) link: Option<Vec<u8>>,
    pub(crate) device: u64,
    /// With the access and default ACLs, which are `system.` attributes.
    pub(crate) xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Bytes that the file system has set aside.
    pub(crate) stored: u64,
    inode: (u64, u64),
}

/// A tree: its entries by path, `.` for the root and without `./` below it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Snapshot(pub(crate) BTreeMap<Vec<u8>, Entry>);

/// How times are compared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Times {
    /// To the nanosecond.
    Exact,
    /// To the second, rounded down.
    Seconds,
    /// Not at all.
    Ignored,
}

/// What is compared. `EXACT` is everything; tests that may do with less say where.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Compare {
    pub(crate) times: Times,
    pub(crate) modes: bool,
    pub(crate) owners: bool,
    /// `user.` attributes.
    pub(crate) xattrs: bool,
    /// `trusted.` and `security.` attributes.
    pub(crate) privileged_xattrs: bool,
    pub(crate) acls: bool,
    pub(crate) hard_links: bool,
    pub(crate) sparse: bool,
}

/// Everything.
pub(crate) const EXACT: Compare = Compare {
    times: Times::Exact,
    modes: true,
    owners: true,
    xattrs: true,
    privileged_xattrs: true,
    acls: true,
    hard_links: true,
    sparse: true,
};

/// Takes in a tree without changing anything but access times.
pub(crate) fn take(dir: &Path) -> Snapshot {
    let mut entries = BTreeMap::new();
    enter(dir, b".", &mut entries).unwrap_or_else(|e| panic!("{dir:?}: {e}"));
    Snapshot(entries)
}

fn enter(path: &Path, name: &[u8], entries: &mut BTreeMap<Vec<u8>, Entry>) -> io::Result<()> {
    let meta = fs::symlink_metadata(path)?;
    let kind = match meta.mode() & 0o170_000 {
        0o100_000 => '-',
        0o040_000 => 'd',
        0o120_000 => 'l',
        0o010_000 => 'p',
        0o020_000 => 'c',
        0o060_000 => 'b',
        0o140_000 => 's',
        other => panic!("{path:?}: type {other:o}"),
    };
    let entry = Entry {
        kind,
        mode: meta.mode() & 0o7777,
        uid: meta.uid(),
        gid: meta.gid(),
        mtime: (meta.mtime(), meta.mtime_nsec()),
        size: if kind == '-' { meta.size() } else { 0 },
        content: if kind == '-' { content(path).ok() } else { None },
        link: if kind == 'l' {
            Some(fs::read_link(path)?.into_os_string().into_vec())
        } else {
            None
        },
        device: if matches!(kind, 'c' | 'b') { meta.rdev() } else { 0 },
        xattrs: xattrs(path)?,
        stored: meta.blocks() * 512,
        inode: (meta.dev(), meta.ino()),
    };
    entries.insert(name.to_vec(), entry);
    if kind == 'd' {
        // A directory that may not be listed counts as empty: only as an ordinary user.
        for below in fs::read_dir(path).into_iter().flatten() {
            let below = below?.file_name();
            let below_name = if name == b"." {
                below.as_bytes().to_vec()
            } else {
                [name, b"/", below.as_bytes()].concat()
            };
            match enter(&path.join(&below), &below_name, entries) {
                Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {}
                other => other?,
            }
        }
    }
    Ok(())
}

/// A digest of every piece that is not all zero, with its place: holes cost nothing, and hole or
/// zeros makes no difference.
fn content(path: &Path) -> io::Result<String> {
    const PIECE: usize = 1 << 16;
    let file = File::open(path)?;
    let size = file.metadata()?.len();
    let (mut digest, mut piece, mut at) = (Sha256::new(), vec![0; PIECE], 0);
    while at < size {
        match rustix::fs::seek(&file, SeekFrom::Data(at)) {
            Ok(data) => at = data - data % PIECE as u64,
            Err(rustix::io::Errno::NXIO) => break,
            Err(_) => {}
        }
        let length = usize::try_from((size - at).min(PIECE as u64)).unwrap();
        file.read_exact_at(&mut piece[..length], at)?;
        if piece[..length].iter().any(|b| *b != 0) {
            digest.update(at.to_le_bytes());
            digest.update(&piece[..length]);
        }
        at += length as u64;
    }
    Ok(hex::encode(digest.finalize()))
}

fn xattrs(path: &Path) -> io::Result<BTreeMap<Vec<u8>, Vec<u8>>> {
    let mut list = vec![0; 1 << 16];
    let length = match rustix::fs::llistxattr(path, &mut list[..]) {
        Ok(length) => length,
        Err(rustix::io::Errno::NOTSUP | rustix::io::Errno::ACCESS) => 0,
        Err(e) => return Err(e.into()),
    };
    let mut all = BTreeMap::new();
    for name in list[..length].split(|b| *b == 0).filter(|name| !name.is_empty()) {
        let mut value = vec![0; 1 << 16];
        match rustix::fs::lgetxattr(path, OsStr::from_bytes(name), &mut value[..]) {
            Ok(length) => all.insert(name.to_vec(), value[..length].to_vec()),
            Err(rustix::io::Errno::ACCESS | rustix::io::Errno::PERM) => {
                all.insert(name.to_vec(), b"(not readable)".to_vec())
            }
            Err(e) => return Err(e.into()),
        };
    }
    Ok(all)
}

/// Bytes for people.
pub(crate) fn show(bytes: &[u8]) -> String {
    let text = OsString::from_vec(bytes.to_vec());
    let text = format!("{text:?}");
    if text.len() > 160 {
        format!("{}…{} bytes", text.chars().take(150).collect::<String>(), bytes.len())
    } else {
        text
    }
}

impl Snapshot {
    /// Without the given paths, and without what is below them.
    pub(crate) fn without(mut self, paths: &[Vec<u8>]) -> Snapshot {
        for path in paths {
            assert!(self.0.contains_key(path), "{} is not in the tree", show(path));
        }
        self.0.retain(|name, _| {
            !paths.iter().any(|path| name == path || name.starts_with(&[path, &b"/"[..]].concat()))
        });
        self
    }

    /// Without what is below the given directories, which stay.
    pub(crate) fn emptied(mut self, dirs: &[Vec<u8>]) -> Snapshot {
        self.0
            .retain(|name, _| !dirs.iter().any(|dir| name.starts_with(&[dir, &b"/"[..]].concat())));
        self
    }

    /// Only what `keep` says yes to.
    pub(crate) fn only(mut self, keep: impl Fn(&[u8], &Entry) -> bool) -> Snapshot {
        self.0.retain(|name, entry| keep(name, entry));
        self
    }

    /// Sets of paths that share an inode, each with at least two.
    pub(crate) fn groups(&self) -> BTreeSet<Vec<Vec<u8>>> {
        let mut by_inode: BTreeMap<(u64, u64), Vec<Vec<u8>>> = BTreeMap::new();
        for (name, entry) in self.0.iter().filter(|(_, entry)| entry.kind != 'd') {
            by_inode.entry(entry.inode).or_default().push(name.clone());
        }
        by_inode.into_values().filter(|names| names.len() > 1).collect()
    }
}

/// Takes `is` for what it should be where a tool cannot do better: `allow` is shown each entry as
/// it was and as it is, and changes the latter.
pub(crate) fn excuse(
    was: &Snapshot,
    mut is: Snapshot,
    mut allow: impl FnMut(&[u8], &Entry, &mut Entry),
) -> Snapshot {
    for (name, a) in &was.0 {
        if let Some(b) = is.0.get_mut(name) {
            allow(name, a, b);
        }
    }
    is
}

/// Every difference from `was` to `is`, one line each.
pub(crate) fn diff(was: &Snapshot, is: &Snapshot, compare: Compare) -> Vec<String> {
    let mut found = vec![];
    for (name, a) in &was.0 {
        let Some(b) = is.0.get(name) else {
            found.push(format!("{}: missing", show(name)));
            continue;
        };
        let mut told = |what: &str, a: String, b: String| {
            found.push(format!("{}: {what} was {a}, is {b}", show(name)))
        };
        if a.kind != b.kind {
            told("type", a.kind.into(), b.kind.into());
            continue;
        }
        if compare.modes && a.mode != b.mode {
            told("mode", format!("{:04o}", a.mode), format!("{:04o}", b.mode));
        }
        if compare.owners && (a.uid, a.gid) != (b.uid, b.gid) {
            told("owner", format!("{}:{}", a.uid, a.gid), format!("{}:{}", b.uid, b.gid));
        }
        let same_time = match compare.times {
            Times::Exact => a.mtime == b.mtime,
            Times::Seconds => a.mtime.0 == b.mtime.0,
            Times::Ignored => true,
        };
        if !same_time {
            told(
                "time",
                format!("{}.{:09}", a.mtime.0, a.mtime.1),
                format!("{}.{:09}", b.mtime.0, b.mtime.1),
            );
        }
        if a.size != b.size {
            told("size", a.size.to_string(), b.size.to_string());
        }
        if a.content != b.content {
            told("content", format!("{:?}", a.content), format!("{:?}", b.content));
        }
        if a.link != b.link {
            told(
                "target",
                show(a.link.as_deref().unwrap_or_default()),
                show(b.link.as_deref().unwrap_or_default()),
            );
        }
        if a.device != b.device {
            told("device", format!("{:x}", a.device), format!("{:x}", b.device));
        }
        // A file with holes may not grow to more than a little over what it took.
        if compare.sparse
            && a.kind == '-'
            && a.stored + 65_536 < a.size
            && b.stored > a.stored + a.stored / 4 + 65_536
        {
            told("space taken", a.stored.to_string(), b.stored.to_string());
        }
        for key in a.xattrs.keys().chain(b.xattrs.keys().filter(|key| !a.xattrs.contains_key(*key)))
        {
            let compared = if key.starts_with(b"system.") {
                compare.acls
            } else if key.starts_with(b"user.") {
                compare.xattrs
            } else {
                compare.privileged_xattrs
            };
            let value = |e: &Entry| e.xattrs.get(key).map_or("none".into(), |value| show(value));
            if compared && a.xattrs.get(key) != b.xattrs.get(key) {
                told(&format!("attribute {}", show(key)), value(a), value(b));
            }
        }
    }
    found.extend(
        is.0.keys()
            .filter(|name| !was.0.contains_key(*name))
            .map(|name| format!("{}: was not there", show(name))),
    );
    if compare.hard_links {
        let (a, b) = (was.groups(), is.groups());
        let list =
            |names: &[Vec<u8>]| names.iter().map(|name| show(name)).collect::<Vec<_>>().join(" ");
        found.extend(
            a.difference(&b)
                .map(|names| format!("no longer linked to each other: {}", list(names))),
        );
        found.extend(
            b.difference(&a).map(|names| format!("now linked to each other: {}", list(names))),
        );
    }
    found
}

/// Fails with all differences, if there are any.
#[track_caller]
pub(crate) fn assert_same(what: &str, was: &Snapshot, is: &Snapshot, compare: Compare) {
    let found = diff(was, is, compare);
    let shown = found.iter().take(12).cloned().collect::<Vec<_>>().join("\n  ");
    assert!(found.is_empty(), "{what}: {} differences:\n  {shown}", found.len());
}
