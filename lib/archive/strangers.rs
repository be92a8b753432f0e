//! Whether a place is one for an archive, or holds other things.

use crate::archive::catalogue::bands;
use crate::format::litter::is_litter;
use crate::format::path::Path;

/// What lies in a place that holds no band, but for what other programs leave everywhere; none if
/// it holds one, or nothing.
pub(crate) fn strangers(listed: &[(String, u64)]) -> Option<String> {
    if !bands(listed).is_empty() {
        return None;
    }
    let mut others = listed.iter().map(|(name, _)| name).filter(|name| !is_litter(name));
    let shown: Vec<String> = others.by_ref().take(3).map(|name| shown(name)).collect();
    let more = if others.next().is_some() { ", …" } else { "" };
    (!shown.is_empty()).then(|| format!("{}{more}", shown.join(", ")))
}

/// A name as a line can hold it.
fn shown(name: &str) -> String {
    let path = Path::from_raw(name.trim_end_matches('/').as_bytes()).to_string();
    path.strip_prefix("./").unwrap_or(&path).to_owned()
}
