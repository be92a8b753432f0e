//! Input that is cut off, output that goes nowhere, writers that meet: no TAIL, exit 2, nothing
//! changed.

use std::fs;

use rustix::pipe::pipe;

use crate::util::gpg::{self, EXPIRED, KEY};
use crate::util::run::{dura, need, scratch};
use crate::util::small::{
    BAND, CONTENTS, ID, listing, pack, packed, refused, sealed, tails, tree, whole,
};
use crate::util::snapshot::{EXACT, Snapshot, assert_same, take};
use crate::util::stream::{has_tail, through};
use crate::util::tree::set_mode;

/// Where an input is cut: at its start, in the middle, and near its end.
fn cuts(length: usize) -> Vec<usize> {
    let last = (length - 1) / 512 * 512;
    let mut at = vec![0, 1, 511, 512, length / 2, length - 1];
    at.extend((0..4).map(|n| last - 512 * n));
    at
}

/// pack, given a listing that is cut off, exits 2 and writes no TAIL; push behind it neither.
#[test]
fn listing_cut_off() {
    for at in cuts(listing().len()) {
        let done = through(&pack(ID), &listing()[..at]);
        refused(&format!("pack, cut at {at}"), &done);
        assert!(!has_tail(&done.stdout), "pack, cut at {at}: TAIL");

        let dir = scratch("cut");
        let done = dura(&format!("{} | dura-seal | dura-push archive", pack(ID)))
            .dir(&dir)
            .input(&listing()[..at])
            .stages();
        assert_eq!(done.stages, [2, 2, 2], "cut at {at}\n{}", done.report());
        assert_eq!(tails(&dir), [""; 0]);
    }
}

/// seal, given an object stream that is cut off, exits 2 and writes no TAIL: with lists alone, and
/// with gpg.
#[test]
fn stream_cut_off_before_seal() {
    let mut hinted = 0;
    let encrypt = format!("dura-seal -r {KEY}");
    for at in cuts(packed().len()) {
        for line in ["dura-seal", &encrypt] {
            let done = gpg::home().with(dura(line)).input(&packed()[..at]).run();
            refused(&format!("{line}, cut at {at}"), &done);
            assert!(!has_tail(&done.stdout), "{line}, cut at {at}: TAIL");
            let cut = done.stderr.contains("ends early, at byte");
            assert_eq!(done.stderr.contains("--part-size 1M"), cut, "{}", done.report());
            hinted += u32::from(cut);
        }
    }
    assert!(hinted > 0);
}

/// push, given an object stream that is cut off, exits 2 and stores no TAIL; the whole stream
/// afterwards completes the band.
#[test]
fn stream_cut_off_before_push() {
    let mut hinted = 0;
    for at in cuts(sealed().len()) {
        let dir = scratch("cut");
        let done = dura("dura-push archive").dir(&dir).input(&sealed()[..at]).run();
        refused(&format!("push, cut at {at}"), &done);
        assert_eq!(tails(&dir), [""; 0], "cut at {at}");
        let cut = done.stderr.contains("ends early, at byte");
        assert_eq!(done.stderr.contains("--part-size 1M"), cut, "{}", done.report());
        hinted += u32::from(cut);
        dura("dura-push archive").dir(&dir).input(sealed()).ok();
        assert_same(&format!("cut at {at}, then whole"), whole(), &take(&dir), CONTENTS);
    }
    assert!(hinted > 0);
}

/// A full disk at the end of the pipe is no success.
#[test]
fn dev_full() {
    for (line, input) in [
        ("dura-scan \"$SRC\"".to_string(), &b""[..]),
        (pack(ID), listing()),
        ("dura-seal".to_string(), packed()),
    ] {
        let done = dura(&format!("{line} > /dev/full")).var("SRC", tree()).input(input).run();
        refused(&line, &done);
    }
}

/// Nor is a reader that has gone; which is said with -v alone, since the reader has said why.
#[test]
fn closed_pipe() {
    for (line, input) in [
        ("dura-scan \"$SRC\"".to_string(), &b""[..]),
        (pack(ID), listing()),
        ("dura-seal".to_string(), packed()),
    ] {
        for verbose in [false, true] {
            let (reader, writer) = pipe().unwrap();
            drop(reader);
            let line = if verbose { format!("{line} -v") } else { line.clone() };
            let done = dura(&line).var("SRC", tree()).input(input).stdout(writer).run();
            assert_eq!(
                (done.code, done.stderr.contains("has ended")),
                (2, verbose),
                "{}",
                done.report()
            );
        }
    }
}

/// A disk that takes no more is told; no TAIL, and no object that is not whole.
#[test]
fn push_that_cannot_write() {
    let dir = scratch("limit");
    // 100 KiB a file are allowed: the blocks of 1 MiB do not fit.
    let done =
        dura("trap '' XFSZ; ulimit -f 100; dura-push archive").dir(&dir).input(sealed()).run();
    refused("push", &done);
    assert_eq!(tails(&dir), [""; 0]);
    let stored = take(&dir);
    for (name, entry) in &stored.0 {
        let whole = whole()
            .0
            .get(name)
            .unwrap_or_else(|| panic!("left behind: {}", String::from_utf8_lossy(name)));
        assert_eq!(entry.content, whole.content, "{}", String::from_utf8_lossy(name));
    }
    dura("dura-push archive").dir(&dir).input(sealed()).ok();
    assert_same("then with room", whole(), &take(&dir), CONTENTS);
}

/// Killed in the middle, no program of the pipeline lets those after it believe that they have
/// everything.
#[test]
fn killed_upstream() {
    for victim in ["pack", "seal", "push"] {
        let dir = scratch("killed");
        fs::write(dir.join("listing"), listing()).unwrap();
        let script = format!(
            "mkfifo l a b
             {} < l > a & pack=$!
             dura-seal < a > b & seal=$!
             dura-push archive < b & push=$!
             exec 3> l
             sed '$d' listing >&3
             until ls archive/{BAND}/00000/000000000.tar.gz* > /dev/null 2>&1; do sleep 0.01; done
             kill -9 ${victim}; wait ${victim} 2>/dev/null
             tail -n 1 listing >&3; exec 3>&-
             wait $pack; p=$?; wait $seal; s=$?; wait $push; echo $p $s $?",
            pack(ID)
        );
        let done = dura(&script).dir(&dir).seconds(60).run();
        let codes: Vec<i32> =
            done.text().split_whitespace().map(|code| code.parse().unwrap()).collect();
        // Of those before the victim only the one that still writes to it must see it.
        match victim {
            "pack" => assert_eq!(codes, [137, 2, 2], "{}", done.report()),
            "seal" => assert_eq!(codes, [2, 137, 2], "{}", done.report()),
            _ => assert_eq!(codes[1..], [2, 137], "{}", done.report()),
        }
        assert_eq!(tails(&dir), [""; 0], "{victim} was killed");
        dura("dura-push archive").dir(&dir).input(sealed()).ok();
    }
}

/// scan, killed in the middle: what it had written is no listing to pack.
#[test]
fn killed_scan() {
    let dir = scratch("scanned");
    // More entries than a pipe holds.
    for n in 0..6000 {
        fs::write(dir.join(format!("{n:0240}")), "").unwrap();
    }
    let script = "mkfifo l; exec 3<> l; dura-scan \"$SRC\" > l & scan=$!
                  read -r first <&3; kill -9 $scan; wait $scan; exec 4< l 3>&-
                  { echo \"$first\"; cat <&4; } | tee cut | dura-pack > out; echo ${PIPESTATUS[2]}";
    let out = scratch("killed");
    let done = dura(script).dir(&out).var("SRC", &dir).seconds(60).run();
    assert_eq!(done.text(), "2\n", "{}", done.report());
    assert!(!has_tail(&fs::read(out.join("out")).unwrap()));
    assert!(fs::read(out.join("cut")).unwrap().starts_with(b"#mtree\n#dura listing 1\n"));
}

/// The same stream once more is skipped: exit 0, and nothing is touched.
#[test]
fn same_stream_again() {
    let dir = scratch("again");
    dura("dura-push archive").dir(&dir).input(sealed()).ok();
    let before = take(&dir);
    assert_same("first", whole(), &before, CONTENTS);
    dura("dura-push archive").dir(&dir).input(sealed()).ok();
    assert_same("again", &before, &take(&dir), EXACT);
}

/// A writer with another id finds the band taken, complete or not: exit 2, and nothing is touched.
#[test]
fn second_writer() {
    let other = dura(&format!("{} | dura-seal", pack("ffeeddccbbaa99887766554433221100")))
        .input(listing())
        .ok()
        .stdout;
    for complete in [true, false] {
        let dir = scratch("second");
        dura("dura-push archive").dir(&dir).input(sealed()).ok();
        if !complete {
            fs::remove_file(dir.join("archive").join(BAND).join("TAIL")).unwrap();
        }
        let before = take(&dir);
        refused("second writer", &dura("dura-push archive").dir(&dir).input(&other).run());
        assert_same("second writer", &before, &take(&dir), EXACT);
    }
}

/// Two writers at the same time: the second one stops, and the first one's band is as if it had
/// been alone.
#[test]
fn second_writer_meanwhile() {
    let dir = scratch("meanwhile");
    let other = dura(&format!("{} | dura-seal", pack("ffeeddccbbaa99887766554433221100")))
        .input(listing())
        .ok()
        .stdout;
    fs::write(dir.join("first"), sealed()).unwrap();
    fs::write(dir.join("second"), other).unwrap();
    let half = sealed().len() / 2;
    let script = format!(
        "mkfifo s; dura-push archive < s & first=$!; exec 3> s; head -c {half} first >&3
         until [ -e archive/{BAND}/HEAD ]; do sleep 0.01; done
         dura-push archive < second; second=$?
         tail -c +{} first >&3; exec 3>&-; wait $first; echo $? $second; rm first second s",
        half + 1
    );
    let done = dura(&script).dir(&dir).seconds(60).run();
    assert_eq!(done.text(), "0 2\n", "{}", done.report());
    assert_same("two writers", whole(), &take(&dir), CONTENTS);
}

/// An object that is there with other bytes is refused and stays; one of 0 bytes counts as absent.
#[test]
fn object_with_other_bytes() {
    let dir = scratch("other");
    dura("dura-push archive").dir(&dir).input(sealed()).ok();
    let band = dir.join("archive").join(BAND);
    fs::remove_file(band.join("TAIL")).unwrap();
    let block = band.join("00000/000000002.tar.gz");
    let good = fs::read(&block).unwrap();
    let mut bad = good.clone();
    bad[100] ^= 1;
    fs::write(&block, &bad).unwrap();
    let before = take(&dir);
    let done = dura("dura-push archive").dir(&dir).input(sealed()).run();
    refused("other bytes", &done);
    done.tells("00000/000000002.tar.gz");
    assert_same("other bytes", &before, &take(&dir), EXACT);

    fs::write(&block, "").unwrap();
    dura("dura-push archive").dir(&dir).input(sealed()).ok();
    assert_same("0 bytes", whole(), &take(&dir), CONTENTS);
}

/// A band is stored only where its parent is, with that id, up to that index.
#[test]
fn parent_must_be_there() {
    let last = last_of(whole());
    let missing = "20190102T030405Z";
    for (parent, id, index, code) in [
        (BAND, ID, last, 0),
        (missing, ID, last, 2),
        (BAND, "ffeeddccbbaa99887766554433221100", last, 2),
        (BAND, ID, last + 1, 2),
    ] {
        let dir = scratch("parent");
        dura("dura-push archive").dir(&dir).input(sealed()).ok();
        let before = take(&dir);
        let header = format!("#parent {parent} {id} {index:09}\n");
        let text = String::from_utf8(listing().to_vec()).unwrap();
        let (head, rest) = text.split_at(text.find("\n. ").unwrap() + 1);
        let child = [head, &header, rest].concat();
        let done = dura("dura-pack | dura-seal | dura-push archive")
            .dir(&dir)
            .input(child.as_bytes())
            .stages();
        assert_eq!((done.stages[0], done.code), (0, code), "{header}{}", done.report());
        if code == 0 {
            let child = format!("archive/{BAND}-2");
            assert!(tails(&dir).iter().any(|name| name.starts_with(&child)), "{:?}", tails(&dir));
        } else {
            assert_same(&header, &before, &take(&dir), EXACT);
        }
    }
}

/// The last index of the only band in a store.
fn last_of(store: &Snapshot) -> u32 {
    let names = store.0.keys().map(|name| String::from_utf8_lossy(name).into_owned());
    let numbers = names
        .filter(|name| name.contains(".mtree."))
        .map(|name| name.rsplit('/').next().unwrap()[..9].parse().unwrap());
    numbers.max().unwrap()
}

/// A key that is expired, unknown, or secret to nobody stops seal before the first object, by name
/// and with what to do.
#[test]
fn keys_that_cannot_be_used() {
    let empty = scratch("no-key").join("file");
    fs::write(&empty, "no key\n").unwrap();
    let file = format!("--recipient-file {}", empty.display());
    for (options, tells) in [
        (format!("-r {EXPIRED}"), EXPIRED),
        (format!("-r {KEY} -r {EXPIRED}"), EXPIRED),
        ("-r nobody@dura.invalid".into(), "nobody@dura.invalid"),
        (file, "file"),
        ("--symmetric --passphrase-file /no/such/file".into(), "/no/such/file"),
    ] {
        let done = gpg::home().with(dura(&format!("dura-seal {options}"))).input(packed()).run();
        refused(&options, &done);
        done.tells(tells);
        assert!(
            done.stderr.contains("dura-seal: hint: ") || options.contains("/no/such"),
            "{}",
            done.report()
        );
        assert!(done.stdout.is_empty(), "{options}: wrote {} bytes", done.stdout.len());
    }
}

/// What gpg leaves behind when it fails, or when it ends well without having said that it
/// encrypted, is not taken.
#[test]
fn gpg_that_lies() {
    let real = need("gpg").display().to_string();
    // As itself when it is asked for keys, and for the first few objects; then as the case has it.
    let cases = [
        "exit 0",
        "cat; exit 0",
        "head -c 100; exit 2",
        "kill -9 $$",
        &format!("{real} \"$@\" 2>/dev/null | head -c 60"),
        &format!("{real} \"$@\" > /dev/full"),
    ];
    for case in cases {
        let dir = scratch("liar");
        let count = "echo x >> \"$COUNT\"; [ $(wc -l < \"$COUNT\") -gt 5 ] || exec";
        let script = format!(
            "#!/bin/sh\ncase \"$*\" in *--encrypt* | *--symmetric*) ;; *) exec {real} \"$@\" ;; esac\n{count} {real} \"$@\"\n{case}\n"
        );
        fs::write(dir.join("gpg"), script).unwrap();
        set_mode(&dir.join("gpg"), 0o755);
        let line = format!("PATH={}:$PATH dura-seal -r {KEY} -j 1", dir.display());
        let done = gpg::home()
            .with(dura(&line))
            .var("COUNT", dir.join("count"))
            .input(packed())
            .seconds(60)
            .run();
        refused(case, &done);
        assert!(!has_tail(&done.stdout), "{case}: TAIL");
        let encrypted = fs::read_to_string(dir.join("count")).unwrap().lines().count();
        assert!(encrypted > 5, "{case}: gpg was not asked often enough to lie");
    }
}
