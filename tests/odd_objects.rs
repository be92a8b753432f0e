//! A FIFO or a link in the place of each kind of object: no program waits for it or follows it.

use std::fs;
use std::os::unix::fs::symlink;

use crate::util::gpg::{KEY, home};
use crate::util::run::{dura, scratch};

const READERS: [&str; 8] = [
    "dura-push --from a b",
    "dura-restore --no-cache a",
    "dura-index --no-cache list a; dura-index --no-cache bands a",
    "dura-index --no-cache expire --keep-last 1 a",
    "dura-verify a",
    "dura-verify --repair a",
    "dura-scan -q s | dura-index --no-cache diff a",
    "cd a/20260101T000000Z && sh recover.sh ../../out",
];

#[test]
fn in_the_place_of_each_kind_of_object() {
    let made = scratch("odd");
    let line = format!(
        "mkdir s; echo text > s/f; dura-scan s | dura-pack --band 20260101T000000Z | dura-seal --parity 1 --sign {KEY} | dura-push a; echo outside-words > outside"
    );
    home().with(dura(&line)).dir(&made).ok();
    let folder = made.join("a/20260101T000000Z");
    let mut objects: Vec<String> =
        ["HEAD", "TAIL", "TAIL.sig", "recover.sh"].map(str::to_owned).to_vec();
    for entry in fs::read_dir(folder.join("00000")).unwrap() {
        objects.push(format!("00000/{}", entry.unwrap().file_name().to_str().unwrap()));
    }
    assert_eq!(objects.len(), 10, "{objects:?}");
    for object in &objects {
        let path = folder.join(object);
        let kept = fs::read(&path).unwrap();
        for fifo in [true, false] {
            fs::remove_file(&path).unwrap();
            match fifo {
                true => drop(dura("mkfifo \"$P\"").var("P", &path).ok()),
                false => symlink(made.join("outside"), &path).unwrap(),
            }
            for reader in READERS {
                if object == "recover.sh" && reader.contains("recover.sh") {
                    continue;
                }
                let line = format!("rm -rf b out; {reader}");
                let done = dura(&line).dir(&made).seconds(30).run();
                let what = format!("{object}, fifo {fifo}, {reader}\n{}", done.report());
                assert!((0..=2).contains(&done.code), "{what}");
                let leaks = dura("grep -rqs outside-words b out").dir(&made).run();
                assert_ne!(leaks.code, 0, "{what}");
            }
            fs::remove_file(&path).unwrap();
            fs::write(&path, &kept).unwrap();
        }
    }
}
