//! Parity and signatures: what seal adds, and what the standard tools say of it.

use std::fs;
use std::path::{Path, PathBuf};

use super::util::gpg::{EXPIRED, KEY, OTHER, home};
use super::util::run::{bare, dura, scratch};
use super::util::small::{BAND, packed, refused, sealed};
use super::util::stream::split;

/// The small band sealed with these options and stored; gives the band's folder.
fn stored(options: &str) -> PathBuf {
    let dir = scratch("protect");
    home().with(dura(&format!("dura-seal {options} | dura-push archive")).dir(&dir).input(packed())).ok();
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
    let stream = home().with(dura(&format!("dura-seal --sign {KEY} --group 8")).input(packed())).ok().stdout;
    let names = names(&stream);
    assert_eq!(names[names.len() - 2..], ["TAIL", "TAIL.sig"]);
    assert_eq!(count(&names, ".sha256.sig"), names.iter().filter(|name| name.ends_with(".sha256")).count());
    for (at, name) in names.iter().enumerate().filter(|(_, name)| name.ends_with(".sha256.sig")) {
        assert_eq!(names[at - 1], name.strip_suffix(".sig").unwrap());
    }
    // Without its signatures it is what it is without the option.
    let bare: Vec<_> = split(&stream).into_iter().filter(|member| !member.name().ends_with(".sig")).collect();
    let unsigned = dura("dura-seal --group 8").input(packed()).ok().stdout;
    assert_eq!(super::util::stream::join(&bare), unsigned);
    refused("sealed twice", &dura("dura-seal").input(&stream).run());
}

#[test]
fn keys_that_cannot_sign_are_told_before_the_first_object() {
    let other = scratch("gpg.public");
    let public = "mkdir -m 700 \"$NEW/h\" && gpg --export \"$KEY\" | gpg -q --homedir \"$NEW/h\" --import";
    home().with(bare(public).var("NEW", &other).var("KEY", KEY)).ok();
    let elsewhere = other.join("h");
    for (key, at, told) in [
        ("nobody@dura.invalid", &home().dir, "no such secret key"),
        (EXPIRED, &home().dir, "the key expired on 2020-01-02"),
        (KEY, &elsewhere, "only the public part of the key"),
    ] {
        let done = dura(&format!("dura-seal --sign {key}")).var("GNUPGHOME", at).input(packed()).code(2);
        done.tells(told).tells("hint: ");
        assert!(done.stdout.is_empty(), "{}", done.report());
    }
    bare("gpgconf --homedir \"$H\" --kill all").var("H", &elsewhere).run();
}

/// A gpg of one's own that says that it has signed, or exits with 0, but not both.
#[test]
fn a_gpg_that_lies_signs_nothing() {
    for lie in
        ["echo sig; exit 0", "echo '[GNUPG:] SIG_CREATED D' >&2; exit 0", "echo sig; echo '[GNUPG:] SIG_CREATED D' >&2; exit 2"]
    {
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
        done.tells("the code knows 256").tells("hint: lower --group or --parity");
        assert!(done.stdout.is_empty());
    }
    for options in ["--parity 256", "--parity x", "--parity 1000000000000000000000"] {
        dura(&format!("dura-seal {options}")).input(packed()).code(2).tells("wanted a number from 0 to 255");
    }
    let stream = dura("dura-seal --group 255 --parity 1").input(packed()).ok().stdout;
    assert_eq!(count(&names(&stream), ".rs"), 1);
}
