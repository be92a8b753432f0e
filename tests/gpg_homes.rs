//! gpg where there is no desktop: homes that are missing, closed or broken, no agent, no pinentry,
//! no room; passphrases from files and commands; messages that are damaged, and messages that grow.
//! What is not a missing key or damage is not called so.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::gpg_keys::{small, source};
use super::util::gpg::{KEY, home, public};
use super::util::run::{Share, Shell, bare, base, dura, give, scratch};
use super::util::snapshot::{EXACT, assert_same, take};
use super::util::tree::{noise, root};

const PHRASE: &str = "a phrase that is longer than thirty-two bytes, with a\ttab";

/// The small band sealed with these options in that home.
fn archive(options: &str, gpg: &Path) -> PathBuf {
    let dir = scratch("sealed").join("archive");
    let line = format!("dura-seal {options} < \"$SMALL\" | dura-push \"$A\"");
    let done = dura(&line)
        .var("GNUPGHOME", gpg)
        .var("SMALL", small())
        .var("A", &dir)
        .var("PHRASE", phrase())
        .stages();
    assert_eq!(done.stages, [0, 0], "{options}\n{}", done.report());
    bare("chmod -R a+rX \"$A\"").var("A", &dir).ok();
    dir
}

/// A file with the passphrase, and more lines.
fn phrase() -> &'static Path {
    static FILE: OnceLock<PathBuf> = OnceLock::new();
    FILE.shared(|| {
        let file = scratch("phrase").join("phrase");
        fs::write(&file, format!("{PHRASE}\nsecond line\n")).unwrap();
        file
    })
}

/// What was backed up comes out of a tar of it.
fn comes_back(what: &str, shell: impl Fn(&str) -> Shell, command: &str) {
    let out = scratch("back");
    give(&out);
    let done = shell(&format!("{command} | tar xf - -C \"$OUT\"")).var("OUT", &out).stages();
    assert_eq!(done.stages[0], 0, "{what}\n{}", done.report());
    let files = |dir: &Path| ["a", "b"].map(|name| fs::read(dir.join(name)).unwrap());
    assert!(files(source()) == files(&out), "{what}\n{}", done.report());
}

#[test]
fn without_a_home() {
    let key = scratch("key").join("key");
    home().with(bare(&format!("gpg --export {KEY} > \"$F\""))).var("F", &key).ok();
    let nowhere = |script: &str| {
        dura(script)
            .var("HOME", "/nonexistent")
            .var("SMALL", small())
            .var("F", &key)
            .var("PHRASE", phrase())
            .user(true)
    };
    nowhere("dura-seal --recipient-file \"$F\" < \"$SMALL\" > /dev/null").ok();
    let symmetric = "dura-seal --symmetric --passphrase-file \"$PHRASE\" < \"$SMALL\" > /dev/null";
    nowhere(symmetric).ok();
    let done = nowhere(&format!("dura-seal -r {KEY} < \"$SMALL\"")).code(2);
    done.tells("can't").tells("hint: check gpg --list-keys");
    assert!(!done.stderr.contains("--import"), "{}", done.report());
    // A passphrase opens without a home what needs no key.
    let sealed = archive("--symmetric --passphrase-file \"$PHRASE\"", &home().dir);
    let reads = |script: &str| nowhere(script).var("A", &sealed);
    comes_back("no home", reads, "dura-restore --passphrase-file \"$PHRASE\" \"$A\"");
    reads("dura-restore \"$A\"").code(2).tells("cannot be used here");
    assert!(!Path::new("/nonexistent").exists());
}

#[test]
fn homes_that_are_closed_or_broken() {
    if !root() {
        // Only root can keep the owner of the tests from its own directory.
        return closed(&public().dir, false);
    }
    let dir = base().join("gpg.closed");
    let copy = "cp -a \"$GNUPGHOME\" \"$NEW\" && rm -f \"$NEW\"/S.* \"$NEW\"/trustdb.gpg && chown -R 65534:65534 \"$NEW\" && chmod 500 \"$NEW\"";
    bare(copy).var("GNUPGHOME", &public().dir).var("NEW", &dir).ok();
    closed(&dir, true);
    bare("echo garbage > \"$H/trustdb.gpg\"").var("H", &dir).ok();
    closed(&dir, true);
    // A home that nobody may look into is no home without the key.
    bare("chmod 000 \"$H\"").var("H", &dir).ok();
    let done = dura(&format!("dura-seal -r {KEY} < \"$SMALL\""))
        .var("GNUPGHOME", &dir)
        .var("SMALL", small())
        .user(true)
        .code(2);
    done.tells("ermission denied");
    assert!(!done.stderr.contains("--import"), "{}", done.report());
}

fn closed(dir: &Path, user: bool) {
    let seal = format!("dura-seal -v -r {KEY} < \"$SMALL\" > /dev/null");
    let done = dura(&seal).var("GNUPGHOME", dir).var("SMALL", small()).user(user).ok();
    done.tells("a trial message is correct: binary, AES256, protected from change");
}

#[test]
fn a_key_that_cannot_be_used_is_not_called_missing() {
    let locked = base().join("gpg.locked");
    let make = "mkdir -m 700 \"$GNUPGHOME\" && echo 's2k-count 65536' > \"$GNUPGHOME/gpg-agent.conf\" &&
        gpg --batch -q --passphrase one --pinentry-mode loopback --quick-generate-key 'L <l@x>' future-default default never &&
        echo 'pinentry-program /nonexistent/pinentry' >> \"$GNUPGHOME/gpg-agent.conf\" && gpgconf --kill gpg-agent";
    bare(make).var("GNUPGHOME", &locked).ok();
    let sealed = archive("-r l@x", &locked);
    let with = |script: &str| dura(script).var("GNUPGHOME", &locked).var("A", &sealed);
    let refused = |shell: Shell, told: &str| {
        let done = shell.code(2);
        done.tells(told).tells("hint: ");
        assert!(!done.stderr.contains("--import"), "{}", done.report());
        assert!(!done.stderr.contains("damaged"), "{}", done.report());
    };
    for reader in ["dura-restore", "dura-index list", "dura-index ls", "dura-verify --files"] {
        refused(with(&format!("{reader} \"$A\" > /dev/null")), "No pinentry");
    }
    let diff = "dura-scan \"$SRC\" | dura-index diff \"$A\" > /dev/null";
    refused(with(diff).var("SRC", source()), "No pinentry");
    let script =
        with("cd \"$A\"/*Z && sh recover.sh \"$OUT\"").var("OUT", scratch("no").join("out"));
    script.code(2).tells("No pinentry");
    // Its passphrase opens it, from wherever it comes.
    let given = scratch("one").join("one");
    fs::write(&given, "one\n").unwrap();
    let with = |script: &str| with(script).var("ONE", &given);
    for how in [
        "--passphrase-file \"$ONE\"",
        "--passphrase-file <(cat \"$ONE\")",
        "--passphrase-command 'cat \"$ONE\"'",
    ] {
        comes_back(how, with, &format!("dura-restore -v {how} \"$A\""));
    }
    let readers = "dura-index list \"$A\" > /dev/null && dura-verify --files \"$A\" &&
        dura-index diff \"$A\" < <(dura-scan \"$SRC\") > /dev/null &&
        cd \"$A\"/*Z && dash recover.sh \"$OUT/1\" && busybox sh recover.sh \"$OUT/2\"";
    with(readers)
        .var("DURA_PASSPHRASE_FILE", &given)
        .var("SRC", source())
        .var("OUT", scratch("out"))
        .ok();
    bare("gpgconf --kill gpg-agent").var("GNUPGHOME", &locked).ok();
    fs::write(&given, "two\n").unwrap();
    refused(
        with("dura-restore --passphrase-file \"$ONE\" \"$A\""),
        "the passphrase does not open it",
    );
    fs::write(locked.join("gpg.conf"), "agent-program /bin/false\n").unwrap();
    bare("gpgconf --kill gpg-agent").var("GNUPGHOME", &locked).ok();
    refused(with("dura-restore \"$A\""), "connect to the agent");
    // Here it is missing, and which one would do is said.
    let done =
        dura("dura-restore \"$A\"").var("GNUPGHOME", &public().dir).var("A", &sealed).code(2);
    done.tells("no secret key that decrypts it: wanted ").tells("gpg --import");
}

/// No program has the passphrase in an argument or a variable, and none leaves it in a core.
#[test]
fn a_passphrase_goes_through_pipes_alone() {
    let sealed = archive("--symmetric --passphrase-file \"$PHRASE\"", &home().dir);
    let traced = scratch("trace").join("trace");
    let line =
        "strace -f -v -s 65536 -e trace=execve,prlimit64,setrlimit,prctl -o \"$TRACE\" bash -c '
        dura-restore --passphrase-file \"$PHRASE\" \"$A\" > /dev/null &&
        dura-seal --symmetric --passphrase-file \"$PHRASE\" < \"$SMALL\" > /dev/null &&
        cd \"$A\"/*Z && DURA_PASSPHRASE_FILE=$PHRASE sh recover.sh \"$OUT/o\"'";
    home()
        .with(dura(line))
        .var("A", &sealed)
        .var("SMALL", small())
        .var("PHRASE", phrase())
        .var("TRACE", &traced)
        .var("OUT", scratch("out"))
        .ok();
    let trace = fs::read_to_string(&traced).unwrap();
    assert!(trace.contains("--passphrase-fd"), "no gpg was traced");
    assert!(!trace.contains("a phrase that is longer"), "the passphrase is in an argument");
    assert!(trace.contains("PR_SET_DUMPABLE, SUID_DUMP_DISABLE"), "cores may be dumped");
}

/// One flipped bit in an object's first bytes: gpg says "no secret key", and the object is damaged.
#[test]
fn one_flipped_bit_costs_one_object() {
    let src = scratch("blocks").join("src");
    fs::create_dir(&src).unwrap();
    for n in 0..4 {
        fs::write(src.join(format!("f{n}")), noise(n, 1_100_000)).unwrap();
    }
    let whole = scratch("flip").join("archive");
    let line = format!(
        "dura-scan \"$SRC\" | dura-pack --block-size 100k | dura-seal -r {KEY} | dura-push \"$A\""
    );
    home().with(dura(&line)).var("SRC", &src).var("A", &whole).ok();
    for (object, lost) in [("00000/000000001.mtree.gz.gpg", 1), ("00000/000000000.tar.gz.gpg", 1)] {
        for at in [1_usize, 7, 40] {
            let dir = scratch("flip").join("archive");
            bare("cp -a \"$FROM\" \"$A\"").var("FROM", &whole).var("A", &dir).ok();
            let band = fs::read_dir(&dir).unwrap().next().unwrap().unwrap().path();
            let mut bytes = fs::read(band.join(object)).unwrap();
            bytes[at] ^= 4;
            fs::write(band.join(object), bytes).unwrap();
            let out = scratch("flipped");
            let with = |script: &str| home().with(dura(script)).var("A", &dir).var("OUT", &out);
            let done = with("dura-restore \"$A\" | tar xf - -C \"$OUT\"").stages();
            assert_eq!(done.stages[0], 1, "{object} {at}\n{}", done.report());
            let back = (0..4).filter(|n| out.join(format!("f{n}")).exists()).count();
            assert!(back + lost >= 4, "{object} {at}: {back} files\n{}", done.report());
            done.tells("it is damaged");
            with("dura-verify --files \"$A\"").code(1);
            let listed = with("dura-index list \"$A\" | tail -n 1").stages();
            let wanted = i32::from(object.contains("mtree"));
            assert_eq!(listed.stages[0], wanted, "{object} {at}\n{}", listed.report());
            let diff =
                with("dura-scan \"$SRC\" | dura-index diff \"$A\" > /dev/null").var("SRC", &src);
            assert_eq!(diff.stages().stages[1], wanted, "{object} {at}: diff");
        }
    }
}

/// A message that holds a compressed bomb costs neither memory nor the rest of the restore.
#[test]
fn a_message_that_grows_is_stopped() {
    let dir = archive(&format!("-r {KEY}"), &home().dir);
    let bomb = "cd \"$A\"/*Z && rm 00000/*.tar.gz.gpg && gpg -q -d 00000/000000000-0.key.gpg > ../key && head -c 90M /dev/zero |
         gpg --batch -q --passphrase-file ../key --s2k-count 1088 --bzip2-compress-level 1 --compress-algo bzip2 -c > 00000/000000000.tar.gz.gpg && rm ../key";
    home().with(bare(bomb)).var("A", &dir).ok();
    let with = |script: &str| home().with(dura(script)).var("A", &dir);
    let limited = "ulimit -v 524288; export MALLOC_ARENA_MAX=2; dura-restore \"$A\" > /dev/null";
    with(limited).code(1).tells("over 83886080 bytes, more than an object of its size may");
    with("dura-verify --files \"$A\"").code(1);
    with("dura-restore --max-object 1M \"$A\" > /dev/null").code(1).tells("over 1048576 bytes");
}

/// A full TMPDIR says nothing about signatures.
#[test]
fn a_full_disk_makes_no_signature_bad() {
    let dir = archive(&format!("-r {KEY} --sign {KEY}"), &home().dir);
    let full = "mount -t tmpfs -o size=4k none \"$FULL\" && { head -c 9000 /dev/zero > \"$FULL/x\"; true; } 2> /dev/null &&
        export TMPDIR=$FULL && dura-verify --signed-by \"$KEY\" \"$A\" && dura-seal -r \"$KEY\" < \"$SMALL\" > /dev/null";
    let line = format!("unshare -rm sh -c '{full}'");
    home()
        .with(dura(&line))
        .var("A", &dir)
        .var("FULL", scratch("full"))
        .var("KEY", KEY)
        .var("SMALL", small())
        .ok();
    let out = scratch("out");
    let restore = home().with(dura("dura-restore \"$A\" | tar xpf - -C \"$OUT\""));
    restore.var("A", &dir).var("OUT", &out).ok();
    assert_same("signed", &take(source()), &take(&out), EXACT);
}

/// Of several signatures in a file any good one counts; a revoked key is told.
#[test]
fn several_signatures_and_a_revoked_key() {
    let ring = base().join("gpg.signers");
    let make = "mkdir -m 700 \"$GNUPGHOME\" && for k in one two; do
        gpg --batch -q --passphrase '' --pinentry-mode loopback --quick-generate-key \"$k <$k@x>\" future-default default never || exit; done";
    bare(make).var("GNUPGHOME", &ring).ok();
    let dir = archive("--sign one@x", &ring);
    let with = |script: &str| dura(script).var("GNUPGHOME", &ring).var("A", &dir);
    with("dura-verify --signed-by one@x \"$A\" && dura-verify --signed-by two@x --signed-by one@x \"$A\"").ok();
    with("dura-verify --signed-by two@x \"$A\"").code(1);
    let again = "cd \"$A\"/*Z && for s in TAIL.sig */*.sig; do
        chmod u+w \"$s\"; gpg --batch -q -u two@x --digest-algo SHA512 -b -o - \"${s%.sig}\" >> \"$s\"; done";
    with(again).ok();
    for key in ["one@x", "two@x"] {
        with(&format!("dura-verify --signed-by {key} \"$A\"")).ok();
    }
    // Garbage behind a signature is seen.
    with("cp -a \"$A\" \"$A.bad\" && printf x >> \"$A.bad\"/*Z/TAIL.sig && dura-verify \"$A.bad\"")
        .code(1);
    let revoke =
        "f=$(gpg --with-colons --list-keys one@x | awk -F: '/^fpr/ { print $10; exit }') &&
        sed 's/^:---/---/' \"$GNUPGHOME/openpgp-revocs.d/$f.rev\" | gpg --batch -q --import";
    with(revoke).ok();
    let done = with("dura-verify --signed-by one@x \"$A\"").code(1);
    assert!(done.text().contains("its key was revoked"), "{}", done.report());
    with("dura-verify --signed-by two@x \"$A\"").ok();
    // The script goes by the same rules: one behind that of a revoked key counts, and with `!` only
    // that part of a key.
    let script = "cd \"$A\"/*Z && sh recover.sh --signed-by KEY \"$A.out-$$\"";
    with(&script.replace("KEY", "two@x")).ok();
    with(&script.replace("KEY", "one@x")).code(1).tells("no good signature by one@x");
    let by_part = "f=$(gpg --with-colons --list-keys two@x | awk -F: '/^fpr/ { print $10; exit }') &&
        gpg --batch -q --passphrase '' --pinentry-mode loopback --quick-add-key $f ed25519 sign never &&
        cd \"$A\"/*Z && for s in TAIL.sig */*.sig; do gpg --batch -q --yes -u two@x -b -o $s ${s%.sig}; done; cd - && ";
    let with_part = |key: &str| with(&format!("{by_part}{}", script.replace("KEY", key)));
    with_part("$f").ok();
    with_part("$f!").code(1).tells("no good signature by");
    let dir = archive("--sign two@x", &ring);
    let revoke = revoke.replace("one@x", "two@x");
    let with = |script: &str| dura(script).var("GNUPGHOME", &ring).var("A", &dir);
    with(&revoke).ok();
    with("dura-verify \"$A\"").ok().tells("the key was revoked");
}
