//! Drives merge and diff together, as the program does.

use super::*;
use crate::core::merge::{Merge, MergeEvent};

/// What a run of diff gave.
#[derive(Debug, PartialEq)]
pub(crate) struct DiffRun {
    pub(crate) records: Vec<Entry>,
    pub(crate) left_out: Vec<Path>,
    pub(crate) summary: DiffSummary,
}

/// Lets the scan through against the version that the tiers give; each tier is its entries with the
/// number of their index.
pub(crate) fn run(
    config: DiffConfig,
    partial: bool,
    scan: &[Entry],
    tiers: &[Vec<(u32, Entry)>],
) -> DiffRun {
    run_distrusting(config, partial, scan, tiers, Distrust::default())
}

/// The same, where some blocks or files are distrusted.
pub(crate) fn run_distrusting(
    config: DiffConfig,
    partial: bool,
    scan: &[Entry],
    tiers: &[Vec<(u32, Entry)>],
    distrust: Distrust,
) -> DiffRun {
    let mut diff = Diff::new(config);
    *diff.distrust() = distrust;
    if partial {
        diff.handle_header(&Header::Partial);
    }
    let mut merge = Merge::new(tiers.len() as u8);
    let mut tiers: Vec<_> = tiers.iter().map(|tier| tier.iter()).collect();
    let mut lines = scan.iter();
    let (mut records, mut left_out) = (Vec::new(), Vec::new());
    while let Some(effect) = diff.poll() {
        match effect {
            Effect::WantScan => match lines.next() {
                Some(line) => diff.handle_scan(line.clone()),
                None => diff.handle_scan_end(end_of(scan)),
            },
            Effect::WantVersion => loop {
                match merge.poll() {
                    Some(MergeEvent::Want(tier)) => match tiers[usize::from(tier)].next() {
                        Some((number, entry)) => merge.handle_entry(*number, entry.clone()),
                        None => merge.handle_end(),
                    },
                    Some(MergeEvent::Entry(placed)) => break diff.handle_version(placed),
                    Some(MergeEvent::Orphan(placed)) => break diff.handle_orphan(placed),
                    Some(other) => panic!("{other:?}"),
                    None => break diff.handle_version_end(),
                }
            },
            Effect::Record(entry) => records.push(entry),
            Effect::LeftOut(path) | Effect::PassedOver(path) => left_out.push(path),
        }
    }
    let summary = diff.finish().unwrap();
    assert_eq!(summary.end.entries, records.len() as u64);
    assert!(records.is_sorted_by(|a, b| a.path < b.path), "{records:?}");
    DiffRun { records, left_out, summary }
}

/// The counts of a scan's `#end` line, without those of directories that were not read.
pub(crate) fn end_of(scan: &[Entry]) -> End {
    let count =
        |wanted: EntryState| scan.iter().filter(|entry| entry.state == wanted).count() as u64;
    let (excluded, unreadable) = (count(EntryState::Excluded), count(EntryState::Unreadable));
    End { entries: scan.len() as u64 - excluded - unreadable, excluded, unreadable }
}

/// Entries, each with the number of its index: `4: ./a file`, 0 if none stands there.
pub(crate) fn tier(lines: &[&str]) -> Vec<(u32, Entry)> {
    let numbered = |line: &&str| match line.split_once(": ") {
        Some((number, line)) => (number.parse().unwrap(), entry(line)),
        None => (0, entry(line)),
    };
    lines.iter().map(numbered).collect()
}
