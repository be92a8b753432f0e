//! `dura-rclone`: an archive in a cloud that rclone serves for the run.

use std::fs;
use std::path::Path;

use crate::util::run::{Done, dura, scratch};
use crate::util::servers::installed;
use crate::util::snapshot::{EXACT, assert_same, take};

const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/bin/dura-rclone");

fn run(dir: &Path, line: &str) -> Done {
    let rclone = installed().join("bin");
    let line = format!("PATH={}:$PATH; {}", rclone.display(), line.replace("dura-rclone", PROGRAM));
    dura(&line).dir(dir).var("DURA_CACHE", dir.join("cache")).var("HOME", dir).run()
}

#[test]
fn an_archive_for_the_run() {
    for sh in ["dash", "bash", "busybox sh"] {
        let dir = scratch("rclone");
        fs::create_dir_all(dir.join("src/folder")).unwrap();
        fs::write(dir.join("src/folder/a b"), vec![7; 50_000]).unwrap();
        let ok = |line: &str| -> String {
            let done = run(&dir, &line.replace("dura-rclone", &format!("{sh} dura-rclone")));
            assert_eq!(done.code, 0, "{sh}: {}", done.report());
            done.text()
        };
        let backup = "dura-rclone :local:$PWD/cloud/deep sh -c 'sleep 1.1; dura-scan src | dura-index diff -q $DURA_ARCHIVE | \
            dura-pack -q | dura-push -q $DURA_ARCHIVE; tr \"\\0\" \" \" </proc/[0-9]*/cmdline | grep -c $DURA_DAV_PASSWORD; \
            echo $DURA_ARCHIVE'";
        let first = ok(backup);
        fs::write(dir.join("src/new"), "new").unwrap();
        let second = ok(backup);
        // The same address, and nobody sees the password.
        assert_eq!(first, second);
        let port =
            first.strip_prefix("0\nhttp://127.0.0.1:").and_then(|rest| rest.strip_suffix("/\n"));
        let port: u32 = port.expect(&first).parse().unwrap();
        assert!((61_000..65_536).contains(&port), "{port}: Linux gives it to connections");
        let bands = fs::read_dir(dir.join("cloud/deep")).unwrap().count();
        assert_eq!(bands, 2, "{first}");
        ok("mkdir out; dura-rclone :local:$PWD/cloud/deep dura-restore -q {} | tar -xpf - -C out");
        assert_same(sh, &take(&dir.join("src")), &take(&dir.join("out")), EXACT);
        // What is typed reaches the command, and its status comes back.
        assert_eq!(ok("echo typed | dura-rclone :local:cloud cat"), "typed\n");
        let line = format!("{sh} dura-rclone :local:cloud sh -c 'exit 7' '{{}}' x");
        assert_eq!(run(&dir, &line).code, 7, "{sh}");
    }
}

#[test]
fn what_cannot_be_served() {
    let dir = scratch("rclone-not");
    for (line, said) in [
        ("dura-rclone cloud true", "cloud: not a remote of rclone"),
        ("dura-rclone nowhere: true", "nowhere:: cannot be made or reached"),
        ("PATH=/usr/bin:/bin; dura-rclone :local:x true", "rclone: not on the PATH"),
        ("dura-rclone --port x :local:x true", "--port wants a number, not x"),
        ("dura-rclone :local:x dura-rclone :local:x true", "does not serve it at port"),
    ] {
        let done = run(&dir, line);
        assert_eq!(done.code, 2, "{line}: {}", done.report());
        done.tells(said);
    }
    // A signal reaches the command, and nothing is left behind.
    let done = run(
        &dir,
        "dura-rclone :local:y sh -c 'echo $$ >pid; exec sleep 60' & \
         while [ ! -s pid ]; do sleep 0.1; done; kill -TERM $!; wait $!; echo $?; \
         kill -0 $(cat pid) 2>/dev/null || echo gone; dura-rclone :local:y echo free",
    );
    assert_eq!(done.text(), "143\ngone\nfree\n", "{}", done.report());
}
