//! The listing that diff reads. It flows through; only where a decision needs all of it first is it
//! kept, in a file without a name.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Seek, Write};

use anyhow::{Context, anyhow};

use crate::archive::version::Version;
use crate::core::diff::{Diff, DiffConfig, DiffSummary, Effect};
use crate::core::merge::Placed;
use crate::format::listing::{Header, Line, ListingReader, VERSION};
use crate::ops::diff::or_full;

/// A scan behind its header lines.
pub(super) struct Scan<R> {
    input: ListingReader<R>,
    first: Option<Line>,
    kept: Option<ListingReader<BufReader<File>>>,
}

impl<R: BufRead> Scan<R> {
    /// What follows the header lines: `first`, and the rest of `input`.
    pub(super) fn new(input: ListingReader<R>, first: Option<Line>) -> Scan<R> {
        Scan { input, first, kept: None }
    }

    /// The next line; behind the last one, none may follow.
    pub(super) fn next(&mut self) -> anyhow::Result<Line> {
        let line = match (&mut self.kept, self.first.take()) {
            (Some(kept), _) => kept.next_line()?,
            (None, Some(first)) => Some(first),
            (None, None) => self.input.next_line()?,
        };
        let line = line.context("the listing has no #end line")?;
        if matches!(line, Line::End(_)) && self.kept.is_none() {
            self.input.next_line()?;
        }
        Ok(line)
    }

    /// What a run with this course would find, all in all; the scan is as it was afterwards.
    pub(super) fn ahead(
        &mut self,
        config: DiffConfig,
        headers: &[Header],
        version: &mut Version,
    ) -> anyhow::Result<DiffSummary> {
        let mut file = self.keep().context("cannot keep the listing in a temporary file")?;
        let rewound = |mut file: File| -> anyhow::Result<_> {
            file.rewind()?;
            Ok(ListingReader::new(BufReader::new(file)))
        };
        let mut lines = rewound(file.try_clone()?)?;
        let next = || lines.next_line()?.ok_or_else(|| anyhow!("the listing has no #end line"));
        let summary = summary(config, headers, next, || placed(version))?;
        file.rewind()?;
        self.kept = Some(rewound(file)?);
        Ok(summary)
    }

    fn keep(&mut self) -> anyhow::Result<File> {
        let mut out = BufWriter::new(tempfile::tempfile()?);
        let mut buffer = Vec::new();
        writeln!(out, "{}\n{}", Header::Mtree, Header::Version(VERSION))?;
        loop {
            let line = self.next()?;
            match &line {
                Line::Entry(entry) => {
                    buffer.clear();
                    entry.write(&mut buffer);
                    out.write_all(&buffer)?;
                }
                Line::Header(header) => writeln!(out, "{header}")?,
                Line::End(end) => {
                    writeln!(out, "{end}")?;
                    return Ok(out.into_inner()?);
                }
            }
        }
    }
}

/// The version's next entry, or one that stands below no directory.
fn placed(version: &mut Version) -> anyhow::Result<Option<Result<Placed, Placed>>> {
    version.next_placed().map_err(or_full)
}

/// What comes of a scan that is compared with a version, when nobody records it.
pub(super) fn summary(
    config: DiffConfig,
    headers: &[Header],
    mut scan: impl FnMut() -> anyhow::Result<Line>,
    mut version: impl FnMut() -> anyhow::Result<Option<Result<Placed, Placed>>>,
) -> anyhow::Result<DiffSummary> {
    let mut diff = Diff::new(config);
    headers.iter().for_each(|header| diff.handle_header(header));
    while let Some(effect) = diff.poll() {
        match effect {
            Effect::WantScan => match scan()? {
                Line::Entry(entry) => diff.handle_scan(entry),
                Line::End(end) => diff.handle_scan_end(end),
                Line::Header(_) => {}
            },
            Effect::WantVersion => match version()? {
                Some(Ok(placed)) => diff.handle_version(placed),
                Some(Err(orphan)) => diff.handle_orphan(orphan),
                None => diff.handle_version_end(),
            },
            Effect::Record(_) | Effect::LeftOut(_) | Effect::PassedOver(_) => {}
        }
    }
    diff.finish().context("the versions were not read to their end")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_kept_comes_again() {
        let text = "#mtree\n#dura listing 1\n#source h /\n. type=dir mode=0755 uid=0 gid=0 time=1.000000000\n#socket ./s\n./x type=dir mode=0755 uid=0 gid=0 time=1.000000000\n#end entries=2 excluded=0 unreadable=0\n";
        let mut input = ListingReader::new(text.as_bytes());
        let first = loop {
            match input.next_line().unwrap().unwrap() {
                Line::Header(_) => {}
                line => break line,
            }
        };
        let mut scan = Scan::new(input, Some(first));
        let mut file = scan.keep().unwrap();
        file.rewind().unwrap();
        scan.kept = Some(ListingReader::new(BufReader::new(file)));
        let mut entries = 0;
        let end = loop {
            match scan.next().unwrap() {
                Line::Entry(_) => entries += 1,
                Line::End(end) => break end,
                Line::Header(_) => {}
            }
        };
        assert_eq!((entries, end.entries), (2, 2));
    }
}
