//! Archives over SSH, through the programs and OpenSSH's own server on loopback.

use crate::util::place::{Ended, Place};
use crate::util::servers::{self, Server};

const PUT: &str = "dura-scan -q src | dura-index diff -q \"$ARC\" | dura-pack -q --block-size 100k --part-size 200k | dura-seal -q --parity 1";
const SAME: &str = "rm -rf out; mkdir out; dura-restore -q \"$ARC\" | tar -xpf - -C out; diff -r --no-dereference src out";

fn place<'a>(server: &Server, dir: &'a std::path::Path) -> Place<'a> {
    let mut variables = server.environment(server.address);
    variables.push(("ARC", server.archive("arc")));
    Place { dir, variables }
}

/// A band that was cut off and goes on, a layer, a lost block that is rebuilt, all of it back, and
/// a band that is removed; nothing temporary is left, a moment after the program has ended.
#[test]
fn there_and_back() {
    let (server, dir) = (servers::sshd(), tempfile::tempdir().unwrap());
    let place = place(&server, dir.path());
    place.ok("mkdir -p src/a; seq 1000 > src/a/seq; ln -s a src/link; \
              for i in 1 2 3; do head -c 150000 /dev/urandom > src/$i; done");
    let cut = format!("{PUT} | head -c 300000 | dura-push -q \"$ARC\"");
    let Ended(code, _, err) = place.run(&cut);
    assert_eq!(code, 2, "{err}");
    let states = "dura-index bands \"$ARC\" | cut -d' ' -f2";
    assert_eq!(place.ok(states), "unfinished\n");
    place.ok(&format!("{PUT} | dura-push -q \"$ARC\"; {SAME}"));
    assert_eq!(place.ok(states), "complete\n");
    place.ok(&format!("echo new > src/1; rm src/2; sleep 1; {PUT} | dura-push \"$ARC\"; {SAME}"));
    assert_eq!(place.ok(states), "complete\ncomplete\n");
    let archive = server.folder("arc").unwrap();
    let archive = archive.display();
    place.ok(&format!(
        "dura-verify -q \"$ARC\"; rm $(find {archive} -name '*.tar*' | sort | head -n 1); \
         ! dura-verify -q --repair \"$ARC\" 2>said > rebuilt; grep -q missing said; \
         dura-push -q --replace \"$ARC\" < rebuilt; dura-verify -q --files \"$ARC\"; {SAME}; \
         in_time() {{ for i in $(seq 50); do ! \"$@\" || return 0; sleep 0.1; done; false; }}; \
         clean() {{ [ -z \"$(find {archive} -name '.dura-*')\" ]; }}; in_time clean; \
         dura-index bands \"$ARC\" | cut -d' ' -f1 | tail -n 1 > newest; \
         dura-prune -q \"$ARC\" < newest; one() {{ [ $(ls {archive} | wc -l) = 1 ]; }}; in_time one"
    ));
    // All of it at once, from a spool.
    place.ok(&format!(
        "mv {archive} spool; dura-push -q --from spool \"$ARC\"; dura-verify -q \"$ARC\"; \
         diff -r spool {archive}"
    ));
}

/// What cannot work is told with its reason, and nobody is asked; what may pass is waited for.
#[test]
fn what_cannot_work_is_told() {
    let (server, dir) = (servers::sshd(), tempfile::tempdir().unwrap());
    let place = place(&server, dir.path());
    place.ok("ssh-keygen -q -t ed25519 -N '' -f other");
    let (by_hand, bands) = ("log in once by hand", "dura-index bands");
    let refused = |script: &str, said: &[&str]| place.refused(script, said);
    refused(
        &format!(
            "DURA_SSH=\"$DURA_SSH -o IdentityFile=$PWD/other -F /dev/null -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null\" {bands} \"$ARC\""
        ),
        &["Permission denied (publickey", by_hand],
    );
    refused(
        &format!("DURA_SSH=\"$DURA_SSH -o UserKnownHostsFile=/dev/null\" {bands} \"$ARC\""),
        &["Host key verification failed", by_hand],
    );
    refused(
        &format!("DURA_SSH=\"$DURA_SSH -o NoSuchOption=1\" {bands} \"$ARC\""),
        &["Bad configuration option: nosuchoption"],
    );
    refused(
        &format!("DURA_SSH='/no/such/ssh -v' {bands} \"$ARC\""),
        &["/no/such/ssh: cannot be started"],
    );
    for (address, said) in [
        ("ssh://-oProxyCommand=touch${IFS}x/b", "not a user or host"),
        ("ssh://me:hush@nas/b", "must not contain a password"),
        ("ssh://nas", "no directory"),
        ("sftp://nas/b", "write ssh://[USER@]HOST[:PORT]/DIR"),
        ("nas:/b", "write ssh://[USER@]HOST[:PORT]/DIR"),
    ] {
        let Ended(code, _, err) = place.run(&format!("{bands} '{address}'"));
        assert!(code == 2 && err.contains(said) && !err.contains("hush"), "{address}: {err}");
    }
    let Ended(code, _, err) = place
        .run(&format!("{bands} --retries 1 ssh://127.0.0.1:{}/b", servers::free_address().port()));
    assert!(code == 2 && err.contains("onnection refused"), "{err}");
}
