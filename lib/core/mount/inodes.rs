//! The inode numbers of a mount. They are its own: those that files had when they were stored may
//! be the same in two file systems of a source.

/// What a number stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum InodePlace {
    /// The directory that the archive is mounted on.
    Top,
    /// `by-time`, which holds the versions.
    ByTime,
    /// An entry of a version.
    Entry {
        /// Which tree: a version has one below `by-time`, and one as `latest`.
        tree: u32,
        /// The entry's place in the version; of a hard link that of the first name.
        ordinal: u32,
    },
}

impl InodePlace {
    /// Its number.
    pub fn number(self) -> u64 {
        match self {
            InodePlace::Top => 1,
            InodePlace::ByTime => 2,
            InodePlace::Entry { tree, ordinal } => (u64::from(tree) + 1) << 32 | u64::from(ordinal),
        }
    }

    /// What this number stands for; none if for nothing.
    pub fn of(number: u64) -> Option<InodePlace> {
        match number {
            1 => Some(InodePlace::Top),
            2 => Some(InodePlace::ByTime),
            _ => {
                let tree = u32::try_from((number >> 32).checked_sub(1)?).ok()?;
                Some(InodePlace::Entry { tree, ordinal: number as u32 })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_places_are_one_to_one() {
        let last = u32::MAX;
        let entry = |tree, ordinal| InodePlace::Entry { tree, ordinal };
        let places = [
            InodePlace::Top,
            InodePlace::ByTime,
            entry(0, 0),
            entry(0, last),
            entry(1, 0),
            entry(last - 1, last),
        ];
        for place in places {
            assert_eq!(InodePlace::of(place.number()), Some(place));
        }
        assert_eq!((InodePlace::of(0), InodePlace::of(3)), (None, None));
    }
}
