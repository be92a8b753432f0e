//! What the machines cost that meet each block, index, object or band: time and memory for each, at
//! counts that no disk here holds. `cargo bench --bench scale -- assembler 1000000`; all of them,
//! and at which counts: see `scripts/bench-scale`. (Entries: see `streams`.)

#![allow(clippy::expect_used)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dura::core::assemble::{Assembler, AssemblerConfig, Finish, PackedMember};
use dura::core::chain::counted::Indexes;
use dura::core::expire::{ExpiryCandidate, ExpiryStanding, Rules, expire};
use dura::core::groups::Groups;
use dura::core::planner::Planner;
use dura::core::schedule::retry::Patience;
use dura::core::schedule::{Limits, NextAction, Schedule, WriteOutcome};
use dura::core::verify::audit::{Audit, BandOverview};
use dura::core::verify::stream_order::{ObjectSizes, place};
use dura::format::band::{BandId, BandName};
use dura::format::entry::{Entry, EntryState, Kind, Meta};
use dura::format::group::{GroupMember, List};
use dura::format::listing::{End, Have};
use dura::format::object::{BlockForm, Compression, FOLDER, Object, ObjectName};
use dura::format::path::Path;
use dura::format::time::{Stamp, Time};
use dura::format::toc::{Earlier, Toc, TocMarks, TocRow};

const ID: BandId = BandId([7; 16]);

/// Rows of a table of contents.
const ROWS: u64 = 4096;

/// Objects of a group.
const SLOTS: usize = 32;

fn band() -> BandName {
    BandName::full(Stamp::from_unix(1_793_498_400).expect("a time in range"))
}

fn path(at: u64) -> Path {
    Path::from_raw(format!("folder-{:07}/file-{at:012}.text", at / 1000).as_bytes())
}

/// Blocks of one file each, with an index each, and a table of contents for every so many.
fn assembler(count: u64) -> u64 {
    let mut assembler = Assembler::new(AssemblerConfig {
        band: band(),
        id: ID,
        compression: Compression::Gzip,
        block_size: 1,
        part_size: 64 << 20,
        first: 0,
        after: None,
        have: Have::default(),
        runs: Vec::new(),
        head: None,
        headers: Vec::new(),
    });
    let mut objects = 0;
    for at in 0..count {
        let mut entry = Entry::new(path(at), Kind::File, EntryState::Present(meta()));
        (entry.size, entry.nlink, entry.sha256) = (Some(1), Some(1), Some([7; 32]));
        let mut member = PackedMember {
            bytes: vec![0],
            entries: 1,
            files: 1,
            source_bytes: 1,
            border: true,
            ..PackedMember::default()
        };
        entry.write(&mut member.lines);
        member.span = Some((entry.path.clone(), entry.path));
        assembler.handle_member(member).expect("numbers enough");
        while assembler.poll_object().is_some() {
            objects += 1;
        }
    }
    let finish = Finish {
        end: End { entries: count, ..End::default() },
        skipped: 0,
        unattributed: 0,
        tree: None,
        behind: 0,
        finished: band().start(),
    };
    assembler.finish(finish).expect("numbers enough");
    while assembler.poll_object().is_some() {
        objects += 1;
    }
    objects
}

fn meta() -> Meta {
    let time = Time { sec: 1_700_000_000, nsec: 123_456_789 };
    Meta { mode: 0o644, uid: 1000, gid: 1000, time }
}

/// The members that entries of 4 KiB make.
fn planner(count: u64) -> u64 {
    let mut planner = Planner::new();
    let mut members = 0;
    for at in 0..count {
        let mut entry = Entry::new(path(at), Kind::File, EntryState::Present(meta()));
        entry.size = Some(4096);
        planner.handle_entry(entry);
        while planner.poll_job().is_some() {
            members += 1;
        }
    }
    planner.finish();
    members + u64::from(planner.poll_job().is_some())
}

/// Which of the indexes count that a hundred runs have made.
fn indexes(count: u64) -> u64 {
    let mut indexes = Indexes::new();
    let run = (count / 100 / 32 * 32).max(32) as u32;
    let mut after = None;
    for at in 0..count as u32 {
        // The last numbers of a run were cut.
        if at % run < run - 5 {
            indexes.handle_index(at, after);
            after = Some(at);
        }
    }
    let counted = indexes.up_to(after.expect("an index")).counted;
    counted.iter().map(|range| u64::from(range.end() - range.start()) + 1).sum()
}

/// The last table of contents of a band of so many blocks: read, and searched for the table that
/// has a path.
fn contents(count: u64) -> u64 {
    let row = |number: u64| TocRow {
        number: number as u32,
        span: Some((path(number), path(number))),
        parts: 1,
        marks: TocMarks::default(),
    };
    let tables = count / ROWS;
    let earlier = |table: u64| Earlier {
        number: (table * ROWS + ROWS - 1) as u32,
        first: Some(path(table * ROWS)),
    };
    let toc = Toc {
        id: ID,
        rows: (tables * ROWS..count).map(row).collect(),
        earlier: (0..tables).map(earlier).collect(),
    };
    let text = toc.to_string();
    drop(toc);
    let read = Toc::parse(text.as_bytes()).expect("a table of contents");
    let wanted = path(count / 2);
    let at = read.earlier.partition_point(|table| table.first.as_ref() <= Some(&wanted));
    assert_eq!(at as u64, (count / 2 / ROWS + 1).min(tables));
    text.len() as u64
}

fn block(number: u64) -> ObjectName {
    let form = BlockForm::Tar(Compression::Gzip);
    ObjectName { object: Object::Block(number as u32, form), encrypted: true }
}

fn index(number: u64) -> ObjectName {
    ObjectName { object: Object::Index(number as u32), encrypted: true }
}

fn member(name: ObjectName) -> GroupMember {
    GroupMember { name, size: 10 << 20, sha256: [7; 32], pieces: vec![[7; 32]; 10] }
}

/// The lists of a stream of blocks and indexes.
fn groups(count: u64) -> Vec<List> {
    let mut groups = Groups::new(band(), ID, SLOTS, 2).keyed();
    let mut lists = Vec::new();
    for number in 0..count {
        for name in [block(number), index(number)] {
            if let Some(key) = groups.key_before(&name) {
                lists.extend(groups.handle_object(member(key)));
            }
            lists.extend(groups.handle_object(member(name)));
        }
        // Only the folder that is read is held.
        if count > u64::from(FOLDER) {
            lists.clear();
        }
    }
    lists.extend(groups.finish());
    lists
}

/// What verify knows of a band in which nothing is lost.
fn audit(count: u64) -> u64 {
    let counted = {
        let mut indexes = Indexes::new();
        (0..count as u32).for_each(|at| indexes.handle_index(at, at.checked_sub(1)));
        indexes.up_to(count as u32 - 1)
    };
    let last = count as u32 - 1;
    let mut audit = Audit::new(BandOverview {
        band: band(),
        ends: Some((last, last)),
        complete: true,
        under_way: false,
        covered: false,
        counted: Some(counted),
        lost: Vec::new(),
        encrypted: true,
    });
    let mut findings = 0;
    for folder in 0..count.div_ceil(u64::from(FOLDER)) {
        let numbers = folder * u64::from(FOLDER)..count.min((folder + 1) * u64::from(FOLDER));
        let mut objects: ObjectSizes = BTreeMap::new();
        let mut lists = Vec::new();
        let mut members = Vec::new();
        let mut put = |name: ObjectName, size| _ = objects.insert(place(&name), (name, size));
        for number in numbers {
            let toc = Object::Toc(number as u32);
            let toc =
                (number == u64::from(last)).then_some(ObjectName { object: toc, encrypted: true });
            for name in [block(number), index(number)].into_iter().chain(toc) {
                put(name, 10 << 20);
                members.push(GroupMember { pieces: Vec::new(), ..member(name) });
            }
            if members.len() >= SLOTS
                || number % u64::from(FOLDER) == u64::from(FOLDER) - 1
                || toc.is_some()
            {
                let list = List {
                    band: band(),
                    id: ID,
                    name: (members[0].name.number().unwrap_or(0), 0),
                    added: 0,
                    slots: SLOTS,
                    parity: 0,
                    members: std::mem::take(&mut members),
                };
                put(list.object(), 4000);
                lists.push(Arc::new(list));
            }
        }
        findings += audit.folder(folder as u32, &objects, &lists).len();
    }
    let (found, unlisted) = audit.finish();
    let all = findings + found.len() + unlisted.runs.len();
    assert_eq!(all, 0, "{found:?}");
    count
}

/// A push that writes eight objects at once.
fn schedule(count: u64) -> u64 {
    let patience = Patience::new(3);
    let mut schedule = Schedule::new(Limits { jobs: 8, rate: None, patience, seed: 1 });
    let (mut number, mut stored) = (0, 0);
    let mut running = std::collections::VecDeque::new();
    let mut now = Duration::ZERO;
    while stored < 2 * count {
        while number < count && schedule.pending() < 40 {
            schedule.handle_object(block(number), 10 << 20);
            schedule.handle_object(index(number), 1 << 10);
            number += 1;
        }
        now += Duration::from_millis(1);
        while let NextAction::Start(ticket) = schedule.poll(now) {
            running.push_back(ticket);
        }
        let ticket = running.pop_front().expect("a write");
        schedule.handle_done(ticket, WriteOutcome::Stored, now);
        stored += 1;
    }
    stored
}

/// Bands of every hour, each on the one before up to tier 9, by rules.
fn expiry(count: u64) -> u64 {
    let start = 1_000_000_000;
    let stamp = |at: u64| Stamp::from_unix(start + at as i64 * 3600).expect("a time in range");
    let mut chain: Vec<BandName> = Vec::new();
    let bands: Vec<ExpiryCandidate> = (0..count)
        .map(|at| {
            let name = match chain.last().filter(|last| last.tier() < 9) {
                Some(last) => last.child(stamp(at)).expect("a tier"),
                None => BandName::full(stamp(at)),
            };
            chain = vec![name.clone()];
            ExpiryCandidate {
                name,
                time: stamp(at),
                standing: ExpiryStanding::Version,
                signed: false,
                sealed: true,
                files: Some(1),
                stored: 1,
            }
        })
        .collect();
    let rules = Rules {
        last: 0,
        hourly: 0,
        daily: 7,
        weekly: 5,
        monthly: 12,
        yearly: 3,
        within: None,
        space: None,
        zone: jiff::tz::Offset::UTC,
    };
    expire(&bands, &rules, stamp(count)).expired.len() as u64
}

fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let count = args.get(1).and_then(|arg| arg.parse().ok()).unwrap_or(100_000);
    let (before, start) = (peak(), Instant::now());
    let made = match args.first().map(String::as_str) {
        Some("assembler") => assembler(count),
        Some("planner") => planner(count),
        Some("indexes") => indexes(count),
        Some("contents") => contents(count),
        Some("groups") => groups(count).len() as u64,
        Some("audit") => audit(count),
        Some("schedule") => schedule(count),
        Some("expiry") => expiry(count),
        _ => panic!("assembler, planner, indexes, contents, groups, audit, schedule or expiry"),
    };
    let nanoseconds = start.elapsed().as_nanos() as f64 / count as f64;
    let grown = peak().saturating_sub(before);
    println!(
        "{{\"what\":\"{}\",\"count\":{count},\"nanoseconds\":{nanoseconds:.0},\"kib\":{grown},\"made\":{made}}}",
        args[0]
    );
}
