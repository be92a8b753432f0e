//! The bands that may go.

use std::sync::Arc;

use jiff::tz::Offset;

use crate::archive::named::ArchiveName;
use crate::archive::plain::not_encrypted;
use crate::archive::reading::ReadOptions;
use crate::archive::unlock::PLAIN;
use crate::archive::version::{must_exist, no_band};
use crate::archive::{Archive, side_by_side};
use crate::core::chain::choice::Mask;
use crate::core::chain::sealing::sealed_before;
use crate::core::expire::{ExpiryCandidate, ExpiryStanding, Reason, Rules, expire};
use crate::edge::clock;
use crate::format::band::BandName;
use crate::format::object::Object;
use crate::ops::records::Records;
use crate::report::message::Report;

/// How many bands are asked for at the same time.
const AT_ONCE: usize = 32;

/// Writes the names of the bands that may go, each before those that it stands on. Gives how many
/// there are.
///
/// # Errors
/// What keeps it from judging all bands.
pub fn run(
    shown: &ArchiveName,
    rules: &Rules,
    reading: &ReadOptions,
    records: &mut Records<'_>,
    report: &Arc<Report>,
) -> anyhow::Result<u64> {
    must_exist(shown)?;
    let archive = Arc::new(reading.open(shown, report)?);
    let names = archive.bands(report)?;
    if names.is_empty() {
        return Err(no_band(shown, "the archive has no band"));
    }
    let mut found = Vec::new();
    for names in names.chunks(AT_ONCE) {
        found.extend(side_by_side(names, |name| look(&archive, name, rules.space.is_some()))?);
    }
    let sealed: Vec<BandName> =
        found.iter().filter(|band| band.sealed).map(|band| band.name.clone()).collect();
    for band in found.iter().filter(|band| band.standing == ExpiryStanding::Version && !band.sealed)
    {
        if let Some(older) = sealed_before(&band.name, &sealed) {
            let what = not_encrypted(&band.name, older);
            report.warn(format_args!("{}: {what}: it replaces no other ({PLAIN})", band.name));
        }
    }
    for band in found.iter().filter(|band| band.standing == ExpiryStanding::Unreadable) {
        report.warn(format_args!("{}: cannot be read: kept", band.name));
    }
    let plan = expire(&found, rules, clock::stamp()?);
    if rules.zone != Offset::UTC {
        report.note(format_args!("days begin at offset {} from UTC", rules.zone));
    }
    if plan.kept.values().any(|why| why.contains(&Reason::NoRules)) {
        report.note("no rule says what to keep (--keep-…): nothing expires");
    }
    for (name, why) in &plan.kept {
        if why.contains(&Reason::Future) {
            report.note(format_args!("{name}: dated in the future: kept, but not counted"));
        }
        let why: Vec<String> = why.iter().map(words).collect();
        report.verbose(format_args!("keeping {name}: {}", why.join(", ")));
    }
    if plan.expired.is_empty() && plan.held > 0 {
        let held = plan.held;
        report.note(format_args!(
            "nothing expires: later bands are based on {held} that no rule keeps; after a full band (dura-index diff --tier 0) these can expire in time"
        ));
    }
    for name in &plan.expired {
        records.write(
            |line| line.extend(name.to_string().bytes()),
            || vec![("band", name.to_string().into())],
        )?;
    }
    Ok(records.count())
}

fn words(reason: &Reason) -> String {
    match reason {
        Reason::Rule(option) => (*option).to_owned(),
        Reason::NeededBy(band) => format!("{band} is based on it"),
        Reason::Future => "it is dated in the future".to_owned(),
        Reason::NothingLater => "no later band of the whole source is complete".to_owned(),
        Reason::Unreadable => "it cannot be read".to_owned(),
        Reason::NoRules => "no rule was given".to_owned(),
    }
}

/// What a band counts for. One that cannot be read counts for nothing.
fn look(archive: &Archive, name: &BandName, weigh: bool) -> anyhow::Result<ExpiryCandidate> {
    let unreadable = ExpiryCandidate {
        name: name.clone(),
        time: name.start(),
        standing: ExpiryStanding::Unreadable,
        signed: false,
        sealed: true,
        files: None,
        stored: 0,
    };
    let Ok(ends) = archive.state(name, false) else { return Ok(unreadable) };
    let Some(head) = ends.head.filter(|_| !ends.tail_damaged) else {
        return Ok(unreadable);
    };
    let mask = archive.has_mask(&head, ends.tail.is_some());
    let standing = match (&ends.tail, mask) {
        // Its end is not there, or is not signed as it was, so it may be complete.
        (None, _) if has_tail_signature(archive, name)? => ExpiryStanding::Unreadable,
        (None, _) => ExpiryStanding::Unfinished,
        (Some(_), Mask::Whole) => ExpiryStanding::Version,
        (Some(_), _) => ExpiryStanding::Masked,
    };
    let stored = if weigh { archive.objects(name)?.iter().map(|(_, size)| size).sum() } else { 0 };
    Ok(ExpiryCandidate {
        time: head.as_of.unwrap_or(head.started),
        standing,
        signed: archive.store().stat(&format!("{name}/TAIL.sig"))?.is_some(),
        sealed: archive.is_sealed_or_meant(name)?,
        files: ends.tail.and_then(|tail| tail.tree).map(|tree| tree.files),
        stored,
        ..unreadable
    })
}

fn has_tail_signature(archive: &Archive, name: &BandName) -> anyhow::Result<bool> {
    let objects = archive.first_objects(name)?;
    Ok(objects.iter().any(|name| name.object == Object::TailSig))
}
