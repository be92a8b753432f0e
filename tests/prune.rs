//! `dura-prune` on real archives: what goes, what stays and why, and removals that are refused by
//! the store. Every cut of a removal is searched in `lib/ops/orders/prune.rs`.

use std::fs;
use std::path::{Path, PathBuf};

use super::util::gpg::{KEY, home};
use super::util::place::{Ended, FRESH, Place};
use super::util::proxy::{Fault, Proxy};
use super::util::run::{Done, dura, scratch};
use super::util::servers::{self, Server, installed};

const FIRST: &str = "20260102T020000Z";
const SECOND: &str = "20260102T020000Z-20260103T020000Z";
const THIRD: &str = "20260104T020000Z";
const FOURTH: &str = "20260104T020000Z-20260105T020000Z";

/// A backup as of a day of January 2026, with one file changed and one new.
fn backup(day: u64, diff: &str, seal: &str) -> String {
    format!(
        "mkdir -p src; echo {day} >src/f; head -c 40000 /dev/urandom >src/r{day}; \
         export SOURCE_DATE_EPOCH={}; dura-scan -q src | dura-index diff -q {diff} \"$ARC\" | \
         dura-pack -q --block-size 30k | dura-seal -q {seal} | dura-push -q \"$ARC\"",
        1_767_232_800 + (day - 1) * 86_400
    )
}

/// Two chains of a full band and a layer.
fn archive(name: &str, seal: &str) -> PathBuf {
    let dir = scratch(name);
    for (day, diff) in [(2, ""), (3, ""), (4, "--full"), (5, "")] {
        let line = format!("ARC=archive; {}", backup(day, diff, seal));
        home().with(dura(&line)).dir(&dir).var("HOME", &dir).ok();
    }
    dir
}

/// On a host without keys, cache and journal.
fn prune(dir: &Path, line: &str) -> Done {
    dura(&format!("unset GNUPGHOME; {line}")).dir(dir).run()
}

fn bands(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir.join("archive")).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn what_expires_goes_and_the_rest_restores() {
    let dir = archive("prune", &format!("-r {KEY} --parity 1"));
    let expire = "dura-index expire --no-cache --keep-last 2 archive";
    let done = prune(&dir, &format!("{expire} | dura-prune -n archive"));
    assert_eq!((done.code, done.text()), (0, format!("{SECOND}\n{FIRST}\n")));
    assert_eq!(bands(&dir).len(), 4);
    let done = prune(&dir, &format!("{expire} | dura-prune -v archive"));
    assert_eq!(done.code, 0, "{}", done.report());
    done.tells("removed 2 bands");
    assert_eq!(bands(&dir), [THIRD, FOURTH]);
    let line = "dura-verify --files archive; mkdir out; dura-restore archive | tar -xpf - -C out; \
                for f in src/*; do cmp $f out/${f#src/} || exit; done";
    home().with(dura(line)).dir(&dir).ok();
    // Nothing to do is done.
    let done = prune(&dir, &format!("{expire} | dura-prune archive"));
    assert_eq!((done.code, done.report().contains("dura-prune:")), (0, false), "{}", done.report());
}

#[test]
fn what_stays_is_named_with_the_reason() {
    let dir = archive("prune-stays", "");
    let whole = bands(&dir);
    for (line, code, said) in [
        (
            format!("dura-prune archive {FIRST}"),
            2,
            format!("{FIRST}: kept: {SECOND} is based on it"),
        ),
        (
            format!("dura-prune archive {FIRST} {SECOND} {THIRD} {FOURTH}"),
            2,
            format!("{FOURTH}: kept: no other complete version"),
        ),
        ("dura-prune archive 20270101T000000Z".to_owned(), 1, "does not exist".to_owned()),
        (
            format!("dura-prune --expect 20270101T000000Z archive {SECOND}"),
            2,
            "expected, but missing: removing nothing".to_owned(),
        ),
        ("echo latest | dura-prune archive".to_owned(), 2, "not a band name".to_owned()),
        (format!("dura-prune none {SECOND}"), 2, "no such file".to_owned()),
        (
            format!("mkdir -p empty; dura-prune empty {SECOND}"),
            2,
            "the archive has no band".to_owned(),
        ),
        (format!("dura-prune archive/{FIRST} {SECOND}"), 2, "is a band, not an archive".to_owned()),
        (
            // Nothing is removed from what cannot be read in whole.
            format!(
                "mv archive/{FOURTH} x; mkdir archive/{FOURTH}; sed 's/band: 2/band: 99/' x/HEAD >archive/{FOURTH}/HEAD; \
                 dura-prune archive {SECOND}; code=$?; rm -r archive/{FOURTH}; mv x archive/{FOURTH}; exit $code"
            ),
            2,
            "format 99 is newer".to_owned(),
        ),
        (
            // A later version that lacks an object takes nobody's place, an earlier one neither.
            format!(
                "mv archive/{THIRD}/00000/000000000*.tar.gz b; dura-prune archive {SECOND}; code=$?; \
                     mv b archive/{THIRD}/00000/000000000.tar.gz; exit $code"
            ),
            2,
            format!("would replace it are missing: {FOURTH}"),
        ),
        (
            format!(
                "sed s/^source-id:.*/source-id:\\ {}/ -i archive/{SECOND}/[HT]*; \
                     dura-prune archive {SECOND}",
                "7".repeat(32)
            ),
            2,
            "no other complete version of its source".to_owned(),
        ),
    ] {
        let done = prune(&dir, &line);
        assert_eq!(done.code, code, "{line}\n{}", done.report());
        done.tells(&said);
        assert_eq!(bands(&dir), whole, "{line}");
    }
}

#[test]
fn a_signed_version_goes_when_a_signed_one_stays() {
    let dir = archive("prune-signed", &format!("--sign {KEY}"));
    fs::remove_file(dir.join("archive").join(FOURTH).join("TAIL.sig")).unwrap();
    let done = prune(&dir, &format!("dura-prune archive {SECOND}"));
    assert_eq!(done.code, 0, "{}", done.report());
    fs::remove_file(dir.join("archive").join(THIRD).join("TAIL.sig")).unwrap();
    let done = prune(&dir, &format!("dura-prune archive {FIRST}"));
    assert_eq!(done.code, 2, "{}", done.report());
    done.tells("it is signed, and no other signed version would be left");
}

/// What is left of a removal that was cut is removed by name, and what others put there is not.
#[test]
fn what_is_left_goes_by_name() {
    let dir = archive("prune-left", "--parity 1");
    let line = format!(
        "cd archive; rm {SECOND}/HEAD {SECOND}/TAIL; rm {FIRST}/HEAD {FIRST}/TAIL {FIRST}/*/*.sha256 {FIRST}/*/*.mtree.gz; \
         touch {SECOND}/mine {SECOND}/00000/000000000.tar.gz.{}",
        "tmp"
    );
    dura(&line).dir(&dir).ok();
    let done = prune(&dir, &format!("dura-prune archive {FIRST}"));
    assert_eq!(done.code, 2, "{}", done.report());
    done.tells(&format!("{SECOND} is based on it"));
    let done = prune(&dir, &format!("dura-prune archive {FIRST} {SECOND}"));
    assert_eq!(done.code, 0, "{}", done.report());
    done.tells(&format!("{SECOND}/mine: not written by Dura: left where it is"));
    assert_eq!(bands(&dir), [SECOND, THIRD, FOURTH]);
    assert!(dir.join("archive").join(SECOND).join("mine").exists());
    let done = prune(&dir, "dura-verify archive");
    assert_eq!(done.code, 0, "{}", done.report());
}

/// Each request of a removal is refused once; afterwards the newest version is read, another backup
/// works, and another prune ends what was begun.
fn refused_by(server: &Server, stride: usize) {
    let dir = tempfile::tempdir().unwrap();
    let place = |proxy: Option<&Proxy>, name: &str| {
        let address = proxy.map_or(server.address, |proxy| proxy.address);
        let mut variables = server.environment(address);
        variables.push(("ARC", server.archive_at(address, name)));
        Place { dir: dir.path(), variables }
    };
    let made = |name: &str| {
        for (day, diff) in [(2, ""), (3, ""), (4, "--full"), (5, "")] {
            place(None, name).ok(&format!("{FRESH}; {}", backup(day, diff, "")));
        }
    };
    let prune = format!("dura-prune -q -j 2 --retries 0 \"$ARC\" {FIRST} {SECOND}");
    let proxy = Proxy::start(server.address);
    made("clean");
    proxy.begin();
    place(Some(&proxy), "clean").ok(&prune);
    let calls = proxy.begin().len();
    assert!(calls > 30, "{calls}");
    for number in (1..calls).step_by(stride) {
        let name = format!("n{number}");
        made(&name);
        let (through, direct) = (place(Some(&proxy), &name), place(None, &name));
        proxy.begin();
        // The last call of all cannot matter any more.
        proxy.fault_from(number, &Fault::Status(403));
        let Ended(code, _, err) = through.run(&prune);
        proxy.begin();
        assert_eq!(code, 2, "{number}: {err}");
        direct.ok(&format!("{FRESH}; mkdir out; dura-restore -q \"$ARC\" | tar -xpf - -C out; diff -r src out; rm -r out"));
        direct.ok(&format!("{FRESH}; {}", backup(6, "", "")));
        let Ended(code, _, err) = direct.run(&prune);
        assert!(code < 2, "{number}: {err}");
        let left =
            direct.ok("dura-verify -q \"$ARC\"; dura-index bands \"$ARC\" | cut -d ' ' -f 1");
        assert!(!left.contains(FIRST), "{number}: {left}");
        direct.ok("rm -r src");
    }
}

#[test]
fn refused_by_a_bucket() {
    refused_by(&servers::moto(), 17);
}

#[test]
fn refused_by_a_collection() {
    refused_by(&servers::rclone_webdav(), 17);
}

/// Keys that may not delete change nothing; a lock is told with its end; a bucket that keeps
/// versions is told once.
#[test]
fn keys_and_buckets_that_keep() {
    let server = servers::moto();
    let dir = tempfile::tempdir().unwrap();
    let proxy = Proxy::start(server.address);
    let mut variables = server.environment(proxy.address);
    variables.push(("ARC", "s3://kept/arc".to_owned()));
    variables.push(("PYTHONPATH", installed().to_str().unwrap().to_owned()));
    variables.push(("ENDPOINT", format!("http://{}", server.address)));
    let place = Place { dir: dir.path(), variables };
    let boto = "import boto3, os, datetime; s3 = boto3.client('s3', endpoint_url=os.environ['ENDPOINT'], \
                region_name='us-east-1', aws_access_key_id='x', aws_secret_access_key='x')";
    place.ok(&format!(
        "python3 -c \"{boto}; s3.create_bucket(Bucket='kept', ObjectLockEnabledForBucket=True)\""
    ));
    for (day, diff) in [(2, ""), (3, ""), (4, "--full"), (5, "")] {
        place.ok(&backup(day, diff, ""));
    }
    place.ok(&format!(
        "python3 -c \"{boto}; s3.put_object_retention(Bucket='kept', Key='arc/{SECOND}/HEAD', \
         Retention=dict(Mode='COMPLIANCE', RetainUntilDate=datetime.datetime(2031, 2, 3)))\""
    ));
    let (prune, list) = (format!("dura-prune \"$ARC\" {SECOND}"), "dura-index bands \"$ARC\"");
    let before = place.ok(list);
    proxy.refuses("DELETE");
    place.refused(&prune, &["403", "locked until 2031-02-03", "their permissions"]);
    proxy.begin();
    assert_eq!(place.ok(list), before);
    let Ended(code, _, err) = place.run(&prune);
    assert_eq!((code, err.matches("the bucket keeps older versions").count()), (0, 1), "{err}");
    assert!(!place.ok(list).contains(SECOND));
}

/// What is hidden is no band to anybody, comes back by the command that is printed, and goes after
/// its days.
#[test]
fn hidden_bands() {
    let dir = archive("prune-hidden", "");
    let run = |line: &str| prune(&dir, line);
    let hide = |day: u64, names: &str| {
        let now = 1_767_232_800 + day * 86_400;
        run(&format!("SOURCE_DATE_EPOCH={now} dura-prune --hide 30 archive {names} </dev/null"))
    };
    let done = hide(10, &format!("{FIRST} {THIRD}"));
    assert_eq!(done.code, 2, "{}", done.report());
    done.tells(&format!("{FIRST}: kept: {SECOND} is based on it"));
    assert_eq!(bands(&dir).len(), 4);
    let whole = run("cd archive; find . -type f | sort | xargs sha256sum").text();

    let done = hide(10, &format!("{FIRST} {SECOND}"));
    assert_eq!(done.code, 0, "{}", done.report());
    done.tells("hidden until 2026-02-10T02:00:00Z: mv ");
    let back = done.stderr.split_once("Z: ").unwrap().1.split_once(" brings").unwrap().0.to_owned();
    assert_eq!(bands(&dir), [".expired", THIRD, FOURTH]);
    let listed = run("dura-index bands archive").text();
    assert!(listed.lines().count() == 2 && !listed.contains(SECOND), "{listed}");
    for line in [
        "dura-verify --no-cache archive",
        "dura-index list --no-cache archive",
        "dura-restore --no-cache archive | tar -tf -",
        "dura-push --from archive other; dura-verify --no-cache --against other archive",
    ] {
        let done = run(line);
        let quiet = !done.stderr.contains("expired") && !done.stderr.contains(SECOND);
        assert!(done.code == 0 && quiet, "{}", done.report());
    }
    assert_eq!(run("ls other").text(), format!("{THIRD}\n{FOURTH}\n"));
    // Where nothing else is, a new band may be made.
    let alone = "mkdir new; cp -r archive/.expired new; dura-scan src | dura-pack | dura-push new";
    assert_eq!(run(alone).code, 0);

    assert_eq!(run(&back).code, 0, "{back}");
    run("rmdir archive/.expired/* archive/.expired");
    assert_eq!(run("cd archive; find . -type f | sort | xargs sha256sum").text(), whole);
    assert_eq!(run("dura-verify --no-cache archive").code, 0);

    assert_eq!(hide(10, SECOND).code, 0);
    assert_eq!(hide(20, FIRST).code, 0);
    run("touch archive/.expired/20260121T020000Z/mine");
    for (day, left) in [(39, 2), (40, 1), (49, 1)] {
        let done = hide(day, "");
        assert_eq!(done.code, 0, "{}", done.report());
        assert_eq!(fs::read_dir(dir.join("archive/.expired")).unwrap().count(), left, "{day}");
    }
    assert_eq!(hide(50, "").code, 0);
    assert_eq!(
        run("find archive/.expired -type f").text(),
        "archive/.expired/20260121T020000Z/mine\n"
    );
    let done = run("dura-prune --hide 3 s3://bucket/archive 20260102T020000Z");
    assert_eq!(done.code, 2);
    done.tells("only where the archive is a directory");
}
