//! A file system in memory: random operations, and scans of it.

use std::collections::BTreeMap;

use super::*;
use crate::format::entry::{Inode, Meta};
use crate::format::time::Time;

/// An inode.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    pub(crate) kind: Kind,
    /// What a file holds, a link points to, or a device is. The size of a file is the rest of a
    /// division by 4.
    pub(crate) content: u64,
    mode: u32,
    uid: u32,
    time: i64,
    ctime: i64,
    x: bool,
}

impl Node {
    /// When anything of it changed.
    pub(crate) fn ctime(&self) -> i64 {
        self.ctime
    }
}

/// One random operation: which, and three choices.
pub(crate) type Op = (u8, u16, u16, u16);

/// What a scan does not see or does not want: which way, and which path.
pub(crate) type Veil = (u8, u16);

const NAMES: [&str; 7] = ["a", "b", "a!", "b c", "d", "a-", "e"];

/// The file system.
#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) nodes: BTreeMap<u64, Node>,
    pub(crate) tree: BTreeMap<Path, u64>,
    pub(crate) clock: i64,
    next: u64,
    /// Whether a directory's times change with what is in it. Without, more is left to find out by
    /// looking.
    ticking: bool,
}

impl World {
    pub(crate) fn new(ticking: bool) -> World {
        let mut world =
            World { nodes: BTreeMap::new(), tree: BTreeMap::new(), clock: 10, next: 1, ticking };
        world.put(Path::root(), Kind::Dir, 0);
        world
    }

    fn put(&mut self, path: Path, kind: Kind, content: u64) {
        let node = Node {
            kind,
            content,
            mode: if kind == Kind::Dir { 0o755 } else { 0o644 },
            uid: 0,
            time: self.clock,
            ctime: self.clock,
            x: false,
        };
        self.nodes.insert(self.next, node);
        self.tree.insert(path, self.next);
        self.next += 1;
    }

    fn pick(&self, choice: u16, wanted: impl Fn(&Path, &Node) -> bool) -> Option<Path> {
        let found: Vec<&Path> = self
            .tree
            .iter()
            .filter(|(path, ino)| wanted(path, &self.nodes[ino]))
            .map(|(path, _)| path)
            .collect();
        (!found.is_empty()).then(|| found[usize::from(choice) % found.len()].clone())
    }

    /// A path that is or may be there, in any directory.
    fn place(&self, dir: u16, name: u16) -> Path {
        let dir = self.pick(dir, |_, node| node.kind == Kind::Dir).unwrap();
        let mut raw = dir.raw();
        if !raw.is_empty() {
            raw.push(b'/');
        }
        raw.extend(NAMES[usize::from(name) % NAMES.len()].as_bytes());
        Path::from_raw(&raw)
    }

    pub(crate) fn node(&self, path: &Path) -> Option<&Node> {
        Some(&self.nodes[self.tree.get(path)?])
    }

    fn change(&mut self, path: &Path, what: impl FnOnce(&mut Node)) {
        let clock = self.clock;
        if let Some(node) = self.tree.get(path).and_then(|ino| self.nodes.get_mut(ino)) {
            what(node);
            node.ctime = clock;
        }
    }

    /// Something was put into or taken out of the directory that holds `path`.
    fn stir(&mut self, path: &Path) {
        let clock = self.clock;
        if let (true, Some(dir)) = (self.ticking, path.parent()) {
            self.change(&dir, |node| node.time = clock);
        }
    }

    fn remove(&mut self, path: &Path) {
        let gone: Vec<Path> =
            self.tree.keys().filter(|p| *p == path || path.holds(p)).cloned().collect();
        for path in gone {
            self.change(&path, |_| {});
            self.tree.remove(&path);
        }
        self.stir(path);
    }

    /// Moves a path with all below it, over what is there.
    fn rename(&mut self, from: &Path, to: &Path) {
        if from == to || from.holds(to) || to.holds(from) {
            return;
        }
        self.remove(to);
        let moved: Vec<Path> =
            self.tree.keys().filter(|p| *p == from || from.holds(p)).cloned().collect();
        for old in moved {
            let new = [to.as_bytes(), &old.as_bytes()[from.as_bytes().len()..]].concat();
            if let Some(ino) = self.tree.remove(&old) {
                self.tree.insert(Path::parse(&new).unwrap(), ino);
            }
        }
        self.change(to, |_| {});
        self.stir(from);
        self.stir(to);
    }

    /// Does one operation; the clock goes on.
    pub(crate) fn apply(&mut self, (which, a, b, c): Op) {
        self.clock += 1;
        let clock = self.clock;
        let below_root = |path: &Path, _: &Node| !path.is_root();
        let is_file = |_: &Path, node: &Node| node.kind == Kind::File;
        let is_leaf = |_: &Path, node: &Node| node.kind != Kind::Dir;
        let some = |world: &World| world.pick(a, below_root);
        match which % 16 {
            0..=2 => {
                let path = self.place(a, b);
                let kind = [
                    Kind::File,
                    Kind::Dir,
                    Kind::File,
                    Kind::Link,
                    Kind::Fifo,
                    Kind::Char,
                    Kind::Dir,
                ][usize::from(c) % 7];
                if self.node(&path).is_none() {
                    self.put(path.clone(), kind, u64::from(c) % 8);
                    self.stir(&path);
                }
            }
            3 => {
                if let Some(path) = some(self) {
                    self.remove(&path);
                }
            }
            4 | 5 => {
                let to = self.place(b, c);
                if let Some(path) = some(self) {
                    self.rename(&path, &to);
                }
            }
            6 => {
                if let Some(path) = self.pick(a, is_file) {
                    self.change(&path, |node| {
                        (node.content, node.time) = (u64::from(b) % 8, clock)
                    });
                }
            }
            7 => {
                if let Some(path) = some(self) {
                    self.change(&path, |node| node.time = i64::from(b % 4));
                }
            }
            // Some cannot be read by their owner, or entered.
            8 => self.change_some(a, |node| {
                let of_owner = [0o700, 0o700, 0o600, 0o300][usize::from(c) % 4];
                node.mode = of_owner | u32::from(b % 8);
            }),
            9 => self.change_some(a, |node| node.uid = u32::from(b % 3)),
            10 => self.change_some(a, |node| node.x = !node.x),
            11..=13 => {
                let to = self.place(b, c);
                if let (Some(path), None) = (self.pick(a, is_leaf), self.node(&to)) {
                    let ino = self.tree[&path];
                    self.tree.insert(to.clone(), ino);
                    self.change(&to, |_| {});
                    self.stir(&to);
                }
            }
            14 => {
                // One thing in the place of another.
                if let Some(path) = some(self) {
                    self.remove(&path);
                    let kind = [Kind::File, Kind::Dir, Kind::Link, Kind::Fifo][usize::from(b) % 4];
                    self.put(path, kind, u64::from(c) % 8);
                }
            }
            _ => {
                // Two names of leaves change places.
                if let (Some(one), Some(other)) = (self.pick(a, is_leaf), self.pick(b, is_leaf)) {
                    let (first, second) = (self.tree[&one], self.tree[&other]);
                    self.tree.insert(one.clone(), second);
                    self.tree.insert(other.clone(), first);
                    self.change(&one, |_| {});
                    self.change(&other, |_| {});
                }
            }
        }
        let named: std::collections::BTreeSet<u64> = self.tree.values().copied().collect();
        self.nodes.retain(|ino, _| named.contains(ino));
    }

    fn change_some(&mut self, choice: u16, what: impl FnOnce(&mut Node)) {
        if let Some(path) = self.pick(choice, |_, _| true) {
            self.change(&path, what);
        }
    }

    /// The line of a path, as a scan writes it.
    fn line(&self, path: &Path, ino: u64) -> Entry {
        let node = &self.nodes[&ino];
        let at = |sec| Time { sec, nsec: 0 };
        let meta = Meta { mode: node.mode, uid: node.uid, gid: 0, time: at(node.time) };
        let mut entry = Entry::new(path.clone(), node.kind, EntryState::Present(meta));
        let nlink = self.tree.values().filter(|other| **other == ino).count() as u64;
        entry.nlink = (node.kind == Kind::File || nlink > 1).then_some(nlink);
        entry.inode = (nlink > 1).then_some(Inode { dev: 1, ino });
        // Large enough to be referred to.
        entry.size = (node.kind == Kind::File).then_some(300 + node.content % 4);
        entry.link = (node.kind == Kind::Link).then(|| vec![b'x'; node.content as usize + 1]);
        entry.device = (node.kind == Kind::Char).then_some((node.content as u32, 0));
        entry.ctime = Some(at(node.ctime));
        entry.x = node.x;
        entry
    }

    /// A scan. With `mask`, only those paths, what is below them, and the directories above are
    /// listed.
    pub(crate) fn scan(&self, veils: &[Veil], mask: Option<&[u16]>) -> Vec<Entry> {
        let mask: Option<Vec<Path>> =
            mask.map(|mask| mask.iter().filter_map(|m| self.pick(*m, |_, _| true)).collect());
        let veiled: Vec<(u8, Path)> = veils
            .iter()
            .filter_map(|(way, at)| Some((way % 3, self.pick(*at, |p, _| !p.is_root())?)))
            .collect();
        let mut first: BTreeMap<u64, Path> = BTreeMap::new();
        let mut lines = Vec::new();
        let mut hidden: Option<Path> = None;
        for (path, ino) in &self.tree {
            if hidden.as_ref().is_some_and(|hidden| hidden.holds(path)) {
                continue;
            }
            let wanted = |at: &Path| at == path || at.holds(path) || path.holds(at);
            if !path.is_root() && mask.as_ref().is_some_and(|mask| !mask.iter().any(wanted)) {
                continue;
            }
            let mut line = self.line(path, *ino);
            match veiled.iter().find(|(_, at)| at == path) {
                Some((0, _)) if line.kind == Kind::Dir => {
                    (line.unread, hidden) = (true, Some(path.clone()))
                }
                Some((way, _)) => {
                    let state =
                        if *way == 1 { EntryState::Excluded } else { EntryState::Unreadable };
                    line = Entry::new(path.clone(), line.kind, state);
                    hidden = Some(path.clone());
                }
                None => {}
            }
            if line.meta().is_some() && line.inode.is_some() {
                line.hard = first.get(ino).cloned();
                first.entry(*ino).or_insert_with(|| path.clone());
            }
            lines.push(line);
        }
        lines
    }
}
