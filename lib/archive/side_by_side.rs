//! Asking side by side.

use anyhow::anyhow;

/// Asks for several things at once, each on a thread of its own: the bands of a chain are few. The
/// first failure is that of all.
pub(crate) fn side_by_side<T: Sync, R: Send>(
    items: &[T],
    ask: impl Fn(&T) -> anyhow::Result<R> + Sync,
) -> anyhow::Result<Vec<R>> {
    let ask = &ask;
    std::thread::scope(|scope| {
        let threads: Vec<_> = items.iter().map(|item| scope.spawn(move || ask(item))).collect();
        threads
            .into_iter()
            .map(|thread| {
                thread
                    .join()
                    .unwrap_or_else(|_| Err(anyhow!("a reader thread stopped unexpectedly")))
            })
            .collect()
    })
}
