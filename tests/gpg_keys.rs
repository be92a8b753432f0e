//! Keys as people have them: hidden recipients, several secret keys, stubs of cards, subkeys that
//! expired and new ones, a gpg that tries all keys: what gpg opens is read by all readers.
//!
//! gpg exits with 2 when it tried other keys before the one that opened the message. So its status
//! lines are what counts.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::util::run::{Share, Shell, bare, base, dura, scratch};
use super::util::snapshot::{EXACT, assert_same, take};

const MAKE: &str = "make() { gpg --batch --no-tty -q --passphrase '' --pinentry-mode loopback \"$@\"; }
    fpr() { gpg --batch --with-colons --list-keys \"$1\" | awk -F: -v n=\"$2\" '/^fpr/ && n-- == 1 { print $10 }'; }\n";

/// A ring with two secret keys, a stub of a key that is on a card, and a key of which the old
/// subkey expired after it was used.
struct Ring {
    dir: PathBuf,
}

/// Its archives: what was sealed, and for whom.
const ARCHIVES: [(&str, &str); 6] = [
    ("hidden", "-R second@x"),
    ("two hidden", "-R first@x -R card@x"),
    ("named and hidden", "-r card@x -R second@x"),
    ("card and file", "-r card@x -r first@x"),
    ("new subkey", "-r aged@x"),
    ("last of many", "-r second@x"),
];

fn ring() -> &'static Ring {
    static RING: OnceLock<Ring> = OnceLock::new();
    RING.shared(|| {
        let dir = base().join("gpg.ring");
        let script = "mkdir -m 700 \"$GNUPGHOME\" && echo 's2k-count 65536' > \"$GNUPGHOME/gpg-agent.conf\"
            for k in first second card; do
                make --quick-generate-key \"$k <$k@x>\" future-default default never || exit
            done
            make --faked-system-time 20200101T000000 --quick-generate-key 'Aged <aged@x>' future-default default never || exit
            dura-seal -r aged@x < \"$SMALL\" | dura-push \"$OUT/old subkey\" || exit
            a=$(fpr aged@x 1)
            make --faked-system-time 20200102T000000 --quick-set-expire \"$a\" 1d '*' || exit
            make --faked-system-time 20210102T000000 --quick-add-key \"$a\" cv25519 encr never || exit
            # What a card leaves behind: that the key is there, not the key.
            for g in $(gpg --with-keygrip --with-colons -K card@x | awk -F: '/^grp/ { print $10 }'); do
                f=$GNUPGHOME/private-keys-v1.d/$g.key
                sed -e 's/(private-key/(shadowed-private-key/' -e 's/(d #[0-9A-F]*#)/(shadowed t1-v1 (#D2760001240103040006123456780000# OPENPGP.2))/' \"$f\" > \"$f.new\" &&
                    mv \"$f.new\" \"$f\" || exit
            done
            gpgconf --kill gpg-agent
            gpg --with-colons -K card@x | grep -q '^ssb.*D276' || exit 9";
        dura(&format!("{MAKE}{script}"))
            .var("GNUPGHOME", &dir)
            .var("SMALL", small())
            .var("OUT", archives())
            .ok();
        Ring { dir }
    })
}

/// The folder of the archives.
fn archives() -> &'static Path {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    DIR.shared(|| scratch("keyed"))
}

pub(crate) fn source() -> &'static Path {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    DIR.shared(|| {
        let dir = scratch("few").join("src");
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join("a"), "one\r\ntwo\n").unwrap();
        fs::write(dir.join("b"), [0, 255, 13, 10]).unwrap();
        dir
    })
}

/// A band with two files, as pack writes it.
pub(crate) fn small() -> &'static Path {
    static FILE: OnceLock<PathBuf> = OnceLock::new();
    FILE.shared(|| {
        let file = scratch("few").join("packed");
        let line = "dura-scan \"$SRC\" | dura-pack > \"$FILE\"";
        dura(line).var("SRC", source()).var("FILE", &file).ok();
        file
    })
}

impl Ring {
    fn with(&self, shell: Shell) -> Shell {
        shell.var("GNUPGHOME", &self.dir)
    }
}

/// Every reader reads the archive, with status 0, and gives what was backed up.
fn every_reader_reads(name: &str, ring: &Path) {
    let archive = archives().join(name);
    let with = |shell: Shell| shell.var("GNUPGHOME", ring).var("A", &archive).var("SRC", source());
    let (restored, dash, busybox) = (scratch("out"), scratch("out"), scratch("out"));
    let restore = "dura-restore \"$A\" | tar xpf - -C \"$OUT\"";
    with(dura(restore)).var("OUT", &restored).stages();
    assert_same(&format!("{name}: restore"), &take(source()), &take(&restored), EXACT);
    for (sh, out) in [("dash", &dash), ("busybox sh", &busybox)] {
        let line = format!("cd \"$A\"/*Z && {sh} recover.sh -f \"$OUT\"");
        with(bare(&line)).var("OUT", out).ok();
        assert_same(&format!("{name}: {sh}"), &take(source()), &take(out), EXACT);
    }
    let done = with(dura(
        "dura-index ls \"$A\" && dura-index find \"$A\" b && dura-index list \"$A\" > /dev/null &&
         dura-verify \"$A\" && dura-verify --files \"$A\" &&
         dura-scan \"$SRC\" | dura-index diff \"$A\" | grep -c '^\\./' || [ $? = 1 ]",
    ))
    .ok();
    assert!(done.text().contains("./b"), "{name}\n{}", done.report());
}

fn seal(name: &str, options: &str) {
    let line = format!("dura-seal {options} < \"$SMALL\" | dura-push \"$A\"");
    let shell = dura(&line).var("SMALL", small()).var("A", archives().join(name));
    let done = ring().with(shell).stages();
    assert_eq!(done.stages, [0, 0], "{name}\n{}", done.report());
}

#[test]
fn hidden_recipients_among_several_secret_keys() {
    for (name, options) in &ARCHIVES[..3] {
        seal(name, options);
        every_reader_reads(name, &ring().dir);
    }
}

#[test]
fn stubs_and_subkeys_that_expired() {
    for (name, options) in &ARCHIVES[3..5] {
        seal(name, options);
        every_reader_reads(name, &ring().dir);
    }
    every_reader_reads("old subkey", &ring().dir);
}

#[test]
fn a_gpg_that_tries_all_keys() {
    let (name, options) = ARCHIVES[5];
    seal(name, options);
    let home = base().join("gpg.tries");
    let copy = "cp -a \"$GNUPGHOME\" \"$NEW\" && rm -f \"$NEW\"/S.* && echo try-all-secrets > \"$NEW/gpg.conf\"";
    ring().with(bare(copy)).var("NEW", &home).ok();
    every_reader_reads(name, &home);
}

/// The named key, and no other: a subkey with `!`, a name that is not ASCII, a key that signs.
#[test]
fn exactly_the_named_key() {
    let home = base().join("gpg.named");
    let script = "mkdir -m 700 \"$GNUPGHOME\"
        make --quick-generate-key 'Jürgen Groß <j@x>' ed25519 default never &&
        j=$(fpr j@x 1) && make --quick-add-key \"$j\" cv25519 encr never && make --quick-add-key \"$j\" cv25519 encr never &&
        make --quick-add-key \"$j\" ed25519 sign never &&
        make --quick-generate-key 'Other <o@x>' future-default default never &&
        for key in 2 3; do
            sub=$(fpr j@x $key)
            dura-seal -v -r \"$sub!\" < \"$SMALL\" 2>&1 > /dev/null | grep \"opened by ${sub#????????????????????????}$\" || exit 3
        done
        for key in 1 4; do
            sub=$(fpr j@x $key)
            dura-seal --sign \"$sub!\" < \"$SMALL\" | tar -xOf - --wildcards '*/TAIL.sig' > \"$OUT/sig\" || exit 4
            gpg --list-packets < \"$OUT/sig\" | grep -q \"issuer fpr v4 $sub\" || exit 5
        done
        dura-seal -r 'Jürgen' < \"$SMALL\" > /dev/null && dura-seal -r '=Jürgen Groß <j@x>' < \"$SMALL\" > /dev/null &&
        LC_ALL=C dura-seal -r 'Groß' < \"$SMALL\" > /dev/null || exit 6
        dura-seal -r \"$j!\" < \"$SMALL\" && exit 7
        cd \"$OUT\"; for name in --output=evil --list-keys -a @evil; do for use in recipient hidden-recipient sign; do
            dura-seal --$use=\"$name\" < \"$SMALL\" > out; [ $? = 2 ] && [ ! -s out ] && [ ! -e evil ] || exit 8
        done; done
        true";
    let done = dura(&format!("{MAKE}{script}"))
        .var("GNUPGHOME", &home)
        .var("SMALL", small())
        .var("OUT", scratch("sig"))
        .ok();
    done.tells("the key has no part that encrypts");
}
