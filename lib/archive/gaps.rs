//! Where entries of a version are not known, because an index could not be read.

use crate::format::path::Path;

/// What is known of such a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum IndexGap {
    /// It begins behind the entry that came last.
    Begin {
        /// The tier of its band.
        tier: u8,
        /// The path that comes next of the band; none if it is at its end.
        next: Option<Path>,
        /// That is only a directory above the one at which the band goes on.
        is_open: bool,
    },
    /// One that was left open ends.
    End {
        /// The tier of its band.
        tier: u8,
        /// The path at which the band goes on.
        before: Path,
    },
}

/// Notes such places as the indexes are read.
#[derive(Debug, Default)]
pub(super) struct GapWatch {
    found: Vec<IndexGap>,
    open: Vec<u8>,
}

impl GapWatch {
    /// What comes next of a tier: whether an index `failed` before it, its path, and whether it is
    /// only a directory above the next entry.
    pub(super) fn handle_next(&mut self, tier: u8, failed: bool, next: Option<(&Path, bool)>) {
        let is_open = next.is_some_and(|(_, is_above)| is_above);
        let was_open = self.open.contains(&tier);
        if failed {
            let next = next.map(|(path, _)| path.clone());
            self.found.push(IndexGap::Begin { tier, next, is_open });
        } else if let Some((path, false)) = next.filter(|_| was_open) {
            self.found.push(IndexGap::End { tier, before: path.clone() });
        }
        self.open.retain(|open| *open != tier || is_open);
        if failed && is_open && !was_open {
            self.open.push(tier);
        }
    }

    /// What was noted since this was asked last.
    pub(super) fn take(&mut self) -> Vec<IndexGap> {
        std::mem::take(&mut self.found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_goes_on_to_what_is_no_directory_above() {
        let path = |text: &str| Path::parse(text.as_bytes()).unwrap();
        let (a, b, one) = (path("./a"), path("./b"), path("./b/1"));
        let mut watch = GapWatch::default();
        watch.handle_next(0, false, Some((&a, false)));
        watch.handle_next(1, true, Some((&b, true)));
        watch.handle_next(0, true, Some((&one, false)));
        watch.handle_next(1, false, Some((&one, false)));
        watch.handle_next(1, false, Some((&one, false)));
        watch.handle_next(0, true, None);
        let begin = |tier, next, is_open| IndexGap::Begin { tier, next, is_open };
        assert_eq!(
            watch.take(),
            [
                begin(1, Some(b), true),
                begin(0, Some(one.clone()), false),
                IndexGap::End { tier: 1, before: one },
                begin(0, None, false),
            ]
        );
        assert_eq!(watch.take(), []);
    }
}
