//! What a folder with a band's name is, by what is in it: design rule *A removed band*.
//!
//! A band that is removed loses HEAD first, then TAIL, then its lists and indexes, then the rest.
//! So what is left of a removal that was cut is told from damage by what is still there.

use crate::format::object::{Object, ObjectName};

/// What a folder with a band's name is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// Neither HEAD nor TAIL, nor any list or index: a run that was killed before it began, or what
    /// is left of a band that was removed. It counts for nothing but its name.
    NoBand,
    /// Lists or indexes without HEAD and TAIL: a band that has lost both, or is being removed.
    LostBoth,
    /// HEAD or TAIL is there.
    Band,
}

/// Says what a folder is. `top` are the objects that lie in it directly; `numbered` is asked only
/// if they do not tell, and says whether one of the folders in it has a list or an index. Objects
/// of 0 bytes count as absent and must not be given.
pub fn presence<'a>(
    top: impl IntoIterator<Item = &'a ObjectName>,
    numbered: impl FnOnce() -> bool,
) -> Presence {
    let is_end = |name: &ObjectName| matches!(name.object, Object::Head | Object::Tail);
    if top.into_iter().any(is_end) {
        Presence::Band
    } else if numbered() {
        Presence::LostBoth
    } else {
        Presence::NoBand
    }
}

/// True for what shows that a band was there: lists and indexes.
pub fn shows_a_band(name: &ObjectName) -> bool {
    matches!(name.object, Object::List(..) | Object::Index(_))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_folder_is() {
        let of = |names: &str| {
            let names: Vec<ObjectName> =
                names.split_whitespace().map(|name| ObjectName::parse(name).unwrap()).collect();
            let (top, inside): (Vec<_>, Vec<_>) =
                names.iter().partition(|name| !name.to_string().contains('/'));
            presence(top, || inside.into_iter().any(shows_a_band))
        };
        for (names, is) in [
            ("", Presence::NoBand),
            ("RECOVER.txt 00000/000000000.tar.gz", Presence::NoBand),
            ("TAIL.sig 00000/000000000-0.rs0", Presence::NoBand),
            ("RECOVER.txt 00000/000000000.mtree.gz", Presence::LostBoth),
            ("00000/000000000-0.sha256", Presence::LostBoth),
            ("HEAD", Presence::Band),
            ("TAIL 00000/000000000.tar.gz", Presence::Band),
        ] {
            assert_eq!(of(names), is, "{names}");
        }
    }
}
