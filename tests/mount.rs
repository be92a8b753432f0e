//! Archives that are mounted: what the mount shows is what was backed up, wherever it is read; what
//! is damaged fails, and nothing else does.

use std::fs;
use std::path::Path;

use crate::util::backup::{self, How, at_home, source, user_source};
use crate::util::gpg;
use crate::util::place::Place;
use crate::util::run::{Done, dura, scratch};
use crate::util::servers;
use crate::util::snapshot::{EXACT, assert_same, take};
use crate::util::tree::{noise, only_root, root};

/// What the scripts have in common. They run in a namespace, so that no mount outlives them, and
/// with a device that an ordinary user may open.
const PRELUDE: &str = r#"
    exec 9>trace; BASH_XTRACEFD=9; set -ex
    if [ "$(id -u)" = 0 ] && mknod fuse c 10 229 2>/dev/null; then chmod 666 fuse; mount --bind fuse /dev/fuse; fi
    as_user() { setpriv --reuid 65534 --regid 65534 --clear-groups "$@"; }
    look() {
        (cd "$1" && find . -type d -printf '%p %y %m %U %G %T@\0' -o -not -type s -printf '%p %y %m %U %G %T@ %l %n %s %i\0' |
            LC_ALL=C sort -z | sed -z 's/ [0-9]*$//')
    }
    fails() { ! "$@" 2>>failed || { echo "$*: did not fail"; exit 9; }; }
    until_gone() { for _ in $(seq 300); do [ -e /proc/$1 ] || return 0; sleep 0.01; done; echo "$1 is still there"; exit 9; }
"#;

fn run(dir: &Path, script: &str) -> Done {
    fs::write(dir.join("script"), format!("{PRELUDE}{script}")).unwrap();
    let own = if root() { "-mpf" } else { "-rmpf" };
    let line = format!("unshare {own} --kill-child --mount-proc bash -o pipefail script");
    at_home(dura(&line), Some(gpg::home())).dir(dir).seconds(100).run()
}

#[track_caller]
fn ok(dir: &Path, script: &str) -> String {
    let done = run(dir, script);
    let trace = fs::read_to_string(dir.join("trace")).unwrap();
    let last: Vec<&str> = trace.lines().rev().take(8).collect();
    assert_eq!(done.code, 0, "{}\nlast first: {last:#?}", done.report());
    done.text()
}

/// Every kind of entry is as it was, looked at in the mount and copied out of it.
#[test]
fn a_mounted_version_is_the_tree() {
    if !only_root() {
        return;
    }
    let dir = scratch("mount");
    let archive = backup::plain().band.parent().unwrap();
    ok(
        &dir,
        &format!(
            r#"
            src={} archive={}
            mkdir m; dura-mount "$archive" m
            look "$src" >was; look m/latest >is; cmp was is
            look m/by-time/*Z >is; cmp was is
            cp -a m/latest copy
            fusermount3 -u m"#,
            source().tree.dir.display(),
            archive.display()
        ),
    );
    assert_same("cp -a", &source().was, &take(&dir.join("copy")), EXACT);
}

/// An ordinary user mounts, with the owners and permissions that are stored, or as the own.
#[test]
fn an_ordinary_user_mounts() {
    if !only_root() {
        return;
    }
    let dir = scratch("mount-user");
    let how = How { user: true, seal: Some(""), ..How::default() };
    let band = backup::backup_telling(&user_source().tree.dir, how, &[0, 1]).band;
    ok(
        &dir,
        &format!(
            r#"
            src={} archive={}
            mkdir m; chown 65534:65534 m
            as_user dura-mount "$archive" m 2>said || {{ cat said; exit 1; }}
            as_user find "$src" -readable -type f -print0 2>denied | sort -z >files || true
            [ -s files ]
            as_user bash -ec 'while IFS= read -r -d "" file; do cmp "$file" "m/latest${{file#"$0"}}"; done' "$src" <files
            fails ls m
            as_user stat -c '%u %g %a' m/latest >is; stat -c '%u %g %a' "$src" | cmp - is
            as_user fusermount3 -u m
            mkdir own; printf x >own/x; chmod 600 own/x; chown -R 7:8 own
            dura-scan -q own | dura-pack -q | dura-push -q other
            as_user dura-mount other m; fails as_user cat m/latest/x
            as_user fusermount3 -u m
            as_user dura-mount --owner-me other m; as_user cat m/latest/x
            as_user stat -c ' %u %g %a' m/latest/x
            as_user fusermount3 -u m"#,
            user_source().tree.dir.display(),
            band.parent().unwrap().display()
        ),
    );
}

/// A chain of two, sealed, with references, a delta, and large files in parts: each version by
/// itself, read at random, by many at once.
#[test]
fn versions_of_a_sealed_chain_are_read_anywhere() {
    let dir = scratch("mount-chain");
    fs::create_dir_all(dir.join("src/d")).unwrap();
    for at in 0..20 {
        fs::write(dir.join(format!("src/d/f{at}")), noise(at, 70_000)).unwrap();
    }
    fs::write(dir.join("src/large"), noise(100, 20 << 20)).unwrap();
    fs::write(dir.join("src/both"), noise(101, 3 << 20)).unwrap();
    let done = ok(
        &dir,
        r#"
        backup() { dura-scan -q src | dura-index diff -q archive | dura-pack -q --block-size 300k --part-size 2M --delta-over 1M |
            dura-seal -q -r first@dura.invalid | dura-push -q archive; }
        export DURA_CACHE=$PWD/cache
        SOURCE_DATE_EPOCH=1793498400 backup; cp -a src was
        mv src/d/f3 src/moved; rm src/d/f4; printf new | dd of=src/large bs=1 seek=9000000 conv=notrunc status=none
        printf more >>src/both; ln src/d/f5 src/link; ln -s d src/sym
        SOURCE_DATE_EPOCH=1793584800 backup
        mkdir m; dura-mount --no-cache archive m
        ls m/by-time
        look was >1; look m/by-time/2026-11-01T02:00:00Z >2; cmp 1 2
        look src >1; look m/by-time/2026-11-02T02:00:00Z >2; cmp 1 2
        cat >random.py <<'END'
import os, random, sys, threading
bad = []
def read(seed):
    dice = random.Random(seed)
    for _ in range(60):
        here, there = dice.choice([("was", "m/by-time/2026-11-01T02:00:00Z"), ("src", "m/latest")])
        name = dice.choice(["large", "large", "both", "d/f7", "d/f19", "moved" if here == "src" else "d/f3"])
        size = os.path.getsize(here + "/" + name)
        at, most = dice.randrange(size + 10), dice.choice([1, 4096, 70000, 1500000])
        got = []
        for top in (here, there):
            fd = os.open(top + "/" + name, os.O_RDONLY)
            got.append(os.pread(fd, most, at))
            os.close(fd)
        if got[0] != got[1]: bad.append((name, at, most))
threads = [threading.Thread(target=read, args=(seed,)) for seed in range(8)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
sys.exit(str(bad) if bad else 0)
END
        python3 random.py
        for file in large both moved d/f5 link sym/f6; do cmp src/$file m/latest/$file; done
        [ "$(stat -c %i m/latest/link)" = "$(stat -c %i m/latest/d/f5)" ]
        [ "$(readlink m/latest/sym)" = d ]
        rm -rf out; mkdir out; dura-restore -q --no-cache archive | tar -xpf - -C out
        cp -a m/latest copy; look out >1; look copy >2; cmp 1 2
        fusermount3 -u m"#,
    );
    assert_eq!(done, "2026-11-01T02:00:00Z\n2026-11-02T02:00:00Z\n");
    assert_same("restore", &take(&dir.join("out")), &take(&dir.join("copy")), EXACT);
}

/// Damage costs the files that it is in; where an index is lost, its directories fail, and none
/// looks as if it were whole. A listing needs no block.
#[test]
fn damage_is_an_error_where_it_is() {
    let dir = scratch("mount-damage");
    for folder in ["a", "b", "c"] {
        fs::create_dir_all(dir.join("src").join(folder)).unwrap();
        for at in 0..3u64 {
            let seed = at + u64::from(folder.as_bytes()[0]) * 10;
            fs::write(dir.join(format!("src/{folder}/{at}")), noise(seed, 1_100_000)).unwrap();
        }
    }
    let done = ok(
        &dir,
        r#"
        dura-scan -q src | dura-pack -q --compress none --block-size 1M | dura-push -q archive
        band=$(echo archive/*Z); ls $band/00000/*.tar | wc -l
        mkdir m
        # Without blocks.
        mv $band/00000 away; mkdir $band/00000; cp away/*.mtree* away/*.toc* $band/00000
        dura-mount --no-cache archive m 2>said
        ls -lR m/latest >list; look src >1; look m/latest >2; cmp 1 2
        [ ! -s said ]
        fails cat m/latest/b/1
        grep -q 'Input/output error' failed; grep -q './b/1: .*missing' said
        cp away/*.tar $band/00000
        cmp src/b/1 m/latest/b/1
        fusermount3 -u m
        # One byte of one file.
        block=$(for b in $band/00000/*.tar; do tar -tf $b | grep -qx './b/1' && echo $b; done; true)
        printf '\377\376' | dd of=$block bs=1 seek=500000 conv=notrunc status=none
        dura-mount --no-cache archive m 2>said
        bad=
        for file in a/0 a/1 a/2 b/0 b/1 b/2 c/0 c/1 c/2; do cmp -s src/$file m/latest/$file || bad="$bad $file"; done
        echo "bad:$bad"; cat said; fusermount3 -u m
        # The index of b/1 alone.
        rm "${block%.tar}.mtree.gz"
        dura-mount --no-cache archive m 2>said
        fails ls m/latest/b; fails cat m/latest/b/1
        cmp src/a/1 m/latest/a/1; cmp src/c/1 m/latest/c/1; cmp src/b/2 m/latest/b/2
        ls m/latest/a m/latest/c >list
        fails stat m/latest/b/1; fails test -e m/latest/b/nothing; { stat m/latest/c/nothing 2>&1 || true; } | grep -q 'No such file'
        fusermount3 -u m; grep -c 'an index is lost' said"#,
    );
    let lines: Vec<&str> = done.lines().collect();
    assert_eq!(lines[0], "9");
    assert!(done.contains("bad: b/1\n"), "{done}");
    assert!(done.contains("./b/1: its content does not match the sha256"), "{done}");
}

/// Where an index of a layer is lost, what it may have changed is not shown as it was before.
#[test]
fn a_lost_index_of_a_layer_puts_older_files_in_doubt() {
    let dir = scratch("mount-layer");
    for folder in ["a", "b", "c"] {
        fs::create_dir_all(dir.join("src").join(folder)).unwrap();
        for at in 0..2u64 {
            let seed = at + u64::from(folder.as_bytes()[0]) * 10;
            fs::write(dir.join(format!("src/{folder}/{at}")), noise(seed, 1_100_000)).unwrap();
        }
    }
    ok(
        &dir,
        r#"
        backup() { dura-scan -q src | dura-index diff -q archive | dura-pack -q --block-size 1M | dura-push -q archive; }
        SOURCE_DATE_EPOCH=1793498400 backup; cp -a src was
        for f in a/1 b/0 b/1; do printf x >>src/$f; done
        SOURCE_DATE_EPOCH=1793584800 backup
        # b/0 is in the second index of the layer.
        layer=$(echo archive/*Z-*Z/00000)
        for index in $layer/*.mtree.gz; do gzip -dc $index | grep -q '^./b/0 ' && break; done
        rm $index
        mkdir m; dura-mount --no-cache archive m 2>said
        cmp src/a/0 m/latest/a/0; cmp src/a/1 m/latest/a/1; cmp src/b/1 m/latest/b/1; cmp src/c/0 m/latest/c/0
        fails cat m/latest/b/0; fails ls m/latest/b; ls m/latest/c >list
        cmp was/b/0 m/by-time/2026-11-01*/b/0; look was >1; look m/by-time/2026-11-01* >2; cmp 1 2
        fusermount3 -u m; grep -q 'may have changed' said"#,
    );
}

/// From a bucket, a WebDAV server and a host with SSH, by the one program that is all of them.
#[test]
fn a_mount_reads_from_servers() {
    if !only_root() {
        return;
    }
    for server in [servers::rclone_s3(), servers::rclone_webdav(), servers::sshd()] {
        let dir = scratch("mount-server");
        let mut variables = server.environment(server.address);
        variables.push(("ARC", server.archive("arc")));
        variables.push(("ALL", env!("CARGO_BIN_EXE_dura").to_owned()));
        let place = Place { dir: &dir, variables };
        fs::create_dir_all(dir.join("src/d")).unwrap();
        fs::write(dir.join("src/d/large"), noise(1, 18 << 20)).unwrap();
        fs::write(dir.join("src/d/small"), noise(2, 5000)).unwrap();
        fs::write(dir.join("script"), format!("{PRELUDE}{FROM_SERVER}")).unwrap();
        place.ok("unshare -mpf --kill-child --mount-proc bash -o pipefail script");
    }
}

const FROM_SERVER: &str = r#"
    dura-scan -q src | dura-pack -q --part-size 5M | dura-seal -q | dura-push -q "$ARC"
    mkdir m; cp "$ALL" dura-mount; ./dura-mount --no-cache "$ARC" m
    diff -r --no-dereference src m/latest; fusermount3 -u m"#;

/// Signals, stale and busy mounts, mistakes, and versions that come while it is mounted.
#[test]
fn a_mount_begins_and_ends_cleanly() {
    let dir = scratch("mount-life");
    fs::create_dir(dir.join("src")).unwrap();
    fs::write(dir.join("src/x"), "one").unwrap();
    ok(
        &dir,
        r#"
        backup() { dura-scan -q src | dura-index diff -q archive | dura-pack -q | dura-seal -q | dura-push -q archive; }
        SOURCE_DATE_EPOCH=1793498400 backup
        says() { code=0; dura-mount "${@:2}" 2>said || code=$?; [ $code = 2 ] && grep -q "$1" said || { cat said; echo "$*: $code"; exit 9; }; }
        mkdir m empty
        says 'no such file' archive nowhere
        says 'not a directory' archive src/x
        says 'is in the archive' archive archive
        says 'is in the archive' archive .
        says 'no band' empty m
        says 'no such file' nothing m
        dura-mount -f archive m 2>said & pid=$!
        for _ in $(seq 300); do [ -e m/latest ] && break; sleep 0.01; done
        [ "$(cat m/latest/x)" = one ]
        fails touch m/latest/y
        grep ' m \| '"$PWD"'/m ' /proc/mounts | grep -q 'ro,nosuid,nodev,.*noatime'
        kill -INT $pid; wait $pid; [ ! -e m/latest ]; [ ! -s said ]
        # In use.
        dura-mount -f archive m 2>said & pid=$!
        for _ in $(seq 300); do [ -e m/latest ] && break; sleep 0.01; done
        exec 3<m/latest/x; kill -TERM $pid
        for _ in $(seq 300); do grep -q 'still in use' said && break; sleep 0.01; done
        grep -q 'still in use' said; [ "$(cat <&3)" = one ]; exec 3<&-; wait $pid
        # Killed.
        dura-mount archive m; pid=$(cat /proc/[0-9]*/stat 2>gone | sed -n 's/ (dura-mount) .*//p' || true)
        kill -KILL $pid; until_gone $pid || true
        says 'fusermount3 -u m' archive m
        umount m
        # A new version.
        dura-mount archive m; [ "$(cat m/latest/x)" = one ]; [ "$(ls m/by-time)" = 2026-11-01T02:00:00Z ]
        printf second >src/x; SOURCE_DATE_EPOCH=1793584800 backup
        for _ in $(seq 600); do [ "$(cat m/latest/x)" = second ] && break; sleep 0.02; done
        [ "$(cat m/latest/x m/by-time/*1T*/x)" = secondone ]; [ "$(ls m/by-time | wc -l)" = 2 ]
        fusermount3 -u m"#,
    );
}
