//! Blocks that are made wrong by chance, through dura-restore, into four tars: each of them sees
//! the same members, and no others than the index lists.
//!
//! `scripts/fuzz-tars` runs it for longer.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::util::dice::{Dice, variable};
use crate::util::forge::{
    FULL, Header, band, dir, dir_line, file, file_line, hard, link_line, pax, symlink,
};
use crate::util::run::{dura, scratch};

/// Each reads a tar from standard input and extracts it where it is.
const TARS: [&str; 4] = [
    "tar -xpf -",
    "bsdtar -xpf -",
    "busybox tar -xpf -",
    "python3 -c 'import sys, tarfile\nt = tarfile.open(fileobj=sys.stdin.buffer, mode=\"r|\")\nt.extraction_filter = lambda m, p: m\nt.extractall()'",
];

/// Entries as an index lists them, with the members that it should go with.
fn entries(dice: &mut Dice) -> (Vec<String>, Vec<Vec<u8>>) {
    let (mut lines, mut members) = (vec![dir_line(".", "")], vec![dir("./")]);
    for at in 0..2 + dice.below(5) {
        let name = format!("./{}{at}", (b'a' + at as u8) as char);
        let content = vec![b'0' + at as u8; [0, 1, 511, 512, 513, 1500][dice.below(6) as usize]];
        let (line, member) = match dice.below(6) {
            0 => (dir_line(&name, ""), dir(&format!("{name}/"))),
            1 => (link_line(&name, "target", ""), symlink(&name, "target")),
            _ => (file_line(&name, &content, ""), file(&name, &content)),
        };
        lines.push(line);
        members.push(member);
    }
    (lines, members)
}

/// A member, or pax records, that some tars read in another way than others.
fn trick(dice: &mut Dice) -> Vec<u8> {
    let inner = Header::new(b'0', b"./evil", 3).mode(0o4755).with(b"pwn");
    let size = inner.len().to_string();
    let records: [&[(&str, &str)]; 10] = [
        &[("size", "+1024")],
        &[("size", &size)],
        &[("size", "0")],
        &[("path", "./evil")],
        &[("path", "../evil")],
        &[("linkpath", "/etc/passwd")],
        &[("GNU.sparse.realsize", &size), ("GNU.sparse.size", "0")],
        &[("GNU.sparse.major", "1"), ("GNU.sparse.minor", "0"), ("GNU.sparse.name", "./evil")],
        &[("GNU.sparse.map", "0,512"), ("GNU.sparse.numblocks", "1")],
        &[("hdrcharset", "BINARY"), ("uid", "-1"), ("mtime", "1e9")],
    ];
    match dice.below(16) {
        at @ 0..10 => pax(records[at as usize]),
        10 => inner,
        11 => hard("./evil", "./a0"),
        12 => Header::new(b'L', b"././@LongLink", 7).with(b"./evil\0"),
        13 => Header::new(b'g', b"global", 16).with(b"16 path=./evil1\n"),
        14 => vec![0; 1024],
        _ => Header::new(b'S', b"./evil", 512).with(&[b'S'; 512]),
    }
}

/// Makes the checksums of headers right again.
fn mend(block: &mut [u8]) {
    for header in block.chunks_exact_mut(512).filter(|header| header[257..].starts_with(b"ustar")) {
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
}

/// A block of these members, and what chance makes of it.
fn block(members: Vec<Vec<u8>>, seeds: &[Vec<u8>], dice: &mut Dice) -> Vec<u8> {
    let mut block = Vec::new();
    for member in members {
        if dice.chance(25) {
            block.extend(trick(dice));
        }
        block.extend(member);
    }
    for _ in 0..dice.below(4) {
        let blocks = block.len() as u64 / 512;
        let at = 512 * dice.below(blocks) as usize;
        match dice.below(6) {
            0 => {
                let copy = block[at..at + 512].to_vec();
                block.splice(at..at, copy);
            }
            1 => drop(block.drain(at..at + 512)),
            2 => {
                let seed = &seeds[dice.below(seeds.len() as u64) as usize];
                let whole = seed[..seed.len().min(8192) / 512 * 512].to_vec();
                block.splice(at..at, whole);
            }
            // Numbers, type, magic, names.
            kind => {
                let field =
                    [100, 108, 124, 136, 156, 157, 257, 263, 329, 345][dice.below(10) as usize];
                let place = at + field + if kind == 3 { 0 } else { dice.below(8) as usize };
                block[place] = *[b'0', b'7', b'x', b'S', 0x80, 0xff, 0, b'/']
                    .get(dice.below(8) as usize)
                    .unwrap();
            }
        }
        if block.is_empty() {
            break;
        }
    }
    mend(&mut block);
    block
}

/// What is below a directory: type, mode, size or target.
fn seen(dest: &Path) -> BTreeMap<String, (char, u32, String)> {
    let mut seen = BTreeMap::new();
    for entry in fs::read_dir(dest).unwrap() {
        let entry = entry.unwrap();
        let stat = fs::symlink_metadata(entry.path()).unwrap();
        let mode = stat.permissions().mode() & 0o7777;
        let what = match stat.file_type() {
            kind if kind.is_dir() => ('d', mode, String::new()),
            kind if kind.is_symlink() => {
                ('l', 0o777, fs::read_link(entry.path()).unwrap().display().to_string())
            }
            kind if kind.is_file() => ('f', mode, stat.len().to_string()),
            _ => ('?', mode, String::new()),
        };
        seen.insert(entry.file_name().to_string_lossy().into_owned(), what);
    }
    seen
}

/// What an index lists, in the same words.
fn listed(lines: &[String]) -> BTreeMap<String, (char, u32, String)> {
    let mut listed = BTreeMap::new();
    for line in &lines[1..] {
        let value = |key: &str| {
            line.split(' ').find_map(|word| word.strip_prefix(key)).unwrap_or_default().to_owned()
        };
        let what = match value("type=").as_str() {
            "dir" => ('d', 0o755, String::new()),
            "link" => ('l', 0o777, value("link=")),
            _ => ('f', 0o644, value("size=")),
        };
        listed.insert(line.split(' ').next().unwrap()[2..].to_owned(), what);
    }
    listed
}

#[test]
fn all_tars_see_what_the_index_lists() {
    let first = variable("DURA_TARS_SEED", 1);
    let rounds = variable("DURA_TARS_ROUNDS", 12);
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/tar");
    let mut seeds: Vec<_> =
        fs::read_dir(corpus).unwrap().map(|seed| seed.unwrap().path()).collect();
    seeds.sort();
    let seeds: Vec<Vec<u8>> = seeds.iter().map(|seed| fs::read(seed).unwrap()).collect();
    assert!(!seeds.is_empty());
    let (mut whole, mut told) = (0, 0);
    for seed in first..first + rounds {
        let mut dice = Dice::new(seed);
        let (lines, members) = entries(&mut dice);
        let block = block(members, &seeds, &mut dice);
        let top = scratch("tars");
        band(&top.join("a"), FULL, &lines, &block);
        let done = dura("dura-restore --no-cache a > t").dir(&top).run();
        let what = format!("DURA_TARS_SEED={seed}\n{}", done.report());
        assert!([0, 1].contains(&done.code), "{what}");
        let listed = listed(&lines);
        let mut first: Option<BTreeMap<_, _>> = None;
        for tar in TARS {
            let line = format!("mkdir jail jail/dest && cd jail/dest && {tar} < ../../t");
            dura(&line).dir(&top).ok();
            assert_eq!(seen(&top.join("jail")).len(), 1, "{tar}: beside its directory: {what}");
            let came = seen(&top.join("jail/dest"));
            for (name, is) in &came {
                assert_eq!(listed.get(name), Some(is), "{tar}: {name}: {what}");
            }
            assert!(first.as_ref().is_none_or(|first| *first == came), "{tar}: {what}");
            assert!(came.len() == listed.len() || done.code == 1, "{tar}: {what}");
            whole += usize::from(came.len() == listed.len());
            first = Some(came);
            fs::remove_dir_all(top.join("jail")).unwrap();
        }
        told += usize::from(done.code == 1);
        fs::remove_dir_all(&top).unwrap();
    }
    // Some blocks are as they should be, and others are not.
    assert!(whole > 0 && told > 0, "{whole} {told}");
}
