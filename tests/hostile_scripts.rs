//! Forged chains through recover.sh, with each tar: nothing outside of DEST changes, DEST holds
//! what the indexes list, and what they do not list is told.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::util::forge::{
    FULL, Header, LAYER, band, dir, dir_line, file, file_line, gzip, hard, link_line, symlink,
};
use crate::util::run::{Done, bare, give, scratch};
use crate::util::snapshot::{EXACT, assert_same, take};

/// An archive, a place beside it that nobody may touch, and room for what comes out.
fn place(user: bool) -> PathBuf {
    let top = scratch("forged");
    for sub in ["outside", "outside/dir", "tmp", "a"] {
        fs::create_dir(top.join(sub)).unwrap();
        fs::set_permissions(top.join(sub), fs::Permissions::from_mode(0o777)).unwrap();
    }
    for file in ["outside/file", "outside/dir/kept"] {
        fs::write(top.join(file), "kept").unwrap();
        fs::set_permissions(top.join(file), fs::Permissions::from_mode(0o666)).unwrap();
    }
    if user {
        give(&top);
    }
    top
}

fn recovered(top: &Path, name: &str, tar: &str, sh: &str, user: bool) -> Done {
    let run = format!("cd a/{name} && {sh} recover.sh ../../dest");
    bare(&run).dir(top).var("TAR", tar).var("TMPDIR", top.join("tmp")).user(user).seconds(60).run()
}

/// What is in DEST, by names and types.
fn held(top: &Path) -> Vec<String> {
    let names = bare("cd dest && find . | sort").dir(top).ok().text();
    names.lines().map(str::to_owned).collect()
}

fn each(mut test: impl FnMut(&str, &str, bool)) {
    for (at, tar) in ["tar", "bsdtar", "busybox tar"].into_iter().enumerate() {
        // The shells take turns; tests/other_tars.rs has each with all.
        let shells = ["dash", "busybox sh"];
        test(tar, shells[at % 2], false);
        test(tar, shells[(at + 1) % 2], true);
    }
}

/// Symlinks of the older band, listed or not, with any name; and members, deletions and unchanged
/// files below them in the newer one.
#[test]
fn nothing_goes_through_symlinks() {
    let links = ["s", "s x", "s\nx"];
    let escaped = |name: &str| format!("./{}", name.replace(' ', "\\040").replace('\n', "\\012"));
    each(|tar, sh, user| {
        let top = place(user);
        let outside = take(&top.join("outside"));
        let mut names = links.to_vec();
        names.sort_by_key(|name| escaped(name));
        let mut lines = vec![dir_line(".", "")];
        let mut block = dir("./");
        block.extend(symlink("./a unlisted", "../outside"));
        for name in &names {
            lines.push(link_line(&escaped(name), "../outside", ""));
            block.extend(symlink(&format!("./{name}"), "../outside"));
        }
        band(&top.join("a"), FULL, &lines, &block);
        let mut lines = vec![dir_line(".", "")];
        let mut block = dir("./");
        block.extend(file("./a unlisted/evil", b"evil"));
        for name in &names {
            let path = escaped(name);
            lines.push(format!("{path}/dir type=dir optional tags=deleted"));
            let within = file_line(&format!("{path}/file"), b"kept", " tags=in:0/0");
            lines.push(within.replace("mode=0644", "mode=4777"));
            for below in ["file", "new"] {
                block.extend(file(&format!("./{name}/{below}"), b"evil"));
            }
        }
        lines.push(file_line("./z", b"zzz", ""));
        block.extend(file("./z", b"zzz"));
        band(&top.join("a"), LAYER, &lines, &block);
        let done = recovered(&top, LAYER, tar, sh, user);
        let what = format!("{tar}, {sh}, user {user}\n{}", done.report());
        assert_eq!(done.code, 1, "{what}");
        assert_same(&what, &outside, &take(&top.join("outside")), EXACT);
        assert_eq!(held(&top), [".", "./s", "./s", "./s x", "./z", "x"], "{what}");
        for link in links {
            let link = fs::read_link(top.join("dest").join(link)).unwrap();
            assert_eq!(link, Path::new("../outside"), "{what}");
        }
        assert!(done.stderr.contains("below the symlink ./s\\040x"), "{what}");
    });
}

/// Hard links to what lies outside, by each kind of path; setuid bits and devices that no line has;
/// members that no line has.
#[test]
fn nothing_outside_is_linked_and_nothing_unlisted_stays() {
    each(|tar, sh, user| {
        let top = place(user);
        let outside = take(&top.join("outside"));
        let target = top.join("outside/file");
        let target = target.to_str().unwrap();
        for (at, (what, member)) in [
            ("./h", hard("./h", "../outside/file")),
            ("./h", hard("./h", target)),
            ("./h", [symlink("./l", "../outside"), hard("./h", "./l/file")].concat()),
            ("./z", Header::new(b'0', b"./z", 3).mode(0o6755).with(b"zzz")),
            ("./z", [file("./evil\x1b[31m", b"evil"), file("./z", b"zzz")].concat()),
            ("./z", [file("./z", b"zzz"), file("./ev\nil", b"evil")].concat()),
            ("./z", [file("./z", b"zzz"), file("./../outside/evil", b"evil")].concat()),
            ("./n", Header::new(b'3', b"./n", 0).mode(0o666).put(329, b"0000010").with(b"")),
        ]
        .into_iter()
        .enumerate()
        {
            // Each kind with each tar, by turns as root and as a user.
            if user != (at % 2 == 1) {
                continue;
            }
            let archive = top.join("a");
            _ = fs::remove_dir_all(&archive);
            _ = fs::remove_dir_all(top.join("dest"));
            let line = match what {
                "./n" => "./n type=char mode=0666 uid=0 gid=0 time=1500000000.000000000 device=native,1,3".to_owned(),
                "./h" => file_line("./h", b"kept", ""),
                what => file_line(what, b"zzz", ""),
            };
            band(&archive, FULL, &[dir_line(".", ""), line], &[dir("./"), member].concat());
            let within = file_line("./h", b"kept", " tags=in:0/0").replace("0644", "4777");
            let lines = if what == "./h" {
                vec![dir_line(".", ""), within]
            } else {
                vec![dir_line(".", "")]
            };
            band(&archive, LAYER, &lines, &dir("./"));
            let done = recovered(&top, LAYER, tar, sh, user);
            let what = format!("{at} {what}: {tar}, {sh}, user {user}\n{}", done.report());
            let cleared = at == 3 && user && tar != "tar";
            assert_eq!(done.code, if cleared { 0 } else { 1 }, "{what}");
            assert_same(&what, &outside, &take(&top.join("outside")), EXACT);
            assert!(!done.stderr.contains('\x1b'), "{what}");
            let mut held = held(&top);
            held.retain(|path| path != "./l");
            let wanted: &[&str] = if what.contains("./z:") { &[".", "./z"] } else { &["."] };
            assert_eq!(held, wanted, "{what}");
            if let Ok(stat) = fs::metadata(top.join("dest/z")) {
                assert_eq!(stat.permissions().mode() & 0o7000, 0, "{what}");
            }
        }
    });
}

/// An index that expands to ten gibibytes takes neither the disk nor the night, and what it says on
/// the way does not reach the terminal as it is.
#[test]
fn an_endless_index_is_bounded() {
    let top = place(false);
    let index = "00000/000000000.mtree.gz";
    for (what, piece) in [("a comment", b'#'), ("a line", b'x')] {
        let archive = top.join("a");
        let folder = band(&archive, FULL, &[dir_line(".", "")], &dir("./"));
        let mut bytes = fs::read(folder.join(index)).unwrap();
        let many = gzip(&vec![piece; 64 << 20]);
        (0..160).for_each(|_| bytes.extend(&many));
        fs::write(folder.join(index), bytes).unwrap();
        let done = recovered(&top, FULL, "tar", "dash", false);
        assert_eq!(done.code, 1, "{what}\n{}", done.report());
        done.tells("damaged");
        fs::remove_dir_all(top.join("dest")).unwrap();
    }
}

/// A block gives a tar no more than its index lists, and some room: the rest fills no disk. What
/// its index lists may be all holes and zeros.
#[test]
fn a_block_that_expands_is_bounded() {
    let zeros = vec![0; 100 << 20];
    let large = file("./z", &zeros);
    let listed = [dir_line(".", ""), file_line("./z", &zeros, "")];
    let lists_little = [dir_line(".", ""), file_line("./z", b"zzz", "")];
    let evil = [file("./z", b"zzz"), file("./evil", &zeros).repeat(8)].concat();
    for (tar, sh) in [("tar", "dash"), ("bsdtar", "busybox sh"), ("busybox tar", "dash")] {
        for (lines, block, code, most) in
            [(&listed, &large, 0, zeros.len() + 2048), (&lists_little, &evil, 1, 200 << 20)]
        {
            let top = place(false);
            // Counts what this tar gets at most.
            let counts = format!(
                "case \"$*\" in *xpf*) tee >(wc -c >> '{}') | exec {tar} \"$@\" ;; *) exec {tar} \"$@\" ;; esac",
                top.join("counts").display()
            );
            fs::write(top.join("counting"), counts).unwrap();
            let with = format!("bash {}", top.join("counting").display());
            band(&top.join("a"), FULL, lines, &[dir("./"), block.clone()].concat());
            let done = recovered(&top, FULL, &with, sh, false);
            let what = format!("{tar}, {sh}\n{}", done.report());
            assert_eq!(done.code, code, "{what}");
            let counts = fs::read_to_string(top.join("counts")).unwrap();
            let counts = counts.split_whitespace().map(|count| count.parse::<usize>().unwrap());
            assert!(counts.clone().max().is_some_and(|came| came <= most), "{most}: {what}");
            assert_eq!(held(&top), [".", "./z"], "{what}");
            let size = if code == 0 { zeros.len() as u64 } else { 3 };
            assert_eq!(fs::metadata(top.join("dest/z")).unwrap().len(), size, "{what}");
            fs::remove_dir_all(&top).unwrap();
        }
    }
}
