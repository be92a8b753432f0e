//! Random operations on a tree, with a backup after each round of them: every version comes back
//! exactly.
//!
//! `DURA_RANDOM_CASES` says how many cases to run, `DURA_RANDOM_SEED` with which to begin,
//! `DURA_RANDOM_JOBS` how many at once; `scripts/random-trees` runs thousands. A case that fails is
//! made smaller and printed; `tests/random/found.txt` has those that once did.

mod run;
mod script;
mod tree;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::util::dice::variable;

/// Takes lines out of a case as long as it fails.
fn shrink(mut lines: Vec<String>, mut why: String) -> (Vec<String>, String) {
    let mut size = lines.len().div_ceil(2);
    while size > 0 {
        let mut at = 0;
        let mut smaller = false;
        while at < lines.len() {
            let mut fewer = lines.clone();
            fewer.drain(at..(at + size).min(lines.len()));
            match run::run(&fewer) {
                Err(other) => (lines, why, smaller) = (fewer, other, true),
                Ok(_) => at += size,
            }
        }
        if !smaller || size > 1 {
            size /= 2;
        }
    }
    (lines, why)
}

/// Whatever was done to the tree, each version is what the tree was.
#[test]
fn random_trees() {
    let (first, count) = (variable("DURA_RANDOM_SEED", 1), variable("DURA_RANDOM_CASES", 6));
    let next = AtomicU64::new(first);
    let failed = Mutex::new(vec![]);
    let sums = Mutex::new((0, 0));
    std::thread::scope(|scope| {
        for _ in 0..variable("DURA_RANDOM_JOBS", 4) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + count {
                        return;
                    }
                    let lines = script::generate(seed);
                    match run::run(&lines) {
                        Ok(case) => {
                            let mut sums = sums.lock().unwrap();
                            *sums = (sums.0 + case.done, sums.1 + case.idle);
                        }
                        Err(why) => {
                            eprintln!("seed {seed} fails: {why}");
                            let (lines, why) = if variable("DURA_RANDOM_SHRINK", 1) == 1 {
                                shrink(lines, why)
                            } else {
                                (lines, why)
                            };
                            failed
                                .lock()
                                .unwrap()
                                .push(format!("seed {seed}: {why}\n{}\n", lines.join("\n")));
                        }
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{} of {count} cases failed\n\n{}", failed.len(), failed.join("\n"));
    let (done, idle) = sums.into_inner().unwrap();
    assert!(done > idle * 2, "{done} operations were done, {idle} could not be done");
}

/// What once failed, fails no more.
#[test]
fn found_before() {
    let text = include_str!("random/found.txt");
    let cases: Vec<Vec<String>> = text
        .split("\n\n")
        .map(|case| {
            case.lines()
                .filter(|line| !line.starts_with('#'))
                .map(str::to_owned)
                .collect::<Vec<_>>()
        })
        .filter(|case| !case.is_empty())
        .collect();
    assert!(cases.len() > 1);
    for case in cases {
        run::run(&case).unwrap_or_else(|why| panic!("{}\n{why}", case.join("\n")));
    }
}
