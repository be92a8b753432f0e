//! RECOVER.txt, typed as it stands there: what it brings back is the tree, and what is not there is
//! seen not to be there.

use std::fs;
use std::path::{Path, PathBuf};

use crate::util::backup::destination;
use crate::util::gpg::{KEY, home};
use crate::util::run::{Done, bare, busybox_only, dura, scratch};
use crate::util::snapshot::{Compare, EXACT, Snapshot, Times, assert_same, excuse, take};
use crate::util::tree::{noise, root};

/// What changes from band to band: odd names, times before 1970, read-only directories, hard links
/// into them, holes, parts, attributes, types in every direction.
const ROUNDS: [&str; 3] = [
    "mkdir -p a/sub b 'c d'; echo 1 > a/one; echo 2 > 'b/two words'; echo 3 > 'c d/three*'; echo 4 > a/sub/four
     ln a/one b/hard; ln -s ../b a/link; mkfifo pipe; truncate -s 3M holes; printf x | dd of=holes bs=1 seek=1500000 conv=notrunc status=none
     truncate -s 2M nothing; head -c 3000 /dev/urandom > o; seq 900000 > parts; seq 300 > m; seq 301 500 > n; cp m 'a/copy, of:m'; cp holes holes2; seq 700000 > a/large; cp a/large large2
     setfattr -n user.x -v y 'c d/three*'; setfacl -m u:3:r 'b/two words'
     mkdir z; ln a/one z/hard; chmod 0600 z; chmod 0555 b; touch -d @-5.25 a/one; touch -d @-7 a/sub/four; touch -d @1500000000.5 'c d' holes nothing parts",
    "touch -d @-9.75 a/one; chmod 0600 'c d/three*' parts; rm -r a/sub; echo now > a/sub; rm a/link; mkdir a/link; echo y > a/link/y
     mv m k; mv n m; mv k n; mv holes2 'a/holes, moved'; cp large2 'c d/large'; ln -s ../m a/to; cp m e2",
    "mv n a/link/n; mv a/link a/kept; mv m a/sub; chmod 0640 'a/copy, of:m'; rm a/to; mv e2 a/to; chmod 0600 a/large; rm large2
     ln -s sub a/link; touch -d @-3.5 'c d/three*'; mv 'c d' e; echo \"$(printf 'new\\nline')\" > \"e/$(printf 'a\\nb\\\\c')\"",
];

/// The text of a section of the page, by its letter.
fn section(letter: char) -> String {
    let page =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("lib/notes/RECOVER.txt"))
            .unwrap();
    let from = page.find(&format!("\n{letter}. ")).unwrap() + 1;
    let next = format!("\n{}. ", char::from(letter as u8 + 1));
    let to = page[from..].find(&next).map_or(page.len(), |at| from + at);
    page[from..to].to_owned()
}

/// What stands before the sections: how objects are opened.
fn by_hand() -> String {
    let page =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("lib/notes/RECOVER.txt"))
            .unwrap();
    let (from, to) = (page.find("\nBY HAND").unwrap() + 1, page.find("\nA. ").unwrap());
    page[from..to].to_owned()
}

/// The commands of a section: the pieces of it that are set in.
fn commands(section: &str) -> Vec<String> {
    let mut pieces = vec![String::new()];
    for line in section.lines().skip(1) {
        match line.starts_with("    ") {
            true => *pieces.last_mut().unwrap() += &format!("{line}\n"),
            false if !pieces.last().unwrap().is_empty() => pieces.push(String::new()),
            false => {}
        }
    }
    pieces.retain(|piece| !piece.is_empty());
    pieces
}

/// The line of the page for a tar: with GNU tar and busybox tar another for an ordinary user.
fn tar(tar: &str, user: bool) -> String {
    let lines = commands(&by_hand()).swap_remove(1).replace("\\\n", "");
    let fits = |line: &&str| match tar {
        "bsdtar" => line.contains("bsdtar"),
        "busybox tar" => line.contains("busybox tar") && line.contains("umask 0") == user,
        _ => line.contains("{ tar ") && line.contains("--acls") != user,
    };
    let found: Vec<&str> = lines.lines().filter(fits).collect();
    assert_eq!(found.len(), 1, "{lines}");
    format!("{}\n", found[0])
}

/// What a person types in the folder of a full band to recover it into `$DEST`.
pub(crate) fn opening() -> String {
    let a = commands(&section('A')).swap_remove(0).replace("DEST=/an/empty/directory;", "");
    commands(&by_hand()).swap_remove(0) + &tar("tar", true) + "keys\n" + &a + "\nrm -r $K\n"
}

/// A chain with a band for each of the rounds, in blocks of a file or two.
fn archive() -> (PathBuf, Vec<Snapshot>) {
    archive_of(&ROUNDS)
}

fn archive_of(rounds: &[&str]) -> (PathBuf, Vec<Snapshot>) {
    let dir = scratch("page");
    let src = dir.join("src");
    fs::create_dir(&src).unwrap();
    let mut versions = vec![];
    for round in rounds {
        bare(&format!("set -e; umask 022; {round}")).dir(&src).ok();
        std::thread::sleep(std::time::Duration::from_millis(2100));
        dura("dura-scan src | dura-index diff archive | dura-pack --block-size 1k --part-size 1M --delta-over 1M | dura-seal | dura-push archive")
            .dir(&dir)
            .var("DURA_CACHE", dir.join("cache"))
            .ok();
        versions.push(take(&src));
    }
    (dir, versions)
}

/// What a person types who recovers the chain by hand into `$DEST`, band by band.
fn typed(bands: &[PathBuf], with: &str, user: bool) -> String {
    let busybox = with == "busybox tar";
    let a = commands(&section('A')).swap_remove(0);
    let (dest, a) = a.split_once('\n').unwrap();
    assert_eq!(dest, "    DEST=/an/empty/directory; umask 022");
    let [list, helpers, keep, mine, gone, fill, within, dirs, sparse] =
        &commands(&section('B'))[..]
    else {
        panic!("{:?}", commands(&section('B')))
    };
    // Lines of which one is for busybox tar.
    let [mine, within]: [String; 2] = [mine, within].map(|lines| {
        let instead = |line: &&str| line.contains("busybox tar: instead");
        let wanted = |line: &&str| match busybox && lines.lines().any(|line| instead(&line)) {
            true => instead(line),
            false => busybox || !line.contains("# busybox tar"),
        };
        lines.lines().filter(wanted).map(|line| format!("{line}\n")).collect()
    });
    let mut script = commands(&by_hand()).swap_remove(0) + &tar(with, user) + "umask 022\n";
    for (tier, band) in bands.iter().enumerate() {
        script += &format!("cd '{}' || exit\nkeys\n", band.display());
        script += &match (tier, busybox) {
            (0, false) => format!("{a}{list}{helpers}{keep}{mine}{gone}{fill}{within}{dirs}"),
            (_, false) => format!("{list}{helpers}{keep}{mine}{gone}{a}{fill}{within}{dirs}"),
            (_, true) => {
                format!("{list}{helpers}{keep}{mine}{gone}{a}{sparse}{fill}{within}{dirs}")
            }
        };
    }
    script
}

fn bands(dir: &Path) -> Vec<PathBuf> {
    let mut bands: Vec<_> =
        fs::read_dir(dir.join("archive")).unwrap().map(|entry| entry.unwrap().path()).collect();
    bands.sort();
    bands
}

/// Types a script, with a last line, into a shell. What zsh is given begins with `sh`.
fn types(sh: &str, script: &str, dest: &Path, user: bool) -> Done {
    let shell = match sh {
        "zsh" => format!("zsh -s <<'THE END'\nsh\n{script}\nTHE END\n"),
        "busybox" => return busybox_only(script).var("DEST", dest).user(user).run(),
        _ => {
            let file = dest.parent().unwrap().join("typed");
            fs::write(&file, script).unwrap();
            format!("{sh} '{}'", file.display())
        }
    };
    bare(&shell).var("DEST", dest).user(user).run()
}

#[test]
fn the_page_as_it_stands() {
    let (dir, versions) = archive();
    let with = [
        ("dash", "tar", false),
        ("bash", "tar", true),
        ("busybox sh", "tar", true),
        ("zsh", "tar", false),
        ("dash", "bsdtar", true),
        ("bash", "bsdtar", false),
        ("dash", "busybox tar", false),
        ("bash", "busybox tar", true),
        ("busybox", "busybox tar", false),
        ("busybox", "busybox tar", true),
    ];
    brings_all(&dir, &versions, &with);
}

/// Large files that change a little: by deltas.
#[test]
fn what_has_changed_of_large_files() {
    let (dir, versions) = archive_of(&[
        "mkdir d; head -c 2500000 /dev/urandom >d/image; head -c 1200000 /dev/urandom >d/log; echo x >a,rdiff,",
        "printf changed | dd of=d/image bs=1 seek=1000000 conv=notrunc status=none; head -c 9000 /dev/urandom >>d/log; mv a,rdiff, b",
        "printf again | dd of=d/image bs=1 seek=9 conv=notrunc status=none; cp d/log 'a copy'; cp d/image z; touch b",
    ]);
    let has = "cd archive; ls */*/*.rdiff.gz | wc -l; cd \"$(ls | tail -n 1)\"; gzip -dc */*.mtree.gz | grep -c deltas:";
    assert_eq!(bare(has).dir(&dir).ok().text(), "3\n3\n");
    let with = [
        ("dash", "tar", false),
        ("busybox sh", "bsdtar", false),
        ("bash", "busybox tar", false),
        ("zsh", "tar", false),
    ];
    brings_all(&dir, &versions, &with);
    // One file: what it is laid over, from the band below, and the delta.
    let [_, block, delta, _] = &commands(&section('E'))[..] else { panic!() };
    let (opener, bands) = (commands(&by_hand()).swap_remove(0), bands(&dir));
    for sh in ["dash", "busybox sh", "bash"] {
        let dest = destination(false);
        let find = |tier: usize| {
            let line = "gzip -dc $i | grep -q '^./d/image ' && echo ${i%%.*}";
            let find = format!(
                "cd '{}'; for i in */*.mtree.gz; do {line}; done; true",
                bands[tier].display()
            );
            bare(&find).ok().text().trim_end().to_owned()
        };
        let base = block.replace("00000/000000007", &find(0)).replace("my file", "d/image");
        let mut script =
            format!("{opener}{}cd '{}'\nkeys\n{base}", tar("tar", false), bands[0].display());
        for tier in [1, 2] {
            let lay = delta.replace("00000/000000012", &find(tier));
            let lay = lay
                .replace("OLD", "$DEST/d/image")
                .replace("NEW", "$DEST/new")
                .replace("> d;", "> $DEST/delta;")
                .replace(" d ", " $DEST/delta ");
            script +=
                &format!("cd '{}'\nkeys\n{lay}mv $DEST/new $DEST/d/image\n", bands[tier].display());
        }
        let done = types(sh, &script, &dest, false);
        let (was, is) = (&versions[2].0[&b"d/image"[..]], take(&dest));
        let is = is.0.get(&b"d/image"[..]).and_then(|is| is.content.clone());
        assert_eq!(is, was.content, "{}", done.report());
    }
}

/// The page brings each version, with these shells and tars, as root or not.
#[track_caller]
fn brings_all(dir: &Path, versions: &[Snapshot], with: &[(&str, &str, bool)]) {
    let bands = bands(dir);
    assert_eq!(bands.len(), 3);
    for (sh, with, user) in with.iter().copied() {
        for (tier, was) in versions.iter().enumerate() {
            let dest = destination(user);
            let script = typed(&bands[..=tier], with, user);
            let done = types(sh, &script, &dest, user);
            let what = format!("{sh}, {with}, user {user}, tier {tier}\n{}", done.report());
            // What each of them cannot, as docs/recover.md has it.
            let attributes = with == "bsdtar" || with == "tar" && !user;
            let compare = Compare {
                owners: !user,
                xattrs: attributes,
                acls: attributes,
                times: if with == "tar" { Times::Exact } else { Times::Seconds },
                ..EXACT
            };
            let is = excuse(was, take(&dest), |name, was, is| {
                let before_1970 = was.mtime.0 < 0 && (is.mtime.0 - was.mtime.0).abs() <= 2;
                let unset = name == b"." && with == "bsdtar" && tier == 0;
                let of_busybox = with == "busybox tar" && was.kind == 'l';
                if before_1970 && with != "tar" || unset || of_busybox {
                    is.mtime = was.mtime;
                }
                // Its cp fills holes.
                if sh.starts_with("busybox") && name != b"holes" {
                    is.stored = was.stored;
                }
            });
            assert_same(&what, was, &is, compare);
        }
    }
}

/// Symlinks that are directories in the next band, above listed ones: what they lead to stays as it
/// is, and they become directories.
#[test]
fn symlinks_that_become_directories() {
    let (dir, versions) = archive_of(&[
        "ln -s ../outside a; ln -s . b",
        "rm a b; mkdir -p a/sub/x b/sub; echo 1 > a/sub/y",
    ]);
    let bands = bands(&dir);
    for (sh, with, user) in [
        ("dash", "tar", true),
        ("bash", "tar", false),
        ("bash", "bsdtar", true),
        ("busybox", "busybox tar", true),
        ("dash", "busybox tar", false),
    ] {
        let dest = destination(user);
        let outside = dest.parent().unwrap().join("outside");
        bare("mkdir -p \"$O/sub/x\"; chmod 0500 \"$O/sub/x\" \"$O/sub\"")
            .var("O", &outside)
            .user(user)
            .ok();
        let before = take(&outside);
        let done = types(sh, &typed(&bands, with, user), &dest, user);
        let what = format!("{sh}, {with}, user {user}\n{}", done.report());
        assert_same(&what, &before, &take(&outside), EXACT);
        let compare = Compare { owners: !user, times: Times::Seconds, ..EXACT };
        assert_same(&what, &versions[1], &take(&dest), compare);
    }
}

/// Blocks that are lost: what they held is not there, no step makes an empty file of its name, and
/// D names it; what else is there comes by F, block by block.
#[test]
fn what_is_not_there_is_seen_not_to_be_there() {
    let (dir, versions) = archive();
    let bands = bands(&dir);
    let line = "rm -v $(dura-index where archive --band \"$B\" ./parts | grep -o '[^ ]*[.]tar.*' | sed 's|^|archive/|')";
    let name = bands[0].file_name().unwrap();
    let removed = dura(line).var("B", name).dir(&dir).ok().text();
    assert!(removed.lines().count() > 1, "no parts: {removed}");
    let sums = commands(&section('D')).pop().unwrap();
    let block_by_block = commands(&section('F'))[1].clone();
    let a = commands(&section('A')).swap_remove(0);
    let a = a.split_once('\n').unwrap().1.to_owned();
    for user in [false, true] {
        for (sh, with) in [("dash", "tar"), ("bash", "bsdtar"), ("busybox", "busybox tar")] {
            for by in [&a, &block_by_block] {
                let dest = destination(user);
                let script = typed(&bands[..2], with, user).replace(&a, by);
                let done = types(sh, &format!("{script}{sums}"), &dest, user);
                let there = take(&dest);
                let rest = versions[1].clone().only(|name, _| name != b"parts");
                let names = |tree: &Snapshot| tree.0.keys().cloned().collect::<Vec<_>>();
                assert_eq!(names(&rest), names(&there), "{}", done.report());
                // A user cannot look into a directory without x, and is told.
                let hidden = if user || !root() { "missing: ./z/hard\n" } else { "" };
                assert_eq!(done.text(), format!("missing: ./parts\n{hidden}"), "{}", done.report());
            }
        }
    }
}

/// E: the band that lists a file, its block with all its parts, and where an `in:` leads.
#[test]
fn one_file() {
    let (dir, versions) = archive();
    let bands = bands(&dir);
    let [find, block, _, give] = &commands(&section('E'))[..] else { panic!() };
    let opener = commands(&by_hand()).swap_remove(0);
    for (sh, with, user) in [
        ("dash", "tar", false),
        ("busybox sh", "tar", true),
        ("zsh", "tar", false),
        ("bash", "bsdtar", true),
        ("dash", "busybox tar", false),
        ("busybox", "busybox tar", true),
    ] {
        for (path, wanted) in [("parts", 0), ("a/sub", 0), ("e/three*", 2), ("e/large", 0)] {
            let dest = destination(user);
            // Each band from the newest on, until one lists it.
            let found = (0..3).rev().find_map(|tier| {
                let written = path.replace('*', "\\052");
                let find = find.replace("./my\\040file ", &format!("./{written} "));
                let script = format!("{opener}cd '{}'\nkeys\n{find}", bands[tier].display());
                let said = types(sh, &script, &dest, user).text();
                let index = said.lines().last().filter(|line| line.contains(".mtree."))?;
                Some((tier, said.clone(), index.to_owned()))
            });
            let (mut tier, said, index) = found.unwrap();
            let mut stem = index.split('.').next().unwrap().to_owned();
            // A newer band may only say where the content is.
            let line = said.lines().next().unwrap();
            let content = said.lines().find_map(|line| line.split_once("in:"));
            if let Some((of, number)) = content.and_then(|(_, at)| at.split_once('/')) {
                (tier, stem) = (of.parse().unwrap(), format!("00000/{}", &number[..9]));
            }
            assert_eq!(tier, wanted, "{said}");
            let tag = |key: &str| line.split_once(key)?.1.split([',', ' ']).next();
            let name = tag(",as:./").or_else(|| tag(",of:./")).unwrap_or(path);
            let block = block.replace("00000/000000007", &stem).replace("my file", name);
            let to_its_name = match name == path {
                true => String::new(),
                false => {
                    format!("(cd $DEST; mkdir -p '{path}'; rmdir '{path}'; mv '{name}' '{path}')\n")
                }
            };
            let helpers = &commands(&section('B'))[1];
            let give = give.replace("THE LINE", line);
            let script = format!(
                "{opener}{}cd '{}'\nkeys\n{block}{to_its_name}{helpers}{give}",
                tar(with, user),
                bands[tier].display()
            );
            let done = types(sh, &script, &dest, user);
            let is = take(&dest);
            let (was, is) = (&versions[2].0[path.as_bytes()], is.0.get(path.as_bytes()));
            assert_eq!(is.and_then(|is| is.content.clone()), was.content, "{}", done.report());
            assert_eq!(is.map(|is| is.mode), Some(was.mode), "{}", done.report());
        }
    }
}

/// C: a run that was cut, and one that went on, are seen in what the indexes come after.
#[test]
fn which_indexes_count() {
    let (dir, _) = archive();
    let band = &bands(&dir)[0];
    let opener = commands(&by_hand()).swap_remove(0);
    let c = commands(&section('C')).swap_remove(0);
    let script = format!("{opener}cd '{}'\nkeys\n{c}", band.display());
    let said = types("dash", &script, &destination(false), false).text();
    let id = crate::util::backup::value(&band.join("HEAD"), "id");
    let lines: Vec<&str> = said.lines().collect();
    assert!(lines.len() >= 3, "{said}");
    let after = |n: usize| match n {
        0 => "-".to_owned(),
        n => format!("{:09}", n - 1),
    };
    for (n, line) in lines.iter().enumerate() {
        assert_eq!(*line, format!("#index {id} {n:09} after {}", after(n)));
    }
    assert_eq!(
        crate::util::backup::value(&band.join("TAIL"), "last"),
        format!("{:09}", lines.len() - 1)
    );
}

/// D and F over a band that is encrypted and signed, with parity: what is sound is seen to be, an
/// object that is lost comes back, and a message that is damaged costs one member of its block.
#[test]
fn damage() {
    let dir = scratch("page-damage");
    fs::create_dir(dir.join("src")).unwrap();
    for n in 0..8 {
        fs::write(dir.join(format!("src/{n}")), noise(n, 600_000)).unwrap();
    }
    let seal = format!("dura-seal -r {KEY} --sign {KEY} --parity 1");
    let line = format!("dura-scan src | dura-pack | {seal} | dura-push archive");
    home().with(dura(&line).dir(&dir)).ok();
    let [sound, _] = &commands(&section('D'))[..] else { panic!("{:?}", commands(&section('D'))) };
    let [repair, _, find, step_over] = &commands(&section('F'))[..] else {
        panic!("{:?}", commands(&section('F')))
    };
    let open = "open BLOCK.gpg > BLOCK";
    assert!(section('F').contains(&format!("`{open}`")));
    let object = "00000/000000000.tar.gz.gpg";
    for sh in ["dash", "bash", "busybox sh"] {
        let band = bands(&dir).remove(0);
        let types = |script: &str| {
            let opener = commands(&by_hand()).swap_remove(0) + &tar("tar", false);
            let file = dir.join("typed");
            let typed = format!("{opener}cd '{}' || exit\nkeys\n{script}", band.display());
            fs::write(&file, typed).unwrap();
            let shell = bare(&format!("{sh} '{}'", file.display())).dir(&dir);
            home().with(shell).var("DEST", dir.join("out")).run()
        };
        let is_sound = || {
            let done = types(sound);
            let said = done.text();
            let sums: Vec<&str> = said.lines().collect();
            let good = done.stderr.matches("Good signature").count();
            let [sum, tail] = sums[..] else { return Err(said) };
            assert_eq!(tail, format!("sha256: {}", &sum[..64]), "{}", done.report());
            assert_eq!(good, 2, "{}", done.report());
            Ok(())
        };
        assert_eq!(is_sound(), Ok(()), "{sh}");
        let good = fs::read(band.join(object)).unwrap();
        fs::remove_file(band.join(object)).unwrap();
        assert!(is_sound().unwrap_err().contains(object), "{sh}");
        let done = types(repair);
        assert_eq!(is_sound(), Ok(()), "{}", done.report());
        assert!(fs::read(band.join(object)).unwrap() == good);
        // A few bad bytes in the message, within the second of four members of like size: one
        // member is not whole, and all others are.
        let mut bad = good.clone();
        bad[good.len() * 3 / 8] ^= 1;
        fs::write(band.join(object), bad).unwrap();
        let block = dir.join("block");
        let named = |line: &str| line.replace("BLOCK", block.to_str().unwrap());
        let opened = open.replace("BLOCK.gpg", object);
        let done = types(&format!("{}\n{}", named(&opened), named(find)));
        done.tells("no key opens it, or damaged");
        let bytes = fs::read(&block).unwrap();
        let number = |line: &[u8]| {
            let digits: Vec<u8> = line.iter().copied().take_while(u8::is_ascii_digit).collect();
            String::from_utf8(digits).unwrap().parse::<usize>().ok()
        };
        // By chance the content may have those three bytes, but not eight.
        let begins = |at: &usize| bytes[*at..].starts_with(b"\x1f\x8b\x08\0\0\0\0\0");
        let mut members: Vec<usize> =
            done.stdout.split(|&byte| byte == b'\n').filter_map(number).filter(begins).collect();
        assert!(members.len() >= 4, "{members:?}");
        members.push(bytes.len());
        let [whole, without] = step_over.lines().collect::<Vec<_>>()[..] else { panic!() };
        let at = |line: &str, from: usize, to: usize| {
            let length = (to - from).to_string();
            let line = line.replace("+1001", &format!("+{}", from + 1));
            let line = line.replace("+2001", &format!("+{}", to + 1));
            named(
                &line
                    .replace("(head -c 1000", &format!("(head -c {from}"))
                    .replace("| head -c 1000", &format!("| head -c {length}")),
            )
        };
        let pairs: Vec<_> = members.windows(2).map(|pair| (pair[0], pair[1])).collect();
        let damaged: Vec<_> =
            pairs.iter().filter(|(from, to)| types(&at(whole, *from, *to)).code != 0).collect();
        assert_eq!(damaged.len(), 1, "{damaged:?} of {pairs:?}");
        let (from, to) = *damaged[0];
        let done = types(&format!("mkdir \"$DEST\"\n{}", at(without, from, to)));
        let (was, is) = (take(&dir.join("src")), take(&dir.join("out")));
        let lost = was.0.keys().filter(|name| !is.0.contains_key(*name)).count();
        assert!((1..=2).contains(&lost), "{lost}\n{}", done.report());
        assert_same(sh, &was.only(|name, _| is.0.contains_key(name)), &is, EXACT);
        fs::remove_dir_all(dir.join("out")).unwrap();
        fs::write(band.join(object), &good).unwrap();
    }
}
