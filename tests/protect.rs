//! Parity and signatures: what seal adds, and what the standard tools say of it.

use std::fs;
use std::path::{Path, PathBuf};

use super::losses::Group;
use super::util::dice::Dice;
use super::util::gpg::{EXPIRED, KEY, OTHER, home};
use super::util::run::{bare, dura, scratch};
use super::util::small::{BAND, packed, refused, sealed};
use super::util::snapshot::{EXACT, assert_same, take};
use super::util::stream::split;
use super::util::tree::noise;
use super::verify::{files, repair, verify};

/// The small band sealed with these options and stored; gives the band's folder.
fn stored(options: &str) -> PathBuf {
    let dir = scratch("protect");
    home()
        .with(dura(&format!("dura-seal {options} | dura-push archive")).dir(&dir).input(packed()))
        .ok();
    dir.join("archive").join(BAND)
}

fn names(stream: &[u8]) -> Vec<String> {
    split(stream).iter().map(|member| member.name().split_once('/').unwrap().1.to_owned()).collect()
}

fn count(names: &[String], part: &str) -> usize {
    names.iter().filter(|name| name.contains(part)).count()
}

#[test]
fn parity_stands_before_the_list_that_lists_it() {
    let stream = dura("dura-seal --parity 2 --group 5").input(packed()).ok().stdout;
    let names = names(&stream);
    let lists: Vec<usize> = (0..names.len()).filter(|&at| names[at].ends_with(".sha256")).collect();
    assert!(lists.len() >= 3, "{names:?}");
    for at in lists {
        let stem = names[at].strip_suffix(".sha256").unwrap();
        assert_eq!(names[at - 2..at], [format!("{stem}.rs0"), format!("{stem}.rs1")]);
    }
    assert_eq!(names.last().unwrap(), "TAIL");
    // What is not asked for changes nothing.
    assert_eq!(dura("dura-seal --parity 0").input(packed()).ok().stdout, sealed());
    assert_eq!(dura("dura-seal -j 7 --parity 2 --group 5").input(packed()).ok().stdout, stream);
}

#[test]
fn sha256sum_and_gpg_read_lists_and_signatures() {
    let band = stored(&format!("-r {KEY} --sign {OTHER} --parity 1 --group 5"));
    let check = "cd \"$BAND\" && cat */*.sha256 | grep -v '^#' | sha256sum --quiet -c &&
        for s in TAIL.sig */*.sha256.sig; do gpg --verify \"$s\" \"${s%.sig}\" || exit; echo \"$s\"; done";
    let done = home().with(bare(check).var("BAND", &band)).ok();
    let lists = bare("cd \"$BAND\" && ls */*.sha256 | wc -l").var("BAND", &band).ok().text();
    assert_eq!(done.text().lines().count(), 1 + lists.trim().parse::<usize>().unwrap());
    // Another list in its place is seen.
    let list = band.join("00000/000000000-0.sha256");
    fs::write(&list, fs::read_to_string(&list).unwrap().replace("slots=5", "slots=6")).unwrap();
    home().with(bare(check).var("BAND", &band)).code(1).tells("BAD signature");
}

#[test]
fn a_signed_stream_has_a_signature_for_each_list_and_for_tail() {
    let stream =
        home().with(dura(&format!("dura-seal --sign {KEY} --group 8")).input(packed())).ok().stdout;
    let names = names(&stream);
    assert_eq!(names[names.len() - 2..], ["TAIL", "TAIL.sig"]);
    assert_eq!(
        count(&names, ".sha256.sig"),
        names.iter().filter(|name| name.ends_with(".sha256")).count()
    );
    for (at, name) in names.iter().enumerate().filter(|(_, name)| name.ends_with(".sha256.sig")) {
        assert_eq!(names[at - 1], name.strip_suffix(".sig").unwrap());
    }
    // Without its signatures it is what it is without the option.
    let bare: Vec<_> =
        split(&stream).into_iter().filter(|member| !member.name().ends_with(".sig")).collect();
    let unsigned = dura("dura-seal --group 8").input(packed()).ok().stdout;
    assert_eq!(super::util::stream::join(&bare), unsigned);
    refused("sealed twice", &dura("dura-seal").input(&stream).run());
}

#[test]
fn keys_that_cannot_sign_are_told_before_the_first_object() {
    let other = scratch("gpg.public");
    let public =
        "mkdir -m 700 \"$NEW/h\" && gpg --export \"$KEY\" | gpg -q --homedir \"$NEW/h\" --import";
    home().with(bare(public).var("NEW", &other).var("KEY", KEY)).ok();
    let elsewhere = other.join("h");
    for (key, at, told) in [
        ("nobody@dura.invalid", &home().dir, "no such secret key"),
        (EXPIRED, &home().dir, "the key expired on 2020-01-02"),
        (KEY, &elsewhere, "only the public part of the key"),
    ] {
        let done =
            dura(&format!("dura-seal --sign {key}")).var("GNUPGHOME", at).input(packed()).code(2);
        done.tells(told).tells("hint: ");
        assert!(done.stdout.is_empty(), "{}", done.report());
    }
    bare("gpgconf --homedir \"$H\" --kill all").var("H", &elsewhere).run();
}

/// A gpg of one's own that says that it has signed, or exits with 0, but not both.
#[test]
fn a_gpg_that_lies_signs_nothing() {
    for lie in [
        "echo sig; exit 0",
        "echo '[GNUPG:] SIG_CREATED D' >&2; exit 0",
        "echo sig; echo '[GNUPG:] SIG_CREATED D' >&2; exit 2",
    ] {
        let dir = scratch("liar");
        let gpg = Path::new("gpg");
        let script = format!(
            "#!/bin/sh\ncase \" $* \" in *--detach-sign*) cat > /dev/null; {lie};; esac\nexec {} \"$@\"\n",
            super::util::run::need("gpg").display()
        );
        fs::write(dir.join(gpg), script).unwrap();
        let line = format!("chmod +x \"$LIAR/gpg\"; PATH=\"$LIAR:$PATH\"; dura-seal --sign {KEY}");
        let done = home().with(dura(&line).var("LIAR", &dir).input(packed())).code(2);
        done.tells("a trial signature failed");
        assert!(done.stdout.is_empty(), "{}", done.report());
    }
}

#[test]
fn codes_that_do_not_exist_are_refused() {
    for options in ["--group 250 --parity 7", "--parity 225", "--group 255 --parity 255"] {
        let done = dura(&format!("dura-seal {options}")).input(packed()).code(2);
        done.tells("the maximum is 256").tells("hint: lower --group or --parity");
        assert!(done.stdout.is_empty());
    }
    for options in ["--parity 256", "--parity x", "--parity 1000000000000000000000"] {
        dura(&format!("dura-seal {options}"))
            .input(packed())
            .code(2)
            .tells("expected a number from 0 to 255");
    }
    let stream = dura("dura-seal --group 255 --parity 1").input(packed()).ok().stdout;
    assert_eq!(count(&names(&stream), ".rs"), 1);
}

/// A band that was cut off and continued, and two bands on it, all with parity and signatures: what
/// the cut left without a list gets one, to be signed by hand; then damage in all of them is found
/// and repaired, and the version comes back.
#[test]
fn a_chain_on_a_band_that_was_cut_off() {
    let case = scratch("chain");
    let (src, archive) = (case.join("src"), case.join("archive"));
    fs::create_dir(&src).unwrap();
    let write = |name: u64, seed: u64| {
        let mut bytes = noise(seed, 2000);
        bytes.resize(1_100_000, b'.');
        fs::write(src.join(name.to_string()), bytes).unwrap();
    };
    let run = |line: &str| home().with(dura(line)).dir(&case);
    let seal = format!("-r {KEY} --sign {OTHER} --parity 2 --group 5");
    let make = format!(
        "dura-scan src | dura-index diff archive | dura-pack --block-size 1k | dura-seal {seal} > stream"
    );
    // A block that the cut left without an index is no fault.
    let tells = |found: &str, kind: &str| {
        found.lines().all(|line| line.starts_with(kind) || line.starts_with("superseded "))
    };
    let clean = |what: &str| {
        let done = verify(&archive, &format!("--signed-by {OTHER}"));
        assert!(done.code == 0 && tells(&done.text(), "superseded "), "{what}\n{}", done.report());
    };

    (0..9).for_each(|n| write(n, n));
    run(&make).ok();
    let stream = fs::read(case.join("stream")).unwrap();
    let members = split(&stream);
    let second =
        (0..members.len()).filter(|at| members[*at].name().ends_with(".sha256")).nth(1).unwrap();
    // In the midst of the third group.
    let cut = members[..second + 5]
        .iter()
        .map(|member| 512 + member.data.len().next_multiple_of(512))
        .sum();
    refused("cut off", &run("dura-push archive").input(&stream[..cut]).run());
    let done = verify(&archive, &format!("--signed-by {OTHER}"));
    assert!(done.code == 0 && tells(&done.text(), "unlisted "), "cut off\n{}", done.report());
    run(&make).ok();
    run("dura-push archive < stream").ok();
    let done = verify(&archive, "");
    assert!(done.code == 1 && tells(&done.text(), "unlisted "), "continued\n{}", done.report());
    let done = repair(&archive);
    assert_eq!(done.code, 1, "{}", done.report());
    done.tells("not signed: use --sign KEY");
    let sign = format!(
        "for l in archive/*/*/*.sha256; do [ -e $l.sig ] || {{ gpg -q -u {OTHER} --detach-sign $l; echo $l; }}; done"
    );
    assert_eq!(run(&sign).ok().text().lines().count(), 1);
    clean("continued, and signed by hand");

    write(3, 103);
    fs::remove_file(src.join("5")).unwrap();
    run(&format!("{make} && dura-push archive < stream")).ok();
    write(20, 120);
    fs::write(src.join("0"), "small now").unwrap();
    run(&format!("{make} && dura-push archive < stream")).ok();
    clean("three bands");
    let was = files(&archive);
    let bands: Vec<PathBuf> =
        fs::read_dir(&archive).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(bands.len(), 3);

    let mut dice = Dice::new(7);
    let mut hit = 0;
    let mut damage = |dice: &mut Dice, list: &str| {
        let (band, own) = list.split_once('/').unwrap();
        let group = Group::parse(own, &was[list]);
        let mut members = group.members.clone();
        for lost in 0..group.parity {
            let path = archive
                .join(band)
                .join(members.swap_remove(dice.below(members.len() as u64) as usize));
            if lost % 2 == 0 {
                fs::remove_file(path).unwrap()
            } else {
                fs::write(path, noise(9, 600)).unwrap()
            }
            hit += 1;
        }
    };
    let lists: Vec<&String> = was.keys().filter(|name| name.ends_with(".sha256")).collect();
    lists.iter().for_each(|list| damage(&mut dice, list));
    for band in &bands {
        let mut tail = fs::read(band.join("TAIL")).unwrap();
        tail[40] ^= 2;
        fs::write(band.join("TAIL"), tail).unwrap();
    }
    let done = repair(&archive);
    assert!(done.code == 1 && files(&archive) == was, "{}", done.report());
    clean("repaired");
    // The script does the same for a group of each band, without keys.
    for band in &bands {
        let name = band.file_name().unwrap().to_str().unwrap();
        let list = lists.iter().find(|list| list.starts_with(&format!("{name}/"))).unwrap();
        damage(&mut dice, list);
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("lib/notes/rsrepair.py");
        let line = "python3 \"$SCRIPT\" \"$LIST\"";
        bare(line).dir(band).var("SCRIPT", script).var("LIST", &list[name.len() + 1..]).ok();
        assert!(files(&archive) == was, "{list}");
    }
    assert!(hit > 20, "only {hit} objects were damaged");

    run("mkdir out && dura-restore archive | tar -xpf - -C out").ok();
    assert_same("the newest version", &take(&src), &take(&case.join("out")), EXACT);
}
