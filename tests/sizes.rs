//! Files that are not as long as `stat` says, files that are nearly all holes, and names that only
//! seem to be those of one file.

use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use crate::util::backup::{index_line, only_band};
use crate::util::run::{dura, scratch};
use crate::util::tree::set_time;

/// A listing of these files, as a scan that believes `stat` writes it.
fn listing(top: &Path, files: &[&str]) -> String {
    let mut text = format!(
        "#mtree\n#dura listing 1\n#source host {}\n. type=dir mode=0555 uid=0 gid=0 time=1.000000000\n",
        top.display()
    );
    for file in files {
        let stat = fs::metadata(top.join(file)).unwrap();
        text += &format!(
            "./{file} type=file mode=0444 uid=0 gid=0 time=1.000000000 nlink=1 size={} tags=c:{}.{:09}\n",
            stat.size(),
            stat.ctime(),
            stat.ctime_nsec()
        );
    }
    text + &format!("#end entries={} excluded=0 unreadable=0\n", files.len() + 1)
}

/// What the kernel makes up as it is read says nothing of its size: all of it is stored, in memory
/// or by way of a spool.
#[test]
fn files_without_a_true_size_are_read_to_their_end() {
    // The symbols are some megabytes, and none of them has a size.
    for (top, files) in
        [("/proc", &["filesystems", "kallsyms", "version"][..]), ("/sys/kernel", &["fscaps"])]
    {
        let top = Path::new(top);
        let dir = scratch("made-up");
        let done = dura("dura-pack -C \"$TOP\" | dura-seal | dura-push archive && dura-restore archive > tar && mkdir out && tar xf tar -C out")
            .dir(&dir)
            .var("TOP", top)
            .input(listing(top, files).as_bytes())
            .ok();
        assert!(!done.stderr.contains("./"), "{}", done.report());
        for file in files {
            let came = fs::read(dir.join("out").join(file)).unwrap();
            let now = fs::read(top.join(file)).unwrap();
            // Symbols come and go at the end.
            let end = if *file == "kallsyms" { 2 << 20 } else { now.len() };
            assert!(end > 0 && came.len() >= end && came[..end] == now[..end], "{file}");
            let line = index_line(&only_band(&dir.join("archive")), &format!("./{file}")).unwrap();
            assert!(line.contains(&format!(" size={} ", came.len())), "{line}");
            assert!(!line.contains("c:"), "it would pass for unchanged: {line}");
        }
        dura("dura-verify --files archive").dir(&dir).ok();
    }
}

/// A file of a terabyte that holds a few kilobytes costs what it holds: stored, in a layer with
/// other attributes, in one with other content, restored, verified, and by hand.
#[test]
fn a_file_that_is_nearly_all_holes() {
    const SIZE: u64 = 1 << 40;
    let dir = scratch("holes");
    let src = dir.join("src");
    fs::create_dir(&src).unwrap();
    let path = src.join("sparse");
    let file = fs::File::create(&path).unwrap();
    file.set_len(SIZE).unwrap();
    let at = [0, 1 << 33, SIZE - 4096];
    at.iter().for_each(|at| file.write_all_at(&[7; 4096], *at).unwrap());
    set_time(&path, 1_500_000_000, 5);
    let run = |line: &str| dura(line).dir(&dir).seconds(60).ok();
    let backup =
        "dura-scan src | dura-index diff archive | dura-pack | dura-seal | dura-push archive";
    let line = |tier: usize| {
        let mut bands: Vec<_> = fs::read_dir(dir.join("archive")).unwrap().collect();
        assert_eq!(bands.len(), tier + 1);
        bands.sort_by_key(|band| band.as_ref().unwrap().file_name().len());
        index_line(&bands[tier].as_ref().unwrap().path(), "./sparse").unwrap()
    };
    let same = |dest: &str| {
        let out = fs::File::open(dir.join(dest).join("sparse")).unwrap();
        let stat = out.metadata().unwrap();
        assert_eq!((stat.size(), stat.mtime()), (SIZE, fs::metadata(&path).unwrap().mtime()));
        assert!(stat.blocks() < 1000, "{} blocks", stat.blocks());
        let (mut was, mut is) = ([0; 4096], [0; 4096]);
        for at in at {
            fs::File::open(&path).unwrap().read_exact_at(&mut was, at).unwrap();
            out.read_exact_at(&mut is, at).unwrap();
            assert!(is == was, "{dest} at {at}");
        }
    };
    run(backup);
    let first = line(0);
    assert!(first.contains("body:") && !first.contains("sha256digest="), "{first}");
    run("mkdir one && dura-restore archive | tar xpf - -C one");
    same("one");
    run("cd archive/* && sh recover.sh ../../hand");
    same("hand");
    // Only its time: the content stays where it is.
    set_time(&path, 1_600_000_000, 5);
    run(backup);
    let body = |line: &str| line.split("body:").nth(1).unwrap()[..64].to_owned();
    let second = line(1);
    assert!(second.contains("in:0/000000000,"), "{second}");
    assert_eq!(body(&first), body(&second));
    run("mkdir two && dura-restore archive | tar xpf - -C two");
    same("two");
    // Its content.
    fs::File::options().write(true).open(&path).unwrap().write_all_at(b"x", 1 << 33).unwrap();
    set_time(&path, 1_600_000_001, 5);
    run(backup);
    let third = line(2);
    assert!(!third.contains("in:") && body(&third) != body(&second), "{third}");
    run("mkdir three && dura-restore archive | tar xpf - -C three");
    same("three");
    run("dura-verify --files archive && dura-verify --source src archive");
}

/// A first name that has changed since the scan is the content of those names alone that are still
/// names of the same file.
#[test]
fn a_link_is_stored_as_one_only_while_it_is_one() {
    let dir = scratch("links");
    let src = dir.join("src");
    fs::create_dir(&src).unwrap();
    fs::write(src.join("a"), "first").unwrap();
    for name in ["b", "c", "d"] {
        fs::hard_link(src.join("a"), src.join(name)).unwrap();
    }
    dura("dura-scan src > listing").dir(&dir).ok();
    // The file has changed, and two of its names are another one now.
    fs::write(src.join("a"), "first, changed").unwrap();
    fs::remove_file(src.join("b")).unwrap();
    fs::write(src.join("b"), "another").unwrap();
    fs::remove_file(src.join("d")).unwrap();
    fs::hard_link(src.join("b"), src.join("d")).unwrap();
    dura("dura-pack < listing | dura-seal | dura-push archive; mkdir out; dura-restore archive | tar xpf - -C out")
        .dir(&dir)
        .ok();
    let read = |name: &str| fs::read_to_string(dir.join("out").join(name)).unwrap();
    let inode = |name: &str| fs::metadata(dir.join("out").join(name)).unwrap().ino();
    assert_eq!(
        ["a", "b", "c", "d"].map(read),
        ["first, changed", "another", "first, changed", "another"]
    );
    assert_eq!(inode("a"), inode("c"));
    assert_ne!(inode("a"), inode("b"));
}
