//! Run keys: which key objects may open an object, in the order in which they are tried.
//!
//! All groups of a run begin with the same key object, and a run numbers its objects above those of
//! the runs before it. So it is the nearest at or below an object that opens it, but where two runs
//! share a number: then another does, and a wrong one costs little.

/// Number and counter of the group that a key object begins.
pub type KeyPlace = (u32, u32);

/// The places of key objects, sorted, in the order in which they are tried on the object with this
/// number: the nearest at or below first, down to the lowest, then those above.
pub fn order(places: &[KeyPlace], number: u32) -> impl Iterator<Item = KeyPlace> + '_ {
    let above = places.partition_point(|(first, _)| *first <= number);
    let (below, above) = places.split_at(above);
    below.iter().rev().chain(above).copied()
}

/// The places that a run has, whose first number is `first`; `runs` are those of all, sorted.
pub fn of_run<'a>(
    places: &'a [KeyPlace],
    runs: &[u32],
    first: u32,
) -> impl Iterator<Item = KeyPlace> + 'a {
    let next = runs.iter().copied().find(|run| *run > first);
    places
        .iter()
        .copied()
        .filter(move |(number, _)| *number >= first && next.is_none_or(|next| *number < next))
}

/// Which line of a message with the keys of several runs is that of this run.
pub fn line(lines: usize, runs: &[u32], first: u32) -> Option<usize> {
    match lines {
        1 => Some(0),
        _ if lines == runs.len() => runs.iter().position(|run| *run == first),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_below_comes_first() {
        let places = [(0, 0), (0, 1), (7, 0), (32, 0), (64, 0)];
        let order = |places: &[KeyPlace], number| order(places, number).collect::<Vec<_>>();
        assert_eq!(order(&places, 40), [(32, 0), (7, 0), (0, 1), (0, 0), (64, 0)]);
        assert_eq!(order(&places, 0), [(0, 1), (0, 0), (7, 0), (32, 0), (64, 0)]);
        assert_eq!(order(&places, 64)[0], (64, 0));
        assert_eq!(order(&[(32, 0), (64, 0)], 3), [(32, 0), (64, 0)]);
        assert_eq!(order(&[], 3), []);
    }

    #[test]
    fn places_and_lines_of_runs() {
        let places = [(0, 0), (7, 0), (32, 0), (40, 1), (64, 0)];
        let of = |first| of_run(&places, &[0, 32, 64], first).collect::<Vec<_>>();
        assert_eq!(of(0), [(0, 0), (7, 0)]);
        assert_eq!(of(32), [(32, 0), (40, 1)]);
        assert_eq!(of(64), [(64, 0)]);
        assert_eq!(line(1, &[0, 32], 32), Some(0));
        assert_eq!(line(2, &[0, 32], 32), Some(1));
        assert_eq!(line(2, &[0, 32], 5), None);
        assert_eq!(line(3, &[0, 32], 0), None);
    }
}
