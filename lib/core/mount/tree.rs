//! The tree of a version, made from its entries in canonical order: who is in which directory, and
//! of which directories this is not sure, because an index could not be read.
//!
//! Memory: 20 bytes an entry. Lines lie elsewhere; the tree knows where.

use std::collections::HashSet;

use crate::format::path::{self, Path};

/// An entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct TreeNode {
    /// Where its line lies.
    record: u64,
    /// Its part of the children.
    first: u32,
    count: u32,
}

/// Who is in which directory. Entries go by their place in the version, from 0, the root.
#[derive(Debug, Default)]
pub struct VersionTree {
    nodes: Vec<TreeNode>,
    /// Those of a directory stand together, in order.
    children: Vec<u32>,
    doubtful: HashSet<u32>,
}

impl VersionTree {
    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there are none, not even a root.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Where the line of an entry lies; none if there is no such entry.
    pub fn record(&self, ordinal: u32) -> Option<u64> {
        self.nodes.get(ordinal as usize).map(|node| node.record)
    }

    /// What is in a directory, in order; nothing in what is none.
    pub fn children(&self, ordinal: u32) -> &[u32] {
        let node = self.nodes.get(ordinal as usize);
        node.map_or(&[], |node| &self.children[node.first as usize..][..node.count as usize])
    }

    /// Whether something could not be read that may concern what is in this directory, or what this
    /// entry is.
    pub fn is_doubtful(&self, ordinal: u32) -> bool {
        self.doubtful.contains(&ordinal)
    }

    /// The entry with this name in a directory; `path_of` gives the paths of entries.
    ///
    /// # Errors
    /// Those of `path_of`.
    pub fn find<E>(
        &self,
        dir: u32,
        name: &[u8],
        path_of: &mut dyn FnMut(u32) -> Result<Path, E>,
    ) -> Result<Option<u32>, E> {
        let mut encoded = Vec::with_capacity(name.len());
        path::encode(name, &mut encoded);
        let children = self.children(dir);
        let (mut low, mut high) = (0, children.len());
        while low < high {
            let middle = low + (high - low) / 2;
            let path = path_of(children[middle])?;
            match last(&path).cmp(&encoded[..]) {
                std::cmp::Ordering::Equal => return Ok(Some(children[middle])),
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        Ok(None)
    }
}

/// The last component of a path, encoded.
fn last(path: &Path) -> &[u8] {
    let bytes = path.as_bytes();
    let slash = bytes.iter().rposition(|&byte| byte == b'/');
    slash.map_or(bytes, |slash| &bytes[slash + 1..])
}

/// A directory above the current entry, or itself.
#[derive(Debug)]
struct OpenDir {
    ordinal: u32,
    path: Path,
    children: Vec<u32>,
}

/// Makes the tree: [`TreeBuilder::handle_entry`] for each entry, [`TreeBuilder::handle_gap`] before
/// the first one behind an index that could not be read.
#[derive(Debug, Default)]
pub struct TreeBuilder {
    tree: VersionTree,
    open: Vec<OpenDir>,
    /// Indexes that could not be read: of which tier, and the path at which it goes on.
    gaps: Vec<(u8, Option<Path>)>,
}

impl TreeBuilder {
    /// The next entry, whose line is of this tier and lies at `record`. Gives its place; none if
    /// its directory did not come, which then is not sure to be whole.
    pub fn handle_entry(
        &mut self,
        path: &Path,
        is_dir: bool,
        tier: u8,
        record: u64,
    ) -> Option<u32> {
        self.close_until(path);
        let fits = match (self.open.last(), path.parent()) {
            (None, None) => self.tree.nodes.is_empty(),
            (Some(dir), Some(parent)) => dir.path == parent,
            _ => false,
        };
        let ordinal = u32::try_from(self.tree.nodes.len()).ok().filter(|_| fits);
        let Some(ordinal) = ordinal else {
            self.doubt_open(usize::MAX);
            return None;
        };
        self.gaps.retain(|(_, before)| before.as_ref().is_none_or(|before| path < before));
        if self.gaps.iter().any(|(of, _)| is_dir || tier < *of) {
            self.tree.doubtful.insert(ordinal);
        }
        self.tree.nodes.push(TreeNode { record, first: 0, count: 0 });
        if let Some(dir) = self.open.last_mut() {
            dir.children.push(ordinal);
        }
        if is_dir {
            self.open.push(OpenDir { ordinal, path: path.clone(), children: Vec::new() });
        }
        Some(ordinal)
    }

    /// An entry that is left out, because its directory did not come.
    pub fn handle_orphan(&mut self, path: &Path) {
        self.close_until(path);
        self.doubt_open(usize::MAX);
    }

    /// Behind what came last, an index of this tier could not be read; the tier goes on at `next`,
    /// if at all. If it `is_open`, that is only a directory above the entry at which it goes on,
    /// which [`TreeBuilder::handle_gap_end`] names.
    pub fn handle_gap(&mut self, tier: u8, next: Option<Path>, is_open: bool) {
        // Where both ends lie below the same child of a directory, none of its children is missing.
        let around = |dir: &OpenDir| next.as_ref().is_some_and(|next| dir.path.holds(next));
        self.doubt_open(self.open.iter().rposition(around).unwrap_or(0));
        self.gaps.push((tier, next.filter(|_| !is_open)));
    }

    /// What was left open of this tier ends here.
    pub fn handle_gap_end(&mut self, tier: u8, before: &Path) {
        for (_, end) in self.gaps.iter_mut().filter(|(of, end)| *of == tier && end.is_none()) {
            *end = Some(before.clone());
        }
    }

    /// The tree.
    pub fn finish(mut self) -> VersionTree {
        while self.close() {}
        self.tree
    }

    /// The deepest directories above the current entry are not sure to be whole, from this depth
    /// on; the deepest in any case.
    fn doubt_open(&mut self, depth: usize) {
        let depth = depth.min(self.open.len().saturating_sub(1));
        let open = &self.open[depth..];
        self.tree.doubtful.extend(open.iter().map(|dir| dir.ordinal));
    }

    fn close_until(&mut self, path: &Path) {
        while self.open.last().is_some_and(|dir| !dir.path.holds(path)) {
            self.close();
        }
    }

    fn close(&mut self) -> bool {
        let Some(dir) = self.open.pop() else { return false };
        let node = &mut self.tree.nodes[dir.ordinal as usize];
        // Each entry is a child once, so these numbers fit where those of entries do.
        node.first = self.tree.children.len() as u32;
        node.count = dir.children.len() as u32;
        self.tree.children.extend(dir.children);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> Path {
        Path::parse(text.as_bytes()).unwrap()
    }

    /// A tree of lines: `PATH`, with `/` at the end of directories; `TIER? PATH` for a gap before
    /// it, and `TIER?` for one to the end; `TIER?+ PATH` for one that is open, and `TIER! PATH` for
    /// its end. All entries are of tier 0.
    fn tree(lines: &[&str]) -> (VersionTree, Vec<Path>) {
        let (mut builder, mut paths) = (TreeBuilder::default(), Vec::new());
        for line in lines {
            if let Some((tier, end)) = line.split_once("! ") {
                builder.handle_gap_end(tier.parse().unwrap(), &path(end));
                continue;
            }
            if let Some((tier, next)) = line.split_once('?') {
                let is_open = next.starts_with('+');
                let next = Some(next.trim_matches(['+', ' '])).filter(|next| !next.is_empty());
                builder.handle_gap(tier.parse().unwrap(), next.map(path), is_open);
                continue;
            }
            let (name, is_dir) = line.strip_suffix('/').map_or((*line, false), |it| (it, true));
            let path = path(name);
            let came = builder.handle_entry(&path, is_dir, 0, 7 * paths.len() as u64);
            if let Some(ordinal) = came {
                assert_eq!(ordinal as usize, paths.len());
                paths.push(path);
            }
        }
        (builder.finish(), paths)
    }

    fn doubtful(lines: &[&str]) -> String {
        let (tree, paths) = tree(lines);
        let all = (0..paths.len()).filter(|at| tree.is_doubtful(*at as u32));
        all.map(|at| paths[at].to_string()).collect::<Vec<_>>().join(" ")
    }

    const LINES: [&str; 9] =
        ["./", "./a/", "./a/b/", "./a/b/1", "./a/b/2", "./a/c", "./d/", "./e", "./f\\040g"];

    #[test]
    fn children_are_found_by_their_names() {
        let (tree, paths) = tree(&LINES);
        assert_eq!((tree.len(), tree.is_empty()), (9, false));
        assert_eq!(tree.children(0), [1, 6, 7, 8]);
        assert_eq!(tree.children(1), [2, 5]);
        assert_eq!((tree.children(2), tree.children(6)), (&[3, 4][..], &[][..]));
        assert_eq!((tree.record(8), tree.record(9)), (Some(56), None));
        let find = |dir, name: &[u8]| {
            tree.find(dir, name, &mut |at| Ok::<Path, ()>(paths[at as usize].clone())).unwrap()
        };
        assert_eq!(find(0, b"f g"), Some(8));
        assert_eq!((find(0, b"a"), find(0, b"e"), find(2, b"2")), (Some(1), Some(7), Some(4)));
        assert_eq!((find(0, b"b"), find(0, b"f"), find(0, b"")), (None, None, None));
        assert_eq!((find(6, b"x"), find(7, b"x"), find(99, b"x")), (None, None, None));
        assert_eq!(find(0, b".."), None);
        assert_eq!(doubtful(&LINES), "");
    }

    #[test]
    fn a_gap_puts_the_directories_in_doubt_that_may_lack_something() {
        // Within one directory.
        assert_eq!(doubtful(&["./", "./a/", "./a/1", "0? ./a/5", "./a/5", "./b/"]), "./a");
        // From one into another: all that begins between them, and what holds both.
        let lines = ["./", "./a/", "./a/b/", "./a/b/1", "0? ./d/x", "./d/", "./d/x", "./e/"];
        assert_eq!(doubtful(&lines), ". ./a ./a/b ./d");
        // Both below the same child of the root.
        let lines = ["./", "./a/", "./a/b/", "./a/b/1", "0? ./a/c", "./a/c", "./e/"];
        assert_eq!(doubtful(&lines), "./a ./a/b");
        // To the end, and from the begin.
        assert_eq!(doubtful(&["./", "./a/", "./b", "0?"]), ".");
        assert_eq!(doubtful(&["0? ./b/x", "./", "./b/", "./b/x"]), ". ./b");
        // A directory that came last may lack all.
        assert_eq!(doubtful(&["./", "./a/", "0? ./b", "./b"]), ". ./a");
    }

    #[test]
    fn what_a_gap_of_a_newer_tier_may_have_changed_is_in_doubt() {
        let lines = ["./", "./a", "1? ./c", "./b", "./c", "./d"];
        assert_eq!(doubtful(&lines), ". ./b");
        let lines = ["./", "./a", "0? ./c", "./b", "./c", "./d"];
        assert_eq!(doubtful(&lines), ".");
        // It goes on in a directory, which comes first.
        let lines = ["./", "./a", "1?+ ./b", "./b/", "./b/1", "1! ./b/3", "./b/2", "./b/3", "./d"];
        assert_eq!(doubtful(&lines), ". ./b ./b/1 ./b/2");
        let lines = ["./", "./x/", "./x/a", "1?+ ./x/b", "1! ./x/b/3", "./x/b/", "./x/b/3", "./y"];
        assert_eq!(doubtful(&lines), "./x ./x/b");
    }

    #[test]
    fn what_has_no_directory_is_left_out() {
        assert_eq!(doubtful(&["./", "./a", "./a/b", "./c/d", "./e/"]), ".");
        let (tree, paths) = tree(&["./", "./a", "./a/b", "./c/d", "./e/"]);
        assert_eq!((tree.len(), paths.len()), (3, 3));
        let (tree, _) = self::tree(&["./a", "./b/"]);
        assert!(tree.is_empty());
        let mut builder = TreeBuilder::default();
        builder.handle_entry(&path("."), true, 0, 0);
        builder.handle_entry(&path("./a"), true, 0, 0);
        builder.handle_orphan(&path("./c/d"));
        assert!(builder.finish().is_doubtful(0));
    }
}
