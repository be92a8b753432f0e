//! Listings that lag: a store may list a band seconds or minutes after it was written, though it
//! gives each of its objects at once.

use crate::format::band::BandName;

/// Which of the bands that this host has written a listing should have and does not: all if it has
/// none, else the newest if it is later than all that are listed. The others may be gone.
pub fn unlisted<'a>(listed: &[BandName], written: &'a [BandName]) -> Vec<&'a BandName> {
    let key = |name: &BandName| (name.start(), name.to_string());
    let latest = listed.iter().map(key).max();
    let newest = written.iter().max_by_key(|name| key(name));
    match latest {
        None => written.iter().collect(),
        Some(latest) => newest.filter(|name| key(name) > latest).into_iter().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for() {
        let names = |text: &str| -> Vec<BandName> {
            text.split_whitespace()
                .map(|day| format!("202611{day}T020000Z").parse().unwrap())
                .collect()
        };
        for (listed, written, wanted) in [
            ("", "", ""),
            ("", "03 01", "03 01"),
            ("01", "", ""),
            ("01", "01", ""),
            ("02", "01", ""),
            ("01 02", "03 02 04", "04"),
            ("05", "03 02 04", ""),
        ] {
            let written = names(written);
            let found: Vec<BandName> =
                unlisted(&names(listed), &written).into_iter().cloned().collect();
            assert_eq!(found, names(wanted), "{listed}: {written:?}");
        }
    }
}
