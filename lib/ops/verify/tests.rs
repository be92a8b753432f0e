//! Every cut of a run, continued; every loss of one object or two: what verify says, and what
//! repair gives back. The walk, the audit, groups, parity and repair are the programs' own; the
//! store is in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

use flate2::write::GzEncoder;

use super::*;
use crate::archive::signers::Signers;
use crate::core::groups::Groups;
use crate::core::parity::Encoder;
use crate::edge::gpg::{SIGNER, Signatory};
use crate::format::band::BandId;
use crate::format::digest;
use crate::format::group::{GroupMember, List};
use crate::format::head::Tail;
use crate::format::object::ObjectName;
use crate::format::stream::StreamReader;
use crate::report::events::Events;
use crate::store::Store;
use crate::store::memory::Memory;

const BAND: &str = "20261101T020000Z";
const ID: &str = "00112233445566778899aabbccddeeff";
const SLOTS: usize = 4;

pub(crate) type StoredObjects = BTreeMap<String, Vec<u8>>;

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

/// The lines that HEAD has and TAIL repeats.
const HEAD: &str = "parent: -\nparent-id: -\nparent-last: -\nstarted: 2026-11-01T02:00:00Z\ncompression: gzip\nwriter: test\n";

/// A run in the order of its stream: this many blocks from a number on, after an index.
fn run(first: u32, blocks: u32, after: Option<u32>, parity: usize) -> Vec<(String, Vec<u8>)> {
    let (band, id): (BandName, BandId) = (BAND.parse().unwrap(), ID.parse().unwrap());
    let mut objects = Vec::new();
    if first == 0 {
        objects.push((
            "HEAD".to_owned(),
            format!("dura-band: 1\nband: {BAND}\nid: {ID}\n{HEAD}").into(),
        ));
    }
    let last = first + blocks - 1;
    let mut before = after.map_or("-".to_owned(), |after| format!("{after:09}"));
    for number in first..=last {
        let block: Vec<u8> = (0..300 + number * 7).map(|at| (at * 31 + number) as u8).collect();
        objects.push((format!("00000/{number:09}.tar.gz"), block));
        let text = format!("#index {ID} {number:09} after {before}\n./f{number:09} type=dir\n");
        objects.push((format!("00000/{number:09}.mtree.gz"), gzip(&text)));
        before = format!("{number:09}");
    }
    objects.push((format!("00000/{last:09}.toc.gz"), gzip(&format!("#toc {ID} {last:09}\n"))));
    let mut groups = Groups::new(band, id, SLOTS, parity);
    let mut encoder = (parity > 0).then(|| Encoder::new(SLOTS, parity).unwrap());
    let mut stream = Vec::new();
    let close = |list: Option<List>, encoder: &mut Option<Encoder>, stream: &mut Vec<_>| {
        let Some(mut list) = list else { return };
        for (shard, bytes) in
            encoder.as_mut().map(Encoder::finish).unwrap_or_default().into_iter().enumerate()
        {
            let name = list.shard(shard as u32);
            list.members.push(GroupMember::of(name, &bytes));
            stream.push((name.to_string(), bytes));
        }
        stream.push((list.object().to_string(), list.text().into_bytes()));
    };
    for (name, bytes) in objects {
        let member = GroupMember::of(ObjectName::parse(&name).unwrap(), &bytes);
        encoder.iter_mut().for_each(|encoder| encoder.handle_object(&bytes));
        stream.push((name, bytes));
        close(groups.handle_object(member), &mut encoder, &mut stream);
    }
    close(groups.finish(), &mut encoder, &mut stream);
    let tail = format!(
        "band: {BAND}\nid: {ID}\nfinished: 2026-11-01T02:00:09Z\nlast: {last:09}\ntoc: {last:09}\nentries: 1\nfiles: 1\nbytes: 1\nskipped: 0\ndura-band: 1\n{HEAD}"
    );
    let sum = hex::encode(digest::of(tail.as_bytes()));
    stream.push(("TAIL".to_owned(), format!("{tail}sha256: {sum}\n").into()));
    stream.into_iter().map(|(name, bytes)| (format!("{BAND}/{name}"), bytes)).collect()
}

/// What lists name.
fn listed(objects: &StoredObjects) -> BTreeSet<String> {
    groups(objects).into_iter().flat_map(|(_, names, _)| names).collect()
}

/// The name in its band.
fn own(name: &str) -> &str {
    name.split_once('/').unwrap().1
}

/// The list that a run which continues the band makes of what the one before left.
fn late(left: &StoredObjects) -> Option<(String, Vec<u8>)> {
    let named = listed(left);
    let mut members: Vec<GroupMember> = left
        .iter()
        .filter_map(|(name, bytes)| Some((ObjectName::parse(own(name))?, name, bytes)))
        .filter(|(object, name, _)| object.is_grouped() && !named.contains(*name))
        .map(|(object, _, bytes)| GroupMember::of(object, bytes))
        .collect();
    members.sort_by_key(|member| crate::core::verify::stream_order::place(&member.name));
    let mut groups = Groups::new(BAND.parse().unwrap(), ID.parse().unwrap(), 32, 0);
    let list = groups.handle_left(32, members).pop()?;
    // The run's own groups have these names here.
    let list = List { name: (32, 9), ..list };
    Some((format!("{BAND}/{}", list.object()), list.text().into_bytes()))
}

fn store(objects: &StoredObjects) -> Arc<dyn Store> {
    let store = Memory::default();
    for (name, bytes) in objects {
        store.put_new(name, bytes).unwrap();
    }
    Arc::new(store)
}

/// What verify says of the archive, a finding a line; with repair, the objects that it gives, and
/// whether it could give all.
pub(crate) fn verify(store: &Arc<dyn Store>, repair: bool) -> (Vec<String>, StoredObjects, bool) {
    verify_by(store, repair.then_some(None), WantedSignatures::default())
}

/// The same with `--signed-by` the one whose signatures stand in for those of gpg, who signs what
/// is repaired.
pub(crate) fn verify_signed(
    store: &Arc<dyn Store>,
    repair: bool,
) -> (Vec<String>, StoredObjects, bool) {
    let signer = Some(Signatory::of_stand_in());
    verify_by(store, repair.then_some(signer), WantedSignatures(Some(stand_in())))
}

/// The one whose signatures stand in for those of gpg.
pub(crate) fn stand_in() -> Signers {
    Signers { shown: "A".to_owned(), fingerprints: vec![SIGNER.to_owned()] }
}

fn verify_by(
    store: &Arc<dyn Store>,
    repair: Option<Option<Signatory>>,
    wanted: WantedSignatures,
) -> (Vec<String>, StoredObjects, bool) {
    let archive = Arc::new(Archive::over(Arc::clone(store), None));
    let meter = Arc::new(Meter::new(None));
    let options = Options::of(std::ffi::OsString::from("ARCHIVE").into());
    let options = Options { repair: repair.is_some(), jobs: Some(1), ..options };
    let names = archive.names().unwrap();
    let bands = Bands { names: names.clone(), all: names.clone() };
    let part = ObjectSample::new(0, 1.0);
    let results = start(&archive, &options, &bands, &Arc::new(wanted), &meter, part).unwrap();
    let report = Report::new("dura-verify", -2, Events::default());
    let (mut found, mut stream) = (Vec::new(), Vec::new());
    let is_repair = repair.is_some();
    let repairer =
        repair.map(|signer| Repairer::new(archive.store(), &mut stream, 0, names, signer));
    let told = Told::new(&report, Some(&mut found));
    let (states, signed, no_bands) = (Vec::new(), (false, Vec::new()), HashSet::new());
    let mut run = VerifyRun { told, repairer, states, signed, no_bands };
    run.follow(results, &meter).unwrap();
    let VerifyRun { told, repairer, .. } = run;
    told.finish(&meter).unwrap();
    let whole = repairer.is_none_or(|repairer| repairer.finish(&report).is_ok());
    let found = String::from_utf8(found).unwrap();
    let mut items = StoredObjects::new();
    if is_repair {
        let mut reader = StreamReader::repairs(&stream[..]);
        while let Some(item) = reader.next_item().unwrap() {
            items.insert(format!("{}/{}", item.band, item.name), item.bytes);
        }
    }
    (found.lines().map(str::to_owned).collect(), items, whole)
}

/// The first run cut after so many objects, and continued by one that ends.
fn continued(cut: usize, parity: usize) -> StoredObjects {
    let mut objects: StoredObjects = run(0, 3, None, parity).into_iter().take(cut).collect();
    let last = |objects: &StoredObjects| {
        (0..3).take_while(|n| objects.contains_key(&format!("{BAND}/00000/{n:09}.mtree.gz"))).last()
    };
    let (after, late) = (last(&objects), late(&objects));
    objects.extend(run(32, 2, after, parity));
    objects.extend(late);
    objects
}

/// Objects that may be lost without anything being lost: those that no index that counts has, and
/// parity of groups that never got a list.
fn idle(objects: &StoredObjects) -> BTreeSet<String> {
    let named = listed(objects);
    let idle = objects.keys().filter(|name| {
        let index = name.split(".tar.gz").next().map(|begin| format!("{begin}.mtree.gz"));
        let has_index = index.is_some_and(|index| objects.contains_key(&index));
        let orphan = name.contains(".rs") && !named.contains(*name);
        orphan || (name.contains(".tar") && !has_index && !named.contains(*name))
    });
    idle.cloned().collect()
}

/// The members of each group that has parity, with the parity.
fn groups(objects: &StoredObjects) -> Vec<(String, Vec<String>, usize)> {
    let lists = objects.iter().filter(|(name, _)| name.ends_with(".sha256"));
    lists
        .map(|(name, text)| {
            let list = List::parse(text).unwrap();
            let full = |member: &GroupMember| format!("{}/{}", list.band, member.name);
            (name.clone(), list.members.iter().map(full).collect(), list.parity)
        })
        .collect()
}

/// Loses these objects, sees that verify finds that and that repair gives back what it can, and
/// gives what there is then.
pub(crate) fn lose(objects: &StoredObjects, lost: &[&String], case: &str) -> StoredObjects {
    let mut left = objects.clone();
    lost.iter().for_each(|name| _ = left.remove(*name));
    let place = store(&left);
    let (found, ..) = verify(&place, false);
    let idle = idle(objects);
    if lost.iter().all(|name| idle.contains(*name)) {
        assert!(found.is_empty(), "{case}: {found:?}");
        return left;
    }
    // What a run left that was cut, and no index or TAIL names, nobody misses with its list.
    let tocs: Vec<String> = objects
        .iter()
        .filter(|(name, _)| name.ends_with("/TAIL"))
        .filter_map(|(name, text)| {
            let toc = Tail::parse(text).unwrap().toc;
            Some(format!("{}/{}", name.split_once('/')?.0, ObjectName::plain(Object::Toc(toc))))
        })
        .collect();
    let is_old =
        |name: &String| idle.contains(name) || name.contains(".toc.") && !tocs.contains(name);
    let unneeded = lost.iter().all(|name| {
        let names = groups(objects).into_iter().find(|(list, ..)| list == *name);
        is_old(name)
            || names.is_some_and(|(_, names, _)| {
                names.iter().all(|name| is_old(name) || name.contains(".rs"))
            })
    });
    // Without TAIL and its last list, a band is one that was cut, and may have stored no more.
    let ended = |band: &str| objects.keys().all(|name| !name.starts_with(&format!("{band}-")));
    let lists = groups(objects);
    let open = lost.iter().filter_map(|name| name.strip_suffix("/TAIL")).any(|band| {
        let is_shown = |name: &&String| {
            let its = lists.iter().filter(|(_, names, _)| names.contains(name));
            (name.contains(".tar") || name.contains(".mtree"))
                && !its.into_iter().any(|(list, ..)| lost.contains(&list))
        };
        lost.len() > 1 && (ended(band) || !lost.iter().any(is_shown))
    });
    assert!(open || unneeded || !found.is_empty(), "{case}: nothing was found");
    let (_, items, whole) = verify(&place, true);
    for (name, bytes) in &items {
        place.replace(name, bytes).unwrap();
        left.insert(name.clone(), bytes.clone());
        // Whatever counts is given back as it was.
        let was = objects.get(name).filter(|_| !name.ends_with(".sha256"));
        assert!(was.is_none_or(|was| was == bytes), "{case}: {name} is another");
    }
    // By counting: parity makes up for its members, objects for their list and their parity, TAIL
    // for HEAD.
    let makes_up = groups(objects).iter().all(|(list, names, parity)| {
        let gone = names.iter().filter(|name| lost.contains(name)).count();
        match lost.contains(&list) {
            true => names.iter().all(|name| name.contains(".rs") || !lost.contains(&name)),
            false => {
                let other = |it: &&&String| names.contains(it) && !it.ends_with("/HEAD");
                gone <= *parity || !lost.iter().any(|it| other(&it))
            }
        }
    });
    if makes_up && !lost.iter().any(|name| name.ends_with("/TAIL")) {
        assert!(whole, "{case}: not all was rebuilt; found {found:?}");
        let (after, ..) = verify(&place, false);
        assert!(after.is_empty(), "{case}: after repair {after:?}");
    }
    left
}

/// One run cut after each of its objects and continued, with what it left listed late: nothing is
/// found, and every loss of an object is. The small scope; built with `LOSSES=2`, all pairs.
#[test]
fn every_cut_and_every_loss() {
    let pairs = option_env!("LOSSES") == Some("2");
    let mut states = 0;
    for parity in 0..=2 {
        let length = run(0, 3, None, parity).len();
        for cut in 1..length {
            let objects = continued(cut, parity);
            let (found, items, whole) = verify(&store(&objects), true);
            assert!(found.is_empty() && items.is_empty() && whole, "{parity} {cut}: {found:?}");
            let names: Vec<&String> = objects.keys().collect();
            for (at, one) in names.iter().enumerate() {
                lose(&objects, &[one], &format!("parity {parity}, cut {cut}: {one}"));
                states += 1;
                let others = names[at + 1..].iter().filter(|_| pairs || cut == length - 4);
                for two in others.step_by(if pairs { 1 } else { 3 }) {
                    lose(
                        &objects,
                        &[one, two],
                        &format!("parity {parity}, cut {cut}: {one} {two}"),
                    );
                    states += 1;
                }
            }
        }
    }
    assert!(states > 800, "{states}");
}

/// The same without the late list, as releases before it left bands: what counts and no list names
/// is found, and a list is made for it.
#[test]
fn every_cut_without_a_late_list() {
    for parity in 0..=2 {
        for cut in 1..run(0, 3, None, parity).len() {
            let mut objects = continued(cut, parity);
            objects.remove(&format!("{BAND}/00000/000000032-9.sha256"));
            let place = store(&objects);
            let (_, items, whole) = verify(&place, true);
            assert!(whole, "{parity} {cut}");
            for (name, bytes) in &items {
                let made = name.ends_with(".sha256") || name.contains(".rs");
                assert!(made, "{parity} {cut}: {name}");
                place.replace(name, bytes).unwrap();
            }
            let (found, ..) = verify(&place, false);
            assert!(found.is_empty(), "{parity} {cut}: {found:?}");
        }
    }
}

/// A run cut after each of its objects is no finding, nor is anything written for it.
#[test]
fn every_cut_while_it_may_go_on() {
    for parity in 0..=2 {
        let whole = run(0, 3, None, parity);
        for cut in 1..whole.len() - 1 {
            let objects: StoredObjects = whole.iter().take(cut).cloned().collect();
            let (found, items, whole) = verify(&store(&objects), true);
            let tail = |line: &String| line.starts_with(&format!("missing {BAND}/TAIL"));
            assert!(found.iter().all(tail) && items.is_empty(), "{parity} {cut}: {found:?}");
            assert_eq!(whole, found.is_empty());
        }
    }
}

/// What a run that was cut left in no list is listed by repair as soon as a later band keeps it
/// from being continued, however far that one came; before that the next run lists it.
#[test]
fn a_cut_that_no_run_continues() {
    const LATER: &str = "20261102T020000Z";
    for parity in 0..=2 {
        let objects: StoredObjects = run(0, 3, None, parity).into_iter().take(SLOTS).collect();
        let head = String::from_utf8(objects[&format!("{BAND}/HEAD")].clone()).unwrap();
        let place = store(&objects);
        let made = || verify(&place, true).1;
        assert_eq!(made(), StoredObjects::new());
        let later = head.replace(BAND, LATER).replace(ID, &ID.replace('0', "f"));
        place.put_new(&format!("{LATER}/HEAD"), later.as_bytes()).unwrap();
        let items = made();
        assert_eq!(items.len(), 1, "{:?}", items.keys());
        items.iter().for_each(|(name, bytes)| place.put_new(name, bytes).unwrap());
        assert_eq!(made(), StoredObjects::new());
    }
}

/// An object changes and its list is lost: no list is made of what there is, because the parity is
/// of something else. Whatever the list was like is made again only if nothing changed.
#[test]
fn no_list_is_made_of_what_parity_contradicts() {
    for parity in 1..=2 {
        let whole: StoredObjects = run(0, 3, None, parity).into_iter().collect();
        let (list, members, _) = groups(&whole).swap_remove(0);
        let mut objects = whole.clone();
        let text = objects.remove(&list).unwrap();
        let (_, items, done) = verify(&store(&objects), true);
        assert_eq!((items.get(&list), items.len(), done), (Some(&text), 1, true));
        for changed in members.iter().filter(|name| !name.ends_with("/HEAD")) {
            let mut bytes = objects[changed].clone();
            *bytes.last_mut().unwrap() ^= 1;
            let place = store(&objects);
            place.replace(changed, &bytes).unwrap();
            let (_, items, done) = verify(&place, true);
            assert!(!done && items.is_empty(), "{parity} {changed}: {:?}", items.keys());
        }
    }
}
