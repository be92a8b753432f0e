//! What a backup builds on: what this host's journal vouches for. Bands that others put into the
//! store are named and passed over, and nothing of the tree is left out for them.

use std::fs;
use std::path::{Path, PathBuf};

use crate::util::gpg::{KEY, OTHER, home};
use crate::util::run::{Done, Shell, dura, scratch};
use crate::util::small::CONTENTS;
use crate::util::snapshot::{assert_same, take};

/// A directory with a tree, and a home for who makes backups of it.
pub(crate) struct Case {
    pub(crate) dir: PathBuf,
    pub(crate) seal: String,
}

impl Case {
    pub(crate) fn new(sealed: bool) -> Case {
        let dir = scratch("attribution");
        for source in ["src", "evil"] {
            fs::create_dir(dir.join(source)).unwrap();
            fs::write(dir.join(source).join("file"), source).unwrap();
        }
        fs::write(dir.join("evil/zzz"), "last").unwrap();
        let seal = if sealed { format!("-r {KEY}") } else { String::new() };
        Case { dir, seal }
    }

    /// A shell of the user with this name: each has a home of their own.
    pub(crate) fn shell(&self, line: &str, user: &str) -> Shell {
        home()
            .with(dura(line))
            .dir(&self.dir)
            .var("XDG_CACHE_HOME", self.dir.join(user).join("cache"))
            .var("XDG_STATE_HOME", self.dir.join(user).join("state"))
    }

    pub(crate) fn backup_with(&self, diff: &str) -> Done {
        let line = format!(
            "dura-scan src | dura-index diff {diff} archive | dura-pack | dura-seal {} | dura-push archive",
            self.seal
        );
        self.shell(&line, "me").stages()
    }

    /// The user's backup; diff ends with this status, and nothing else is wrong.
    #[track_caller]
    pub(crate) fn backup(&self, diff: i32) -> Done {
        let done = self.backup_with("");
        assert_eq!(done.stages, [0, diff, 0, 0, 0], "{}", done.report());
        done
    }

    /// The same where the band that is continued lacks what changed meanwhile.
    #[track_caller]
    fn backup_behind(&self) -> Done {
        let done = self.backup_with("");
        assert_eq!(done.stages, [0, 1, 0, 0, 1], "{}", done.report());
        done
    }

    /// A new file, which the next backup must have.
    pub(crate) fn change(&self, name: &str) {
        fs::write(self.dir.join("src").join(name), name).unwrap();
    }

    /// A band that somebody else makes, of another tree, with these options.
    pub(crate) fn plant(&self, diff: &str, pack: &str) {
        let line = format!(
            "dura-scan evil | sed 's/^#source .*/#source x evil/' | dura-index -q diff {diff} archive | dura-pack -q -C evil {pack} | dura-seal {} | dura-push --plain archive",
            self.seal
        );
        self.shell(&line, "eve").ok();
    }

    pub(crate) fn bands(&self) -> Vec<String> {
        let list = fs::read_dir(self.dir.join("archive")).into_iter().flatten();
        let mut names: Vec<String> =
            list.map(|band| band.unwrap().file_name().into_string().unwrap()).collect();
        names.sort_by_key(|name| name[name.len() - 16..].to_owned());
        names
    }

    /// What the band restores is the user's tree.
    #[track_caller]
    pub(crate) fn holds_all(&self, band: &str) {
        let line = format!(
            "rm -rf out; mkdir out; dura-restore -q --band {band} archive | tar xpf - -C out"
        );
        self.shell(&line, "reader").ok();
        let (was, is) = (take(&self.dir.join("src")), take(&self.dir.join("out")));
        assert_same(band, &was, &is, CONTENTS);
    }

    /// The newest band that is this user's own.
    pub(crate) fn own(&self, before: &[String]) -> String {
        let new: Vec<String> =
            self.bands().into_iter().filter(|band| !before.contains(band)).collect();
        assert_eq!(new.len(), 1, "{new:?}");
        new[0].clone()
    }
}

pub(crate) fn cut(dir: &Path, band: &str) {
    fs::remove_file(dir.join("archive").join(band).join("TAIL")).unwrap();
}

/// Own bands are built on without a word; one that was cut is continued.
#[test]
fn own_bands_are_built_on() {
    for sealed in [false, true] {
        let case = Case::new(sealed);
        case.backup(0);
        for name in ["a", "b"] {
            case.change(name);
            let before = case.bands();
            let done = case.backup(0);
            assert!(!done.stderr.contains("journal"), "{}", done.report());
            case.holds_all(&case.own(&before));
        }
        let newest = case.bands().pop().unwrap();
        cut(&case.dir, &newest);
        case.change("c");
        // The directory and its new file lie before the last entry that the band has.
        case.backup_behind().tells(&format!("continuing {newest}"));
        assert_eq!(case.bands().len(), 3);
    }
}

/// A full band of somebody else, newer than all, also after each reader has looked at it.
#[test]
fn a_band_that_was_planted_is_passed_over() {
    for (sealed, looked) in [(false, false), (false, true), (true, true)] {
        let case = Case::new(sealed);
        case.backup(0);
        case.plant("--full", "");
        let planted = case.bands().pop().unwrap();
        if looked {
            for line in [
                "dura-index ls archive",
                "dura-index list archive",
                "dura-verify archive",
                "dura-restore archive",
            ] {
                case.shell(line, "me").ok();
            }
        }
        case.change("new");
        let before = case.bands();
        let done = case.backup(1);
        done.tells(&format!("{planted}: this host's journal does not know it: ignored"));
        let own = case.own(&before);
        assert!(own.starts_with(&before[0]), "{own} stands on the user's own band");
        case.holds_all(&own);
        // Own bands are newer now, whatever becomes of it.
        cut(&case.dir, &planted);
        case.change("newer");
        let before = case.bands();
        case.backup(0);
        case.holds_all(&case.own(&before));
        // Asked for by name it is built on.
        let done = case.backup_with(&format!("--no-resume --parent {planted}"));
        assert_eq!(done.stages, [0; 5], "{}", done.report());
    }
}

/// A band with the id of an own one, and one that is named in the year 9999.
#[test]
fn ids_and_names_vouch_for_nothing() {
    let case = Case::new(false);
    case.backup(0);
    let own = case.bands().pop().unwrap();
    let head = fs::read_to_string(case.dir.join("archive").join(&own).join("HEAD")).unwrap();
    let id = head.lines().find_map(|line| line.strip_prefix("id: ")).unwrap().to_owned();
    case.plant("--full", &format!("--id {id} --band 99990101T000000Z"));
    for name in ["a", "b"] {
        case.change(name);
        let before = case.bands();
        case.backup(1).tells("99990101T000000Z: ");
        let band = case.own(&before);
        assert!(band.starts_with(&own) && !band.contains("9999"), "{band}");
        case.holds_all(&band);
    }
    // One whose ancestors are nowhere.
    let orphan = case.dir.join("archive/20200101T000000Z-99980101T000000Z");
    fs::create_dir(&orphan).unwrap();
    fs::write(orphan.join("HEAD"), &head).unwrap();
    case.change("c");
    let before = case.bands();
    case.backup(1).tells("its HEAD is that of band");
    case.holds_all(&case.own(&before));
    fs::remove_dir_all(&orphan).unwrap();
    // On a new host it is not taken in either.
    fs::remove_dir_all(case.dir.join("me")).unwrap();
    let before = case.bands();
    let done = case.backup_with("");
    assert_eq!(done.stages[1], 1, "{}", done.report());
    assert!(!case.own(&before).contains("9999"));
}

/// An index that somebody adds to the user's own unfinished band, to let the rest be left out.
#[test]
fn an_index_that_was_added_is_not_built_on() {
    for sealed in [false, true] {
        let case = Case::new(sealed);
        case.backup(0);
        let own = case.bands().pop().unwrap();
        cut(&case.dir, &own);
        // Eve continues it behind its last path, with a plain index.
        let line = "s=$(dura-scan src | grep '^#source'); dura-scan evil | sed \"s|^#source .*|$s|\" | dura-index -q diff archive | dura-pack -q -C evil | dura-push -q --plain archive";
        assert_eq!(case.shell(line, "eve").run().code, 1);
        cut(&case.dir, &own);
        case.change("m");
        let done = case.backup_behind();
        match sealed {
            true => done.tells("000000032.mtree.gz: not encrypted, though the band is: left out"),
            false => {
                done.tells(&format!("{own}: this host's journal does not know index 000000032"))
            }
        };
        let out =
            case.shell(&format!("dura-restore -q --band {own} archive | tar tf -"), "reader").run();
        assert!(out.text().contains("./m\n"), "{}", out.report());
    }
}

/// All own bands are gone, and another is there: nothing is built on that, unless it is meant so.
#[test]
fn an_archive_without_own_bands_ends_the_run() {
    let case = Case::new(false);
    case.backup(0);
    case.backup(0);
    for band in case.bands() {
        fs::remove_dir_all(case.dir.join("archive").join(band)).unwrap();
    }
    let done = case.backup_with("");
    assert_eq!(done.stages[1], 2, "{}", done.report());
    done.tells("holds no band, but this host has stored bands there").tells("--full");
    case.plant("", "");
    let done = case.backup_with("");
    assert_eq!(done.stages[1], 2, "{}", done.report());
    done.tells("its journal knows none of the present bands");
    let before = case.bands();
    let done = case.backup_with("--full");
    assert_eq!(done.stages, [0; 5], "{}", done.report());
    case.holds_all(&case.own(&before));
}

/// The newest bands are taken away: the next run tells, once, and builds on what is left.
#[test]
fn bands_that_were_taken_away() {
    let case = Case::new(false);
    (0..3).for_each(|_| _ = case.backup(0));
    let bands = case.bands();
    let gone = |band: &str| fs::remove_dir_all(case.dir.join("archive").join(band)).unwrap();
    gone(&bands[2]);
    gone(&bands[1]);
    case.change("new");
    let before = case.bands();
    let done = case.backup(1);
    done.tells(&format!("{}: the last run built on it, but it no longer exists", bands[1]));
    case.holds_all(&case.own(&before));
    case.backup(0);
}

/// A new host, or a container whose home is empty each time, takes in what is there, and says so.
/// The next run of a home that lasts knows it.
#[test]
fn a_new_host_takes_in_what_is_there() {
    let case = Case::new(false);
    case.backup(0);
    for _ in 0..2 {
        fs::remove_dir_all(case.dir.join("me")).unwrap();
        case.backup(0).tells("this host does not know it yet");
    }
    assert!(!case.backup(0).stderr.contains("this host does not know it"));
    // Now another's band is not taken in any more.
    case.plant("--full", "");
    case.backup(1);
}

/// The archive on another disk, under another name: its bands are known by their ids.
#[test]
fn a_copy_of_the_archive_is_known() {
    let case = Case::new(false);
    case.backup(0);
    let line = "cp -a archive elsewhere; dura-scan src | dura-index diff elsewhere | dura-pack | dura-push elsewhere";
    let done = case.shell(line, "me").stages();
    assert_eq!(done.stages, [0; 4], "{}", done.report());
    assert!(!done.stderr.contains("this host does not know it"), "{}", done.report());
}

/// An older journal, as a restore of the home brings it back: the newest bands are not known, and
/// the backup goes on from the newest that is.
#[test]
fn an_older_journal() {
    let case = Case::new(false);
    case.backup(0);
    case.backup(0);
    case.shell("cp -a me/state older", "me").ok();
    case.change("a");
    case.backup(0);
    case.shell("rm -r me/state; mv older me/state", "me").ok();
    let before = case.bands();
    case.change("b");
    case.backup(1).tells("ignored");
    let own = case.own(&before);
    assert!(own.starts_with(&before[1]) && !own.starts_with(&before[2]), "{own}");
    case.holds_all(&own);
    let before = case.bands();
    case.backup_with("");
    case.holds_all(&case.own(&before));
}

/// What an earlier release kept counts as this host's own.
#[test]
fn the_first_run_after_an_upgrade() {
    let case = Case::new(true);
    case.backup(0);
    let newest = case.bands().pop().unwrap();
    let line = format!(
        "c=me/cache/dura; mkdir $c/0123456789abcdef0123456789abcdef; mv $c/*/{newest} $c/0123456789abcdef0123456789abcdef; rm -r me/state"
    );
    case.shell(&line, "me").ok();
    cut(&case.dir, &newest);
    let done = case.backup(0);
    done.tells(&format!("continuing {newest}"));
    assert!(!done.stderr.contains("this host does not know it"), "{}", done.report());
    case.holds_all(&newest);
}

/// Without a journal all is built on, and that is said.
#[test]
fn without_a_journal() {
    let case = Case::new(false);
    case.backup(0);
    case.plant("--full --no-cache", "");
    let done = case.backup_with("--no-cache --parent latest");
    done.tells("without a journal: building on whatever the archive holds");
    let done = case.shell("dura-scan src | dura-index diff --must-exist new", "me").run();
    assert_eq!(done.code, 2, "{}", done.report());
    let done = case.shell("dura-scan src | dura-pack | dura-push --must-exist new", "me").run();
    assert_eq!(done.code, 2, "{}", done.report());
    assert!(!case.dir.join("new").exists());
    done.tells("holds no band, and --must-exist was given");
}

/// Two hosts, one archive: each builds on its own bands, and names newer ones of the other.
#[test]
fn two_hosts_in_one_archive() {
    let case = Case::new(false);
    case.backup(0);
    let second = |diff: &str| {
        let line = format!(
            "dura-scan --host second evil | dura-index diff {diff} archive | dura-pack | dura-push archive"
        );
        case.shell(&line, "you").stages()
    };
    let first = second("--full");
    assert_eq!(first.stages, [0; 4], "{}", first.report());
    let mut newest = case.bands();
    assert_eq!(newest.len(), 2);
    for name in ["a", "b"] {
        case.change(name);
        let before = case.bands();
        case.backup(1).tells(&format!("{}: this host's journal does not know it", newest[1]));
        let own = case.own(&before);
        assert!(own.starts_with(&newest[0]), "{own} on {}", newest[0]);
        case.holds_all(&own);
        let before = case.bands();
        fs::write(case.dir.join("evil").join(name), name).unwrap();
        let done = second("");
        assert_eq!(done.stages, [0, 1, 0, 0], "{}", done.report());
        done.tells(&format!("{own}: this host's journal does not know it"));
        let other = case.own(&before);
        assert!(other.starts_with(&newest[1]), "{other} on {}", newest[1]);
        newest = vec![own, other];
    }
}

/// With sudo, and with another cache, another journal decides: it takes the archive in once, and
/// then knows it.
#[test]
fn another_user_or_cache_is_a_new_host_once() {
    let case = Case::new(false);
    case.backup(0);
    let with_cache = "dura-scan src | dura-index diff --cache own archive | dura-pack --cache own | dura-push --cache own archive";
    let usual = "dura-scan src | dura-index diff archive | dura-pack | dura-push archive";
    for (line, user) in [(usual, "root"), (with_cache, "me")] {
        let done = case.shell(line, user).stages();
        assert_eq!(done.stages, [0; 4], "{}", done.report());
        done.tells("archive: this host does not know it yet");
        let done = case.shell(line, user).stages();
        assert_eq!(done.stages, [0; 4], "{}", done.report());
        assert!(!done.stderr.contains("this host does not know it"), "{}", done.report());
        case.plant("--full", "");
        let done = case.shell(line, user).stages();
        assert_eq!(done.stages, [0, 1, 0, 0], "{}", done.report());
        done.tells("this host's journal does not know it: ignored");
    }
    assert!(case.dir.join("own/journal").is_dir());
}

/// A spool that another host sends on: the host that made the bands knows them by their ids.
#[test]
fn a_spool_that_another_host_sends_on() {
    let case = Case::new(true);
    let spool = format!("dura-scan src | dura-pack | dura-seal {} | dura-push spool", case.seal);
    let done = case.shell(&spool, "me").stages();
    assert_eq!(done.stages, [0; 4], "{}", done.report());
    case.shell("dura-push --from spool --move archive", "relay").ok();
    case.change("a");
    let before = case.bands();
    let done = case.backup(0);
    assert!(!done.stderr.contains("this host does not know it"), "{}", done.report());
    let own = case.own(&before);
    assert!(own.starts_with(&before[0]), "{own}");
    case.holds_all(&own);
}

/// Another signing key: the journal vouches, not a key.
#[test]
fn the_signing_key_changed() {
    let mut case = Case::new(false);
    for key in [KEY, OTHER, KEY] {
        case.seal = format!("--sign {key}");
        case.change(key);
        let before = case.bands();
        let done = case.backup(0);
        assert!(!done.stderr.contains("ignored"), "{}", done.report());
        let own = case.own(&before);
        before.last().into_iter().for_each(|below| assert!(own.starts_with(below), "{own}"));
        case.holds_all(&own);
    }
}

/// A first backup that takes many nights goes on in each.
#[test]
fn a_first_backup_that_is_unfinished_for_weeks() {
    let case = Case::new(false);
    let noise = "for n in {10..33}; do head -c 300000 /dev/urandom > src/$n; done; sleep 2.1";
    case.shell(noise, "me").ok();
    // So much as goes over the line in a night.
    let night = "dura-scan src | dura-index diff archive | dura-pack --block-size 100k | head -c 2400000 | dura-push archive";
    let mut nights = 0;
    loop {
        nights += 1;
        assert!(nights < 30, "it does not end");
        let done = case.shell(night, "me").stages();
        assert_eq!(done.stages[..2], [0, 0], "{}", done.report());
        for word in ["ignored", "does not know"] {
            assert!(!done.stderr.contains(word), "night {nights}\n{}", done.report());
        }
        assert_eq!(case.bands().len(), 1);
        if done.stages[4] == 0 {
            break;
        }
    }
    assert!(nights > 3, "{nights} nights");
    case.holds_all(&case.bands()[0]);
}

/// What dura-push has stored is known from the first band on: the archive that is empty then is
/// away.
#[test]
fn an_archive_that_is_away_after_the_first_band() {
    for (push, told) in [("", true), ("--no-cache", false), ("--dry-run", false)] {
        let case = Case::new(false);
        fs::create_dir_all(case.dir.join("disk/archive")).unwrap();
        std::os::unix::fs::symlink("disk", case.dir.join("link")).unwrap();
        let line = format!("dura-scan src | dura-pack | dura-push {push} link/archive");
        assert_eq!(case.shell(&line, "me").stages().stages, [0; 3]);
        // Not mounted, so that not even its directory is there.
        fs::remove_dir_all(case.dir.join("disk/archive")).unwrap();
        let done = case.shell("dura-scan src | dura-index diff link/archive", "me").run();
        assert_eq!(done.code, if told { 2 } else { 0 }, "{push} {}", done.report());
        if told {
            done.tells("holds no band, but this host has stored bands there")
                .tells("check that the disk is mounted");
            let line = "dura-scan src | dura-index diff --full link/archive | dura-pack | dura-push link/archive";
            case.shell(line, "me").ok();
        }
    }
}
