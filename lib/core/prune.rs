//! Which bands `dura-prune` may remove, and in which order the objects of one go.
//!
//! The rules are those of `operations.md`, each from reports of lost backups: a band stays while
//! another one stands on it, and nothing goes unless a complete version of the same source stays
//! whose objects are all there. Nothing is decided by clocks.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use crate::format::band::{BandId, BandName};
use crate::format::object::{Object, ObjectName};

/// What a folder with a band's name counts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FolderStanding {
    /// A complete version of the whole source.
    Version,
    /// Unfinished, made with a mask, damaged, or half removed.
    Other,
    /// No band: neither HEAD nor TAIL, no list and no index.
    Nothing,
}

/// A folder of the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FolderRow {
    /// Its name.
    pub name: BandName,
    /// What it counts for.
    pub standing: FolderStanding,
    /// The source that its HEAD names.
    pub source: Option<BandId>,
    /// Its TAIL has a signature.
    pub signed: bool,
    /// Whether all objects of it and of the bands below it are there; none as long as nobody
    /// looked.
    pub whole: Option<bool>,
}

/// Why a band stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stays {
    /// This band, which stays, stands on it.
    NeededBy(BandName),
    /// No complete version of its source would stay.
    Last,
    /// The later versions that would stay lack objects: the newest of them.
    NoneWhole(BandName),
    /// A signed band goes only when a signed version stays.
    NoneSigned,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PrunePlan {
    /// What goes, each before the bands that it stands on.
    pub go: Vec<BandName>,
    /// What was named and stays, and why.
    pub stay: BTreeMap<BandName, Stays>,
    /// What was named and is not there.
    pub absent: BTreeSet<BandName>,
}

/// What [`decide`] comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Whether this version is whole has to be known first.
    Ask(BandName),
    /// All is known.
    Plan(PrunePlan),
}

/// Decides what goes of an archive when these bands are named.
pub fn decide(rows: &[FolderRow], named: &BTreeSet<BandName>) -> Decision {
    let rows: BTreeMap<&BandName, &FolderRow> = rows.iter().map(|row| (&row.name, row)).collect();
    let mut go: BTreeSet<&BandName> = named.iter().filter(|name| rows.contains_key(name)).collect();
    let mut stay: BTreeMap<BandName, Stays> = BTreeMap::new();
    // What stays may need others: again until nothing changes. All that is refused at a time stays
    // at once, so that nothing is released by a band that is itself in doubt.
    loop {
        let mut refused = BTreeMap::new();
        for &name in &go {
            match refusal(&rows, &go, name) {
                Ok(None) => {}
                Ok(Some(why)) => _ = refused.insert(name, why),
                Err(ask) => return Decision::Ask(ask.clone()),
            }
        }
        if refused.is_empty() {
            break;
        }
        go.retain(|name| !refused.contains_key(name));
        stay.extend(refused.into_iter().map(|(name, why)| (name.clone(), why)));
    }
    let mut go: Vec<BandName> = go.into_iter().cloned().collect();
    go.sort_by_key(|name| (Reverse(name.tier()), name.start()));
    let absent = named.iter().filter(|name| !rows.contains_key(name)).cloned().collect();
    Decision::Plan(PrunePlan { go, stay, absent })
}

/// Why a band may not go with the others in `go`; fails with a version that has to be looked at
/// first.
fn refusal<'a>(
    rows: &BTreeMap<&'a BandName, &'a FolderRow>,
    go: &BTreeSet<&BandName>,
    name: &BandName,
) -> Result<Option<Stays>, &'a BandName> {
    let row = rows[name];
    let staying = || rows.values().copied().filter(|row| !go.contains(&row.name));
    let on_top = |other: &&FolderRow| {
        other.standing != FolderStanding::Nothing
            && other.name != *name
            && other.name.chain().contains(name)
    };
    if let Some(needs) = staying().find(on_top) {
        return Ok(Some(Stays::NeededBy(needs.name.clone())));
    }
    let same = |other: &&FolderRow| match (row.source, other.source) {
        (Some(source), Some(others)) => source == others,
        // Bands of earlier releases, and those that lost HEAD, do not say.
        _ => true,
    };
    let mut versions: Vec<&FolderRow> =
        staying().filter(|other| other.standing == FolderStanding::Version).filter(same).collect();
    if versions.is_empty() {
        return Ok(Some(Stays::Last));
    }
    versions.retain(|other| other.signed || !row.signed);
    if versions.is_empty() {
        return Ok(Some(Stays::NoneSigned));
    }
    // A later version takes the place of an earlier one. Whoever takes the newest away on purpose
    // goes back to an earlier one.
    versions.sort_by_key(|other| Reverse((other.name.start(), &other.name)));
    let is_later = |other: &&FolderRow| other.name.start() > name.start();
    if row.standing == FolderStanding::Version && versions.iter().any(is_later) {
        versions.retain(is_later);
    }
    let newest = &versions[0].name;
    for version in versions {
        match version.whole {
            Some(true) => return Ok(None),
            Some(false) => {}
            None => return Err(&version.name),
        }
    }
    Ok(Some(Stays::NoneWhole(newest.clone())))
}

/// When an object goes: all of a stage are gone, and were looked for, before the next begins. So a
/// removal that is cut leaves a band without HEAD that TAIL still completes, or one that lost both,
/// or none; never one that looks whole, newest, or about to be continued, and is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// HEAD: nobody builds on the band any more.
    Head,
    /// TAIL: the band is no version any more.
    Tail,
    /// The signature of TAIL.
    TailSig,
    /// Lists, their signatures, and indexes: nothing is a band any more.
    Lists,
    /// All else.
    Rest,
}

impl Stage {
    /// All, in their order.
    pub const ALL: [Stage; 5] =
        [Stage::Head, Stage::Tail, Stage::TailSig, Stage::Lists, Stage::Rest];

    /// When an object goes.
    pub fn of(name: &ObjectName) -> Stage {
        match name.object {
            Object::Head => Stage::Head,
            Object::Tail => Stage::Tail,
            Object::TailSig => Stage::TailSig,
            Object::List(..) | Object::ListSig(..) | Object::Index(_) => Stage::Lists,
            _ => Stage::Rest,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> BandName {
        let stamps: Vec<String> =
            text.split('-').map(|day| format!("202601{day}T000000Z")).collect();
        stamps.join("-").parse().unwrap()
    }

    /// `01-02 v`: a version; `o` something else, `n` nothing; behind it `s` signed, `!` not whole,
    /// `?` not looked at, and the source.
    fn rows(text: &str) -> Vec<FolderRow> {
        let row = |line: &str| {
            let (band, what) = line.trim().split_once(' ').unwrap();
            let source = what
                .chars()
                .find(char::is_ascii_digit)
                .map(|digit| digit.to_string().repeat(32).parse().unwrap());
            FolderRow {
                name: name(band),
                standing: match &what[..1] {
                    "v" => FolderStanding::Version,
                    "o" => FolderStanding::Other,
                    _ => FolderStanding::Nothing,
                },
                source,
                signed: what.contains('s'),
                whole: if what.contains('?') { None } else { Some(!what.contains('!')) },
            }
        };
        text.split(',').map(row).collect()
    }

    fn named(text: &str) -> BTreeSet<BandName> {
        text.split_whitespace().map(name).collect()
    }

    /// What goes, and why the rest stays.
    fn plan(text: &str, asked: &str) -> (Vec<BandName>, Vec<(BandName, Stays)>) {
        match decide(&rows(text), &named(asked)) {
            Decision::Plan(plan) => (plan.go, plan.stay.into_iter().collect()),
            Decision::Ask(name) => panic!("{name} is asked for"),
        }
    }

    #[test]
    fn nothing_goes_that_is_needed_or_the_last() {
        let needed = |band: &str, by: &str| (name(band), Stays::NeededBy(name(by)));
        for (archive, asked, goes, stays) in [
            // The usual case, and the order.
            ("01 v, 01-02 v, 03 v", "01 01-02", "01-02 01", vec![]),
            ("01 v, 01-02 v, 03 v", "01", "", vec![needed("01", "01-02")]),
            // Through one that is not a version, and through one that stays for another reason.
            ("01 v, 01-02 o, 03 v", "01", "", vec![needed("01", "01-02")]),
            ("01 v, 01-02 n, 03 v", "01", "01", vec![]),
            (
                "01 v, 01-02 v, 01-02-03 v, 04 v",
                "01 01-02",
                "",
                vec![needed("01", "01-02-03"), needed("01-02", "01-02-03")],
            ),
            // The only version, and all of them.
            ("01 v", "01", "", vec![(name("01"), Stays::Last)]),
            ("01 v, 02 v", "01 02", "", vec![(name("01"), Stays::Last), (name("02"), Stays::Last)]),
            // What is unfinished or damaged releases nothing, and is not removed before a version
            // is there.
            ("01 v, 02 o", "01", "", vec![(name("01"), Stays::Last)]),
            ("01 o, 02 o", "01", "", vec![(name("01"), Stays::Last)]),
            ("01 o, 02 v", "01", "01", vec![]),
            ("01 v, 02 n", "02", "02", vec![]),
            ("02 n", "02", "", vec![(name("02"), Stays::Last)]),
            // The newest goes where an earlier one is whole.
            ("01 v, 02 v", "02", "02", vec![]),
            // A later version must be whole; an earlier one is no substitute.
            ("01 v, 02 v, 03 v!", "02", "", vec![(name("02"), Stays::NoneWhole(name("03")))]),
            ("01 v, 02 v!, 03 v", "01", "01", vec![]),
            ("01 v!, 02 v", "02", "", vec![(name("02"), Stays::NoneWhole(name("01")))]),
            ("01 o, 02 v!, 03 v", "01", "01", vec![]),
            // Of another source; where a source is not known, it is taken to be the same.
            ("01 v1, 02 v2", "01", "", vec![(name("01"), Stays::Last)]),
            ("01 v1, 02 v2, 03 v1", "01", "01", vec![]),
            ("01 v, 02 v2", "01", "01", vec![]),
            // A signed one goes when a signed one stays.
            ("01 vs, 02 v", "01", "", vec![(name("01"), Stays::NoneSigned)]),
            ("01 vs, 02 vs", "01", "01", vec![]),
            ("01 v, 02 vs", "01", "01", vec![]),
        ] {
            let goes: Vec<BandName> = goes.split_whitespace().map(name).collect();
            assert_eq!(plan(archive, asked), (goes, stays), "{archive}: {asked}");
        }
    }

    #[test]
    fn only_what_matters_is_looked_at() {
        let ask = |text: &str, asked: &str| match decide(&rows(text), &named(asked)) {
            Decision::Ask(band) => Some(band),
            Decision::Plan(_) => None,
        };
        assert_eq!(ask("01 v?, 02 v?, 03 v?", "01"), Some(name("03")));
        assert_eq!(ask("01 v?, 02 v?, 03 v!", "01"), Some(name("02")));
        assert_eq!(ask("01 v?, 02 v?, 03 v", "01"), None);
        // Neither for what is needed, nor for what is not there.
        assert_eq!(ask("01 v?, 01-02 v?, 03 v?", "01"), None);
        let Decision::Plan(plan) = decide(&rows("01 v?"), &named("02")) else { panic!() };
        assert_eq!((plan.go.len(), plan.absent), (0, named("02")));
    }

    #[test]
    fn what_makes_a_band_goes_first() {
        for (object, stage) in [
            ("HEAD", Stage::Head),
            ("TAIL", Stage::Tail),
            ("TAIL.sig", Stage::TailSig),
            ("00000/000000000-0.sha256", Stage::Lists),
            ("00000/000000000-0.sha256.sig", Stage::Lists),
            ("00000/000000000.mtree.gz.gpg", Stage::Lists),
            ("00000/000000000.tar.gz", Stage::Rest),
            ("00000/000000000-0.rs0", Stage::Rest),
            ("00000/000000000.toc.gz", Stage::Rest),
            ("RECOVER.txt", Stage::Rest),
        ] {
            assert_eq!(Stage::of(&ObjectName::parse(object).unwrap()), stage, "{object}");
        }
        assert!(Stage::ALL.is_sorted());
    }
}
