//! What readers of archives have in common: asking side by side, and unpacking with a bound.

use std::io::Read as _;

use anyhow::{Context, anyhow, bail};

use crate::format::inflate::whole;

/// Asks for several things at once, each on a thread of its own: the bands of a chain are few. The
/// first failure is that of all.
pub(in super::super) fn side_by_side<T: Sync, R: Send>(
    items: &[T],
    ask: impl Fn(&T) -> anyhow::Result<R> + Sync,
) -> anyhow::Result<Vec<R>> {
    let ask = &ask;
    std::thread::scope(|scope| {
        let threads: Vec<_> = items.iter().map(|item| scope.spawn(move || ask(item))).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|_| Err(anyhow!("a reader broke off"))))
            .collect()
    })
}

/// Decompresses an index or table of contents, with a bound against one that would fill memory.
pub(in super::super) fn unzip(bytes: &[u8]) -> anyhow::Result<Vec<u8>> {
    const MAX: u64 = 256 << 20;
    if let Some(text) = whole(bytes, MAX as usize) {
        return Ok(text);
    }
    let mut text = Vec::new();
    flate2::read::MultiGzDecoder::new(bytes)
        .take(MAX + 1)
        .read_to_end(&mut text)
        .context("damaged")?;
    if text.len() as u64 > MAX {
        bail!("expands to over 256 MiB, which no index does");
    }
    Ok(text)
}
