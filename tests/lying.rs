//! Servers that confirm what they do not keep: the run ends with 2 and says so, at HEAD before
//! anything else is sent, and else before TAIL.

use crate::util::place::{Ended, FRESH, Place};
use crate::util::proxy::Proxy;
use crate::util::servers::{self, Server};

/// What is lost: the ends of names.
const LOST: [&str; 7] = [
    "/HEAD",
    "/RECOVER.txt",
    "/000000000.tar.gz",
    "/000000000.mtree.gz",
    ".toc.gz",
    "-0.sha256",
    "/TAIL",
];

fn lying(server: &Server) {
    let dir = tempfile::tempdir().unwrap();
    let proxy = Proxy::start(server.address);
    let place = |address, name: &str| {
        let mut variables = server.environment(address);
        variables.push(("ARC", server.archive_at(address, name)));
        Place { dir: dir.path(), variables }
    };
    place(server.address, "none")
        .ok("mkdir src; for i in 1 2 3; do head -c 40000 /dev/urandom > src/$i; done; sleep 2.1; \
         dura-scan -q src | dura-pack -q --block-size 30k | dura-seal > band");
    let mut seen = 0;
    for lost in LOST {
        // Nothing of it, an empty object, or the beginning.
        for kept in [None, Some(0), Some(30)] {
            let name = format!("arc{seen}");
            let (through, direct) = (place(proxy.address, &name), place(server.address, &name));
            let what = format!("{lost}, of which {kept:?} is kept");
            proxy.begin();
            proxy.loses(lost, kept);
            let Ended(code, _, err) = through.run("dura-push --retries 2 \"$ARC\" < band");
            assert_eq!(code, 2, "{what}: {err}");
            assert!(err.contains("when read back"), "{what}: {err}");
            let sent = |end: &str, calls: &[String]| {
                calls.iter().filter(|call| call.starts_with("PUT ") && call.ends_with(end)).count()
            };
            let calls = proxy.begin();
            let blocks = sent(".tar.gz", &calls);
            assert_eq!(blocks > 0, lost != "/HEAD", "{what}: {calls:?}");
            assert_eq!(sent("/TAIL", &calls) > 0, lost == "/TAIL", "{what}: {calls:?}");
            // What answers is the store again: the same run is done.
            if (lost, kept) != ("/HEAD", Some(30)) {
                through.ok("dura-push -q \"$ARC\" < band");
                direct.ok(&format!("{FRESH}; dura-verify -q \"$ARC\""));
            }
            seen += 1;
        }
    }
    assert_eq!(seen, 21);
}

#[test]
fn a_bucket() {
    lying(&servers::moto());
}

#[test]
fn a_collection() {
    lying(&servers::rclone_webdav());
}
