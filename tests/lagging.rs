//! Listings that lag behind what was stored: they are asked for again, and nobody takes an archive
//! for an empty one, or an older version for the newest.

use std::time::Duration;

use crate::util::place::{Ended, Place};
use crate::util::proxy::{Fault, Proxy};
use crate::util::servers::{self, Server};

const RUN: &str = "dura-scan -q src | dura-index diff $O \"$ARC\" | dura-pack -q | dura-seal | dura-push -q \"$ARC\"";

fn lagging(server: &Server) {
    let dir = tempfile::tempdir().unwrap();
    let proxy = Proxy::start(server.address);
    let mut variables = server.environment(proxy.address);
    variables.push(("ARC", server.archive_at(proxy.address, "arc")));
    let place = Place { dir: dir.path(), variables };
    let tiers =
        || place.ok("O=; dura-index bands \"$ARC\" | awk '{ print split($1, p, \"-\") - 1 }'");
    let lags = |seconds| proxy.lags(Duration::from_secs(seconds));
    let run = format!("O=; {RUN}");
    place.ok(&format!("mkdir src; echo 1 > src/1; sleep 2.1; {run}"));

    // The first band is there, and not listed yet: who reads gets it, who backs up stands on it.
    lags(3);
    assert_eq!(place.ok("dura-restore -q \"$ARC\" ./1 | tar -xOf -"), "1\n");
    lags(3);
    let Ended(code, _, err) = place.run(&format!("echo 2 > src/2; sleep 1; {run}"));
    assert_eq!((code, err.matches("waiting for").count()), (0, 1), "{err}");
    assert_eq!(tiers(), "0\n1\n");

    // The second is not listed yet: the first is not taken for the newest.
    lags(3);
    assert_eq!(place.ok("dura-restore -q \"$ARC\" ./2 | tar -xOf -"), "2\n");
    lags(3);
    place.ok(&format!("echo 3 > src/3; sleep 1; {run}"));
    assert_eq!(tiers(), "0\n1\n2\n");
    lags(1000);
    for command in ["dura-restore", "dura-verify", "dura-index bands", "dura-index ls"] {
        place.refused(&format!("{command} --retries 1 \"$ARC\""), &["not in the listing yet"]);
    }
    place.refused(&format!("O='--retries 1'; {RUN}"), &["not in the listing yet"]);
    lags(0);
    assert_eq!(tiers(), "0\n1\n2\n");

    // An archive that has held bands and shows none is not an empty one, unless that is meant.
    if !server.archive("").starts_with("http") {
        return;
    }
    let diff = "dura-scan -q src | dura-index diff $O \"$ARC\"";
    proxy.begin();
    proxy.fault_from(0, &Fault::Status(404));
    let said = "holds no band, but this host";
    place.refused(&format!("O='--retries 2'; {diff}"), &[said]);
    let listed = proxy.begin().iter().filter(|call| call.starts_with("PROPFIND")).count();
    assert!(listed >= 3, "asked {listed} times");
    proxy.fault_from(0, &Fault::Status(404));
    assert!(place.ok(&format!("O='--retries 2 --full'; {diff}")).contains("./3 "));
}

#[test]
fn a_bucket() {
    lagging(&servers::rclone_s3());
}

#[test]
fn a_collection() {
    lagging(&servers::rclone_webdav());
}
