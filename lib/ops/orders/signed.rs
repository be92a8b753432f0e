//! Signed archives: cut again and again, and continued, also by runs that do not sign. What gpg
//! would sign has a stand-in: the sum of what is signed.

use std::sync::Arc;

use crate::archive::signed::SignedStore;
use crate::ops::orders::model::{ModelObjects, counted, cuts, held, read, store};
use crate::ops::orders::{StateSearch, WorldState, after, base, every, look, trees};
use crate::ops::verify::tests::{stand_in, verify, verify_signed};

fn search() -> StateSearch {
    StateSearch { sign: true, ..StateSearch::new(1) }
}

/// What verify says with `--signed-by`, but of a band that was cut before a signed list had its
/// HEAD.
fn found_signed(there: &ModelObjects) -> Vec<String> {
    let (mut found, ..) = verify_signed(&store(there), false);
    found.retain(|line| !line.contains("/TAIL: everything else of the band is there"));
    found
}

/// Whoever asks for the signature gets what was signed.
fn read_signed(state: &WorldState, case: &str) {
    let signed = Arc::new(SignedStore::new(store(&state.there), stand_in(), None));
    if let Some(found) = read(signed, None).filter(|found| found.complete) {
        assert!(found.silent, "{case}: a reader warns");
        assert_eq!(Some(&found.entries), state.complete.get(&found.band), "{case}");
    }
}

/// Cut after every write, with every subset of what is under way; and again; and again, up to ten
/// times.
#[test]
fn every_cut_of_a_signed_run() {
    let mut search = search();
    let empty = WorldState::default();
    let first = search.stream(&empty, &base(), None, &[]).unwrap();
    for (at, cut) in cuts(&first, 2).iter().enumerate().step_by(every(2)) {
        let case = format!("cut {cut:?}");
        let one = after(&empty, &first, cut.iter().copied(), &case);
        if !search.is_new(&one) {
            continue;
        }
        // TAIL came and not its signature: no run continues the band, and repair signs it.
        let names: Vec<&String> = one.there.keys().collect();
        let is_tail = |end: &str| names.iter().any(|name| name.ends_with(end));
        if is_tail("/TAIL") && !is_tail("/TAIL.sig") {
            let place = store(&one.there);
            let (found, items, whole) = verify_signed(&place, true);
            assert!(found.len() == 1 && items.len() == 1 && whole, "{case}: {found:?}");
            items.iter().for_each(|(name, bytes)| place.put_new(name, bytes).unwrap());
            assert_eq!(found_signed(&held(&place)), [""; 0], "{case}");
            continue;
        }
        look(&one, &case);
        let has = |end: &str| one.there.keys().any(|name| name.ends_with(end));
        let covered = has("/000000000-0.sha256");
        let found = found_signed(&one.there);
        assert!(!covered || found.is_empty(), "{case}: {found:?}");
        for (what, tree) in trees().into_iter().step_by(every(3)) {
            let case = format!("{case}, {what}");
            let whole = WorldState { there: search.settles(&one, &tree, &case), ..one.clone() };
            let found = found_signed(&whole.there);
            assert!(found.is_empty(), "{case}: {found:?}");
            // Each run gets one object further than the run before.
            let mut state = one.clone();
            for times in 0..10 {
                let case = format!("{case}, again {times}");
                let Some(next) = search.stream(&state, &tree, None, &[]) else { break };
                let before = counted(&state.there, &next.band);
                let mut cuts = cuts(&next, 1);
                cuts.retain(|cut| cut.len() + 1 < next.objects.len());
                let cut = cuts.iter().nth((at + times * 3) % cuts.len()).unwrap();
                state = after(&state, &next, cut.iter().copied(), &case);
                crate::ops::orders::progress(&state.there, &next.band, &before, &case);
                search.is_new(&state);
                read_signed(&state, &case);
            }
            let mut all = state;
            for _ in 0..2 {
                all = search.ends(&all, &tree, None, &[], &case).unwrap().0;
            }
            look(&all, &case);
            read_signed(&all, &case);
            let found = found_signed(&all.there);
            assert!(found.is_empty(), "{case}, ten times: {found:?}");
        }
    }
    println!("{} states", search.states);
    assert!(search.states > 100, "{}", search.states);
}

/// A signature that is lost or of something else is found; so is a run that does not sign what the
/// runs before it signed.
#[test]
fn every_lack_of_a_signature() {
    let mut states = 0;
    let search = search();
    let plain = StateSearch { sign: false, ..StateSearch::new(1) };
    let empty = WorldState::default();
    let first = search.stream(&empty, &base(), None, &[]).unwrap();
    let mut cuts = cuts(&first, 1);
    cuts.retain(|cut| cut.len() + 1 < first.objects.len());
    for cut in cuts.iter().step_by(every(3)) {
        let one = after(&empty, &first, cut.iter().copied(), "signed");
        let (two, _) = search.ends(&one, &base(), None, &[], "signed").unwrap();
        assert_eq!(found_signed(&two.there), [""; 0]);
        // One of a list that never came signs nothing.
        let signs =
            |name: &&String| name.strip_suffix(".sig").is_some_and(|of| two.there.contains_key(of));
        for name in two.there.keys().filter(signs) {
            for lost in [true, false] {
                let case = format!("{cut:?}, {name}, lost {lost}");
                let mut there = two.there.clone();
                match lost {
                    true => _ = there.remove(name),
                    false => there.get_mut(name).unwrap().reverse(),
                }
                assert!(!found_signed(&there).is_empty(), "{case}: --signed-by");
                assert!(!verify(&store(&there), false).0.is_empty(), "{case}");
                states += 1;
            }
        }
        let (mixed, _) = plain.ends(&one, &base(), None, &[], "not signed").unwrap();
        assert!(!found_signed(&mixed.there).is_empty(), "{cut:?}: a run that did not sign");
        let signed = Arc::new(SignedStore::new(store(&mixed.there), stand_in(), None));
        let complete = read(signed, None).is_some_and(|found| found.complete);
        assert!(!complete, "{cut:?}: whole, though not signed");
        states += 1;
    }
    println!("{states} states");
    assert!(states > 100, "{states}");
}
