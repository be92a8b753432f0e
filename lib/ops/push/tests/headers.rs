//! Pax headers of an object stream that are damaged, lost or come twice: the long names of a deep
//! band, and what a stream says before its first object.

use super::*;
use crate::format::counted::CountedBlocks;
use crate::format::stream::{Preface, SealedAs, header};

/// Pieces of a stream: the headers of something, and what follows them.
type Pieces = Vec<(Vec<u8>, Vec<u8>)>;

fn pieces(preface: &Preface, items: &[StreamItem]) -> Pieces {
    let comments = preface.to_bytes();
    let comments = comments.chunks(1024).map(|both| (both.to_vec(), Vec::new()));
    let objects = items.iter().map(|item| {
        let header = header(&item.band, &item.name, item.bytes.len() as u64, 0);
        let mut body = item.bytes.clone();
        body.resize(body.len().next_multiple_of(512), 0);
        (header, body)
    });
    comments.chain(objects).collect()
}

fn join(pieces: &Pieces) -> Vec<u8> {
    let pieces = pieces.iter().flat_map(|(header, body)| [header.as_slice(), body]);
    [pieces.collect::<Vec<_>>().concat(), END.to_vec()].concat()
}

/// Pushed to a store that holds some objects: whether that is done, and what it holds then.
fn pushed(before: &PushedObjects, stream: Vec<u8>) -> (Result<(), String>, PushedObjects) {
    let store = Arc::new(Memory::default());
    before.iter().for_each(|(name, bytes)| store.put_new(name, bytes).unwrap());
    let (run, places) = setting(store.clone(), 1);
    let done = push_stream(&run, &places, Cursor::new(stream))
        .and_then(|mut outcomes| outcomes.remove(0).map(drop))
        .map_err(|error| format!("{error:#}"));
    let mut after = PushedObjects::new();
    let mut folders = vec![String::new()];
    while let Some(folder) = folders.pop() {
        for (name, _) in store.list(folder.trim_end_matches('/')).unwrap() {
            let name = format!("{folder}{name}");
            match name.ends_with('/') {
                true => folders.push(name),
                false => drop(after.insert(name.clone(), store.get(&name).unwrap())),
            }
        }
    }
    (done, after)
}

/// Every damage to one of these headers is refused without TAIL, or changes nothing.
fn all_are_seen(before: &PushedObjects, pieces: &Pieces, headers: &[usize]) {
    let (done, whole) = pushed(before, join(pieces));
    assert_eq!(done, Ok(()));
    assert!(whole.keys().any(|name| name.ends_with("/TAIL") && !before.contains_key(name)));
    let held = |what: &str, damaged: &Pieces| {
        let (done, after) = pushed(before, join(damaged));
        let tails =
            |there: &PushedObjects| there.keys().filter(|name| name.ends_with("/TAIL")).count();
        match done.is_ok() {
            true => assert_eq!(after, whole, "{what}"),
            false => assert_eq!(tails(&after), tails(before), "{what}"),
        }
        done.is_ok()
    };
    let (mut passed, mut refused) = (0, 0);
    for &at in headers {
        for byte in (0..pieces[at].0.len()).filter(|byte| pieces[at].0[*byte] != 0) {
            let mut damaged = pieces.clone();
            damaged[at].0[byte] ^= 1;
            let done = held(&format!("bit of byte {byte} of header {at}"), &damaged);
            *if done { &mut passed } else { &mut refused } += 1;
        }
        // Without its pax header, with two of them, with another's.
        let lost = &pieces[at].0[1024.min(pieces[at].0.len())..];
        let twice = [&pieces[at].0[..1024], &pieces[at].0].concat();
        let other = pieces[headers[(at + 1) % headers.len()]].0.clone();
        for (what, header) in [("lost", lost.to_vec()), ("twice", twice), ("another's", other)] {
            let mut damaged = pieces.clone();
            damaged[at].0 = header;
            held(&format!("header {at} {what}"), &damaged);
        }
    }
    assert!(refused > 10 * passed && refused > 100 * headers.len(), "{refused}, {passed}");
}

/// A band of the last tier: its folder does not fit into a tar header.
#[test]
fn of_long_names() {
    let days: Vec<String> = (10..20).map(|day| format!("202611{day}T020000Z")).collect();
    let chain: Vec<String> = (1..=10).map(|tiers| days[..tiers].join("-")).collect();
    let before: PushedObjects =
        chain[..9].iter().flat_map(|name| objects(&band(name, 1))).collect();
    let pieces = pieces(&Preface::default(), &band(&chain[9], 2));
    assert!(pieces.iter().all(|(header, _)| header.len() == 1536));
    all_are_seen(&before, &pieces, &[0, 2, 7, 8]);
}

/// What stands before the first object of a stream that continues a band.
#[test]
fn before_the_first_object() {
    let all = band(PARENT, 1);
    let (band, id) = (all[0].band.clone(), BandId([1; 16]));
    // HEAD, a note, block and index; then those of a second run, with a list of its own.
    let (there, rest) = all.split_at(4);
    let members = rest[..3].iter().map(|item| GroupMember::of(item.name, &item.bytes)).collect();
    let list =
        List { band: band.clone(), id, name: (1, 0), added: 0, slots: 32, parity: 0, members };
    let mut rest = rest.to_vec();
    rest[3].name = ObjectName::parse("00000/000000001-0.sha256").unwrap();
    rest[3].bytes = list.to_string().into_bytes();
    let mut counted = CountedBlocks::default();
    counted.push(0, 1);
    let preface = Preface {
        continues: Some((band, id)),
        next: Some(1),
        sealed: Some(SealedAs::default()),
        counted,
        unlisted: there[2..].iter().map(|item| (item.name, 900)).collect(),
        ..Preface::default()
    };
    let pieces = pieces(&preface, &rest);
    let headers: Vec<usize> = (0..pieces.len() - rest.len()).collect();
    assert_eq!(headers.len(), 5);
    all_are_seen(&objects(there), &pieces, &headers);
}
