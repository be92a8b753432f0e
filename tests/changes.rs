//! `dura-index changes`, `ls -s` and `--json`, on real archives.

use std::path::{Path, PathBuf};

use super::util::run::{Done, dura, scratch};

/// Three backups of a tree that changes: the archive's folder, and the names of the bands.
fn archive() -> (PathBuf, Vec<String>) {
    let dir = scratch("changes");
    let backup = |second: u32, change: &str| {
        let line = format!(
            "{change}; export SOURCE_DATE_EPOCH=17672328{second:02}; \
             dura-scan src | dura-index diff -q archive | dura-pack -q | dura-seal | dura-push -q archive"
        );
        dura(&line).dir(&dir).ok();
    };
    backup(
        10,
        "mkdir -p 'src/a b/deep' src/old; echo one >src/one; head -c 5000 /dev/zero >'src/a b/zeros'; \
         echo deep >'src/a b/deep/x'; echo same >src/old/moved; echo twin >src/old/twin; ln -s one src/link",
    );
    backup(
        20,
        "echo two >>src/one; mv src/old src/new; echo more >'src/a b/more'; rm 'src/a b/zeros'",
    );
    backup(30, "ln -sfn two src/link; chmod 600 src/new/twin; rm src/one; mkdir src/one");
    let bands = dura("dura-index bands archive | cut -d' ' -f1").dir(&dir).ok().text();
    let bands: Vec<String> = bands.lines().map(str::to_owned).collect();
    assert_eq!(bands.len(), 3);
    (dir, bands)
}

fn changes(dir: &Path, rest: &str) -> Done {
    dura(&format!("dura-index changes archive {rest}")).dir(dir).run()
}

#[test]
fn between_two_versions() {
    let (dir, bands) = archive();
    let second = "- - ./old\n- 5000 ./a\\040b/zeros\n+ 5 ./a\\040b/more\n+ - ./new\n\
                  R 5 ./new/moved ./old/moved\nR 5 ./new/twin ./old/twin\nM 8 ./one\n";
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let third = "M - ./link\nT - ./one\n";
    for (rest, wanted) in [
        (String::new(), third.to_owned()),
        (format!("--band {} --band {}", bands[0], bands[1]), second.to_owned()),
        (format!("--band {}", bands[1]), third.to_owned()),
        (
            format!("--band {} --metadata ./link new", bands[1]),
            "M - ./link\nU 5 ./new/twin\n".to_owned(),
        ),
        (
            format!("--band {} --band {} './a b'", bands[0], bands[1]),
            "- 5000 ./a\\040b/zeros\n+ 5 ./a\\040b/more\n".to_owned(),
        ),
        (format!("--band {0} --band {0}", bands[2]), String::new()),
    ] {
        let done = changes(&dir, &rest);
        // Directories change their times with what is in them.
        let text: String = done
            .text()
            .lines()
            .filter(|line| !line.starts_with("U - "))
            .map(|line| format!("{line}\n"))
            .collect();
        assert_eq!((done.code, sorted(&text)), (0, sorted(&wanted)), "{rest}: {}", done.report());
    }
    // What changed last is reported with what it was compared with; the first backup added all.
    changes(&dir, "-v").tells(&format!("from {} to {}", bands[1], bands[2])).tells("1 modified");
    let done = changes(&dir, &format!("--band {} --band {} nowhere", bands[0], bands[1]));
    assert_eq!(done.code, 2, "{}", done.report());
    changes(&dir, "nowhere link").tells("nowhere: in neither of the two");
    for wrong in ["--band latest --band latest --band latest", "--band none"] {
        assert_eq!(changes(&dir, wrong).code, 2, "{wrong}");
    }
    dura("dura-index ls --band latest --band latest archive").dir(&dir).code(2);
    dura("dura-index list --json archive").dir(&dir).code(2).tells("--json");
}

#[test]
fn between_a_version_and_a_listing() {
    let (dir, bands) = archive();
    // The version and its own listing, and a scan of the unchanged source, do not differ.
    for listing in ["dura-index list archive", "dura-scan src"] {
        let line = format!("{listing} | dura-index changes archive --listing -");
        assert_eq!(dura(&line).dir(&dir).ok().text(), "", "{listing}");
    }
    dura(
        "dura-scan --exclude new src >listing; echo x >src/x; rm src/link; \
          dura-scan --exclude new src >later",
    )
    .dir(&dir)
    .ok();
    assert_eq!(changes(&dir, "--listing listing").text(), "", "what was left out is not known");
    assert_eq!(changes(&dir, "--listing later").text(), "- - ./link\n+ 2 ./x\n");
    let done = changes(&dir, &format!("--band {} --listing later one", bands[1]));
    assert_eq!(done.text(), "T - ./one\n", "{}", done.report());
    // A listing that was cut is no listing.
    dura("head -n 3 later >cut; dura-index changes archive --listing cut").dir(&dir).code(2);
}

#[test]
fn sums_of_directories() {
    let (dir, bands) = archive();
    let sums = |rest: &str| {
        dura(&format!("dura-index ls -s --band {} archive {rest}", bands[0])).dir(&dir).ok().text()
    };
    assert_eq!(sums(""), "5019 5 .\n5005 2 ./a\\040b\n10 2 ./old\n5 1 ./a\\040b/deep\n");
    assert_eq!(sums("-1"), "5019 5 .\n5005 2 ./a\\040b\n10 2 ./old\n");
    assert_eq!(sums("'a b'"), "5005 2 ./a\\040b\n5 1 ./a\\040b/deep\n");
    let du = dura("find src -type f -printf '%s\\n' | awk '{ n += $1 } END { print n, NR }'");
    let now = dura("dura-index ls -s archive | head -n 1").dir(&dir).ok().text();
    assert_eq!(now, format!("{} .\n", du.dir(&dir).ok().text().trim()));
}

#[test]
fn lines_of_json() {
    let (dir, bands) = archive();
    // Python reads each line, and gives what was asked for of it.
    let json = |command: &str, fields: &str| {
        let line = format!(
            "dura-index --json {command} | python3 -c 'import json, sys\n\
             for line in sys.stdin: o = json.loads(line); print({fields})'"
        );
        dura(&line).dir(&dir).ok().text()
    };
    let text = json(
        "bands archive",
        "o[\"band\"], o[\"state\"], o[\"started\"], o[\"entries\"], o[\"source_bytes\"], o[\"sealed\"], \"signed\" if o[\"signed\"] else \"unsigned\", o[\"parity\"]",
    );
    assert_eq!(text, dura("dura-index bands archive").dir(&dir).ok().text());
    let text = json("where archive link", "o[\"size\"], o[\"object\"]");
    assert_eq!(text, dura("dura-index where archive link").dir(&dir).ok().text());
    let text = json("find archive moved", "o[\"path\"], o[\"size\"], \",\".join(o[\"bands\"])");
    assert_eq!(
        text,
        format!("./old/moved 5 {}\n./new/moved 5 {},{}\n", bands[0], bands[1], bands[2])
            .lines()
            .rev()
            .map(|line| format!("{line}\n"))
            .collect::<String>()
    );
    let text = json("expire --keep-last 1 archive", "o[\"band\"]");
    assert_eq!(text, dura("dura-index expire --keep-last 1 archive").dir(&dir).ok().text());
    let two = format!("changes --band {} --band {} archive", bands[0], bands[1]);
    let text =
        json(&two, "o[\"change\"], o[\"path\"], o[\"from\"], o[\"old_size\"], o[\"new_size\"]");
    assert!(text.contains("moved ./new/twin ./old/twin 5 5\n"), "{text}");
    assert!(text.contains("removed ./a\\040b/zeros None 5000 None\n"), "{text}");
    let text =
        json("ls archive", "o[\"path\"], o[\"type\"], o[\"mode\"], o[\"size\"], o[\"target\"]");
    assert!(text.contains("./link link 0777 None two\n"), "{text}");
    assert!(text.contains("./new/twin file 0600 5 None\n"), "{text}");
    let text = json("ls -s archive", "o[\"size\"], o[\"files\"], o[\"path\"]");
    assert_eq!(text, dura("dura-index ls -s archive").dir(&dir).ok().text());
}
