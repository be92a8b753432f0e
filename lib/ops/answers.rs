//! What deeds write where they are told, and the counts that they give: those that only read over an
//! archive that an earlier build wrote, the others from a tree to its tar.

use std::fs::{self, File};
use std::io::{Cursor, Read, Seek};
use std::path::Path;
use std::sync::Arc;

use crate::archive::named::ArchiveName;
use crate::archive::reading::ReadOptions;
use crate::core::expire::Rules;
use crate::edge::pipe::Output;
use crate::ops::records::{Records, Style};
use crate::ops::{
    bands, changes, diff, expire, find, list, locate, ls, pack, prune, push, restore, scan, seal,
    verify,
};
use crate::report::events::Events;
use crate::report::message::Report;

const FULL: &str = "20261101T020000Z";
const LAYER: &str = "20261101T020000Z-20261108T020000Z";

fn archive() -> ArchiveName {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/format-1/plain");
    fixture.into_os_string().into()
}

fn reading() -> ReadOptions {
    ReadOptions { no_cache: true, ..ReadOptions::default() }
}

/// What a deed writes in a style, and what it gives.
fn answer<T>(
    style: Style,
    deed: impl FnOnce(&mut Records<'_>, &Arc<Report>) -> anyhow::Result<T>,
) -> (String, T) {
    let report = Arc::new(Report::new("test", -2, Events::default()));
    let mut out = Vec::new();
    let given = deed(&mut Records::new(&mut out, style), &report).unwrap();
    assert_eq!(report.warnings(), 0);
    (String::from_utf8(out).unwrap(), given)
}

#[test]
fn bands_in_each_style() {
    let of =
        |style| answer(style, |to, report| bands::run(&archive(), false, &reading(), to, report));
    let lines = format!(
        "{FULL} complete 2026-11-01T02:00:00Z 22 5603221 plain unsigned 0\n\
         {LAYER} complete 2026-11-08T02:00:00Z 16 5603231 plain unsigned 0\n"
    );
    assert_eq!(of(Style::Columns), (lines.clone(), 2));
    let title = "band state started entries bytes-of-source sealed signed parity\n";
    assert_eq!(of(Style::Titled), (format!("{title}{lines}"), 2));
    let (json, count) = of(Style::Json);
    let first: serde_json::Value = serde_json::from_str(json.lines().next().unwrap()).unwrap();
    assert_eq!((first["band"].as_str(), first["entries"].as_u64()), (Some(FULL), Some(22)));
    assert_eq!((json.lines().count(), count), (2, 2));
}

#[test]
fn what_a_path_has_been_and_where_it_lies() {
    let options = find::Options {
        archive: archive(),
        patterns: vec!["hello".into()],
        files_from: Vec::new(),
    };
    let (found, count) =
        answer(Style::Columns, |to, report| find::run(&options, &reading(), to, report));
    let lines: Vec<(&str, &str)> = found
        .lines()
        .map(|line| (line.split(' ').nth(1).unwrap(), line.split(' ').next_back().unwrap()))
        .collect();
    assert_eq!((lines, count), (vec![("6", FULL), ("11", LAYER)], 2));

    let options =
        locate::Options { archive: archive(), paths: vec!["./seq".into()], files_from: Vec::new() };
    let (objects, count) =
        answer(Style::Columns, |to, report| locate::run(&options, &reading(), to, report));
    assert!(objects.ends_with(&format!("\n47196 {LAYER}/00000/000000000.tar.gz\n")), "{objects}");
    assert_eq!((objects.lines().count(), count), (9, 9));
}

#[test]
fn the_version_and_what_changed() {
    let options = ls::Options {
        archive: archive(),
        paths: vec!["./deep".into()],
        files_from: Vec::new(),
        one_level: false,
        sums: true,
    };
    let (sums, count) =
        answer(Style::Titled, |to, report| ls::run(&options, &reading(), to, report));
    assert!(sums.starts_with("bytes files directory\n"), "{sums}");
    assert_eq!(sums.lines().count() as u64, count + 1);

    let options = changes::Options {
        archive: archive(),
        paths: Vec::new(),
        files_from: Vec::new(),
        newer: None,
        listing: None,
        metadata: false,
    };
    let (changed, sums) =
        answer(Style::Columns, |to, report| changes::run(&options, &reading(), to, report));
    assert_eq!(changed, "M 11 ./a/hello\nT - ./empty\nT 9 ./gone\n- 4 ./gone/file\n");
    assert_eq!(changes::in_words(&sums), "1 removed (4 B), 1 modified (11 B), 2 retyped (9 B)");

    let report = Arc::new(Report::new("test", -2, Events::default()));
    let mut listing = Vec::new();
    let end = list::run(&archive(), &reading(), &mut listing, &report).unwrap();
    let kept = include_str!(
        "../../tests/fixtures/format-1/plain.20261101T020000Z-20261108T020000Z.listing"
    );
    // Those that were kept name no source and no version.
    let listing = String::from_utf8(listing).unwrap().replacen("#source vm /tmp/fx/tree\n", "", 1);
    let version =
        "#version 20261101T020000Z-20261108T020000Z f60e089543c6ef13ac0cb7435d8cce18 000000000\n";
    let listing = listing.replacen(version, "", 1);
    assert_eq!((end.entries, listing.as_str()), (21, kept));
}

#[test]
fn nothing_expires_below_what_is_kept() {
    let rules = Rules {
        last: 1,
        hourly: 0,
        daily: 0,
        weekly: 0,
        monthly: 0,
        yearly: 0,
        within: None,
        space: None,
        zone: jiff::tz::Offset::UTC,
    };
    let (names, count) = answer(Style::Columns, |to, report| {
        expire::run(&archive(), &rules, &reading(), to, report)
    });
    assert_eq!((names.as_str(), count), ("", 0));
}

/// All deeds of a backup, one after the other, from stream to stream in memory.
#[test]
fn from_a_tree_to_its_tar() {
    let place = tempfile::tempdir().unwrap();
    let (tree, to) = (place.path().join("tree"), place.path().join("archive"));
    fs::create_dir(&tree).unwrap();
    fs::write(tree.join("a"), "some text").unwrap();
    let archive = || ArchiveName::from(to.clone().into_os_string());
    let report = Arc::new(Report::new("test", -2, Events::default()));
    let out = &mut Vec::new();
    let options = scan::Options { dir: tree, jobs: Some(1), ..Default::default() };
    let listed = scan::run(options, out, &report).unwrap();
    assert_eq!((listed.end.entries, listed.bytes), (2, 9));

    let listing = Cursor::new(std::mem::take(out));
    let found =
        diff::run(&diff::Options::of(archive()), &reading(), listing, out, &report).unwrap();
    assert_eq!((found.new, found.changed, found.deleted), (2, 0, 0));

    let listing = Cursor::new(std::mem::take(out));
    let options = pack::Options { no_cache: true, jobs: Some(1), ..Default::default() };
    let tail = pack::run(options, listing, out, &report).unwrap();
    assert_eq!((tail.entries, tail.files, tail.bytes), (2, 1, 9));

    let stream = Cursor::new(std::mem::take(out));
    let options = seal::Options { group: 16, no_cache: true, ..Default::default() };
    let objects = seal::run(options, stream, out, &report).unwrap();

    let stream = Cursor::new(std::mem::take(out));
    let options = push::Options { archives: vec![archive()], no_cache: true, ..Default::default() };
    let (stored, bytes) = push::run(options, stream, &report).unwrap();
    assert_eq!(stored, objects);
    assert!(bytes > 100, "{bytes}");

    let options = verify::Options { reading: reading(), ..verify::Options::of(archive()) };
    assert_eq!(verify::run(options, out, &report).unwrap(), 0);
    assert!(out.is_empty());

    let mut file = tempfile::tempfile().unwrap();
    let options = restore::Options { reading: reading(), ..restore::Options::of(archive()) };
    let written = file.try_clone().map(Output::to).unwrap();
    let sum = restore::run(options, written, &report).unwrap();
    assert_eq!((sum.entries, sum.bytes, sum.lost), (2, 9, 0));
    let mut tar = Vec::new();
    file.rewind().unwrap();
    File::read_to_end(&mut file, &mut tar).unwrap();
    assert!(tar.windows(9).any(|bytes| bytes == b"some text"));

    let options = prune::Options {
        archive: archive(),
        bands: prune::names(format!("{}\n", tail.band).as_bytes()).unwrap(),
        dry_run: true,
        expect: None,
        hide: None,
        jobs: 1,
        reach: Default::default(),
    };
    // Another version of the tree would have to be left.
    assert_eq!(prune::run(options, out, &report).unwrap(), 0);
    assert!(out.is_empty() && report.failed());
    assert_eq!(report.warnings(), 0);
}
