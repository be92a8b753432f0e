//! Backs trees up as a person would, and finds what came of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use super::gpg::Home;
use super::run::{Done, Share, Shell, bare, dura, give, scratch};
use super::snapshot::{Snapshot, take};
use super::tree::{Torture, Whose, torture};

/// A source tree with what was in it when it was made.
pub(crate) struct Source {
    pub(crate) tree: Torture,
    /// Without the sockets.
    pub(crate) was: Snapshot,
    made: Instant,
}

impl Source {
    /// Waits until no ctime is so new that a change might go unseen: only then is an index the same
    /// at every run.
    pub(crate) fn settled(&self) -> &Source {
        std::thread::sleep(Duration::from_millis(2500).saturating_sub(self.made.elapsed()));
        self
    }
}

/// The torture tree, made once; nobody changes it.
pub(crate) fn source() -> &'static Source {
    static SOURCE: OnceLock<Source> = OnceLock::new();
    SOURCE.shared(|| make(Whose::Root))
}

/// The same for what an ordinary user can have.
pub(crate) fn user_source() -> &'static Source {
    static SOURCE: OnceLock<Source> = OnceLock::new();
    SOURCE.shared(|| make(Whose::User))
}

fn make(whose: Whose) -> Source {
    let dir = scratch("tree");
    let tree = torture(&dir.join("src"), whose);
    let was = take(&tree.dir).without(&tree.sockets);
    Source { tree, was, made: Instant::now() }
}

/// What is done with a tree: the options of each program, and who does it.
#[derive(Clone, Copy, Default)]
pub(crate) struct How<'a> {
    pub(crate) scan: &'a str,
    pub(crate) pack: &'a str,
    /// Left out of the pipeline when `None`.
    pub(crate) seal: Option<&'a str>,
    pub(crate) home: Option<&'a Home>,
    /// As the ordinary user.
    pub(crate) user: bool,
}

/// An archive with one band.
pub(crate) struct Archive {
    /// The band's folder.
    pub(crate) band: PathBuf,
    /// How the pipeline ended.
    pub(crate) done: Done,
}

/// `scan | pack | seal | push` into a new archive; fails unless each of them has one of the exit
/// statuses.
#[track_caller]
pub(crate) fn backup_telling(src: &Path, how: How, allowed: &[i32]) -> Archive {
    let top = scratch("archive");
    give_if(how.user, &top);
    let dir = top.join("archive");
    let seal = how.seal.map(|options| format!("| dura-seal {options}")).unwrap_or_default();
    let line = format!(
        "dura-scan {} \"$SRC\" | dura-pack {} {seal} | dura-push \"$ARCHIVE\"",
        how.scan, how.pack
    );
    let shell = dura(&line).var("SRC", src).var("ARCHIVE", &dir).user(how.user);
    let done = at_home(shell, how.home).stages();
    assert!(done.stages.iter().all(|code| allowed.contains(code)), "backup\n{}", done.report());
    let band = only_band(&dir);
    assert!(band.join("TAIL").exists(), "no TAIL\n{}", done.report());
    Archive { band, done }
}

/// The tree once more, not encrypted, in many blocks of one part each; shared by the tests that
/// only read it.
pub(crate) fn plain() -> &'static Archive {
    static PLAIN: OnceLock<Archive> = OnceLock::new();
    PLAIN.shared(|| {
        backup(
            &source().tree.dir,
            How { pack: "--block-size 1M", seal: Some(""), ..How::default() },
        )
    })
}

/// The same, for a tree of which everything can be stored.
#[track_caller]
pub(crate) fn backup(src: &Path, how: How) -> Archive {
    backup_telling(src, how, &[0])
}

fn give_if(user: bool, dir: &Path) {
    if user {
        give(dir);
    }
}

/// The shell in this home, if there is one.
pub(crate) fn at_home(shell: Shell, home: Option<&Home>) -> Shell {
    match home {
        Some(home) => shell.var("GNUPGHOME", &home.dir),
        None => shell,
    }
}

/// The folder of the only band in an archive.
#[track_caller]
pub(crate) fn only_band(archive: &Path) -> PathBuf {
    let bands: Vec<PathBuf> = fs::read_dir(archive)
        .unwrap_or_else(|e| panic!("{archive:?}: {e}"))
        .map(|e| e.unwrap().path())
        .collect();
    assert_eq!(bands.len(), 1, "bands: {bands:?}");
    bands.into_iter().next().unwrap()
}

/// A new, empty directory to recover into.
pub(crate) fn destination(user: bool) -> PathBuf {
    let dir = scratch("dest").join("dest");
    fs::create_dir(&dir).unwrap();
    give_if(user, dir.parent().unwrap());
    give_if(user, &dir);
    dir
}

/// How the documentation has GNU tar extract everything.
pub(crate) const GNU_TAR: &str = "tar --xattrs --xattrs-include='*' --acls -xpf -";

/// How a person decrypts an object, once the run key is in the file `$K`.
pub(crate) const UNDER_KEY: &str =
    "gpg -q --batch --pinentry-mode loopback --passphrase-file \"$K\" -d";

/// Recovery as typed: `read` decrypts the key object of the run (`gpg -d`), or reads an object that
/// is not encrypted (`cat`), `unpack` decompresses the stream of all, and `tar` extracts it into the working directory's place, `$DEST`.
pub(crate) fn by_hand(
    archive: &Archive,
    read: &str,
    unpack: &str,
    tar: &str,
    dest: &Path,
) -> Shell {
    let (key, read) = match read {
        "cat" => (String::new(), read),
        read => (format!("K=$(mktemp); {read} 00000/000000000-0.key.gpg > \"$K\";"), UNDER_KEY),
    };
    let line = format!(
        "cd \"$BAND\"; {key}
         for i in */[0-9]*.mtree.*; do for b in ${{i%%.*}}.tar*; do [ -e \"$b\" ] && {read} \"$b\"; done; done | {unpack} | {tar} -C \"$DEST\""
    );
    bare(&line).var("BAND", &archive.band).var("DEST", dest)
}

/// Recovery by the band's own script, under a shell such as `dash` or `busybox sh`.
pub(crate) fn by_script(archive: &Archive, sh: &str, dest: &Path) -> Shell {
    bare(&format!("cd \"$BAND\" && {sh} recover.sh \"$DEST\""))
        .var("BAND", &archive.band)
        .var("DEST", dest)
}

/// One of the `key: value` lines of HEAD or TAIL.
#[track_caller]
pub(crate) fn value(file: &Path, key: &str) -> String {
    let text = fs::read_to_string(file).unwrap_or_else(|e| panic!("{file:?}: {e}"));
    let start = format!("{key}: ");
    text.lines()
        .find_map(|line| line.strip_prefix(&start))
        .unwrap_or_else(|| panic!("{file:?} has no {key}"))
        .to_string()
}

/// The text of a band's indexes, one behind the other, where they are not encrypted.
pub(crate) fn indexes(band: &Path) -> Vec<u8> {
    bare("cd \"$BAND\" && for i in */[0-9]*.mtree.gz; do gzip -dc \"$i\" || exit; done")
        .var("BAND", band)
        .ok()
        .stdout
}

/// The index line of one path, written as it stands there.
pub(crate) fn index_line(band: &Path, path: &str) -> Option<String> {
    let text = String::from_utf8(indexes(band)).unwrap();
    text.lines().find(|line| line.split(' ').next() == Some(path)).map(str::to_string)
}
