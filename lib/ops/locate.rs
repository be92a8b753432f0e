//! The objects that a restore of paths reads.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use crate::archive::blocks::BlockSource;
use crate::archive::kind::is_locked;
use crate::archive::named::ArchiveName;
use crate::archive::reading::{Chosen, ReadOptions};
use crate::archive::version::Version;
use crate::core::delta::links::DeltaLink;
use crate::format::entry::{Kind, Within};
use crate::format::object::{BlockForm, Object};
use crate::format::path::Path;
use crate::ops::asked;
use crate::ops::records::Records;
use crate::report::message::Report;

/// What would be restored.
#[derive(Debug, Clone)]
pub struct Options {
    /// The archive.
    pub archive: ArchiveName,
    /// These paths, and what lies below them.
    pub paths: Vec<OsString>,
    /// Files with more of them.
    pub files_from: Vec<PathBuf>,
}

/// What is read of a block's number.
#[derive(Debug, Clone, Copy, Default)]
struct BlockUse {
    is_delta: bool,
    /// Its sums are read, if there are any.
    has_sums: bool,
}

/// Writes the objects that a restore of the paths reads, in the order in which it does: size and
/// name. Blocks that are lost have size `-`. Gives how many objects there are.
///
/// # Errors
/// What keeps it from the whole answer.
pub fn run(
    options: &Options,
    reading: &ReadOptions,
    records: &mut Records<'_>,
    report: &Arc<Report>,
) -> anyhow::Result<u64> {
    let Chosen { archive, chain } = reading.version(&options.archive, report)?;
    let typed = asked::typed(&options.paths, &options.files_from)?;
    let mut selection = asked::select(&archive, &chain, typed, &[], report)?;
    let paths = selection.paths();
    let mut blocks: Vec<(Within, BlockUse)> = Vec::new();
    let source = BlockSource::of_chain(&archive, &chain);
    let mut indexes: Vec<Within> = Vec::new();
    let mut firsts: Vec<Path> = Vec::new();
    let mut version = Version::open_part(&archive, &chain, paths.as_deref(), report)?;
    // Of the directories above what is wanted, the lines tell all but their attributes.
    let mut above: Vec<(Path, Within)> = Vec::new();
    while let Some(next) = version.next_placed()? {
        let (Ok(placed) | Err(placed)) = next;
        let (path, is_dir) = (&placed.entry.path, placed.entry.kind == Kind::Dir);
        while above.pop_if(|(dir, _)| !dir.holds(path)).is_some() {}
        if selection.wants(path, is_dir) {
            blocks.extend(above.drain(..).map(|(_, block)| (block, BlockUse::default())));
            if placed.entry.deltas == 0 {
                blocks.push((placed.data(), BlockUse::default()));
            } else {
                let links = source.delta_links(placed.data(), placed.name_in_block());
                let links = match links {
                    Err(error) if is_locked(&error) => return Err(error),
                    links => links.unwrap_or_else(|error| {
                        report.warn(format_args!("{}: {error:#}", placed.entry.path));
                        Vec::new()
                    }),
                };
                indexes.extend(links.iter().map(|link| link.at));
                let of_link = |link: &DeltaLink| {
                    (link.at, BlockUse { is_delta: link.is_delta(), has_sums: true })
                };
                blocks.extend(links.iter().map(of_link));
            }
            firsts.extend(placed.entry.hard.clone());
        } else if placed.entry.x && is_dir {
            above.push((path.clone(), placed.data()));
        }
    }
    indexes.extend(version.indexes());
    asked::tell_of_missing(&selection, report)?;
    if !firsts.is_empty() {
        firsts.sort();
        firsts.dedup();
        let mut version = Version::open_part(&archive, &chain, Some(&firsts), report)?;
        while let Some(next) = version.next_placed()? {
            let (Ok(placed) | Err(placed)) = next;
            if firsts.binary_search(&placed.entry.path).is_ok() {
                blocks.push((placed.data(), BlockUse::default()));
            }
        }
        indexes.extend(version.indexes());
    }
    for (tier, band) in chain.iter().enumerate() {
        let name = &band.head.band;
        let mut line = |object: Object| -> anyhow::Result<bool> {
            let Some((object, size)) = archive.size(name, object)? else { return Ok(false) };
            let shown = format!("{name}/{object}");
            records.write(
                |line| line.extend(format!("{size} {shown}").bytes()),
                || vec![("object", shown.clone().into()), ("size", size.into())],
            )?;
            Ok(true)
        };
        line(Object::Head)?;
        line(Object::Tail)?;
        if let Some(tail) = &band.tail {
            line(Object::Toc(tail.toc))?;
        }
        for number in of_tier(indexes.iter().map(|within| (*within, ())), tier).keys() {
            line(Object::Index(*number))?;
        }
        for (number, BlockUse { is_delta, has_sums }) in of_tier(blocks.iter().copied(), tier) {
            let form = BlockForm::of(band.head.compression, is_delta);
            if has_sums {
                line(Object::Sums(number))?;
            }
            if !line(Object::Block(number, form))? {
                let mut part = 0;
                while line(Object::Part(number, form, part))? {
                    part += 1;
                }
                if part == 0 {
                    let block = Object::Block(number, form);
                    report.warn(format_args!("{}: missing", archive.likely_name(name, block)));
                }
            }
        }
    }
    Ok(records.count())
}

/// The numbers of a tier, each once.
fn of_tier<T>(blocks: impl Iterator<Item = (Within, T)>, tier: usize) -> BTreeMap<u32, T> {
    let own = blocks.filter(|(within, _)| usize::from(within.tier) == tier);
    own.map(|(within, what)| (within.block, what)).collect()
}
