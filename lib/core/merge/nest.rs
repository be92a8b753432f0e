//! A stack of paths, each below the one before it, in one buffer: which directories lie above where
//! a walk stands.

/// Paths of which each lies below the one before, with something marked at each.
///
/// In a walk in canonical order the directories above the current path are such a stack, so none of
/// their paths needs a copy of its own, and memory is bounded by the longest path.
#[derive(Debug)]
pub(crate) struct Nest<T> {
    /// The deepest path; the others are its beginnings.
    path: Vec<u8>,
    /// Where each path ends in it, and its mark.
    marks: Vec<(usize, T)>,
}

impl<T: Copy> Nest<T> {
    /// An empty stack.
    pub(crate) fn new() -> Nest<T> {
        Nest { path: Vec::new(), marks: Vec::new() }
    }

    /// Drops the paths that `path` does not lie below.
    pub(crate) fn leave(&mut self, path: &[u8]) {
        while let Some(&(end, _)) = self.marks.last() {
            if path.get(end) == Some(&b'/') && path[..end] == self.path[..end] {
                break;
            }
            self.marks.pop();
        }
    }

    /// Puts `path`, which must lie below the deepest path, on the stack. Call [`Nest::leave`] with
    /// it first.
    pub(crate) fn enter(&mut self, path: &[u8], mark: T) {
        let shared = self.end().unwrap_or(0);
        self.path.truncate(shared);
        self.path.extend_from_slice(&path[shared..]);
        self.marks.push((path.len(), mark));
    }

    /// How long the deepest path is.
    pub(crate) fn end(&self) -> Option<usize> {
        self.marks.last().map(|(end, _)| *end)
    }

    /// The mark of the deepest path.
    pub(crate) fn mark(&self) -> Option<T> {
        self.marks.last().map(|(_, mark)| *mark)
    }

    /// Whether the directory that holds `path` is on the stack.
    pub(crate) fn has_parent_of(&self, path: &[u8]) -> bool {
        let slash = path.iter().rposition(|&b| b == b'/');
        slash.is_some_and(|slash| {
            self.marks.iter().any(|(end, _)| *end == slash) && path[..slash] == self.path[..slash]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_a_walk() {
        let mut nest = Nest::new();
        for (path, end) in [
            ("./a/b", None),
            (".", None),
            ("./a", Some(1)),
            ("./a/b", Some(3)),
            ("./a/b/c", Some(5)),
            ("./a/bc", Some(3)),
            ("./a-b", Some(1)),
        ] {
            nest.leave(path.as_bytes());
            assert_eq!(nest.end(), end, "{path}");
            if path.len() < 6 && end.is_some() || path == "." {
                nest.enter(path.as_bytes(), path.len());
                assert_eq!(nest.mark(), Some(path.len()));
            }
        }
    }

    #[test]
    fn knows_its_directories() {
        let mut nest = Nest::new();
        nest.enter(b".", ());
        nest.enter(b"./a", ());
        nest.enter(b"./a/b", ());
        for (path, has) in [
            ("./x", true),
            ("./a/x", true),
            ("./a/b/x", true),
            ("./c/x", false),
            ("./a/b/c/x", false),
            (".", false),
        ] {
            assert_eq!(nest.has_parent_of(path.as_bytes()), has, "{path}");
        }
    }
}
