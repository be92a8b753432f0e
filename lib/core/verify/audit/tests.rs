//! What is told of bands by their names.

use super::*;
use crate::format::group::GroupMember;

fn name(text: &str) -> ObjectName {
    ObjectName::parse(text).unwrap_or_else(|| panic!("{text}"))
}

/// `N.tar`, `N.mtree`, `N.toc`, `N-C.rs0` with numbers of any length, or a name as it is; `!`
/// before it if it has 0 bytes.
fn objects(names: &str) -> ObjectSizes {
    let object = |word: &str| {
        let (size, word) = word.strip_prefix('!').map_or((9, word), |word| (0, word));
        let Some((number, rest)) =
            word.split_once(['.', '-']).filter(|(number, _)| number.parse::<u32>().is_ok())
        else {
            return (name(word), size);
        };
        let end = if rest.starts_with("mtree") || rest.starts_with("toc") { ".gz" } else { "" };
        let between = &word[number.len()..][..1];
        let number: u32 = number.parse().unwrap();
        (name(&format!("{:05}/{number:09}{between}{rest}{end}", number / FOLDER)), size)
    };
    names.split_whitespace().map(object).map(|(name, size)| (place(&name), (name, size))).collect()
}

fn list(names: &str) -> Arc<List> {
    let members: Vec<GroupMember> =
        objects(names).values().map(|(name, _)| GroupMember::of(*name, b"x")).collect();
    let (band, id) =
        ("20261101T020000Z".parse().unwrap(), "00112233445566778899aabbccddeeff".parse().unwrap());
    Arc::new(List {
        band,
        id,
        name: (members[0].name.number().unwrap(), 0),
        added: 0,
        slots: 32,
        parity: 0,
        members,
    })
}

struct Case {
    known: BandOverview,
}

impl Case {
    fn new() -> Case {
        let band = "20261101T020000Z".parse().unwrap();
        let known = BandOverview {
            band,
            ends: None,
            complete: false,
            under_way: false,
            covered: false,
            counted: None,
            lost: Vec::new(),
            encrypted: false,
        };
        Case { known }
    }

    fn complete(mut self, last: u32, toc: u32) -> Case {
        self.known.ends = Some((last, toc));
        self.known.complete = true;
        self
    }

    /// What is reported of one folder, or of folders 0 and 1: `kind object`, with `(…)` if it is no
    /// fault.
    fn told(&self, folders: &[(&str, &[&str])]) -> Vec<String> {
        let folders = folders.iter().map(|(names, lists)| {
            (*names, lists.iter().map(|names| list(names)).collect::<Vec<_>>())
        });
        self.told_of(&folders.collect::<Vec<_>>()).0
    }

    fn told_of(&self, folders: &[(&str, Vec<Arc<List>>)]) -> (Vec<String>, UnlistedFound) {
        let mut audit = Audit::new(self.known.clone());
        let mut found = Vec::new();
        for (folder, (names, lists)) in folders.iter().enumerate() {
            found.extend(audit.folder(folder as u32, &objects(names), lists));
        }
        let (last, unlisted) = audit.finish();
        found.extend(last);
        let line = |finding: &Finding| {
            let name = finding.subject.to_string();
            let name = name.split_once('/').unwrap().1.trim_start_matches("00000/00000").to_owned();
            let line = format!("{} {name}", finding.kind.word());
            if finding.bad { line } else { format!("({line})") }
        };
        (found.iter().map(line).collect(), unlisted)
    }
}

const WHOLE: &str = "HEAD 0.tar 0.mtree 1.tar 1.mtree 1.toc";

#[test]
fn a_whole_band_has_nothing_to_tell() {
    let whole = Case::new().complete(1, 1);
    assert_eq!(whole.told(&[(WHOLE, &[WHOLE])]), [""; 0]);
    let far = "9999.tar 9999.mtree";
    let near = "10000.tar 10000.mtree 10000.toc";
    let whole = Case::new().complete(10_000, 10_000);
    let start = "HEAD 0.tar 0.mtree";
    let lists = [start, &format!("{far} {near}")];
    let gap = "missing 0001.mtree.gz";
    assert_eq!(whole.told(&[(&format!("{start} {far}"), &lists), (near, &[])]), [gap]);
    assert_eq!(whole.told(&[(&format!("{start} {far}"), &lists[..1]), (near, &[])]).len(), 5);
}

#[test]
fn what_no_list_names() {
    let whole = Case::new().complete(1, 1);
    assert_eq!(
        whole.told(&[(WHOLE, &["HEAD 0.tar 0.mtree", "1.mtree 1.toc"])]),
        ["unlisted 0001.tar"]
    );
    let mut under_way = Case::new();
    under_way.known.under_way = true;
    assert_eq!(
        under_way.told(&[("HEAD 0.tar 0.mtree 1.tar", &["HEAD 0.tar 0.mtree"])]),
        ["(unlisted 0001.tar)"]
    );
    // A list that is gone leaves its parity, or its signature, and objects that need it.
    let names = format!("{WHOLE} 0-0.rs0 0-0.rs1 1-0.rs0 1-1.sha256.sig");
    assert_eq!(
        whole.told(&[(&names, &["HEAD 0.tar 0.mtree 1.mtree 1.toc"])]),
        ["unlisted 0001.tar", "missing 0001-0.sha256", "missing 0001-1.sha256"]
    );
    // Parity that arrived before its list, of objects that another list has.
    assert_eq!(
        whole.told(&[(&names, &[WHOLE])]),
        ["(superseded 0001-0.rs0)", "(superseded 0001-1.sha256.sig)"]
    );
}

#[test]
fn what_should_be_there() {
    let whole = Case::new().complete(1, 1);
    assert_eq!(
        whole.told(&[("HEAD 0.tar 0.mtree", &["HEAD 0.tar 0.mtree"])]),
        ["missing 0001.toc.gz", "missing 0001.mtree.gz"]
    );
    assert_eq!(
        whole.told(&[("HEAD !0.tar 0.mtree 1.mtree 1.toc", &[WHOLE])]),
        [""; 0],
        "told with the group"
    );
    let started = Case::new();
    assert_eq!(started.told(&[(WHOLE, &[WHOLE])]), ["missing TAIL"]);
    assert_eq!(started.told(&[("HEAD 0.tar 0.mtree", &["HEAD 0.tar 0.mtree"])]), [""; 0]);
    assert_eq!(
        started.told(&[("HEAD 0.tar 0.mtree !1.tar", &["HEAD 0.tar 0.mtree"])]),
        ["(missing 0001.tar)"]
    );
}

/// A list of the run that began at `run`, for what runs before it had left.
fn late(run: u32, names: &str) -> Arc<List> {
    let list = list(names);
    Arc::new(List { name: (run, 0), ..(*list).clone() })
}

#[test]
fn what_a_cut_leaves() {
    // Cut before the first index, and continued.
    let whole = Case::new().complete(32, 32);
    let end = "32.tar 32.mtree 32.toc";
    let all = format!("HEAD {end}");
    assert_eq!(whole.told(&[(&all, &[end])]), ["unlisted HEAD"]);
    let both = vec![list(end), late(32, "HEAD")];
    assert_eq!(whole.told_of(&[(&all, both)]).0, [""; 0]);
    // What arrived out of order: 1 never did, so 2 does not count, and is listed late all the same.
    let all = format!("HEAD 0.tar 0.mtree 2.tar 2.mtree {end}");
    let lists = vec![list("HEAD 0.tar 0.mtree"), list(end), late(32, "2.tar 2.mtree")];
    assert_eq!(whole.told_of(&[(&all, lists)]).0, [""; 0]);
    // Objects of one folder that a list in the next one names.
    let whole = Case::new().complete(10_016, 10_016);
    let start = "HEAD 0.tar 0.mtree";
    let end = "10016.tar 10016.mtree 10016.toc";
    let first = format!("{start} 9999.tar");
    let lists = vec![list(end), late(10_016, start)];
    assert_eq!(whole.told_of(&[(&first, vec![]), (end, lists)]).0, ["(superseded 9999.tar)"]);
    let (told, unlisted) = whole.told_of(&[(&first, vec![]), (end, vec![list(end)])]);
    assert_eq!(told[1..], ["unlisted HEAD", "unlisted 0000.tar", "unlisted 0000.mtree.gz"]);
    assert!(unlisted.runs.len() == 1 && unlisted.runs[0].iter().all(|free| free.cut));
}

#[test]
fn what_is_listed_was_stored_after_all_before_it() {
    let whole = Case::new().complete(3, 3);
    let all = "HEAD 0.tar 0.mtree 1.tar 2.tar 2.mtree 3.tar 3.mtree 3.toc";
    let lists = ["HEAD 0.tar 0.mtree 1.tar", "2.tar 2.mtree 3.tar 3.mtree 3.toc"];
    assert_eq!(whole.told(&[(all, &lists)]), ["missing 0001.mtree.gz"]);
    // A part that is gone with its list.
    let parts = "HEAD 0.tar.000000 0.tar.000002 0.mtree 0.toc";
    let whole = Case::new().complete(0, 0);
    assert_eq!(whole.told(&[(parts, &[parts])]), ["missing 0000.tar.000001"]);
}

#[test]
fn an_unfinished_band_below_another() {
    let mut below = Case::new();
    let names = "HEAD 0.tar 0.mtree 1.tar 1.mtree";
    assert_eq!(
        below.told(&[(names, &["HEAD"])]).iter().filter(|it| !it.starts_with('(')).count(),
        0
    );
    below.known.covered = true;
    assert_eq!(below.told(&[(names, &["HEAD 0.tar 0.mtree 1.mtree"])]), ["unlisted 0001.tar"]);
    below.known.under_way = true;
    assert_eq!(below.told(&[(names, &["HEAD 0.tar 0.mtree 1.mtree"])]), ["(unlisted 0001.tar)"]);
}

#[test]
fn gaps_before_what_is_listed() {
    let band = |names: &str, lists: &[&str]| Case::new().complete(32, 32).told(&[(names, lists)]);
    let start = "HEAD 0.tar 0.mtree";
    let end = "32.tar 32.mtree 32.toc";
    // A run that continues the band begins at a multiple of 32; what was on its way before it
    // does not count.
    assert_eq!(band(&format!("{start} {end}"), &[start, end]), [""; 0]);
    assert_eq!(band(&format!("{start} 2.tar {end}"), &[start, end]), ["(superseded 0002.tar)"]);
    // But a list is stored only when all before it is.
    let three = "3.tar 3.mtree";
    assert_eq!(
        band(&format!("{start} {three} {end}"), &[start, three, end]),
        ["missing 0001.mtree.gz"]
    );
}

#[test]
fn links_tell_exactly() {
    let mut case = Case::new().complete(2, 2);
    let names = "HEAD 0.tar 0.mtree 1.tar 1.mtree 2.tar 2.mtree 2.toc";
    case.known.counted = Some(Counted {
        counted: vec![0..=0, 2..=2],
        superseded: vec![1..=1],
        ..Counted::default()
    });
    assert_eq!(
        case.told(&[(names, &[names])]),
        ["(superseded 0001.tar)", "(superseded 0001.mtree.gz)"]
    );
    case.known.counted =
        Some(Counted { counted: vec![0..=0, 2..=2], lost: vec![1..=1], ..Counted::default() });
    case.known.lost = vec![1..=1];
    assert_eq!(
        case.told(&[(&names.replace(" 1.mtree", ""), &[names])]),
        [""; 0],
        "told with the group"
    );
    assert_eq!(
        case.told(&[(&names.replace(" 1.mtree", ""), &[&names.replace(" 1.mtree", "")])]),
        ["missing 0001.mtree.gz"]
    );
}

/// A key object without its list goes to where its group begins, also when the list of a neighbour
/// is lost: objects of both are then one run. Runs are separated by `|`.
#[test]
fn where_key_objects_belong() {
    let shown = |free: &Free| {
        let name = free.name.to_string();
        let Some((_, own)) = name.split_once('/') else { return name };
        let (number, rest) = own.split_at(9);
        let number: u32 = number.parse().unwrap();
        format!("{number}{}", rest.replace(".key.gpg", "").replace(".mtree.gz", ".mtree"))
    };
    let notes = "RECOVER.txt recover.sh rsrepair.py rdpatch.py";
    let six = [
        // As lists say, a group has six objects.
        (
            &*format!("HEAD {notes} 0.tar 0.mtree 1.tar"),
            "0-0 0-1",
            &*format!("HEAD 0-0 {notes} 0-1 0.tar 0.mtree 1.tar"),
        ),
        ("rdpatch.py 0.tar 0.mtree", "0-1", "0-1 rdpatch.py 0.tar 0.mtree"),
        (
            "5.tar.000000 5.tar.000001 5.tar.000002 5.tar.000003 5.tar.000004 5.mtree",
            "5-0 5-1",
            "5-0 5.tar.000000 5.tar.000001 5.tar.000002 5.tar.000003 5.tar.000004 5-1 5.mtree",
        ),
    ];
    let unknown = [
        // The only group, with HEAD and notes or without.
        ("HEAD RECOVER.txt 0.tar 0.mtree", "0-0", "HEAD 0-0 RECOVER.txt 0.tar 0.mtree"),
        ("0.tar 0.mtree 1.tar 1.mtree", "0-0", "0-0 0.tar 0.mtree 1.tar 1.mtree"),
        // Two groups, and three.
        ("0.tar 0.mtree 1.tar 1.mtree", "0-0 1-0", "0-0 0.tar 0.mtree 1-0 1.tar 1.mtree"),
        (
            "HEAD 0.tar 0.mtree 1.mtree 2.tar 2.mtree 3.mtree",
            "0-0 1-0 3-0",
            "HEAD 0-0 0.tar 0.mtree 1-0 1.mtree 2.tar 2.mtree 3-0 3.mtree",
        ),
        // The first object of the group is lost, too: what comes next is of it.
        ("1.mtree 2.tar 2.mtree", "1-0", "1-0 1.mtree 2.tar 2.mtree"),
        ("4.tar 4.mtree 6.tar", "4-0 5-0", "4-0 4.tar 4.mtree 5-0 6.tar"),
        // Only the later one of two lists is lost.
        ("2.tar 2.mtree", "2-0", "2-0 2.tar 2.mtree"),
        // Several groups begin with one number: the first with its first part, the next behind.
        (
            "5.tar.000000 5.tar.000001 5.tar.000002 5.mtree",
            "5-0 5-1",
            "5-0 5.tar.000000 5-1 5.tar.000001 5.tar.000002 5.mtree",
        ),
        ("5.tar.000001 5.tar.000002 5.mtree", "5-1", "5-1 5.tar.000001 5.tar.000002 5.mtree"),
        (
            "5.tar.000000 5.tar.000001 5.mtree 6.mtree",
            "5-0 5-1 6-0",
            "5-0 5.tar.000000 5-1 5.tar.000001 5.mtree 6-0 6.mtree",
        ),
        // What is listed stands between: each key goes to the run that has its number.
        ("0.tar 0.mtree | 5.tar 5.mtree", "0-0 5-0", "0-0 0.tar 0.mtree | 5-0 5.tar 5.mtree"),
        ("0.tar 0.mtree | 5.tar 5.mtree", "3-0", "0.tar 0.mtree | 3-0 5.tar 5.mtree"),
        // Nothing else of its group is left.
        ("0.tar 0.mtree", "7-0", "0.tar 0.mtree | 7-0"),
        ("", "0-0", "0-0"),
    ];
    let all = six.into_iter().map(|case| (Some(6), case));
    for (slots, (runs, keys, wanted)) in all.chain(unknown.into_iter().map(|case| (None, case))) {
        let free = |name| Free { name, counts: true, cut: false };
        let run = |names: &str| objects(names).values().map(|(name, _)| free(*name)).collect();
        let mut got: Vec<Vec<Free>> =
            runs.split('|').map(run).filter(|run: &Vec<Free>| !run.is_empty()).collect();
        for key in keys.split(' ') {
            let key = format!("{key}.key.gpg");
            let key = objects(&key).into_values().next().unwrap().0;
            put_key(&mut got, free(key), slots);
        }
        let shown: Vec<String> =
            got.iter().map(|run| run.iter().map(&shown).collect::<Vec<_>>().join(" ")).collect();
        assert_eq!(shown.join(" | "), wanted, "{runs}, {keys}, {slots:?}");
    }
}
