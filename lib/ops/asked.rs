//! Names and patterns as people give them to a program: on its command line, or in a file.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path as FsPath, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use bstr::ByteSlice;

use crate::archive::version::Version;
use crate::archive::{Archive, BandInChain};
use crate::core::patterns::Patterns;
use crate::core::selection::{AskedError, Readings, Selection, undecided};
use crate::edge::pipe::file_or_stdin;
use crate::format::listing::Header;
use crate::format::path::{self, Path};
use crate::report::message::Report;

/// Reads a file of names or patterns; `-` is standard input.
pub(crate) fn read_file(file: &FsPath) -> anyhow::Result<Vec<u8>> {
    let mut text = Vec::new();
    file_or_stdin(file)
        .and_then(|mut file| file.read_to_end(&mut text))
        .with_context(|| file.display().to_string())?;
    Ok(text)
}

/// The names on the command line and those of `--files-from`, which end in NUL if there is one,
/// else each is a line.
pub(crate) fn typed(paths: &[OsString], files: &[PathBuf]) -> anyhow::Result<Vec<Vec<u8>>> {
    let mut typed: Vec<Vec<u8>> = paths.iter().map(|path| path.as_bytes().to_vec()).collect();
    for file in files {
        let text = read_file(file)?;
        let names: Vec<&[u8]> = if text.contains(&0) {
            text.split(|byte| *byte == 0).collect()
        } else {
            text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&text).lines().collect()
        };
        typed.extend(names.into_iter().filter(|name| !name.is_empty()).map(<[u8]>::to_vec));
    }
    // An empty list is no list of everything.
    if typed.is_empty() && !files.is_empty() {
        bail!("--files-from: contains no names");
    }
    Ok(typed)
}

/// Finds out what is meant by what was typed, by what the version has.
pub(crate) fn select(
    archive: &Arc<Archive>,
    chain: &[BandInChain],
    typed: Vec<Vec<u8>>,
    exclude: &[OsString],
    report: &Arc<Report>,
) -> anyhow::Result<Selection> {
    let mut patterns = Patterns::default();
    exclude.iter().for_each(|pattern| patterns.add_line(pattern.as_bytes()));
    let source = source(archive, chain, &typed, report)?;
    let asked = typed
        .into_iter()
        .map(|typed| Readings::new(&typed, source.as_deref()).map(|readings| (typed, readings)))
        .collect::<Result<Vec<_>, AskedError>>()?;
    let there = there(archive, chain, &undecided(&asked), report)?;
    let selection = Selection::new(asked, patterns, &there);
    tell_of_braces(selection.with_braces(), report);
    Ok(selection)
}

/// The path of the source, if a name needs it: an absolute one.
pub(crate) fn source(
    archive: &Arc<Archive>,
    chain: &[BandInChain],
    typed: &[Vec<u8>],
    report: &Arc<Report>,
) -> anyhow::Result<Option<Vec<u8>>> {
    if !typed.iter().any(|typed| matches!(typed.first(), Some(b'/' | b'\\'))) {
        return Ok(None);
    }
    let mut version = Version::open(archive, chain, report)?;
    version.next_placed()?;
    Ok(version.headers().iter().find_map(|header| match header {
        Header::Source(_, dir) => Some(dir.clone()),
        _ => None,
    }))
}

/// Which of these paths, sorted, the version has.
fn there(
    archive: &Arc<Archive>,
    chain: &[BandInChain],
    paths: &[Path],
    report: &Arc<Report>,
) -> anyhow::Result<BTreeSet<Path>> {
    let mut there = BTreeSet::new();
    if paths.is_empty() {
        return Ok(there);
    }
    let mut version = Version::open_part(archive, chain, Some(paths), report)?;
    let mut left = paths.iter().peekable();
    while left.peek().is_some()
        && let Some(next) = version.next_placed()?
    {
        let (Ok(placed) | Err(placed)) = next;
        while left.next_if(|path| **path < placed.entry.path).is_some() {}
        there.extend(left.next_if(|path| **path == placed.entry.path).cloned());
    }
    Ok(there)
}

/// Says of what was asked for and is nowhere; fails if nothing of it is there.
pub(crate) fn tell_of_missing(selection: &Selection, report: &Report) -> anyhow::Result<()> {
    for typed in selection.unseen() {
        report.warn(format_args!("{}: not in this version", path::shown(typed)));
    }
    if selection.found_nothing() {
        bail!("none of the requested paths is in this version");
    }
    Ok(())
}

/// Warns those who know braces from a shell.
pub(crate) fn tell_of_braces<'a>(patterns: impl Iterator<Item = &'a [u8]>, report: &Report) {
    for pattern in patterns {
        report.note(format_args!(
            "pattern {}: braces have no special meaning, as in gitignore files: write a pattern for each alternative",
            path::shown(pattern)
        ));
    }
}
