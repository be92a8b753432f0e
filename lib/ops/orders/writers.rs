//! Two hosts write at once.

use crate::ops::orders::model::{ModelTree, Notes, cuts, put, seen, version};
use crate::ops::orders::{StateSearch, WorldState, after, base, check_complete, every};

/// Two hosts that found the archive in the same state write at once: one may be stopped, and what
/// comes of it is whole all the same.
#[test]
fn every_order_of_two_writers() {
    two_writers(&[]);
}

/// The same where the second makes a layer on what there is.
#[test]
fn every_order_of_writers_of_neighbouring_bands() {
    two_writers(&["--no-resume"]);
}

fn two_writers(way: &[&str]) {
    let mut states = 0;
    let search = StateSearch::new(1);
    let empty = WorldState::default();
    let first = search.stream(&empty, &base(), None, &[]).unwrap();
    let other: ModelTree = vec![("/", 4), ("a", 4), ("d/", 1), ("d/x", 4), ("e", 1), ("g", 4)];
    for cut in cuts(&first, 1).iter().step_by(every(2)) {
        let one = after(&empty, &first, cut.iter().copied(), "two writers");
        let host = WorldState { run: one.run + 1, notes: Notes::new(), ..one.clone() };
        let both =
            (search.stream(&one, &base(), None, &[]), search.stream(&host, &other, None, way));
        let (Some(own), Some(others)) = both else { panic!("{cut:?}: refused") };
        let step = every(3);
        for i in (0..=own.objects.len()).step_by(step) {
            for j in (0..=others.objects.len()).step_by(step) {
                let case = format!("cut {cut:?}, {i} of one writer, {j} of the other");
                let mut there = one.there.clone();
                let mut done = [true, true];
                for (writer, stream, range) in [
                    (0, &own, 0..i),
                    (1, &others, 0..j),
                    (0, &own, i..own.objects.len()),
                    (1, &others, j..others.objects.len()),
                ] {
                    // Push stops where an object is another's, or the band was completed before it.
                    if done[writer] {
                        done[writer] = put(&mut there, stream, range);
                    }
                }
                for (stream, done) in [(&own, done[0]), (&others, done[1])] {
                    if done && !stream.objects.is_empty() {
                        check_complete(&there, stream, false, &case);
                    }
                }
                let (notes, run) = (own.notes.clone(), one.run + 2);
                let state = WorldState { there, notes, run, ..one.clone() };
                let (three, status) = search.ends(&state, &other, None, &[], &case).expect(&case);
                let (last, _) = match status {
                    0 => (three, 0),
                    _ => search.ends(&three, &other, None, &[], &case).expect(&case),
                };
                assert_eq!(version(&last.there, None), Some((seen(&other), true)), "{case}");
                states += 1;
            }
        }
    }
    println!("{states} states");
    assert!(states > 50, "{states}");
}
