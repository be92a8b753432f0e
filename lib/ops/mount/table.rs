//! A version as it is looked up: its tree in memory, its lines in a scratch file.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use anyhow::{Context, bail};

use crate::archive::gaps::IndexGap;
use crate::archive::version::Version;
use crate::archive::{Archive, BandInChain};
use crate::core::merge::{Placed, is_first_name};
use crate::core::mount::tree::{TreeBuilder, VersionTree};
use crate::format::entry::{Entry, Kind, Within};
use crate::format::path::Path;
use crate::report::message::Report;

/// What stands before each line: see [`write()`].
const HEAD: usize = 22;

/// So much is read at once: most lines have less.
const USUAL: usize = 512;

/// What cannot be: the scratch file holds what was written.
const BAD: &str = "the scratch file of a version is not what was written";

/// An entry of a version.
#[derive(Debug, Clone)]
pub(super) struct TableRow {
    /// Its line, and where its content is.
    pub placed: Placed,
    /// The entry whose inode it has: itself, or the first name of a hard link.
    pub inode: u32,
}

/// All entries of a version.
pub(super) struct VersionTable {
    /// Who is in which directory.
    pub tree: VersionTree,
    lines: File,
}

impl VersionTable {
    /// Reads the indexes of a version.
    pub(super) fn read(
        archive: &Arc<Archive>,
        chain: &[BandInChain],
        report: &Arc<Report>,
    ) -> anyhow::Result<VersionTable> {
        let cannot = "cannot write a scratch file";
        let mut version = Version::open_with_gaps(archive, chain, report)?;
        let mut lines = BufWriter::with_capacity(256 << 10, tempfile::tempfile().context(cannot)?);
        let (mut builder, mut at) = (TreeBuilder::default(), 0);
        // What several links have.
        let mut firsts: HashMap<Path, u32> = HashMap::new();
        let (mut count, mut bytes) = (0u32, Vec::new());
        loop {
            let next = version.next_placed()?;
            for gap in version.take_gaps() {
                match gap {
                    IndexGap::Begin { tier, next, is_open } => {
                        builder.handle_gap(tier, next, is_open);
                    }
                    IndexGap::End { tier, before } => builder.handle_gap_end(tier, &before),
                }
            }
            let placed = match next {
                None => break,
                Some(Ok(placed)) => placed,
                Some(Err(orphan)) => {
                    let path = &orphan.entry.path;
                    report.warn(format_args!("{path}: its directory is not listed: left out"));
                    builder.handle_orphan(path);
                    continue;
                }
            };
            let Placed { entry, at: line_at, .. } = &placed;
            let is_dir = entry.kind == Kind::Dir;
            let Some(ordinal) = builder.handle_entry(&entry.path, is_dir, line_at.tier, at) else {
                report.warn(format_args!("{}: not below a directory: left out", entry.path));
                continue;
            };
            if is_first_name(entry) {
                firsts.insert(entry.path.clone(), ordinal);
            }
            let first = entry.hard.as_ref().and_then(|first| firsts.get(first)).copied();
            bytes.clear();
            write(&mut bytes, &placed, first.unwrap_or(ordinal));
            lines.write_all(&bytes).context(cannot)?;
            at += bytes.len() as u64;
            count = ordinal + 1;
        }
        if count == 0 {
            bail!("none of its entries can be read");
        }
        let lines = lines.into_inner().map_err(io::IntoInnerError::into_error).context(cannot)?;
        Ok(VersionTable { tree: builder.finish(), lines })
    }

    /// An entry; none if there is no such one.
    pub(super) fn row(&self, ordinal: u32) -> anyhow::Result<Option<TableRow>> {
        let Some((bytes, under)) = self.bytes(ordinal)? else { return Ok(None) };
        parse(&bytes, under).context(BAD).map(Some)
    }

    /// The path of an entry.
    fn path(&self, ordinal: u32) -> anyhow::Result<Path> {
        let (bytes, under) = self.bytes(ordinal)?.context(BAD)?;
        let line = &bytes[HEAD + under..];
        Ok(Path::parse(line.split(|byte| *byte == b' ').next().unwrap_or(line))?)
    }

    /// What was written of an entry, and how long the name in its block is there.
    fn bytes(&self, ordinal: u32) -> anyhow::Result<Option<(Vec<u8>, usize)>> {
        let Some(at) = self.tree.record(ordinal) else { return Ok(None) };
        let mut bytes = vec![0; USUAL];
        let mut came = 0;
        while came < bytes.len() {
            match self.lines.read_at(&mut bytes[came..], at + came as u64).context(BAD)? {
                0 => break,
                more => came += more,
            }
        }
        bytes.truncate(came);
        let (under, line) = lengths(&bytes).context(BAD)?;
        let wanted = HEAD + under + line;
        if wanted > came {
            bytes.resize(wanted, 0);
            self.lines.read_exact_at(&mut bytes[came..], at + came as u64).context(BAD)?;
        }
        bytes.truncate(wanted);
        Ok(Some((bytes, under)))
    }

    /// The entry with this name in a directory.
    pub(super) fn find(&self, dir: u32, name: &[u8]) -> anyhow::Result<Option<u32>> {
        self.tree.find(dir, name, &mut |ordinal| self.path(ordinal))
    }
}

/// Appends an entry: tier and number of its index, those of a spare block and whether there is one,
/// its inode, the lengths of what follows: the name in its block if that is another, and its line.
fn write(out: &mut Vec<u8>, placed: &Placed, inode: u32) {
    let under = placed.under.as_ref().map_or(&[][..], |under| under.as_bytes());
    let start = out.len();
    out.push(placed.at.tier);
    out.extend(placed.at.block.to_le_bytes());
    let spare = placed.spare.unwrap_or(Within { tier: u8::MAX, block: 0 });
    out.push(spare.tier);
    out.extend(spare.block.to_le_bytes());
    out.extend(inode.to_le_bytes());
    out.extend((under.len() as u32).to_le_bytes());
    let len = out.len();
    out.extend([0; 4]);
    debug_assert_eq!(out.len() - start, HEAD);
    out.extend(under);
    let line = out.len();
    placed.entry.write(out);
    let written = (out.len() - line) as u32;
    out[len..len + 4].copy_from_slice(&written.to_le_bytes());
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn lengths(bytes: &[u8]) -> Option<(usize, usize)> {
    Some((number(bytes, 14)? as usize, number(bytes, 18)? as usize))
}

fn parse(bytes: &[u8], under: usize) -> Option<TableRow> {
    let within = |at: usize| Some(Within { tier: *bytes.get(at)?, block: number(bytes, at + 1)? });
    let (under, line) = bytes.get(HEAD..)?.split_at_checked(under)?;
    let entry = Entry::parse(line.strip_suffix(b"\n")?).ok()?;
    let under = if under.is_empty() { None } else { Some(Path::parse(under).ok()?) };
    let spare = within(5).filter(|spare| spare.tier != u8::MAX);
    let placed = Placed { entry, at: within(0)?, under, spare };
    Some(TableRow { placed, inode: number(bytes, 10)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_what_was_written() {
        let entry = |line: &[u8]| Entry::parse(line).unwrap();
        let rows = [
            (
                entry(b"./a\\040b type=file mode=0644 uid=1 gid=2 time=1.000000005 size=0"),
                None,
                None,
            ),
            (
                entry(b"./l type=link mode=0777 uid=1 gid=2 time=-1.000000000 link=x\\012"),
                Some(Path::parse(b"./older").unwrap()),
                Some(Within { tier: 1, block: 7 }),
            ),
        ];
        for (at, (entry, under, spare)) in rows.into_iter().enumerate() {
            let placed =
                Placed { entry, at: Within { tier: 2, block: u32::MAX - 1 }, under, spare };
            let mut bytes = Vec::new();
            write(&mut bytes, &placed, at as u32);
            let (under, line) = lengths(&bytes).unwrap();
            assert_eq!(bytes.len(), HEAD + under + line);
            let row = parse(&bytes, under).unwrap();
            assert_eq!((row.placed, row.inode), (placed, at as u32));
            for end in 0..bytes.len() {
                assert!(parse(&bytes[..end], under).is_none());
            }
        }
    }
}
