//! What the schedule decides, as tables, in virtual time, and whatever happens to the writes.

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::vec;
use proptest::prelude::*;

use super::order::OpenOrder;
use super::*;
use crate::core::chain::counted::STRIDE;
use crate::format::object::{Compression, Object};

const SECOND: Duration = Duration::from_secs(1);

fn limits(jobs: usize) -> Limits {
    Limits { jobs, rate: None, patience: Patience::new(10), seed: 1 }
}

fn schedule(names: &[&str]) -> Schedule {
    let mut schedule = Schedule::new(limits(100));
    for name in names {
        schedule.handle_object(ObjectName::parse(name).unwrap(), 1);
    }
    schedule
}

fn started(schedule: &mut Schedule, now: Duration) -> Vec<u64> {
    let next = || match schedule.poll(now) {
        NextAction::Start(ticket) => Some(ticket),
        NextAction::At(_) | NextAction::Idle => None,
    };
    std::iter::from_fn(next).collect()
}

const NAMES: [&str; 15] = [
    "HEAD",
    "recover.sh",
    "00000/000000000.tar.gz.000000",
    "00000/000000000.tar.gz.000001",
    "00000/000000000.mtree.gz",
    "00000/000000001.tar.gz",
    "00000/000000001.mtree.gz",
    "00000/000000002.mtree.gz",
    "00000/000000002.toc.gz",
    "00000/000000000-0.rs0",
    "00000/000000000-0.sha256.sig",
    "00000/000000000-0.sha256",
    "00000/000000002-0.sha256",
    "TAIL",
    "TAIL.sig",
];

/// What each object waits for, one by one: it starts when the last of those is stored, and not
/// before.
#[test]
fn barriers() {
    let number = |text: &str| NAMES.iter().position(|name| name.ends_with(text)).unwrap() as u64;
    // All of them stored but one: what may not start?
    let held = |open: u64| -> BTreeSet<u64> {
        let mut before = OpenOrder::new(Some(0), None);
        before.handle_open(&ObjectName::parse(NAMES[open as usize]).unwrap());
        let later = (open + 1..NAMES.len() as u64)
            .map(|at| (at, ObjectName::parse(NAMES[at as usize]).unwrap()));
        later.filter(|(_, name)| before.holds_back(name)).map(|(at, _)| at).collect()
    };
    let lists = [number("0-0.sha256"), number("2-0.sha256")];
    let ends = [number("TAIL"), number("TAIL.sig")];
    let set = |more: &[&[u64]]| {
        more.iter().flat_map(|some| some.iter().copied()).collect::<BTreeSet<u64>>()
    };
    assert_eq!(held(number("HEAD")), (1..NAMES.len() as u64).collect());
    assert_eq!(held(number("recover.sh")), set(&[&lists, &ends]));
    for part in ["tar.gz.000000", "tar.gz.000001"] {
        assert_eq!(held(number(part)), set(&[&[number("0.mtree.gz")], &lists, &ends]));
    }
    // Index 0 is a gate, index 1 is none.
    let behind = [number("1.mtree.gz"), number("2.mtree.gz")];
    assert_eq!(held(number("0.mtree.gz")), set(&[&behind, &lists, &ends]));
    assert_eq!(held(number("1.tar.gz")), set(&[&[number("1.mtree.gz")], &lists, &ends]));
    assert_eq!(held(number("1.mtree.gz")), set(&[&lists, &ends]));
    assert_eq!(held(number("2.toc.gz")), set(&[&lists, &ends]));
    assert_eq!(held(number("rs0")), set(&[&lists, &ends]));
    assert_eq!(held(number("sha256.sig")), set(&[&lists, &ends]));
    lists.iter().for_each(|list| assert_eq!(held(*list), set(&[&ends])));
    assert_eq!(held(ends[0]), set(&[&[ends[1]]]));
}

/// Of a signed stream each list goes behind its signature; what is left out holds nothing up.
#[test]
fn lists_go_behind_their_signatures() {
    let text = "HEAD 00000/000000000-0.sha256 00000/000000000-0.sha256.sig 00000/000000001-0.sha256 \
        00000/000000001.tar.gz TAIL TAIL.sig";
    let go = |signed: bool, left_out: &str| -> Vec<&str> {
        let mut order = order::SignedFirst::new(signed);
        let mut gone = Vec::new();
        for name in text.split_whitespace() {
            match name == left_out {
                true => gone.extend(order.handle_left_out()),
                false => gone.extend(order.handle_object(&ObjectName::parse(name).unwrap(), name)),
            }
        }
        gone
    };
    let swapped =
        text.replace("sha256 00000/000000000-0.sha256.sig", "sha256.sig 00000/000000000-0.sha256");
    assert_eq!(go(true, "").join(" "), swapped);
    assert_eq!(
        go(true, "00000/000000000-0.sha256.sig").join(" "),
        text.replace("00000/000000000-0.sha256.sig ", "")
    );
    // Known from the first signature on.
    assert_eq!(go(false, "").join(" "), text);
    assert_eq!(go(true, "HEAD").len(), 6);
}

#[test]
fn a_gate_waits_for_all_indexes_before_it() {
    let index = |number| ObjectName::plain(Object::Index(number));
    let mut schedule = Schedule::new(limits(100));
    let numbers = [STRIDE - 2, STRIDE - 1, STRIDE, STRIDE + 1, STRIDE + 2];
    numbers.iter().for_each(|number| _ = schedule.handle_object(index(*number), 1));
    // The first of the run is one, too.
    assert_eq!(started(&mut schedule, Duration::ZERO), [0]);
    for (done, then) in [(0, vec![1]), (1, vec![2]), (2, vec![3, 4])] {
        assert_eq!(schedule.handle_done(done, WriteOutcome::Stored, Duration::ZERO), After::Stored);
        assert_eq!(started(&mut schedule, Duration::ZERO), then);
    }
}

/// What starts next is told while small objects are under way, once each, and never while a large
/// one is.
#[test]
fn what_comes_next_is_told_ahead() {
    let mut schedule = schedule(&[
        "HEAD",
        "recover.sh",
        "00000/000000000.mtree.gz",
        "00000/000000000-0.sha256",
        "TAIL",
    ]);
    let ahead = |schedule: &mut Schedule| {
        std::iter::from_fn(|| schedule.poll_ahead()).collect::<Vec<u64>>()
    };
    for (starts, next) in
        [(vec![0], vec![]), (vec![1, 2], vec![3]), (vec![3], vec![4]), (vec![4], vec![])]
    {
        assert_eq!(started(&mut schedule, Duration::ZERO), starts);
        assert_eq!(ahead(&mut schedule), next);
        assert_eq!(schedule.poll_ahead(), None);
        // Its write waits until that was made use of.
        let before = schedule.jobs.len();
        starts.iter().for_each(|ticket| {
            _ = schedule.handle_done(*ticket, WriteOutcome::Stored, Duration::ZERO)
        });
        assert_eq!(before - schedule.jobs.len(), starts.len());
        if !next.is_empty() {
            assert_eq!(schedule.poll(Duration::ZERO), NextAction::Idle);
            next.iter().for_each(|ticket| schedule.handle_ahead(*ticket));
        }
    }
    let mut large = Schedule::new(limits(100));
    for (name, size) in [(NAMES[0], 1), (NAMES[2], SMALL + 1), (NAMES[4], 1)] {
        large.handle_object(ObjectName::parse(name).unwrap(), size);
    }
    assert_eq!((started(&mut large, Duration::ZERO), ahead(&mut large)), (vec![0], vec![]));
    large.handle_done(0, WriteOutcome::Stored, Duration::ZERO);
    assert_eq!((started(&mut large, Duration::ZERO), ahead(&mut large)), (vec![1], vec![]));
    let mut stopped = self::schedule(&["00000/000000000.mtree.gz", "TAIL"]);
    assert_eq!(started(&mut stopped, Duration::ZERO), [0]);
    stopped.handle_stop();
    assert_eq!(stopped.poll_ahead(), None);
}

#[test]
fn nothing_starts_after_a_failure_or_a_stop() {
    for failing in 0..2 * NAMES.len() as u64 {
        let mut schedule = schedule(&NAMES);
        let mut running = started(&mut schedule, Duration::ZERO);
        let mut stored = Vec::new();
        while let Some(ticket) = running.pop() {
            if failing == ticket + NAMES.len() as u64 {
                schedule.handle_stop();
            }
            let outcome =
                if ticket == failing { WriteOutcome::Failed } else { WriteOutcome::Stored };
            let after = schedule.handle_done(ticket, outcome, Duration::ZERO);
            assert_eq!(after == After::Failed, ticket == failing);
            let more = started(&mut schedule, Duration::ZERO);
            if ticket % NAMES.len() as u64 == failing % NAMES.len() as u64 {
                assert_eq!((more.len(), schedule.poll(SECOND)), (0, NextAction::Idle));
            }
            stored.extend((after == After::Stored).then_some(ticket));
            running.extend(more);
        }
        assert_eq!(schedule.pending(), 0);
        let tail = NAMES.len() as u64 - 2;
        let reached = failing
            .checked_sub(NAMES.len() as u64)
            .map_or(failing > tail, |stopped| stopped >= tail);
        assert_eq!(stored.contains(&tail), reached, "{failing}: {stored:?}");
    }
}

#[test]
fn what_may_pass_is_tried_again_until_patience_ends() {
    let mut schedule = schedule(&["HEAD", "TAIL"]);
    let mut now = Duration::ZERO;
    for failure in 1..=11 {
        assert_eq!(started(&mut schedule, now), [0], "failure {failure}");
        match schedule.handle_done(0, WriteOutcome::Passing(None), now) {
            After::Again(wait) => {
                assert_eq!(schedule.poll(now), NextAction::At(now + wait));
                now += wait;
            }
            after => assert_eq!((after, failure), (After::Failed, 11)),
        }
    }
    assert_eq!((schedule.pending(), schedule.poll(now)), (0, NextAction::Idle));
    // A server that asks for a minute gets a minute.
    let mut schedule = self::schedule(&["HEAD"]);
    started(&mut schedule, SECOND);
    assert_eq!(
        schedule.handle_done(0, WriteOutcome::Passing(Some(60 * SECOND)), SECOND),
        After::Again(60 * SECOND)
    );
    assert_eq!(schedule.poll(2 * SECOND), NextAction::At(61 * SECOND));
    assert_eq!(started(&mut schedule, 61 * SECOND), [0]);
}

#[test]
fn an_overtaxed_store_gets_less_at_once_and_then_more() {
    let mut schedule = Schedule::new(limits(16));
    let block = |number| ObjectName::plain(Object::Block(number, Compression::Gzip.into()));
    (0..1000).for_each(|number| _ = schedule.handle_object(block(number), 1));
    let mut now = Duration::ZERO;
    let first = started(&mut schedule, now);
    assert_eq!(first.len(), 16);
    // All that were under way together count as one sign.
    first
        .iter()
        .for_each(|ticket| _ = schedule.handle_done(*ticket, WriteOutcome::Passing(None), now));
    now += SECOND;
    let mut running = started(&mut schedule, now);
    assert_eq!(running.len(), 8);
    let mut most = 0;
    while let Some(ticket) = running.pop() {
        schedule.handle_done(ticket, WriteOutcome::Stored, now);
        running.extend(started(&mut schedule, now));
        most = most.max(running.len());
    }
    assert_eq!((most, schedule.pending()), (16, 0));
}

/// On average over the whole run: whatever is tried again, however much goes side by side, and from
/// one band to the next.
#[test]
fn the_rate_is_kept() {
    let (mut now, mut sent, mut rate, mut failed) =
        (Duration::ZERO, 0, Some(Rate::new(1000)), false);
    for band in 0..3 {
        let mut schedule = Schedule::new(Limits { rate, ..limits(4) });
        (0..20).for_each(|number| {
            _ = schedule.handle_object(
                ObjectName::plain(Object::Block(number, Compression::Plain.into())),
                500,
            )
        });
        let mut running = VecDeque::new();
        loop {
            match schedule.poll(now) {
                NextAction::Start(ticket) => {
                    sent += 500;
                    assert!(
                        sent <= 500 + (now.as_secs_f64() * 1000.0) as u64,
                        "{sent} bytes in {now:?}"
                    );
                    running.push_back(ticket);
                }
                NextAction::At(then) => now = then,
                NextAction::Idle => {
                    let Some(ticket) = running.pop_front() else { break };
                    let fails = band == 1 && !std::mem::replace(&mut failed, band == 1);
                    schedule.handle_done(
                        ticket,
                        if fails { WriteOutcome::Passing(None) } else { WriteOutcome::Stored },
                        now,
                    );
                }
            }
        }
        rate = schedule.rate();
    }
    assert_eq!(sent, 30_500);
    assert!(now >= Duration::from_secs(30) && now < Duration::from_secs(32), "{now:?}");
    // What was sent before counts at once.
    assert_eq!(rate.map(|rate| rate.free()), Some(now + SECOND / 2));
}

/// A band of so many blocks, in stream order, with what each object weighs.
fn band(blocks: u32, size: u64) -> Vec<(ObjectName, u64)> {
    let mut objects: Vec<Object> =
        vec![Object::Head, Object::Note("RECOVER.txt"), Object::Note("recover.sh")];
    let mut group = (0, 0);
    let mut filled = 3;
    for number in 0..blocks {
        for object in [Object::Block(number, Compression::Gzip.into()), Object::Index(number)] {
            objects.push(object);
            filled += 1;
            if filled == 32 {
                let shards = [0, 1].map(|shard| Object::Parity(group.0, group.1, shard));
                objects.extend(shards);
                objects.extend([Object::ListSig(group.0, group.1), Object::List(group.0, group.1)]);
                (group, filled) = ((number, 1), 0);
            }
        }
    }
    let last = blocks.saturating_sub(1);
    objects.extend([
        Object::Toc(last),
        Object::ListSig(last, 2),
        Object::List(last, 2),
        Object::Tail,
        Object::TailSig,
    ]);
    let weigh =
        |object| if matches!(object, Object::Block(..) | Object::Parity(..)) { size } else { 2000 };
    objects.into_iter().map(|object| (ObjectName::plain(object), weigh(object))).collect()
}

/// Plays a run in virtual time: each write takes `trip`, plus its bytes at `rate` on a line that
/// they share. `fate` says how the writes end, one after the other. Returns how long it took, and
/// what was stored, in that order.
fn play(
    objects: &[(ObjectName, u64)],
    limits: Limits,
    trip: Duration,
    mut fate: impl FnMut() -> WriteOutcome,
) -> (Duration, Vec<usize>) {
    let mut schedule = Schedule::new(limits);
    objects.iter().for_each(|(name, size)| _ = schedule.handle_object(*name, *size));
    let mut now = Duration::ZERO;
    let mut ends: BTreeMap<(Duration, u64), ()> = BTreeMap::new();
    let mut stored = Vec::new();
    let mut writes = 0u64;
    loop {
        let wake = loop {
            match schedule.poll(now) {
                NextAction::Start(ticket) => {
                    writes += 1;
                    assert!(writes < 12 * objects.len() as u64, "livelock");
                    // Nothing that it waits for may be missing.
                    let mut open = OpenOrder::new(
                        objects.iter().find_map(|(name, _)| order::index(name)),
                        objects.iter().find_map(|(name, _)| order::key(name)),
                    );
                    (0..ticket as usize)
                        .filter(|at| !stored.contains(at))
                        .for_each(|at| open.handle_open(&objects[at].0));
                    assert!(
                        !open.holds_back(&objects[ticket as usize].0),
                        "{} starts too early",
                        objects[ticket as usize].0
                    );
                    ends.insert((now + trip, ticket), ());
                    assert!(ends.len() <= limits.jobs, "more at once than asked for");
                }
                NextAction::At(then) => {
                    assert!(then > now, "livelock");
                    break Some(then);
                }
                NextAction::Idle => break None,
            }
        };
        match (ends.first_key_value().map(|(end, ())| *end), wake) {
            (Some((end, _)), Some(wake)) if wake < end => now = wake,
            (Some((end, ticket)), _) => {
                ends.remove(&(end, ticket));
                now = end;
                let after = schedule.handle_done(ticket, fate(), now);
                stored.extend((after == After::Stored).then_some(ticket as usize));
            }
            (None, Some(wake)) => now = wake,
            (None, None) => break,
        }
    }
    assert_eq!((schedule.pending(), schedule.running()), (0, 0), "stuck");
    (now, stored)
}

/// Long round trips cost next to nothing: 200 blocks at 100 ms take at most 1.3 × (bytes ÷ rate + 2
/// s).
#[test]
fn round_trips_overlap() {
    let trip = Duration::from_millis(100);
    for (size, rate) in
        [(10 << 20, 10 << 20), (10 << 20, 1 << 30), (64 << 10, 1 << 20), (64 << 10, 1 << 30)]
    {
        let objects = band(200, size);
        let bytes: u64 = objects.iter().map(|(_, size)| size).sum();
        let limits = Limits { rate: Some(Rate::new(rate)), ..limits(32) };
        let (took, stored) = play(&objects, limits, trip, || WriteOutcome::Stored);
        let allowed =
            (Duration::from_secs_f64(bytes as f64 / rate as f64) + 2 * SECOND).mul_f64(1.3);
        assert_eq!(stored.len(), objects.len());
        assert!(took <= allowed, "{took:?}, allowed {allowed:?}, for {bytes} bytes at {rate}");
    }
    // A run in which nothing has changed: HEAD, index, list, TAIL one after the other, and two more
    // when signed.
    let (took, _) = play(&band(1, 100), limits(32), trip, || WriteOutcome::Stored);
    assert!(took <= 7 * trip, "{took:?}");
}

proptest! {
    /// Whatever happens to the writes, nothing is stored before what it waits for, the run ends,
    /// and TAIL is there only with all the rest.
    #[test]
    fn any_fate_leaves_a_whole_band(
        blocks in 0..80u32,
        jobs in 1..40usize,
        fates in vec(0..8u8, 1..60),
        fatal in 0..400usize,
        retries in 0..12u32,
        rate in prop::option::of(1000..1_000_000u64),
        seed: u64,
    ) {
        let objects = band(blocks, 5000);
        let limits = Limits { jobs, rate: rate.map(Rate::new), patience: Patience::new(retries), seed };
        let mut count = 0;
        let mut any_failed = false;
        let (_, stored) = play(&objects, limits, SECOND / 10, || {
            count += 1;
            match fates[count % fates.len()] {
                _ if count == fatal => { any_failed = true; WriteOutcome::Failed }
                0 => WriteOutcome::Passing(None),
                1 => WriteOutcome::Passing(Some(2 * SECOND)),
                _ => WriteOutcome::Stored,
            }
        });
        let tail = objects.iter().position(|(name, _)| name.object == Object::Tail).unwrap();
        let all = objects.len();
        prop_assert!(stored.len() == all || any_failed || stored.len() < all && !stored.contains(&(all - 1)));
        if let Some(at) = stored.iter().position(|object| *object == tail) {
            prop_assert_eq!(at, all - 2);
        }
        if !any_failed && retries == 11 && fates.iter().all(|fate| *fate > 1) {
            prop_assert_eq!(stored.len(), all);
        }
    }
}
