//! What a run has stored, to be found again before TAIL says that the band is complete: a server
//! that confirms what it does not keep is seen by one listing of each folder.
//!
//! The names of one folder are held, and let go when the stream has left it: [`Ledger::poll`].

use std::collections::BTreeMap;

use crate::format::object::{ObjectName, UNSEEN};

/// Objects of one folder that should be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// The folder within the band; empty for the band's own.
    pub folder: String,
    /// Names within the folder, with sizes.
    pub objects: BTreeMap<String, u64>,
}

impl Check {
    /// What a listing of the folder does not show as it was stored. An entry that could not be
    /// looked at is there.
    pub fn lacking(&self, listed: &[(String, u64)]) -> Vec<(String, u64)> {
        let listed: BTreeMap<&str, u64> =
            listed.iter().map(|(name, size)| (name.as_str(), *size)).collect();
        let is_there = |name: &str, size: u64| matches!(listed.get(name), Some(&there) if there == size || there == UNSEEN);
        let objects = self.objects.iter().filter(|(name, size)| !is_there(name, **size));
        objects.map(|(name, size)| (name.clone(), *size)).collect()
    }
}

/// The machine: `handle_begun` for each object of the stream, `handle_stored` when it is stored.
#[derive(Debug, Default)]
pub struct Ledger {
    /// By folder: what is stored, and how many are under way.
    folders: BTreeMap<String, (BTreeMap<String, u64>, usize)>,
}

impl Ledger {
    /// An object is to be stored.
    pub fn handle_begun(&mut self, name: &ObjectName) {
        self.folders.entry(place(name).0).or_default().1 += 1;
    }

    /// It is stored, with so many bytes; with none, it need not be looked for.
    pub fn handle_stored(&mut self, name: &ObjectName, size: u64) {
        let (folder, own) = place(name);
        let (stored, open) = self.folders.entry(folder).or_default();
        *open = open.saturating_sub(1);
        // An empty object counts as absent wherever it is.
        if size > 0 {
            stored.insert(own, size);
        }
    }

    /// A folder that the stream has left, all of it stored: to be looked at now.
    pub fn poll(&mut self) -> Option<Check> {
        let last = self.folders.keys().next_back()?.clone();
        let left = |(folder, (_, open)): (&String, &(_, usize))| {
            (!folder.is_empty() && *folder != last && *open == 0).then(|| folder.clone())
        };
        let folder = self.folders.iter().find_map(left)?;
        let (objects, _) = self.folders.remove(&folder)?;
        Some(Check { folder, objects })
    }

    /// All that is stored so far, to be looked at now; what is under way comes later.
    pub fn take(&mut self) -> Vec<Check> {
        let checks = self.folders.iter_mut().map(|(folder, (objects, _))| Check {
            folder: folder.clone(),
            objects: std::mem::take(objects),
        });
        checks.filter(|check| !check.objects.is_empty()).collect()
    }

    /// All that is left to be looked at.
    pub fn finish(&mut self) -> Vec<Check> {
        let folders = std::mem::take(&mut self.folders).into_iter();
        let checks = folders.map(|(folder, (objects, _))| Check { folder, objects });
        checks.filter(|check| !check.objects.is_empty()).collect()
    }
}

/// The folder of an object, and its name there.
fn place(name: &ObjectName) -> (String, String) {
    let name = name.to_string();
    match name.rsplit_once('/') {
        Some((folder, own)) => (folder.to_owned(), own.to_owned()),
        None => (String::new(), name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::object::Object;

    fn index(number: u32) -> ObjectName {
        ObjectName::plain(Object::Index(number))
    }

    #[test]
    fn a_folder_is_looked_at_when_the_stream_has_left_it() {
        let mut ledger = Ledger::default();
        let head = ObjectName::plain(Object::Head);
        for name in [head, index(9_998), index(9_999), index(10_000)] {
            ledger.handle_begun(&name);
        }
        for (name, size) in [(head, 5), (index(9_999), 7), (index(10_000), 8)] {
            ledger.handle_stored(&name, size);
            assert_eq!(ledger.poll(), None);
        }
        ledger.handle_stored(&index(9_998), 6);
        let check = ledger.poll().unwrap();
        assert_eq!((check.folder.as_str(), check.objects.len()), ("00000", 2));
        assert_eq!(ledger.poll(), None);
        let rest: Vec<String> = ledger.finish().into_iter().map(|check| check.folder).collect();
        assert_eq!(rest, ["", "00001"]);
        assert_eq!(ledger.finish(), []);
    }

    #[test]
    fn what_was_taken_is_not_looked_at_again() {
        let mut ledger = Ledger::default();
        let names = [index(0), index(1), index(10_000)];
        names.iter().for_each(|name| ledger.handle_begun(name));
        ledger.handle_stored(&names[0], 5);
        let taken = ledger.take();
        assert_eq!((taken.len(), taken[0].objects.len()), (1, 1));
        assert_eq!(ledger.take(), []);
        ledger.handle_stored(&names[1], 6);
        assert_eq!(ledger.poll().unwrap().objects.len(), 1);
        ledger.handle_stored(&names[2], 7);
        assert_eq!(ledger.finish().len(), 1);
    }

    #[test]
    fn what_is_not_listed_as_it_was_stored_is_lacking() {
        let objects = [("a", 1), ("b", 2), ("c", 3), ("d", 4)];
        let owned = |pairs: &[(&str, u64)]| -> Vec<(String, u64)> {
            pairs.iter().map(|(name, size)| ((*name).to_owned(), *size)).collect()
        };
        let check =
            Check { folder: "00000".to_owned(), objects: owned(&objects).into_iter().collect() };
        assert_eq!(check.lacking(&owned(&objects)), []);
        let listed = owned(&[("a", 1), ("b", 0), ("d", UNSEEN), ("x", 9)]);
        assert_eq!(check.lacking(&listed), owned(&[("b", 2), ("c", 3)]));
    }
}
