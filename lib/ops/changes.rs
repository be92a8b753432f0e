//! What differs between two versions, or between a version and a listing.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{BufReader, Read};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, bail};

use crate::archive::named::ArchiveName;
use crate::archive::reading::ReadOptions;
use crate::archive::version::{Version, choose, must_exist};
use crate::archive::{Archive, BandInChain};
use crate::core::chain::choice::Mask;
use crate::core::changes::{Changes, Difference, How, Side};
use crate::core::selection::Selection;
use crate::edge::pipe::file_or_stdin;
use crate::format::band::BandName;
use crate::format::entry::{Entry, Kind, push_number};
use crate::format::listing::{Line, ListingReader};
use crate::format::path;
use crate::ops::asked;
use crate::ops::records::Records;
use crate::report::message::Report;
use crate::report::units::human;

/// Changes that are held back to find what was moved: some hundred bytes each.
const HELD: usize = 500_000;

/// What is compared, and how it is written.
#[derive(Debug, Clone)]
pub struct Options {
    /// The archive.
    pub archive: ArchiveName,
    /// These paths, and what lies below them [default: all].
    pub paths: Vec<OsString>,
    /// Files with more of them.
    pub files_from: Vec<PathBuf>,
    /// The newer of two versions; the older one is the reading's. With one version or none: the
    /// newest, and the one before it.
    pub newer: Option<String>,
    /// A listing that is compared instead of a newer version; `-` is standard input.
    pub listing: Option<PathBuf>,
    /// Write also what differs in mode, owner or time alone.
    pub metadata: bool,
}

/// How many changes there are of each kind, and the bytes of their files.
pub type ChangeCounts = BTreeMap<How, (u64, u64)>;

/// Where a tree comes from.
enum TreeSource {
    Version(Box<Version>),
    Listing(ListingReader<BufReader<Box<dyn Read>>>),
    /// There is no older version.
    Nothing,
}

impl TreeSource {
    fn next(&mut self) -> anyhow::Result<Option<Entry>> {
        Ok(match self {
            TreeSource::Version(version) => version.next_entry()?.map(|placed| placed.entry),
            TreeSource::Listing(listing) => loop {
                match listing.next_line()? {
                    Some(Line::Entry(entry)) => break Some(entry),
                    Some(Line::Header(_)) => {}
                    Some(Line::End(_)) | None => break None,
                }
            },
            TreeSource::Nothing => None,
        })
    }
}

/// One of the two trees, and what of it is compared.
struct TreePart {
    tree: TreeSource,
    selection: Selection,
}

impl TreePart {
    fn next(&mut self) -> anyhow::Result<Option<Entry>> {
        while let Some(entry) = self.tree.next()? {
            if self.selection.wants(&entry.path, entry.kind == Kind::Dir) {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }
}

/// Writes a line for each entry that differs: how, the size of its file, its path, and where it was
/// before if it was moved. Gives the sums.
///
/// # Errors
/// What keeps it from comparing all, and paths that are in neither tree.
pub fn run(
    options: &Options,
    reading: &ReadOptions,
    records: &mut Records<'_>,
    report: &Arc<Report>,
) -> anyhow::Result<ChangeCounts> {
    must_exist(&options.archive)?;
    let archive = Arc::new(reading.open(&options.archive, report)?);
    let (older, newer) = versions(&archive, options, reading, report)?;
    let (mut old, mut new) = parts(&archive, options, older.as_ref(), newer.as_ref(), report)?;
    let mut changes = Changes::new(options.metadata, HELD);
    let mut writer = ChangesWriter { records, sums: BTreeMap::new() };
    while let Some(side) = changes.want() {
        match side {
            Side::Old => changes.handle_old(old.next()?),
            Side::New => changes.handle_new(new.next()?),
        }
        while let Some(change) = changes.poll() {
            writer.write(&change)?;
        }
    }
    if changes.overflows() {
        report.note("too many changes to tell which files were moved: they are listed as - and +");
    }
    for change in changes.finish() {
        writer.write(&change)?;
    }
    let missing: Vec<&[u8]> = old
        .selection
        .unseen()
        .filter(|it| new.selection.unseen().any(|other| other == *it))
        .collect();
    for typed in &missing {
        report.warn(format_args!("{}: in neither of the two", path::shown(typed)));
    }
    if old.selection.found_nothing() && new.selection.found_nothing() {
        bail!("none of the requested paths is in either of the two");
    }
    Ok(writer.sums)
}

/// The two versions; none for one that is nothing, or the listing.
fn versions(
    archive: &Archive,
    options: &Options,
    reading: &ReadOptions,
    report: &Report,
) -> anyhow::Result<(Option<BandName>, Option<BandName>)> {
    let shown = &options.archive;
    let asked = choose(archive, shown, reading.band.as_deref(), reading.at, report)?;
    if options.listing.is_some() {
        return Ok((Some(asked), None));
    }
    if let Some(newer) = &options.newer {
        return Ok((Some(asked), Some(choose(archive, shown, Some(newer), None, report)?)));
    }
    if reading.band.is_some() || reading.at.is_some() {
        return Ok((Some(asked), Some(choose(archive, shown, None, None, report)?)));
    }
    let mut before = archive.bands(report)?;
    before.retain(|name| name.start() < asked.start());
    // A version of a part of the source would lack the rest.
    let is_whole = |name: &BandName| match archive.ends(name) {
        Ok((Some(head), Some(_))) => archive.has_mask(&head, true) == Mask::Whole,
        _ => false,
    };
    Ok((before.into_iter().rev().find(is_whole), Some(asked)))
}

/// Opens what is compared.
fn parts(
    archive: &Arc<Archive>,
    options: &Options,
    older: Option<&BandName>,
    newer: Option<&BandName>,
    report: &Arc<Report>,
) -> anyhow::Result<(TreePart, TreePart)> {
    let typed = asked::typed(&options.paths, &options.files_from)?;
    let chain = |name: &BandName| archive.chain(name);
    let chains = (older.map(chain).transpose()?, newer.map(chain).transpose()?);
    // Of names that one of them does not have, the other says what they are.
    let any = chains.0.as_ref().or(chains.1.as_ref()).context("the archive has no band")?;
    let part = |chain: &Option<Vec<BandInChain>>| -> anyhow::Result<TreePart> {
        let of = chain.as_ref().unwrap_or(any);
        let selection = asked::select(archive, of, typed.clone(), &[], report)?;
        let tree = match chain {
            Some(chain) => {
                let paths = selection.paths();
                let version = Version::open_part(archive, chain, paths.as_deref(), report)?;
                TreeSource::Version(Box::new(version))
            }
            None => TreeSource::Nothing,
        };
        Ok(TreePart { tree, selection })
    };
    let shown = |name: Option<&BandName>, or: &str| match name {
        Some(name) => name.to_string(),
        None => or.to_owned(),
    };
    let (from, to) = (shown(older, "nothing"), shown(newer, "the listing"));
    report.done(format_args!("from {from} to {to}"));
    let (old, mut new) = (part(&chains.0)?, part(&chains.1)?);
    if let Some(file) = &options.listing {
        let opened = file_or_stdin(file).with_context(|| file.display().to_string())?;
        new.tree = TreeSource::Listing(ListingReader::new(BufReader::new(opened)));
    }
    Ok((old, new))
}

/// Writes the changes, and counts them.
struct ChangesWriter<'a, 'b> {
    records: &'a mut Records<'b>,
    sums: ChangeCounts,
}

impl ChangesWriter<'_, '_> {
    fn write(&mut self, change: &Difference) -> anyhow::Result<()> {
        let Difference { how, path, from, old, new } = change;
        let size = if *how == How::Removed { *old } else { *new };
        let sum = self.sums.entry(*how).or_default();
        *sum = (sum.0 + 1, sum.1 + size.unwrap_or(0));
        self.records.write(
            |line| {
                line.push(sign(*how));
                line.push(b' ');
                match size {
                    Some(size) => push_number(line, size),
                    None => line.push(b'-'),
                }
                line.push(b' ');
                line.extend(path.as_bytes());
                if let Some(from) = from {
                    line.push(b' ');
                    line.extend(from.as_bytes());
                }
            },
            || {
                vec![
                    ("change", word(*how).into()),
                    ("path", path.to_string().into()),
                    ("from", from.as_ref().map(ToString::to_string).into()),
                    ("old_size", (*old).into()),
                    ("new_size", (*new).into()),
                ]
            },
        )
    }
}

/// The sums in words.
pub fn in_words(sums: &ChangeCounts) -> String {
    let sum = |(how, (count, bytes)): (&How, &(u64, u64))| {
        format!("{count} {} ({})", word(*how), human(*bytes))
    };
    let sums: Vec<String> = sums.iter().map(sum).collect();
    if sums.is_empty() { "no differences".to_owned() } else { sums.join(", ") }
}

/// What the first column says.
fn sign(how: How) -> u8 {
    match how {
        How::Added => b'+',
        How::Removed => b'-',
        How::Modified => b'M',
        How::Retyped => b'T',
        How::Metadata => b'U',
        How::Moved => b'R',
    }
}

fn word(how: How) -> &'static str {
    match how {
        How::Added => "added",
        How::Removed => "removed",
        How::Modified => "modified",
        How::Retyped => "retyped",
        How::Metadata => "metadata",
        How::Moved => "moved",
    }
}
