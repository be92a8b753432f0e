//! Directories of which something cannot be read, is something else, or can not do what others can;
//! and names that are no directory's.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use crate::util::place::{Ended, Place};
use crate::util::run::{dura, scratch};

/// Two full bands with parity.
const TWO: &str = "mkdir -p src; seq 9999 > src/seq; head -c 300000 /dev/urandom > src/big; \
    for band in 20260101T000000Z 20260102T000000Z; do dura-scan -q src | dura-pack -q --band $band --block-size 100k | \
    dura-seal -q --parity 2 | dura-push -q arc; done";
const NEWER: &str = "arc/20260102T000000Z";

fn there(script: &str, test: impl FnOnce(&Place<'_>)) {
    let dir = tempfile::tempdir().unwrap();
    let place = Place { dir: dir.path(), variables: Vec::new() };
    place.ok(script);
    test(&place);
}

/// Runs a command for which every look at these paths, and every read of them, fails.
fn failing(paths: &[String], command: &str) -> String {
    let paths: Vec<String> = paths.iter().map(|path| format!("-P {path}")).collect();
    let calls = "openat,statx,newfstatat";
    format!(
        "strace -f -qqq -o /dev/null {} -e trace={calls} -e inject={calls}:error=EIO {command}",
        paths.join(" ")
    )
}

/// A band that the disk fails at costs itself alone.
#[test]
fn one_band_cannot_be_read() {
    there(TWO, |place| {
        let paths = ["", "/HEAD", "/TAIL", "/00000"].map(|part| format!("{NEWER}{part}"));
        let Ended(code, out, err) = place.run(&failing(&paths, "dura-index bands arc"));
        assert_eq!((code, out.lines().count()), (1, 1), "{out}{err}");
        assert!(out.starts_with("20260101T000000Z complete") && err.contains("input/output error"));
        let Ended(code, out, err) = place.run(&failing(&paths, "dura-verify arc"));
        assert!(code == 1 && out.contains("damaged 20260102T000000Z"), "{out}{err}");
        assert!(!out.contains("20260101T000000Z"), "{out}");
        let restore = failing(&paths, "dura-restore arc > tar");
        let Ended(code, _, err) = place.run(&restore);
        assert_eq!(code, 1, "{err}");
        place.ok("mkdir out; tar xpf tar -C out; diff -r src out");
    });
}

/// An object that the disk fails at, at a look or at a read, is damaged, named, and given back.
#[test]
fn one_object_cannot_be_read() {
    there(TWO, |place| {
        let object = "000000000.tar.gz";
        let paths = [object.to_owned(), format!("{NEWER}/00000/{object}")];
        for options in ["", "--quick"] {
            let verify = failing(&paths, &format!("dura-verify {options} arc"));
            let Ended(code, out, err) = place.run(&verify);
            assert_eq!(code, 1, "{out}{err}");
            assert!(out.contains(&format!("damaged 20260102T000000Z/00000/{object}")), "{out}");
        }
        let repair = failing(&paths, "dura-verify --repair arc > stream");
        let Ended(code, _, err) = place.run(&repair);
        assert_eq!(code, 1, "{err}");
        place.ok(&format!(
            "tar xOf stream 20260102T000000Z/00000/{object} | cmp - {NEWER}/00000/{object}"
        ));
    });
}

/// What lies beside bands and cannot be examined is told; what is in an object's place is damage.
#[test]
fn loops_and_pipes_in_the_place_of_objects() {
    there(TWO, |place| {
        place.ok("ln -s loop arc/loop");
        for command in ["dura-index bands arc", "dura-restore arc", "dura-index diff arc < list"] {
            place.ok("dura-scan -q src > list");
            let Ended(code, _, err) = place.run(&format!("timeout 60 {command} > out"));
            assert_eq!(code, 1, "{command}: {err}");
            assert!(err.contains("arc/loop: cannot be inspected"), "{command}: {err}");
        }
        place.ok(&format!("rm arc/loop; rm {NEWER}/TAIL; mkfifo {NEWER}/TAIL"));
        let Ended(code, out, err) = place.run("timeout 60 dura-index bands arc");
        assert_eq!(code, 1, "{out}{err}");
        assert!(out.contains("20260101T000000Z complete"), "{out}");
        // Root sends nothing that only looks like an object.
        place.ok("echo secret > secret; rm arc/20260101T000000Z/recover.sh");
        place.ok("ln -s ../../secret arc/20260101T000000Z/recover.sh");
        let Ended(code, _, err) = place.run("timeout 60 dura-push --from arc sent");
        assert_ne!(code, 0, "{err}");
        place.ok("! grep -rx secret sent");
    });
}

/// File systems without hard links, without a rename that never replaces, without a flush of
/// folders.
#[test]
fn file_systems_that_can_do_less() {
    there(
        "mkdir src; seq 99 > src/a; dura-scan -q src | dura-pack -q | dura-seal -q > stream",
        |place| {
            let push = |calls: &str, error: &str| {
                let inject = format!("-e trace={calls} -e inject={calls}:error={error}");
                place.run(&format!(
                "rm -rf arc; strace -f -qqq -o /dev/null {inject} dura-push arc < stream; code=$?; \
                 [ $code = 0 ] && dura-verify -q arc && ! find arc -name '.dura*' | grep . ; exit $code"
            ))
            };
            for error in ["EPERM", "ENOSYS", "EOPNOTSUPP", "EMLINK", "EACCES"] {
                // A rename is there.
                let Ended(code, out, err) = push("linkat", error);
                assert_eq!((code, out.as_str(), err.as_str()), (0, "", ""), "{error}");
                // Neither is.
                let Ended(code, out, err) = push("linkat,renameat2", error);
                assert_eq!((code, out.as_str()), (0, ""), "{error}: {err}");
                assert_eq!(err.matches("neither hard links").count(), 1, "{error}: {err}");
            }
            // No modes can be set: none has to be.
            for error in ["EPERM", "EOPNOTSUPP"] {
                let Ended(code, out, err) = push("?chmod,fchmod,fchmodat,?fchmodat2", error);
                assert_eq!((code, out.as_str(), err.as_str()), (0, "", ""), "{error}");
            }
            place.ok("mkdir -p arc");
            for error in ["EBADF", "EACCES", "EPERM", "EINVAL"] {
                let paths: String =
                    ["", "/20*", "/20*/00000"].map(|p| format!("-P arc{p} ")).concat();
                let Ended(code, _, err) = place.run(&format!(
                "rm -rf arc; dura-push -q arc < stream; rm arc/*/*AIL; strace -f -qqq -o /dev/null {paths} \
                 -e trace=fsync -e inject=fsync:error={error} dura-push arc < stream"
            ));
                assert_eq!(code, 0, "{error}: {err}");
                assert_eq!(err.matches("cannot flush folders").count(), 1, "{error}: {err}");
            }
            // What nobody may write is no matter of keys.
            let Ended(code, _, err) = place.run("dura-push /proc/arc < stream");
            assert!(code == 2 && !err.contains("key") && !err.contains("password"), "{err}");
        },
    );
}

/// Names that other programs take for a host or a service are refused by all, and nothing is made.
#[test]
fn names_that_look_like_other_kinds() {
    there(
        "mkdir src empty; echo x > src/x; dura-scan -q src > list; dura-pack -q < list | dura-seal -q > stream",
        |place| {
            for name in ["me@nas:/b", "nas:b", "sftp:nas/b", "b2:b:p", "s3:host/b", "rclone:r:p"] {
                for command in [
                    "dura-push NAME < stream",
                    "dura-push --from NAME sent",
                    "dura-index bands NAME",
                    "dura-index diff NAME < list",
                    "dura-index ls NAME",
                    "dura-restore NAME | cat; exit ${PIPESTATUS[0]}",
                    "dura-verify NAME",
                ] {
                    let Ended(code, _, err) = place.run(&command.replace("NAME", name));
                    assert_eq!(code, 2, "{command} {name}: {err}");
                    assert!(
                        err.contains("hint: ") && err.contains("./"),
                        "{command} {name}: {err}"
                    );
                }
            }
            place.ok("[ \"$(ls | grep -v cache | tr '\\n' ' ')\" = 'empty list src stream ' ]");
            place.ok("dura-push -q ./nas:b < stream; dura-verify -q ./nas:b");
            let Ended(code, _, err) = place.run("dura-push src < stream");
            assert!(code == 2 && err.contains("--beside-others"), "{err}");
            let Ended(code, _, err) = place.run("dura-index bands src");
            assert!(code == 2 && err.contains("the archive has no band"), "{err}");
            assert_eq!(place.ok("dura-index bands empty"), "");
            place.ok("dura-push -q --beside-others src < stream");
        },
    );
}

/// An archive's name need not be text, and `file://` may name this host: all are one archive.
#[test]
fn names_that_are_no_text_and_addresses_of_files() {
    let dir = scratch("named");
    let name = OsStr::from_bytes(b"a\xff\nb");
    let state = dir.join("state");
    let run =
        |script: &str| dura(script).var("A", name).var("XDG_STATE_HOME", &state).dir(&dir).run();
    let backup = "dura-scan -q src | dura-index diff \"$@\" \"$ARC\" | dura-pack -q | dura-seal | dura-push -q \"$ARC\"";
    let begin = run(&format!("mkdir src; echo x > src/x; sleep 2.1; ARC=$A; {backup}"));
    assert_eq!(begin.code, 0, "{}", begin.report());
    let spellings =
        ["./$A", "$PWD/$A", "file://$PWD/$A", "file://localhost$PWD/$A", "file://LOCALHOST$PWD/$A"];
    for (n, arc) in spellings.iter().enumerate() {
        let done = run(&format!("set -e; echo {n} > src/{n}; sleep 1.1; ARC={arc}; {backup}
            dura-restore -q \"$ARC\" ./{n} | tar -xOf -; dura-verify -q \"$ARC\"; dura-index ls -q \"$ARC\" ./x
            dura-verify -q --against \"$ARC\" \"$A\"; dura-index where -q \"$ARC\" ./x > /dev/null
            dura-push -q --from \"$ARC\" copy; dura-index find -q \"$ARC\" ./{n} | wc -l; dura-index bands \"$ARC\" | wc -l"));
        assert_eq!(done.code, 0, "{arc}\n{}", done.report());
        let text = done.text();
        let wanted = [n.to_string(), "1".to_owned(), (n + 2).to_string()];
        let lines: Vec<&str> = text.lines().filter(|line| !line.contains("./x")).collect();
        assert_eq!(lines, wanted, "{arc}\n{}", done.report());
    }
    // Each spelling is the archive that this host has used, and messages show it as paths are
    // shown.
    assert_eq!(run("rm -r \"$A\"").code, 0);
    for arc in spellings {
        let done = run(&format!("ARC={arc}; dura-scan -q src | dura-index diff \"$ARC\""));
        assert_eq!(done.code, 2, "{arc}\n{}", done.report());
        done.tells("a\\377\\012b: holds no band, but this host has stored bands there");
    }
    // In the source it is left out, whatever its name.
    let done = run(
        "ARC=file://localhost$PWD/src/$A; cp -r copy \"src/$A\"; dura-scan -q src | dura-index diff --full \"$ARC\" | grep -c HEAD",
    );
    assert_eq!(done.text(), "0\n", "{}", done.report());
    done.tells("left out: it is the archive");
    let done = run("dura-index bands s3://b/\"$A\"");
    assert_eq!(done.code, 2);
    done.tells("hint: write each such byte as %");
}
