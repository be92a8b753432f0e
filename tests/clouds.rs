//! Archives in buckets and on WebDAV servers, through the programs: what comes back is what was
//! there, and what goes wrong is told.

use crate::util::place::{Ended, Place};
use crate::util::proxy::{Fault, Proxy};
use crate::util::servers::{self, SECRET, Server};

const TREE: &str = "mkdir -p src/a/b src/c; seq 1000 > src/a/seq; head -c 1500000 /dev/urandom > src/big; ln src/a/seq src/c/hard; \
    ln -s a src/link; for i in $(seq 50); do echo $i > src/c/$i; done; touch -d '2020-01-01' src/a/seq src/big src/c/*; sleep 2.1";
const PUT: &str = "dura-scan -q src | dura-index diff -q \"$ARC\" | dura-pack -q --block-size 100k --part-size 500k | dura-seal --parity 1";
const SAME: &str = "rm -rf out; mkdir out; dura-restore -q \"$ARC\" | tar -xpf - -C out; diff -r --no-dereference src out";

/// A full band that was cut off and goes on, a layer on it, and everything back.
fn there_and_back(server: &Server) {
    let dir = tempfile::tempdir().unwrap();
    let mut variables = server.environment(server.address);
    variables.push(("ARC", server.archive("arc")));
    let place = Place { dir: dir.path(), variables };
    place.ok(TREE);
    let Ended(code, _, err) = place.run(&format!("{PUT} | head -c 700000 | dura-push -q \"$ARC\""));
    assert_ne!(code, 0, "{err}");
    assert_eq!(place.ok("dura-index bands \"$ARC\" | cut -d' ' -f2"), "unfinished\n");
    place.ok(&format!("{PUT} | dura-push -q \"$ARC\"; {SAME}"));
    assert_eq!(place.ok("dura-index bands \"$ARC\" | cut -d' ' -f2"), "complete\n");
    place.ok(&format!("echo new > src/c/1; rm src/c/2; rm -r src/a/b; sleep 1; {PUT} | dura-push -q \"$ARC\"; {SAME}"));
    assert_eq!(place.ok("dura-index bands \"$ARC\" | cut -d' ' -f2"), "complete\ncomplete\n");
    // Without the cache, one file, from a host that has only the archive.
    assert_eq!(
        place.ok("rm -r cache; dura-restore -q \"$ARC\" ./c/1 ./c/3 | tar -xOf -"),
        "new\n3\n"
    );
    // Copied to a directory by any tool it is the same archive.
    if let Some(folder) = server.folder("arc") {
        place.ok(&format!(
            "cp -r {} copy; for band in copy/*; do (cd $band; cat */*.sha256 | grep -v '^#' | sha256sum --quiet -c); done",
            folder.display()
        ));
        place.ok(
            "cd copy; cd $(ls | tail -n 1); sh recover.sh ../../hand 2>/dev/null; cd ../..; diff -r --no-dereference src hand",
        );
    }
}

#[test]
fn rclone_s3_there_and_back() {
    there_and_back(&servers::rclone_s3());
}

#[test]
fn rclone_webdav_there_and_back() {
    there_and_back(&servers::rclone_webdav());
}

#[test]
fn moto_there_and_back() {
    there_and_back(&servers::moto());
}

/// A server that overwrites is told of once; one that does not is not.
#[test]
fn servers_that_overwrite_are_told_of() {
    let dir = tempfile::tempdir().unwrap();
    for (server, told) in [(servers::rclone_s3(), 1), (servers::moto(), 0)] {
        let mut variables = server.environment(server.address);
        variables.push(("ARC", server.archive("arc")));
        let place = Place { dir: dir.path(), variables };
        place.ok("mkdir -p src; echo x > src/x");
        let Ended(code, _, err) =
            place.run("dura-scan src | dura-pack -q | dura-seal | dura-push \"$ARC\"");
        assert_eq!((code, err.matches("ignores If-None-Match").count()), (0, told), "{err}");
        // The same band once more is the same; another of that name is refused, and changes
        // nothing.
        let again = "dura-scan src | dura-pack -q --band 20200101T000000Z | dura-seal | dura-push -q \"$ARC\"";
        place.ok(again);
        place.refused(again, &["20200101T000000Z/HEAD", "already exists"]);
        assert_eq!(place.ok("dura-index bands \"$ARC\" | grep -c complete"), "2\n");
    }
}

/// What a server may answer to any request, with one status that its kind has for a refusal, and
/// what is said of each.
fn answers(status: u16, refused: &'static [&'static str]) -> [(Fault, &'static [&'static str]); 3] {
    [
        (
            Fault::Redirect("http://user:hush@127.0.0.1:1/x?hush".to_owned()),
            &["redirects to http://127.0.0.1:1", "hint: redirects are not followed"],
        ),
        (Fault::Status(507), &["507 insufficient storage", "hint: free some space"]),
        (Fault::Status(status), refused),
    ]
}

/// What a person can set right is told within seconds.
#[test]
fn what_cannot_work_is_told() {
    let server = servers::rclone_s3();
    let proxy = Proxy::start(server.address);
    let dir = tempfile::tempdir().unwrap();
    let place = Place { dir: dir.path(), variables: server.environment(proxy.address) };
    let put = |archive: &str| {
        format!(
            "dura-scan -q src | dura-pack -q | dura-seal | dura-push -q --events log '{archive}'"
        )
    };
    place.ok("mkdir -p src; echo x > src/x");
    let with = |name: &str, value: &str, archive: &str| {
        format!("export {name}='{value}'; {}", put(archive))
    };

    place.refused(
        &put("s3://nowhere/arc"),
        &["s3://nowhere/arc", "NoSuchBucket", "hint: create the bucket"],
    );
    place
        .refused("dura-index bands s3://nowhere/arc", &["NoSuchBucket", "hint: create the bucket"]);
    place.refused(
        &with("AWS_ACCESS_KEY_ID", "OTHERKEY", "s3://store/arc"),
        &["InvalidAccessKeyId", "hint: check the keys"],
    );
    place.refused(
        &with("AWS_SECRET_ACCESS_KEY", "wrong", "s3://store/arc"),
        &["SignatureDoesNotMatch", "hint: check the keys"],
    );
    place.refused(
        &with("AWS_ACCESS_KEY_ID", "", "s3://store/arc"),
        &["no keys", "hint: set AWS_ACCESS_KEY_ID"],
    );
    place.refused(&put("s3://store/arc?profile=none"), &["no profile none"]);
    place.refused(&put("s3://store/a//b"), &["s3://store/a//b", "hint:"]);
    place.refused(&put("ftp://store/a"), &["no store for ftp://", "rclone"]);
    for (fault, said) in answers(403, &["403 forbidden", "hint: check the keys"]) {
        // Whichever request meets it first: one that asks, one that writes, one in the middle.
        // Alone, a look ahead of a write may fail.
        for number in [0, 1, 6] {
            proxy.begin();
            proxy.fault_from(number, &fault);
            place.refused(
                &put(&format!("s3://store/f{number}{}", said.len() + said[0].len())),
                said,
            );
        }
    }
    // Nothing is complete.
    let store = server.folder("").unwrap();
    let bands = place
        .ok(&"ls -d $STORE/f*/*; ! ls $STORE/*/*/TAIL".replace("$STORE", store.to_str().unwrap()));
    assert_eq!(bands.lines().count(), 3, "{bands}");
    let log = std::fs::read_to_string(dir.path().join("log")).unwrap();
    assert!(
        log.contains("error")
            && !log.contains(SECRET)
            && !log.contains("Signature=")
            && !log.contains("hush"),
        "{log}"
    );
}

/// Logins of WebDAV come from where nobody sees them.
#[test]
fn logins_of_webdav() {
    let server = servers::rclone_webdav();
    let dir = tempfile::tempdir().unwrap();
    let place = Place { dir: dir.path(), variables: vec![("ARC", server.archive("arc"))] };
    let put = "dura-scan -q src | dura-pack -q | dura-seal | dura-push -q \"$ARC\"";
    place.ok("mkdir -p src; echo x > src/x");
    place.refused(put, &["401 unauthorized", "hint: check the keys or the password"]);
    place.refused(
        &format!("ARC=$(echo $ARC | sed s,://,://me:hush@,); {put}"),
        &["archive's name must not contain a user or password", "~/.netrc"],
    );
    place.refused(
        &format!(
            "ARC=$(echo $ARC | sed s,/store/,/nowhere/,); export DURA_DAV_USER={} DURA_DAV_PASSWORD='{SECRET}'; {put}",
            servers::KEY
        ),
        &["409 conflict", "hint: create the bucket, or the folder"],
    );
    place
        .ok(&format!("echo 'machine 127.0.0.1 login {} password {SECRET}' > .netrc; {put}; dura-index bands $ARC", servers::KEY));
}

/// What cannot work on WebDAV is told, too, and leaves nothing complete; and who looks at processes
/// sees no password.
#[test]
fn what_cannot_work_on_webdav_is_told() {
    let server = servers::rclone_webdav();
    let proxy = Proxy::start(server.address);
    let dir = tempfile::tempdir().unwrap();
    let place = Place { dir: dir.path(), variables: server.environment(proxy.address) };
    place.ok("mkdir -p src; echo x > src/x; dura-scan -q src | dura-pack -q | dura-seal > band");
    for (fault, said) in answers(401, &["401 unauthorized", "hint: check the keys or the password"])
    {
        for number in [1, 3, 8] {
            proxy.begin();
            proxy.fault_from(number, &fault);
            let archive = server.archive_at(proxy.address, &format!("f{number}"));
            place.refused(&format!("dura-push --events log {archive} < band"), said);
        }
    }
    let store = server.folder("").unwrap();
    place
        .ok(&"ls -d $STORE/f8/*/HEAD; ! ls $STORE/*/*/TAIL"
            .replace("$STORE", store.to_str().unwrap()));
    let log = std::fs::read_to_string(dir.path().join("log")).unwrap();
    assert!(log.contains("error") && !log.contains(SECRET) && !log.contains("hush"), "{log}");
    // A push that waits for the rest of its stream, as others see it.
    proxy.begin();
    let archive = server.archive_at(proxy.address, "seen");
    let seen = place.ok(&format!(
        "(head -c 3000 band; until [ -e looked ]; do sleep 0.05; done; tail -c +3001 band) | dura-push {archive} & \
         until tr '\\0' ' ' < /proc/$!/cmdline | grep '^dura-push '; do sleep 0.05; done; touch looked; wait"
    ));
    assert!(
        seen.contains("dura-push http://")
            && !seen.contains(SECRET)
            && !seen.contains(servers::KEY),
        "{seen}"
    );
}

/// A certificate that does not verify ends the run; one that is named is trusted.
#[test]
fn certificates() {
    let dir = tempfile::tempdir().unwrap();
    let place = Place { dir: dir.path(), variables: Vec::new() };
    place.ok(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout key.pem -out cert.pem -days 2 -subj /CN=test \
         -addext subjectAltName=IP:127.0.0.1 -addext basicConstraints=critical,CA:FALSE 2>/dev/null; mkdir -p src; echo x > src/x",
    );
    let server =
        servers::rclone_webdav_tls(&dir.path().join("cert.pem"), &dir.path().join("key.pem"));
    let archive = server.archive("arc").replace("http://", "https://");
    let place = Place {
        dir: dir.path(),
        variables: [server.environment(server.address), vec![("ARC", archive)]].concat(),
    };
    let put = "dura-scan -q src | dura-pack -q | dura-seal | dura-push -q \"$ARC\"";
    place.refused(put, &["certificate", "hint: for a server with a certificate of your own"]);
    let bucket = format!(
        "export AWS_ENDPOINT_URL=https://{} AWS_ACCESS_KEY_ID=a AWS_SECRET_ACCESS_KEY=b; ARC=s3://store/arc",
        server.address
    );
    place.refused(
        &format!("{bucket}; {put}"),
        &["certificate", "hint: for a server with a certificate of your own"],
    );
    place.ok(&format!(
        "export SSL_CERT_FILE=cert.pem; {put}; dura-index bands $ARC | grep -q ' complete '"
    ));
    place.refused(
        &format!(
            "export SSL_CERT_FILE=cert.pem; ARC=$(echo $ARC | sed s/127.0.0.1/localhost/); {put}"
        ),
        &["certificate"],
    );
}

/// What a plain web server serves can be read, by the full name of a complete band.
#[test]
fn plain_web_servers() {
    let dir = tempfile::tempdir().unwrap();
    let place = Place { dir: dir.path(), variables: Vec::new() };
    place.ok(&format!("ARC=web/arc; {TREE}; {PUT} | dura-push -q web/arc; echo more > src/more; sleep 1; {PUT} | dura-push -q web/arc; rm -r cache"));
    let server = servers::plain_web(&dir.path().join("web"));
    let place = Place {
        dir: dir.path(),
        variables: vec![("ARC", format!("http://{}/arc", server.address))],
    };
    place.ok("band=$(ls web/arc | tail -n 1); mkdir out; dura-restore -q --band $band \"$ARC\" | tar -xpf - -C out; diff -r --no-dereference src out");
    place.refused(
        "dura-index bands \"$ARC\"",
        &["cannot list what it has", "hint: give the full name of a complete band with --band"],
    );
    place.refused(
        "dura-scan -q src | dura-pack -q | dura-seal | dura-push -q \"$ARC\"",
        &["can only be read"],
    );
}

/// What goes wrong once with a request is tried again, and leaves no trace; whatever the server
/// keeps of a write that was cut.
#[test]
fn single_faults_leave_no_trace() {
    let server = servers::rclone_webdav();
    let proxy = Proxy::start(server.address);
    let dir = tempfile::tempdir().unwrap();
    let place = Place { dir: dir.path(), variables: server.environment(proxy.address) };
    let pack = "dura-scan -q src | dura-pack -q --block-size 100k --part-size 150k";
    place.ok(&format!("mkdir src; head -c 400000 /dev/urandom > src/big; echo x > src/x; sleep 2.1; {pack} | dura-seal > band; mkdir plain; tar -xf band -C plain"));
    let push = |archive: &str| format!("export DURA_TIMEOUT=1; dura-push -q '{archive}' < band");
    place.ok(&push(&server.archive_at(proxy.address, "clean")));
    let calls = proxy.begin();
    assert!(calls.len() > 20, "{calls:?}");
    let faults = [
        Fault::CutBody,
        Fault::LostReply,
        Fault::Refused,
        Fault::Status(500),
        Fault::Busy(1),
        Fault::Stale,
        Fault::Hangs,
    ];
    for number in 0..calls.len() {
        let fault = faults[number % faults.len()].clone();
        let archive = format!("f{number}");
        proxy.begin();
        proxy.fault(number, fault.clone());
        let Ended(code, _, err) = place.run(&push(&server.archive_at(proxy.address, &archive)));
        assert_eq!(code, 0, "{} {fault:?}\n{err}", calls[number]);
        let stored = server.folder(&archive).unwrap();
        let Ended(code, out, _) = place.run(&format!("diff -r plain {}", stored.display()));
        assert_eq!(code, 0, "{} {fault:?}\n{out}", calls[number]);
    }
}

/// A body that changes on its way to S3 is refused there, by its checksum, and sent again.
#[test]
fn what_changes_on_the_way_is_sent_again() {
    let server = servers::rclone_s3();
    let proxy = Proxy::start(server.address);
    let dir = tempfile::tempdir().unwrap();
    let place = Place { dir: dir.path(), variables: server.environment(proxy.address) };
    place.ok("mkdir src; echo x > src/x; dura-scan -q src | dura-pack -q | dura-seal > band; mkdir plain; tar -xf band -C plain");
    for number in [1, 4, 6, 8] {
        proxy.begin();
        proxy.fault(number, Fault::Flipped);
        place.ok(&format!("dura-push -q s3://store/f{number} < band"));
        assert!(proxy.begin().len() > number);
        place.ok(&format!(
            "diff -r plain {}",
            server.folder(&format!("f{number}")).unwrap().display()
        ));
    }
}
