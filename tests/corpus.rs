//! The fuzz targets over their corpus.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use flate2::read::GzDecoder;

mod targets;

use targets::{TARGETS, Target};

/// Of the seeds that libFuzzer has made there are so many at least.
const MADE: usize = 2200;

/// The seeds that people have written for a target, by their names.
fn written(target: &Target) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(target.name);
    let mut seeds: Vec<(String, Vec<u8>)> = fs::read_dir(&folder)
        .unwrap_or_else(|e| panic!("{}: {e}", folder.display()))
        .map(|file| file.unwrap().path())
        .map(|path| (path.display().to_string(), fs::read(&path).unwrap()))
        .collect();
    seeds.sort();
    seeds
}

/// The seeds that `scripts/fuzz` has made for a target, if it has made any.
fn made(target: &Target) -> Vec<(String, Vec<u8>)> {
    let file = format!("{}/tests/corpus/{}.tar.gz", env!("CARGO_MANIFEST_DIR"), target.name);
    let Ok(packed) = File::open(&file) else { return Vec::new() };
    let mut archive = tar::Archive::new(GzDecoder::new(packed));
    let seeds = archive.entries().unwrap().map(|seed| {
        let mut seed = seed.unwrap();
        let mut bytes = Vec::new();
        seed.read_to_end(&mut bytes).unwrap();
        (format!("{file}: {}", seed.path().unwrap().display()), bytes)
    });
    seeds.collect()
}

#[test]
fn targets_and_folders_of_seeds_agree() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let folders: BTreeSet<String> = fs::read_dir(here)
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    let names: BTreeSet<String> = TARGETS.iter().map(|target| target.name.to_owned()).collect();
    assert_eq!(names.len(), TARGETS.len());
    assert_eq!(folders, names, "folders (left) and targets (right) differ");
}

/// No seed makes its parser panic, and each parser has seeds that it takes and seeds that it
/// refuses.
#[test]
fn every_seed_runs() {
    let mut number = 0;
    for target in &TARGETS {
        let mut seeds = made(target);
        number += seeds.len();
        seeds.extend(written(target));
        let taken: Vec<bool> = seeds.iter().map(|(_, bytes)| (target.run)(bytes)).collect();
        assert!(taken.contains(&true), "{}: nothing is taken", target.name);
        assert!(taken.contains(&false), "{}: nothing is refused", target.name);
        for ((name, bytes), _) in seeds.iter().zip(&taken).filter(|(_, taken)| **taken) {
            let mut mended = bytes.clone();
            (target.mend)(&mut mended);
            assert!((target.run)(&mended), "{name}: mending spoils what is right");
        }
    }
    assert!(number >= MADE, "only {number} seeds that libFuzzer has made");
}
