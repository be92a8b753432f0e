//! The checksum lists of a band: reading them, their signatures, and what has none.

use std::sync::Arc;

use crate::core::verify::audit::UnlistedFound;
use crate::core::verify::borders;
use crate::core::verify::loose::{Bad, Shape, groups};
use crate::core::verify::relist::Claims;
use crate::core::verify::stream_order::{ObjectSizes, place};
use crate::core::verify::{Finding, FindingKind};
use crate::edge::ordered::Gone;
use crate::format::band::BandName;
use crate::format::group::{DEFAULT_SLOTS, MAX_LIST};
use crate::format::object::{Object, ObjectName};
use crate::ops::verify::band::{BandWalk, Walking};
use crate::ops::verify::check::{CheckEvent, begin, unreadable};
use crate::ops::verify::loose::GroupToList;

/// More slots are not tried for a band of which no list is left.
const MAX_TRIED: usize = 64;

impl BandWalk {
    /// The bytes of a list; none once the limit is reached.
    pub(super) fn text(
        &self,
        band: &BandName,
        name: &ObjectName,
        size: u64,
    ) -> Option<Result<Vec<u8>, (FindingKind, String)>> {
        if size > MAX_LIST as u64 {
            let what = format!("has {size} bytes, more than any list has");
            return Some(Err((FindingKind::Damaged, what)));
        }
        self.meter.spend(size).then_some(())?;
        let text = self.store.get_range(&format!("{band}/{name}"), 0, MAX_LIST as u64 + 1);
        Some(text.map_err(|error| unreadable(&error)))
    }

    /// Makes groups of what is in no list.
    pub(super) fn loose(&self, walking: Walking<'_>, unlisted: UnlistedFound) -> Result<(), Gone> {
        let band = walking.band;
        let Some(id) = walking.id.or(walking.by_head).filter(|_| !walking.unavailable) else {
            return Ok(());
        };
        let text = |name| {
            walking.bad.iter().find(|(_, of, _)| *of == name).map_or(&[][..], |(.., text)| text)
        };
        let mut bad: Vec<Bad> = walking
            .bad
            .iter()
            .map(|(name, ..)| Bad {
                name: *name,
                claims: Claims::read(text(*name), band, id, *name),
                shards: Vec::new(),
            })
            .collect();
        for (name, orphan) in unlisted.orphans {
            match bad.iter_mut().find(|bad| bad.name == name) {
                Some(bad) => bad.shards = orphan.shards,
                None => bad.push(Bad { name, claims: Claims::default(), shards: orphan.shards }),
            }
        }
        let (slots, parity) = walking.shapes.last().copied().unwrap_or((DEFAULT_SLOTS, 0));
        let mut tried: Vec<(usize, usize)> = walking.shapes.iter().rev().copied().collect();
        if tried.is_empty() {
            tried = (1..=MAX_TRIED).map(|slots| (slots, parity)).collect();
        }
        let shape = Shape { taken: &walking.lists, slots, parity };
        let mut search = |bad: &Bad, run: &[crate::core::verify::audit::Free]| {
            let (n, c) = bad.name;
            let read = |name| begin(self.store.as_ref(), band, name);
            let shards: Vec<(usize, borders::Beginning)> = bad
                .shards
                .iter()
                .filter_map(|shard| {
                    let name = ObjectName::plain(Object::Parity(n, c, *shard));
                    Some((*shard as usize, read(name)?))
                })
                .collect();
            let least = shards.iter().map(|(shard, _)| shard + 1).max()?;
            let objects: Option<Vec<borders::Beginning>> =
                run.iter().map(|free| read(free.name)).collect();
            let objects = objects?;
            tried.iter().find_map(|(slots, parity)| {
                let shape = (*slots, least.max(*parity));
                Some((borders::find(&objects, &shards, shape.0, shape.1)?, shape))
            })
        };
        let (groups, dropped) = groups(unlisted.runs, bad, shape, &mut search);
        for (n, c) in dropped {
            let list = ObjectName::plain(Object::List(n, c));
            self.submit.ready(vec![CheckEvent::Dropped(band.clone(), list)])?;
        }
        for group in groups {
            let (band, signed) = (band.clone(), walking.signed);
            self.submit.ready(vec![CheckEvent::Loose(Box::new(GroupToList {
                band,
                id,
                group,
                signed,
                parity,
            }))])?;
        }
        Ok(())
    }

    /// Looks at the signatures of a folder's lists.
    pub(super) fn signatures(
        &self,
        walking: &mut Walking<'_>,
        objects: &ObjectSizes,
        texts: Vec<(ObjectName, Vec<u8>)>,
    ) -> Result<(), Gone> {
        for (name, text) in texts {
            let Some(sig) = name.signature() else { continue };
            let has = objects.get(&place(&sig)).is_some_and(|(_, size)| *size > 0);
            if !has && walking.under_way {
                walking.unsigned.push(sig);
                continue;
            }
            if !has && walking.signed && !self.signer.demands() {
                let what = "other signatures of the band are there";
                self.found(vec![Finding::of(FindingKind::Missing, walking.band, sig, what)])?;
            }
            self.signature(walking.band, name, sig, has, Some(text))?;
        }
        Ok(())
    }

    /// Looks at the signature of a list or TAIL.
    pub(super) fn signature(
        &self,
        band: &BandName,
        of: ObjectName,
        sig: ObjectName,
        has: bool,
        text: Option<Vec<u8>>,
    ) -> Result<(), Gone> {
        if !(self.signer.demands() || has && !self.quick) {
            return Ok(());
        }
        let (store, signer, band) =
            (Arc::clone(&self.store), Arc::clone(&self.signer), band.clone());
        self.submit.submit(move || signer.look(store.as_ref(), &band, of, has.then_some(sig), text))
    }
}
