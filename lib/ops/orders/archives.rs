//! Several archives in one run.

use std::sync::Arc;

use crate::ops::orders::model::{
    ModelObjects, Stream, bytes, counted, cuts, held, read, seen, store, tail,
};
use crate::ops::orders::{
    StateSearch, WorldState, after, base, check_complete, every, found_whole, large, trees,
};
use crate::ops::push::tests::push_to;

/// Two archives that were cut differently: a run that goes on by what the first one has is stored
/// in the other only if nothing is lacking there, and one that is stored is whole.
#[test]
fn every_pair_of_archives() {
    let mut states = 0;
    let mut refused = 0;
    let search = StateSearch::new(0);
    let empty = WorldState::default();
    let first = search.stream(&empty, &base(), None, &[]).unwrap();
    let cuts = cuts(&first, 2);
    for cut in cuts.iter().step_by(every(4)) {
        let one = after(&empty, &first, cut.iter().copied(), "one");
        for (at, other) in cuts.iter().enumerate().step_by(every(3)) {
            let mut case = format!("{cut:?} of one archive, {other:?} of the other");
            let mut two = after(&empty, &first, other.iter().copied(), "other");
            // Of every other one a block was lost.
            let block = two.there.keys().find(|name| name.contains(".tar") && at % 2 == 1).cloned();
            if let Some(block) = &block {
                two.there.remove(block);
                case = format!("{case}, without {block}");
            }
            // The run goes on with the band, or makes a layer on what there is of it.
            let ways = [&[][..], &["--no-resume"]];
            let trees = trees().into_iter().take(if large() { 8 } else { 2 });
            for ((what, tree), way) in trees.flat_map(|tree| ways.map(|way| (tree.clone(), way))) {
                let case = format!("{case}, {what}, {way:?}");
                let run = search.stream(&one, &tree, None, way).unwrap();
                let stores = [store(&one.there), store(&two.there)];
                let done = push_to(stores.to_vec(), bytes(&run));
                assert!(done[0], "{case}: the archive that was looked at refuses");
                for (store, done) in stores.iter().zip(done) {
                    let there = held(store);
                    assert_eq!(done, tail_of(&there, &run), "{case}");
                    if done {
                        check_complete(&there, &run, false, &case);
                        has_all(&there, &held(&stores[0]), &run, &case);
                    }
                    if !done && block.is_none() {
                        found_whole(&there, &case);
                        if let Some(found) = read(Arc::clone(store), None) {
                            assert!(
                                found.silent && !found.complete || found.entries == seen(&base())
                            );
                        }
                    }
                    refused += u64::from(!done);
                }
                another_of_the_name(&one, &run, &case);
                // The remedy: what the first has goes to the other.
                let mut level = held(&stores[1]);
                for (name, bytes) in held(&stores[0]) {
                    let was = level.insert(name.clone(), bytes.clone());
                    assert!(was.is_none_or(|was| was == bytes), "{case}: {name} is another");
                }
                check_complete(&level, &run, false, &case);
                states += 1;
            }
        }
    }
    println!("{states} states, {refused} refused");
    assert!(states > 50 && refused > 20, "{states} {refused}");
}

/// Of what counts in the first archive, the other one has all blocks.
fn has_all(there: &ModelObjects, first: &ModelObjects, run: &Stream, case: &str) {
    for band in run.band.chain() {
        for number in counted(first, &band) {
            let block = format!("{band}/{:05}/{number:09}.tar", number / 10_000);
            let blocks = first.keys().filter(|name| name.starts_with(&block));
            blocks.for_each(|name| assert!(there.contains_key(name), "{case}: lacks {name}"));
        }
    }
}

/// An archive with another band of that name takes nothing.
fn another_of_the_name(one: &WorldState, run: &Stream, case: &str) {
    let mut others = one.there.clone();
    let id = "00".repeat(16);
    let chain = run.band.chain();
    let own_head = |name: &str| chain.iter().any(|band| name == format!("{band}/HEAD"));
    if let Some((_, head)) = others.iter_mut().find(|(name, _)| own_head(name)) {
        let text = String::from_utf8(head.clone()).unwrap();
        assert!(text.contains(&format!("id: {id}")));
        *head =
            text.replace(&format!("id: {id}"), &format!("id: {}", "ab".repeat(16))).into_bytes();
        let place = store(&others);
        assert!(!push_to(vec![Arc::clone(&place)], bytes(run))[0], "{case}: another band's");
        assert_eq!(held(&place), others, "{case}: another band got something");
    }
}

fn tail_of(there: &ModelObjects, run: &Stream) -> bool {
    tail(there, &run.band).is_some()
}
