//! Tables of archives and what is chosen among their bands and indexes.

mod indexes;
mod taken;
mod writers;

use self::indexes::indexes;
use super::ancestors::*;
use super::choice::*;
use super::naming::{Named, NoName};
use crate::core::diff::{Continuation, Opening};
use crate::format::band::{BandId, BandName};
use crate::format::counted::CountedBlocks;
use crate::format::head::{Head, Parent, Tail};
use crate::format::listing::Have;
use crate::format::object::{Compression, MAX_NUMBER};
use crate::format::time::Stamp;

/// Two indexes, each with a block.
fn two_blocks() -> CountedBlocks {
    CountedBlocks::parse(b"0-1:1").unwrap()
}

/// The stamp of this second of one day in November 2026: `3` is 00:00:03.
fn stamp(second: i64) -> Stamp {
    Stamp::from_unix(1_793_491_200 + second).unwrap()
}

/// A chain by its seconds: `1-3` is started at 00:00:03 on top of the full band of 00:00:01.
fn name(text: &str) -> BandName {
    let stamps: Vec<String> =
        text.split('-').map(|second| stamp(second.parse().unwrap()).to_string()).collect();
    stamps.join("-").parse().unwrap()
}

/// Bands, each as [`name`] reads it. One that ends in `?` is unfinished; behind that may stand `m`
/// for a mask, `o` for the mask of an earlier release, `@2` for what was current at 00:00:02, `x`
/// for one that nothing vouches for, `e` for one without counted indexes, `d` for one that deletes
/// too much, `t` for a damaged TAIL, `f` for a renamed folder, and `n` for an empty one.
fn bands(text: &str) -> Vec<KnownBand> {
    let known = |word: &str| {
        let end = word.find(|c: char| c != '-' && !c.is_ascii_digit()).unwrap_or(word.len());
        let (own, flags) = word.split_at(end);
        let as_of = flags.split_once('@').map(|(_, second)| stamp(second.parse().unwrap()));
        let has = |flag| flags.contains(flag);
        let mask = match (has('m'), has('o')) {
            (true, _) => Mask::Masked(Some([1; 32])),
            (_, true) => Mask::Earlier,
            _ => Mask::Whole,
        };
        let name = name(own);
        let facts = ChoiceFacts {
            as_of,
            mask,
            tail_damaged: has('t'),
            vouched: !has('x'),
            empty: has('e'),
            deletes_too_much: has('d'),
            ..ChoiceFacts::new(as_of.unwrap_or(name.start()), !has('?') && !has('t'))
        };
        let found = match (has('f'), has('n')) {
            (true, _) => BandCondition::Foreign(name.clone()),
            (_, true) => BandCondition::Nothing,
            _ => BandCondition::Band(facts),
        };
        KnownBand { name, found }
    };
    text.split_whitespace().map(known).collect()
}

fn one(text: &str) -> KnownBand {
    bands(text).remove(0)
}

#[test]
fn newest_is_what_was_started_last() {
    for (archive, wanted) in [
        ("1", "1"),
        ("1 1-2 1-2-3", "1-2-3"),
        ("1 1-2 3", "3"),
        ("3 1-2 1", "3"),
        ("1-9 2", "1-9"),
        ("1 2?", "2?"),
        // Started in one second: the same for everybody, whatever the order of the listing.
        ("2 1-2 1", "2"),
        ("1 1-2 2", "2"),
        // One that was taken from an old version is as old as that.
        ("1 5@2 3", "3"),
        ("1 1-5@4 3", "1-5@4"),
        // Those with a mask only if there is nothing else; no band in a renamed or empty folder.
        ("1 1-2m", "1"),
        ("1m 1-2o", "1-2o"),
        ("1 2f 3n", "1"),
    ] {
        assert_eq!(newest(&bands(archive)), Ok(Some(&one(wanted))), "{archive}");
    }
    assert_eq!(newest(&[]), Ok(None));
}

#[test]
fn readers_take_the_newest_complete_band() {
    for (archive, at, wanted, newer) in [
        ("1", None, "1", None),
        ("1 1-2 1-2-3", None, "1-2-3", None),
        ("1 1-2 1-2-3?", None, "1-2", Some("1-2-3?")),
        ("1 1-2? 3?", None, "1", Some("3?")),
        ("1? 2?", None, "2?", None),
        ("1 1-2? 1-2-3", None, "1-2-3", None),
        ("1 2 3", Some(2), "2", None),
        ("1 4", Some(3), "1", None),
        ("1 2? 4", Some(3), "1", Some("2?")),
        ("1? 4", Some(3), "1?", None),
        ("1 1-2m", None, "1", None),
        ("1? 1-2m", None, "1-2m", None),
        ("1m 1-2?", None, "1m", Some("1-2?")),
        ("1 9@2 3", None, "3", None),
        ("1 9@2 3", Some(2), "9@2", None),
        ("1 2f 3n", None, "1", None),
    ] {
        let archive = bands(archive);
        let found = to_read(&archive, at.map(stamp)).unwrap().unwrap();
        assert_eq!(
            (found.band, found.newer),
            (&one(wanted), newer.map(one).as_ref()),
            "{archive:?} at {at:?}"
        );
    }
    assert_eq!(to_read(&bands("2 3"), Some(stamp(1))), Ok(None));
    assert_eq!(to_read(&[], None), Ok(None));
}

#[test]
fn shortened_names() {
    let archive = bands("1 1-2 1-2-3? 61 70");
    let full = name("1-2").to_string();
    let own = |second| stamp(second).to_string();
    for (text, wanted) in [
        ("latest", "70"),
        (full.as_str(), "1-2"),
        (&own(1), "1"),
        (&own(2), "1-2"),
        (&own(3), "1-2-3?"),
        (&own(3)[..15], "1-2-3?"),
        (&full[..33], "1-2"),
        (&format!("{}-{}", own(2), &own(3)[..9]), "1-2-3?"),
        (&own(61)[..14], "61"),
    ] {
        let wanted = archive.iter().find(|band| **band == one(wanted));
        // `20261101T00011` is both 00:01:01 and 00:01:10.
        match find(&archive, text) {
            Err(FindError::Several(_, found)) if text.len() == 14 => {
                assert_eq!(found, [name("61"), name("70")])
            }
            found => assert_eq!(found.ok(), wanted, "{text}"),
        }
    }
    assert!(
        matches!(find(&archive, &own(1)[..8]), Err(FindError::Several(_, found)) if found.len() == 5)
    );
    for text in ["", "9", "20261108", &own(1)[1..], &full[..17], &format!("{full}-")] {
        assert!(matches!(find(&archive, text), Err(FindError::None(_))), "{text}");
    }
    assert!(matches!(find(&[], "latest"), Err(FindError::None(_))));
    let message = find(&archive, "20261101").unwrap_err().to_string();
    assert_eq!(message, format!("`20261101` matches 5 bands: {}, {full}, …", name("1")));
}

/// What is written: `new PARENT`, with `left BAND` if the newest is left unfinished, or `continue
/// BAND`.
fn decide(archive: &str, wish: &BandWish) -> String {
    let archive = bands(archive);
    let seconds = |name: &BandName| {
        let text: Vec<String> = name
            .to_string()
            .split('-')
            .map(|s| (Stamp::parse(s).unwrap().unix() - stamp(0).unix()).to_string())
            .collect();
        text.join("-")
    };
    match target(&archive, wish) {
        Ok(BandToWrite::Continue(band)) => format!("continue {}", seconds(&band.name)),
        Ok(BandToWrite::New { parent, left }) => {
            let parent = parent.map_or("nothing".into(), |band| seconds(&band.name));
            let left = left.map_or(String::new(), |band| format!(" left {}", seconds(&band.name)));
            format!("new on {parent}{left}")
        }
        Err(WishError::TooDeep(_)) => "too deep".into(),
        Err(WishError::NoBand(_)) => "no band".into(),
        Err(WishError::NotBelow(..)) => "not below".into(),
        Err(WishError::NoAncestor(_, ancestor)) => format!("no {}", seconds(&ancestor)),
        Err(WishError::Ask(Ask(band))) => format!("ask {}", seconds(&band)),
    }
}

#[test]
fn parents_and_continuations() {
    let ten = "1 1-2 1-2-3 1-2-3-4 1-2-3-4-5 1-2-3-4-5-6 1-2-3-4-5-6-7 1-2-3-4-5-6-7-8 1-2-3-4-5-6-7-8-9 1-2-3-4-5-6-7-8-9-10";
    let plain = BandWish::default();
    let full = BandWish { full: true, ..plain };
    let fresh = BandWish { no_resume: true, ..plain };
    let tier = |tier| BandWish { tier: Some(tier), ..plain };
    for (archive, wish, wanted) in [
        ("", plain, "new on nothing"),
        ("", tier(3), "new on nothing"),
        ("1", plain, "new on 1"),
        ("1 1-2", plain, "new on 1-2"),
        ("1 1-2 3", plain, "new on 3"),
        ("1 1-2", full, "new on nothing"),
        ("1 1-2", tier(0), "new on nothing"),
        ("1 1-2 1-2-3", tier(1), "new on 1"),
        ("1 1-2 1-2-3", tier(2), "new on 1-2"),
        ("1 1-2 1-2-3", tier(9), "new on 1-2-3"),
        ("1 1-2 3", tier(2), "new on 3"),
        // The newest of a tier that can be a parent, when the newest can not.
        (ten, plain, "new on 1-2-3-4-5-6-7-8-9"),
        (ten, tier(9), "new on 1-2-3-4-5-6-7-8-9"),
        // An unfinished newest band is continued, and only that.
        ("1?", plain, "continue 1"),
        ("1 1-2?", plain, "continue 1-2"),
        ("1? 2", plain, "new on 2"),
        ("1 1-2? 3", plain, "new on 3"),
        // It is a parent like any other if it is not to be continued.
        ("1 1-2?", fresh, "new on 1-2 left 1-2"),
        ("1?", fresh, "new on 1 left 1"),
        // Another kind of band is asked for.
        ("1 1-2?", full, "new on nothing left 1-2"),
        ("1 1-2?", tier(0), "new on nothing left 1-2"),
        ("1?", full, "continue 1"),
        ("1?", tier(0), "continue 1"),
        ("1?", tier(1), "continue 1"),
        ("1 1-2?", tier(1), "continue 1-2"),
        ("1 1-2?", tier(2), "continue 1-2"),
        ("1 1-2 1-2-3?", tier(1), "new on 1 left 1-2-3"),
        ("1 1-2 1-2-3?", BandWish { deeper: true, ..tier(1) }, "continue 1-2-3"),
        ("1?", BandWish { no_resume: true, ..full }, "new on nothing left 1"),
        // A chain with a hole can not be read.
        ("1-2", plain, "no 1"),
        ("1 1-2-3?", plain, "no 1-2"),
        ("1-2", full, "new on nothing"),
        ("1-2 1", tier(1), "new on 1"),
    ] {
        assert_eq!(decide(archive, &wish), wanted, "{archive} {wish:?}");
    }
    for (archive, parent, tier, wanted) in [
        ("1 1-2 3", "1-2", None, "new on 1-2"),
        ("1 1-2 3", "1", Some(1), "new on 1"),
        ("1 1-2 3", "1-2", Some(1), "not below"),
        ("1 1-2 3", "3", Some(0), "not below"),
        ("1 1-2 3", "2", None, "no band"),
        ("1-2", "1-2", None, "no 1"),
        ("1 1-2?", "1", None, "continue 1-2"),
        ("1 2 1-3?", "2", None, "new on 2 left 1-3"),
        ("1 1-2?", "1-2", None, "new on 1-2 left 1-2"),
        (ten, "1-2-3-4-5-6-7-8-9-10", None, "too deep"),
    ] {
        let parent = name(parent);
        let wish = BandWish { tier, parent: Some(&parent), ..plain };
        assert_eq!(decide(archive, &wish), wanted, "{archive} {parent}");
        assert_eq!(
            decide(archive, &BandWish { full: true, no_resume: true, ..wish })
                .split(" left")
                .next(),
            Some("new on nothing")
        );
    }
}

#[test]
fn side_branches_and_what_is_passed_over() {
    let plain = BandWish::default();
    let masked = |byte| BandWish { mask: Mask::Masked(Some([byte; 32])), ..plain };
    for (archive, wish, wanted) in [
        // A mask ends no continuation, uses up no tier, and is no parent but where nothing else is.
        ("1 1-2? 1-3m", plain, "continue 1-2"),
        ("1 1-2m", plain, "new on 1"),
        ("1 1-2m?", plain, "new on 1"),
        ("1m", plain, "new on 1"),
        ("1o?", plain, "new on 1"),
        // A run with a mask stands on the newest, and goes on with its own.
        ("1 1-2m", masked(1), "new on 1-2"),
        ("1 1-2m?", masked(1), "continue 1-2"),
        ("1 1-2m?", masked(2), "new on 1-2"),
        ("1 1-2m? 3", masked(1), "continue 1-2"),
        ("1 1-2m 3", masked(1), "new on 3"),
        ("1 1-2?", masked(1), "new on 1-2"),
        ("1o?", masked(1), "new on 1"),
        // Those that nothing vouches for, that deleted too much, or that were taken from an old
        // version, are passed over for both.
        ("1 1-2?x", plain, "new on 1"),
        ("1 1-2x 1-3", plain, "new on 1-3"),
        ("1 1-2?d", plain, "new on 1"),
        ("1 1-2?e", plain, "continue 1-2"),
        ("1 1-2?e", BandWish { no_resume: true, ..plain }, "new on 1 left 1-2"),
        ("1 1-9?@2 1-3", plain, "new on 1-3"),
        ("1 1-9?@2 1-3?", plain, "continue 1-3"),
        // One with a damaged TAIL counts as unfinished, but is not continued.
        ("1 1-2t", plain, "new on 1-2 left 1-2"),
        ("1 1-2f", plain, "new on 1"),
        ("1 1-2?n 1-3n", plain, "new on 1"),
        ("1n 1-2", plain, "no 1"),
    ] {
        assert_eq!(decide(archive, &wish), wanted, "{archive} {wish:?}");
    }
    let without_first = Mask::Masked(None);
    assert!(without_first.may_be_continued_by(Mask::Masked(Some([1; 32]))));
    assert!(!without_first.may_be_continued_by(Mask::Whole));
    assert!(!Mask::Earlier.may_be_continued_by(Mask::Earlier));
}

/// No more is asked than a choice needs.
#[test]
fn only_what_is_needed_is_asked() {
    let mut archive = bands("1 1-2 1-3m 1-4m");
    let told = archive.clone();
    archive.iter_mut().for_each(|band| band.found = BandCondition::Unasked);
    let mut asked = 0;
    while let Err(WishError::Ask(Ask(name))) = target(&archive, &BandWish::default()) {
        let at = archive.iter().position(|band| band.name == name).unwrap();
        archive[at].found = told[at].found.clone();
        asked += 1;
    }
    assert_eq!(asked, 3);
    assert_eq!(archive[0].found, BandCondition::Unasked);
}

#[test]
fn names_of_new_bands() {
    for (parent, after, clock, wanted, ahead) in [
        (None, None, 5, "5", 0),
        (Some("1"), Some(1), 5, "1-5", 0),
        (Some("1-2"), Some(4), 5, "1-2-5", 0),
        // Two bands in one second, one of them not the parent.
        (None, Some(5), 5, "6", 1),
        (Some("1"), Some(5), 5, "1-6", 1),
        (Some("5"), Some(5), 5, "5-6", 1),
        (Some("5"), Some(6), 5, "5-7", 2),
        // The clock went back.
        (Some("1"), Some(90), 5, "1-91", 86),
        (Some("7"), None, 5, "7-8", 3),
    ] {
        let parent = parent.map(name);
        let found = super::naming::name(parent.as_ref(), after.map(stamp), stamp(clock)).unwrap();
        assert_eq!(found, Named { name: name(wanted), ahead }, "{parent:?} {after:?} {clock}");
    }
    let end = Stamp::parse("99991230T220000Z").unwrap();
    assert_eq!(super::naming::name(None, Some(end), stamp(1)), Err(NoName::EndOfTime(end)));
    let deepest = name("1-2-3-4-5-6-7-8-9-10");
    assert_eq!(
        super::naming::name(Some(&deepest), None, stamp(11)),
        Err(NoName::TooDeep(deepest.clone()))
    );
}

fn id(byte: u8) -> BandId {
    BandId([byte; 16])
}

fn head(text: &str, own: u8, parent: Option<(u8, u32)>) -> Head {
    let band = name(text);
    let parent =
        parent.map(|(parent, last)| Parent { band: band.parent().unwrap(), id: id(parent), last });
    Head::new(band.clone(), id(own), parent, band.start(), Compression::Gzip, "")
}

fn tail(text: &str, own: u8, last: u32) -> Tail {
    let (band, finished) = (name(text), stamp(0));
    Tail {
        band,
        id: id(own),
        finished,
        last,
        toc: last,
        entries: 0,
        files: 0,
        bytes: 0,
        tree: None,
        skipped: 0,
        behind: None,
        runs: Vec::new(),
        unattributed: 0,
        head: None,
    }
}

#[test]
fn chains() {
    use Extent::*;
    let full = head("1", 1, None);
    let second = head("1-2", 2, Some((1, 7)));
    let third = head("1-2-3", 3, Some((2, 9)));
    let names = [name("1"), name("1-2"), name("1-2-3")];
    let check = |heads: [Option<&Head>; 3], tails: [Option<&Tail>; 3], bands: usize| {
        let link = |i: usize| Link { name: &names[i], head: heads[i], tail: tails[i] };
        extents(&(0..bands).map(link).collect::<Vec<_>>())
    };
    let all = [Some(&full), Some(&second), Some(&third)];
    let (t1, t2, t3) = (tail("1", 1, 7), tail("1-2", 2, 9), tail("1-2-3", 3, 4));
    let tails = [Some(&t1), Some(&t2), Some(&t3)];
    assert_eq!(check(all, tails, 3), Ok(vec![UpTo(7), UpTo(9), UpTo(4)]));
    assert_eq!(check(all, tails, 1), Ok(vec![UpTo(7)]));
    assert_eq!(check(all, [None; 3], 3), Ok(vec![UpTo(7), UpTo(9), Unfinished]));
    assert_eq!(check(all, [None; 3], 1), Ok(vec![Unfinished]));
    assert_eq!(check(all, tails, 0), Ok(vec![]));
    // A parent that went on after the band on top of it was begun counts as far as that band knew
    // it.
    let more = tail("1", 1, 30);
    assert_eq!(check(all, [Some(&more), None, None], 2), Ok(vec![UpTo(7), Unfinished]));

    let refused = |heads, tails| check(heads, tails, 3).unwrap_err().to_string();
    assert_eq!(refused([None, all[1], all[2]], tails), format!("{}/HEAD: missing", names[0]));
    let other = head("1", 9, None);
    assert_eq!(
        check([Some(&other), all[1], all[2]], [None; 3], 3),
        Err(ChainError::OtherParent {
            band: names[1].clone(),
            parent: names[0].clone(),
            wanted: id(1),
            found: id(9)
        })
    );
    let short = tail("1", 1, 6);
    let wanted = format!(
        "{}/TAIL: ends with index 000000006, but {} is on top of it up to 000000007",
        names[0], names[1]
    );
    assert_eq!(refused(all, [Some(&short), None, None]), wanted);
    assert_eq!(
        check(all, [None, Some(&t1), None], 3),
        Err(ChainError::Foreign(names[1].clone(), "TAIL"))
    );
    let foreign = tail("1", 2, 7);
    assert_eq!(
        check(all, [Some(&foreign), None, None], 3),
        Err(ChainError::Foreign(names[0].clone(), "TAIL"))
    );
    assert_eq!(
        check([all[0], all[0], all[2]], [None; 3], 3),
        Err(ChainError::Foreign(names[1].clone(), "HEAD"))
    );
    // A chain is whole from its full band on.
    let upper = [Link { name: &names[1], head: all[1], tail: None }];
    assert_eq!(extents(&upper), Err(ChainError::NoHead(names[0].clone())));
    // A hostile HEAD that names no parent below a chained name.
    let torn = Head { parent: None, ..second.clone() };
    assert_eq!(
        check([all[0], Some(&torn), all[2]], [None; 3], 3),
        Err(ChainError::Foreign(names[1].clone(), "HEAD"))
    );
}

#[test]
fn continuations_begin_where_the_chain_ends() {
    let band = name("1-2");
    let head = head("1-2", 2, Some((1, 7)));
    let have = Have { entries: 5, files: 3, bytes: 9 };
    let mut seen = indexes("0<- 1<0 3<2");
    seen.handle_number(5);
    let wanted = Continuation {
        band: band.clone(),
        id: id(2),
        next: 32,
        after: Some(1),
        have,
        counted: two_blocks(),
    };
    assert_eq!(
        continuation(&band, Some(&head), &seen, None, have, two_blocks()),
        Ok(wanted.clone())
    );
    let lines: Vec<String> =
        Opening::Continue(wanted).headers().iter().map(ToString::to_string).collect();
    let id = "02020202020202020202020202020202";
    assert_eq!(
        lines,
        [
            &format!("#band {band} {id}"),
            "#next 000000032",
            "#after 000000001",
            "#have entries=5 files=3 bytes=9",
            "#counted 000000000-000000001:1"
        ]
    );
    // None counts yet: it begins at the start, under numbers of its own.
    let fresh = continuation(
        &band,
        Some(&head),
        &indexes("1<0"),
        None,
        Have::default(),
        CountedBlocks::default(),
    )
    .unwrap();
    assert_eq!((fresh.next, fresh.after), (32, None));
    assert_eq!(Opening::Continue(fresh).headers().len(), 3);

    assert_eq!(
        continuation(&band, None, &seen, None, have, two_blocks()),
        Err(Stuck::NoHead(band.clone()))
    );
    assert_eq!(
        continuation(&band, Some(&head), &seen, Some(1), have, two_blocks()),
        Err(Stuck::Unreadable(band.clone(), 1))
    );
    seen.handle_number(MAX_NUMBER);
    assert_eq!(
        continuation(&band, Some(&head), &seen, None, have, two_blocks()),
        Err(Stuck::Full(band.clone()))
    );

    let parent = Parent { band: name("1"), id: self::id(1), last: 7 };
    let new =
        Opening::New { parent: Some(parent), band_after: Some(stamp(2)), counted: two_blocks() };
    let lines: Vec<String> = new.headers().iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [
            format!("#parent {} {} 000000007", name("1"), self::id(1)),
            format!("#band-after {}", stamp(2)),
            "#counted 000000000-000000001:1".to_owned()
        ]
    );
    assert_eq!(
        Opening::New { parent: None, band_after: None, counted: CountedBlocks::default() }
            .headers(),
        []
    );
}
