//! The bands of an archive.

use std::sync::Arc;

use crate::archive::named::ArchiveName;
use crate::archive::reading::ReadOptions;
use crate::archive::strangers::strangers;
use crate::archive::version::{must_exist, no_band};
use crate::archive::{Archive, BandInChain};
use crate::core::chain::ancestors::Extent;
use crate::core::chain::ends::BandEnds;
use crate::format::band::BandName;
use crate::format::listing::Have;
use crate::format::litter::is_litter;
use crate::format::object::{Object, ObjectName};
use crate::ops::records::Records;
use crate::report::message::Report;
use crate::store::as_folder;

/// What the columns are, for people: scripts get lines alone.
const HEADING: &str = "band state started entries bytes-of-source sealed signed parity";

/// Writes a line a band: name, `complete` or `unfinished`, start time, entries, source bytes;
/// `encrypted`, `plain` or `mixed`; `signed` or `unsigned`; how many parity shards its first group
/// has. `-` for what cannot be told. Gives how many bands there are. With `below` the same of each
/// archive in a folder of this place, with the folder before the names.
///
/// # Errors
/// What keeps it from listing all.
pub fn run(
    shown: &ArchiveName,
    below: bool,
    reading: &ReadOptions,
    records: &mut Records<'_>,
    report: &Arc<Report>,
) -> anyhow::Result<u64> {
    must_exist(shown)?;
    let archive = reading.open(shown, report)?;
    if below {
        return run_below(shown, &archive, reading, records, report);
    }
    let names = archive.bands(report)?;
    if names.is_empty() && archive.names()?.is_empty() {
        // Nothing there is an archive without bands; other things are another place.
        if let Some(others) = strangers(&archive.store().list("")?) {
            return Err(no_band(shown, format_args!("the archive has no band, but {others}")));
        }
    }
    records.title(HEADING)?;
    list(&archive, names, "", records, report)?;
    Ok(records.count())
}

/// Writes the bands of all archives in folders of a place.
fn run_below(
    shown: &ArchiveName,
    place: &Archive,
    reading: &ReadOptions,
    records: &mut Records<'_>,
    report: &Arc<Report>,
) -> anyhow::Result<u64> {
    let listed = place.store().list("")?;
    let mut folders: Vec<&str> = listed.iter().filter_map(as_folder).collect();
    folders.retain(|folder| !is_litter(folder));
    folders.sort_unstable();
    let mut has_archive = false;
    for folder in folders {
        let one = shown.below(folder);
        let opened = reading.open(&one, report).and_then(|it| Ok((it.names()?.is_empty(), it)));
        let archive = match opened {
            Ok((true, _)) => continue,
            Ok((false, archive)) => archive,
            Err(error) => {
                report.warn(format_args!("{one}: {error:#}"));
                continue;
            }
        };
        if !std::mem::replace(&mut has_archive, true) {
            records.title(HEADING)?;
        }
        list(&archive, archive.bands(report)?, &format!("{folder}/"), records, report)?;
    }
    match has_archive {
        false => Err(no_band(shown, "no folder of it is an archive with bands")),
        true => Ok(records.count()),
    }
}

/// Writes these bands of an archive; `folder` stands before their names.
fn list(
    archive: &Archive,
    names: Vec<BandName>,
    folder: &str,
    records: &mut Records<'_>,
    report: &Report,
) -> anyhow::Result<()> {
    for name in names {
        // What is wrong with one band is no reason to keep quiet of the others.
        let (head, tail) = match archive.state(&name, true) {
            Ok(BandEnds { head: Some(head), tail, .. }) => (head, tail),
            Ok(_) => continue,
            Err(error) => {
                report.warn(format_args!("{error:#}"));
                continue;
            }
        };
        archive.tell_of_damaged_ends(&name, report);
        let started = head.started.to_rfc3339();
        let complete = tail.is_some();
        let counts = match tail {
            Some(tail) => Some((tail.entries, tail.bytes)),
            None => {
                match count(archive, BandInChain { head, tail: None, extent: Extent::Unfinished }) {
                    Ok(have) => Some((have.entries, have.bytes)),
                    Err(error) => {
                        report.verbose(format_args!("{error:#}"));
                        None
                    }
                }
            }
        };
        let protection = match archive.first_objects(&name) {
            Ok(objects) => Some(protection(&objects)),
            Err(error) => {
                report.verbose(format_args!("{error:#}"));
                None
            }
        };
        let state = if complete { "complete" } else { "unfinished" };
        let columns = |line: &mut Vec<u8>| {
            let counts = match counts {
                Some((entries, bytes)) => format!("{entries} {bytes}"),
                None => "- -".to_owned(),
            };
            let protection = match protection {
                Some(BandProtection { sealed, signed, parity }) => {
                    let signed = if signed { "signed" } else { "unsigned" };
                    format!("{} {signed} {parity}", sealed.unwrap_or("-"))
                }
                None => "- - -".to_owned(),
            };
            line.extend(format!("{folder}{name} {state} {started} {counts} {protection}").bytes());
        };
        records.write(columns, || {
            vec![
                ("band", format!("{folder}{name}").into()),
                ("state", state.into()),
                ("started", started.clone().into()),
                ("entries", counts.map(|(entries, _)| entries).into()),
                ("source_bytes", counts.map(|(_, bytes)| bytes).into()),
                ("sealed", protection.and_then(|it| it.sealed).into()),
                ("signed", protection.map(|it| it.signed).into()),
                ("parity", protection.map(|it| it.parity).into()),
            ]
        })?;
    }
    Ok(())
}

/// How the objects of a band are protected.
#[derive(Debug, Clone, Copy)]
struct BandProtection {
    /// `encrypted`, `plain` or `mixed`; none if no object shows it.
    sealed: Option<&'static str>,
    signed: bool,
    /// How many parity shards its first group has.
    parity: usize,
}

/// The same by the names in a band's first folder.
fn protection(objects: &[ObjectName]) -> BandProtection {
    let any = |is: &dyn Fn(&ObjectName) -> bool| objects.iter().any(is);
    let secret = |encrypted: bool| any(&|name| name.is_secret() && name.encrypted == encrypted);
    let sealed = match (secret(true), secret(false)) {
        (true, true) => Some("mixed"),
        (true, false) => Some("encrypted"),
        (false, true) => Some("plain"),
        (false, false) => None,
    };
    let signed = any(&|name| matches!(name.object, Object::ListSig(..) | Object::TailSig));
    let shards = objects.iter().filter(|name| matches!(name.object, Object::Parity(0, 0, _)));
    BandProtection { sealed, signed, parity: shards.count() }
}

/// What an unfinished band holds.
fn count(archive: &Archive, band: BandInChain) -> anyhow::Result<Have> {
    let (indexes, facts) = archive.indexes(&band.head)?;
    if let Some((_, error)) = facts.unreadable {
        return Err(error);
    }
    Ok(facts.have(&indexes.of_unfinished()))
}
