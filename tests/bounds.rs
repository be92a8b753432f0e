//! Objects that are far larger than any that Dura writes, or expand to that: every program says so,
//! within little memory.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use flate2::write::GzEncoder;

use crate::util::forge::{
    FULL, Header, band, band_of, dir, dir_line, file, file_line, gzip, pax, sha256,
};
use crate::util::run::{Done, bare, dura, scratch};
use crate::verify::{BANDS, plain};

/// Runs a program in 512 MiB of memory.
fn small(dir: &Path, line: &str) -> Done {
    let line = format!("ulimit -v 524288; {line}");
    dura(&line).var("ARCHIVE", dir).var("MALLOC_ARENA_MAX", "2").run()
}

/// A file of gzip that expands to so many times `text`.
fn bomb(path: &Path, head: &str, text: &[u8], times: usize) {
    let mut encoder = GzEncoder::new(File::create(path).unwrap(), flate2::Compression::fast());
    encoder.write_all(head.as_bytes()).unwrap();
    (0..times).for_each(|_| encoder.write_all(text).unwrap());
    encoder.finish().unwrap();
}

const READERS: [&str; 6] = [
    "dura-verify -j 2 \"$ARCHIVE\"",
    "dura-verify -j 2 --files \"$ARCHIVE\"",
    "dura-restore \"$ARCHIVE\" > /dev/null",
    "dura-index list \"$ARCHIVE\" > /dev/null",
    "dura-index find \"$ARCHIVE\" ./text",
    "dura-index bands \"$ARCHIVE\"",
];

#[test]
fn objects_that_are_too_large() {
    let made = plain();
    let dir = made.copy();
    let text = gunzip(&made.files[&format!("{}/00000/000000001.mtree.gz", BANDS[1])]);
    let mut seen = 0;
    for object in [
        "HEAD",
        "TAIL",
        "RECOVER.txt",
        "00000/000000001.mtree.gz",
        "00000/000000002.tar.gz",
        "00000/000000004.toc.gz",
        "00000/000000000-0.sha256",
        "00000/000000000-0.rs0",
    ] {
        let path = dir.join(BANDS[1]).join(object);
        let good = fs::read(&path).unwrap();
        // Holes take no room on a disk, and none in a bucket of somebody else.
        File::options().write(true).open(&path).unwrap().set_len(4 << 30).unwrap();
        for reader in READERS {
            let done = small(&dir, reader);
            let must = reader.contains("verify");
            let codes = if must { 1..=1 } else { 0..=2 };
            assert!(codes.contains(&done.code), "{object}: {reader}\n{}", done.report());
            assert!(!done.stderr.contains("memory"), "{object}: {reader}\n{}", done.report());
            seen += 1;
        }
        fs::write(&path, good).unwrap();
    }
    assert_eq!(seen, 48);
    // What expands: comments, one line, entries.
    let index = dir.join(BANDS[1]).join("00000/000000001.mtree.gz");
    let line = text.lines().last().unwrap().to_owned() + "\n";
    for (head, filling) in [
        (text.as_str(), &b"#source a b\n"[..]),
        (&text, b"# a comment\n"),
        (&text, b"aaaaaaaa"),
        (&text, line.as_bytes()),
    ] {
        bomb(&index, head, &filling.repeat(1 << 16), (96 << 20) / (filling.len() << 16));
        for reader in &READERS[..4] {
            let done = small(&dir, reader);
            assert!((1..=2).contains(&done.code), "{reader}\n{}", done.report());
            assert!(!done.stderr.contains("memory"), "{reader}\n{}", done.report());
        }
    }
}

fn gunzip(bytes: &[u8]) -> String {
    let mut text = String::new();
    std::io::Read::read_to_string(&mut flate2::read::MultiGzDecoder::new(bytes), &mut text)
        .unwrap();
    text
}

/// A block that is larger than packs of the default write is read with `--max-object`.
#[test]
fn other_part_sizes() {
    let made = plain();
    let dir = made.copy();
    let path = dir.join(BANDS[1]).join("00000/000000002.tar.gz");
    File::options().write(true).open(&path).unwrap().set_len(130 << 20).unwrap();
    let refused = small(&dir, "dura-restore \"$ARCHIVE\" > /dev/null");
    refused.tells("--max-object SIZE");
    assert_eq!(refused.code, 1, "{}", refused.report());
}

/// A sparse file whose holes no machine reads in a lifetime.
#[test]
fn holes_without_end() {
    let archive = scratch("holes").join("archive");
    let size = 1_u64 << 62;
    let line = format!(
        "./x type=file mode=0644 uid=0 gid=0 time=1500000000.000000000 nlink=1 size={size} sha256digest={}",
        sha256(b"")
    );
    let mut map = b"1\n0\n3\n".to_vec();
    map.resize(512, 0);
    map.extend(b"abc");
    let real = size.to_string();
    let sparse = [
        ("GNU.sparse.major", "1"),
        ("GNU.sparse.minor", "0"),
        ("GNU.sparse.name", "./x"),
        ("GNU.sparse.realsize", real.as_str()),
    ];
    let member = Header::new(b'0', b"./GNUSparseFile.0/x", map.len() as u64).with(&map);
    let tar = [dir("./"), pax(&sparse), member].concat();
    band(&archive, FULL, &[dir_line(".", ""), line], &tar);
    let done = small(&archive, "timeout 60 dura-verify --files \"$ARCHIVE\"");
    assert_eq!(done.code, 1, "{}", done.report());
    assert!(done.text().contains("file 20260101T000000Z/./x: "), "{}", done.report());
}

/// A block that expands to far more than its index lists: behind an unlisted header, as blocks of
/// zeros, and within a listed file's. All readers stop soon, and what came before is there.
#[test]
fn blocks_that_expand_without_end() {
    let zeros = vec![0; 64 << 20];
    let zstd = |bytes: &[u8]| zstd::bulk::compress(bytes, 1).unwrap();
    for (compression, zip, times) in
        [(("gzip", "gz"), &gzip as &dyn Fn(&[u8]) -> Vec<u8>, 10), (("zstd", "zst"), &zstd, 40)]
    {
        let bomb = zip(&zeros).repeat(times);
        let unlisted = Header::new(b'0', b"./b", 0).put(124, b"77777777777\0").with(b"");
        for (what, header) in [("a file", unlisted), ("blocks of zeros", Vec::new())] {
            let archive = scratch("bomb").join("archive");
            let lines =
                [dir_line(".", ""), file_line("./a", b"aaa", ""), file_line("./c", b"ccc", "")];
            let begin = [dir("./"), file("./a", b"aaa"), header].concat();
            let block = [zip(&begin), bomb.clone(), zip(&file("./c", b"ccc"))].concat();
            let folder = band_of(&archive, FULL, &lines, compression, &block);
            let most = "it expands to more than the ";
            for reader in READERS[1..3].iter().copied().chain(["dura-restore \"$ARCHIVE\" ./c >t"])
            {
                let done = small(&archive, &format!("cd \"$ARCHIVE/..\" && timeout 60 {reader}"));
                assert_eq!(done.code, 1, "{compression:?} {what}: {reader}\n{}", done.report());
                let said = done.text() + &done.stderr;
                assert!(said.contains(most), "{compression:?} {what}\n{}", done.report());
                let is_whole = reader.contains("verify") || !said.contains("./a");
                assert!(is_whole, "{compression:?} {what}\n{said}");
            }
            // Without an index nothing says how much there can be.
            fs::remove_file(folder.join("00000/000000000.mtree.gz")).unwrap();
            let done = small(&archive, "timeout 60 dura-restore \"$ARCHIVE\" | tar -t");
            assert!(done.text().contains("./a\n"), "{compression:?} {what}\n{}", done.report());
            assert!(!done.stderr.contains("Terminated"), "{}", done.report());
        }
    }
}

/// recover.sh reads no object to its end that is far larger than any, and follows no link in the
/// place of one.
#[test]
fn the_script_reads_no_more_than_there_can_be() {
    let lines = [dir_line(".", ""), file_line("./a", b"aaa", "")];
    for object in ["HEAD", "TAIL", "000000000-0.sha256", "000000000.mtree.gz", "000000000.tar.gz"] {
        for is_link in [false, true] {
            let top = scratch("huge");
            let folder =
                band(&top.join("a"), FULL, &lines, &[dir("./"), file("./a", b"aaa")].concat());
            let path = match object.starts_with('0') {
                true => folder.join("00000").join(object),
                false => folder.join(object),
            };
            if is_link && object.starts_with('0') {
                fs::rename(&path, top.join("elsewhere")).unwrap();
                std::os::unix::fs::symlink(top.join("elsewhere"), &path).unwrap();
            } else {
                File::options().write(true).open(&path).unwrap().set_len(1 << 40).unwrap();
            }
            let line = format!("ulimit -v 524288; cd a/{FULL} && sh recover.sh ../../dest");
            let done = bare(&line).dir(&top).seconds(60).run();
            assert!([0, 1].contains(&done.code), "{object} {is_link}\n{}", done.report());
            let is_block = object.ends_with(".tar.gz");
            assert_eq!(top.join("dest/a").exists(), !is_block, "{object}\n{}", done.report());
            if is_block {
                done.tells("block 000000000 of");
            }
        }
    }
}

/// What a store says reaches no terminal as it is.
#[test]
fn control_characters() {
    let made = plain();
    let dir = made.copy();
    let head = dir.join(BANDS[0]).join("HEAD");
    let mut text = fs::read(&head).unwrap();
    text.extend(b"\x1b[2J\xc2\x9b: a\n\x1b[2J\xc2\x9b: b\n");
    fs::write(&head, text).unwrap();
    fs::write(dir.join(BANDS[0]).join("a\x1b]0;x\x07"), "").unwrap();
    for reader in READERS {
        let done = small(&dir, reader);
        let all = [done.stdout.clone(), done.stderr.clone().into_bytes()].concat();
        let odd = |byte: &u8| *byte < b' ' && *byte != b'\n';
        assert!(!all.iter().any(odd), "{reader}\n{}", done.report());
        assert!(!String::from_utf8_lossy(&all).contains('\u{9b}'), "{reader}");
    }
    let done = small(&dir, READERS[0]);
    assert!(done.text().contains("\\033[2J\\302\\233"), "{}", done.report());
}
