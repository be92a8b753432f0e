//! The tar that a restore writes.

use std::io::Write;

use anyhow::Context;

use crate::archive::entries::sink::{ContentCame, EntrySink, write_headers};
use crate::edge::ahead::BackgroundWriter;
use crate::format::entry::Entry;
use crate::format::stream::END;
use crate::format::tarball::{BLOCK, Extras, padding};
use crate::report::message::Report;
use crate::report::progress::{DrawInterval, WRITTEN};

pub(super) const CANNOT_WRITE: &str = "cannot write the tar";

/// What was written.
#[derive(Debug, Clone, Copy, Default)]
pub struct WrittenSum {
    /// Entries.
    pub entries: u64,
    /// Bytes of files.
    pub bytes: u64,
    /// Entries that are lost.
    pub lost: u64,
}

/// In a file of more bytes, progress is told before its end.
const LARGE: u64 = 16 << 20;

/// A tar.
pub(super) struct TarSink<'a> {
    out: BackgroundWriter,
    report: &'a Report,
    sum: WrittenSum,
    pace: DrawInterval,
    /// Where headers are made.
    headers: Vec<u8>,
    /// Bytes of the content that came of the entry.
    came: u64,
}

impl<'a> TarSink<'a> {
    /// One that is written to `out`, of so many bytes if that is known.
    pub(super) fn new(
        out: BackgroundWriter,
        total: Option<u64>,
        report: &'a Report,
    ) -> TarSink<'a> {
        let pace = DrawInterval::new(WRITTEN, total);
        let (sum, headers) = (WrittenSum::default(), Vec::new());
        TarSink { out, report, sum, pace, headers, came: 0 }
    }

    /// Closes the tar.
    pub(super) fn finish(mut self) -> anyhow::Result<WrittenSum> {
        self.put(&END)?;
        self.out.finish().context(CANNOT_WRITE)?;
        Ok(self.sum)
    }

    fn put(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        self.out.write_all(bytes).context(CANNOT_WRITE)
    }
}

impl EntrySink for TarSink<'_> {
    const DONE: &'static str = "restored";

    fn begin(
        &mut self,
        entry: &Entry,
        extras: &Extras,
        sparse: Option<(&[u8], u64)>,
    ) -> anyhow::Result<()> {
        self.headers.clear();
        write_headers(&mut self.headers, entry, extras, sparse)?;
        self.came = 0;
        self.out.write_all(&self.headers).context(CANNOT_WRITE)
    }

    fn content(&mut self, piece: &[u8]) -> anyhow::Result<()> {
        self.came += piece.len() as u64;
        if self.came >= LARGE {
            let bytes = self.sum.bytes + self.came;
            self.pace.draw(self.report.board(), self.sum.entries, bytes, &[]);
        }
        self.put(piece)
    }

    fn end(&mut self, entry: &Entry, came: ContentCame) -> anyhow::Result<()> {
        self.put(&[0; BLOCK][..padding(self.came)])?;
        self.sum.lost += u64::from(came == ContentCame::Broken);
        self.sum.entries += 1;
        self.sum.bytes += entry.size.filter(|_| entry.hard.is_none()).unwrap_or(0);
        self.report.verbose(&entry.path);
        self.pace.draw(self.report.board(), self.sum.entries, self.sum.bytes, &[]);
        Ok(())
    }

    fn lose(&mut self, _: &Entry) {
        self.sum.lost += 1;
    }
}
