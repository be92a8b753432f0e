//! Push to several archives, from a spool, and when it is asked to end.

use std::fs;
use std::path::Path;

use crate::continued::bash;
use crate::util::run::{Done, dura, scratch};
use crate::util::small::{BAND, CONTENTS, ID, listing, refused, sealed, tails, whole};
use crate::util::snapshot::{EXACT, assert_same, take};
use crate::util::stream::{join, split};

/// The archive `name` in `dir` is what one push of the small tree leaves.
#[track_caller]
fn is_whole(dir: &Path, name: &str) {
    let copy = scratch("compare");
    dura("cp -a \"$DIR\" archive").dir(&copy).var("DIR", dir.join(name)).ok();
    assert_same(name, whole(), &take(&copy), CONTENTS);
}

/// A directory with the small tree's band in `spool`.
fn spool() -> std::path::PathBuf {
    let dir = scratch("spool");
    dura("dura-push spool").dir(&dir).input(sealed()).ok();
    dir
}

fn push(dir: &Path, line: &str) -> Done {
    dura(line).dir(dir).seconds(60).run()
}

#[track_caller]
fn ends(done: &Done, code: i32, says: &str) {
    assert_eq!(done.code, code, "{}", done.report());
    assert!(done.stderr.contains(says), "wanted `{says}`\n{}", done.report());
}

fn files(dir: &Path) -> Vec<String> {
    let names = walkdir::WalkDir::new(dir)
        .into_iter()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_type().is_file());
    names
        .map(|entry| entry.path().strip_prefix(dir).unwrap().to_str().unwrap().to_owned())
        .collect()
}

/// A layer on the small tree's band, in which nothing has changed.
fn layer() -> Vec<u8> {
    let last =
        split(sealed()).iter().filter(|member| member.name().contains(".mtree.")).count() - 1;
    let text = String::from_utf8(listing().to_vec()).unwrap();
    let (head, _) = text.split_at(text.find("\n. ").unwrap() + 1);
    let listing =
        format!("{head}#parent {BAND} {ID} {last:09}\n#end entries=0 excluded=0 unreadable=0\n");
    dura("dura-pack | dura-seal").input(listing.as_bytes()).ok().stdout
}

/// Each archive gets all of it; one that cannot be written to is named, and holds up no other.
#[test]
fn several_archives() {
    let dir = scratch("several");
    fs::write(dir.join("file"), "no directory").unwrap();
    dura("dura-push one two").dir(&dir).input(sealed()).ok();
    is_whole(&dir, "one");
    is_whole(&dir, "two");
    let done = dura("dura-push file/sub three").dir(&dir).input(sealed()).run();
    ends(&done, 2, "dura-push: file/sub: ");
    is_whole(&dir, "three");
    // A layer goes only where its parent is.
    let done = dura("dura-push one four").dir(&dir).input(&layer()).run();
    ends(&done, 2, &format!("dura-push: four: {BAND}: the band's parent is not in this archive"));
    assert_eq!(tails(&dir.join("one")).len(), 2);
    assert!(!dir.join("four").exists());
}

/// What the archive lacks of a spool is sent, and nothing else: whole bands, and objects that are
/// gone.
#[test]
fn from_a_spool() {
    let dir = spool();
    dura("dura-push --from spool remote other").dir(&dir).ok();
    is_whole(&dir, "remote");
    is_whole(&dir, "other");
    let band = dir.join("remote").join(BAND);
    fs::remove_file(band.join("TAIL")).unwrap();
    fs::remove_file(band.join("00000/000000003.tar.gz")).unwrap();
    let cut = band.join("00000/000000004.tar.gz");
    let bytes = fs::read(&cut).unwrap();
    fs::write(&cut, &bytes[..bytes.len() / 2]).unwrap();
    // What is cut off could be another run's shorter block: it stays, until it is replaced or
    // removed.
    ends(
        &push(&dir, "dura-push --from spool remote other"),
        2,
        "00000/000000004.tar.gz: already exists, with other content",
    );
    assert!(fs::read(&cut).unwrap().len() == bytes.len() / 2 && !band.join("TAIL").exists());
    fs::remove_file(&cut).unwrap();
    dura("dura-push -v --from spool remote other")
        .dir(&dir)
        .ok()
        .tells(&format!("00000/000000004.tar.gz {} bytes", bytes.len()));
    is_whole(&dir, "remote");
    dura("dura-push -v --from spool remote").dir(&dir).ok().tells("stored 0 objects");

    // Another band of the same name is left alone.
    let head = fs::read_to_string(band.join("HEAD")).unwrap();
    fs::write(band.join("HEAD"), head.replace(ID, "ffeeddccbbaa99887766554433221100")).unwrap();
    fs::remove_file(band.join("TAIL")).unwrap();
    ends(&push(&dir, "dura-push --from spool remote"), 2, "they are different bands");
    assert!(!band.join("TAIL").exists());
    ends(&push(&dir, "dura-push --from nowhere remote"), 2, "nowhere: no such directory");
}

/// An object that is damaged in the spool is not sent, and no TAIL.
#[test]
fn a_damaged_spool() {
    let dir = spool();
    let block = dir.join("spool").join(BAND).join("00000/000000002.tar.gz");
    let mut bytes = fs::read(&block).unwrap();
    bytes[1000] ^= 1;
    fs::write(&block, bytes).unwrap();
    ends(
        &push(&dir, "dura-push --from spool remote"),
        2,
        "00000/000000002.tar.gz: damaged in the spool",
    );
    assert_eq!(tails(&dir.join("remote")), [""; 0]);
    fs::remove_file(&block).unwrap();
    ends(
        &push(&dir, "dura-push --from spool remote"),
        2,
        "00000/000000002.tar.gz: neither in the spool nor in the archive",
    );
    assert_eq!(tails(&dir.join("remote")), [""; 0]);
}

/// `--move` empties the spool once all archives have everything, and not before.
#[test]
fn moving() {
    let dir = spool();
    fs::write(dir.join("file"), "").unwrap();
    ends(&push(&dir, "dura-push --from spool --move remote file/sub"), 2, "file/sub: ");
    is_whole(&dir, "spool");
    dura("dura-push -n --from spool --move other").dir(&dir).ok();
    is_whole(&dir, "spool");
    dura("dura-push --from spool --move remote other").dir(&dir).ok();
    is_whole(&dir, "remote");
    is_whole(&dir, "other");
    assert_eq!(files(&dir.join("spool")), [""; 0]);
    ends(&push(&dir, "dura-push --from spool --move remote"), 0, "spool: holds no band");
}

/// Nothing leaves a spool of which a list, a note or an archive's copy is not as it should be; and
/// nothing is in neither place.
#[test]
fn a_spool_that_is_not_emptied() {
    let flip = |path: &Path| {
        let mut bytes = fs::read(path).unwrap();
        bytes[20] ^= 0xff;
        fs::write(path, bytes).unwrap();
    };
    let list = "00000/000000000-0.sha256";
    type Damage<'a> = &'a dyn Fn(&Path);
    let cases: [(&str, Damage<'_>, &str); 7] = [
        (
            "a flipped list",
            &|dir| flip(&dir.join("spool").join(BAND).join(list)),
            "not a checksum list of this band",
        ),
        (
            "a list cut short",
            &|dir| fs::write(dir.join("spool").join(BAND).join(list), "#dura group").unwrap(),
            "not a checksum list of this band",
        ),
        (
            "no list",
            &|dir| fs::remove_file(dir.join("spool").join(BAND).join(list)).unwrap(),
            "in no checksum list",
        ),
        (
            "a note changed",
            &|dir| flip(&dir.join("spool").join(BAND).join("recover.sh")),
            "recover.sh: damaged in the spool",
        ),
        (
            "no note",
            &|dir| fs::remove_file(dir.join("spool").join(BAND).join("recover.sh")).unwrap(),
            "recover.sh: neither in the spool nor in the archive",
        ),
        (
            "HEAD changed",
            &|dir| flip(&dir.join("spool").join(BAND).join("HEAD")),
            "HEAD: damaged in the spool",
        ),
        (
            "a rotten copy",
            &|dir| {
                dura("dura-push -q --from spool remote").dir(dir).ok();
                flip(&dir.join("remote").join(BAND).join("00000/000000002.tar.gz"));
            },
            "00000/000000002.tar.gz: what the archive has is damaged, or another object",
        ),
    ];
    for ((what, damage, says), keep) in
        cases.iter().flat_map(|case| [(case, ""), (case, "--keep-indexes")])
    {
        let dir = spool();
        fs::create_dir(dir.join("remote")).unwrap();
        damage(&dir);
        let before = take(&dir.join("spool"));
        let done = push(&dir, &format!("dura-push --from spool --move {keep} remote"));
        assert_eq!(done.code, 2, "{what}\n{}", done.report());
        assert!(done.stderr.contains(says), "{what}: wanted `{says}`\n{}", done.report());
        let left = files(&dir.join("spool"));
        assert!(left.iter().any(|name| name.ends_with("/TAIL")), "{what}: {left:?}");
        let (spool, remote) = (take(&dir.join("spool")), take(&dir.join("remote")));
        for (name, entry) in &before.0 {
            let there = [&spool, &remote].into_iter().filter_map(|place| place.0.get(name));
            assert!(
                there.into_iter().any(|there| there.content == entry.content),
                "{what}: {} is lost",
                String::from_utf8_lossy(name)
            );
        }
    }
}

/// What a cut run has left in a spool, and no index and no list can name, leaves it too.
#[test]
fn superseded_blocks_leave_a_spool() {
    let dir = spool();
    let folder = dir.join("spool").join(BAND).join("00000");
    for name in ["000000900.tar.gz", "000000901.tar.gz.000000", "000000902-0.rs0"] {
        fs::write(folder.join(name), "left by a run that was cut").unwrap();
    }
    for _ in 0..2 {
        dura("dura-push --from spool --move --keep-indexes remote").dir(&dir).ok();
    }
    let left = files(&dir.join("spool"));
    assert!(!left.iter().any(|name| name.contains(".tar") || name.contains(".rs")), "{left:?}");
}

/// With `--keep-indexes` the next layer can be put into the spool; and what is gone from it is
/// never taken for sent.
#[test]
fn moving_but_for_what_layers_are_built_on() {
    let dir = spool();
    dura("dura-push --from spool --move --keep-indexes remote").dir(&dir).ok();
    is_whole(&dir, "remote");
    let left = files(&dir.join("spool"));
    assert!(
        left.iter().all(|name| !name.contains(".tar"))
            && left.iter().any(|name| name.contains(".mtree")),
        "{left:?}"
    );
    dura("dura-push spool").dir(&dir).input(&layer()).ok();
    dura("dura-push --from spool --move --keep-indexes remote").dir(&dir).ok();
    assert_eq!(tails(&dir.join("remote")).len(), 2);
    ends(&push(&dir, "dura-push --from spool other"), 2, "neither in the spool nor in the archive");
    assert_eq!(tails(&dir.join("other")), [""; 0]);
    dura("dura-push --from spool --move remote").dir(&dir).ok();
    assert_eq!(files(&dir.join("spool")), [""; 0]);
}

/// A band that is still unfinished is sent as far as it is, keeps what its continuation needs, and
/// is told.
#[test]
fn an_unfinished_band_in_the_spool() {
    let dir = scratch("unfinished");
    let half = &sealed()[..sealed().len() * 2 / 3];
    refused("half", &dura("dura-push spool").dir(&dir).input(half).run());
    let before = files(&dir.join("spool"));
    ends(&push(&dir, "dura-push --from spool --move remote"), 1, "unfinished in the spool");
    let after = files(&dir.join("spool"));
    assert!(
        before.iter().filter(|name| !name.contains(".tar")).all(|name| after.contains(name)),
        "{after:?}"
    );
    // Once the rest is there, it goes the same way.
    dura("dura-push spool").dir(&dir).input(sealed()).ok();
    dura("dura-push --from spool --move remote").dir(&dir).ok();
    is_whole(&dir, "remote");
    assert_eq!(files(&dir.join("spool")), [""; 0]);
}

/// `--follow` sends while the spool is filled, and ends well when it is asked to once all is sent;
/// else it says what is not.
#[test]
fn following() {
    let dir = scratch("follow");
    fs::write(dir.join("whole"), sealed()).unwrap();
    let two_thirds = sealed().len() * 2 / 3;
    let script = format!(
        "mkfifo s; dura-push --from spool --follow remote & follow=$!
         dura-push spool < s & push=$!; exec 3> s; head -c {two_thirds} whole >&3
         until [ -e remote/{BAND}/00000/000000002.tar.gz ]; do sleep 0.05; done
         kill -TERM $follow; wait $follow; early=$?
         dura-push --from spool --move --follow remote 3>&- & follow=$!
         tail -c +{} whole >&3; exec 3>&-; wait $push; pushed=$?
         until [ -e remote/{BAND}/TAIL ]; do sleep 0.05; done; while [ -e spool/{BAND} ]; do sleep 0.05; done
         kill -TERM $follow; wait $follow; echo $early $pushed $?",
        two_thirds + 1
    );
    let done = push(&dir, &script);
    assert_eq!(done.text(), "2 0 0\n", "{}", done.report());
    done.tells("not all of 20200102T030405Z is stored yet");
    is_whole(&dir, "remote");
    assert_eq!(files(&dir.join("spool")), [""; 0]);
}

/// SIGTERM and SIGINT end a run in status 2; what is stored is whole, and the same again completes
/// it.
#[test]
fn asked_to_end() {
    for signal in ["TERM", "INT"] {
        let dir = scratch("ended");
        fs::write(dir.join("whole"), sealed()).unwrap();
        let half = sealed().len() / 2;
        // A shell has its children in the background ignore SIGINT; `env` gives it back to them.
        let script = format!(
            "mkfifo s; env --default-signal=INT dura-push archive < s & push=$!; exec 3> s; head -c {half} whole >&3
             until [ -e archive/{BAND}/00000/000000001.tar.gz.000000 ]; do sleep 0.05; done
             kill -{signal} $push; wait $push; echo $?"
        );
        let done = push(&dir, &script);
        assert_eq!(done.text(), "2\n", "{}", done.report());
        done.tells("dura-push: interrupted");
        done.tells("dura-push: hint: ");
        assert_eq!(tails(&dir), [""; 0]);
        let stored = take(&dir.join("archive"));
        for (name, entry) in stored.0.iter().filter(|(name, _)| name.contains(&b'/')) {
            let name = [b"archive/", name.as_slice()].concat();
            assert_eq!(
                entry.content,
                whole().0[&name].content,
                "{}",
                String::from_utf8_lossy(&name)
            );
        }
        dura("dura-push archive").dir(&dir).input(sealed()).ok();
        is_whole(&dir, "archive");
    }
}

/// What dura-verify --repair writes: these objects, of the band with this id.
fn repairs(id: &str, names: &[&str]) -> Vec<u8> {
    let header = dura::format::stream::continuation(&BAND.parse().unwrap(), &id.parse().unwrap());
    let wanted = |name: &String| names.iter().any(|end| name.ends_with(end));
    let members: Vec<_> =
        split(sealed()).into_iter().filter(|member| wanted(&member.name())).collect();
    assert_eq!(members.len(), names.len());
    [header, join(&members)].concat()
}

/// Rebuilt objects go in the place of damaged ones, in bands of their id only.
#[test]
fn replacing() {
    let dir = scratch("replace");
    dura("dura-push archive").dir(&dir).input(sealed()).ok();
    let band = dir.join("archive").join(BAND);
    let names = [
        "/00000/000000002.tar.gz",
        "/00000/000000003.tar.gz",
        "/00000/000000000.mtree.gz",
        "/TAIL",
    ];
    fs::write(band.join("00000/000000002.tar.gz"), "damaged").unwrap();
    fs::remove_file(band.join("00000/000000003.tar.gz")).unwrap();
    fs::write(band.join("TAIL"), "").unwrap();
    let before = take(&dir);
    let stream = repairs(ID, &names);
    dura("dura-push -n -v --replace archive").dir(&dir).input(&stream).ok().tells("would replace");
    let refuse = |what: &str, stream: &[u8]| {
        let done = dura("dura-push --replace archive").dir(&dir).input(stream).run();
        refused(what, &done);
        assert_same(what, &before, &take(&dir), EXACT);
    };
    refuse("another id", &repairs("ffeeddccbbaa99887766554433221100", &names[..3]));
    refuse("another id's TAIL", &repairs("ffeeddccbbaa99887766554433221100", &names[3..]));
    refuse("no repair stream", sealed());
    dura("dura-push --replace archive").dir(&dir).input(&[0; 1024]).ok();
    let done = dura("dura-push -v --replace archive").dir(&dir).input(&stream).ok();
    done.tells("replaced 3 objects");
    done.tells("1 were already in order");
    is_whole(&dir, "archive");
}

/// A repair that is cut off has replaced what had come, and nothing by half.
#[test]
fn replacing_from_a_stream_that_is_cut_off() {
    let dir = scratch("replace");
    dura("dura-push archive").dir(&dir).input(sealed()).ok();
    let block =
        |number: u32| dir.join("archive").join(BAND).join(format!("00000/00000000{number}.tar.gz"));
    fs::write(block(2), "damaged").unwrap();
    fs::write(block(3), "damaged").unwrap();
    let stream = repairs(ID, &["/00000/000000002.tar.gz", "/00000/000000003.tar.gz"]);
    let done =
        dura("dura-push --replace archive").dir(&dir).input(&stream[..stream.len() - 5000]).run();
    refused("cut off", &done);
    assert!(fs::read(block(2)).unwrap().len() > 1000 && fs::read(block(3)).unwrap() == b"damaged");
    dura("dura-push --replace archive").dir(&dir).input(&stream).ok();
    is_whole(&dir, "archive");
}

/// At the time of `--until` a run ends as if it were interrupted, and the next one continues.
#[test]
fn a_run_ends_at_its_time() {
    let dir = scratch("until");
    fs::write(dir.join("stream"), sealed()).unwrap();
    // A minute that begins in 20 to 80 seconds, enough for a busy machine to start the program before.
    // The stream does not end: its writer is still there afterwards.
    let text = r#"at=$(date -u -d '+80 seconds' +%H:%M)
        exec 3< <(head -c 20000 stream; exec sleep 3600); writer=$!; export TZ=UTC
        dura-push --until $at --events log archive <&3 2>said && exit 1; [ $? = 2 ] || { cat said; exit 1; }
        kill $writer; grep -q '(--until): ending' said && grep -q 'run the same command again' said || { cat said; exit 1; }
        grep -q '"event":"ending","until":"[^"]*:00Z"' log || { cat log; exit 1; }
        ls archive/*/HEAD; [ ! -e archive/*/TAIL ] || exit 1
        dura-push --until $(date -u -d '-5 minutes' +%H:%M) archive <stream
        for bad in 7:00 24:00 now; do dura-push --until $bad archive <stream 2>said && exit 1; grep -q 'a time, such as 06:30' said || exit 1; done"#;
    bash(&dir, text, &[]);
    is_whole(&dir, "archive");
}
