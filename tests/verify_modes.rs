//! What dura-verify looks at besides checksums, what of it is told how, and how much can be lost.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::util::gpg::{KEY, OTHER, home};
use crate::util::run::{dura, scratch};
use crate::verify::{BANDS, Made, files, plain, repair, sealed, source, verify};

/// The names that findings of a kind have, in their order.
fn found(text: &str, kind: &str) -> Vec<String> {
    let start = format!("{kind} ");
    let lines = text.lines().filter_map(|line| line.strip_prefix(&start));
    lines.map(|line| line.split(": ").next().unwrap().to_owned()).collect()
}

/// The members of a group, parity with them.
fn members(made: &Made, list: &str) -> Vec<String> {
    let text = String::from_utf8(made.files[list].clone()).unwrap();
    let names = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| format!("{}/{}", BANDS[0], &line[66..]));
    names.collect()
}

/// Any two of a group's eight objects may be lost whole, and come back; when three are, they are
/// named, and nothing is written.
#[test]
fn as_many_as_parity_may_be_lost() {
    let made = plain();
    let dir = made.copy();
    let list = made.name("SECOND.sha256");
    let group = members(made, &list);
    assert_eq!(group.len(), 8);
    let mut pairs = 0;
    for one in 0..group.len() {
        for two in one + 1..group.len() {
            let lost = [&group[one], &group[two]];
            lost.iter().for_each(|name| fs::remove_file(dir.join(name)).unwrap());
            let done = repair(&dir);
            assert!(done.code == 1 && files(&dir) == made.files, "{lost:?}\n{}", done.report());
            pairs += 1;
        }
    }
    assert_eq!(pairs, 28);
    for lost in [[0, 1, 2], [0, 3, 7], [5, 6, 7]] {
        let lost: Vec<&String> = lost.iter().map(|at| &group[*at]).collect();
        lost.iter().for_each(|name| fs::remove_file(dir.join(name)).unwrap());
        let done = repair(&dir);
        assert_eq!(done.code, 2, "{}", done.report());
        assert_eq!(files(&dir).len() + 3, made.files.len(), "something was written for {lost:?}");
        for name in lost {
            done.tells(&format!("{name}: cannot be rebuilt"));
            fs::write(dir.join(name), &made.files[name]).unwrap();
        }
    }
}

/// Damage may be spread over more objects than there are parity shards, as long as no row has more:
/// each object is longer than a piece only where the first is.
#[test]
fn spread_damage_is_repaired_row_by_row() {
    let made = plain();
    let dir = made.copy();
    let group = members(made, &made.name("SECOND.sha256"));
    let long: Vec<&String> =
        group.iter().filter(|name| made.files[*name].len() > 1 << 20).collect();
    assert!(long.len() >= 4, "{long:?}");
    let flip = |name: &str, at: usize| {
        let mut bytes = fs::read(dir.join(name)).unwrap();
        bytes[at] ^= 8;
        fs::write(dir.join(name), bytes).unwrap();
    };
    for (turn, name) in long.iter().take(4).enumerate() {
        flip(name, if turn % 2 == 0 { 7 } else { (1 << 20) + 7 });
    }
    let done = repair(&dir);
    assert!(done.code == 1 && files(&dir) == made.files, "{}", done.report());
    // A third in the same row is too many; the other row is no help.
    long.iter().take(3).for_each(|name| flip(name, 7));
    assert_eq!(repair(&dir).code, 2);
}

/// Two bands that are damaged are repaired by one stream.
#[test]
fn several_bands_at_once() {
    let made = sealed();
    let dir = made.copy();
    for band in BANDS {
        fs::remove_file(dir.join(band).join("HEAD")).unwrap();
        fs::write(dir.join(band).join("00000/000000001.mtree.gz.gpg"), b"nothing").unwrap();
    }
    // Any tar does what dura-push --replace does, without its care.
    let line = "dura-verify --repair \"$ARCHIVE\" > repaired; status=$?; tar -xf repaired --overwrite -C \"$ARCHIVE\" 2>&1; exit $status";
    let done = home().with(dura(line)).var("ARCHIVE", &dir).dir(dir.parent().unwrap()).run();
    assert!(done.code == 1 && files(&dir) == made.files, "{}", done.report());
    // Nothing is damaged: a stream that holds nothing.
    let done = repair(&dir);
    assert!(done.code == 0 && files(&dir) == made.files, "{}", done.report());
}

/// Without parity, lists can still be made anew, and what is damaged is told.
#[test]
fn without_parity() {
    let made = crate::verify::make(false, "--group 6");
    let dir = made.copy();
    let list = made.name("SECOND.sha256");
    for damage in [None, Some(made.files[&list].len() / 2)] {
        match damage {
            None => fs::remove_file(dir.join(&list)).unwrap(),
            Some(at) => {
                let mut bytes = made.files[&list].clone();
                bytes[at] ^= 1;
                fs::write(dir.join(&list), bytes).unwrap();
            }
        }
        let done = verify(&dir, "");
        assert!(done.code == 1 && found(&done.text(), "unlisted").len() == 6, "{}", done.report());
        let done = repair(&dir);
        assert!(done.code == 1 && files(&dir) == made.files, "{}", done.report());
    }
    // A damaged list still says of an object what it should be.
    let block = made.name("00000/000000002.tar.gz");
    let mut bytes = made.files[&list].clone();
    bytes.truncate(bytes.len() - 10);
    fs::write(dir.join(&list), bytes).unwrap();
    let mut bad = made.files[&block].clone();
    bad[1000] ^= 1;
    fs::write(dir.join(&block), bad).unwrap();
    let done = repair(&dir);
    assert_eq!(done.code, 2, "{}", done.report());
    done.tells(&format!("{block}: cannot be rebuilt"));
    assert!(fs::read(dir.join(&list)).unwrap() == made.files[&list], "{}", done.report());
    // What cannot be repaired costs its files and no others.
    let out = scratch("restored").join("out");
    fs::create_dir(&out).unwrap();
    let line = "dura-restore --band \"$BAND\" \"$ARCHIVE\" | tar -xpf - -C \"$OUT\"";
    let done =
        home().with(dura(line)).var("BAND", BANDS[0]).var("ARCHIVE", &dir).var("OUT", &out).run();
    assert_eq!(done.code, 1, "{}", done.report());
    let same = files(source())
        .iter()
        .filter(|(name, bytes)| files(&out).get(*name) == Some(*bytes))
        .count();
    assert!((5..10).contains(&same), "{same} files came back");
}

/// With its list, a group has lost what says what its objects were. If one of them is gone as well,
/// that is told, and nothing is made up; the list from another copy of the archive is all that it
/// takes.
#[test]
fn a_list_and_an_object_of_its_group() {
    let made = plain();
    let list = made.name("SECOND.sha256");
    for gone in [made.name("00000/000000002.tar.gz"), made.name("00000/000000001.mtree.gz")] {
        let dir = made.copy();
        [&list, &gone].iter().for_each(|name| fs::remove_file(dir.join(name)).unwrap());
        let before = files(&dir);
        let done = repair(&dir);
        assert_eq!(done.code, 2, "{gone}\n{}", done.report());
        done.tells(&format!("{list}: cannot be recreated: "))
            .tells(&format!("{list}: cannot be rebuilt"));
        done.tells("hint: ").tells("from another copy of the archive");
        assert!(files(&dir) == before, "{gone}: something was written\n{}", done.report());
        fs::write(dir.join(&list), &made.files[&list]).unwrap();
        let done = repair(&dir);
        assert!(done.code == 1 && files(&dir) == made.files, "{gone}\n{}", done.report());
    }
}

/// HEAD has no checksum of its own, and TAIL, which repeats it, may be gone: the lists know better
/// which band it is.
#[test]
fn a_head_that_says_another_id() {
    let made = plain();
    let dir = made.copy();
    let (head, tail) = (made.name("HEAD"), made.name("TAIL"));
    fs::remove_file(dir.join(&tail)).unwrap();
    let text = String::from_utf8(made.files[&head].clone()).unwrap();
    let id = text.lines().find_map(|line| line.strip_prefix("id: ")).unwrap();
    let other: String = id.chars().map(|digit| if digit == '0' { '1' } else { '0' }).collect();
    fs::write(dir.join(&head), text.replace(id, &other)).unwrap();
    let done = repair(&dir);
    done.tells(&format!("{tail}: cannot be rebuilt"));
    assert_eq!(
        (done.code, found(&done.stderr.replace("  ", ""), "damaged")),
        (2, vec![head]),
        "{}",
        done.report()
    );
    fs::write(dir.join(&tail), &made.files[&tail]).unwrap();
    assert!(files(&dir) == made.files, "{}", done.report());
}

/// Objects that a run left without a list are no finding while the band may be continued.
#[test]
fn what_an_interrupted_run_left() {
    let made = plain();
    let dir = scratch("interrupted").join("archive");
    let lists: Vec<&String> = made
        .files
        .keys()
        .filter(|name| name.starts_with(BANDS[0]) && name.ends_with(".sha256"))
        .collect();
    let (first, last) = (members(made, lists[0]), lists.len() - 1);
    let late: BTreeSet<&String> = lists[1..].iter().copied().collect();
    for (name, bytes) in made.files.iter().filter(|(name, _)| name.starts_with(BANDS[0])) {
        let is_parity = name.contains(".rs") && !first.contains(name);
        if !late.contains(name) && !is_parity && !name.ends_with("TAIL") && !name.contains(".toc") {
            fs::create_dir_all(dir.join(name).parent().unwrap()).unwrap();
            fs::write(dir.join(name), bytes).unwrap();
        }
    }
    assert!(last >= 1);
    let done = verify(&dir, "-v");
    let unlisted = found(&done.stderr.replace("dura-verify: ", ""), "unlisted").len();
    assert!(done.code == 0 && done.text().is_empty() && unlisted > 5, "{}", done.report());
    done.tells(&format!("without TAIL, so unfinished: {}", BANDS[0]));
    // A run may still continue the band, and lists what it sealed: nothing is written for it.
    let before = files(&dir);
    let done = repair(&dir);
    assert!(done.code == 0 && files(&dir) == before, "{}", done.report());
    // A block that has no index is no part of anything.
    fs::write(dir.join(BANDS[0]).join("00000/000000040.tar.gz"), b"cut").unwrap();
    fs::write(dir.join(BANDS[0]).join("00000/note.txt"), b"mine").unwrap();
    let done = verify(&dir, "");
    assert_eq!(
        found(&done.text(), "unexpected"),
        [format!("{}/00000/note.txt", BANDS[0])],
        "{}",
        done.report()
    );
    assert_eq!(done.code, 1);
}

/// A part of the objects is read: the same with a seed, another without, and no more than the
/// limit.
#[test]
fn samples() {
    let made = plain();
    let dir = made.copy();
    let all = made.files.len();
    for name in made
        .files
        .keys()
        .filter(|name| name.contains(".tar") || name.contains(".mtree") || name.contains(".rs"))
    {
        let mut bytes = made.files[name].clone();
        let at = bytes.len() / 2;
        bytes[at] ^= 1;
        fs::write(dir.join(name), bytes).unwrap();
    }
    let part = |options: &str| -> BTreeSet<String> {
        found(&verify(&dir, options).text(), "damaged").into_iter().collect()
    };
    let whole = part("");
    assert!(whole.len() > all / 2, "{whole:?}");
    let half = part("--sample 50 --seed 1");
    assert!(
        half.len() < whole.len() && half.is_subset(&whole) && half == part("--sample 50% --seed 1")
    );
    let union: BTreeSet<String> = (0..8).flat_map(|_| part("--sample 50")).collect();
    assert!(union.len() > half.len(), "other objects each time");
    let bytes: usize = made.files.values().map(Vec::len).sum();
    let done = verify(&dir, &format!("--limit {}", bytes / 3));
    let read: usize =
        found(&done.text(), "damaged").iter().map(|name| made.files[name].len()).sum();
    assert!(done.code == 1 && read > 0 && read <= bytes / 3, "{}", done.report());
    assert_eq!(verify(&dir, "--sample 101").code, 2);
    assert_eq!(verify(&dir, "--limit 0").code, 2);
}

fn change(dir: &Path, name: &str, bytes: &[u8]) {
    fs::write(dir.join(name), bytes).unwrap();
}

/// Two archives: a missing band, a block and an index that differ. An archive and a cache: an index
/// that differs.
#[test]
fn against_another() {
    let made = sealed();
    let (dir, other) = (made.copy(), made.copy());
    let against = |options: &str| verify(&dir, &format!("{options} --against {}", other.display()));
    assert_eq!(against("").code, 0);
    for object in ["00000/000000002.tar.gz", "00000/000000002.mtree.gz"] {
        let name = made.name(object);
        let mut bytes = made.files[&name].clone();
        bytes[90] ^= 1;
        change(&other, &name, &bytes);
        let done = against("");
        assert!(
            done.code == 1 && found(&done.text(), "damaged") == [name.clone()],
            "{}",
            done.report()
        );
        change(&other, &name, &made.files[&name]);
    }
    fs::remove_dir_all(other.join(BANDS[1])).unwrap();
    let done = against("--quick");
    assert!(
        done.code == 1 && found(&done.text(), "missing") == [format!("{}/", BANDS[1])],
        "{}",
        done.report()
    );

    // A cache has plain copies of what the bands list.
    let made = plain();
    let (dir, cache) = (made.copy(), scratch("cache").join("cache"));
    let line = "dura-index list -q --band 20200102 --cache \"$CACHE\" \"$ARCHIVE\" > /dev/null";
    dura(line).var("CACHE", &cache).var("ARCHIVE", &dir).ok();
    let against = || verify(&dir, &format!("--against {}", cache.display()));
    let done = against();
    assert!(done.code == 0 && done.text().is_empty(), "{}", done.report());
    let name = made.name("00000/000000001.mtree.gz");
    let id = fs::read_dir(&cache).unwrap().next().unwrap().unwrap().path();
    change(&id, &name, &made.files[&made.name("00000/000000002.mtree.gz")]);
    let done = against();
    assert!(done.code == 1 && found(&done.text(), "damaged") == [name], "{}", done.report());
}

/// A file that differs in the source, and one that does not read out as its index says although
/// every object is as its list says.
#[test]
fn source_and_files() {
    let made = sealed();
    let dir = made.copy();
    let src = scratch("source").join("src");
    dura("cp -a \"$SRC\" \"$OUT\"").var("SRC", source()).var("OUT", &src).ok();
    let compare = || verify(&dir, &format!("--quick --source {}", src.display()));
    let done = compare();
    assert!(done.code == 0, "{}", done.report());
    dura("touch -r sub/3 ../t; sed -i 's/text/tixt/' text; mv sub/4 sub/x; mv sub/x sub/4; rm sub/5; chmod 600 sub/6; touch -r ../t sub")
        .dir(&src)
        .ok();
    let done = compare();
    let names: Vec<String> =
        ["sub/5", "sub/6", "text"].iter().map(|name| format!("{}/./{name}", BANDS[1])).collect();
    let told = found(&done.text(), "file");
    assert!(
        done.code == 1
            && names.iter().all(|name| told.contains(name))
            && !told.iter().any(|name| name.ends_with("sub/4")),
        "{}",
        done.report()
    );

    let done = verify(&dir, "--files");
    assert!(done.code == 0 && done.text().is_empty(), "{}", done.report());
    // Whoever has the public key makes another index for the block, lists it, and so hides nothing
    // from --files.
    let forged = scratch("forged").join("archive");
    let line = "dura-scan \"$SRC\" | dura-pack --band 20200102T030405Z > all && mkdir x && tar xf all -C x && cd x/2020* && \
                gzip -dc 00000/000000000.mtree.gz | sed 's/sha256digest=..../sha256digest=0000/' | gzip > new && mv new 00000/000000000.mtree.gz && \
                cd ../.. && tar cf stream --format=ustar -C x $(tar tf all) && dura-seal < stream | dura-push \"$ARCHIVE\"";
    let work = scratch("forging");
    dura(line).dir(&work).var("SRC", source()).var("ARCHIVE", &forged).ok();
    assert_eq!(verify(&forged, "").code, 0);
    let done = verify(&forged, "--files");
    assert!(done.code == 1 && found(&done.text(), "file").len() > 5, "{}", done.report());
}

/// Signatures by the wrong key, by none, and over other bytes are told when they are demanded.
#[test]
fn signatures() {
    let made = sealed();
    let dir = made.copy();
    assert_eq!(verify(&dir, &format!("--signed-by {KEY}")).code, 0);
    assert_eq!(verify(&dir, &format!("--quick --signed-by {KEY}")).code, 0);
    let signed = made.files.keys().filter(|name| name.ends_with(".sig")).count();
    let done = verify(&dir, &format!("--signed-by {OTHER}"));
    assert!(done.code == 1 && found(&done.text(), "damaged").len() == signed, "{}", done.report());
    assert_eq!(verify(&dir, "--signed-by nobody@dura.invalid").code, 2);
    let done = verify(&plain().copy(), &format!("--signed-by {KEY}"));
    let lists = plain().files.keys().filter(|name| name.ends_with(".sha256")).count();
    assert!(
        done.code == 1 && found(&done.text(), "missing").len() == lists + BANDS.len(),
        "{}",
        done.report()
    );
    // A band that somebody else made in place of ours is in order, but not ours.
    let name = made.name("SECOND.sha256.sig");
    fs::remove_file(dir.join(&name)).unwrap();
    let done = verify(&dir, &format!("--signed-by {KEY}"));
    assert!(done.code == 1 && found(&done.text(), "missing") == [name], "{}", done.report());
}

/// Only the band that is asked for, and those below it; an archive or a band that is not there.
#[test]
fn which_bands() {
    let made = plain();
    let dir: PathBuf = made.copy();
    fs::remove_file(dir.join(made.name("recover.sh"))).unwrap();
    assert_eq!(verify(&dir, "--band latest").code, 0);
    assert_eq!(verify(&dir, "--band 20200102").code, 1);
    assert_eq!(verify(&dir, "--at 2020-01-02").code, 2);
    assert_eq!(verify(&dir, "--at 2100-01-01").code, 0);
    assert_eq!(verify(&dir, "--band 2021").code, 2);
    assert_eq!(verify(&dir.join("nowhere"), "").code, 2);
    assert_eq!(verify(&scratch("empty"), "").code, 2);
}
