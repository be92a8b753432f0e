//! Uploads that are cut short: by a server that dies, by a signal, or in the middle of a spool.
//! What is stored is whole, nothing is lost, and the same again goes on from there.

use std::collections::BTreeSet;
use std::path::Path;

use crate::util::place::{Ended, Place};
use crate::util::proxy::Proxy;
use crate::util::servers::{self, SECRET, Server};
use crate::util::small::{BAND, sealed};

/// A server behind a proxy, and a directory with the small band in `stream`, its objects in
/// `plain`, and in a `spool`.
struct Upload {
    server: Server,
    proxy: Proxy,
    dir: tempfile::TempDir,
}

impl Upload {
    fn new() -> Upload {
        let server = servers::rclone_s3();
        let upload = Upload {
            proxy: Proxy::start(server.address),
            server,
            dir: tempfile::tempdir().unwrap(),
        };
        std::fs::write(upload.dir.path().join("stream"), sealed()).unwrap();
        upload.place("").ok("mkdir plain; tar -xf stream -C plain; dura-push spool < stream");
        upload
    }

    /// The shell, with the archive of that name as `$ARC`, and where the server has it as
    /// `$STORED`.
    fn place(&self, name: &str) -> Place<'_> {
        let mut variables = self.server.environment(self.proxy.address);
        variables.push(("ARC", self.server.archive(name)));
        variables.push(("STORED", self.server.folder(name).unwrap().to_str().unwrap().to_owned()));
        Place { dir: self.dir.path(), variables }
    }

    /// What is stored is whole, and there is no TAIL.
    fn unfinished(&self, name: &str) {
        let script = "[ ! -d \"$STORED\" ] || (cd \"$STORED\"; find . -type f) | while read -r name; do cmp \"$STORED/$name\" plain/\"$name\"; done; \
             [ ! -e \"$STORED\"/*/TAIL ]";
        self.place(name).ok(script);
    }

    fn whole(&self, name: &str) {
        self.place(name).ok("diff -r plain \"$STORED\"");
    }
}

fn files(dir: &Path) -> BTreeSet<String> {
    let files = walkdir::WalkDir::new(dir)
        .into_iter()
        .map(Result::unwrap)
        .filter(|entry| entry.file_type().is_file());
    files
        .map(|entry| entry.path().strip_prefix(dir).unwrap().to_str().unwrap().to_owned())
        .collect()
}

/// Of a spool only what the archive lacks is sent: each object that is missing or of another size,
/// and nothing twice.
#[test]
fn only_what_is_missing_is_sent() {
    let upload = Upload::new();
    let place = upload.place("arc");
    // Before the server has looked there: it remembers what it has seen.
    place.ok("mkdir -p \"$STORED\"; cp -r spool/* \"$STORED\"; cd \"$STORED\"/*; rm TAIL 00000/000000002.tar.gz 00000/000000002.mtree.gz");
    place.ok("cd \"$STORED\"/*; : > 00000/000000003.tar.gz");
    place.ok("dura-push -q --from spool \"$ARC\"");
    let sent: BTreeSet<String> = upload
        .proxy
        .taken()
        .0
        .into_iter()
        .map(|(path, _)| path.trim_start_matches("/store/arc/").to_owned())
        .collect();
    let wanted =
        ["00000/000000002.tar.gz", "00000/000000003.tar.gz", "00000/000000002.mtree.gz", "TAIL"];
    assert_eq!(sent, wanted.map(|name| format!("{BAND}/{name}")).into());
    upload.whole("arc");
    upload.proxy.begin();
    place.ok("dura-push -q --from spool \"$ARC\"");
    let idle = upload.proxy.begin();
    // HEAD, a page for each of the two folders, and looks at TAIL: one of them beside the look
    // whether all is there.
    assert!(
        idle.len() < 9
            && idle.iter().all(|call| call.starts_with("GET ") || call.starts_with("HEAD ")),
        "{idle:?}"
    );
}

/// The server dies in the middle, and is there again for the next run: what it did not confirm is
/// still in the spool.
#[test]
fn a_server_that_dies_while_a_spool_is_emptied() {
    let upload = Upload::new();
    let all = files(&upload.dir.path().join("plain"));
    for number in [0, 5, 9, 20, 33] {
        let name = format!("died-{number}");
        let place = upload.place(&name);
        place.ok("rm -rf moved; cp -r spool moved");
        upload.proxy.begin();
        upload.proxy.dies(number);
        let Ended(code, _, err) =
            place.run("dura-push -q --retries 1 --from moved --move \"$ARC\"");
        assert_eq!(code, 2, "{number}: {err}");
        assert!(err.contains(&format!("s3://store/{name}/")), "{number}: {err}");
        upload.unfinished(&name);
        let left = files(&upload.dir.path().join("moved"));
        let stored = upload
            .server
            .folder(&name)
            .filter(|dir| dir.exists())
            .map(|dir| files(&dir))
            .unwrap_or_default();
        assert_eq!(left.union(&stored).cloned().collect::<BTreeSet<_>>(), all, "{number}");
        upload.proxy.begin();
        place.ok("dura-push -q --from moved --move \"$ARC\"; [ -z \"$(find moved -type f)\" ]");
        upload.whole(&name);
    }
}

/// One that follows a spool outlives a server that is away for a while, and being killed; the
/// backup goes on meanwhile.
#[test]
fn following_over_a_bad_line() {
    let upload = Upload::new();
    let place = upload.place("arc");
    let (first, rest) = (sealed().len() / 2, sealed().len() * 3 / 4);
    let (proxy, dies) = (upload.proxy.clone(), upload.dir.path().join("dies"));
    let line = std::thread::spawn(move || {
        // Down as soon as that is asked for, and up when some requests have found it so.
        while !dies.exists() {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        proxy.begin();
        proxy.dies(0);
        while proxy.count() < 6 {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        proxy.begin();
    });
    let script = format!(
        "follow() {{ dura-push -v --from filled --move --follow \"$ARC\" 2>>said & follow=$!; }}
         until_there() {{ until [ -s \"$STORED/{BAND}/$1\" ]; do sleep 0.05; done; }}
         mkfifo s; dura-push -q filled < s & push=$!; exec 3> s
         follow 3>&-
         head -c {first} stream >&3
         until_there 00000/000000000.mtree.gz
         kill -KILL $follow; wait $follow
         touch dies; head -c {rest} stream | tail -c +{} >&3
         follow 3>&-
         tail -c +{} stream >&3; exec 3>&-; wait $push; pushed=$?
         until_there TAIL; while [ -n \"$(find filled -type f)\" ]; do sleep 0.05; done
         kill -TERM $follow; wait $follow; echo $pushed $?",
        first + 1,
        rest + 1
    );
    let Ended(_, out, err) = place.run(&script);
    let said = std::fs::read_to_string(upload.dir.path().join("said")).unwrap();
    assert_eq!(out, "0 0\n", "{err}{said}");
    line.join().unwrap();
    assert!(said.contains("retrying"), "{said}");
    upload.whole("arc");
}

/// Of several archives one fails: the others are complete, it is named, the spool stays, and the
/// next run makes up for it.
#[test]
fn one_of_several_archives_fails() {
    let upload = Upload::new();
    let place = upload.place("arc");
    let other = servers::rclone_webdav();
    let line = Proxy::start(other.address);
    let mut place = place;
    place.variables.extend(other.environment(line.address));
    place.variables.push(("OTHER", other.archive_at(line.address, "arc")));
    line.dies(0);
    let Ended(code, _, err) =
        place.run("dura-push -q --retries 1 --from spool --move \"$OTHER\" local \"$ARC\"");
    assert_eq!(code, 2, "{err}");
    assert!(
        err.contains("dura-push: http://")
            && !err.contains("local: ")
            && !err.contains("store/arc: s3"),
        "{err}"
    );
    upload.whole("arc");
    place.ok("diff -r plain local; diff -r plain spool");
    line.begin();
    place.ok("dura-push -q --from spool --move \"$OTHER\" local \"$ARC\"; [ -z \"$(find spool -type f)\" ]");
    place.ok(&format!("diff -r plain {}", other.folder("arc").unwrap().display()));
}

/// SIGTERM and SIGINT in the middle of an upload: what is stored is whole, and neither its
/// processes' commands, output nor events tell the key.
#[test]
fn asked_to_end_in_the_middle_of_an_upload() {
    let upload = Upload::new();
    upload.proxy.latency(std::time::Duration::from_millis(100));
    for signal in ["TERM", "INT"] {
        let place = upload.place(signal);
        let script = format!(
            "env --default-signal=INT dura-push -v -j 2 --events events \"$ARC\" < stream 2> said & push=$!
             until [ -e \"$STORED\"/*/00000/000000000.mtree.gz ]; do sleep 0.05; done
             for process in $push $(cat /proc/$push/task/*/children); do tr '\\0' ' ' < /proc/$process/cmdline; done > processes
             grep -q '^dura-push -v -j 2' processes || echo not seen
             kill -{signal} $push; wait $push; echo $?"
        );
        let Ended(_, out, err) = place.run(&script);
        let read = |name: &str| std::fs::read_to_string(upload.dir.path().join(name)).unwrap();
        let said = read("said");
        assert_eq!(out, "2\n", "{err}{said}");
        assert!(
            said.contains("dura-push: interrupted") && said.contains("dura-push: hint: "),
            "{said}"
        );
        upload.unfinished(signal);
        place.ok("dura-push --events events -v \"$ARC\" < stream 2>> said");
        upload.whole(signal);
        for what in ["said", "events", "processes"] {
            let text = read(what);
            assert!(
                !text.is_empty() && !text.contains(SECRET) && !text.contains("Signature"),
                "{what}: {text}"
            );
        }
    }
}
