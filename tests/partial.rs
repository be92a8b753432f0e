//! Parts of a version into a tree that is there: with each tar, as root and as an ordinary user,
//! what was there and was not asked for keeps its owner and mode, from DEST itself down.

use std::fs;

use crate::util::backup::{GNU_TAR, destination};
use crate::util::run::{bare, dura, scratch};
use crate::util::tree::{only_root, root};

/// The tree that is backed up, whose directories are as closed as may be.
const SOURCE: &str = "set -e; umask 022; mkdir -p src/top/sub src/top/new/deep src/other; echo f > src/top/sub/f
    echo g > src/top/g; echo d > src/top/new/deep/d; echo o > src/other/o; chmod 0600 src/top/sub/f
    chmod 0710 src/top/new; chmod 0700 src src/top src/top/sub; setfacl -m u:3:rwx -d -m u:4:rwx src/top/sub; touch -d @1000000000 src/top/sub/f src/top/new/deep src/top/new src/top/sub src/top src; sleep 2.1";

/// What is there already, with modes of its own.
const THERE: &str = "set -e; mkdir -p top/sub; echo own > top/own; echo own > top/sub/own; chmod 0751 top/sub; chmod 0755 top
    chmod 1777 .; setfacl -m u:5:rwx -d -m u:6:rwx top; touch -d @1500000000 top/sub top .";

/// Owners, modes and contents of what was there.
const BEFORE: &str =
    "stat -c '%n %U %G %a' . top top/sub top/own top/sub/own; cat top/own top/sub/own";

/// How each tar is given a part.
fn tars() -> [(&'static str, String); 3] {
    [
        ("GNU tar", GNU_TAR.replacen("tar", "tar --no-overwrite-dir", 1)),
        ("bsdtar", "bsdtar -xpf -".to_owned()),
        ("busybox tar", "busybox tar -xpf -".to_owned()),
    ]
}

#[test]
fn what_is_there_stays_as_it_is() {
    let dir = scratch("partial");
    bare(SOURCE).dir(&dir).ok();
    if root() {
        bare("chown -R 7:7 src/top/sub src/top/new; chown 8:8 src src/top").dir(&dir).ok();
    }
    dura("dura-scan src | dura-pack | dura-seal | dura-push archive").dir(&dir).ok();
    let bands = fs::read_dir(dir.join("archive")).unwrap();
    let band = bands.map(|entry| entry.unwrap().path()).next().unwrap();
    for user in [false, true] {
        // A file in a directory that is there, a directory that is not, and one whose directory is
        // not.
        for path in ["./top/sub/f", "./top/new", "./top/new/deep", "./top/new/deep/d", "./other/o"]
        {
            for (tar, line) in tars() {
                check(&format!("{tar}, user {user}, {path}"), user, path, |dest| {
                    dura("dura-restore --into \"$DEST\" archive \"$P\" > part")
                        .var("DEST", dest)
                        .var("P", path)
                        .dir(&dir)
                        .ok();
                    let line = format!("{line} -C \"$DEST\" < \"$PART\"");
                    bare(&line).var("PART", dir.join("part")).var("DEST", dest)
                });
            }
            for tar in ["tar", "bsdtar", "busybox tar"] {
                check(&format!("recover.sh, {tar}, user {user}, {path}"), user, path, |dest| {
                    let script = "cd \"$BAND\" && dash recover.sh \"$DEST\" \"$P\"";
                    bare(script).var("BAND", &band).var("DEST", dest).var("P", path).var("TAR", tar)
                });
            }
        }
    }
}

fn check(
    what: &str,
    user: bool,
    path: &str,
    restore: impl Fn(&std::path::Path) -> crate::util::run::Shell,
) {
    let dest = destination(user);
    bare(THERE).dir(&dest).user(user).ok();
    let before = bare(BEFORE).dir(&dest).ok().text();
    let done = restore(&dest).user(user).run();
    // The script says that busybox tar knows no nanoseconds.
    let rounds = what.contains("recover.sh, busybox") && done.code == 1;
    assert!(done.code == 0 || rounds, "{what}\n{}", done.report());
    assert_eq!(bare(BEFORE).dir(&dest).ok().text(), before, "{what}\n{}", done.report());
    let came = "find . -type f ! -name own; find . -name f -exec stat -c '%a %Y' {} +; cat $(find . -type f ! -name own)
        for d in $(find top/new -type d 2>/dev/null); do stat -c '%n %a' $d; done";
    let came = bare(came).dir(&dest).run().text();
    let wanted = match path {
        "./top/sub/f" => "./top/sub/f\n600 1000000000\nf\n".to_owned(),
        "./other/o" => "./other/o\no\n".to_owned(),
        _ => "./top/new/deep/d\nd\ntop/new 710\ntop/new/deep 755\n".to_owned(),
    };
    assert_eq!(came, wanted, "{what}\n{}", done.report());
    if root() && !user && path == "./top/new" {
        let owners = bare("stat -c %u:%g top/new top/new/deep").dir(&dest).ok().text();
        assert_eq!(owners, "7:7\n7:7\n", "{what}");
    }
}

/// recover.sh moves also what its user may not write in to its place, with the directory above it.
#[test]
fn a_directory_without_write_permission() {
    let dir = scratch("partial-closed");
    let source =
        "umask 022; mkdir -p src/a/b; echo r > src/a/b/r; chmod 0550 src/a/b; chmod 0500 src/a";
    bare(source).dir(&dir).ok();
    dura("dura-scan src | dura-pack | dura-seal | dura-push archive").dir(&dir).ok();
    for user in [false, true] {
        for (tar, there, path) in [
            ("tar", "", "./a/b"),
            ("tar", "a", "./a/b"),
            ("bsdtar", "", "./a/b/r"),
            ("bsdtar", "a", "./a/b/r"),
        ] {
            let dest = destination(user);
            let make = format!("[ -z \"{there}\" ] || mkdir {there}");
            bare(&make).dir(&dest).user(user).ok();
            let script = format!("cd archive/2* && dash recover.sh \"$DEST\" {path}");
            let done = bare(&script).dir(&dir).var("DEST", &dest).var("TAR", tar).user(user).run();
            assert_eq!(done.code, 0, "{tar}, {there}, {user}\n{}", done.report());
            let came = bare("stat -c %a a a/b; cat a/b/r; ls -A").dir(&dest).ok().text();
            let above = if there.is_empty() { "500" } else { "755" };
            assert_eq!(came, format!("{above}\n550\nr\na\n"), "{tar}, {user}\n{}", done.report());
        }
    }
}

/// What was asked for comes, by the spelling of the list too, or it is told; and the list has each
/// path once.
#[test]
fn what_was_asked_for_comes_or_is_told() {
    let dir = scratch("partial-asked");
    fs::create_dir_all(dir.join("src/my dir")).unwrap();
    for name in ["my dir/x", "lit\\040eral", "gone"] {
        fs::write(dir.join("src").join(name), name).unwrap();
    }
    let backup = "dura-scan src | dura-index diff archive | dura-pack | dura-seal | dura-push archive; sleep 1.1; rm -f src/gone; chmod 600 src/*/x";
    for _ in 0..2 {
        dura(backup).dir(&dir).ok();
    }
    let run = |typed: &str| {
        let script = format!("cd archive/*-* && dash recover.sh {typed}");
        bare(&script).dir(&dir).var("DEST", dir.join("out")).var("SRC", dir.join("src")).run()
    };
    let all = run("-l").text();
    let list = ". dir\n./lit\\134040eral file\n./my\\040dir dir\n./my\\040dir/x file\n";
    assert_eq!(all, list);
    for (word, lines) in [("dir", 2), ("'my dir'", 2), ("'my\\040dir/'", 1), ("file", 0)] {
        let done = run(&format!("-l {word}"));
        let code = i32::from(lines == 0);
        assert_eq!((done.code, done.text().lines().count()), (code, lines), "{}", done.report());
    }
    for (asked, code, came) in [
        ("'my dir/x'", 0, "./my dir/x\n"),
        ("'./my\\040dir'", 0, "./my dir/x\n"),
        ("'lit\\040eral'", 0, "./lit\\040eral\n"),
        ("'./lit\\134040eral'", 0, "./lit\\040eral\n"),
        ("'.///my dir/./x/.'", 0, "./my dir/x\n"),
        ("\"$SRC/my dir/x\" \"/$SRC/./lit\\\\134040eral/\"", 0, "./lit\\040eral\n./my dir/x\n"),
        ("'my dir' nothing", 1, "./my dir/x\n"),
        ("'my dir' \"$SRC/nothing\"", 1, "./my dir/x\n"),
        ("'my dir' gone", 1, "./my dir/x\n"),
        ("'my dir' \"${SRC}x\"", -1, "./my dir/x\n"),
        ("\"$SRC/\" \"$SRC/my dir\"", -1, "./my dir/x\n"),
        ("nothing", 2, ""),
    ] {
        let (code, said) = match code {
            0 => (0, "recover.sh: done"),
            1 => (1, ": not in this version"),
            -1 => (1, ": not below the directory that was backed up, /"),
            _ => (2, "nothing was done"),
        };
        let done = run(&format!("\"$DEST\" {asked}"));
        assert_eq!(done.code, code, "{}", done.report());
        done.tells(said);
        let found = "mkdir -p out; cd out; find . -type f | sort; find . -mindepth 1 -name '.*'; rm -r ../out";
        assert_eq!(bare(found).dir(&dir).ok().text(), came, "{}", done.report());
    }
}

/// Without a path all comes, the top directory too.
#[test]
fn the_whole_brings_the_top_directory() {
    let dir = scratch("partial-whole");
    bare(SOURCE).dir(&dir).ok();
    dura("dura-scan src | dura-pack | dura-seal | dura-push archive").dir(&dir).ok();
    let tops = |paths: &str| {
        dura(&format!("dura-restore archive {paths} | tar -tf - | grep -cx './'"))
            .dir(&dir)
            .run()
            .text()
    };
    assert_eq!(tops(""), "1\n");
    for paths in ["./top", "top/sub/f ./other", "'*'", "/*", "--files-from names"] {
        fs::write(dir.join("names"), "./top\nother\n").unwrap();
        assert_eq!(tops(paths), "0\n", "{paths}");
    }
}

/// An owner's name that has another number here is left out, so that tar goes by the number, unless
/// names are asked for; a name that has the same number, or none, comes.
#[test]
fn names_of_owners() {
    if !only_root() {
        return;
    }
    let dir = scratch("owners");
    // On the other host `games` has another number, `bin` the same, and `nowhere` is not known
    // here.
    let script = "set -e; mkdir src; touch src/games src/bin src/nowhere; id=$(id -u games); chown $((id + 4000)):$((id + 4000)) src/games
        chown bin:bin src/bin; chown 4999:4999 src/nowhere
        for file in passwd group; do
            sed \"s/^games:x:$id:/games:x:$((id + 4000)):/; s/^games:x:$(grep ^games: /etc/group | cut -d: -f3):/games:x:$((id + 4000)):/\" /etc/$file > $file
        done
        echo nowhere:x:4999:4999::/: >> passwd; echo nowhere:x:4999: >> group
        unshare -m bash -o pipefail -c 'mount --bind passwd /etc/passwd && mount --bind group /etc/group &&
            dura-scan -q src | dura-pack -q | dura-seal -q | dura-push -q archive'";
    dura(script).dir(&dir).ok();
    let owners = |options: &str| {
        let line =
            format!("dura-restore -q {options} archive | tar -tvf - | awk '{{ print $2, $NF }}'");
        dura(&line).dir(&dir).ok().text()
    };
    let wanted = |games: &str| {
        format!("root/root ./\nbin/bin ./bin\n{games} ./games\nnowhere/nowhere ./nowhere\n")
    };
    let number = fs::read_to_string(dir.join("passwd")).unwrap();
    let number = number.lines().find_map(|line| line.strip_prefix("games:x:")).unwrap();
    let number = number.split(':').next().unwrap();
    assert_eq!(owners(""), wanted(&format!("{number}/{number}")));
    assert_eq!(owners("--owner-names"), wanted("games/games"));
}
