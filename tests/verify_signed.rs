//! `--signed-by` and `--expect`: what counts is covered, or the status is 1.

use std::fs;
use std::path::Path;

use crate::util::gpg::{KEY, OTHER, home};
use crate::util::run::{Done, bare, scratch};
use crate::verify::{BANDS, files, plain, repair, sealed, verify};

fn signed(dir: &Path, options: &str) -> Done {
    verify(dir, &format!("--quick --signed-by {KEY} {options}"))
}

fn lines(done: &Done) -> Vec<String> {
    done.text().lines().map(|line| line.split(": ").next().unwrap().to_owned()).collect()
}

/// Any of the keys will do, and any of the signatures in a file.
#[test]
fn several_keys_and_signatures() {
    let made = sealed();
    let dir = made.copy();
    for keys in [format!("--signed-by {OTHER} --signed-by {KEY}"), format!("--signed-by {KEY}")] {
        let done = verify(&dir, &format!("--quick {keys}"));
        assert_eq!(done.code, 0, "{}", done.report());
    }
    let sig = dir.join(made.name("SECOND.sha256.sig"));
    let line = format!("gpg -q --batch -u {OTHER} --detach-sign -o - \"$LIST\"");
    let list = dir.join(made.name("SECOND.sha256"));
    let other = home().with(bare(&line)).var("LIST", &list).ok().stdout;
    let both = [other, fs::read(&sig).unwrap()].concat();
    fs::write(&sig, both).unwrap();
    let done = signed(&dir, "");
    assert_eq!(done.code, 0, "{}", done.report());
    let done = verify(&dir, &format!("--quick --signed-by {OTHER}"));
    assert_eq!(done.code, 1);
    assert!(!lines(&done).contains(&format!("damaged {}", made.name("SECOND.sha256.sig"))));
}

/// Whatever stands behind a signature is seen.
#[test]
fn bytes_behind_a_signature() {
    let made = sealed();
    let dir = made.copy();
    let name = made.name("SECOND.sha256.sig");
    let good = &made.files[&name];
    let mut seen = 0;
    for garbage in [&b"x"[..], b"\n", b"\0", &[0x88, 0], &[0xff; 40], b"-----", &good[..20]] {
        fs::write(dir.join(&name), [&good[..], garbage].concat()).unwrap();
        let done = verify(&dir, &format!("--band {} --sample 1 --seed 1", BANDS[0]));
        assert_eq!(lines(&done), [format!("damaged {name}")], "{garbage:?}\n{}", done.report());
        seen += 1;
    }
    assert_eq!(seen, 7);
}

/// A signed archive that was cut again and again is whole for whoever asks for the signature: what
/// the runs left stands in signed lists of later ones, and no list is there without its signature.
#[test]
fn a_signed_archive_cut_ten_times() {
    let script = r#"set -u; fail() { echo "FAILED: $*" >&2; cat said >&2; exit 1; }
mkdir src; for i in $(seq 40); do head -c 9000 /dev/urandom >src/$i; done; sleep 2.1
put() { dura-scan -q src | dura-index diff -q arc | dura-pack -q --block-size 9k | dura-seal -q --group 3 --sign $KEY; }
for run in $(seq 10); do
    put | head -c $((25000 + run * 5500)) | dura-push -q arc 2>said && fail "not cut"
    for list in arc/*/00000/*.sha256; do [ ! -e "$list" ] || [ -e $list.sig ] || fail "run $run: $list is not signed"; done
    dura-verify -q --signed-by $KEY arc >said 2>&1 || [ $run = 1 ] || fail "run $run: --signed-by"
done
put | dura-push -q arc || fail "the last run"
dura-verify -q --signed-by $KEY arc >said 2>&1 || fail "--signed-by"
mkdir out; dura-restore --signed-by $KEY arc 2>said | tar -xpf - -C out; [ "${PIPESTATUS[*]}" = "0 0" ] || fail "restore"
diff -r src out || fail "not the same"
# A signature that never came is given by who repairs.
rm arc/*/TAIL.sig; set -- arc/*/00000/*.sig; rm $1
dura-verify -q --signed-by $KEY arc >said 2>&1 && fail "nothing missing"
dura-verify -q --repair --sign $KEY arc 2>said | dura-push -q --replace arc; [ "${PIPESTATUS[*]}" = "1 0" ] || fail "repair"
dura-verify -q --signed-by $KEY arc >said 2>&1 || fail "after repair"
# So are those that are none: something behind it, or other bytes. One of other bytes stays.
printf x >>$(echo arc/*/TAIL.sig); echo garbage >$1; gpg -q --batch -u $KEY --detach-sign -o - arc/*/HEAD >$2
dura-verify -q --repair arc >rest 2>said && fail "without --sign"
dura-verify -q --repair --sign $KEY arc 2>said | dura-push -q --replace arc; [ "${PIPESTATUS[*]}" = "2 0" ] || fail "repair of what is none"
dura-verify -q --signed-by $KEY arc >found 2>said && fail "one of other bytes is taken for good"
[ "$(wc -l <found)" = 1 ] && grep -q "$(basename $2): a key has signed other bytes" found || { cat found >said; fail "what is left"; }
rm $2; dura-verify -q --repair --sign $KEY arc 2>said | dura-push -q --replace arc; [ "${PIPESTATUS[*]}" = "1 0" ] || fail "the last one"
dura-verify -q --signed-by $KEY arc >said 2>&1 || fail "in the end"
"#;
    let home = home().dir.display().to_string();
    let vars = [("GNUPGHOME", home), ("KEY", KEY.to_owned())];
    crate::continued::bash(&scratch("ten-cuts"), script, &vars);
}

/// A band that may be continued is no finding if a signed list has its HEAD; one that somebody put
/// on top is.
#[test]
fn an_unfinished_band_on_top() {
    let made = sealed();
    let dir = made.copy();
    let last = dir.join(BANDS[1]);
    for name in ["TAIL", "TAIL.sig"] {
        fs::remove_file(last.join(name)).unwrap();
    }
    // The last group never came.
    let mut lists: Vec<&String> = made
        .files
        .keys()
        .filter(|name| name.starts_with(BANDS[1]) && name.ends_with(".sha256"))
        .collect();
    let list = lists.pop().unwrap();
    for (name, _) in made.files.iter().filter(|(name, _)| {
        name.starts_with(list.trim_end_matches(".sha256")) || name.contains(".toc")
    }) {
        if name.starts_with(BANDS[1]) {
            fs::remove_file(dir.join(name)).unwrap();
        }
    }
    let done = signed(&dir, "");
    assert_eq!((done.code, lines(&done).len()), (0, 0), "{}", done.report());
    done.tells(&format!("without TAIL, so unfinished: {}", BANDS[1]));
    let before = files(&dir);
    let done = repair(&dir);
    assert!(done.code == 0 && files(&dir) == before, "{}", done.report());
    // Its first list without a signature, or no list at all: anybody may have put it there.
    let first = last.join("00000/000000000-0.sha256");
    fs::remove_file(last.join("00000/000000000-0.sha256.sig")).unwrap();
    let head = format!("unlisted {}/HEAD", BANDS[1]);
    let done = signed(&dir, "");
    assert!(done.code == 1 && lines(&done).contains(&head), "{}", done.report());
    fs::remove_file(first).unwrap();
    let done = signed(&dir, "");
    assert!(done.code == 1 && lines(&done).contains(&head), "{}", done.report());
    assert_eq!(verify(&dir, "--quick").code, 0);
}

/// An object that no signed list has, in a complete band.
#[test]
fn an_object_that_is_not_covered() {
    let made = sealed();
    let dir = made.copy();
    let extra = format!("{}/00000/000000000.tar.gz", BANDS[0]);
    fs::write(dir.join(&extra), "planted").unwrap();
    let done = signed(&dir, "");
    let both = ["unexpected", "unlisted"].map(|kind| format!("{kind} {extra}"));
    assert_eq!((done.code, &lines(&done)[..]), (1, &both[..]), "it is plain, too");
    // A list that is made again is signed if asked for.
    let dir = made.copy();
    let list = made.name("SECOND.sha256");
    for name in [&list, &format!("{list}.sig")] {
        fs::remove_file(dir.join(name)).unwrap();
    }
    let line = format!(
        "dura-verify --repair --sign {KEY} \"$ARCHIVE\" > ../stream; s=$?; dura-push --replace \"$ARCHIVE\" < ../stream; exit $s"
    );
    let run = crate::util::run::dura(&line);
    let done = home().with(run).var("ARCHIVE", &dir).dir(&dir).run();
    assert_eq!(done.code, 1, "{}", done.report());
    assert!(fs::read(dir.join(&list)).unwrap() == made.files[&list]);
    assert_eq!(signed(&dir, "").code, 0);
}

#[test]
fn the_newest_that_must_be_there() {
    let made = plain();
    let dir = made.copy();
    let expect = |name: &str| verify(&dir, &format!("--quick --expect {name}"));
    assert_eq!((expect(BANDS[1]).code, expect("20200103").code), (0, 0));
    let done = expect("20200104T000000Z");
    assert_eq!((done.code, lines(&done)), (1, vec!["missing 20200104T000000Z/".to_owned()]));
    assert_eq!(expect("20200104").code, 1);
    fs::remove_file(dir.join(BANDS[1]).join("TAIL")).unwrap();
    let done = expect(BANDS[1]);
    assert_eq!((done.code, lines(&done)), (1, vec![format!("missing {}/TAIL", BANDS[1])]));
    let gone = scratch("gone").join("archive");
    fs::rename(&dir, &gone).unwrap();
    fs::remove_dir_all(gone.join(BANDS[1])).unwrap();
    assert_eq!(verify(&gone, &format!("--expect {}", BANDS[1])).code, 1);
}
