//! The largest files of the newest version in an archive, read through the library: `cargo run
//! --example largest /mnt/backup`.
//!
//! It reads what `dura-index list` reads: any store, any chain of bands, and what gpg can open.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::error::Error;
use std::ffi::OsString;
use std::sync::Arc;

use dura::archive::reading::ReadOptions;
use dura::format::path::Path;
use dura::report::events::Events;
use dura::report::message::Report;

/// Files and their sizes.
pub(crate) type Files = Vec<(u64, Path)>;

/// So many files of the newest version, the largest first, and how many flaws were reported.
pub(crate) fn largest(archive: OsString, count: usize) -> Result<(Files, u64), Box<dyn Error>> {
    let report = Arc::new(Report::new("largest", 0, Events::default()));
    let mut found = BinaryHeap::new();
    let reading = ReadOptions { no_cache: true, ..ReadOptions::default() };
    for entry in reading.entries(&archive.into(), &report)? {
        let entry = entry?;
        if let Some(size) = entry.size {
            found.push(Reverse((size, Reverse(entry.path))));
        }
        if found.len() > count {
            found.pop();
        }
    }
    let sorted = found.into_sorted_vec().into_iter();
    Ok((sorted.map(|Reverse((size, Reverse(path)))| (size, path)).collect(), report.warnings()))
}

fn main() -> Result<(), Box<dyn Error>> {
    let archive = std::env::args_os().nth(1).ok_or("name an archive")?;
    let (files, flaws) = largest(archive, 10)?;
    for (size, path) in files {
        println!("{size:>16} {path}");
    }
    if flaws > 0 { Err(format!("{flaws} warnings: not all is known").into()) } else { Ok(()) }
}
