//! Tables of what the rules keep, by the names and times of bands.

use super::*;

fn rules(text: &str) -> Rules {
    let mut rules = Rules {
        last: 0,
        hourly: 0,
        daily: 0,
        weekly: 0,
        monthly: 0,
        yearly: 0,
        within: None,
        space: None,
        zone: Offset::UTC,
    };
    for word in text.split_whitespace() {
        let (name, value) = word.split_once('=').unwrap();
        let slot = match name {
            "last" => &mut rules.last,
            "hourly" => &mut rules.hourly,
            "daily" => &mut rules.daily,
            "weekly" => &mut rules.weekly,
            "monthly" => &mut rules.monthly,
            "yearly" => &mut rules.yearly,
            "within" => {
                rules.within = Some(Period::parse(value).unwrap());
                continue;
            }
            "space" => {
                rules.space = Some(value.parse().unwrap());
                continue;
            }
            "zone" => {
                rules.zone = Offset::from_hours(value.parse().unwrap()).unwrap();
                continue;
            }
            _ => panic!("{name}"),
        };
        *slot = value.parse().unwrap();
    }
    rules
}

/// `NAME WORD…`, with the words `masked`, `unfinished`, `unreadable`, `signed`,
/// `sealed`, `files=N`, `stored=N`, and `at=STAMP` for a time that is not the name's.
fn band(text: &str) -> ExpiryCandidate {
    let mut words = text.split_whitespace();
    let name: BandName = words.next().unwrap().parse().unwrap();
    let mut band = ExpiryCandidate {
        time: name.start(),
        name,
        standing: ExpiryStanding::Version,
        signed: false,
        sealed: false,
        files: None,
        stored: 0,
    };
    for word in words {
        match word.split_once('=') {
            None if word == "masked" => band.standing = ExpiryStanding::Masked,
            None if word == "unfinished" => band.standing = ExpiryStanding::Unfinished,
            None if word == "unreadable" => band.standing = ExpiryStanding::Unreadable,
            None if word == "signed" => band.signed = true,
            None if word == "sealed" => band.sealed = true,
            Some(("files", count)) => band.files = Some(count.parse().unwrap()),
            Some(("stored", bytes)) => band.stored = bytes.parse().unwrap(),
            Some(("at", stamp)) => band.time = Stamp::parse(stamp).unwrap(),
            _ => panic!("{word}"),
        }
    }
    band
}

fn plan(bands: &[&str], asked: &str) -> ExpiryPlan {
    let bands: Vec<ExpiryCandidate> = bands.iter().map(|text| band(text)).collect();
    expire(&bands, &rules(asked), Stamp::parse("20270101T000000Z").unwrap())
}

/// The days of the bands that go, of bands that are full and named by a day of 2026: `MMDD`.
fn gone(days: &[&str], asked: &str) -> Vec<String> {
    let bands: Vec<String> = days.iter().map(|day| format!("2026{day}T020000Z")).collect();
    let bands: Vec<&str> = bands.iter().map(String::as_str).collect();
    plan(&bands, asked).expired.iter().map(|name| name.to_string()[4..8].to_owned()).collect()
}

#[test]
fn rules_as_in_restic() {
    let days = ["0105", "0106", "0201", "0228", "0301", "0302", "0303"];
    for (asked, wanted) in [
        ("last=2", &["0105", "0106", "0201", "0228", "0301"][..]),
        ("daily=3", &["0105", "0106", "0201", "0228"]),
        // Sunday 1 March is of the week before Monday 2 March.
        ("weekly=2", &["0105", "0106", "0201", "0228", "0302"]),
        ("monthly=2", &["0105", "0106", "0201", "0301", "0302"]),
        // A count that is not used up keeps the oldest too.
        ("monthly=5", &["0201", "0301", "0302"]),
        ("yearly=1", &["0105", "0106", "0201", "0228", "0301", "0302"]),
        ("yearly=2", &["0106", "0201", "0228", "0301", "0302"]),
        ("within=1d", &["0105", "0106", "0201", "0228", "0301", "0302"]),
        ("within=1d1h", &["0105", "0106", "0201", "0228", "0301"]),
        ("within=1m", &["0105", "0106", "0201"]),
        ("last=1 monthly=2", &["0105", "0106", "0201", "0301", "0302"]),
        ("", &[]),
        ("last=0 within=0d", &[]),
    ] {
        assert_eq!(gone(&days, asked), wanted, "{asked}");
    }
}

#[test]
fn hours_and_zones() {
    let bands = ["20260301T223000Z", "20260301T224500Z", "20260301T233000Z", "20260302T003000Z"];
    let kept = |asked: &str| plan(&bands, asked).kept.len();
    assert_eq!((kept("hourly=2"), kept("daily=2"), kept("daily=2 zone=1")), (2, 2, 2));
    let last = |asked: &str| plan(&bands, asked).kept.keys().next().unwrap().to_string();
    // In UTC the day ends at midnight, an hour to the east of it an hour before.
    assert_eq!(last("daily=2"), "20260301T233000Z");
    assert_eq!(last("daily=2 zone=1"), "20260301T224500Z");
}

#[test]
fn periods() {
    for text in ["30d", "1y6m", "12h", "1y2m3d4h", "0d"] {
        assert!(Period::parse(text).is_some(), "{text}");
    }
    for text in ["", "d", "30", "1d1y", "1d1d", "1w", "-1d", "999999d", "1.5d"] {
        assert_eq!(Period::parse(text), None, "{text}");
    }
    let back = |from: &str, period: &str| {
        let zoned = from.parse::<Timestamp>().unwrap().to_zoned(jiff::tz::TimeZone::UTC);
        Period::parse(period).unwrap().before(&zoned).unwrap().to_string()
    };
    assert_eq!(back("2026-03-31T02:00:00Z", "1m"), "2026-03-03T02:00:00Z");
    assert_eq!(back("2026-01-15T02:00:00Z", "1y2m20d3h"), "2024-10-25T23:00:00Z");
}

const CHAIN: [&str; 4] = [
    "20260101T020000Z",
    "20260101T020000Z-20260102T020000Z",
    "20260101T020000Z-20260103T020000Z",
    "20260104T020000Z",
];

#[test]
fn what_a_kept_band_stands_on_stays() {
    let found = plan(&CHAIN, "last=2");
    assert_eq!(found.expired, [CHAIN[1].parse().unwrap()]);
    let needed = Reason::NeededBy(CHAIN[2].parse().unwrap());
    assert_eq!(found.kept[&CHAIN[0].parse().unwrap()], [needed]);
    assert_eq!(found.held, 1);
    // Those that stand on others first.
    let found = plan(&CHAIN, "last=1");
    let wanted: Vec<BandName> =
        [CHAIN[1], CHAIN[2], CHAIN[0]].iter().map(|name| name.parse().unwrap()).collect();
    assert_eq!((found.expired, found.held), (wanted, 0));
}

#[test]
fn what_may_still_be_wanted_stays() {
    let goes = |bands: &[&str], asked: &str| -> Vec<String> {
        plan(bands, asked).expired.iter().map(ToString::to_string).collect()
    };
    let old = "20260101T020000Z";
    for word in ["masked", "unfinished", "unreadable"] {
        // The newest of all, and what it stands on.
        let newest = format!("20260102T020000Z {word}");
        assert!(goes(&[old, &newest], "last=1").is_empty(), "{word}");
        let older = format!("20251231T020000Z {word}");
        let wanted = if word == "unreadable" { &[][..] } else { &["20251231T020000Z"] };
        assert_eq!(goes(&[&older, old], "last=1"), wanted, "{word}");
        let needed = format!("{old} {word}");
        let above = "20260101T020000Z-20260102T020000Z";
        assert!(goes(&[&needed, above], "last=1").is_empty(), "{word}");
    }
    // One of the future counts for nothing, and stays.
    assert!(goes(&[old, "20300101T000000Z"], "last=1").is_empty());
    assert_eq!(goes(&[old, "20260102T020000Z", "20300101T000000Z"], "last=1"), [old]);
    // Two of one time count once.
    let twice = format!("20260102T020000Z at={old}");
    let found = plan(&["20251231T020000Z", old, &twice, "20260103T020000Z"], "last=2");
    assert_eq!(
        found.expired.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["20251231T020000Z", old]
    );
}

#[test]
fn what_may_be_wrong_pushes_out_nothing() {
    let kept = |bands: &[&str], asked: &str| plan(bands, asked).kept.len();
    let shrunk =
        ["20260101T020000Z files=1000", "20260102T020000Z files=99", "20260103T020000Z files=0"];
    assert_eq!(kept(&shrunk, "last=1"), 2);
    let sound =
        ["20260101T020000Z files=1000", "20260102T020000Z files=100", "20260103T020000Z files=99"];
    assert_eq!(kept(&sound, "last=1"), 1);
    let forged = ["20260101T020000Z signed", "20260102T020000Z", "20260103T020000Z"];
    assert_eq!(kept(&forged, "last=1"), 2);
    assert_eq!(kept(&forged, "last=2"), 3);
    // One that is signed and plain, and one that is sealed and unsigned: neither pushes out
    // another.
    let mixed = ["20260101T020000Z sealed signed", "20260102T020000Z sealed", "20260103T020000Z"];
    assert_eq!(kept(&mixed, "last=1"), 3);
    let plain = ["20260101T020000Z sealed", "20260102T020000Z signed", "20260103T020000Z signed"];
    assert_eq!(kept(&plain, "last=1"), 2);
}

#[test]
fn space_counts_what_versions_need() {
    let bands = [
        "20260101T020000Z stored=100",
        "20260101T020000Z-20260102T020000Z stored=10",
        "20260101T020000Z-20260103T020000Z stored=10",
        "20260104T020000Z stored=100",
    ];
    for (space, kept) in [(1, 1), (100, 1), (209, 1), (210, 3), (219, 3), (220, 4)] {
        assert_eq!(plan(&bands, &format!("space={space}")).kept.len(), kept, "{space}");
    }
}
