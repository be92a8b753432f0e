//! `--at`: the time of the version that is read.

use crate::edge::clock;
use crate::format::moment::{Moment, WANTED};
use crate::format::time::Stamp;
use crate::report::message::Report;

/// Reads the option's value.
pub(super) fn time(text: &str) -> Result<Moment, String> {
    Moment::parse(text, &clock::here()).ok_or_else(|| WANTED.to_owned())
}

/// The moment, and if it was given without a zone, a note of which it was taken in.
pub(super) fn said(at: &Moment, report: &Report) -> Stamp {
    if let Some(zone) = &at.zone {
        let stamp = at.stamp.to_rfc3339();
        report.note(format_args!("reading --at as local time ({zone}): {stamp}"));
    }
    at.stamp
}
