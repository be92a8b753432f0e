//! `dura-index find` and `where`: in which versions a path is, and in which objects.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Write;
use std::path::Path as FsPath;
use std::sync::Arc;

use anyhow::Context;
use clap::Args;
use ignore::gitignore::GitignoreBuilder;

use super::super::archive::Archive;
use super::super::archive::version::{Version, must_exist};
use super::super::message::Report;
use super::{CANNOT_WRITE, Chosen, Reading, Wanted, open};
use crate::edge::pipe;
use crate::format::digest::Digest;
use crate::format::entry::{Entry, Kind, Within};
use crate::format::object::Object;
use crate::format::path::Path;
use crate::format::time::Time;

/// Arguments of `find`.
#[derive(Debug, Clone, Args)]
pub(super) struct FindArgs {
    /// The archive: a directory
    #[arg(value_name = "ARCHIVE")]
    archive: String,
    /// What to look for (gitignore syntax, relative to the source)
    #[arg(value_name = "PATTERN")]
    pattern: String,
}

/// Arguments of `where`.
#[derive(Debug, Clone, Args)]
pub(super) struct WhereArgs {
    /// The archive: a directory
    #[arg(value_name = "ARCHIVE")]
    archive: String,
    /// What would be restored, with all below it
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<OsString>,
}

/// What makes two versions of a path the same to the person who looks for it.
type Look = (Option<u64>, Option<Time>, Option<Digest>);

/// Writes a line for each content that a path has had: path, size, time, digest, and the bands with
/// it.
pub(super) fn find(args: &FindArgs, reading: &Reading, report: &Arc<Report>) -> anyhow::Result<()> {
    must_exist(&args.archive)?;
    let archive = Arc::new(Archive::open(&args.archive, reading.cache.as_deref())?);
    let mut builder = GitignoreBuilder::new("/");
    builder.add_line(None, &args.pattern).with_context(|| args.pattern.clone())?;
    let pattern = builder.build().with_context(|| args.pattern.clone())?;
    let mut found: BTreeMap<Path, Vec<(Look, Vec<String>)>> = BTreeMap::new();
    for name in archive.names()? {
        let chain = match archive.chain(&name) {
            Ok(chain) => chain,
            Err(error) => {
                report.warn(format_args!("{name}: cannot be read: {error:#}"));
                continue;
            }
        };
        let mut version = Version::open(&archive, &chain, report)?;
        while let Some(placed) = version.next_entry()? {
            let Entry { path, kind, size, sha256, .. } = &placed.entry;
            let raw = path.raw();
            let raw: &std::ffi::OsStr = std::os::unix::ffi::OsStrExt::from_bytes(&raw);
            if path.is_root() || !pattern.matched(FsPath::new(raw), *kind == Kind::Dir).is_ignore()
            {
                continue;
            }
            let look = (*size, placed.entry.meta().map(|meta| meta.time), *sha256);
            let looks = found.entry(path.clone()).or_default();
            match looks.iter_mut().find(|(known, _)| *known == look) {
                Some((_, bands)) => bands.push(name.to_string()),
                None => looks.push((look, vec![name.to_string()])),
            }
        }
    }
    let mut out = pipe::stdout()?;
    for (path, looks) in &found {
        for ((size, time, sha256), bands) in looks {
            let size = size.map_or("-".to_owned(), |size| size.to_string());
            let time = time.map_or("-".to_owned(), |time| time.to_string());
            let sha256 = sha256.map_or("-".to_owned(), hex::encode);
            writeln!(out, "{path} {size} {time} {sha256} {}", bands.join(","))
                .context(CANNOT_WRITE)?;
        }
    }
    out.finish().context(CANNOT_WRITE)?;
    if found.is_empty() {
        report.note(format_args!("{}: in no version", args.pattern));
    }
    Ok(())
}

/// Writes the objects that a restore of the paths reads, in the order in which it does: size and
/// name. Blocks that are lost have size `-`.
pub(super) fn locate(
    args: &WhereArgs,
    reading: &Reading,
    report: &Arc<Report>,
) -> anyhow::Result<()> {
    let Chosen { archive, chain } = open(&args.archive, reading, report)?;
    let mut wanted = Wanted::new(&args.paths)?;
    let mut blocks: Vec<Within> = Vec::new();
    let mut indexes: Vec<Within> = Vec::new();
    let mut firsts: Vec<Path> = Vec::new();
    let mut version = Version::open_part(&archive, &chain, Some(&wanted.paths), report)?;
    while let Some(next) = version.next_placed()? {
        let (Ok(placed) | Err(placed)) = next;
        let path = &placed.entry.path;
        if wanted.has(path) {
            blocks.push(placed.data());
            firsts.extend(placed.entry.hard.clone());
        } else if placed.entry.x && wanted.paths.iter().any(|wanted| path.holds(wanted)) {
            // Of the directories above, the lines tell all but this.
            blocks.push(placed.data());
        }
    }
    indexes.extend(version.indexes());
    wanted.finish(report)?;
    if !firsts.is_empty() {
        firsts.sort();
        firsts.dedup();
        let mut version = Version::open_part(&archive, &chain, Some(&firsts), report)?;
        while let Some(next) = version.next_placed()? {
            let (Ok(placed) | Err(placed)) = next;
            if firsts.binary_search(&placed.entry.path).is_ok() {
                blocks.push(placed.data());
            }
        }
        indexes.extend(version.indexes());
    }
    let mut out = pipe::stdout()?;
    for (tier, band) in chain.iter().enumerate() {
        let name = &band.head.band;
        let mut line = |object: Object| -> anyhow::Result<bool> {
            let Some((object, size)) = archive.size(name, object)? else { return Ok(false) };
            writeln!(out, "{size} {name}/{object}").context(CANNOT_WRITE)?;
            Ok(true)
        };
        line(Object::Head)?;
        line(Object::Tail)?;
        if let Some(tail) = &band.tail {
            line(Object::Toc(tail.toc))?;
        }
        for (of, object) in [(&indexes, false), (&blocks, true)] {
            let mut numbers: Vec<u32> = of
                .iter()
                .filter(|within| usize::from(within.tier) == tier)
                .map(|within| within.block)
                .collect();
            numbers.sort_unstable();
            numbers.dedup();
            for number in numbers {
                if !object {
                    line(Object::Index(number))?;
                } else if !line(Object::Block(number, band.head.compression))? {
                    let mut part = 0;
                    while line(Object::Part(number, band.head.compression, part))? {
                        part += 1;
                    }
                    if part == 0 {
                        let block = Object::Block(number, band.head.compression);
                        report.warn(format_args!("{}: missing", archive.likely_name(name, block)));
                    }
                }
            }
        }
    }
    out.finish().context(CANNOT_WRITE)
}
