//! Targets: what is decided from names and lines that others wrote.

use std::collections::HashSet;
use std::sync::Arc;

use dura::core::chain::choice::{self, BandCondition, BandWish, ChoiceFacts, KnownBand};
use dura::core::chain::counted::{Counted, Indexes};
use dura::core::chain::naming;
use dura::core::diff::{Diff, DiffConfig, Effect};
use dura::core::merge::{Merge, MergeEvent, Placed};
use dura::core::repair;
use dura::core::restore::{self, RestoreStep};
use dura::core::verify::audit::{self, Audit, Free};
use dura::core::verify::borders::{self, Beginning};
use dura::core::verify::loose::{self, Bad, Shape};
use dura::core::verify::relist::{Claims, relist};
use dura::core::verify::stream_order::{ObjectSizes, place};
use dura::format::band::{BandId, BandName};
use dura::format::entry::Entry;
use dura::format::group::{List, OPENING};
use dura::format::listing::{End, Header, Line, ListingReader, parse_header};
use dura::format::object::ObjectName;
use dura::format::path::Path;

/// The band of all seeds.
fn own() -> (BandName, BandId) {
    (
        BandName::full(dura::format::time::Stamp::parse("20261101T020000Z").expect("a stamp")),
        BandId([7; 16]),
    )
}

/// The part before a line, and the part behind it.
fn halves<'a>(bytes: &'a [u8], line: &[u8]) -> (&'a [u8], &'a [u8]) {
    let at = bytes.windows(line.len()).position(|window| window == line);
    at.map_or((bytes, &[]), |at| (&bytes[..at], &bytes[at + line.len()..]))
}

fn lines(bytes: &[u8]) -> impl Iterator<Item = &str> {
    bytes.split(|&b| b == b'\n').filter_map(|line| std::str::from_utf8(line).ok())
}

/// Bands, one a line with `+` before it when it is complete, behind the text that stands for one of
/// them.
pub(super) fn choice(bytes: &[u8]) -> bool {
    let mut lines = lines(bytes).take(40);
    let text = lines.next().unwrap_or_default();
    let known = |line: &str| {
        let name: BandName = line.trim_start_matches('+').parse().ok()?;
        let facts = ChoiceFacts::new(name.start(), line.starts_with('+'));
        Some(KnownBand { name, found: BandCondition::Band(facts) })
    };
    let bands: Vec<KnownBand> = lines.filter_map(known).collect();
    let found = choice::find(&bands, text);
    let parent = found.as_ref().ok().map(|band| &band.name);
    for tier in [None, Some(0), Some(3), Some(200)] {
        let wish = BandWish { tier, parent, ..BandWish::default() };
        if let Ok(choice::BandToWrite::New { parent, .. }) = choice::target(&bands, &wish) {
            let clock = bands.first().map_or_else(|| own().0.start(), |band| band.name.start());
            let after = bands.iter().map(|band| band.name.start()).max();
            let named = naming::name(parent.map(|band| &band.name), after, clock);
            assert!(
                named.is_err()
                    || bands.iter().all(|band| band.name != named.as_ref().expect("a name").name)
            );
        }
    }
    let reading = choice::to_read(&bands, None);
    assert_eq!(reading.map(|found| found.is_some()), Ok(!bands.is_empty()));
    found.is_ok()
}

/// `#index` lines of a band, by which the machine tells what counts.
pub(super) fn counted(bytes: &[u8]) -> bool {
    let mut indexes = Indexes::new();
    let mut last = None;
    for line in bytes.split(|&b| b == b'\n') {
        match parse_header(line) {
            Ok(Header::Index(id, number, after)) if last < Some(number) => {
                last = Some(number);
                if id == own().1 {
                    indexes.handle_index(number, after)
                } else {
                    indexes.handle_number(number)
                }
            }
            _ => {}
        }
    }
    let rising = |found: &Counted| {
        for ranges in [&found.counted, &found.lost, &found.superseded] {
            assert!(ranges.iter().all(|range| range.start() <= range.end()), "{found:?}");
            assert!(ranges.windows(2).all(|pair| pair[0].end() < pair[1].start()), "{found:?}");
        }
        let no_part = found.superseded.iter().flat_map(|range| [*range.start(), *range.end()]);
        assert!(no_part.into_iter().all(|number| !found.contains(number)), "{found:?}");
    };
    rising(&indexes.of_unfinished());
    for last in last.iter().flat_map(|last| [*last, last / 2, last + 1]) {
        rising(&indexes.up_to(last));
    }
    assert!(indexes.next_number() > last || indexes.next_number().is_none());
    indexes.of_unfinished().last().is_some()
}

/// What can be rebuilt of a group of which every piece that its digest makes out so is bad.
pub(super) fn repair(list: &List) -> bool {
    let bad = |member: usize, row: usize| list.members[member].pieces[row][0].is_multiple_of(8);
    let plan = repair::RepairPlan::new(list, |member, row| !bad(member, row));
    for row in plan.rows().iter().chain(plan.lost()) {
        assert!(
            row.bad.iter().all(|member| bad(*member, row.row))
                && row.from.iter().all(|member| !bad(*member, row.row))
        );
    }
    if let Some(row) = plan.rows().first() {
        let pieces = plan.rebuild(row, &row.bad).expect("the row can be rebuilt").finish();
        assert_eq!(pieces.len(), row.bad.len());
    }
    true
}

/// A damaged list, and the list that is made of it.
pub(super) fn claims(bytes: &[u8]) -> bool {
    let (band, id) = own();
    let claims = Claims::read(bytes, &band, id, (0, 0));
    let names: HashSet<ObjectName> = claims.names().copied().collect();
    let run: Vec<Free> = names
        .into_iter()
        .filter(ObjectName::is_grouped)
        .map(|name| Free { name, counts: true, cut: true })
        .collect();
    let bad = Bad { name: (0, 0), claims: claims.clone(), shards: vec![0] };
    let taken = HashSet::new();
    let shape = Shape { taken: &taken, slots: 32, parity: 2 };
    let begin = |bytes: &[u8]| Beginning { bytes: bytes[..bytes.len().min(9)].to_vec(), size: 9 };
    let mut search = |_: &Bad, run: &[Free]| {
        let objects: Vec<Beginning> = run.iter().map(|_| begin(bytes)).collect();
        let found = borders::find(&objects, &[(0, begin(bytes))], 4, 1)?;
        assert!(!found.is_empty() && found.end <= run.len());
        Some((found, (4, 1)))
    };
    for group in loose::groups(vec![run.clone(), run], vec![bad], shape, &mut search).0 {
        assert!(group.shape.0 > 0, "a group without slots");
    }
    let (slots, parity) = claims.shape().unwrap_or((32, 0));
    assert!(claims.count(slots, parity) <= slots);
    let frame = List { band, id, name: (0, 0), added: 0, slots, parity, members: Vec::new() };
    relist(frame, &[], &claims).is_some_and(|made| made.vouched.iter().all(|sure| *sure))
}

/// Where a list begins.
pub(super) fn opening(bytes: &[u8]) -> usize {
    bytes.windows(OPENING.len()).position(|window| window == OPENING).unwrap_or(bytes.len())
}

/// Names with sizes as a store lists them, a line `#dura group 1` that begins a list, and the list.
pub(super) fn audit(bytes: &[u8]) -> bool {
    let (names, text) = bytes.split_at(opening(bytes));
    let mut objects = ObjectSizes::new();
    for line in lines(names) {
        if let Some((size, name)) = line
            .split_once(' ')
            .and_then(|(size, name)| Some((size.parse().ok()?, ObjectName::parse(name)?)))
        {
            objects.insert(place(&name), (name, size));
        }
    }
    let list = List::parse(text).ok().map(Arc::new);
    let lists = Vec::from_iter(list);
    let last = objects.values().find_map(|(name, _)| name.number()).unwrap_or(0);
    for ends in [None, Some((last, last))] {
        let known = audit::BandOverview {
            band: own().0,
            ends,
            complete: ends.is_some(),
            covered: false,
            under_way: ends.is_none(),
            counted: None,
            lost: Vec::from([last..=last]),
            encrypted: false,
        };
        let mut audit = Audit::new(known);
        for folder in [0, 1, 99_999] {
            audit.folder(folder, &objects, &lists);
        }
        let (_, unlisted) = audit.finish();
        let listed = |free: &Free| {
            lists.iter().any(|list| list.members.iter().any(|member| member.name == free.name))
        };
        assert!(!unlisted.runs.iter().flatten().any(listed), "what a list names is free");
    }
    !lists.is_empty()
}

/// The lines of a tier, as they are taken from its indexes: up to the first that is none.
fn tier(text: &[u8]) -> impl Iterator<Item = Entry> {
    let lines =
        text.split(|&b| b == b'\n').filter(|line| !matches!(line.first(), None | Some(b'#')));
    lines.map_while(|line| Entry::parse(line).ok())
}

/// The version of a chain, oldest tier first, and what it has without the directory above it.
fn version(texts: &[&[u8]]) -> (Vec<Placed>, Vec<Placed>) {
    let mut tiers: Vec<_> = texts.iter().map(|text| tier(text)).collect();
    let mut merge = Merge::new(tiers.len() as u8);
    let (mut version, mut orphans): (Vec<Placed>, Vec<Placed>) = (Vec::new(), Vec::new());
    let mut number = 0;
    while let Some(event) = merge.poll() {
        match event {
            MergeEvent::Want(tier) => match tiers[usize::from(tier)].next() {
                Some(entry) => {
                    number += 1;
                    merge.handle_entry(number / 5, entry);
                }
                None => merge.handle_end(),
            },
            MergeEvent::Entry(placed) => {
                assert!(
                    version.last().is_none_or(|last| last.entry.path < placed.entry.path),
                    "out of order: {placed:?}"
                );
                assert!(placed.data().tier <= placed.at.tier, "newer than its line: {placed:?}");
                version.push(placed);
            }
            MergeEvent::Orphan(placed) => orphans.push(placed),
            MergeEvent::OutOfOrder(_) => {}
        }
    }
    (version, orphans)
}

/// Tiers with a line `%` between, and the plan to restore every third entry of the version.
pub(super) fn merge(bytes: &[u8]) -> bool {
    let (first, rest) = halves(bytes, b"%\n");
    let (second, third) = halves(rest, b"%\n");
    let version = version(&[first, second, third]).0;
    for every in [1, 3] {
        planned(&version, every);
    }
    !version.is_empty()
}

fn planned(version: &[Placed], every: usize) {
    let mut plan = restore::RestorePlan::new(3);
    let mut references = restore::References::default();
    let wanted = version.iter().step_by(every);
    wanted.for_each(|placed| assert!(references.handle_entry(placed)));
    plan.keep(references, 1 << 20);
    let mut kept = HashSet::new();
    let mut written: HashSet<Path> = HashSet::new();
    let mut opened = HashSet::new();
    for (at, placed) in version.iter().enumerate() {
        plan.handle_entry(placed.clone(), at % every == 0);
        while let Some(step) = plan.poll() {
            match step {
                RestoreStep::Open(open) => {
                    assert!(opened.insert((open.lane, open.ticket)), "opened twice: {open:?}")
                }
                RestoreStep::Take(take) => {
                    assert!(
                        opened.contains(&(take.from.lane, take.from.ticket)),
                        "not opened: {take:?}"
                    );
                    if take.keep {
                        kept.insert((take.from.block, take.under));
                    }
                    written.insert(take.entry.path);
                }
                RestoreStep::Patch(take) => {
                    assert!(take.from.is_delta && take.entry.deltas > 0, "no delta: {take:?}");
                    written.insert(take.entry.path);
                }
                RestoreStep::Kept(take) => {
                    let content = (take.from.block, take.under);
                    assert!(kept.contains(&content), "not kept: {content:?}");
                    written.insert(take.entry.path);
                }
                RestoreStep::Make(entry) => {
                    assert!(
                        entry.hard.as_ref().is_none_or(|first| written.contains(first)),
                        "linked to nothing: {entry:?}"
                    );
                    written.insert(entry.path);
                }
                RestoreStep::Stray(_) => {}
            }
        }
    }
}

/// A version of one band, a line `%`, and a scan's listing.
pub(super) fn diff(bytes: &[u8]) -> bool {
    let (below, scan) = halves(bytes, b"%\n");
    let (version, orphans) = version(&[below]);
    let mut known = version
        .into_iter()
        .map(|placed| (placed, false))
        .chain(orphans.into_iter().map(|placed| (placed, true)))
        .collect::<Vec<_>>();
    known.sort_by(|a, b| a.0.entry.path.cmp(&b.0.entry.path));
    let mut known = known.into_iter();
    let mut scan = ListingReader::new(scan);
    let mut diff = Diff::new(DiffConfig { tier: 1, full: false, pass_over: None, after: None });
    let mut last: Option<Path> = None;
    while let Some(effect) = diff.poll() {
        match effect {
            Effect::WantScan => loop {
                match scan.next_line() {
                    Ok(Some(Line::Header(header))) => diff.handle_header(&header),
                    Ok(Some(Line::Entry(entry))) => break diff.handle_scan(entry),
                    Ok(Some(Line::End(end))) => break diff.handle_scan_end(end),
                    // What is cut off is refused, and nothing is made of it.
                    Ok(None) | Err(_) => return false,
                }
            },
            Effect::WantVersion => match known.next() {
                Some((placed, true)) => diff.handle_orphan(placed),
                Some((placed, false)) => diff.handle_version(placed),
                None => diff.handle_version_end(),
            },
            Effect::Record(entry) => {
                assert!(
                    last.as_ref().is_none_or(|last| *last < entry.path),
                    "out of order: {entry:?}"
                );
                last = Some(entry.path);
            }
            Effect::LeftOut(_) | Effect::PassedOver(_) => {}
        }
    }
    assert!(diff.finish().is_ok_and(|summary| summary.end != End::default() || last.is_none()));
    true
}
