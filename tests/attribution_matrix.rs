//! What somebody puts into the store before a backup, in each situation that the backup may be in:
//! nothing of the user's tree is left out of a run that says 0, and none of it stops cron for good.

use std::fs;

use crate::attribution::{Case, cut};
use crate::util::gpg::KEY;
use crate::util::run::Done;
use crate::util::small::CONTENTS;
use crate::util::snapshot::{assert_same, take};

/// What somebody does who can write to the store and has the public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Attack {
    /// Puts a full band there, newer than all, and complete.
    Plant,
    /// The same without TAIL.
    PlantUnfinished,
    /// The same that is not encrypted where the others are.
    PlantPlain,
    /// A band with the id of the user's newest.
    CopyId,
    /// Adds an index to the user's unfinished band, not encrypted.
    AddPlain,
    /// The same, encrypted to the public key.
    AddSealed,
    /// Takes TAIL of the newest band away.
    RemoveTail,
    /// Takes all of the user's bands away, and puts one there.
    HideAll,
    /// Puts a band there, and the user looks at it with every reader.
    LookFirst,
}

/// What the backup goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Knows {
    /// The journal of the host that has made the bands.
    Journal,
    /// Nothing: a new host, or an empty home.
    None,
    /// Nothing but a key whose signatures count.
    SignedBy,
    /// A cache that another user left there.
    RootsCache,
}

use Attack::*;
use Knows::*;

const ATTACKS: [Attack; 9] = [
    Plant,
    PlantUnfinished,
    PlantPlain,
    CopyId,
    AddPlain,
    AddSealed,
    RemoveTail,
    HideAll,
    LookFirst,
];

/// The status of the first run's diff: 2 where it has to be asked what is meant.
fn expected(attack: Attack, knows: Knows, sealed: bool) -> i32 {
    match (knows, attack) {
        // Not believed, whatever the archive holds.
        (RootsCache, _) => 2,
        // Taken in as it is, which is said; what is continued lacks what lies before its last path.
        (None, Plant | CopyId | LookFirst) => 0,
        (None, PlantPlain) => i32::from(sealed),
        (None, HideAll) => 0,
        (None, _) => 1,
        (Journal, HideAll) => 2,
        (SignedBy, HideAll) => 1,
        // Own bands are as they were, but what lies before the last path of the one that goes on
        // has changed.
        (_, _) => 1,
    }
}

/// A full band that somebody makes of another tree, as if it were the user's.
fn plant(case: &Case, pack: &str) {
    let line = format!(
        "s=$(dura-scan src | grep '^#source'); dura-scan evil | sed \"s|^#source .*|$s|\" | dura-index -q diff --full archive | dura-pack -q -C evil {pack} | dura-seal {} | dura-push --plain archive",
        case.seal
    );
    case.shell(&line, "eve").ok();
}

impl Attack {
    fn is_done_to(self, case: &mut Case) {
        let seal = std::mem::take(&mut case.seal);
        let encrypted = if seal.contains("-r ") { format!("-r {KEY}") } else { String::new() };
        let newest = case.bands().pop().unwrap();
        match self {
            Plant | PlantUnfinished | LookFirst => {
                case.seal = encrypted;
                plant(case, "");
            }
            PlantPlain => plant(case, ""),
            CopyId => {
                let head = case.dir.join("archive").join(&newest).join("HEAD");
                let head = fs::read_to_string(head).unwrap();
                let id = head.lines().find_map(|line| line.strip_prefix("id: ")).unwrap();
                case.seal = encrypted;
                plant(case, &format!("--id {id}"));
            }
            AddPlain | AddSealed => {
                cut(&case.dir, &newest);
                let seal = if self == AddPlain { "" } else { encrypted.as_str() };
                let line = format!(
                    "s=$(dura-scan src | grep '^#source'); dura-scan evil | sed \"s|^#source .*|$s|\" | dura-index -q diff archive | dura-pack -q -C evil | dura-seal {seal} | dura-push -q --plain --unsigned archive"
                );
                assert_eq!(case.shell(&line, "eve").run().code, 1);
                cut(&case.dir, &newest);
            }
            RemoveTail => cut(&case.dir, &newest),
            HideAll => {
                for band in case.bands() {
                    fs::remove_dir_all(case.dir.join("archive").join(band)).unwrap();
                }
                case.seal = encrypted;
                plant(case, "");
            }
        }
        if self == PlantUnfinished {
            cut(&case.dir, &case.bands().pop().unwrap());
        }
        case.seal = seal;
    }
}

/// The band whose TAIL is the newest: that of the last run.
fn last(case: &Case) -> Option<String> {
    let time = |band: &String| {
        let tail = fs::metadata(case.dir.join("archive").join(band).join("TAIL")).ok()?;
        tail.modified().ok()
    };
    case.bands().into_iter().filter(|band| time(band).is_some()).max_by_key(time)
}

/// That band restores to the user's tree, after a run that says that all is there.
#[track_caller]
fn holds_all(case: &Case, what: &str, run: &Done) {
    let band = last(case).expect("a band that is complete");
    let line =
        format!("rm -rf out; mkdir out; dura-restore -q --band {band} archive | tar xpf - -C out");
    let done = case.shell(&line, "reader").stages();
    let what = format!("{what}: {band}: not all is there\n{}\n{}", run.report(), done.report());
    // Plain objects that were put into an encrypted band stay there, and are told.
    let told = done.stderr.contains("not encrypted, though the band is");
    assert_eq!(done.stages[0], i32::from(told), "{what}");
    let (was, is) = (take(&case.dir.join("src")), take(&case.dir.join("out")));
    assert_same(&what, &was, &is, CONTENTS);
}

/// The run of a night, in its situation.
fn night(case: &Case, knows: Knows, more: &str) -> Done {
    let options = if knows == SignedBy { format!("--signed-by {KEY}") } else { String::new() };
    case.backup_with(&format!("{options} {more}"))
}

fn one(attack: Attack, knows: Knows, sealed: bool) {
    let what = format!("{attack:?}, {knows:?}, {}", if sealed { "sealed" } else { "plain" });
    let mut case = Case::new(sealed);
    if knows == SignedBy {
        case.seal += &format!(" --sign {KEY}");
    }
    case.backup(0);
    case.change("a");
    case.backup(0);
    attack.is_done_to(&mut case);
    if attack == LookFirst {
        for reader in ["index ls", "index list", "index find", "verify", "restore", "index bands"] {
            let pattern = if reader.ends_with("find") { "file" } else { "" };
            case.shell(&format!("dura-{reader} archive {pattern}"), "me").run();
        }
    }
    match knows {
        None | SignedBy => fs::remove_dir_all(case.dir.join("me")).unwrap(),
        RootsCache => {
            case.shell("chmod 777 me/cache/dura", "me").ok();
        }
        Journal => {}
    }
    case.change("new");
    let first = night(&case, knows, "");
    assert_eq!(first.stages[1], expected(attack, knows, sealed), "{what}\n{}", first.report());
    let is_good = |done: &Done| done.stages.iter().all(|code| *code == 0);
    if is_good(&first) {
        holds_all(&case, &what, &first);
    }
    // What has to be asked is answered as the message says; nothing else is needed.
    let more = match (first.stages[1], knows) {
        (2, RootsCache) => {
            first.tells("you must own the cache");
            case.shell("chmod 700 me/cache/dura", "me").ok();
            if attack == HideAll { "--full" } else { "" }
        }
        (2, _) => {
            first.tells("--full");
            "--full"
        }
        _ => "",
    };
    let second = night(&case, knows, more);
    assert!(second.stages[1] < 2, "{what}\n{}", second.report());
    if is_good(&second) {
        holds_all(&case, &what, &second);
    }
    case.change("newer");
    let third = night(&case, knows, "");
    assert!(third.stages[1] < 2, "{what}\n{}", third.report());
    holds_all(&case, &what, &third);
}

#[test]
fn of_plain_archives() {
    for knows in [Journal, None, SignedBy, RootsCache] {
        ATTACKS.into_iter().for_each(|attack| one(attack, knows, false));
    }
}

#[test]
fn of_sealed_archives_with_a_journal() {
    ATTACKS.into_iter().for_each(|attack| one(attack, Journal, true));
}

#[test]
fn of_sealed_archives_on_a_new_host() {
    ATTACKS.into_iter().for_each(|attack| one(attack, None, true));
}

#[test]
fn of_sealed_archives_with_signatures() {
    ATTACKS.into_iter().for_each(|attack| one(attack, SignedBy, true));
}

#[test]
fn of_sealed_archives_with_a_cache_of_another() {
    ATTACKS.into_iter().for_each(|attack| one(attack, RootsCache, true));
}
