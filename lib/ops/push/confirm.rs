//! Looks whether what a store confirmed is there.

use anyhow::anyhow;

use crate::archive::retrying::{Retrying, TOLD_AFTER};
use crate::core::confirm::Check;
use crate::core::schedule::retry::Dice;
use crate::format::band::BandName;
use crate::ops::push::held::Held;
use crate::ops::push::run::UploadRun;
use crate::report::message::{Hinted, why};
use crate::store::{Store, StoreError, StoreErrorKind};

/// So many objects that a listing lacks are asked for one by one; more of them wait for the
/// listing.
const FEW: usize = 100;

/// What helps where a store keeps nothing.
const HINT: &str = "something else may answer instead of the store (a captive portal, a proxy, another server of that name), or the store loses what it has confirmed";

/// Fails unless all objects of the check are in the band's folder, as large as they were stored. A
/// listing may lag: it is asked for again with the run's patience, and what it lacks is looked for
/// by itself.
pub(super) fn confirm(
    run: &UploadRun,
    store: &Retrying,
    band: &BandName,
    check: &Check,
) -> anyhow::Result<()> {
    let folder = match check.folder.as_str() {
        "" => band.to_string(),
        folder => format!("{band}/{folder}"),
    };
    let mut dice = Dice::new(run.limits.seed);
    for failures in 1.. {
        let listed = match store.list(&folder) {
            // Some keys may write and read, and not list.
            Err(error)
                if matches!(error.kind, StoreErrorKind::Denied | StoreErrorKind::NoListing) =>
            {
                Vec::new()
            }
            listed => listed?,
        };
        let mut lacking = check.lacking(&listed);
        let wait = run.limits.patience.wait(failures, None, &mut dice);
        if lacking.len() <= FEW || wait.is_none() {
            lacking = absent(store, &folder, lacking)?;
        }
        let Some((first, _)) = lacking.first() else { return Ok(()) };
        let (count, first) = (lacking.len(), format!("{folder}/{first}"));
        let Some(wait) = wait.filter(|_| !run.stop.is_set()) else {
            let what = match count {
                1 => format!("{first}: confirmed"),
                _ => format!("{first} and {} more: confirmed", count - 1),
            };
            return Err(Hinted::wrap(anyhow!("{what}, but missing when read back"), HINT));
        };
        if failures == TOLD_AFTER {
            run.report.note(format_args!("waiting for {first}: confirmed, but not there yet"));
        }
        std::thread::sleep(wait);
    }
    Ok(())
}

/// Fails unless the object is there as it was sent: TAIL, on which all else depends. What is not
/// there is waited for; what is another is read once more. If it cannot be read, that is reported,
/// or fails too if it `must` be seen.
pub(super) fn confirm_same(
    run: &UploadRun,
    store: &Retrying,
    object: &Held,
    must: bool,
) -> anyhow::Result<()> {
    let name = object.name();
    let (mut dice, mut others) = (Dice::new(run.limits.seed), 0);
    for failures in 1.. {
        match store.get(&name) {
            Ok(there) if there == object.item.bytes => return Ok(()),
            Ok(_) if others > 0 => {
                let text = anyhow!("{name}: confirmed, but different when read back");
                let hint = "the store, or something on the way to it, damages data: run dura-verify; dura-verify --repair ARCHIVE | dura-push --replace ARCHIVE repairs the band";
                return Err(Hinted::wrap(text, hint));
            }
            Ok(_) => others += 1,
            // The store has confirmed it; nobody can tell more.
            Err(error) if error.kind != StoreErrorKind::NotFound && must => {
                return Err(error.into());
            }
            Err(error) if error.kind != StoreErrorKind::NotFound => {
                let why = why(&error.source);
                run.report.warn(format_args!("{name}: stored, but cannot be read back: {why}"));
                return Ok(());
            }
            Err(_) => {
                let wait = run.limits.patience.wait(failures, None, &mut dice);
                let Some(wait) = wait.filter(|_| !run.stop.is_set()) else {
                    let text = anyhow!("{name}: confirmed, but missing when read back");
                    return Err(Hinted::wrap(text, HINT));
                };
                std::thread::sleep(wait);
            }
        }
    }
    Ok(())
}

/// Those that are not there, or not as large, when each is asked for.
fn absent(
    store: &Retrying,
    folder: &str,
    lacking: Vec<(String, u64)>,
) -> Result<Vec<(String, u64)>, StoreError> {
    let mut left = Vec::new();
    for (name, size) in lacking {
        if store.stat(&format!("{folder}/{name}"))? != Some(size) {
            left.push((name, size));
        }
    }
    Ok(left)
}
