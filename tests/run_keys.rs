//! Run keys: what has a passphrase, or lies on a card, is asked once a run, whatever the program, the
//! script or the hand; every copy of a key object does; what others seal to the same key does not
//! pass.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::continued::bash;
use crate::page::opening;
use crate::util::run::{base, scratch};

/// Functions for the scripts of these tests.
const FUNCTIONS: &str = r#"set -u
fail() { echo "FAILED: $*" >&2; exit 1; }
same() { diff -r "$1" "$2" >/dev/null || fail "$1 and $2 differ"; }
want() { [ "$1" = "$2" ] || fail "wanted $2, found $1: ${3-}"; }
# A home with a key, its agent's log, and a pinentry that counts how often it is asked.
home() { # PASSPHRASE [FILE], which has the key
    mkdir -m 700 "$GNUPGHOME"
    printf '#!/bin/sh\necho OK\nwhile read -r l; do case $l in GETPIN*) echo asked >>%s/asked; echo "D %s"; echo OK ;; BYE*) echo OK; exit ;; *) echo OK ;; esac; done\n' "$GNUPGHOME" "$1" >"$GNUPGHOME/pinentry"
    chmod 755 "$GNUPGHOME/pinentry"
    echo 's2k-count 65536' >"$GNUPGHOME/gpg-agent.conf"
    if [ $# = 2 ]; then gpg -q --batch --import "$2" 2>/dev/null; else key me "$1"; fi; gone
    printf 's2k-count 65536\nlog-file %s/log\ndebug ipc\npinentry-program %s/pinentry\n' "$GNUPGHOME" "$GNUPGHOME" >"$GNUPGHOME/gpg-agent.conf"
    fresh
}
key() { gpg -q --batch --passphrase "$2" --pinentry-mode loopback --quick-generate-key "$1 <$1@x>" future-default default never 2>/dev/null; }
gone() { gpgconf --kill gpg-agent 2>/dev/null || true; }
fresh() { gone; : >"$GNUPGHOME/log"; : >"$GNUPGHOME/asked"; }
operations() { grep -c '<- PKDECRYPT' "$GNUPGHOME/log"; }
asked() { wc -l <"$GNUPGHOME/asked"; }
# Blocks of which each has one file, unlike all others, and is small.
files() { for i in $(seq "$1" "$2"); do { echo "$i"; head -c 1100000 /dev/zero; } >"src/a/$i"; done; }
settle() { find src -exec touch -h -d 2020-01-01 {} +; sleep 2.1; }
# One run; with CUT it ends after so many blocks.
run() {
    dura-scan -q src | dura-index diff ${ARC:-arc} 2>said | dura-pack -q --level 1 --block-size 1k ${PACK-} 2>>said | dura-seal -q ${SEAL--r me@x --group 8} 2>>said |
        if [ -n "${CUT:-}" ]; then head -c "$CUT"; else cat; fi | dura-push ${ARC:-arc} 2>pushed
    local s=("${PIPESTATUS[@]}"); echo "${s[1]} ${s[3]} ${s[5]}"
}
# A run that is halted after so many bytes.
halt() { CUT=$1 run >/dev/null || true; ! ls ${ARC:-arc}/*/TAIL 2>/dev/null | tail -n 1 | grep -q "^$(band)TAIL" || fail 'not cut'; }
band() { ls -d ${ARC:-arc}/*/ | awk '{ print length($0), $0 }' | sort -n | tail -n 1 | awk '{ print $2 }'; }
mkdir -p src/a
"#;

/// A key as careful people have it, with the passphrase `word`; making one takes a minute.
const RSA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/rsa4096.asc");

/// Runs a script with these functions in a directory of its own, which is given, and with a home
/// for gpg.
#[track_caller]
fn script(text: &str) -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let dir = scratch("keys");
    let home = base().join(format!("gpg.k{}", COUNT.fetch_add(1, Ordering::Relaxed)));
    let page = dir.join("page");
    fs::write(&page, opening()).unwrap();
    let notes = Path::new(env!("CARGO_MANIFEST_DIR")).join("lib/notes");
    let vars = [
        ("GNUPGHOME", home.display().to_string()),
        ("PAGE", page.display().to_string()),
        ("NOTES", notes.display().to_string()),
        ("RSA", RSA.to_owned()),
    ];
    bash(&dir, &format!("{FUNCTIONS}\nset -e\n{text}"), &vars);
    dir
}

/// A chain of four bands in six runs and more than a hundred blocks: six operations at most, and one
/// question, for all that reads it.
#[test]
fn one_operation_a_run() {
    script(
        r#"home word; files 100 189; settle
        halt 240000; want "$(run)" '0 0 0' "$(cat said pushed)"
        for n in 1 2 3; do sleep 1.1; files $((170 + 20 * n)) $((189 + 20 * n)); for i in src/a/*; do case $i in *"$n") echo "$n" >>"$i" ;; esac; done; settle
            [ $n != 2 ] || halt 100000
            want "$(run)" '0 0 0' "$(cat said pushed)"; done
        want "$(ls arc | wc -l)" 4; want "$(operations)" 0
        [ "$(find arc -name '*.tar.gz.gpg' | wc -l)" -ge 115 ] || fail "$(find arc -name '*.tar.gz.gpg' | wc -l) blocks"
        runs=$(cat arc/*/TAIL | sed -n 's/^runs: //p' | wc -w); want "$(find arc -name '*.key.gpg' | xargs sha256sum | awk '{ print $1 }' | sort -u | wc -l)" 6
        count() { [ "$(operations)" -le 6 ] && [ "$(operations)" -ge "$runs" ] || fail "$1: $(operations) operations"; want "$(asked)" 1 "$1"; fresh; }
        fresh; mkdir out; dura-restore -q --no-cache arc | tar -xpf - -C out; same src out; count restore
        dura-index list -q --no-cache arc >/dev/null; count list
        dura-scan -q src | dura-index diff -q --no-cache arc >/dev/null; count diff
        dura-verify -q --files arc; count verify
        for sh in dash 'busybox sh'; do rm -rf out
            (cd "$(band)" && $sh "$NOTES/recover.sh" "$OLDPWD/out" 2>../../said) || fail "$sh: $(cat said)"; same src out; count "$sh"; done
        # No key is in the cache, and none lies anywhere.
        ! find . -name '*.key*' -not -path './arc/*' | grep . || fail 'a key object lies outside of the archive'
        gone"#,
    );
}

/// With `-v` it is told which key opened what; without the secret key, which would.
#[test]
fn keys_are_named() {
    script(
        r#"home word; files 100 102; settle; want "$(run)" '0 0 0' "$(cat said pushed)"
        id=$(gpg --with-colons --list-keys me@x | awk -F: '$1 == "sub" { print $5 }')
        dura-index list -v --no-cache arc 2>said >/dev/null; grep -q "000000000-0.key.gpg: decrypted with the key .*$id of .* me <me@x>" said || fail "$(cat said)"
        export GNUPGHOME=$GNUPGHOME.other; mkdir -m 700 "$GNUPGHOME"
        for reader in 'dura-restore arc' 'dura-index list arc' 'dura-index ls arc' 'dura-verify --files arc'; do
            $reader --no-cache >/dev/null 2>said && fail "$reader: 0"; grep -q "no secret key that decrypts it: wanted $id" said || fail "$reader: $(cat said)"
        done
        gone"#,
    );
}

/// Every copy opens the run. Where none is left that is said, and parity brings them back.
#[test]
fn key_objects_that_are_lost() {
    script(
        r#"home ''; files 100 140; settle; SEAL='-r me@x --group 8 --parity 1'; halt 200000; want "$(run)" '0 0 0' "$(cat said pushed)"
        cp -r arc whole; keys=$(cd arc && ls */*/*.key.gpg); runs=$(cat arc/*/TAIL | sed -n 's/^runs: //p'); [ "$(echo $runs | wc -w)" = 2 ] || fail "$runs"
        all() { rm -rf out; mkdir out; dura-restore -q --no-cache arc | tar -xpf - -C out; same src out; rm -rf out
            (cd "$(band)" && dash "$NOTES/recover.sh" ../../out 2>../../said) || [ $? = 1 ] || fail "$(cat said)"; same src out; }
        second=${runs#* }
        # All but the last of each run; all but one in the middle, damaged the one that all know.
        keep=$(echo "$keys" | awk -v s="$second" '{ n = substr($0, index($0, "/00000/") + 7, 9) } n < s { a = $0 } n >= s { b = $0 } END { print a; print b }')
        for k in $keys; do case $keep in *"$k"*) ;; *) rm "arc/$k" ;; esac; done; want "$(find arc -name '*.key.gpg' | wc -l)" 2; all
        rm -rf arc; cp -r whole arc; for n in $runs; do printf x | dd of="$(echo arc/*/*/"$n-0.key.gpg")" bs=1 seek=40 conv=notrunc status=none; done; all
        # None is left of the second run: what the first has is there.
        rm -rf arc; cp -r whole arc; for k in arc/*/*/*.key.gpg; do n=${k##*/}; [ "${n%%-*}" -lt "$second" ] || rm "$k"; done
        dura-restore -q --no-cache arc >/dev/null 2>said && fail 0; grep -q 'all key objects of its run are lost' said || fail "$(cat said)"
        # None at all: nobody is asked for a passphrase.
        rm -f arc/*/*/*.key.gpg; fresh
        dura-restore -q --no-cache arc >/dev/null 2>said && fail 0; grep -q 'all key objects of the band are lost' said || fail "$(cat said)"
        (cd "$(band)" && dash "$NOTES/recover.sh" ../../out2 2>../../said) && fail 0; grep -q 'all key objects (\*.key.gpg) of .* are lost' said || fail "$(cat said)"
        want "$(asked)" 0
        dura-verify arc >found 2>/dev/null && fail 0; want "$(grep -c '^missing.*key.gpg' found)" "$(echo "$keys" | wc -l)"
        dura-verify --repair arc 2>/dev/null | dura-push --replace arc; diff -r arc whole || fail 'not repaired'
        # The last one of the run that was cut is in a list without parity.
        rm -f arc/*/*/*.key.gpg; (cd "$(band)" && for l in */*.sha256; do python3 "$NOTES/rsrepair.py" "$l" >/dev/null 2>&1; done || true)
        [ "$(diff -r arc whole | wc -l)" -le 1 ] || fail 'not rebuilt'
        gone"#,
    );
}

/// An object that somebody else sealed to the same public key is none of the band's.
#[test]
fn what_others_seal_to_the_same_key_does_not_pass() {
    script(
        r#"home ''; files 100 102; settle; want "$(run)" '0 0 0' "$(cat said pushed)"
        cd "$(band)"; mkdir ../../evil; (cd ../../src && tar cf - a/100) | gzip >../../evil.gz
        o=00000/000000001.tar.gz.gpg; rm $o; gpg -q --batch --trust-model always -r me@x -o $o -e ../../evil.gz
        rm 00000/*.sha256; cd ../..
        dura-restore -q --no-cache arc 2>said >tar && fail 0; grep -q 'encrypted to a public key, which in this band counts for key objects only' said || fail "$(cat said)"
        mkdir out; (cd "$(band)" && dash "$NOTES/recover.sh" ../../out 2>../../said) && fail 0; grep -q 'did not come out whole' said || fail "$(cat said)"
        [ ! -e out/a/101 ] || cmp -s out/a/101 src/a/101 || fail 'it came out'
        gone"#,
    );
}

/// TAIL is not encrypted: what it says of its runs is no command to recover.sh.
#[test]
fn runs_that_are_commands() {
    script(
        r#"home ''; files 100 101; settle; want "$(run)" '0 0 0' "$(cat said pushed)"
        cd "$(band)"; (cat 00000/000000000-0.key.gpg; echo x) >00000/000000032-0.key.gpg
        printf 'aaaa\nbbbb\n' | gpg -q --batch --trust-model always -r me@x -e -o 00000/000000000-0.1.key.gpg
        sed -i 's/^runs:.*/runs: 0:1;touch${IFS}pwned 32/' TAIL
        dash "$NOTES/recover.sh" ../../out 2>../../said && fail 0
        want "$(ls -d pwned* ../../pwned* ../../out/pwned* 2>/dev/null)" ''
        gone"#,
    );
}

/// A passphrase is derived once a run; it opens what `--symmetric` sealed in all programs, from a
/// file, a command and the environment, and no agent is started.
#[test]
fn a_passphrase_for_all() {
    script(
        r#"mkdir -m 700 "$GNUPGHOME"; echo 'phrase of a person' >phrase; files 100 105; settle; SEAL='--symmetric --passphrase-file phrase --group 4'
        halt 20000; want "$(run)" '0 0 0' "$(cat said pushed)"
        gpg --list-packets --list-only arc/*/00000/000000000-0.key.gpg 2>/dev/null | grep -q 'count 65011712' || fail 'not the full derivation'
        gpg --list-packets --list-only $(ls arc/*/00000/*.mtree.gz.gpg | tail -n 1) 2>/dev/null | grep -q 'count 1088 ' || fail 'no run key'
        for way in '--passphrase-file phrase' '--passphrase-command cat\ phrase'; do
            eval "dura-restore -q --no-cache $way arc" >tar; rm -rf out; mkdir out; tar -xpf tar -C out; same src out; done
        export DURA_PASSPHRASE_FILE=$PWD/phrase
        for reader in 'dura-index list' 'dura-index ls' 'dura-verify --files'; do $reader -q --no-cache arc >/dev/null; done
        rm -rf out; (cd "$(band)" && busybox sh "$NOTES/recover.sh" ../../out 2>../../said) || fail "$(cat said)"; same src out
        [ ! -S "$GNUPGHOME/S.gpg-agent" ] || fail 'an agent was started'
        echo wrong >phrase; dura-restore -q --no-cache arc 2>said >tar && fail 0; grep -q 'the passphrase does not open it' said || fail "$(cat said)""#,
    );
}

/// RECOVER.txt, typed: bands of one run and of several.
#[test]
fn by_hand() {
    let dir = script(
        r#"home word; files 100 110; settle; ARC=one; want "$(run)" '0 0 0' "$(cat said pushed)"; cp -r src src1
        files 111 140; settle; ARC=two; halt 150000; want "$(run)" '0 0 0' "$(cat said pushed)"
        [ "$(sed -n 's/^runs: //p' two/*/TAIL | wc -w)" = 2 ] || fail 'one run'
        for sh in dash 'busybox sh' bash; do for arc in one two; do
            rm -rf out; mkdir out; fresh; src=src; [ $arc = two ] || src=src1
            (cd $arc/*/ && export DEST="$OLDPWD/out" && $sh "$PAGE" 2>"$OLDPWD/said") || fail "$sh $(cat said)"
            same $src out; n=$(cat $arc/*/*/*.key.gpg | wc -c); want "$(operations)" "$(sha256sum $arc/*/*/*.key.gpg | awk '{ print $1 }' | sort -u | wc -l)" "$sh"; want "$(asked)" 1
        done; done
        gone"#,
    );
    assert!(dir.join("two").exists());
}

/// Messages for more recipients open each run, or all at once; nothing is stored again, and lists
/// and signatures hold.
#[test]
fn recipients_that_are_added() {
    script(
        r#"home ''; key new ''; key sign ''; files 100 140; settle; halt 150000; want "$(run)" '0 0 0' "$(cat said pushed)"
        [ "$(sed -n 's/^runs: //p' arc/*/TAIL | wc -w)" = 2 ] || fail 'one run'
        sub() { gpg --with-colons --list-keys "$1@x" | awk -F: '$1 == "sub" { print $5 }'; }
        dura-index keys arc >told; want "$(awk '{ print $3, $4 }' told | sort -u)" "here $(sub me)"; want "$(wc -l <told)" 2
        cp -r arc before
        dura-index keys -q arc -r new@x --sign sign@x | dura-push -q arc
        want "$(diff -rq before arc | grep -c '^Only in arc')" 6; want "$(diff -rq before arc | wc -l)" 6
        dura-index keys arc >told; grep -q "$(sub new)" told && want "$(awk '{ print $4 }' told | tr ',' '\n' | sort -u | wc -l)" 2
        # Once more there is nothing to add.
        want "$(dura-index keys -q arc -r new@x | wc -c)" 1024
        dura-verify -q arc >found || fail "$(cat found)"; want "$(dura-verify -q --quick arc)" ''
        # What was added goes to an archive that has the band whole, and with the band to a new one.
        cp -r before second; dura-push -q --from arc second; diff -r arc second || fail 'not all was added'
        dura-push -q --from arc third; diff -r arc third || fail 'not the whole band'
        cp -r arc spool; dura-push -q --move --from spool fourth; diff -r arc fourth || fail 'not moved'; want "$(ls spool)" ''
        # A message that is damaged does not pass, nor one without its list from a spool that is emptied.
        cp -r arc spool2; printf x | dd of="$(ls spool2/*/*/*-0.1.key.gpg | head -n 1)" bs=1 seek=40 conv=notrunc status=none
        cp -r before fifth; dura-push -q --from spool2 fifth 2>said && fail 0; grep -q '0-0.1.key.gpg: damaged in the spool' said || fail "$(cat said)"
        want "$(diff -rq before fifth | grep -c '0-0.1')" 0
        cp arc/*/00000/000000000-0.1.key.gpg spool2/*/00000/; rm spool2/*/00000/000000000-0.1.sha256*
        dura-push -q --move --from spool2 fifth 2>said && fail 0; grep -q '0-0.1.key.gpg: in no checksum list' said || fail "$(cat said)"; [ -e "$(echo spool2/*/00000/000000000-0.1.key.gpg)" ] || fail gone
        # The first key is gone.
        export OLD=$GNUPGHOME; gpg --batch --pinentry-mode loopback --passphrase '' --export-secret-keys new@x >new.key; gone
        export GNUPGHOME=$GNUPGHOME.new; mkdir -m 700 "$GNUPGHOME"; gpg -q --batch --import new.key 2>/dev/null
        rm -rf out; mkdir out; dura-restore -q --no-cache arc | tar -xpf - -C out; same src out; rm -rf out
        (cd "$(band)" && dash "$NOTES/recover.sh" ../../out 2>../../said) || fail "$(cat said)"; same src out
        gone; export GNUPGHOME=$OLD
        # A message that was changed, or has no list, is named.
        cp -r arc good; printf x | dd of="$(ls arc/*/*/*-0.1.key.gpg | head -n 1)" bs=1 seek=40 conv=notrunc status=none
        dura-verify -q arc >found && fail 0; grep -q '^damaged .*-0.1.key.gpg' found || fail "$(cat found)"
        rm arc/*/*/*-0.1.sha256; dura-verify -q arc >found && fail 0; grep -q '^unlisted .*-0.1.key.gpg' found || fail "$(cat found)"
        # Another archive's band of that name takes nothing.
        rm -rf arc; cp -r before arc; sed -i 's/^id: ..../id: ffff/' arc/*/HEAD; rm arc/*/TAIL
        dura-index keys -q before -r new@x >stream; dura-push -q arc <stream 2>said && fail 0; grep -q 'but the messages are for one with id' said || fail "$(cat said)"
        # One message for all: one operation.
        rm -rf arc; cp -r before arc; dura-index keys -q arc -r new@x --join | dura-push -q arc; want "$(diff -rq before arc | wc -l)" 2
        dura-index keys arc >told; want "$(grep -c "$(sub new)" told)" 2
        printf 'log-file %s/log\ndebug ipc\n' "$GNUPGHOME.new" >"$GNUPGHOME.new/gpg-agent.conf"; gone; export GNUPGHOME=$GNUPGHOME.new; fresh
        for reader in 'dura-restore' 'dura-index list' 'dura-verify --files'; do $reader -q --no-cache arc >/dev/null; want "$(operations)" 1 "$reader"; fresh; done
        (cd "$(band)" && rm -rf ../../out && dash "$NOTES/recover.sh" ../../out 2>../../said) || fail "$(cat said)"; same src out; want "$(operations)" 1 script
        rm -rf out; mkdir out; fresh; (cd "$(band)" && export DEST="$OLDPWD/out" && dash "$PAGE" 2>"$OLDPWD/said"); same src out
        gone"#,
    );
}

/// The run key of a pipeline and of its readers is on no disk, in no argument and in no environment.
#[test]
fn no_key_leaves_memory() {
    script(
        r#"home ''; files 100 103; settle; export TMPDIR=$PWD/tmp; mkdir tmp
        cat >traced <<'X'
set -e
dura-scan -q src | dura-index diff -q arc | dura-pack -q --block-size 1k | dura-seal -q -r me@x | dura-push -q arc
dura-restore -q --no-cache arc >tar
dura-index list -q arc >list
(cd arc/*Z && sh "$NOTES/recover.sh" ../../out)
gpgconf --kill gpg-agent
X
        strace -f -qq -v -s 100000 -e trace=execve,openat,write,pwrite64,writev,memfd_create -o trace bash traced 2>said || fail "$(cat said)"
        same src out
        key=$(gpg -q -d arc/*/00000/000000000-0.key.gpg 2>/dev/null); want "${#key}" 44
        grep -q 'execve.*gpg' trace || fail 'nothing was traced'
        grep -qF "$key" trace || fail 'the key was not seen on its way'
        ! grep execve trace | grep -qF "$key" || fail 'in an argument or the environment'
        grep -F "$key" trace | grep -v '^[0-9]* *write(' | head -n 3 | grep . && fail 'written in another way'
        # What has it is a pipe.
        ! grep -rqF "$key" . --exclude=trace || fail 'on disk'
        gone"#,
    );
}

/// A key of 4096 bits with a passphrase, in gpg and in gpg 1.4: restore, list and verify, the script
/// and the page, for a band in two runs.
#[test]
fn a_large_key_and_an_old_gpg() {
    script(
        r#"home word "$RSA"; SEAL='-r rsa@x --group 8'; files 100 140; settle; halt 150000; want "$(run)" '0 0 0' "$(cat said pushed)"
        want "$(sed -n 's/^runs: //p' arc/*/TAIL | wc -w)" 2
        once() { want "$(operations)" 2 "$1"; want "$(asked)" 1 "$1"; fresh; }
        fresh; mkdir out; dura-restore -q --no-cache arc | tar -xpf - -C out; same src out; once restore
        dura-index list -q --no-cache arc >/dev/null; once list
        dura-verify -q --files arc; once verify
        rm -rf out; (cd arc/*/ && dash "$NOTES/recover.sh" ../../out 2>../../said) || fail "$(cat said)"; same src out; once recover.sh
        rm -rf out; mkdir out; (cd arc/*/ && DEST=$OLDPWD/out dash "$PAGE" 2>"$OLDPWD/said") || fail "$(cat said)"; same src out; once page
        gone
        # gpg 1.4 has a ring of its own, and no agent.
        export GNUPGHOME=$GNUPGHOME.1; mkdir -m 700 "$GNUPGHOME"; gpg1 -q --batch --import "$RSA" 2>/dev/null
        echo word >phrase; gpg1 --version | grep -q '^gpg (GnuPG) 1[.]4' || fail 'not gpg 1.4'
        for sh in dash 'busybox sh'; do
            rm -rf out; (cd arc/*/ && GPG=gpg1 DURA_PASSPHRASE_FILE=../../phrase $sh "$NOTES/recover.sh" ../../out 2>../../said) || fail "$sh: $(cat said)"; same src out
            # As the page says for gpg 1; what it asks on the terminal is answered here.
            { echo "gpg() { case \$* in *--passphrase-file*) gpg1 \"\$@\" ;; *) gpg1 --batch --passphrase-file '$PWD/phrase' \"\$@\" ;; esac; }"
                sed 's/ --pinentry-mode loopback//' "$PAGE"; } >page1
            rm -rf out; mkdir out; (cd arc/*/ && DEST=$OLDPWD/out $sh ../../page1 2>"$OLDPWD/said") || fail "$sh: $(cat said)"; same src out
        done"#,
    );
}

/// For bands of format 1, dura(7) has a copy of the key without its passphrase, in memory: typed as
/// it stands, with what a person answers to gpg. Nothing is derived for an object, and nothing left.
#[test]
fn a_copy_of_the_key_for_old_bands() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("man/dura.7");
    let page = fs::read_to_string(page).unwrap();
    let from = page.find("home=$(mktemp").unwrap();
    let typed = &page[from..from + page[from..].find(".Ed").unwrap()];
    assert_eq!(typed.matches('\n').count(), 5, "{typed}");
    let old = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/format-1");
    let typed = typed
        .replace("me@example.org", "fixture@dura.invalid")
        .replace("/mnt/backup", &format!("{old}/sealed"));
    let text = r#"home word OLD/secret-key.asc
        # Answers as a person does: the passphrase, none where a new one is asked for, and yes.
        ask() { printf '#!/bin/sh\necho OK\nwhile read -r l; do case $l in SETDESC*%s*) none=1; echo OK ;; SETDESC*) none=; echo OK ;; GETPIN*) echo asked >>%s; [ -n "$none" ] || echo "D word"; echo OK ;; BYE*) echo OK; exit ;; *) echo OK ;; esac; done\n' "$1" "$PWD/asked" >pinentry; chmod 755 pinentry; }
        fresh; ask none; echo "pinentry-program $PWD/pinentry" >"$GNUPGHOME/gpg-agent.conf"; gpg -q --passwd fixture@dura.invalid 2>/dev/null; gone; ask new
        dura-index list --no-cache OLD/sealed >there; : >asked
        gpg() { echo "pinentry-program $PWD/pinentry" >"$GNUPGHOME/gpg-agent.conf"; echo "log-file $PWD/agent" >>"$GNUPGHOME/gpg-agent.conf"; command gpg "$@"; }
        TYPED
        [ -s asked ] || fail 'gpg did not ask'; [ ! -e "$home" ] || fail 'the copy is left'
        want "$(tar -tf restored.tar | wc -l)" "$(grep -vc '^#' there)"
        : >asked; gone; GNUPGHOME=$GNUPGHOME dura-index list --no-cache OLD/sealed >/dev/null; want "$(wc -l <asked)" 1 'the key itself has no passphrase'
        gone"#;
    script(&text.replace("TYPED", &typed).replace("OLD", old));
}

/// A file of 20 parts in five runs, with groups of two objects and more: each part is opened by the
/// key of its run, by each reader, by hand, and from a web server that lists nothing.
#[test]
fn several_runs_in_one_file() {
    script(
        r#"home ''; files 100 101; head -c 20971520 /dev/urandom >src/b; files 102 102; settle; PACK='--part-size 1200k'
        for group in 2 5 32; do
            rm -rf arc .cache .local; export HOME=$PWD SEAL="-r me@x --group $group"
            for n in 1 2 3 4; do halt 4700000; done; want "$(run)" '0 0 0' "$(cat said pushed)";
            want "$(find arc -name '*.tar.gz.0*' | sed 's/.*0000\/\([0-9]*\).*/\1/' | sort | uniq -c | awk '{ print $1 }')" 20 "$(find arc)"
            runs=$(sed -n 's/^runs: //p' arc/*/TAIL | wc -w); want "$runs" 5; want "$(find arc -name '*.key.gpg' | xargs sha256sum | awk '{ print $1 }' | sort -u | wc -l)" 5
            fresh; rm -rf out; mkdir out; dura-restore -q --no-cache arc | tar -xpf - -C out; same src out; want "$(operations)" 5
            dura-verify -q --files arc || fail "verify: $group"
            rm -rf out; (cd "$(band)" && dash "$NOTES/recover.sh" "$OLDPWD/out" 2>../../said) || fail "$(cat said)"; same src out
            rm -rf out; mkdir out; (cd "$(band)" && DEST=$OLDPWD/out busybox sh "$PAGE" >/dev/null); same src out
        done
        python3 -u -m http.server --bind 127.0.0.1 0 >port 2>requests & server=$!; trap 'kill $server' EXIT
        for n in $(seq 100); do grep -q port port && break; sleep 0.1; done; at=http://127.0.0.1:$(grep -o 'port [0-9]*' port | cut -c6-)/arc
        rm -rf out; mkdir out; dura-restore -q --no-cache --band "$(basename "$(band)")" "$at" | tar -xpf - -C out; same src out
        gone"#,
    );
}

/// A web server that lists nothing: by the names of its runs in TAIL, a chain of bands in several
/// runs is restored whole, and in part.
#[test]
fn several_runs_without_a_listing() {
    script(
        r#"home ''; files 100 140; settle; halt 150000; want "$(run)" '0 0 0' "$(cat said pushed)"
        sleep 1.1; files 130 170; settle; halt 100000; want "$(run)" '0 0 0' "$(cat said pushed)"
        want "$(ls arc | wc -l)" 2; for tail in arc/*/TAIL; do want "$(sed -n 's/^runs: //p' "$tail" | wc -w)" 2 "$tail"; done
        python3 -u -m http.server --bind 127.0.0.1 0 >port 2>requests & server=$!; trap 'kill $server' EXIT
        for n in $(seq 100); do grep -q port port && break; sleep 0.1; done; at=http://127.0.0.1:$(grep -o 'port [0-9]*' port | cut -c6-)/arc
        dura-index bands "$at" 2>said && fail 'it lists'; band=$(basename "$(band)")
        mkdir out; dura-restore -q --no-cache --band "$band" "$at" | tar -xpf - -C out; same src out
        mkdir part; dura-restore -q --no-cache --band "$band" "$at" ./a/105 ./a/165 | tar -xpf - -C part; cmp part/a/105 src/a/105; cmp part/a/165 src/a/165; want "$(find part -type f | wc -l)" 2
        dura-index list -q --no-cache --band "$band" "$at" | grep -c type=file | grep -qx 71 || fail 'the list'
        want "$(grep -o 'GET [^ ]*-0.key.gpg' requests | sort -u | wc -l)" 4 "$(grep key requests)"
        gone"#,
    );
}
