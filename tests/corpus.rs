//! The fuzz targets over their corpus, and a taste of what `scripts/fuzz` does for hours.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

mod mutate;
mod targets;

use mutate::Mutator;
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

/// No seed makes its parser panic, and each parser has seeds that it takes and seeds that it refuses.
#[test]
fn every_seed_runs() {
    for target in &TARGETS {
        let seeds = seeds(target);
        let verdicts: Vec<String> = seeds.iter().map(|(_, bytes)| (target.run)(bytes)).collect();
        assert!(verdicts.iter().any(|said| said.contains("taken")), "{}: nothing is taken: {verdicts:?}", target.name);
        assert!(verdicts.iter().any(|said| !said.starts_with("taken")), "{}: nothing is refused: {verdicts:?}", target.name);
        for ((name, bytes), said) in seeds.iter().zip(&verdicts).filter(|(_, said)| said.starts_with("taken")) {
            let mut mended = bytes.clone();
            (target.mend)(&mut mended);
            assert_eq!(&(target.run)(&mended), said, "{name}: mending spoils what is right");
        }
    }
}

/// Changed inputs reach parts of the parsers that no seed reaches, and nothing panics on the way.
#[test]
fn a_taste_of_fuzzing() {
    let mut new = 0;
    for target in &TARGETS {
        let seeds: Vec<Vec<u8>> = seeds(target).into_iter().map(|(_, bytes)| bytes).collect();
        let mut verdicts: BTreeSet<String> = seeds.iter().map(|seed| (target.run)(seed)).collect();
        let mut mutator = Mutator::new(11, seeds);
        for _ in 0..300 {
            let input = mutator.next(target.mend);
            if verdicts.insert((target.run)(&input)) {
                mutator.keep(input);
                new += 1;
            }
        }
    }
    assert!(new > 0, "no input got further than the seeds");
}
