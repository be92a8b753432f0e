//! Archives with objects that are damaged, gone, swapped, of others, or made to do harm: what can
//! be read is read, the object is named, the exit status is right, and nothing panics.
//!
//! One rule holds for all of it. A program that ends in 0 writes what it writes of the good
//! archive. In 1 or 2 it names what is wrong; and what `dura-restore` still gives is as it was, or
//! named.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;

use crate::util::run::{Done, Share, bare, dura, scratch};
use crate::util::snapshot::{EXACT, Snapshot, diff, take};
use crate::util::tree::noise;

const FULL: &str = "20200101T000000Z";
const LAYER: &str = "20200101T000000Z-20200102T000000Z";

/// The good archive beside another one of the same tree, and what it holds.
struct Good {
    dir: PathBuf,
    was: Snapshot,
}

fn good() -> &'static Good {
    static GOOD: OnceLock<Good> = OnceLock::new();
    GOOD.shared(|| {
        let dir = scratch("good");
        let src = dir.join("src");
        for sub in ["a", "a/deep", "b", "c"] {
            fs::create_dir_all(src.join(sub)).unwrap();
        }
        for n in 0..4u64 {
            let mut bytes = noise(n, 30_000);
            bytes.resize(1_060_000, b'.');
            fs::write(src.join(["a", "b", "c", "a/deep"][n as usize]).join("large"), &bytes)
                .unwrap();
            fs::write(
                src.join(["a", "b", "c", "a/deep"][n as usize]).join("small"),
                format!("{n}"),
            )
            .unwrap();
        }
        fs::hard_link(src.join("a/small"), src.join("c/linked")).unwrap();
        let run = |archive: &str, band: &str| {
            let line = "dura-scan \"$SRC\" | dura-index diff ARCHIVE | dura-pack --block-size 1k --band BAND | dura-seal | dura-push ARCHIVE";
            dura(&line.replace("ARCHIVE", archive).replace("BAND", band))
                .dir(&dir)
                .var("SRC", &src)
                .ok();
        };
        std::thread::sleep(std::time::Duration::from_millis(2100));
        run("archive", FULL);
        run("other", FULL);
        fs::write(src.join("a/large"), noise(9, 1_100_000)).unwrap();
        fs::write(src.join("b/new"), noise(10, 1_100_000)).unwrap();
        fs::remove_file(src.join("c/small")).unwrap();
        run("archive", LAYER);
        Good { was: take(&src), dir }
    })
}

/// What is done to the archive in this directory.
type Harm = Box<dyn Fn(&Path) + Send + Sync>;

/// A kind of harm, to an object of a band.
struct Case {
    what: String,
    /// The object, which messages have to name.
    object: String,
    harm: Harm,
    /// The exit status that each program must have, where there is only one that is right.
    list: Option<i32>,
    restore: Option<i32>,
}

fn path(band: &str, object: &str) -> String {
    if object.contains('.') {
        format!("{band}/00000/000000{object}")
    } else {
        format!("{band}/{object}")
    }
}

/// The text of a gzipped object, changed.
fn edit(file: &Path, change: impl Fn(&str) -> String) {
    let mut text = String::new();
    MultiGzDecoder::new(fs::File::open(file).unwrap()).read_to_string(&mut text).unwrap();
    let changed = change(&text);
    assert_ne!(text, changed, "nothing was changed in {}", file.display());
    fs::write(file, gzip(changed.as_bytes())).unwrap();
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(vec![], Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn cases() -> Vec<Case> {
    let mut cases = vec![];
    let mut add =
        |what: &str, object: String, list: Option<i32>, restore: Option<i32>, harm: Harm| {
            cases.push(Case { what: format!("{what} {object}"), object, harm, list, restore });
        };
    for band in [FULL, LAYER] {
        // One that the newest version needs.
        let block = if band == FULL { "002.tar.gz" } else { "001.tar.gz" };
        for (object, damaged, restore) in [
            ("HEAD", None, None),
            ("TAIL", None, None),
            ("000.mtree.gz", Some(1), Some(1)),
            ("001.mtree.gz", Some(1), Some(1)),
            ("toc", None, None),
            (block, Some(0), Some(1)),
        ] {
            let last = if band == FULL { "004.toc.gz" } else { "002.toc.gz" };
            let object = path(band, if object == "toc" { last } else { object });
            let file = object.clone();
            let at = move |dir: &Path| dir.join(&file);
            let on = |change: fn(Vec<u8>) -> Vec<u8>| -> Harm {
                let at = at.clone();
                Box::new(move |dir| fs::write(at(dir), change(fs::read(at(dir)).unwrap())).unwrap())
            };
            let instead = |other: String| -> Harm {
                let at = at.clone();
                Box::new(move |dir| assert!(fs::copy(dir.join(&other), at(dir)).is_ok()))
            };
            add(
                "cut",
                object.clone(),
                damaged,
                restore,
                on(|bytes| bytes[..bytes.len() / 2].to_vec()),
            );
            add("emptied", object.clone(), None, restore, on(|_| vec![]));
            add("garbled", object.clone(), damaged, restore, on(|bytes| noise(5, bytes.len())));
            add(
                "one byte changed in",
                object.clone(),
                None,
                None,
                on(|mut bytes| {
                    let middle = bytes.len() / 2;
                    bytes[middle] ^= 0x20;
                    bytes
                }),
            );
            let name = object.rsplit('/').next().unwrap();
            let from = |archive: &str, band: &str, name: &str| {
                let folder = if name.contains('.') { "00000/" } else { "" };
                format!("../{archive}/{band}/{folder}{name}")
            };
            if band == FULL {
                add(
                    "another archive's",
                    object.clone(),
                    None,
                    None,
                    instead(from("other", FULL, name)),
                );
            } else if !name.contains("toc") {
                add(
                    "another band's",
                    object.clone(),
                    None,
                    None,
                    instead(from("archive", FULL, name)),
                );
            }
            if name.starts_with("000000001") || name.contains(".tar") {
                let other = format!("000000000{}", &name[9..]);
                add(
                    "another number's",
                    object.clone(),
                    None,
                    None,
                    instead(from("archive", band, &other)),
                );
            }
        }
        let index = path(band, "001.mtree.gz");
        let edited = |change: fn(&str) -> String| -> Harm {
            let file = index.clone();
            Box::new(move |dir| edit(&dir.join(&file), change))
        };
        add(
            "a path with ..",
            index.clone(),
            None,
            None,
            edited(|text| text.replace("/large ", "/../../large ").replace("/new ", "/../../new ")),
        );
        add(
            "a path with .. in octal",
            index.clone(),
            None,
            None,
            edited(|text| {
                text.replace("/large ", "/\\056\\056/large ").replace("/new ", "/\\056\\056/new ")
            }),
        );
        add(
            "an absolute path",
            index.clone(),
            None,
            None,
            edited(|text| text.replace("./", "/etc/")),
        );
        add(
            "absurd numbers",
            index.clone(),
            None,
            None,
            edited(|text| text.replace("size=", "size=9999999999")),
        );
        add(
            "a size over all",
            index.clone(),
            None,
            None,
            edited(|text| text.replace("size=", "size=184467440737095516")),
        );
        add(
            "other lines",
            index.clone(),
            None,
            None,
            edited(|text| text.replace("type=", "type=what-is-this-")),
        );
        add(
            "lines the wrong way round",
            index.clone(),
            None,
            None,
            edited(|text| {
                let (head, lines): (Vec<&str>, Vec<&str>) =
                    text.lines().partition(|line| line.starts_with('#'));
                head.into_iter()
                    .chain(lines.into_iter().rev())
                    .map(|line| format!("{line}\n"))
                    .collect()
            }),
        );
        add(
            "references to nowhere",
            index.clone(),
            None,
            None,
            edited(|text| text.replace("tags=", "tags=in:9/999999999,")),
        );
        add(
            "hard links to nowhere",
            index.clone(),
            None,
            None,
            edited(|text| text.replace("tags=", "tags=hard:./none/../x,")),
        );
        add(
            "an absurd #index in",
            index.clone(),
            None,
            None,
            edited(|text| text.replace(" 000000001 after", " 99999999999999999999 after")),
        );
        add(
            "an #index after itself in",
            index.clone(),
            None,
            None,
            edited(|text| text.replace("after 000000000", "after 000000001")),
        );
        add(
            "no #index in",
            index.clone(),
            None,
            None,
            edited(|text| text.replace("#index", "#nothing")),
        );
        for (what, length) in [("an endless line in", 20 << 20), ("a gzip bomb as", 300 << 20)] {
            if band == FULL {
                let file = index.clone();
                let harm: Harm = Box::new(move |dir| {
                    fs::write(dir.join(&file), gzip(&vec![b'a'; length])).unwrap()
                });
                add(what, index.clone(), Some(1), Some(1), harm);
            }
        }
        for (object, from, to) in [
            ("HEAD", "dura-band: 2", "dura-band: 3"),
            ("HEAD", "id: ", "id: 00"),
            ("HEAD", "band: 2020", "band: 2019"),
            ("TAIL", "last: 0000000", "last: 9999999"),
            ("TAIL", "toc: 0000000", "toc: 9999999"),
            ("TAIL", "id: ", "id: 00"),
        ] {
            let object = path(band, object);
            let file = object.clone();
            let harm: Harm = Box::new(move |dir| {
                let text = fs::read_to_string(dir.join(&file)).unwrap();
                assert!(text.contains(from), "{text}");
                let text = text.replacen(from, to, 1);
                // A TAIL by whoever can write to the store: its own checksum is right.
                let body = text.split("sha256: ").next().unwrap().to_owned();
                let text = if file.ends_with("TAIL") {
                    format!("{body}sha256: {}\n", sha256(body.as_bytes()))
                } else {
                    text
                };
                fs::write(dir.join(&file), text).unwrap();
            });
            add(&format!("{to} in"), object, None, None, harm);
        }
    }
    cases
}

fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest;
    hex::encode(sha2::Sha256::digest(bytes))
}

const READERS: [&str; 6] = [
    "dura-index list archive",
    "dura-index ls archive",
    "dura-index find large archive",
    "dura-index where archive ./a ./c",
    "dura-index bands archive",
    "dura-scan ../src | dura-index diff archive",
];

fn reader(line: &str, dir: &Path) -> Done {
    let line = line
        .replace("find large archive", "find archive large")
        .replace("../src", &good().dir.join("src").to_string_lossy());
    dura(&line).dir(dir).seconds(60).run()
}

/// What each reader writes of the good archive.
fn expected() -> &'static Vec<Vec<u8>> {
    static EXPECTED: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    EXPECTED.shared(|| {
        READERS
            .iter()
            .map(|line| {
                let done = reader(line, &good().dir);
                assert_eq!(done.code, 0, "{}", done.report());
                assert!(!done.stdout.is_empty());
                done.stdout
            })
            .collect()
    })
}

/// Every kind of harm, to every kind of object.
#[test]
fn whatever_is_wrong_is_named() {
    let (cases, _) = (cases(), expected());
    assert!(cases.len() > 80, "{}", cases.len());
    let next = AtomicUsize::new(0);
    let wrong = std::sync::Mutex::new(vec![]);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let found = try_case(case);
                    wrong
                        .lock()
                        .unwrap()
                        .extend(found.into_iter().map(|what| format!("{}: {what}", case.what)));
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{} things are wrong:\n{}", wrong.len(), wrong.join("\n"));
}

fn try_case(case: &Case) -> Vec<String> {
    let dir = scratch("bad");
    bare("cp -a \"$GOOD/archive\" \"$GOOD/other\" .").dir(&dir).var("GOOD", &good().dir).ok();
    (case.harm)(&dir.join("archive"));
    let mut wrong = vec![];
    for (line, expected) in READERS.iter().zip(expected()) {
        let done = reader(line, &dir);
        // Sizes and tables are not what `where` is asked to judge; a TAIL of 0 bytes is none; a
        // size that can be is a size. And `bands` takes a TAIL at its word, which is whole in
        // itself.
        let excused = line.contains("where")
            || line.contains("bands")
                && case.what.starts_with("another")
                && case.what.ends_with("TAIL")
            || case.what.starts_with("emptied") && case.what.ends_with("TAIL")
            || case.what.starts_with("absurd numbers");
        if let Some(what) = judge(case, &done, done.stdout == *expected || excused) {
            wrong.push(what);
        }
        if line.contains("list") && case.list.is_some_and(|code| code != done.code) {
            wrong.push(format!(
                "list ends in {}, not {:?}\n{}",
                done.code,
                case.list,
                done.report()
            ));
        }
    }
    let restored = dura("dura-restore archive > tar").dir(&dir).seconds(60).run();
    let names = bare("tar --quoting-style=literal -tf tar").dir(&dir).run().text();
    if names.lines().any(|name| !name.starts_with("./") || name.contains("/../")) {
        wrong.push(format!("dura-restore gives hostile names\n{names}"));
    }
    let unpacked = bare("mkdir out; tar --xattrs --acls -xpf tar -C out").dir(&dir).run();
    if restored.code < 2 && unpacked.code != 0 {
        wrong.push(format!("the tar is none\n{}\n{}", unpacked.report(), restored.report()));
    }
    let out = dir.join("out");
    let is = take(&out);
    // Without its TAIL the layer is unfinished, and the version is that of the full band, which is
    // told.
    let older = case.what.starts_with("emptied")
        && case.what.ends_with("TAIL")
        && restored.stderr.contains(LAYER);
    if let Some(what) = judge(case, &restored, older || diff(&good().was, &is, EXACT).is_empty()) {
        wrong.push(what);
    }
    if case.restore.is_some_and(|code| code != restored.code) {
        wrong.push(format!(
            "dura-restore ends in {}, not {:?}\n{}",
            restored.code,
            case.restore,
            restored.report()
        ));
    }
    // What is there is right, or named.
    if restored.code == 1 {
        let good = &good().was;
        for (name, entry) in is.0.iter().filter(|(_, entry)| entry.kind == '-') {
            let told = restored.stderr.contains(&format!("./{}: ", String::from_utf8_lossy(name)));
            if !told
                && good.0.get(name).is_none_or(|was| was.content != entry.content)
                && !unknown_layer(case, name)
            {
                wrong.push(format!(
                    "{} is not as it was\n{}",
                    String::from_utf8_lossy(name),
                    restored.report()
                ));
            }
        }
    }
    fs::remove_dir_all(dir).unwrap();
    wrong
}

/// Where an index of the layer is not known, the version is as the full band has it: that index was
/// named.
fn unknown_layer(case: &Case, name: &[u8]) -> bool {
    let changed: BTreeSet<&[u8]> = [&b"a/large"[..], b"b/new", b"c/small"].into();
    case.object.starts_with(LAYER) && changed.contains(name)
}

fn judge(case: &Case, done: &Done, same: bool) -> Option<String> {
    // What an object says of another one can be as wrong there: then that may be named.
    let (band, _) = case.object.split_once('/').unwrap();
    let other = match case.what.split(' ').next() {
        Some("absurd") => case.object.replace(".mtree", ".tar"),
        Some("last:") => format!("{band}/99999/9999999"),
        _ => case.object.clone(),
    };
    let named = [&case.object, &other].iter().any(|name| done.stderr.contains(*name));
    let fine = match done.code {
        0 => same,
        1 | 2 => named && done.stderr.contains("dura-") && !done.stderr.contains("panicked"),
        _ => false,
    };
    (!fine).then(|| format!("{}{}", if same { "" } else { "other output; " }, done.report()))
}
