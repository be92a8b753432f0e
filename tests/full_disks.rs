//! Disks that are full or fail, at each object: nothing is there by half, nothing is lost, it is
//! told, and the next run finishes the band.

use crate::util::run::{Done, dura, scratch};
use crate::util::small::{BAND, pack, sealed};
use crate::util::stream::split;
use crate::util::sweep::all;
use crate::util::tree::root;

/// A script of its own file systems, over a small band in `stream` and `plain`. `small SIZE INODES
/// DIR COMMAND...` runs a command over a file system of that size, `grow DIR` gives it all the room
/// it needs.
fn mounted(script: &str) -> Done {
    let dir = scratch("disk");
    let own = format!(
        "set -u; mkdir plain disk; tar -xf stream -C plain
         small() {{ mount -t tmpfs -o size=$1,nr_inodes=$2 none \"$3\"; }}
         grow() {{ mount -o remount,size=64m,nr_inodes=9999 \"$1\"; }}
         whole() {{ (cd \"$1\" && find . -type f) | while read -r name; do cmp \"$1/$name\" \"plain/$name\" || echo \"$1/$name differs\"; done; }}
         same() {{ whole \"$1\"; (cd plain && find . -type f) | while read -r name; do [ -e \"$1/$name\" ] || echo \"$1/$name is missing\"; done; }}
         {script}"
    );
    std::fs::write(dir.join("stream"), sealed()).unwrap();
    std::fs::write(dir.join("script"), own).unwrap();
    let namespace = if root() { "-m" } else { "-rm" };
    dura(&format!("unshare {namespace} bash script")).dir(&dir).seconds(1200).run()
}

/// Nothing on stdout, where the script says what is wrong.
#[track_caller]
fn well(done: &Done, cases: usize) {
    assert_eq!(
        (done.code, done.text().trim()),
        (0, format!("{cases} cases").as_str()),
        "{}",
        done.report()
    );
}

/// The file system is full at each object in turn, by bytes and by inodes.
#[test]
fn full_at_each_object() {
    let objects = split(sealed()).len();
    // Folders and the root take an inode each.
    let inodes: Vec<String> =
        (2..objects + 4).step_by(if all() { 1 } else { 4 }).map(|n| format!("64m,{n}")).collect();
    let total: usize =
        split(sealed()).iter().map(|member| member.data.len().next_multiple_of(4096)).sum();
    let sizes =
        (4..total / 1024).step_by(if all() { 36 } else { 444 }).map(|size| format!("{size}k,9999"));
    let limits: Vec<String> = inodes.into_iter().chain(sizes).collect();
    let done = mounted(&format!(
        "n=0
         for limits in {}; do
             small ${{limits%,*}} ${{limits#*,}} disk
             dura-push disk/archive < stream 2>said; code=$?
             [ $code = 2 ] && grep -q 'no space left on device' said && grep -q 'hint: free some space' said || {{ echo $limits: status $code; cat said; }}
             mkdir -p disk/archive 2>/dev/null; [ ! -d disk/archive ] || whole disk/archive
             [ ! -e disk/archive/{BAND}/TAIL ] || echo $limits: TAIL
             grow disk
             dura-push disk/archive < stream || echo $limits: and then $?
             same disk/archive; umount disk; n=$((n + 1))
         done; echo $n cases",
        limits.join(" ")
    ));
    well(&done, limits.len());
}

/// A file may not grow over so much, which is how a quota or an old file system refuses.
#[test]
fn too_large_for_the_file_system() {
    let done = mounted(
        "(trap '' XFSZ; ulimit -f 300; dura-push archive < stream 2>said); [ $? = 2 ] || echo status
         grep -q 'file too large' said || cat said
         whole archive; dura-push archive < stream; same archive; echo 1 cases",
    );
    well(&done, 1);
}

/// Each flush and each link fails in turn, as on a disk that is failing.
#[test]
fn each_write_fails() {
    let objects = split(sealed()).len();
    let stride = if all() { 1 } else { 9 };
    // An object is flushed, and so is its folder when its name is there.
    let flushes = (1..=2 * objects).step_by(stride).map(|n| format!("fsync,EIO,{n}"));
    let writes = (1..=objects)
        .step_by(stride)
        .flat_map(|n| [format!("linkat,EIO,{n}"), format!("linkat,ENOSPC,{n}")]);
    let faults: Vec<String> = flushes.chain(writes).collect();
    let done = mounted(&format!(
        "n=0
         for fault in {}; do
             IFS=, read -r call error when <<< $fault
             strace -f -qq -o trace -e trace=$call -e inject=$call:error=$error:when=$when dura-push -j 1 archive < stream 2>said; code=$?
             grep -q INJECTED trace || echo $fault: not reached
             [ $code = 2 ] && grep -qE 'input/output error|no space left' said || {{ echo $fault: status $code; cat said; }}
             whole archive
             dura-push archive < stream || echo $fault: and then $?
             same archive; rm -rf archive; n=$((n + 1))
         done; echo $n cases",
        faults.join(" ")
    ));
    well(&done, faults.len());
}

/// A spool is emptied only of what the archive has for sure, wherever that one is full.
#[test]
fn a_spool_that_is_emptied_onto_a_full_disk() {
    let total: usize = split(sealed()).iter().map(|member| member.data.len()).sum();
    let sizes: Vec<String> = (4..total / 1024)
        .step_by(if all() { 36 } else { 888 })
        .map(|size| format!("{size}k"))
        .collect();
    let done = mounted(&format!(
        "n=0
         for size in {}; do
             dura-push -q spool < stream; small $size 9999 disk
             dura-push --from spool --move disk/archive 2>said; code=$?
             [ $code = 2 ] && grep -q 'no space left on device' said || {{ echo $size: status $code; cat said; }}
             whole spool; [ ! -d disk/archive ] || whole disk/archive
             (cd plain && find . -type f) | while read -r name; do [ -e spool/$name ] || [ -e disk/archive/$name ] || echo $size: $name is lost; done
             grow disk
             dura-push --from spool --move disk/archive || echo $size: and then $?
             same disk/archive; find spool -type f; umount disk; n=$((n + 1))
         done; echo $n cases",
        sizes.join(" ")
    ));
    well(&done, sizes.len());
}

/// The spool's own disk is full: what does not fit is not in it, and what is, goes on.
#[test]
fn a_spool_on_a_full_disk() {
    let done = mounted(
        "small 2m 9999 disk
         dura-push disk/spool < stream 2>said; [ $? = 2 ] && grep -q 'no space left' said || cat said
         dura-push -q --from disk/spool --move archive 2>said; code=$?; [ $code = 1 ] || { echo status $code; cat said; }
         whole archive
         # There is room again, for a while: the rest of the band goes the same way.
         for i in 1 2 3 4 5; do
             dura-push -q disk/spool < stream 2>/dev/null; code=$?
             dura-push -q --from disk/spool --move archive 2>/dev/null
             [ $code != 0 ] || break
         done
         grow disk; dura-push disk/spool < stream; dura-push --from disk/spool --move archive || echo status $?
         same archive; find disk/spool -type f; echo 1 cases",
    );
    well(&done, 1);
}

/// A cache that has no room costs the copies, and is told; the backup is done.
#[test]
fn a_cache_on_a_full_disk() {
    let pack = pack("00112233445566778899aabbccddeeff");
    let done = mounted(&format!(
        "mkdir src; head -c 300000 /dev/urandom > src/file
         for limits in 4k,1 4k,2 4k,9999 8k,9999; do
             small ${{limits%,*}} ${{limits#*,}} disk
             dura-scan -q src | {pack} --cache disk/cache 2>said | dura-push -q archive || echo $limits: status $?
             grep -q 'cannot keep a copy in the cache: no space left on device' said || {{ echo $limits; cat said; }}
             rm -r src; mkdir src; dura-restore -q --cache disk/cache archive | tar -xf - -C src || echo restore
             dura-index ls --cache disk/cache archive > /dev/null || echo ls
             rm -r archive; umount disk
         done; echo 4 cases"
    ));
    well(&done, 4);
}

/// What is recovered does not fit into its place, by bytes or by inodes, or the lists not into
/// TMPDIR: recover.sh says so once, and stops with 2, whatever the tar.
#[test]
fn recovered_to_a_disk_that_is_full() {
    let done = mounted(&format!(
        "n=0; mkdir tmp
         for tar in tar bsdtar 'busybox tar'; do
             for limits in 1m,9999 64m,7; do
                 small ${{limits%,*}} ${{limits#*,}} disk
                 (cd plain/{BAND} && TAR=$tar dash recover.sh ../../disk/out) 2>said; code=$?
                 [ $code = 2 ] && grep -q 'disk/out is full: make room' said && ! grep -q 'recover.sh: done' said || {{ echo $tar $limits: $code; cat said; }}
                 [ $(wc -l <said) -le 4 ] || cat said
                 case $limits in 1m*) head -n 1 said | grep -q 'disk/out: the files may have [0-9]* KiB, and there is room for [0-9]* KiB' || cat said ;; esac
                 umount disk; n=$((n + 1))
             done
         done
         small 16k 9999 tmp
         (cd plain/{BAND} && TMPDIR=$PWD/../../tmp dash recover.sh ../../out) 2>said; code=$?
         [ $code = 2 ] && grep -q 'is it full?' said || {{ echo TMPDIR: $code; cat said; }}
         umount tmp
         # Full from the start, by bytes and by inodes, whatever the shell.
         for sh in dash bash 'busybox sh'; do
             for limits in 8k,9999 1m,2 1m,3; do
                 small ${{limits%,*}} ${{limits#*,}} tmp; head -c 8192 /dev/zero >tmp/x 2>/dev/null
                 (cd plain/{BAND} && TMPDIR=$PWD/../../tmp $sh recover.sh ../../out) 2>said; code=$?
                 [ $code = 2 ] && ! grep -q 'recover.sh: done' said && [ ! -e out ] || {{ echo TMPDIR $sh $limits: $code; cat said; }}
                 umount tmp; n=$((n + 1))
             done
         done
         echo $((n + 1)) cases"
    ));
    well(&done, 16);
}
