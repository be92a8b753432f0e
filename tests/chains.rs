//! recover.sh over a chain of bands: as root and as an ordinary user, with each tar.

use std::fs;

use crate::util::backup::destination;
use crate::util::run::{bare, dura, scratch};
use crate::util::snapshot::{Compare, EXACT, Times, assert_same, take};

/// What changes from band to band: contents, times, modes, types in every direction, first names of
/// hard links, read-only directories.
const ROUNDS: [&str; 3] = [
    "mkdir -p a/sub b c/deep; printf '%01000d' 7 > a/seq; echo 1 > a/one; echo 2 > b/two; ln a/seq c/hard; ln a/seq c/other; ln -s a link; ln -s b/two file
     echo kept > c/kept; echo x > c/deep/x; mkfifo fifo; chmod 0555 c/deep; touch -d @1500000000.5 a/seq a/one b/two c/kept; chmod 0755 .",
    "touch a/one c/kept; chmod 0600 b/two; rm a/seq; rm -r a/sub; echo now > a/sub; rm link; mkdir link; echo y > link/y; rm file; echo f > file
     chmod 0755 c/deep; echo z > c/deep/z; touch -d @1400000000 c/deep; chmod 0555 c/deep; rm fifo; mkdir fifo",
    "mv b d; rm a/sub; mkdir a/sub; echo s > a/sub/s; rm -r link; ln -s a link; echo more >> c/hard; rm -r fifo; echo 3 > fifo; chmod 0755 c/deep
     rm c/deep/x; chmod 0555 c/deep; chmod 0400 c/kept",
];

/// Every version of the chain comes back, as far as the tar can bring it.
#[test]
fn chains_with_each_tar() {
    let dir = scratch("chains");
    let src = dir.join("src");
    fs::create_dir(&src).unwrap();
    let mut versions = vec![];
    for round in ROUNDS {
        bare(&format!("set -e; umask 022; {round}")).dir(&src).ok();
        std::thread::sleep(std::time::Duration::from_millis(2100));
        dura("dura-scan src | dura-index diff archive | dura-pack | dura-seal | dura-push archive")
            .dir(&dir)
            .ok();
        versions.push(take(&src));
    }
    let mut bands: Vec<_> =
        fs::read_dir(dir.join("archive")).unwrap().map(|entry| entry.unwrap().path()).collect();
    bands.sort();
    assert_eq!(bands.len(), versions.len());
    let seconds = Compare {
        times: Times::Seconds,
        xattrs: false,
        acls: false,
        privileged_xattrs: false,
        sparse: false,
        ..EXACT
    };
    for (tar, compare) in [("tar", EXACT), ("bsdtar", EXACT), ("busybox tar", seconds)] {
        for user in [false, true] {
            for (band, was) in bands.iter().zip(&versions) {
                let dest = destination(user);
                let script = "cd \"$BAND\" && dash recover.sh \"$DEST\"";
                let done = bare(script)
                    .var("BAND", band)
                    .var("DEST", &dest)
                    .var("TAR", tar)
                    .user(user)
                    .run();
                assert!(
                    done.code == 0 || (done.code == 1 && tar == "busybox tar"),
                    "{tar}, user {user}\n{}",
                    done.report()
                );
                let compare = Compare { owners: !user, ..compare };
                assert_same(
                    &format!("{tar}, user {user}, {}\n{}", band.display(), done.report()),
                    was,
                    &take(&dest),
                    compare,
                );
            }
        }
    }
}
