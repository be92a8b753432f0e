//! Damage in a block that is not encrypted costs no more than the gzip member, or zstd frame, it
//! lies in.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::path::Path;

use flate2::bufread::GzDecoder;

use crate::util::backup::{Archive, How, backup, destination};
use crate::util::run::{bare, dura, scratch};
use crate::util::snapshot::{EXACT, assert_same, take};
use crate::util::tree::noise;

/// The commands that the documentation has for stepping over damage: they read `$BLOCK` and extract
/// into `$DEST`.
fn step_over() -> String {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/recover.md"))
        .expect("docs/recover.md");
    let after = page
        .split("<!-- step-over -->\n")
        .nth(1)
        .expect("docs/recover.md has the line <!-- step-over -->");
    let mut fences = after.split("\n```");
    let opening = fences.next().unwrap();
    // The fence may follow the marker at once, or after some text.
    let code = match opening.strip_prefix("```") {
        Some(code) => code,
        None => fences.next().expect("a fenced block follows"),
    };
    let (_language, code) = code.split_once('\n').expect("a fenced block with commands");
    assert!(
        code.contains("BLOCK") && code.contains("DEST"),
        "the commands name neither BLOCK nor DEST:\n{code}"
    );
    code.to_string()
}

/// The members of a gzip file: where each begins and ends, and what is in it.
fn members(block: &[u8]) -> Vec<(usize, usize, Vec<u8>)> {
    let (mut all, mut rest) = (vec![], block);
    while !rest.is_empty() {
        let start = block.len() - rest.len();
        let (mut decoder, mut content) = (GzDecoder::new(rest), vec![]);
        decoder.read_to_end(&mut content).unwrap();
        rest = decoder.into_inner();
        all.push((start, block.len() - rest.len(), content));
    }
    all
}

/// The names in a piece of tar that begins with an entry, without `./` and the slash of
/// directories.
fn names(tar: &[u8]) -> BTreeSet<Vec<u8>> {
    let list = bare("tar --quoting-style=literal -tf -").input(tar).run();
    list.text()
        .lines()
        .map(|name| name.trim_start_matches("./").trim_end_matches('/').as_bytes().to_vec())
        .collect()
}

/// A tree whose block has many members: files of text and of noise, and one that spans several.
fn archive(pack: &str) -> (Archive, std::path::PathBuf) {
    let dir = scratch("damage").join("src");
    for (of_sub, sub) in [(100, "a"), (200, "b"), (300, "c")] {
        fs::create_dir_all(dir.join(sub)).unwrap();
        for n in 0..30u64 {
            let bytes = noise(of_sub + n, 40_000);
            fs::write(dir.join(format!("{sub}/noise-{n}")), &bytes).unwrap();
            fs::write(dir.join(format!("{sub}/text-{n}")), hex::encode(bytes)).unwrap();
        }
    }
    fs::write(dir.join("b/large"), noise(77, 3_500_000)).unwrap();
    (
        backup(
            &dir,
            How { seal: Some(""), pack: &format!("--block-size 100M {pack}"), ..How::default() },
        ),
        dir,
    )
}

/// One flipped byte, anywhere in a member: every file that has nothing in that member comes back
/// exactly, by the commands in docs/recover.md; and the members are small.
#[test]
fn one_flipped_byte() {
    let commands = step_over();
    let (archive, src) = archive("");
    let was = take(&src);
    let path = archive.band.join("00000/000000000.tar.gz");
    let good = fs::read(&path).unwrap();
    let members = members(&good);
    assert!(members.len() > 8, "only {} members", members.len());

    let large = members
        .iter()
        .position(|(_, _, content)| names(content).contains(&b"b/large"[..]))
        .unwrap();
    assert!(names(&members[large].2).len() == 1, "a large file begins a member");
    let of_the_large = |member: usize| (large..large + 4).contains(&member);
    let ordinary = if of_the_large(3) { large + 5 } else { 3 };
    let end = members.len() - 1;
    // In the middle of the data, in the magic number, in the checksum; in a file that spans
    // members, at its begin, in its middle and at its end; in the last member of all.
    let spots = [
        (ordinary, 0.3),
        (ordinary, 0.6),
        (ordinary, 0.0),
        (ordinary, 1.0),
        (large, 0.5),
        (large, 0.0),
        (large + 1, 0.5),
        (large + 1, 0.0),
        (large + 3, 0.5),
        (end, 0.5),
    ];
    for (member, share) in spots {
        let (from, to, content) = &members[member];
        // 1.0: in the checksum, eight bytes before the end.
        let at = if share == 1.0 { to - 8 } else { from + ((to - from) as f64 * share) as usize };
        let what = format!("byte {at} of member {member} of {}", members.len());
        let mut bad = good.clone();
        bad[at] ^= 0x10;
        let dir = scratch("flipped");
        fs::write(dir.join("block"), bad).unwrap();
        let dest = destination(false);
        let done = bare(&commands)
            .dir(&dir)
            .var("BLOCK", dir.join("block"))
            .var("DEST", &dest)
            .seconds(60)
            .run();

        let lost = if of_the_large(member) {
            BTreeSet::from([b"b/large".to_vec()])
        } else {
            names(content)
        };
        assert!(lost.len() < 30, "{what}: {} files in one member", lost.len());
        let is = take(&dest);
        // Directories' times are set when their files are; only files are looked at.
        let keep = |name: &[u8], kind: char| kind == '-' && !lost.contains(name);
        let left = |tree: &crate::util::snapshot::Snapshot| {
            tree.clone().only(|name, entry| keep(name, entry.kind))
        };
        let found = crate::util::snapshot::diff(&left(&was), &left(&is), EXACT);
        assert!(found.is_empty(), "{what}:\n  {}\n{}", found.join("\n  "), done.report());
    }

    // With no damage the same commands give everything.
    let dest = destination(false);
    bare(&commands).dir(&archive.band).var("BLOCK", &path).var("DEST", &dest).run();
    assert_same(
        "no damage",
        &was.only(|_, entry| entry.kind == '-'),
        &take(&dest).only(|_, entry| entry.kind == '-'),
        EXACT,
    );
}

/// `dura-restore` steps over the damage by itself, and names what is lost.
#[test]
fn restore_steps_over_damage() {
    for (compression, suffix) in [("gzip", "gz"), ("zstd", "zst")] {
        let (archive, src) = archive(&format!("--compress {compression}"));
        let was = take(&src);
        let path = archive.band.join(format!("00000/000000000.tar.{suffix}"));
        let good = fs::read(&path).unwrap();
        for share in [0.0, 0.1, 0.5, 0.9] {
            let mut bad = good.clone();
            bad[(good.len() as f64 * share) as usize] ^= 0x10;
            fs::write(&path, bad).unwrap();
            let dest = destination(false);
            let line = dura("dura-restore \"$ARCHIVE\" | tar -xpf - -C \"$DEST\"");
            let done =
                line.var("ARCHIVE", archive.band.parent().unwrap()).var("DEST", &dest).stages();
            let what = format!("{compression}, byte at {share} of the block");
            assert_eq!(done.stages, [1, 0], "{what}\n{}", done.report());

            let told = |name: &[u8]| {
                done.stderr.contains(&format!("./{}: ", String::from_utf8_lossy(name)))
            };
            let left = |tree: &crate::util::snapshot::Snapshot| {
                tree.clone().only(|name, entry| entry.kind == '-' && !told(name))
            };
            let (all, left_of_all) =
                (was.clone().only(|_, entry| entry.kind == '-').0.len(), left(&was).0.len());
            assert!(
                all - left_of_all <= 30,
                "{what}: {} of {all} files are lost\n{}",
                all - left_of_all,
                done.report()
            );
            let found = crate::util::snapshot::diff(&left(&was), &left(&take(&dest)), EXACT);
            assert!(found.is_empty(), "{what}:\n  {}\n{}", found.join("\n  "), done.report());
        }
    }
}

/// recover.sh tells a damaged object by name before it extracts anything, exits 1, and recovers
/// what other blocks hold.
#[test]
fn script_tells_damage() {
    let dir = scratch("damage").join("src");
    fs::create_dir(&dir).unwrap();
    for n in 0..20u64 {
        fs::write(dir.join(format!("{n:02}")), noise(n, 60_000)).unwrap();
    }
    let was = take(&dir);
    let archive = backup(&dir, How { seal: Some(""), pack: "--block-size 200k", ..How::default() });
    let block = archive.band.join("00000/000000001.tar.gz");
    let mut bytes = fs::read(&block).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&block, &bytes).unwrap();
    let lost =
        String::from_utf8(bare("gzip -dc 00000/000000001.mtree.gz").dir(&archive.band).ok().stdout)
            .unwrap();
    let lost: BTreeSet<Vec<u8>> = lost
        .lines()
        .filter_map(|line| line.strip_prefix("./"))
        .map(|line| line.split(' ').next().unwrap().as_bytes().to_vec())
        .collect();
    assert!(!lost.is_empty() && lost.len() < 20);

    let dest = destination(false);
    let done = crate::util::backup::by_script(&archive, "dash", &dest).code(1);
    done.tells("00000/000000001.tar.gz");
    let left = |tree: crate::util::snapshot::Snapshot| {
        tree.only(|name, entry| entry.kind == '-' && !lost.contains(name))
    };
    assert_same("recover.sh", &left(was), &left(take(&dest)), EXACT);
}
