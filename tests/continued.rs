//! What a run records and continues: changes behind the point where it was cut, masks, a source
//! that is not there, and bands whose ends are damaged or gone.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::util::run::scratch;

/// Functions for the scripts of these tests. A `cut` run ends after its first block and index.
const FUNCTIONS: &str = r#"set -u
fail() { echo "FAILED: $*" >&2; exit 1; }
# run SCAN-OPTIONS -- DIFF-OPTIONS: gives the statuses of scan, diff, pack and push
run() {
    local scan=() diff=()
    while [ $# -gt 0 ] && [ "$1" != -- ]; do scan+=("$1"); shift; done
    shift; diff=("$@")
    dura-scan -q "${scan[@]}" src | dura-index diff "${diff[@]}" arc 2>said | dura-pack -q ${PACK:-} --block-size 100k 2>packed |
        if [ -n "${CUT:-}" ]; then head -c "$CUT"; else cat; fi | dura-push arc 2>pushed
    local s=("${PIPESTATUS[@]}"); echo "${s[0]} ${s[1]} ${s[2]} ${s[4]}"
}
want() { [ "$1" = "$2" ] || { cat said packed pushed >&2; fail "wanted $2, found $1"; }; }
cut() { CUT=1600000 run "$@" >/dev/null || true; [ ! -e "$(newest)/TAIL" ] || fail "not cut"; }
newest() { ls -d arc/*/ | sed 's,/$,,' | awk '{ print substr($0, length($0) - 15), $0 }' | sort | tail -n 1 | awk '{ print $2 }'; }
tail_of() { sed -n "s/^$1: //p" "$(newest)/TAIL"; }
same() { rm -rf out; mkdir out; dura-restore -q "$@" arc >tar || fail "restore $?"; tar -xpf tar -C out; diff -r src out || fail "not the same"; }
noise() { head -c 300000 /dev/urandom >"$1"; }
bands() { ls arc | wc -l; }
settle() { find src -exec touch -h -d 2020-01-01 {} +; sleep 2.1; }
"#;

/// Runs a script with these functions in a directory of its own, which is given; it must succeed.
#[track_caller]
fn script(text: &str) -> PathBuf {
    let dir = scratch("continued");
    again(&dir, text);
    dir
}

#[track_caller]
fn again(dir: &Path, text: &str) {
    bash(dir, &format!("{FUNCTIONS}\nset -e\n{text}"), &[]);
}

/// Runs a script of bash with the built programs in front on the PATH; it must succeed. Gives its
/// output.
#[track_caller]
pub(crate) fn bash(dir: &Path, text: &str, vars: &[(&str, String)]) -> String {
    let programs = Path::new(env!("CARGO_BIN_EXE_dura-scan")).parent().unwrap();
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
    let mut bash = Command::new("bash");
    bash.args(["-c", text]).current_dir(dir).env("PATH", path).env("LC_ALL", "C.UTF-8");
    bash.env("HOME", dir).envs(vars.iter().map(|(name, value)| (*name, value)));
    for name in ["DURA_CACHE", "XDG_CACHE_HOME", "XDG_STATE_HOME"] {
        bash.env_remove(name);
    }
    let out = bash.output().unwrap();
    let (said, output) =
        (String::from_utf8_lossy(&out.stderr), String::from_utf8_lossy(&out.stdout));
    assert!(out.status.success(), "{text}\n{}\n{output}{said}", out.status);
    output.into_owned()
}

/// What changed, came or went before the resume point is counted, and the next run stores it.
#[test]
fn changes_behind_are_counted() {
    script(
        r#"mkdir -p src/a src/z; for i in 1 2 3 4 5 6 7 8; do noise src/a/$i; done; echo z >src/z/f
        settle; cut --
        echo new >src/a/1; mkdir src/Early; echo e >src/Early/f; rm src/a/2
        want "$(run --)" '0 1 0 1'
        # ., ./Early, ./Early/f, ./a, ./a/1, ./a/2
        want "$(tail_of behind)" 6; want "$(tail_of skipped)" 0
        grep -q '6 entries changed after an earlier run had stored them' said || fail "not said"
        grep -q 'lacks changes to 6 entries' pushed || fail "push does not say it"
        sleep 2.1; want "$(run --)" '0 0 0 0'; want "$(tail_of behind)" 0; want "$(bands)" 2; same
        want "$(tail_of tree-entries)" "$(find src | wc -l)"
        want "$(tail_of tree-files)" "$(find src -type f | wc -l)"
        want "$(tail_of tree-bytes)" "$(find src -type f -printf '%s\n' | awk '{ s += $1 } END { print s }')""#,
    );
}

/// Nothing changed: a run that was cut is continued to a band that is whole, with its runs named.
#[test]
fn nothing_behind() {
    script(
        r#"mkdir -p src/a; for i in 1 2 3 4 5 6 7 8; do noise src/a/$i; done; settle; cut --
        want "$(run --)" '0 0 0 0'; want "$(tail_of behind)" 0; want "$(bands)" 1; same
        want "$(tail_of runs | wc -w)" 2
        grep -q '^source-id: ' arc/*/HEAD || fail "no source-id"
        want "$(run --)" '0 0 0 0'; want "$(cat arc/*/HEAD | grep '^source-id' | sort -u | wc -l)" 1"#,
    );
}

/// A folder that was not mounted in the first run, and is in the second.
#[test]
fn a_folder_that_comes_later() {
    script(
        r#"mkdir -p src/a src/b; for i in 1 2 3 4 5 6 7 8; do noise src/b/$i; done; settle; cut --
        for i in $(seq 200); do echo $i >src/a/$i; done; touch -d 2020-01-01 src/a src/a/*
        want "$(run --)" '0 1 0 1'; want "$(tail_of behind)" 201
        sleep 2.1; want "$(run --)" '0 0 0 0'; same"#,
    );
}

/// A run with a mask that was cut is not continued by one without, nor the reverse.
#[test]
fn masks_are_side_branches() {
    script(
        r#"mkdir -p src/d src/e; echo 1 >src/d/f; for i in 1 2 3 4 5 6 7 8; do noise src/e/h$i; done; echo /e >m; settle
        cut --only-from m --; want "$(sed -n 's/^partial: //p' "$(newest)/HEAD")" yes; masked=$(newest)
        want "$(run --)" '0 0 0 0'; same; want "$(bands)" 2
        [ ! -e $masked/TAIL ] || fail "the masked band was continued"
        # The mask's own run goes on with its band, though a newer one is complete.
        want "$(run --only-from m --)" '0 0 0 0'; want "$(bands)" 2; [ -e $masked/TAIL ] || fail "not continued"
        # It stands on the newest, and uses up no tier of the others.
        sleep 1; echo 2 >src/e/h1; want "$(run --only-from m --)" '0 0 0 0'; want "$(bands)" 3; third=$(newest)
        grep -q '^parent: 2' $third/HEAD || fail "the masked band stands on nothing"
        sleep 1; want "$(run --)" '0 0 0 0'; grep -q 'was made with a mask, and is ignored' said || fail "not said"
        case $(newest) in *${third#arc/}*) fail "stands on a masked band" ;; esac; same
        # Readers pass over it, too.
        sleep 1; echo 3 >src/e/h1; want "$(run --only-from m --)" '0 0 0 0'
        dura-restore arc 2>said ./e/h1 | tar -xOf - ./e/h1 >h1; want "$(cat h1)" 2
        grep -q 'made with a mask' said || fail "restore does not say it"
        dura-restore -q --band "$(basename "$(newest)")" arc ./e/h1 | tar -xOf - ./e/h1 >h1; want "$(cat h1)" 3"#,
    );
}

/// A source that is gone is refused; what such a run left is not completed by the next.
#[test]
fn a_source_that_is_gone() {
    let dir = script(
        r#"mkdir -p src/a src/b; for i in $(seq 150); do echo $i >src/a/$i; done; for i in 1 2 3 4 5 6 7 8; do noise src/b/$i; done
        settle; want "$(run --)" '0 0 0 0'; same; cp -a src keep
        # With nothing else to store.
        find src -mindepth 1 -delete; sleep 1; want "$(run --)" '0 2 2 2'
        grep -q '160 of 161 entries are deleted and 0 are new: more than --max-deleted 50% allows' said || fail "not said"
        want "$(run -- --full --no-resume)" '0 2 2 2'; want "$(bands)" 1
        # With enough to store that blocks arrive, which tell that ./a is gone.
        mkdir src/b; for i in 1 2 3 4 5 6 7 8; do noise src/b/$i; done; want "$(run --)" '0 2 2 2'; want "$(bands)" 2
        left=$(newest); [ -e $left/00000/000000000.mtree.gz ] || fail "no index of it arrived"
        cp -a arc meant; sleep 1
        # All is there again.
        rm -rf src; cp -a keep src; want "$(run --)" '0 0 0 0'; want "$(bands)" 3; same
        grep -q "leaving $(basename $left) unfinished: it deletes 151 of 161 entries" said || fail "not left"
        grep -q "^parent: $(ls arc | head -n 1)$" "$(newest)/HEAD" || fail "not on its parent"
        [ ! -e $left/TAIL ] || fail "it was completed""#,
    );
    again(
        &dir,
        r#"rm -rf arc; mv meant arc; rm -r src/a; want "$(run -- --max-deleted none)" '0 1 0 1'; want "$(bands)" 2
        want "$(run -- --max-deleted 0)" '0 0 0 0'; same"#,
    );
}

/// A renamed folder is gone and new; a limit may be given in entries.
#[test]
fn what_is_renamed_is_not_lost() {
    script(
        r#"mkdir -p src/a; for i in $(seq 150); do echo $i >src/a/$i; done; settle; want "$(run --)" '0 0 0 0'; sleep 1
        mv src/a src/z; want "$(run --)" '0 0 0 0'; same; sleep 1
        rm src/z/1?; want "$(run -- --max-deleted 9)" '0 2 2 2'; want "$(run -- --max-deleted 10)" '0 0 0 0'; same
        dura-index diff --max-deleted many arc </dev/null 2>said && fail taken; grep -q 'expected a number' said"#,
    );
}

/// HEAD and TAIL stand in for each other, and nothing is built on what may be about to go.
#[test]
fn damaged_or_lost_ends() {
    let dir = script(
        r#"mkdir src; echo 1 >src/1; settle; want "$(run --)" '0 0 0 0'; full=$(newest); sleep 1
        echo 2 >src/2; want "$(run --)" '0 0 0 0'; cp -a arc whole; cp -a src old
        # HEAD of the parent is gone: readers take TAIL's, runs stop before the work.
        rm $full/HEAD; same; sleep 1; echo 3 >src/3; want "$(run -- | awk '{ print $1, $2 }')" '0 2'; rm src/3
        grep -q 'HEAD: missing, though the band is complete' said || fail "not said"; rm -rf arc; cp -a whole arc
        # Damaged: taken from TAIL.
        echo garbage >$full/HEAD; echo 3 >src/3; want "$(run --)" '0 1 0 0'; grep -q 'HEAD: damaged' said; same; want "$(bands)" 3"#,
    );
    again(
        &dir,
        r#"rm -rf arc src; cp -a whole arc; cp -a old src; echo garbage >"$(newest)/TAIL"; sleep 1
        # A damaged TAIL counts as none, and the band is built on, not continued.
        dura-restore arc 2>said >tar && fail "restore: 0"; want "$(tar -xOf tar ./1)" 1; echo 3 >src/3
        want "$(run --)" '0 1 0 0'; grep -q 'TAIL: damaged' said || fail "not said"; want "$(bands)" 3
        # Both: its indexes tell.
        rm -rf arc; cp -a whole arc; echo garbage >"$(newest)/TAIL"; echo garbage >"$(newest)/HEAD"
        dura-restore --band "$(basename "$(newest)")" arc 2>said >tar && fail "not said"; want "$(tar -xOf tar ./2)" 2
        sleep 1; want "$(run -- | awk '{ print $1, $2, $3, $4 }')" '0 1 0 0'; want "$(bands)" 3
        # An empty folder, as a run leaves it that was killed at its start, is nothing.
        rm -rf arc; cp -a whole arc; mkdir arc/20990101T000000Z; dura-index bands arc >list || fail "bands $?"; want "$(wc -l <list)" 2
        dura-restore -q arc | tar -xOf - ./2 >two; want "$(cat two)" 2; want "$(run --)" '0 0 0 0'"#,
    );
}

/// A folder under another name is named and passed over.
#[test]
fn a_renamed_folder() {
    script(
        r#"mkdir src; echo 1 >src/1; settle; want "$(run --)" '0 0 0 0'; first=$(newest); sleep 1
        echo 2 >src/2; want "$(run -- --full --no-resume)" '0 0 0 0'; mv "$(newest)" arc/20300101T000000Z
        dura-restore arc 2>said >tar && fail "restore: 0"; want "$(tar -tf tar | wc -l)" 2
        grep -q '20300101T000000Z: its HEAD is that of band' said || fail "not said"
        dura-index bands arc >list 2>said && fail "bands: 0"; want "$(wc -l <list)" 1
        want "$(run --)" '0 1 0 0'; own=$(ls -d arc/* | grep -v 2030 | sort | tail -n 1)
        grep -q "^parent: ${first#arc/}$" "$own/HEAD" || fail "wrong parent""#,
    );
}

/// A clock that was ahead once: later bands are newer, and `--at` goes by what the clock said.
#[test]
fn clocks_that_were_wrong() {
    script(
        r#"mkdir src; export SOURCE_DATE_EPOCH
        at() { SOURCE_DATE_EPOCH=$(date -u -d "$1" +%s); echo "$1" >src/f; want "$(run --)" '0 0 0 0'; }
        at 2020-01-01; at 2030-01-01; at 2021-01-01; grep -q 'SOURCE_DATE_EPOCH' packed && fail "told with -q"
        is() { dura-restore -q "$@" arc ./f | tar -xOf - ./f; }
        want "$(is)" 2021-01-01; want "$(is --at 2021-06-01)" 2021-01-01; want "$(is --at 2020-06-01)" 2020-01-01
        want "$(is --at 2031-01-01)" 2030-01-01
        dura-scan -q src | dura-index diff -q arc | dura-pack 2>said >/dev/null; grep -q 'SOURCE_DATE_EPOCH is set' said || fail "not said""#,
    );
}

/// After tier 9 the chain goes on from tier 8, reported.
#[test]
fn after_the_deepest_tier() {
    script(
        r#"mkdir src; export SOURCE_DATE_EPOCH=1600000000
        for i in $(seq 11); do echo $i >src/f$i; SOURCE_DATE_EPOCH=$((SOURCE_DATE_EPOCH + 9)); want "$(run -- --tier auto)" '0 0 0 0'; done
        grep -q 'has tier 9, the highest: building on' said || fail "not said"; same
        SOURCE_DATE_EPOCH=$((SOURCE_DATE_EPOCH + 9)); want "$(run -- --parent latest)" '0 0 0 0'; same
        want "$(ls arc | awk '{ print length($0) }' | sort -n | tail -n 1)" 169; want "$(bands)" 12"#,
    );
}

/// A folder that was renamed is gone first and new later, here stored again: a run that is cut in
/// between is continued, and no new band is begun each time.
#[test]
fn a_renamed_folder_and_a_cut() {
    script(
        r#"export PACK=--no-references; mkdir -p src/a; for i in $(seq 150); do head -c 30000 /dev/urandom >src/a/$i; done; echo z >src/zz; settle
        want "$(run --)" '0 0 0 0'; mv src/a src/y; sleep 2.1; cut --; band=$(newest)
        cut --; want "$(newest)" "$band"; want "$(run --)" '0 0 0 0'; want "$(newest)" "$band"; want "$(bands)" 2; same
        # But where what is behind the cut does not make up for it, the band is left.
        rm -r src/y; mkdir src/b; for i in $(seq 60); do head -c 30000 /dev/urandom >src/b/$i; done; sleep 2.1
        want "$(run --)" '0 2 2 2'"#,
    );
}

/// What a run sealed and left without a list, the next lists: verify finds nothing of it, with and
/// without a key, wherever the run was cut; without the cache it is unlisted.
#[test]
fn lists_after_a_cut() {
    script(
        r#"mkdir src; for i in 1 2 3 4 5 6; do noise src/$i; done; settle
        anew() { rm -rf arc .cache .local; }
        put() { dura-scan -q src | dura-index diff -q ${2:-} arc | dura-pack -q --block-size 200k ${2:-} | dura-seal -q --group 6 $1 ${2:-}; }
        for parity in 0 1; do for cut in 30000 60000 400000 900000 1300000 1700000; do
            anew; put "--parity $parity" | head -c $cut | dura-push -q arc 2>pushed && fail "not cut"
            put "--parity $parity" | dura-push -q arc
            dura-verify arc >said 2>&1 || { cat said >&2; fail "parity $parity, cut after $cut"; }
            same
        done; done
        # Cut twice, and signed by nobody.
        anew; put "" | head -c 700000 | dura-push -q arc 2>pushed && fail "not cut"
        put "" | head -c 500000 | dura-push -q arc 2>pushed && fail "not cut"
        put "" | dura-push -q arc; dura-verify -q arc || fail "cut twice"; same
        anew; put "" --no-cache | head -c 900000 | dura-push -q arc 2>pushed && fail "not cut"
        put "" --no-cache | dura-push -q arc
        dura-verify -q arc >said && fail "listed by whom?"; grep -q '^unlisted' said || fail "not unlisted""#,
    );
}

/// A tree of which most has changed since the last band is told, and stored.
#[test]
fn a_tree_of_which_most_has_changed() {
    script(
        r#"mkdir -p src/d; for i in $(seq 200); do echo $i >src/d/$i; done; settle
        want "$(run -- --max-changed 50%)" '0 0 0 0'
        for i in $(seq 60); do echo changed >src/d/$i; done; for i in $(seq 61 100); do mv src/d/$i src/d/$i.locked; done; sleep 2.1
        want "$(run -- --max-changed 60%)" '0 0 0 0'
        for i in $(seq 101 160); do echo changed >src/d/$i; mv src/d/$i src/d/$i.locked; done; for i in $(seq 161 200); do echo changed >src/d/$i; done
        for i in $(seq 60); do echo again >src/d/$i; done; sleep 2.1
        want "$(run -- --max-changed 60%)" '0 1 0 0'; same
        grep -q '161 of 202 entries have changed or are gone: more than --max-changed 60%' said || fail "$(cat said)"
        dura-index diff --max-changed 5 arc <said 2>pushed && fail 'a number'; grep -q 'a percentage such as 50%' pushed || fail "$(cat pushed)""#,
    );
}
