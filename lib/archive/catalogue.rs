//! What the folders of a store hold: the bands of an archive, and the objects of a band.

use crate::format::band::BandName;
use crate::format::object::ObjectName;
use crate::store::{Store, StoreError, as_folder};

/// The bands that a listing of an archive names, oldest first: ancestors before what is based on
/// them.
pub(crate) fn bands(listed: &[(String, u64)]) -> Vec<BandName> {
    let mut names: Vec<BandName> =
        listed.iter().filter_map(|entry| as_folder(entry)?.parse().ok()).collect();
    names.sort_by_key(|name| (name.start(), name.to_string()));
    names
}

/// What lies in a folder of a band.
#[derive(Debug, Default)]
pub(crate) struct BandFolder {
    /// Its objects with their sizes, as listed: one of 0 bytes is there, and counts as absent.
    pub all: Vec<(ObjectName, u64)>,
    /// The numbers of the folders in it, in order.
    pub folders: Vec<u32>,
    /// What else is in it, as the band's folder names it.
    pub strangers: Vec<String>,
}

impl BandFolder {
    /// Lists a folder of a band: its own, or the one below it that has this number.
    pub(crate) fn list(
        store: &dyn Store,
        band: &BandName,
        number: Option<u32>,
    ) -> Result<BandFolder, StoreError> {
        let below = number.map_or_else(String::new, |number| format!("{number:05}/"));
        let listed = store.list(format!("{band}/{below}").trim_end_matches('/'))?;
        let mut found = BandFolder::default();
        for (name, size) in listed {
            let name = below.clone() + &name;
            match (name.strip_suffix('/').and_then(folder_number), ObjectName::parse(&name)) {
                (Some(number), _) => found.folders.push(number),
                (None, Some(object)) => found.all.push((object, size)),
                (None, None) => found.strangers.push(name),
            }
        }
        found.folders.sort_unstable();
        Ok(found)
    }

    /// Lists a band with all of its folders.
    pub(crate) fn list_all(store: &dyn Store, band: &BandName) -> Result<BandFolder, StoreError> {
        let mut all = BandFolder::list(store, band, None)?;
        for number in &all.folders {
            let below = BandFolder::list(store, band, Some(*number))?;
            all.all.extend(below.all);
            all.strangers.extend(below.strangers);
        }
        Ok(all)
    }

    /// The objects that are there.
    pub(crate) fn objects(&self) -> impl Iterator<Item = (ObjectName, u64)> {
        self.all.iter().copied().filter(|(_, size)| *size > 0)
    }

    /// Their names.
    pub(crate) fn names(&self) -> impl Iterator<Item = ObjectName> {
        self.objects().map(|(name, _)| name)
    }
}

/// The number of a folder with this name, if it is one of a band's: five digits.
fn folder_number(name: &str) -> Option<u32> {
    let is_number = name.len() == 5 && name.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| name.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::memory::Memory;

    const BAND: &str = "20261127T020000Z";

    #[test]
    fn bands_come_with_ancestors_first() {
        let listed = ["x/", "20261128T020000Z/", "lost+found/", "20261127T020000Z/", "HEAD"];
        let listed = listed.map(|name| (name.to_owned(), 0));
        let names: Vec<String> = bands(&listed).iter().map(ToString::to_string).collect();
        let mut wanted: Vec<String> = names.clone();
        wanted.sort();
        assert_eq!(names, wanted);
    }

    #[test]
    fn a_band_has_objects_folders_and_strangers() {
        let band: BandName = BAND.parse().unwrap();
        let store = Memory::default();
        for (name, bytes) in [
            ("HEAD", &b"x"[..]),
            ("TAIL", b""),
            ("note", b"x"),
            ("00001/000010032.mtree.gz", b"x"),
            ("00000/000000000.tar.gz", b"x"),
            ("00000/000000000.tar.gz~", b"x"),
            ("0000x/000000000.tar.gz", b"x"),
        ] {
            store.put_new(&format!("{band}/{name}"), bytes).unwrap();
        }
        let names = |folder: &BandFolder| -> Vec<String> {
            folder.names().map(|name| name.to_string()).collect()
        };
        let top = BandFolder::list(&store, &band, None).unwrap();
        assert_eq!((names(&top), &top.folders[..]), (vec!["HEAD".to_owned()], &[0, 1][..]));
        assert_eq!(top.all.len(), 2, "TAIL is listed, and counts as absent");
        assert_eq!(top.strangers, ["0000x/", "note"]);
        let all = BandFolder::list_all(&store, &band).unwrap();
        assert_eq!(names(&all).len(), 3, "{all:?}");
        assert_eq!(all.strangers, ["0000x/", "note", "00000/000000000.tar.gz~"]);
    }
}
