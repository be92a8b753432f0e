//! Runs a case: the tree, its backups, and the comparison of every version.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{MetadataExt, lchown};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::tree::{apply, raw};
use crate::util::gpg::{self, KEY};
use crate::util::run::{Shell, USER, bare, dura, give, scratch};
use crate::util::snapshot::{Compare, EXACT, Snapshot, diff, take};

/// What must be in a version.
#[derive(Clone)]
struct Version {
    tree: Snapshot,
    /// Paths that were not looked at for this version and are as older ones have them.
    kept: BTreeSet<Vec<u8>>,
}

/// A band that is not complete yet.
struct Begun {
    name: String,
    /// How often anything had been changed when it was begun.
    changes: u32,
}

/// A case under way.
pub(super) struct Case {
    dir: PathBuf,
    changed: Instant,
    changes: u32,
    exclude: Vec<String>,
    /// The mask; none where all is looked at.
    only: Vec<String>,
    /// Whether an ordinary user does it all.
    user: bool,
    /// Whether any band is encrypted.
    sealed: bool,
    begun: Vec<Begun>,
    /// By band; none where only restore and recovery can be held against each other.
    versions: BTreeMap<String, Option<Version>>,
    /// Operations that were done, and that could not be done.
    pub(super) done: u32,
    pub(super) idle: u32,
}

/// Takes a version from the archive, on top of those before it and as a full band: both list and
/// restore the same.
const COPY: &str = r#"set -e
lines() { dura-index list -q "$@" | grep -v '^#version '; }
tar() { dura-restore -q "$@" || [ $? = 1 ]; }
lines --band "$BAND" "$ARCHIVE" >lines; tar --band "$BAND" "$ARCHIVE" >tar
# Cut off before anything was listed, it has no root.
grep -q '^[.] ' lines || exit 0
for full in '' '--full --no-resume'; do
    dura-index list -q --band "$BAND" "$ARCHIVE" | dura-index diff -q $full --max-deleted none copies |
        dura-pack -q --from "$ARCHIVE" | dura-push -q copies
    lines copies | cmp - lines; tar copies | cmp - tar
done"#;

/// What is wrong, for people.
pub(super) type Failure = String;

/// Runs the lines of a case and checks all its versions.
pub(super) fn run(lines: &[String]) -> Result<Case, Failure> {
    let dir = scratch("random");
    fs::create_dir(dir.join("src")).unwrap();
    let mut case = Case {
        dir: dir.clone(),
        changed: Instant::now(),
        changes: 0,
        exclude: vec![],
        only: vec![],
        user: false,
        sealed: false,
        begun: vec![],
        versions: BTreeMap::new(),
        done: 0,
        idle: 0,
    };
    let outcome = lines.iter().try_for_each(|line| case.line(line)).and_then(|()| case.check());
    if outcome.is_ok() || std::env::var_os("DURA_RANDOM_KEEP").is_none() {
        let _ = bare("chmod -R u+rwx \"$D\"; rm -rf \"$D\"").var("D", &dir).run();
    }
    outcome.map(|()| case).map_err(|what| format!("{what}\n(in {})", dir.display()))
}

impl Case {
    fn src(&self) -> PathBuf {
        self.dir.join("src")
    }

    fn archive(&self) -> PathBuf {
        self.dir.join("archive")
    }

    fn line(&mut self, line: &str) -> Result<(), Failure> {
        let mut words = line.split(' ');
        match words.next() {
            Some("backup") => return self.backup(&words.collect::<Vec<_>>()),
            Some("settle") => std::thread::sleep(
                Duration::from_millis(2100).saturating_sub(self.changed.elapsed()),
            ),
            Some("forget") => drop(fs::remove_dir_all(self.dir.join("cache"))),
            Some(which @ ("exclude" | "only")) => {
                let words =
                    words.filter(|word| pattern(word).is_some()).map(str::to_owned).collect();
                *(if which == "only" { &mut self.only } else { &mut self.exclude }) = words;
                self.changes += 1;
            }
            Some("user") => {
                self.user = true;
                [&self.dir, &self.src()].into_iter().for_each(|dir| give(dir));
            }
            _ => {
                let done = apply(&self.src(), line).is_ok();
                if self.user {
                    own(&self.src());
                }
                if done {
                    self.done += 1
                } else {
                    self.idle += 1
                }
                self.changed = Instant::now();
                self.changes += 1;
            }
        }
        Ok(())
    }

    fn shell(&self, line: &str, words: &[&str]) -> Shell {
        let shell = dura(line)
            .dir(&self.dir)
            .var("SRC", self.src())
            .var("ARCHIVE", self.archive())
            .user(self.user);
        let shell =
            if words.contains(&"gpg") { shell.var("GNUPGHOME", &gpg::home().dir) } else { shell };
        // The journal lasts; the cache is there or not.
        let shell = shell.var("XDG_STATE_HOME", self.dir.join("state"));
        if words.contains(&"cache") {
            shell.var("XDG_CACHE_HOME", self.dir.join("cache"))
        } else {
            shell
        }
    }

    /// The bands that are there, each with whether it is complete.
    fn bands(&self) -> BTreeMap<String, bool> {
        let bands = fs::read_dir(self.archive()).into_iter().flatten().map(|entry| entry.unwrap());
        let bands = bands.filter(|entry| entry.path().join("HEAD").exists());
        bands
            .map(|entry| {
                (entry.file_name().into_string().unwrap(), entry.path().join("TAIL").exists())
            })
            .collect()
    }

    fn backup(&mut self, words: &[&str]) -> Result<(), Failure> {
        let (mut index, mut pack, mut seal, mut cut) =
            (String::new(), String::new(), String::new(), None);
        for word in words {
            match word.split_once('=').unwrap_or((word, "")) {
                ("tier", n) => index += &format!(" --tier {n}"),
                ("full", _) => index += " --full",
                ("noresume", _) => index += " --no-resume",
                ("compress", how) => pack += &format!(" --compress {how}"),
                ("block", size) => pack += &format!(" --block-size {size}"),
                ("part", size) => pack += &format!(" --part-size {size}"),
                ("gpg", _) => {
                    self.sealed = true;
                    seal = format!(" -r {KEY}");
                }
                ("cut", permille) => cut = Some(permille),
                ("cache", _) => {}
                _ => panic!("not an option: {word}"),
            }
        }
        let patterns =
            |words: &[String]| words.iter().filter_map(|word| pattern(word)).collect::<Vec<_>>();
        let mut scan: String = patterns(&self.exclude)
            .iter()
            .map(|pattern| format!(" --exclude '{pattern}'"))
            .collect();
        if !self.only.is_empty() {
            fs::write(self.dir.join("mask"), patterns(&self.only).join("\n")).unwrap();
            scan += " --only-from mask";
        }
        let make = format!(
            "dura-scan -q{scan} \"$SRC\" | dura-index diff -q{index} \"$ARCHIVE\" | dura-pack -q{pack} | dura-seal -q{seal}"
        );
        let before = self.bands();
        let (line, wanted) = match cut {
            None => (format!("{make} | dura-push -q \"$ARCHIVE\""), 0),
            Some(permille) => {
                let made = self.shell(&format!("{make} > stream"), words).run();
                let fine = made.code == 0 || (made.code == 1 && !self.begun.is_empty());
                fine.then_some(()).ok_or_else(|| format!("backup to be cut\n{}", made.report()))?;
                let cut = "head -c $(($(stat -c %s stream) * CUT / 1000)) stream | dura-push -q \"$ARCHIVE\"";
                (cut.replace("CUT", permille), 2)
            }
        };
        let tree = take(&self.src());
        let done = self.shell(&line, words).stages();
        let now = self.bands();
        let completed: Vec<&String> = now
            .iter()
            .filter(|(band, ok)| **ok && before.get(*band) != Some(&true))
            .map(|(band, _)| band)
            .collect();
        for band in now.keys().filter(|band| !before.contains_key(*band)) {
            self.begun.push(Begun { name: band.clone(), changes: self.changes });
        }
        if cut.is_some() {
            if done.code != wanted || !completed.is_empty() {
                return Err(format!("a run that was cut off: {completed:?}\n{}", done.report()));
            }
            return Ok(());
        }
        // A mask of which nothing is there is refused.
        let masked = !self.only.is_empty() && cut.is_none();
        let hidden = |path: &Vec<u8>| {
            let tops = || tree.0.keys().filter(|top| matches(&self.exclude, top));
            tops().any(|top| top == path || is_below(path, top))
        };
        if masked && !tree.0.keys().any(|path| matches(&self.only, path) && !hidden(path)) {
            let refused = done.code == 2 && completed.is_empty();
            return refused.then_some(()).ok_or_else(|| format!("no mask\n{}", done.report()));
        }
        let [band] = completed[..] else {
            return Err(format!("bands made: {completed:?}\n{}", done.report()));
        };
        let continued = before.contains_key(band);
        let changed =
            self.begun.iter().any(|begun| begun.name == *band && begun.changes != self.changes);
        let fine = |code: &i32| *code == 0 || (*code == 1 && continued && changed);
        if !done.stages.iter().all(fine) {
            return Err(format!("backup {band}\n{}", done.report()));
        }
        let parent =
            band.rsplit_once('-').map(|(parent, _)| self.versions.get(parent).cloned().flatten());
        let version = if changed { None } else { self.expect(tree, parent) };
        self.versions.insert(band.clone(), version);
        Ok(())
    }

    /// What a version must have: the tree as it is, and what is excluded as the parent has it.
    /// `parent` is none for a full band.
    fn expect(&self, tree: Snapshot, parent: Option<Option<Version>>) -> Option<Version> {
        let mut kept = BTreeSet::new();
        let tops = |words: &[String]| {
            tree.0.keys().filter(|path| matches(words, path)).cloned().collect::<Vec<_>>()
        };
        let (hidden, wanted) = (tops(&self.exclude), tops(&self.only));
        let mut tree = tree;
        if hidden.is_empty() && self.only.is_empty() {
            return Some(Version { tree, kept });
        }
        let below = |path: &[u8], tops: &[Vec<u8>]| {
            tops.iter().any(|top| path == top || is_below(path, top))
        };
        tree.0.retain(|path, _| !below(path, &hidden));
        if !self.only.is_empty() {
            let seen: Vec<Vec<u8>> =
                tree.0.keys().filter(|path| below(path, &wanted)).cloned().collect();
            tree.0.retain(|path, _| {
                path == b"." || seen.iter().any(|one| one == path || is_below(one, path))
            });
        }
        if let Some(parent) = parent {
            let is_kept = |path: &[u8]| match self.only.is_empty() {
                true => below(path, &hidden),
                // A mask tells of no deletion; but what was a directory and is none now has nothing
                // below it.
                false => {
                    !tree.0.contains_key(path)
                        && !tree.0.iter().any(|(top, now)| now.kind != 'd' && is_below(path, top))
                }
            };
            let older: Vec<_> =
                parent?.tree.0.into_iter().filter(|(path, _)| is_kept(path)).collect();
            kept.extend(older.iter().map(|(path, _)| path.clone()));
            tree.0.extend(older);
        }
        Some(Version { tree, kept })
    }

    /// Every version comes back, by dura-restore and by recover.sh.
    fn check(&self) -> Result<(), Failure> {
        for (band, complete) in self.bands() {
            let (one, two) = (self.dir.join("one"), self.dir.join("two"));
            let line = format!(
                "mkdir one && dura-restore -q --band {band} \"$ARCHIVE\" | tar --numeric-owner --xattrs --xattrs-include='*' --acls -xpf - -C one"
            );
            let words: &[&str] = if self.sealed { &["gpg"] } else { &[] };
            let restored = self.shell(&line, words).stages();
            if restored.stages != [i32::from(!complete), 0] {
                return Err(format!("restore of {band}\n{}", restored.report()));
            }
            let shell = ["dash", "busybox sh"][self.versions.len() % 2];
            // What is cut off behind HEAD has no notes.
            let script = self.archive().join(&band).join("recover.sh");
            let script = if script.exists() {
                script
            } else {
                Path::new(env!("CARGO_MANIFEST_DIR")).join("lib/notes/recover.sh")
            };
            let line = format!("cd \"$BAND\" && {shell} {} \"$DEST\"", script.display());
            let recovered = bare(&line)
                .var("BAND", self.archive().join(&band))
                .var("DEST", &two)
                .user(self.user);
            let recovered =
                if self.sealed { recovered.var("GNUPGHOME", &gpg::home().dir) } else { recovered }
                    .run();
            if recovered.code != i32::from(!complete) {
                return Err(format!("recovery of {band}\n{}", recovered.report()));
            }
            let (restored, recovered) = (take(&one), take(&two));
            match self.versions.get(&band).cloned().flatten() {
                Some(version) => {
                    same(&format!("{band} by dura-restore"), &version, &restored)?;
                    same(&format!("{band} by recover.sh"), &version, &recovered)?;
                }
                // Cut off before anything was listed, it does not even say what the root is like.
                None if restored.0.len() == 1 && recovered.0.len() == 1 => {}
                None => {
                    let version = Version { tree: restored, kept: BTreeSet::new() };
                    same(&format!("{band} by dura-restore and recover.sh"), &version, &recovered)?;
                }
            }
            bare("chmod -R u+rwx one two; rm -rf one two").dir(&self.dir).ok();
            let copied = self.shell(COPY, words).var("BAND", &band).run();
            if copied.code != 0 {
                return Err(format!("{band} taken from the archive\n{}", copied.report()));
            }
        }
        Ok(())
    }
}

fn is_below(path: &[u8], top: &[u8]) -> bool {
    path.strip_prefix(top).is_some_and(|rest| rest.starts_with(b"/"))
}

/// Whether one of the words names a path: as it is, or by its last name.
fn matches(words: &[String], path: &[u8]) -> bool {
    let name = path.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
    let is = |word: &String| {
        word.strip_prefix('/').map_or_else(|| raw(word) == name, |anchored| raw(anchored) == path)
    };
    path != b"." && words.iter().any(is)
}

/// Gives to the ordinary user what an operation has made.
fn own(dir: &Path) {
    for entry in walkdir::WalkDir::new(dir).into_iter().map(Result::unwrap) {
        let meta = entry.path().symlink_metadata().unwrap();
        if (meta.uid(), meta.gid()) != (USER, USER) {
            lchown(entry.path(), Some(USER), Some(USER)).unwrap();
        }
    }
}

/// The gitignore pattern for a path, or a name anywhere, if there is one.
fn pattern(word: &str) -> Option<String> {
    let text = String::from_utf8(raw(word)).ok().filter(|text| !text.contains(['\n', '\'']))?;
    let mut pattern = String::new();
    for letter in text.chars() {
        if "*?[]!#\\ ".contains(letter) {
            pattern.push('\\');
        }
        pattern.push(letter);
    }
    Some(pattern)
}

/// Compares a version with what came out. What was kept from older versions may be linked otherwise
/// than it was: nobody looked.
fn same(what: &str, version: &Version, is: &Snapshot) -> Result<(), Failure> {
    let mut found =
        diff(&version.tree, is, Compare { hard_links: version.kept.is_empty(), ..EXACT });
    if !version.kept.is_empty() {
        let seen = |tree: &Snapshot| tree.clone().only(|path, _| !version.kept.contains(path));
        found.extend(diff(&seen(&version.tree), &seen(is), EXACT));
    }
    if found.is_empty() { Ok(()) } else { Err(format!("{what}:\n  {}", found.join("\n  "))) }
}
