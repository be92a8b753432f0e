//! Bands that are taken from an archive, not from files: `dura-pack --from`.

use std::path::{Path, PathBuf};

use crate::continued::bash;
use crate::util::backup::{How, backup, source};
use crate::util::forge::{Header, band, dir, dir_line, file, file_line, pax, symlink};
use crate::util::gpg::{KEY, OTHER, home, public};
use crate::util::run::{dura, scratch};
use crate::util::snapshot::{EXACT, assert_same, take};

/// `lines ARCHIVE …`: what a version lists, but for the line that says which it is.
const FUNCTIONS: &str = r#"set -euo pipefail
fail() { echo "FAILED: $*" >&2; exit 1; }
lines() { dura-index list -q "$@" | sed '/^#version /d'; }
same() { cmp <(lines "$1") <(lines "$2") || fail "$1 and $2 list other things"; }
backup() { dura-scan -q src | dura-index diff -q "$@" old | dura-pack -q --block-size 100k | dura-push -q old; }
statuses() { [ "${PIPESTATUS[*]}" = "$1" ] || fail "${PIPESTATUS[*]}"; }
noise() { head -c "${2:-300000}" /dev/urandom >"$1"; }
settle() { find src -exec touch -h -d 2020-01-01 {} +; sleep 2.1; }
"#;

#[track_caller]
fn script(text: &str) -> PathBuf {
    let dir = scratch("taken");
    again(&dir, text);
    dir
}

#[track_caller]
fn again(dir: &Path, text: &str) {
    let home = home().dir.display().to_string();
    bash(dir, &format!("{FUNCTIONS}\n{text}"), &[("GNUPGHOME", home)]);
}

/// The tree with everything that is hard, under another compression and for other recipients: the
/// new band lists and restores the same, byte for byte.
#[test]
fn everything_that_is_hard_comes_through() {
    let seal = Some(format!("-r {KEY} --parity 1"));
    let how = How {
        pack: "--block-size 1M",
        seal: seal.as_deref(),
        home: Some(home()),
        ..How::default()
    };
    let old = backup(&source().settled().tree.dir, how).band;
    let archive = old.parent().unwrap();
    let dir = scratch("taken");
    let text = format!(
        r#"mkdir mine; ln -s "$ARCHIVE" old
        dura-index list -q old >list; dura-restore -q old >tar
        for how in 'gzip -r {OTHER}' 'zstd -r {KEY}' 'none '; do
            set -- $how; compress=$1; shift
            dura-pack -q --from old --compress "$compress" --part-size 300k <list | dura-seal -q "$@" | dura-push -q "new-$compress"
            same "new-$compress" old; dura-restore -q "new-$compress" | cmp - tar || fail "$how restores other things"
            dura-verify -q --files "new-$compress"
        done
        ls new-zstd/*/00000/*.tar.zst.* >/dev/null; ls new-none/*/00000/*.tar* >/dev/null
        gpg -d --list-only new-gzip/*/00000/000000000-0.key.gpg 2>&1 | grep -q {OTHER} || fail 'not for the other'
        want=$(sed -n 's/^started: //p' old/*/HEAD)
        [ "$(sed -n 's/^as-of: //p' new-none/*/HEAD)" = "$want" ] || fail "as-of"
        [ "$(sed -n 's/^source-id: //p' new-none/*/HEAD)" = "$(sed -n 's/^source-id: //p' old/*/HEAD)" ] || fail source-id"#
    );
    again_with(&dir, &text, archive);
    let line = "mkdir out; dura-restore -q new-none | tar --xattrs --xattrs-include='*' --acls -xpf - -C out";
    dura(line).dir(&dir).ok();
    assert_same("taken", &source().was, &take(&dir.join("out")), EXACT);
}

#[track_caller]
fn again_with(dir: &Path, text: &str, archive: &Path) {
    let home = home().dir.display().to_string();
    let archive = archive.display().to_string();
    bash(dir, &format!("{FUNCTIONS}\n{text}"), &[("GNUPGHOME", home), ("ARCHIVE", archive)]);
}

/// A chain of layers with moved files, files of which only the mode changed, and hard links: taken
/// one on top of the other, each version is the same, and nothing is stored twice.
#[test]
fn a_chain_is_taken_band_by_band() {
    script(
        r#"mkdir -p src/a src/b; for i in 1 2 3 4 5 6; do noise src/a/$i; done; noise src/large 2500000
        echo hard >src/b/first; ln src/b/first src/b/second; settle; backup
        mv src/a src/moved; cp src/large src/twin; chmod 600 src/moved/1; sleep 2.1; backup
        ln src/b/first src/third; rm src/moved/2; echo more >>src/large; mkdir src/a; mv src/moved/3 src/a; sleep 2.1; backup
        bands=$(ls old); export DURA_CACHE=$PWD/cache
        for band in $bands; do
            dura-index list -q --band $band old | dura-index diff -q new | dura-pack -q --from old --block-size 100k | dura-push -q new
            cmp <(lines --band $band old) <(lines new) || fail "$band"
            dura-restore -q --band $band old | cmp - <(dura-restore -q new) || fail "$band restores other things"
        done
        [ "$(ls new | sed 's/[^-]//g' | sort | tr -d '\n')" = --- ] || fail "no chain: $(ls new)"
        dura-verify -q --files new || [ $? = 1 ]
        size() { cat $1/*/*/*.tar.gz | wc -c; }
        [ "$(size new)" -le $(($(size old) * 101 / 100)) ] || fail "$(size new) of $(size old)"
        # A version of all of them, alone.
        dura-index list -q old | dura-pack -q --from old | dura-push -q whole; same whole old
        # In the archive itself it is the newest, and the next backup builds on it.
        dura-index list -q old | dura-pack -q --from old | dura-push -q old; full=$(ls old | tail -n 1); case $full in *-*) fail "$full" ;; esac
        backup; [ "$(sed -n 's/^entries: //p' old/$full-*/TAIL)" = 0 ] || fail "$(ls old)"
        # It goes on from there: nothing has changed.
        dura-scan -q src | dura-index diff -q whole | dura-pack -q | dura-push -q whole
        [ "$(sed -n 's/^entries: //p' whole/*-*/TAIL)" = 0 ] || fail "all is new""#,
    );
}

/// Part of a tree: also of a file whose first name is left out.
#[test]
fn part_of_a_tree() {
    script(
        r#"mkdir -p src/keep/d src/leave; echo hard >src/a; ln src/a src/keep/b; ln src/a src/keep/c; noise src/keep/d/f; noise src/leave/g
        mkfifo src/keep/p; settle; backup
        dura-index list -q old | dura-index filter grep -E '^\.(/keep[ /]| )' | dura-pack -q --from old | dura-push -q new
        mkdir out; dura-restore -q new | tar -xpf - -C out
        [ "$(cd out; find . | LC_ALL=C sort | tr '\n' ' ')" = '. ./keep ./keep/b ./keep/c ./keep/d ./keep/d/f ./keep/p ' ] || fail "$(find out)"
        [ out/keep/b -ef out/keep/c ] && diff <(tar -cf - --exclude=p --sort=name -C src/keep . | md5sum) <(tar -cf - --exclude=p --sort=name -C out/keep . | md5sum)
        dura-verify -q --files new || [ $? = 1 ]
        # Attributes come from the listing, as it is given.
        dura-index list -q old | sed 's/^\(\.\/keep\/d\/f .*\)mode=0644/\1mode=0600/' | dura-pack -q --from old | dura-push -q mode
        dura-restore -q mode ./keep/d/f | tar -tvf - | grep -q '^-rw------- .*keep/d/f$' || fail "the mode""#,
    );
}

/// What the archive has lost is told and not stored; the rest is.
#[test]
fn what_is_lost_is_told_and_left_out() {
    script(
        r#"mkdir -p src/d; for i in 1 2 3 4; do noise src/d/$i 1100000; done; noise src/large 3000000; noise src/huge 70000000; ln src/d/2 src/z; cp src/d/3 src/twin; settle; backup
        block() { dura-index where -q old "$1" | grep -o '[^ ]*/00000/[0-9]*[.]tar[^ ]*' | head -n 1; }
        took() { dura-index list -q old | dura-pack --from old --spool "$PWD" 2>said | dura-push -q "$1"; statuses "0 1 1"; }
        rm "old/$(block ./d/2)" "old/$(block ./d/3)"; set +e; took one; set -e
        for name in d/2 d/3 z twin; do grep -q "^dura-pack: ./$name: " said || fail "$name: $(cat said)"; done
        [ "$(sed -n 's/^skipped: //p' one/*/TAIL)" = 4 ] || fail "$(cat one/*/TAIL)"
        cmp <(lines old | grep -vE '^(./d/2|./d/3|./z|./twin|#end) ') <(lines one | grep -v '^#end') || fail "other lines"
        dura-restore -q one ./large | tar -xOf - | cmp - src/large; dura-verify -q --files one || [ $? = 1 ]
        # Damage in the middle of large files, of which one does not fit into memory.
        for name in large huge; do
            file=old/$(block ./$name); head -c 100000 /dev/zero | dd of="$file" bs=1 seek=1500000 conv=notrunc status=none
        done
        set +e; took two; set -e
        for name in large huge; do grep -q "^dura-pack: ./$name: damaged from" said || fail "$name: $(cat said)"; done
        cmp <(lines old | grep -vE '^(./d/2|./d/3|./z|./twin|./large|./huge|#end) ') <(lines two | grep -v '^#end') || fail "other lines"
        dura-verify -q --files two || [ $? = 1 ]; [ -z "$(ls -A | grep -v -E '^(old|one|two|src|said|[.].*)$')" ] || fail "$(ls -A)""#,
    );
}

/// A run that is cut goes on where it was, only for its own version; others pass its band over.
#[test]
fn a_cut_run_goes_on() {
    script(
        r#"mkdir -p src/d; for i in 1 2 3 4 5 6 7 8; do noise src/d/$i; done; settle; backup
        echo more >>src/d/8; sleep 2.1; backup; first=$(ls old | head -n 1)
        copy() { dura-index list -q --band "$1" old | dura-index diff new 2>said | dura-pack -q --from old --block-size 100k |
            if [ -n "${CUT:-}" ]; then head -c $CUT; else cat; fi | dura-push -q new; }
        CUT=1600000 copy "$first" 2>/dev/null && fail 'not cut'; band=$(ls new); [ ! -e new/$band/TAIL ] || fail 'not cut'
        # Another version begins a band of its own, and so do files.
        copy latest; [ "$(ls new | wc -l)" = 2 ] && [ ! -e new/$band/TAIL ] || fail "$(ls new)"
        dura-scan -q src | dura-index diff -q new | dura-pack -q | dura-push -q new; [ "$(ls new | wc -l)" = 3 ] && [ ! -e new/$band/TAIL ] || fail "$(ls new)"
        dura-index list -q --band "$first" old | dura-index diff -q new >listing
        dura-pack -q -C src <listing 2>said >/dev/null && fail 'goes on from files'; grep -q -e '--from ARCHIVE' said || fail "$(cat said)"
        copy "$first"; grep -q "continuing $band" said || fail "$(cat said)"; [ -e new/$band/TAIL ] || fail "$(ls new)"
        cmp <(lines --band "$first" old) <(lines --band "$band" new)
        [ "$(sed -n 's/^runs: //p' new/$band/TAIL | wc -w)" = 2 ] || fail "$(cat new/$band/TAIL)"
        [ "$(sed -n 's/^as-of: //p' new/$band/TAIL)" = "$(sed -n 's/^started: //p' old/$first/HEAD)" ] || fail as-of
        # The newest is what is newest by its contents.
        [ "$(dura-restore -q new ./d/8 | tar -xOf - | md5sum)" = "$(md5sum <src/d/8)" ] || fail newest
        dura-verify -q --files new || [ $? = 1 ]"#,
    );
}

/// No key, a wrong archive, another listing: exit 2, and nothing is stored.
#[test]
fn what_cannot_be_taken() {
    let dir = script(&format!(
        r#"mkdir src; echo a >src/a; settle; dura-scan -q src | dura-pack -q | dura-seal -q -r {KEY} | dura-push -q old
        dura-scan -q src | dura-pack -q | dura-push -q other; dura-index list -q old >list; dura-scan -q src >scan
        refused() {{ dura-pack --from "$1" <"$2" 2>said >stream && fail "$3"; [ $? = 2 ] && grep -q -e "$3" said || fail "$3: $(cat said)"; }}
        refused old scan 'has no #version line'
        refused other list 'other: does not have the band that was listed'
        refused nowhere list 'nowhere: '
        sed 's/^#version .*/#version x/' list >bad; refused old bad 'bad #version line'
        sed 's/size=2/size=3/' list >bad; dura-pack --from old <bad 2>said >stream && fail 'another size'; grep -q './a: the version has no such entry' said || fail "$(cat said)"
        head -n -1 list >bad; refused old bad '#end'"#
    ));
    let public = public().dir.display().to_string();
    let text = format!(
        "{FUNCTIONS}\ndura-pack --no-cache --from old <list 2>said >stream && fail 'no key'; grep -q -i 'secret key' said || fail \"$(cat said)\""
    );
    bash(&dir, &text, &[("GNUPGHOME", public)]);
}

/// Whatever somebody has put into the blocks of the archive: what the new band has is what the
/// index lines say, and verify finds nothing wrong with it.
#[test]
fn a_hostile_archive_gives_what_its_index_says() {
    let header = |change: fn(&mut Header)| {
        let mut header = Header::new(b'0', b"./x", 3);
        change(&mut header);
        header.with(b"abc")
    };
    let lines = |tags: &str| vec![dir_line(".", ""), file_line("./x", b"abc", tags)];
    let evil = || file("./evil", b"pwn");
    let attribute = |name: &str| pax(&[(name, "x")]);
    let plain = || file("./x", b"abc");
    // What is in the block, and whether ./x comes.
    let cases = vec![
        ("nothing wrong", lines(""), vec![dir("./"), plain()], true),
        ("a setuid bit", lines(""), vec![dir("./"), header(|it| _ = it.mode(0o4755))], true),
        (
            "another owner",
            lines(""),
            vec![dir("./"), header(|it| _ = it.put(108, b"0001750\0"))],
            true,
        ),
        (
            "a capability",
            lines(""),
            vec![dir("./"), attribute("SCHILY.xattr.security.capability"), plain()],
            true,
        ),
        ("no attribute", lines(" tags=x"), vec![dir("./"), plain()], true),
        ("other members", lines(""), vec![dir("./"), evil(), plain(), file("./y", b"pwn")], true),
        ("other content", lines(""), vec![dir("./"), file("./x", b"abd")], false),
        ("longer content", lines(""), vec![dir("./"), file("./x", b"abcd")], false),
        ("a link", lines(""), vec![dir("./"), symlink("./x", "/etc/passwd")], false),
        ("nothing", lines(""), vec![dir("./"), evil()], false),
    ];
    for (what, lines, tar, comes) in cases {
        let dir = scratch("taken");
        band(&dir.join("old"), "20261101T020000Z", &lines, &tar.concat());
        let line =
            "dura-index list -q old >list; dura-pack --from old <list 2>said >stream; code=$?
            dura-seal -q <stream | dura-push -q new; dura-verify -q --files new || exit 3
            dura-restore -q new | tar -tvf - | awk '{ print $1, $2, $3, $NF }'; cat said >&2; exit $code";
        let done = dura(line).dir(&dir).run();
        let is_honest = what == "nothing wrong" || what == "other members";
        let wanted = match comes {
            true => "drwxr-xr-x 0/0 0 ./\n-rw-r--r-- 0/0 3 ./x\n",
            false => "drwxr-xr-x 0/0 0 ./\n",
        };
        assert_eq!(done.text(), wanted, "{what}\n{}", done.report());
        let harmless = ["a setuid bit", "another owner"].contains(&what);
        assert_eq!(done.code, i32::from(!is_honest && !harmless), "{what}\n{}", done.report());
    }
}
