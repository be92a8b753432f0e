//! What directories hold, with all that is below them: entries in canonical order in, sums out.

use crate::format::entry::{Entry, Kind};
use crate::format::path::Path;

/// What is in a directory and below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectorySum {
    /// The directory.
    pub path: Path,
    /// Regular files; several names of one file count once.
    pub files: u64,
    /// Bytes of these files.
    pub bytes: u64,
}

/// The machine. Its memory is a line for each directory that is listed.
#[derive(Debug, Default)]
pub struct DirectorySums {
    /// The directories above the current entry.
    open: Vec<DirectorySum>,
    closed: Vec<DirectorySum>,
}

impl DirectorySums {
    /// The next entry, whose sum is wanted if it is a directory.
    pub fn handle(&mut self, entry: &Entry) {
        self.close_before(&entry.path);
        match entry.kind {
            Kind::Dir => {
                self.open.push(DirectorySum { path: entry.path.clone(), files: 0, bytes: 0 })
            }
            _ => self.handle_below(entry),
        }
    }

    /// The next entry, which counts only in the directories above it.
    pub fn handle_below(&mut self, entry: &Entry) {
        self.close_before(&entry.path);
        if let Some(above) = self.open.last_mut()
            && entry.kind == Kind::File
            && entry.hard.is_none()
        {
            above.files += 1;
            above.bytes += entry.size.unwrap_or(0);
        }
    }

    /// The sums, the largest first.
    pub fn finish(mut self) -> Vec<DirectorySum> {
        while self.close() {}
        self.closed.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.path.cmp(&b.path)));
        self.closed
    }

    fn close_before(&mut self, path: &Path) {
        while self.open.last().is_some_and(|dir| !dir.path.holds(path)) {
            self.close();
        }
    }

    fn close(&mut self) -> bool {
        let Some(done) = self.open.pop() else { return false };
        if let Some(above) = self.open.last_mut() {
            above.files += done.files;
            above.bytes += done.bytes;
        }
        self.closed.push(done);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_are_summed_the_largest_first() {
        let meta = "mode=0755 uid=0 gid=0 time=1.000000000";
        let file = |name: &str, size: u64, tags: &str| {
            format!("{name} type=file {meta} nlink=1 size={size}{tags}")
        };
        let dir = |name: &str| format!("{name} type=dir {meta}");
        let lines = [
            dir("."),
            file("./f", 1, ""),
            dir("./a"),
            file("./a/f", 10, ""),
            dir("./a/b"),
            file("./a/b/f", 100, ""),
            file("./a/b/g", 100, " tags=i:1.2,hard:./a/b/f"),
            dir("./c"),
            file("./c/f", 200, ""),
            dir("./d"),
        ];
        let mut entries: Vec<Entry> =
            lines.iter().map(|line| Entry::parse(line.as_bytes()).unwrap()).collect();
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        let show = |sums: DirectorySums| -> Vec<String> {
            let sums = sums.finish().into_iter();
            sums.map(|sum| format!("{} {} {}", sum.bytes, sum.files, sum.path)).collect()
        };
        let mut sums = DirectorySums::default();
        entries.iter().for_each(|entry| sums.handle(entry));
        assert_eq!(show(sums), ["311 4 .", "200 1 ./c", "110 2 ./a", "100 1 ./a/b", "0 0 ./d"]);
        // Of what lies deeper than is listed, only the sums above tell.
        let mut sums = DirectorySums::default();
        for entry in &entries {
            match entry.path.depth() > 1 {
                true => sums.handle_below(entry),
                false => sums.handle(entry),
            }
        }
        assert_eq!(show(sums), ["311 4 .", "200 1 ./c", "110 2 ./a", "0 0 ./d"]);
    }
}
