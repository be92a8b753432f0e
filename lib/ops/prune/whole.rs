//! Whether a version has all its objects, by names and sizes: HEAD, TAIL and the lists say what
//! they are, and no key is needed.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use anyhow::Context;

use crate::archive::{Archive, BandInChain, side_by_side};
use crate::core::chain::ancestors::Extent;
use crate::core::verify::audit::{Audit, BandOverview};
use crate::core::verify::stream_order::{ObjectSizes, place};
use crate::core::verify::{FindingKind, ObjectState, judge};
use crate::format::band::BandName;
use crate::format::group::{List, MAX_LIST};
use crate::format::object::{Object, ObjectName};
use crate::ops::prune::AT_ONCE;

/// Looks at the band and those below it.
pub(super) fn is_whole(archive: &Archive, name: &BandName) -> anyhow::Result<bool> {
    // A chain that is broken is none to rely on.
    let Ok(chain) = archive.chain(name) else { return Ok(false) };
    for band in &chain {
        if !is_all_there(archive, band)? {
            return Ok(false);
        }
    }
    Ok(chain.len() == name.chain().len())
}

fn is_all_there(archive: &Archive, band: &BandInChain) -> anyhow::Result<bool> {
    let name = &band.head.band;
    let mut folders: BTreeMap<u32, ObjectSizes> = BTreeMap::new();
    let mut sizes: HashMap<ObjectName, u64> = HashMap::new();
    let mut names: Vec<ObjectName> = Vec::new();
    archive.sizes(name, &mut |object, size| {
        folders.entry(folder_of(object)).or_default().insert(place(object), (*object, size));
        sizes.insert(*object, size);
        if matches!(object.object, Object::List(..)) && size > 0 {
            names.push(*object);
        }
    })?;
    let id = Some(band.head.id);
    let mut lists: BTreeMap<u32, Vec<Arc<List>>> = BTreeMap::new();
    for names in names.chunks(AT_ONCE) {
        let read = side_by_side(names, |list| {
            let at = format!("{name}/{list}");
            let text = archive.store().get_range(&at, 0, MAX_LIST as u64 + 1).context(at)?;
            Ok(List::parse_own(&text, name, id, list).ok().map(Arc::new))
        })?;
        for (list, read) in names.iter().zip(read) {
            lists.entry(folder_of(list)).or_default().extend(read);
        }
    }
    let mut audit = Audit::new(BandOverview {
        band: name.clone(),
        ends: band.tail.as_ref().map(|tail| (tail.last, tail.toc)),
        complete: band.tail.is_some(),
        under_way: band.tail.is_none(),
        covered: false,
        counted: None,
        lost: Vec::new(),
        encrypted: sizes.keys().any(|object| object.encrypted),
    });
    let mut found = Vec::new();
    for (folder, objects) in &folders {
        let lists = lists.remove(folder).unwrap_or_default();
        found.extend(audit.folder(*folder, objects, &lists));
        for list in &lists {
            let states: Vec<ObjectState> = list
                .members
                .iter()
                .map(|member| ObjectState::by_size(member.size, sizes.get(&member.name).copied()))
                .collect();
            found.extend(judge(list, &states));
        }
    }
    let reaches = match band.extent {
        Extent::UpTo(last) => audit.last_index() >= Some(last),
        Extent::Unfinished => true,
    };
    found.extend(audit.finish().0);
    let is_lack = |kind| {
        matches!(kind, FindingKind::Missing | FindingKind::Damaged | FindingKind::Unavailable)
    };
    Ok(reaches && !found.iter().any(|finding| finding.bad && is_lack(finding.kind)))
}

/// HEAD and the notes count to the first.
fn folder_of(name: &ObjectName) -> u32 {
    name.folder().unwrap_or(0)
}
