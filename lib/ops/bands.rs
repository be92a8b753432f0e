//! The bands of an archive.

use std::io::Write;
use std::sync::Arc;

use anyhow::Context;

use crate::archive::named::ArchiveName;
use crate::archive::reading::Reading;
use crate::archive::strangers::strangers;
use crate::archive::version::{must_exist, no_band};
use crate::archive::{Archive, Band};
use crate::core::chain::ancestors::Extent;
use crate::core::chain::ends::Ends;
use crate::edge::pipe;
use crate::format::listing::Have;
use crate::format::object::{Object, ObjectName};
use crate::ops::CANNOT_WRITE;
use crate::report::message::Report;

/// What the columns are, for people: scripts get lines alone.
const HEADING: &str = "band state started entries bytes-of-source sealed signed parity";

/// Writes a line a band: name, `complete` or `unfinished`, start time, entries, source bytes;
/// `encrypted`, `plain` or `mixed`; `signed` or `unsigned`; how many parity shards its first group
/// has. `-` for what cannot be told.
///
/// # Errors
/// What keeps it from listing all.
pub fn run(shown: &ArchiveName, reading: &Reading, report: &Arc<Report>) -> anyhow::Result<()> {
    must_exist(shown)?;
    let archive = reading.open(shown, report)?;
    let mut out = pipe::stdout()?;
    let names = archive.bands(report)?;
    if names.is_empty() && archive.names()?.is_empty() {
        // Nothing there is an archive without bands; other things are another place.
        if let Some(others) = strangers(&archive.store().list("")?) {
            return Err(no_band(shown, format_args!("the archive has no band, but {others}")));
        }
    }
    if pipe::stdout_is_terminal() {
        writeln!(out, "{HEADING}").context(CANNOT_WRITE)?;
    }
    for name in names {
        // What is wrong with one band is no reason to keep quiet of the others.
        let (head, tail) = match archive.state(&name, true) {
            Ok(Ends { head: Some(head), tail, .. }) => (head, tail),
            Ok(_) => continue,
            Err(error) => {
                report.warn(format_args!("{error:#}"));
                continue;
            }
        };
        archive.tell_of_damaged_ends(&name, report);
        let started = head.started.to_rfc3339();
        let line = match &tail {
            Some(tail) => format!("{name} complete {started} {} {}", tail.entries, tail.bytes),
            None => match count(&archive, Band { head, tail: None, extent: Extent::Unfinished }) {
                Ok(have) => format!("{name} unfinished {started} {} {}", have.entries, have.bytes),
                Err(error) => {
                    report.verbose(format_args!("{error:#}"));
                    format!("{name} unfinished {started} - -")
                }
            },
        };
        let protection = match archive.first_objects(&name) {
            Ok(objects) => protection(&objects),
            Err(error) => {
                report.verbose(format_args!("{error:#}"));
                "- - -".to_owned()
            }
        };
        writeln!(out, "{line} {protection}").context(CANNOT_WRITE)?;
    }
    out.finish().context(CANNOT_WRITE)
}

/// How the objects of a band are protected, by the names in its first folder.
fn protection(objects: &[ObjectName]) -> String {
    let any = |is: &dyn Fn(&ObjectName) -> bool| objects.iter().any(is);
    let secret = |encrypted: bool| any(&|name| name.is_secret() && name.encrypted == encrypted);
    let sealed = match (secret(true), secret(false)) {
        (true, true) => "mixed",
        (true, false) => "encrypted",
        (false, true) => "plain",
        (false, false) => "-",
    };
    let signed = match any(&|name| matches!(name.object, Object::ListSig(..) | Object::TailSig)) {
        true => "signed",
        false => "unsigned",
    };
    let shards = objects.iter().filter(|name| matches!(name.object, Object::Parity(0, 0, _)));
    format!("{sealed} {signed} {}", shards.count())
}

/// What an unfinished band holds.
fn count(archive: &Archive, band: Band) -> anyhow::Result<Have> {
    let (indexes, facts) = archive.indexes(&band.head)?;
    if let Some((_, error)) = facts.unreadable {
        return Err(error);
    }
    Ok(facts.have(&indexes.of_unfinished()))
}
