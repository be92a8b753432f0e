//! Runs the fuzz targets of `tests/corpus/targets.rs` on inputs made of their corpus: `fuzz SECONDS SEED CORPUS KEPT [TARGET]...`. See `scripts/fuzz`.
//!
//! Each target has its part of the time. An input with a verdict that none had before is kept, and more are made of it. One that makes a
//! parser panic is stored in the corpus; the one that is under way is always in `KEPT/TARGET.now`, so what hangs or kills is there.

#![allow(clippy::expect_used)]

use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use dura::format::digest;

#[path = "../tests/corpus/mutate.rs"]
mod mutate;
#[path = "../tests/corpus/targets.rs"]
mod targets;

use mutate::Mutator;
use targets::{TARGETS, Target};

/// An input of at most 64 KiB that takes longer makes more work than its size is worth.
const SLOW: Duration = Duration::from_secs(2);

fn read_all(folder: &Path) -> io::Result<Vec<Vec<u8>>> {
    let mut paths = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<PathBuf>>>()?;
    paths.sort();
    paths.iter().map(fs::read).collect()
}

fn store(folder: &Path, input: &[u8]) -> io::Result<PathBuf> {
    fs::create_dir_all(folder)?;
    let path = folder.join(format!("found-{}", &hex::encode(digest::of(input))[..12]));
    fs::write(&path, input)?;
    Ok(path)
}

/// Fuzzes a target for some time. Gives the file of an input that it failed on.
fn fuzz(target: &Target, time: Duration, seed: u64, corpus: &Path, kept: &Path) -> io::Result<Option<PathBuf>> {
    let seeds = read_all(&corpus.join(target.name))?;
    assert!(!seeds.is_empty(), "{}: no seeds", target.name);
    let now = File::create(kept.join(format!("{}.now", target.name)))?;
    let (start, mut runs, mut slowest) = (Instant::now(), 0u64, Duration::ZERO);
    let (first, mut verdicts) = (seeds.len(), HashSet::new());
    let mut waiting = seeds.clone();
    let mut mutator = Mutator::new(seed, seeds);
    while start.elapsed() < time {
        let input = waiting.pop().unwrap_or_else(|| mutator.next(target.mend));
        now.set_len(input.len() as u64)?;
        now.write_all_at(&input, 0)?;
        let begun = Instant::now();
        let verdict = catch_unwind(AssertUnwindSafe(|| (target.run)(&input)));
        let took = begun.elapsed();
        (runs, slowest) = (runs + 1, slowest.max(took));
        match verdict {
            Ok(_) if took > SLOW => {
                eprintln!("fuzz: {}: an input took {took:?}", target.name);
                return store(&corpus.join(target.name), &input).map(Some);
            }
            Ok(verdict) => {
                if verdicts.insert(verdict) && runs > first as u64 {
                    store(&kept.join(target.name), &input)?;
                    mutator.keep(input);
                }
            }
            Err(_) => return store(&corpus.join(target.name), &input).map(Some),
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "{:8} {first:4} seeds {runs:10} inputs in {seconds:6.1} s {:4} verdicts, slowest {slowest:?}",
        target.name,
        verdicts.len()
    );
    Ok(None)
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [seconds, seed, corpus, kept, only @ ..] = args.as_slice() else {
        eprintln!("usage: fuzz SECONDS SEED CORPUS KEPT [TARGET]...");
        return ExitCode::from(2);
    };
    let (seconds, seed): (u64, u64) = (seconds.parse().expect("SECONDS is a number"), seed.parse().expect("SEED is a number"));
    fs::create_dir_all(kept).expect("a folder to keep inputs in");
    let wanted: Vec<&Target> = TARGETS.iter().filter(|t| only.is_empty() || only.iter().any(|name| name == t.name)).collect();
    assert!(!wanted.is_empty() && wanted.len() >= only.len(), "no such target");
    let mut failed = 0;
    for target in &wanted {
        let time = Duration::from_secs(seconds) / wanted.len() as u32;
        match fuzz(target, time, seed, Path::new(corpus), Path::new(kept)) {
            Ok(None) => {}
            Ok(Some(path)) => {
                eprintln!("fuzz: {}: {} fails", target.name, path.display());
                failed += 1;
            }
            Err(why) => {
                eprintln!("fuzz: {}: {why}", target.name);
                return ExitCode::from(2);
            }
        }
    }
    println!("{} targets, {failed} failed", wanted.len());
    ExitCode::from(u8::from(failed > 0))
}
