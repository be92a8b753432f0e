//! How much a band may delete before it is taken for a mistake: a source disk that is not mounted.

use std::fmt;
use std::str::FromStr;

/// Versions with fewer entries than this have no limit by default.
const FEW: u64 = 100;

/// What a band deletes of its parent's version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Deletions {
    /// Entries that go, all that stand below a deleted path among them.
    pub gone: u64,
    /// Entries that the version did not have.
    pub new: u64,
    /// How many entries the version has.
    pub of: u64,
    /// Whether it is that of an unfinished band, which the run is about to complete.
    pub unfinished: bool,
}

impl Deletions {
    /// With what the band deleted already, and had new, before this run.
    pub fn after(self, earlier: Deletions) -> Deletions {
        let (gone, new) = (self.gone + earlier.gone, self.new + earlier.new);
        Deletions { gone, new, of: earlier.of, unfinished: self.unfinished }
    }

    /// Nothing but the root is left.
    pub fn is_all(self) -> bool {
        self.new == 0 && self.gone > 0 && self.gone + 1 >= self.of
    }
}

/// `--max-deleted`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MaxDeleted {
    /// Half of a version of 100 entries or more; and not all of an unfinished band, however few its
    /// entries are: it would be complete, and lack what it was begun for.
    #[default]
    Usual,
    /// So many entries.
    Entries(u64),
    /// So many of a hundred.
    Percent(u64),
    /// Any number.
    Any,
}

impl MaxDeleted {
    /// Whether a band may delete that: what goes, less what is new (a renamed folder is both).
    pub fn allows(self, deletions: Deletions) -> bool {
        let Deletions { gone, new, of, unfinished } = deletions;
        let lost = u128::from(gone.saturating_sub(new));
        let share = |percent: u64| lost * 100 <= u128::from(percent) * u128::from(of);
        match self {
            MaxDeleted::Usual if unfinished && deletions.is_all() => false,
            MaxDeleted::Usual => of < FEW || share(50),
            MaxDeleted::Entries(most) => lost <= u128::from(most),
            MaxDeleted::Percent(percent) => share(percent),
            MaxDeleted::Any => true,
        }
    }
}

/// `--max-changed`: so many of a hundred entries may change or go until it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MaxChanged(u64);

impl MaxChanged {
    /// Whether that is worth telling: of the `of` entries of a version so many have changed or are
    /// gone.
    pub fn is_exceeded(self, changed: u64, of: u64) -> bool {
        u128::from(changed) * 100 > u128::from(self.0) * u128::from(of)
    }
}

impl FromStr for MaxChanged {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<MaxChanged, &'static str> {
        match text.parse() {
            Ok(MaxDeleted::Percent(percent)) => Ok(MaxChanged(percent)),
            _ => Err("expected a percentage such as 50%"),
        }
    }
}

impl fmt::Display for MaxChanged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0)
    }
}

impl FromStr for MaxDeleted {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<MaxDeleted, &'static str> {
        const WANTED: &str = "expected a number of entries, a percentage such as 50%, or none";
        let number = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            digits.then(|| text.parse::<u64>().ok()).flatten().ok_or(WANTED)
        };
        match text.strip_suffix('%') {
            Some(percent) => number(percent)
                .and_then(|n| if n <= 100 { Ok(n) } else { Err(WANTED) })
                .map(MaxDeleted::Percent),
            None if text == "none" => Ok(MaxDeleted::Any),
            None => number(text).map(MaxDeleted::Entries),
        }
    }
}

impl fmt::Display for MaxDeleted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MaxDeleted::Usual => write!(f, "50%"),
            MaxDeleted::Entries(most) => write!(f, "{most}"),
            MaxDeleted::Percent(percent) => write!(f, "{percent}%"),
            MaxDeleted::Any => write!(f, "none"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_allowed() {
        for (limit, gone, new, of, allowed) in [
            ("50%", 5, 0, 10, true),
            ("50%", 6, 0, 10, false),
            ("50%", 6, 1, 10, true),
            ("0", 1, 0, 1000, false),
            ("0", 0, 0, 0, true),
            ("10", 10, 0, 12, true),
            ("10", 11, 0, 1000, false),
            ("100%", 7, 0, 7, true),
            ("0%", 1, 0, 1_000_000, false),
            ("none", u64::MAX, 0, 1, true),
            ("50%", u64::MAX, 0, u64::MAX, false),
        ] {
            let limit: MaxDeleted = limit.parse().unwrap();
            assert_eq!(
                limit.allows(Deletions { gone, new, of, unfinished: false }),
                allowed,
                "{limit} {gone} {new} {of}"
            );
        }
        let usual =
            |gone, of| MaxDeleted::Usual.allows(Deletions { gone, new: 0, of, unfinished: false });
        let all =
            |gone, of| MaxDeleted::Usual.allows(Deletions { gone, new: 0, of, unfinished: true });
        assert!(all(0, 1) && all(7, 9) && !all(8, 9));
        assert!(usual(99, 99) && usual(50, 100) && !usual(51, 100));
    }

    #[test]
    fn what_is_told() {
        for (limit, changed, of, told) in [
            ("50%", 5, 10, false),
            ("50%", 6, 10, true),
            ("0%", 0, 10, false),
            ("0%", 1, 10, true),
            ("100%", 10, 10, false),
            ("50%", 0, 0, false),
            ("50%", u64::MAX, u64::MAX, true),
        ] {
            let limit: MaxChanged = limit.parse().unwrap();
            assert_eq!(limit.is_exceeded(changed, of), told, "{limit} {changed} {of}");
        }
        for text in ["", "5", "none", "101%"] {
            assert!(text.parse::<MaxChanged>().is_err(), "{text}");
        }
    }

    #[test]
    fn words() {
        for text in ["none", "0", "17", "0%", "100%"] {
            assert_eq!(text.parse::<MaxDeleted>().unwrap().to_string(), text);
        }
        for text in ["", "%", "101%", "-1", "+1", "1.5%", "all", "50 %"] {
            assert!(text.parse::<MaxDeleted>().is_err(), "{text}");
        }
    }
}
