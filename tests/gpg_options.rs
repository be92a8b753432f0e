//! What a gpg.conf says: no option of gpg changes what is sealed, for whom, or what readers make of
//! it. Either all is as without the option, or it is said before the first object that gpg cannot
//! be used so.
//!
//! `scripts/gpg-options` tries each option that gpg has; here are those that did harm once, and
//! many harmless ones together.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::gpg_keys::{small, source};
use super::util::dice::variable;
use super::util::gpg::{KEY, OTHER, home};
use super::util::run::{Share, bare, base, dura, scratch};
use super::util::snapshot::{EXACT, assert_same, take};

/// Options that change nothing; `KEY` and `OTHER` are fingerprints, `FILE` a file of the home.
const HARMLESS: [&str; 20] = [
    "textmode",
    "armor",
    "group KEY=OTHER",
    "weak-digest SHA256",
    "encrypt-to OTHER",
    "recipient OTHER",
    "hidden-recipient OTHER",
    "throw-keyids",
    "cipher-algo 3DES",
    "rfc2440",
    "s2k-mode 0",
    "max-output 10",
    "log-file FILE",
    "output FILE",
    "set-filesize 5",
    "digest-algo MD5",
    "default-sig-expire 1d",
    "for-your-eyes-only",
    "keyid-format none\nquiet\nno-greeting\nexpert\nthrow-keyids\ncompress-level 9\nbzip2-compress-level 9\n\
     compress-algo bzip2\npersonal-cipher-preferences 3DES\npersonal-digest-preferences SHA1\n\
     personal-compress-preferences bzip2\ns2k-digest-algo MD5\ns2k-cipher-algo 3DES\ns2k-count 1024\n\
     comment x\nemit-version\nescape-from-lines\nnot-dash-escaped\nmimemode\nset-filename x\n\
     use-embedded-filename\ndefault-recipient-self\ndefault-key OTHER\nhidden-encrypt-to OTHER\n\
     encrypt-to-default-key\nskip-hidden-recipients\nallow-multiple-messages\nlimit-card-insert-tries 1",
    "trust-model tofu\nlist-options show-keyring,show-uid-validity\nwith-fingerprint\nwith-keygrip\n\
     with-secret\nfast-list-mode\nshow-keyring\nverify-options show-uid-validity\nignore-crc-error\n\
     ignore-time-conflict\nlock-never\nno-sig-cache\ndisable-dirmngr\ncharset iso-8859-1\nno-utf8-strings\n\
     attribute-fd 2\nexit-on-status-write-error\ndisable-mdc\nforce-v3-sigs",
];

/// Options with which gpg cannot be used.
const REFUSED: [&str; 9] = [
    "dry-run",
    "local-user KEY",
    "passphrase-fd 0",
    "multifile",
    "no-keyring",
    "sign",
    "list-only",
    "unwrap",
    "logger-fd 1",
];

/// The fingerprints of `KEY` and `OTHER`.
fn fingerprints() -> &'static [String; 2] {
    static FOUND: OnceLock<[String; 2]> = OnceLock::new();
    FOUND.shared(|| {
        [KEY, OTHER].map(|key| {
            let listed = home().with(bare(&format!("gpg --with-colons --list-keys {key}"))).ok();
            let text = listed.text();
            let line = text.lines().find(|line| line.starts_with("fpr:")).expect(key);
            line.split(':').nth(9).expect(key).to_owned()
        })
    })
}

/// A home with the keys of the tests and this gpg.conf.
///
/// Only what stays as it is is copied: others use the keys at the same time, and their locks come
/// and go. And nothing may be missing in the line: gpg passes over an option without its argument,
/// with a word about it and status 0.
fn configured(conf: &str) -> PathBuf {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let dir = base().join(format!("gpg.o{}", COUNT.fetch_add(1, Ordering::Relaxed)));
    let script = "set -e; mkdir -m 700 \"$NEW\"; cd \"$GNUPGHOME\"
        cp -a pubring.kbx private-keys-v1.d passphrase gpg.conf gpg-agent.conf \"$NEW\"
        printf '%s\\n' \"$CONF\" >> \"$NEW/gpg.conf\"";
    let [key, other] = fingerprints();
    let file = dir.join("file");
    let lines = conf.lines().map(|line| {
        let line = line.replacen("KEY", key, 1).replacen("OTHER", other, 1);
        line.replacen("FILE", &file.to_string_lossy(), 1) + "\n"
    });
    let conf: String = lines.collect();
    home().with(bare(script)).var("NEW", &dir).var("CONF", conf.trim_end()).ok();
    dir
}

/// Seals, and reads what was sealed, in that home and in one without the option.
fn tried(conf: &str) -> Result<(), String> {
    let home_with = configured(conf);
    let dir = scratch("option");
    let (archive, out) = (dir.join("archive"), dir.join("out"));
    fs::create_dir(&out).unwrap();
    let line = format!("dura-seal -v -r {KEY} --sign {OTHER} < \"$SMALL\" > \"$DIR/sealed\"");
    let with = |script: &str, gpg: &Path| {
        dura(script)
            .var("GNUPGHOME", gpg)
            .var("SMALL", small())
            .var("DIR", &dir)
            .var("A", &archive)
            .var("OUT", &out)
            .run()
    };
    let sealed = with(&line, &home_with);
    let result = if sealed.code == 2 {
        let written = fs::metadata(dir.join("sealed")).unwrap().len();
        assert_eq!(written, 0, "{conf}: refused after the first object\n{}", sealed.report());
        Err(sealed.stderr)
    } else {
        assert_eq!(sealed.code, 0, "{conf}\n{}", sealed.report());
        let read = format!(
            "dura-push \"$A\" < \"$DIR/sealed\" && dura-restore \"$A\" | tar xpf - -C \"$OUT\" &&
             dura-verify --signed-by {OTHER} \"$A\" && for o in \"$A\"/*/*/*.gpg; do
                 case $o in *.key.gpg) of=key ;; *) of=run ;; esac
                 echo $of $(gpg -v --list-packets --list-only \"$o\" 2> /dev/null | grep -o '^:[a-z]* enc packet\\|count 1088 '); done | sort -u"
        );
        let done = with(&read, &home().dir);
        // One recipient of the key object, and one run key of all else.
        let wanted = "key :pubkey enc packet\nrun :symkey enc packet count 1088";
        assert_eq!((done.code, done.text().trim()), (0, wanted), "{conf}\n{}", done.report());
        assert_same(conf, &take(source()), &take(&out), EXACT);
        let done = with("dura-restore \"$A\" | tar xpf - -C \"$OUT\"", &home_with);
        // With some no gpg reads: then that is said, and nothing is called damaged or lost.
        match done.code {
            2 if done.stderr.contains("gpg cannot be used here") => Err(done.stderr),
            code => {
                assert_eq!(code, 0, "{conf}: read with it\n{}", done.report());
                Ok(())
            }
        }
    };
    bare("gpgconf --homedir \"$H\" --kill all").var("H", &home_with).run();
    result
}

#[test]
fn options_that_change_nothing() {
    let all: Vec<&str> = HARMLESS.to_vec();
    in_parallel(&all, |conf| {
        if let Err(said) = tried(conf) {
            panic!("{conf}: {said}");
        }
    });
}

#[test]
fn options_with_which_gpg_is_not_used() {
    in_parallel(&REFUSED, |conf| {
        let said = tried(conf).expect_err(conf);
        assert!(said.contains(": hint: "), "{conf}: {said}");
        assert!(!said.contains("no such secret key"), "{conf}: {said}");
    });
}

/// Options that this gpg has, some of them or as many as `DURA_GPG_OPTIONS` says: none does harm
/// unsaid.
#[test]
fn every_option() {
    let values = [
        "", "1", "0", "OTHER", "KEY", "x", "none", "SHA256", "MD5", "3DES", "FILE", "x@y=z",
        "always",
    ];
    let listed = bare("gpg --dump-options").ok().text();
    let names = listed.lines().map(|line| line.trim_start_matches("--"));
    let names: Vec<&str> = names.filter(|name| !name.starts_with(char::is_uppercase)).collect();
    assert!(names.len() > 300, "{listed}");
    let lines: Vec<String> = names
        .iter()
        .flat_map(|name| {
            values.iter().map(move |value| format!("{name} {value}").trim().to_owned())
        })
        // A log of secrets, and what waits for somebody.
        .filter(|line| !line.starts_with("debug") && !line.starts_with("homedir"))
        .collect();
    let count = (variable("DURA_GPG_OPTIONS", 8) as usize).min(lines.len());
    let lines = (0..count).map(|n| lines[n * lines.len() / count].as_str()).collect::<Vec<_>>();
    in_parallel(&lines, |conf| {
        if let Err(said) = tried(conf) {
            println!("{conf}: {}", said.lines().next().unwrap_or_default());
        }
    });
}

fn in_parallel(lines: &[&str], each: impl Fn(&str) + Sync) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while let Some(line) = lines.get(next.fetch_add(1, Ordering::Relaxed)) {
                    each(line);
                }
            });
        }
    });
}
