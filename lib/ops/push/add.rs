//! Messages for more recipients, as `dura-index keys -r` writes them: added to bands that are
//! there, complete or not.

use std::sync::Arc;
use std::sync::mpsc::Receiver;

use anyhow::{anyhow, bail};

use crate::archive::retrying::Retrying;
use crate::format::band::{BandId, BandName};
use crate::format::digest::{self, Digest};
use crate::format::group::List;
use crate::format::object::{Object, ObjectName};
use crate::format::stream::{StreamError, StreamItem};
use crate::ops::push::replace::{belongs, own};
use crate::ops::push::run::{UploadRun, UploadTarget};
use crate::report::message::Hinted;
use crate::store::{Store, StoreErrorKind};

/// An object, and the id of the band that it is added to.
pub(super) type Addition = Result<(StreamItem, BandId), StreamError>;

/// An archive that gets messages.
struct AddTarget<'a> {
    place: &'a UploadTarget,
    store: Retrying,
    /// The band that was looked at last.
    band: Option<BandName>,
    failed: bool,
    stored: u64,
}

/// Stores what comes in each archive, one object after the other. What has come when it is cut off
/// stays: each message is whole, and opens its run.
pub(super) fn run(
    run: &UploadRun,
    places: &[UploadTarget],
    additions: &Receiver<Addition>,
) -> anyhow::Result<()> {
    let target = |place| AddTarget {
        place,
        store: Retrying::new(
            Arc::clone(&place.store),
            run.limits.patience,
            run.limits.seed,
            &run.report,
            &run.stop,
        ),
        band: None,
        failed: false,
        stored: 0,
    };
    let mut targets: Vec<AddTarget<'_>> = places.iter().map(target).collect();
    let mut message: Option<(ObjectName, Digest)> = None;
    while let Ok(addition) = additions.recv() {
        let (item, id) = addition?;
        if run.stop.is_set() {
            let hint = "what was stored is whole: run the same command again";
            return Err(Hinted::wrap(anyhow!("interrupted"), hint));
        }
        let name = format!("{}/{}", item.band, item.name);
        if !item.name.is_added() {
            bail!("{name}: no message for more recipients, nor its list");
        }
        belongs(&item, id)?;
        match item.name.object {
            Object::Key(..) => message = Some((item.name, digest::of(&item.bytes))),
            Object::KeyList(..) => {
                let list = List::parse(&item.bytes)?;
                let listed = list.members.first().map(|member| (member.name, member.sha256));
                if message.take() != listed {
                    bail!("{name}: the message that arrived is not what its list says");
                }
            }
            _ => {}
        }
        for target in targets.iter_mut().filter(|target| !target.failed) {
            if let Err(error) = target.handle_item(run, &item, id) {
                run.report.fail(&target.place.label, error);
                target.failed = true;
            }
        }
    }
    for target in targets.iter().filter(|target| !target.failed) {
        let (label, stored) = (&target.place.label, target.stored);
        run.report.done(format_args!("{label}OK: {stored} objects added"));
    }
    Ok(())
}

impl AddTarget<'_> {
    fn handle_item(
        &mut self,
        run: &UploadRun,
        item: &StreamItem,
        id: BandId,
    ) -> anyhow::Result<()> {
        if self.band.as_ref() != Some(&item.band) {
            self.is_band(&item.band, id)?;
            self.band = Some(item.band.clone());
        }
        let name = format!("{}/{}", item.band, item.name);
        let size = item.bytes.len() as u64;
        if !run.dry_run {
            self.place.pace(run, size);
            match self.store.put_new(&name, &item.bytes) {
                Err(error) if error.kind == StoreErrorKind::Exists => {
                    if self.store.get(&name)? != item.bytes {
                        bail!(
                            "{name}: already there, with other content: run dura-index keys again"
                        );
                    }
                }
                stored => stored?,
            }
        }
        self.stored += 1;
        self.place.share.handle_object(size);
        let what = if run.dry_run { "would store" } else { "stored" };
        run.report.verbose(format_args!("{}{what} {name} {size} bytes", self.place.label));
        Ok(())
    }

    /// The archive has the band with this id.
    fn is_band(&self, band: &BandName, id: BandId) -> anyhow::Result<()> {
        for object in [Object::Tail, Object::Head] {
            let name = format!("{band}/{}", ObjectName::plain(object));
            let bytes = match self.store.get(&name) {
                Ok(bytes) => bytes,
                Err(error) if error.kind == StoreErrorKind::NotFound => continue,
                Err(error) => return Err(error.into()),
            };
            match own(object, &bytes).ok().flatten() {
                Some((_, other)) if other != id => {
                    bail!("{band}: has id {other}, but the messages are for one with id {id}");
                }
                Some(_) => return Ok(()),
                None => {}
            }
        }
        bail!("{band}: not in this archive, or neither its HEAD nor its TAIL can be read")
    }
}
