//! How much of a sweep is tried: in the suite a part of the cases, in `scripts/fault-sweep` all.

/// True in `scripts/fault-sweep`.
pub(crate) fn all() -> bool {
    std::env::var_os("DURA_FAULTS").is_some_and(|faults| faults == "all")
}

/// Of these cases each `stride`th, from the first one on, or all.
pub(crate) fn part<T>(cases: Vec<T>, stride: usize) -> Vec<T> {
    cases.into_iter().step_by(if all() { 1 } else { stride }).collect()
}
