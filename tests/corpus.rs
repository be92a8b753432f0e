//! The fuzz targets over their corpus.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

mod targets;

use targets::{TARGETS, Target};

/// The seeds of a target, by their names.
fn seeds(target: &Target) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(target.name);
    let mut seeds: Vec<(String, Vec<u8>)> = fs::read_dir(&folder)
        .unwrap_or_else(|e| panic!("{}: {e}", folder.display()))
        .map(|file| file.unwrap().path())
        .map(|path| (path.display().to_string(), fs::read(&path).unwrap()))
        .collect();
    seeds.sort();
    seeds
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
    for target in &TARGETS {
        let seeds = seeds(target);
        let taken: Vec<bool> = seeds.iter().map(|(_, bytes)| (target.run)(bytes)).collect();
        assert!(taken.contains(&true), "{}: nothing is taken", target.name);
        assert!(taken.contains(&false), "{}: nothing is refused", target.name);
        for ((name, bytes), _) in seeds.iter().zip(&taken).filter(|(_, taken)| **taken) {
            let mut mended = bytes.clone();
            (target.mend)(&mut mended);
            assert!((target.run)(&mended), "{name}: mending spoils what is right");
        }
    }
}
