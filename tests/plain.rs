//! Sealed or plain: whoever can write to the store needs no key to put plain objects there, in the
//! place of sealed ones or on top of them.

use std::fs;
use std::path::{Path, PathBuf};

use crate::util::backup::UNDER_KEY;
use crate::util::gpg::{KEY, home};
use crate::util::run::{Shell, dura, scratch};
use crate::util::tree::noise;

/// An archive of a band for each of these, sealed or plain; each has a file of its number.
fn archive(sealed: &[bool]) -> PathBuf {
    let dir = scratch("plain");
    fs::create_dir(dir.join("s")).unwrap();
    fs::write(dir.join("s/big"), noise(1, 1_500_000)).unwrap();
    fs::write(dir.join("s/more"), noise(2, 1_500_000)).unwrap();
    for (at, sealed) in sealed.iter().enumerate() {
        fs::write(dir.join(format!("s/{at}")), at.to_string()).unwrap();
        let seal = if *sealed { format!("-r {KEY}") } else { String::new() };
        let line = format!(
            "dura-scan s | dura-index diff --plain archive | dura-pack --block-size 200k | dura-seal {seal} | dura-push --plain archive"
        );
        run(&dir, &line).ok();
    }
    dir
}

fn run(dir: &Path, line: &str) -> Shell {
    home().with(dura(line)).dir(dir).var("HOME", dir)
}

fn bands(dir: &Path) -> Vec<String> {
    let list = fs::read_dir(dir.join("archive")).unwrap();
    let mut names: Vec<String> =
        list.map(|band| band.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Opens a sealed object, and puts it in its own place.
fn unseal(dir: &Path, name: &str) {
    let key = format!("{}/000000000-0.key.gpg", name.rsplit_once('/').unwrap().0);
    let script = format!(
        "K=$PWD/key; gpg -q -d archive/{key} > $K
         {UNDER_KEY} archive/{name}.gpg > archive/{name} && rm archive/{name}.gpg $K"
    );
    run(dir, &script).ok();
}

/// What readers say that read the whole version.
const READERS: [&str; 4] = [
    "dura-restore --no-cache archive > t",
    "dura-index --no-cache list archive",
    "dura-index --no-cache ls archive",
    "dura-verify --quick archive",
];

/// One that keeps copies, and reads nothing from the archive the next time.
const WARM: &str = "XDG_CACHE_HOME=$PWD/warm dura-index list archive";

/// Each kind of object.
#[test]
fn a_plain_object_in_a_sealed_band() {
    let made = archive(&[true]);
    let band = bands(&made).pop().unwrap();
    let toc = fs::read_dir(made.join("archive").join(&band).join("00000")).unwrap();
    let toc = toc.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let toc = toc.into_iter().find(|name| name.contains(".toc")).unwrap();
    let toc = toc.trim_end_matches(".gpg");
    for (object, readers) in [
        ("000000001.tar.gz", &[READERS[0], READERS[3]][..]),
        ("000000000.mtree.gz", &READERS[..]),
        ("000000001.mtree.gz", &READERS[..]),
        (toc, &READERS[..]),
    ] {
        let dir = scratch("plain");
        run(
            &dir,
            &format!("cp -a {}/archive {}/.gnupg . 2>/dev/null; :", made.display(), made.display()),
        )
        .ok();
        let name = format!("{band}/00000/{object}");
        unseal(&dir, &name);
        for reader in readers {
            let done = run(&dir, reader).run();
            assert_eq!(done.code, 1, "{object}, {reader}\n{}", done.report());
            let said = format!("{}{}", done.stderr, done.text());
            assert!(said.contains(&format!("{name}: not encrypted, though the band is")), "{said}");
            let done = run(&dir, &reader.replace(" archive", " --plain archive")).run();
            let plain = if reader.contains("verify") {
                !done.text().contains("not encrypted")
            } else {
                done.code == 0
            };
            assert!(plain, "{object}, {reader}\n{}", done.report());
        }
        if object.contains(".tar") {
            run(&dir, "dura-restore --no-cache archive > t; mkdir out; tar xf t -C out").run();
            assert!(!dir.join("out/more").exists(), "it was left out");
        }
        let script = format!("cd archive/{band} && sh recover.sh");
        let done = run(&dir, &format!("{script} ../../r")).run();
        assert_eq!(done.code, 1, "{object}\n{}", done.report());
        done.tells(&format!("not encrypted, though {band} is: {name}"));
    }
}

/// A plain twin beside a sealed object is not taken for it.
#[test]
fn a_plain_twin() {
    let dir = archive(&[true]);
    let band = bands(&dir).pop().unwrap();
    let folder = dir.join("archive").join(&band).join("00000");
    for name in ["000000000.mtree.gz", "000000001.tar.gz"] {
        fs::write(folder.join(name), "no such thing").unwrap();
    }
    let done = run(&dir, "dura-restore --no-cache archive | tar tf -").run();
    assert!(done.text().contains("./big\n"), "{}", done.report());
    let done = run(&dir, "dura-verify --quick archive").run();
    assert_eq!(done.code, 1, "{}", done.report());
    assert_eq!(done.text().matches("not encrypted, though the band is").count(), 2);
    // One that a run would go on with.
    fs::remove_file(folder.parent().unwrap().join("TAIL")).unwrap();
    let done = run(&dir, "dura-scan s | dura-index diff archive > list").run();
    assert_eq!(done.code, 1, "{}", done.report());
    done.tells("continuing").tells("000000000.mtree.gz: not encrypted");
}

/// A plain band on top of a sealed one, and below it.
#[test]
fn a_plain_band_in_a_chain() {
    let dir = archive(&[true, false]);
    let names = bands(&dir);
    let top = &names[1];
    let what = "not encrypted, though a band below it is";
    for reader in READERS {
        let done = run(&dir, reader).run();
        assert_eq!(done.code, 1, "{reader}\n{}", done.report());
        let said = format!("{}{}", done.stderr, done.text());
        assert!(said.contains(top.as_str()) && said.contains(what), "{said}");
        let done = run(&dir, &reader.replace(" archive", " --plain archive")).run();
        assert_eq!(done.code, 0, "{reader}\n{}", done.report());
    }
    // It is never built on, though this host has made it, but with the option.
    let diff = |options: &str| {
        run(&dir, &format!("dura-scan s | dura-index diff {options} archive > list")).run()
    };
    let parent = || {
        let list = fs::read_to_string(dir.join("list")).unwrap();
        let line = list.lines().find(|line| line.starts_with("#parent ")).unwrap().to_owned();
        line.split(' ').nth(1).unwrap().to_owned()
    };
    for options in ["", "--no-cache"] {
        let done = diff(options);
        assert_eq!((done.code, &parent()), (1, &names[0]), "{}", done.report());
        done.tells(&format!("{top}: {top} is {what}: ignored"));
        let done = diff(&format!("{options} --plain"));
        assert_eq!((done.code, &parent()), (0, top), "{}", done.report());
    }
    let done = diff(&format!("--parent {top}"));
    assert_eq!(done.code, 2, "{}", done.report());
    done.tells("--plain builds on it");
    // Nor is it continued.
    fs::remove_file(dir.join("archive").join(top).join("TAIL")).unwrap();
    let done = diff("");
    assert_eq!((done.code, &parent()), (1, &names[0]), "{}", done.report());

    let dir = archive(&[false, true, true]);
    for reader in READERS {
        run(&dir, reader).ok();
    }
    run(&dir, "dura-scan s | dura-index diff archive > list").ok();
}

/// What an object holds is another's: who has put it there needs no key.
fn forge(dir: &Path, layer: &str, beside: bool) {
    fs::write(dir.join("s/1"), "forged").unwrap();
    let line = format!(
        "dura-scan s | dura-index diff --plain --no-cache --parent {} archive | dura-pack --band {layer} --id $(sed -n 's/^id: //p' archive/{layer}/HEAD) | dura-seal > forged; mkdir f; tar xf forged -C f",
        layer.rsplit_once('-').unwrap().0
    );
    run(dir, &line).ok();
    let keep = if beside { "" } else { "rm archive/$b/00000/*.gpg;" };
    let line = format!(
        "b={layer}; {keep} for o in f/$b/00000/*.tar* f/$b/00000/*.mtree* f/$b/00000/*.toc*; do cp $o archive/$b/00000; done; echo 1 > s/1"
    );
    run(dir, &line).ok();
}

/// Twins of all objects of a sealed layer on a plain band: nothing that is read would tell, were
/// the band not looked at. By names where they are cheap, else for one object; and where the sealed
/// ones are gone, its first list tells.
#[test]
fn a_layer_of_plain_twins() {
    for beside in [true, false] {
        let dir = archive(&[false, true]);
        let layer = bands(&dir).pop().unwrap();
        forge(&dir, &layer, beside);
        let others = [
            "dura-restore --no-cache archive ./1 > t",
            "dura-index --no-cache find archive 1",
            "dura-index --no-cache where archive ./1",
            // As over a network, where names cost more.
            "dura-restore --limit-rate 1G --no-cache archive > t",
            WARM,
            WARM,
        ];
        for reader in READERS.iter().chain(&others) {
            let done = run(&dir, reader).run();
            let code = match () {
                () if !beside && reader.contains("./1") => 1..=2,
                () => 1..=1,
            };
            assert!(code.contains(&done.code), "{beside}, {reader}\n{}", done.report());
            let said = format!("{}{}", done.stderr, done.text());
            let told = said.contains(&format!("{layer}/00000/000000000.mtree.gz: not encrypted"))
                || reader.contains("./1") && said.contains(".toc.gz: not encrypted")
                || !beside && reader.contains("verify");
            assert!(told, "{beside}, {reader}: {said}");
            let out = fs::read(dir.join("t")).unwrap_or_default();
            assert!(!out.windows(6).any(|six| six == b"forged"), "{beside}, {reader}");
        }
        // Of a part, over a network, only what is there tells: those beside sealed ones do not count,
        // and where the first sealed index is gone nothing shows that there was one. (`find` reads
        // all indexes.)
        for reader in ["dura-restore", "dura-index where", "dura-index find"] {
            let line = format!("{reader} --limit-rate 1G --no-cache archive ./1 > t");
            let done = run(&dir, &line).run();
            let out = fs::read(dir.join("t")).unwrap_or_default();
            let is_forged = out.windows(6).any(|six| six == b"forged");
            let is_blind = !beside && !reader.ends_with("find");
            // Twins beside sealed ones are told of only if they are seen.
            let is_as_said = match is_blind {
                true => done.code == 0 && is_forged == (reader == "dura-restore"),
                false => !is_forged && (done.code == 1 || beside && done.code == 0),
            };
            assert!(is_as_said, "{beside}, {reader}\n{}", done.report());
        }
        let done = run(&dir, &format!("cd archive/{layer}; sh recover.sh ../../r")).run();
        assert_eq!(done.code, 1, "{}", done.report());
        done.tells(&format!("not encrypted, though {layer} is"));
        assert_ne!(fs::read(dir.join("r/1")).unwrap_or_default(), b"forged");
    }
}

/// A plain full band on top of a sealed archive, newer than all: nobody needs a key for that.
#[test]
fn a_plain_full_band_on_top() {
    let dir = archive(&[true, true]);
    let own = bands(&dir);
    run(&dir, "mkdir p; echo x > p/planted; sleep 1.1").ok();
    let plant = "dura-scan p | dura-pack -C p | dura-seal | dura-push archive";
    let other = format!("XDG_STATE_HOME=$PWD/eve; {plant}; sleep 1.1; {plant}");
    run(&dir, &other).ok();
    let planted: Vec<String> = bands(&dir).into_iter().filter(|it| !own.contains(it)).collect();
    let top = planted.last().unwrap();
    let others = [
        "dura-restore --no-cache archive ./planted > t",
        "dura-restore --limit-rate 1G --no-cache archive > t",
        "dura-restore --limit-rate 1G --no-cache archive ./planted > t",
        "dura-index --no-cache find archive planted",
        "dura-index --no-cache where archive ./planted",
        WARM,
        WARM,
    ];
    for reader in READERS.iter().chain(&others) {
        let done = run(&dir, reader).run();
        assert_eq!(done.code, 1, "{reader}\n{}", done.report());
        let said = format!("{}{}", done.stderr, done.text());
        let what = format!(": not encrypted, though {} is, which is older", own[0]);
        assert!(said.contains(&what) && said.contains(top.as_str()), "{reader}: {said}");
        let done = run(&dir, &reader.replace(" archive", " --plain archive")).run();
        assert_eq!(done.code, 0, "{reader}\n{}", done.report());
        let done =
            run(&dir, &reader.replace(" archive", &format!(" --band {} archive", own[1]))).run();
        let none = reader.contains("find") || reader.contains("verify");
        assert!(none || !done.stderr.contains("not encrypted"), "{reader}\n{}", done.report());
    }
    let done = run(&dir, &format!("cd archive/{top}; sh recover.sh ../../r")).run();
    assert_eq!(done.code, 1, "{}", done.report());
    done.tells(&format!("{top} is not encrypted, though "));
    run(&dir, &format!("cd archive/{top}; sh recover.sh -p ../../q")).ok();
    run(&dir, &format!("cd archive/{}; sh recover.sh ../../o", own[1])).ok();
    // Nor is it built on, by a host that knows nothing of the archive or believes all.
    for options in ["", "--no-cache"] {
        let line = format!("dura-scan s | dura-index diff {options} archive > list");
        let done = run(&dir, &line).run();
        assert_eq!(done.code, 1, "{options}\n{}", done.report());
        done.tells(&format!("{top}: not encrypted, though ")).tells("ignored (--plain");
        let list = fs::read_to_string(dir.join("list")).unwrap();
        assert!(list.contains(&format!("#parent {}", own[1])), "{list}");
    }
    let line = format!("dura-scan s | dura-index diff --parent {top} archive");
    let done = run(&dir, &line).run();
    assert_eq!(done.code, 2, "{}", done.report());
    done.tells("--plain builds on it");
    // Who has made it, and has a plain archive beside a sealed one of another host, goes on.
    run(&dir, "XDG_STATE_HOME=$PWD/eve; dura-scan p | dura-index diff archive > list").ok();
}

/// A sealed band that went on plain: with the option all of it comes, without it what is sealed.
#[test]
fn a_sealed_band_that_went_on_plain() {
    let dir = archive(&[true]);
    let band = bands(&dir).pop().unwrap();
    fs::remove_file(dir.join("archive").join(&band).join("TAIL")).unwrap();
    fs::write(dir.join("s/z"), "zzz").unwrap();
    let line = "dura-scan s | dura-index diff archive | dura-pack | dura-seal | dura-push";
    let done = run(&dir, &format!("{line} archive")).run();
    assert_eq!(done.code, 2, "{}", done.report());
    let done = run(&dir, &format!("{line} --plain archive")).run();
    assert_eq!(done.code, 1, "what changed behind: {}", done.report());
    let listed = |options: &str| {
        let done =
            run(&dir, &format!("dura-restore --no-cache {options} archive | tar tf -")).run();
        (done.text().contains("./z\n"), done.text().contains("./big\n"), done.stderr)
    };
    let (new, old, told) = listed("");
    assert!(!new && old && told.contains("not encrypted, though the band is"), "{told}");
    let (new, old, told) = listed("--plain");
    assert!(new && old && !told.contains("not encrypted"), "{told}");
}

/// `bands` says how each band is protected, behind what it always said.
#[test]
fn columns_of_bands() {
    let dir = archive(&[true, false]);
    let line = format!(
        "dura-scan s | dura-pack --band 20350101T000000Z | dura-seal -r {KEY} --sign {KEY} --parity 2 | dura-push archive; dura-index bands archive"
    );
    let listed = run(&dir, &line).ok().text();
    let rows: Vec<Vec<&str>> = listed.lines().map(|line| line.split(' ').collect()).collect();
    let columns: Vec<String> = rows.iter().map(|row| row[5..].join(" ")).collect();
    assert_eq!(columns, ["encrypted unsigned 0", "plain unsigned 0", "encrypted signed 2"]);
    assert!(rows.iter().all(|row| row[1] == "complete" && row.len() == 8), "{listed}");
    let band = rows[0][0];
    fs::write(dir.join(format!("archive/{band}/00000/000000009.tar.gz")), "x").unwrap();
    let listed = run(&dir, "dura-index bands archive").ok().text();
    assert!(listed.lines().next().unwrap().ends_with(" mixed unsigned 0"), "{listed}");
}
