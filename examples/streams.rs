//! How fast merge and diff go over synthetic streams, and how much memory they take: `cargo run --release --example streams 2000000`.

use std::time::Instant;

use dura::core::diff::{Config, Diff, Effect};
use dura::core::merge::{Event, Merge};
use dura::format::entry::{Entry, Kind, Meta, State};
use dura::format::listing::End;
use dura::format::path::Path;
use dura::format::time::Time;

/// The `i`-th entry of a tree in canonical order: a directory, then 99 files in it. Every `changed`-th file has a time of its own.
fn entry(i: u64, changed: u64) -> Entry {
    let (dir, file) = (i / 100, i % 100);
    let time = |sec| Time { sec, nsec: 123_456_789 };
    let (kind, raw) = match (i, file) {
        (0, _) => (Kind::Dir, String::new()),
        (_, 0) => (Kind::Dir, format!("directory-{dir:09}")),
        _ if dir == 0 => (Kind::File, format!("a-file-{file:02}.text")),
        _ => (Kind::File, format!("directory-{dir:09}/a-longer-name-of-a-file-{file:02}.text")),
    };
    let sec = if changed > 0 && i % changed == changed - 1 { 1_800_000_000 } else { 1_700_000_000 };
    let meta = Meta { mode: 0o644, uid: 1000, gid: 1000, time: time(sec) };
    let mut entry = Entry::new(Path::from_raw(raw.as_bytes()), kind, State::Present(meta));
    entry.ctime = Some(time(sec));
    if kind == Kind::File {
        (entry.size, entry.nlink, entry.sha256) = (Some(i), Some(1), Some([7; 32]));
    }
    entry
}

fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}

fn report(what: &str, entries: u64, start: Instant) {
    let seconds = start.elapsed().as_secs_f64();
    let rate = entries as f64 / seconds / 1e6;
    println!("{what:24} {entries:>10} entries in {seconds:6.2} s: {rate:5.2} million a second; peak {} KiB", peak());
}

/// Two tiers of `count` entries each. Gives how many the version has.
fn merge(count: u64) -> u64 {
    let mut merge = Merge::new(2);
    let mut next = [0, 0];
    let mut version = 0;
    while let Some(event) = merge.poll() {
        match event {
            Event::Want(tier) => {
                let at = &mut next[usize::from(tier)];
                if *at < count {
                    merge.handle_entry(0, entry(*at, 0))
                } else {
                    merge.handle_end()
                }
                *at += 1;
            }
            Event::Entry(_) => version += 1,
            other => panic!("{other:?}"),
        }
    }
    version
}

/// A scan of `count` entries against a version of as many. Gives how many are recorded.
fn diff(count: u64, changed: u64) -> u64 {
    let mut merge = Merge::new(1);
    let mut diff = Diff::new(Config { tier: 1, full: false, after: None });
    let (mut scanned, mut merged, mut recorded) = (0, 0, 0);
    while let Some(effect) = diff.poll() {
        match effect {
            Effect::WantScan if scanned < count => {
                diff.handle_scan(entry(scanned, changed));
                scanned += 1;
            }
            Effect::WantScan => diff.handle_scan_end(End { entries: count, ..End::default() }),
            Effect::WantVersion => loop {
                match merge.poll() {
                    Some(Event::Want(_)) if merged < count => {
                        merge.handle_entry(0, entry(merged, 0));
                        merged += 1;
                    }
                    Some(Event::Want(_)) => merge.handle_end(),
                    Some(Event::Entry(placed)) => break diff.handle_version(placed),
                    Some(other) => panic!("{other:?}"),
                    None => break diff.handle_version_end(),
                }
            },
            Effect::Record(_) => recorded += 1,
            Effect::LeftOut(path) => panic!("{path}"),
        }
    }
    recorded
}

fn main() {
    let counts: Vec<u64> = std::env::args().skip(1).filter_map(|arg| arg.parse().ok()).collect();
    for count in if counts.is_empty() { vec![2_000_000] } else { counts } {
        let start = Instant::now();
        (0..2 * count).for_each(|i| drop(std::hint::black_box(entry(i % count, 0))));
        report("making the entries", 2 * count, start);
        let start = Instant::now();
        assert_eq!(merge(count), count);
        report("merge", 2 * count, start);
        for (what, changed) in [("diff, nothing changed", 0), ("diff, 1 in 150 changed", 150), ("diff, all changed", 1)] {
            let start = Instant::now();
            diff(count, changed);
            report(what, 2 * count, start);
        }
    }
}
