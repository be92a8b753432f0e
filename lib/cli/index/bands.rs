//! `dura-index bands`: the bands of an archive.

use std::io::Write;
use std::sync::Arc;

use anyhow::Context;

use super::super::archive::version::must_exist;
use super::super::archive::{Archive, Band};
use super::super::message::Report;
use super::{CANNOT_WRITE, Reading};
use crate::core::chain::ancestors::{ChainError, Extent};
use crate::edge::pipe;
use crate::format::band::BandName;
use crate::format::head::{Head, Tail};
use crate::format::listing::Have;

/// Writes a line a band: name, `complete` or `unfinished`, start time, entries, source bytes. `-` for what cannot be told.
pub(super) fn run(shown: &str, reading: &Reading, report: &Arc<Report>) -> anyhow::Result<()> {
    must_exist(shown)?;
    let archive = Archive::open(shown, reading.cache.as_deref())?;
    let mut out = pipe::stdout()?;
    for name in archive.names()? {
        // What is wrong with one band is no reason to keep quiet of the others.
        let (head, tail) = match archive.ends(&name) {
            Ok((Some(head), tail)) => (head, tail),
            Ok((None, _)) => {
                report.warn(format_args!("{name}: has no HEAD"));
                continue;
            }
            Err(error) => {
                report.warn(format_args!("{error:#}"));
                continue;
            }
        };
        if let Err(error) = own(&name, &head, tail.as_ref()) {
            report.warn(error);
            continue;
        }
        if tail.is_none() {
            archive.tell_of_damaged_tail(&name, report);
        }
        let started = head.started.to_rfc3339();
        let line = match tail {
            Some(tail) => format!("{name} complete {started} {} {}", tail.entries, tail.bytes),
            None => match count(&archive, Band { head, tail: None, extent: Extent::Unfinished }) {
                Ok(have) => format!("{name} unfinished {started} {} {}", have.entries, have.bytes),
                Err(error) => {
                    report.verbose(format_args!("{error:#}"));
                    format!("{name} unfinished {started} - -")
                }
            },
        };
        writeln!(out, "{line}").context(CANNOT_WRITE)?;
    }
    out.finish().context(CANNOT_WRITE)
}

/// HEAD and TAIL must be the band's.
fn own(name: &BandName, head: &Head, tail: Option<&Tail>) -> Result<(), ChainError> {
    if head.band != *name {
        return Err(ChainError::Foreign(name.clone(), "HEAD"));
    }
    match tail {
        Some(tail) if (&tail.band, tail.id) != (name, head.id) => Err(ChainError::Foreign(name.clone(), "TAIL")),
        _ => Ok(()),
    }
}

/// What an unfinished band holds.
fn count(archive: &Archive, band: Band) -> anyhow::Result<Have> {
    let (indexes, facts) = archive.indexes(&band.head)?;
    if let Some((_, error)) = facts.unreadable {
        return Err(error);
    }
    Ok(facts.have(&indexes.of_unfinished()))
}
