//! Archives on file systems that people have, mounted for real: FAT of a stick or a camera, exFAT,
//! and a cloud as rclone mounts it. None has hard links, or modes that can be set; some cannot
//! rename without replacing, or flush a folder.
//!
//! Mounts are made in a namespace of their own, and go with it.

use crate::util::place::{Ended, Place};
use crate::util::servers;
use crate::util::tree::root;

/// How a file system is mounted at `fs`. exFAT needs a block device, which only root can make.
fn systems() -> Vec<(&'static str, String)> {
    let rclone = servers::installed().join("bin/rclone").display().to_string();
    let mut systems = vec![
        ("vfat", "mkfs.vfat -F 32 image; fusefat -o rw+ image fs".to_owned()),
        ("rclone", format!("mkdir back; '{rclone}' mount --daemon --config /dev/null back fs")),
    ];
    if root() {
        let exfat = "mkfs.exfat image; loop=$(losetup -f --show image); mount.exfat-fuse $loop fs; \
                     losetup -d $loop";
        systems.push(("exfat", exfat.to_owned()));
    }
    systems
}

/// Runs a script where each of them is mounted, with a tree `src`, and functions to back it up.
fn on_each(script: &str, test: impl Fn(&str, Ended)) {
    for (name, mount) in systems() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place { dir: dir.path(), variables: Vec::new() };
        let text = format!(
            r#"set -eu; PATH=$PATH:/usr/sbin:/sbin
            mkdir fs src; seq 9999 > src/seq; head -c 300000 /dev/urandom > src/noise; truncate -s 64M image
            {{ {mount}; }} < /dev/null > mounting 2>&1 || {{ cat mounting >&2; exit 9; }}
            trap 'umount fs' EXIT
            grep -q " $PWD/fs .* fuse" /proc/self/mountinfo
            stream() {{ dura-scan -q src | dura-index -q diff fs/arc | dura-pack -q --block-size 100k | dura-seal -q --parity 2; }}
            same() {{ rm -rf out; mkdir out; dura-restore -q fs/arc | tar -xpf - -C out; diff -r src out; }}
            {script}"#
        );
        std::fs::write(dir.path().join("script"), text).unwrap();
        let how = if root() { "-m" } else { "-rm" };
        test(name, place.run(&format!("unshare {how} bash -o pipefail script")));
    }
}

/// Bands and layers, one that was cut, repair, a spool: all as elsewhere, and what the file system
/// cannot do is said once.
#[test]
fn archives_on_other_file_systems() {
    on_each(
        r#"stream > stream; dura-push fs/arc < stream
        echo more >> src/seq; sleep 1.1; stream > layer; rm src/noise; ls fs/arc > before
        head -c 20k layer | dura-push -q fs/arc 2> cut && exit 1; grep -q 'ends early' cut
        [ $(ls fs/arc | wc -l) = 2 ]; stream | dura-push -q fs/arc; same
        sleep 1.1; echo '{"at": "once"}' > src/json; stream | dura-push -q fs/arc; same; [ $(ls fs/arc | wc -l) = 3 ]
        rm fs/arc/$(cat before)/00000/000000000.tar.gz
        dura-verify -q --repair fs/arc > rebuilt 2> found && exit 1; grep -q missing found
        dura-push -q --replace fs/arc < rebuilt; dura-verify -q --files fs/arc
        dura-push -q --from fs/arc --move fs/other; dura-verify -q fs/other
        [ -z "$(find fs/arc -type f)" ]
        mkdir by-hand; (cd fs/other/$(cat before) && sh ./recover.sh "$OLDPWD/by-hand" > /dev/null 2>&1); [ -e by-hand/noise ]
        [ -z "$(find fs -name '.dura*')" ]"#,
        |name, Ended(code, out, err)| {
            assert_eq!(code, 0, "{name}\n{out}{err}");
            assert_eq!(err.matches("neither hard links").count(), 1, "{name}\n{err}");
            assert!(!err.contains("key") && !err.contains("password"), "{name}\n{err}");
        },
    );
}

/// Nothing is written over: not an object with other bytes, not by others who write the same band.
#[test]
fn nothing_is_replaced_on_other_file_systems() {
    on_each(
        r#"stream > stream; dura-push -q fs/arc < stream
        object=$(ls fs/arc/*/00000/000000000.tar.gz); echo other > other; rm "$object"; cp other "$object"
        dura-push -q fs/arc < stream 2> refused && exit 1; grep -q 'already exists, with other content' refused; cmp other "$object"
        rm -r fs/arc; for n in 1 2 3; do (dura-push -q fs/arc < stream && touch done) 2> race$n & done; wait
        cat race*; [ -e done ] || dura-push fs/arc < stream; dura-verify -q fs/arc"#,
        |name, Ended(code, out, err)| assert_eq!(code, 0, "{name}\n{out}{err}"),
    );
}

/// What may not be written is said as such, never as a matter of keys.
#[test]
fn what_may_not_be_written_on_other_file_systems() {
    on_each(
        r#"mount -o remount,bind,ro fs; trap 'mount -o remount,bind,rw fs; umount fs' EXIT
        stream > stream; dura-push fs/arc < stream 2> refused && exit 1; cat refused"#,
        |name, Ended(code, out, err)| {
            assert_eq!(code, 0, "{name}\n{out}{err}");
            assert!(out.contains("read-only file system"), "{name}\n{out}{err}");
            assert!(!out.contains("key") && !out.contains("password"), "{name}\n{out}");
        },
    );
}
