//! What of a walk is listed: directories that are listed only if something below them is, and what
//! lies below a directory that could not be listed.

use std::collections::VecDeque;

use crate::format::entry::Entry;
use crate::format::path::Path;

/// The machine: takes what a walk comes upon, in canonical order.
#[derive(Debug, Default)]
pub struct HeldBack {
    /// Directories that wait for something below them, outermost first.
    waiting: VecDeque<Entry>,
    /// A directory that turned out to be none that can be listed, when what is in it is on its way.
    barred: Option<Path>,
}

impl HeldBack {
    /// Whether the next entry counts: not below a directory that could not be listed.
    pub fn handle_next(&mut self, path: &Path) -> bool {
        self.barred.take_if(|barred| !barred.holds(path));
        self.barred.is_none()
    }

    /// A directory that could not be listed.
    pub fn handle_barred(&mut self, dir: Path) {
        self.barred = Some(dir);
    }

    /// A directory that is listed only if something below it is.
    pub fn handle_waiting(&mut self, dir: Entry) {
        self.drop_others(&dir.path);
        self.waiting.push_back(dir);
    }

    /// Something that was left out. Whether that is told: below a directory that is not listed
    /// itself there is nothing to tell.
    pub fn handle_left_out(&mut self, path: &Path) -> bool {
        self.drop_others(path);
        self.waiting.is_empty()
    }

    /// Something that is listed. Gives the directories above it that are listed before it.
    pub fn handle_listed(&mut self, path: &Path) -> impl Iterator<Item = Entry> + use<> {
        self.drop_others(path);
        std::mem::take(&mut self.waiting).into_iter()
    }

    /// The end, after so many entries that were listed. A mask that selects nothing still gives a
    /// listing, of the root.
    pub fn finish(&mut self, listed: u64) -> Option<Entry> {
        self.waiting.pop_front().filter(|_| listed == 0)
    }

    fn drop_others(&mut self, next: &Path) {
        while self.waiting.back().is_some_and(|dir| !dir.path.holds(next)) {
            self.waiting.pop_back();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::entry::{EntryState, Kind, Meta};
    use crate::format::time::Time;

    fn path(name: &str) -> Path {
        Path::from_raw(name.as_bytes())
    }

    /// What is listed of steps such as `?dir` (waits), `+file`, `-left out`, `!barred`.
    fn listed(steps: &str) -> String {
        let mut machine = HeldBack::default();
        let (mut found, mut count) = (Vec::new(), 0);
        let shown = |path: &Path| String::from_utf8(path.raw()).unwrap();
        for step in steps.split_whitespace() {
            let (kind, name) = step.split_at(1);
            let next = path(name);
            if !machine.handle_next(&next) {
                continue;
            }
            if kind == "!" {
                machine.handle_barred(next.clone());
            }
            match kind {
                "?" => {
                    let meta = Meta { mode: 0o755, uid: 0, gid: 0, time: Time { sec: 0, nsec: 0 } };
                    machine.handle_waiting(Entry::new(next, Kind::Dir, EntryState::Present(meta)));
                }
                "-" if !machine.handle_left_out(&next) => {}
                _ => {
                    let above: Vec<Entry> = machine.handle_listed(&next).collect();
                    count += 1 + above.len() as u64;
                    found.extend(above.iter().map(|dir| shown(&dir.path)));
                    found.push(step.to_owned());
                }
            }
        }
        found.extend(machine.finish(count).map(|root| format!("end:{}", shown(&root.path))));
        found.join(" ")
    }

    #[test]
    fn what_is_listed_of_a_walk() {
        let cases = [
            ("+a +b", "+a +b"),
            // Directories are listed for what is below them, and only then.
            ("?a ?a/b +a/b/c", "a a/b +a/b/c"),
            ("?a ?a/b ?a/c +a/c/d", "a a/c +a/c/d"),
            ("?a ?a/b +c", "+c"),
            ("?a +a/x ?a/b +a/y", "a +a/x +a/y"),
            // What is left out is told, unless its directory is not listed.
            ("+a -a/x", "+a -a/x"),
            ("?a -a/x +a/y", "a +a/y"),
            ("?a -b", "-b"),
            // Nothing of a directory that could not be listed, and all behind it.
            ("!a +a/x -a/y +b", "!a +b"),
            ("?a !a/b +a/b/c +a/c", "a !a/b +a/c"),
            // Nothing was selected.
            ("?r ?r/a ?r/b", "end:r"),
            ("", ""),
        ];
        for (steps, wanted) in cases {
            assert_eq!(listed(steps), wanted, "{steps}");
        }
    }
}
