//! Tables of the links of indexes and what counts of them.

use crate::core::chain::counted::*;
use crate::format::object::{Compression, MAX_NUMBER, Object, ObjectName};

/// Indexes, as `NUMBER<AFTER`, `NUMBER<-` for the first.
pub(super) fn indexes(text: &str) -> Indexes {
    let mut indexes = Indexes::new();
    for word in text.split_whitespace() {
        let (number, after) = word.split_once('<').unwrap();
        indexes.handle_index(number.parse().unwrap(), after.parse().ok());
    }
    indexes
}

fn ranges(text: &str) -> Vec<std::ops::RangeInclusive<u32>> {
    let range = |word: &str| {
        let (first, last) = word.split_once('-').unwrap_or((word, word));
        first.parse().unwrap()..=last.parse().unwrap()
    };
    text.split_whitespace().map(range).collect()
}

#[test]
fn what_counts_of_an_unfinished_band() {
    for (text, counted, superseded) in [
        ("", "", ""),
        ("0<-", "0", ""),
        ("0<- 1<0 2<1", "0-2", ""),
        // A continuation starts above every number seen.
        ("0<- 1<0 4<1 5<4", "0-1 4-5", ""),
        // Stored side by side: what lies behind a gap does not count.
        ("0<- 1<0 3<2", "0-1", "3"),
        ("0<- 1<0 3<2 4<3", "0-1", "3-4"),
        ("1<0", "", "1"),
        ("1<0 2<1", "", "1-2"),
        // It is continued from before the gap, or from the start.
        ("0<- 1<0 3<2 4<1 5<4", "0-1 4-5", "3"),
        ("1<0 2<- 3<2", "2-3", "1"),
        // Two continued it at once: the highest chain counts.
        ("0<- 1<0 2<1 3<1 4<3", "0-1 3-4", "2"),
        ("0<- 1<0 2<1 3<1 4<2", "0-2 4", "3"),
        ("0<- 1<0 2<1 3<1 5<4", "0-1 3", "2 5"),
        ("0<- 1<0 2<1 4<1 5<2 6<4", "0-1 4 6", "2 5"),
        ("0<- 1<0 2<1 3<2 9<1", "0-1 9", "2-3"),
        // Forged links lead nowhere.
        ("0<- 1<1 2<3 3<2", "0", "1 2-3"),
        ("0<- 0<5 1<0", "0-1", ""),
    ] {
        let found = indexes(text).of_unfinished();
        let wanted = Counted {
            counted: ranges(counted),
            superseded: ranges(superseded),
            ..Counted::default()
        };
        assert_eq!(found, wanted, "{text}");
        for number in 0..12 {
            assert_eq!(
                found.contains(number),
                wanted.counted.iter().any(|range| range.contains(&number)),
                "{text}: {number}"
            );
        }
        assert_eq!(found.last(), wanted.counted.last().map(|range| *range.end()));
    }
}

#[test]
fn what_counts_up_to_an_index() {
    for (text, last, counted, lost, superseded, guessed) in [
        ("0<- 1<0 2<1", 2, "0-2", "", "", false),
        // Up to parent-last: the parent went on since.
        ("0<- 1<0 2<1 3<2", 1, "0-1", "", "2-3", false),
        ("0<- 1<0 2<1 3<1 4<3", 4, "0-1 3-4", "", "2", false),
        ("0<- 1<0 2<1 3<1 4<3", 2, "0-2", "", "3-4", false),
        // Lost, with what they were after.
        ("0<- 1<0 3<2", 3, "0-1 3", "2", "", true),
        ("0<- 1<0", 5, "0-1", "5", "", true),
        ("", 0, "", "0", "", true),
        ("2<1 3<2", 3, "2-3", "1", "", true),
        ("0<- 1<7", 1, "1", "", "0", true),
    ] {
        let found = indexes(text).up_to(last);
        let wanted = Counted {
            counted: ranges(counted),
            lost: ranges(lost),
            superseded: ranges(superseded),
            guessed,
        };
        assert_eq!(found, wanted, "{text} up to {last}");
    }
}

#[test]
fn next_numbers() {
    let mut found = indexes("0<- 1<0");
    assert_eq!((Indexes::new().next_number(), found.next_number()), (Some(0), Some(STRIDE)));
    // A block whose index was not stored, and an older object after it.
    found.handle_number(7);
    found.handle_number(3);
    assert_eq!(found.next_number(), Some(STRIDE));
    found.handle_number(STRIDE - 1);
    assert_eq!(found.next_number(), Some(STRIDE));
    found.handle_number(STRIDE);
    assert_eq!(found.next_number(), Some(2 * STRIDE));
    found.handle_number(MAX_NUMBER);
    assert_eq!(found.next_number(), None);
    found.handle_number(u32::MAX);
    assert_eq!(found.next_number(), None);
}

#[test]
fn many_indexes_are_few_runs() {
    let mut indexes = Indexes::new();
    indexes.handle_index(0, None);
    for number in 1..3_000_000 {
        indexes.handle_index(number, Some(number - 1));
    }
    assert_eq!(indexes.of_unfinished().counted, [0..=2_999_999]);
    // All of it, not only its beginning, is a line of text.
    assert!(format!("{indexes:?}").len() < 200);
}

/// Two runs, not one, must have begun a block of parts and not ended it.
#[test]
fn what_never_ends() {
    for (there, last, wanted) in [
        ("", None, None),
        ("p0", None, None),
        ("p0 p1", None, None),
        ("p0 p32", None, Some(7)),
        ("p0 p32 i32", None, None),
        ("i0 p1 p32", Some(0), Some(7)),
        ("i0 i1 p1 p32", Some(1), None),
        ("i0 i1 p1 p2 p32 p64", Some(1), Some(7)),
        ("p31 p32", None, None),
        ("p31 p32 p64", None, Some(7)),
        ("p0 b32", None, None),
    ] {
        let object = |word: &str| {
            let number = word[1..].parse().unwrap();
            let object = match &word[..1] {
                "p" => Object::Part(number, Compression::Gzip.into(), 0),
                "i" => Object::Index(number),
                _ => Object::Block(number, Compression::Gzip.into()),
            };
            (ObjectName::plain(object), 7)
        };
        let objects: Vec<_> = there.split_whitespace().map(object).collect();
        assert_eq!(never_ended(&objects, last), wanted, "{there}");
    }
}
