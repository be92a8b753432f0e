//! How fast merge and diff go over synthetic streams, and how much memory they take: `cargo bench
//! --bench streams -- 2000000`.
//!
//! With the arguments `archive N DIR` and `listing N EVERY` it makes such streams for the programs:
//! see `scripts/bench-streams`.

#![allow(clippy::expect_used)]

use std::io::{self, Write};
use std::time::Instant;

use dura::core::assemble::{Assembler, AssemblerConfig, Finish, PackedMember};
use dura::core::diff::{self, Diff, Effect};
use dura::core::merge::{Merge, MergeEvent};
use dura::format::band::{BandId, BandName};
use dura::format::entry::{Entry, EntryState, Kind, Meta, Within};
use dura::format::head::{Head, Parent};
use dura::format::listing::{End, Have, Header};
use dura::format::object::Compression;
use dura::format::path::Path;
use dura::format::time::{Stamp, Time};
use dura::store::Store;
use dura::store::local::Local;

/// The `i`-th entry of a tree in canonical order: a directory, then 99 files in it. Every
/// `changed`-th file has a time of its own.
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
    let mut entry = Entry::new(Path::from_raw(raw.as_bytes()), kind, EntryState::Present(meta));
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
    println!(
        "{what:24} {entries:>10} entries in {seconds:6.2} s: {rate:5.2} million a second; peak {} KiB",
        peak()
    );
}

/// Two tiers of `count` entries each. Gives how many the version has.
fn merge(count: u64) -> u64 {
    let mut merge = Merge::new(2);
    let mut next = [0, 0];
    let mut version = 0;
    while let Some(event) = merge.poll() {
        match event {
            MergeEvent::Want(tier) => {
                let at = &mut next[usize::from(tier)];
                if *at < count {
                    merge.handle_entry(0, entry(*at, 0))
                } else {
                    merge.handle_end()
                }
                *at += 1;
            }
            MergeEvent::Entry(_) => version += 1,
            other => panic!("{other:?}"),
        }
    }
    version
}

/// A scan of `count` entries against a version of as many. Gives how many are recorded.
fn diff(count: u64, changed: u64) -> u64 {
    let mut merge = Merge::new(1);
    let mut diff =
        Diff::new(diff::DiffConfig { tier: 1, full: false, pass_over: None, after: None });
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
                    Some(MergeEvent::Want(_)) if merged < count => {
                        merge.handle_entry(0, entry(merged, 0));
                        merged += 1;
                    }
                    Some(MergeEvent::Want(_)) => merge.handle_end(),
                    Some(MergeEvent::Entry(placed)) => break diff.handle_version(placed),
                    Some(other) => panic!("{other:?}"),
                    None => break diff.handle_version_end(),
                }
            },
            Effect::Record(_) => recorded += 1,
            Effect::LeftOut(path) | Effect::PassedOver(path) => panic!("{path}"),
        }
    }
    recorded
}

/// An archive in `dir` with a full band of `count` files and one on top in which every time is new,
/// of indexes alone.
fn archive(count: u64, dir: &str) {
    let store = Local::new(dir);
    let mut parent: Option<Parent> = None;
    for tier in 0..2u8 {
        let started =
            Stamp::from_unix(1_793_498_400 + i64::from(tier) * 86400).expect("a time in range");
        let band = parent.as_ref().map_or_else(
            || BandName::full(started),
            |parent| parent.band.child(started).expect("a tier"),
        );
        let (id, compression) = (BandId([tier + 1; 16]), Compression::Gzip);
        let head = Head {
            source_id: Some(id),
            ..Head::new(band.clone(), id, parent, started, compression, "streams")
        };
        let mut assembler = Assembler::new(AssemblerConfig {
            band: band.clone(),
            id,
            compression,
            block_size: 10 << 20,
            part_size: 64 << 20,
            first: 0,
            after: None,
            have: Have::default(),
            runs: Vec::new(),
            head: Some(head.clone()),
            headers: vec![Header::Source(b"host".to_vec(), b"/tree".to_vec())],
        });
        let put = |assembler: &mut Assembler| {
            while let Some((name, bytes)) = assembler.poll_object() {
                store.put_new(&format!("{band}/{name}"), &bytes).expect("a directory to write to");
            }
        };
        assembler.handle_head(&head, &[]);
        for start in (0..count).step_by(4000) {
            let mut member = PackedMember { border: true, ..PackedMember::default() };
            for i in start..count.min(start + 4000) {
                let mut entry = entry(i, u64::from(tier));
                entry.within = (tier > 0 && entry.kind == Kind::File)
                    .then_some(Within { tier: 0, block: (i / 50_000) as u32 });
                entry.write(&mut member.lines);
                (member.entries, member.files) =
                    (member.entries + 1, member.files + u64::from(entry.kind == Kind::File));
                let first = member.span.map_or_else(|| entry.path.clone(), |(first, _)| first);
                member.span = Some((first, entry.path));
            }
            assembler.handle_member(member).expect("numbers enough");
            put(&mut assembler);
        }
        let end = End { entries: count, ..End::default() };
        let tail = assembler
            .finish(Finish {
                end,
                skipped: 0,
                unattributed: 0,
                tree: None,
                behind: 0,
                finished: started,
            })
            .expect("numbers enough");
        put(&mut assembler);
        parent = Some(Parent { band, id, last: tail.last });
    }
}

/// What a scan of such a tree writes.
fn listing(count: u64, changed: u64) -> io::Result<()> {
    let mut out = io::BufWriter::with_capacity(1 << 20, io::stdout().lock());
    out.write_all(b"#mtree\n#dura listing 1\n#source host /tree\n")?;
    let mut line = Vec::new();
    for i in 0..count {
        line.clear();
        Entry { sha256: None, ..entry(i, changed) }.write(&mut line);
        out.write_all(&line)?;
    }
    writeln!(out, "{}", End { entries: count, ..End::default() })?;
    out.flush()
}

fn main() -> io::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize| args.get(at).and_then(|arg| arg.parse().ok()).unwrap_or(0);
    match args.first().map(String::as_str) {
        Some("archive") => archive(number(1), args.get(2).expect("a directory")),
        Some("listing") => listing(number(1), number(2))?,
        _ => machines(args.iter().filter_map(|arg| arg.parse().ok()).collect()),
    }
    Ok(())
}

fn machines(counts: Vec<u64>) {
    for count in if counts.is_empty() { vec![2_000_000] } else { counts } {
        let start = Instant::now();
        (0..2 * count).for_each(|i| drop(std::hint::black_box(entry(i % count, 0))));
        report("making the entries", 2 * count, start);
        let start = Instant::now();
        assert_eq!(merge(count), count);
        report("merge", 2 * count, start);
        for (what, changed) in [
            ("diff, nothing changed", 0),
            ("diff, 1 in 150 changed", 150),
            ("diff, all changed", 1),
        ] {
            let start = Instant::now();
            diff(count, changed);
            report(what, 2 * count, start);
        }
    }
}
