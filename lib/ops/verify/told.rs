//! What a run tells: a line for each finding, and a summary at the end.

use std::collections::{BTreeMap, HashSet};
use std::io::Write;

use anyhow::Context;

use crate::core::verify::{Finding, FindingKind};
use crate::format::band::BandName;
use crate::ops::verify::against::Tell;
use crate::ops::verify::check::Meter;
use crate::report::message::{Report, printable};
use crate::report::progress::{DrawInterval, READ};
use crate::report::units::{count, human};

const CANNOT_WRITE: &str = "cannot write the findings";

/// The findings of a run on their way out.
pub(super) struct Told<'a> {
    /// Where all else is told.
    pub report: &'a Report,
    /// Where findings go; stderr if there is none.
    out: Option<&'a mut dyn Write>,
    counts: BTreeMap<FindingKind, u64>,
    /// How many bands were looked at.
    pub bands: u64,
    /// Those of them that have no TAIL.
    pub unfinished: Vec<BandName>,
    /// What is told of HEAD or TAIL themselves may be told by their lists as well, and notes of
    /// many objects.
    once: HashSet<String>,
    pace: DrawInterval,
}

impl<'a> Told<'a> {
    /// Findings go to `out`, or to stderr.
    pub(super) fn new(report: &'a Report, out: Option<&'a mut dyn Write>) -> Told<'a> {
        Told {
            report,
            out,
            counts: BTreeMap::new(),
            bands: 0,
            unfinished: Vec::new(),
            once: HashSet::new(),
            pace: DrawInterval::new(READ, None),
        }
    }

    /// Draws how far the run is.
    pub(super) fn draw(&mut self, meter: &Meter) {
        let (objects, bytes) = meter.sum();
        self.pace.draw(
            self.report.board(),
            objects,
            bytes,
            &[("bands", self.bands.saturating_sub(1))],
        );
    }

    /// The next finding.
    pub(super) fn finding(&mut self, finding: &Finding) -> anyhow::Result<()> {
        let name = finding.subject.to_string();
        let in_folder = name.split('/').count() > 2;
        if !in_folder && finding.bad && !self.once.insert(name.clone()) {
            return Ok(());
        }
        if !finding.bad {
            self.report.verbose(finding);
            return Ok(());
        }
        *self.counts.entry(finding.kind).or_default() += 1;
        self.report.flaw();
        let (kind, name) = (finding.kind.word(), name.as_str());
        self.report.events().emit(
            "finding",
            &[("kind", kind.into()), ("name", name.into()), ("text", finding.what.as_str().into())],
        );
        match &mut self.out {
            Some(out) => {
                let line = finding.to_string();
                self.report
                    .progress()
                    .suspend(|| writeln!(out, "{}", printable(&line)))
                    .context(CANNOT_WRITE)
            }
            None => {
                self.report.bare(finding);
                Ok(())
            }
        }
    }

    /// Worth knowing, and not wrong; told once.
    pub(super) fn note(&mut self, what: String) {
        if !self.once.contains(&what) {
            self.report.note(&what);
            self.once.insert(what);
        }
    }

    /// The summary. Gives how many findings there were.
    pub(super) fn finish(mut self, meter: &Meter) -> anyhow::Result<u64> {
        if let Some(out) = self.out.take() {
            out.flush().context(CANNOT_WRITE)?;
        }
        let (objects, bytes) = meter.sum();
        let sum: u64 = self.counts.values().sum();
        let kinds: Vec<String> =
            self.counts.iter().map(|(kind, count)| format!("{count} {}", kind.word())).collect();
        let found = if sum == 0 {
            "OK, no problems found".to_owned()
        } else {
            format!("found: {}", kinds.join(", "))
        };
        let open: Vec<String> = self.unfinished.iter().map(BandName::to_string).collect();
        let unfinished = match open.is_empty() {
            true => String::new(),
            false => format!("; without TAIL, so unfinished: {}", open.join(", ")),
        };
        self.report.note(format_args!(
            "{}, {} read, {}: {found}{unfinished}",
            count(self.bands, "band"),
            count(objects, "object"),
            human(bytes)
        ));
        let fields =
            [("objects", objects.into()), ("bytes", bytes.into()), ("findings", sum.into())];
        self.report.events().emit("verified", &fields);
        Ok(sum)
    }
}

impl Tell for Told<'_> {
    fn found(&mut self, finding: Finding) -> anyhow::Result<()> {
        self.finding(&finding)
    }

    fn note(&mut self, what: String) {
        Told::note(self, what);
    }
}
