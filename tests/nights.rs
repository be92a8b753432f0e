//! Runs that never come to their end in one night: each is cut, and the tree changes meanwhile.
//!
//! `scripts/nights` runs it larger.

use crate::continued::bash;
use crate::util::dice::variable;
use crate::util::run::scratch;

/// A tree of files of 100 kB and one of 3 MB that changes every night, larger than a night takes. A
/// tenth of the nights the disk is missing; excludes change; each morning there is a masked run.
#[test]
fn a_band_is_complete_in_the_end() {
    let files = variable("DURA_NIGHTS_FILES", 80);
    let script = r#"set -u
fail() { echo "FAILED in night $night: $*" >&2; cat said packed pushed >&2; exit 1; }
noise() { head -c 100000 /dev/urandom >"$1"; }
place() { case $(($1 % 3)) in 0) echo src/a/$1 ;; 1) echo src/b/$1 ;; *) echo src/c/$1 ;; esac; }
# run CUT SCAN-OPTIONS: gives the statuses of diff and push
run() {
    local cut=$1; shift
    dura-scan -q --exclude-from ex "$@" src | dura-index diff --tier auto arc 2>said | dura-pack -q --block-size 500k --part-size 1M 2>packed |
        if [ "$cut" != 0 ]; then head -c "$cut"; else cat; fi | dura-push arc 2>pushed
    local s=("${PIPESTATUS[@]}"); echo "${s[1]} ${s[4]}"
}
whole() { for b in $(grep -L '^partial: yes' arc/*/HEAD); do dirname $b; done; }
bytes() { for b in $(whole); do find $b -type f -printf '%s\n'; done | awk '{ s += $1 } END { print s + 0 }'; }
mkdir -p src/a src/b src/c; : >ex; echo /a/ >m
for i in $(seq $FILES); do noise $(place $i); done
head -c 3000000 /dev/urandom >src/b/large; cp -r src was; changed=0; done=
for night in $(seq 30); do
    for k in $(seq $(((FILES + 49) / 50))); do noise $(place $(((night * 7 + k * 13) % FILES + 1))); changed=$((changed + 100000)); done
    head -c 3000000 /dev/urandom >src/b/large; changed=$((changed + 3000000))
    [ $((night % 5)) != 0 ] || echo "*.tmp$night" >>ex
    if [ $night = 3 ]; then
        mv src away; mkdir src; statuses=$(run 2400000); [ "$statuses" = '2 2' ] || fail "no disk: $statuses"
        rmdir src; mv away src; continue
    fi
    run 0 --only-from m >statuses
    case $(cat statuses) in '0 0' | '1 1') ;; *) fail "the mask: $(cat statuses)" ;; esac
    run $CUT >statuses
    for b in $(whole); do [ ! -e $b/TAIL ] || done=$night; done
    [ -z "$done" ] || break
done
[ -n "$done" ] || fail "no TAIL"
sent=$(bytes); all=$(($(find was -type f -printf '%s\n' | awk '{ s += $1 } END { print s }') + changed))
[ $((sent * 10)) -le $((all * 13)) ] || fail "$sent bytes sent for $all"
tiers=$(for b in $(whole); do basename $b; done | awk '{ n = split($0, p, "-"); if (n > m) m = n } END { print m }')
[ $tiers -le 3 ] || fail "$tiers tiers"
# Left alone, it ends with all: once for what changed behind, once for the file that was passed over.
sleep 2.1; for again in 1 2 3; do run 0 >statuses; [ "$(cat statuses)" != '0 0' ] || break; done
[ "$(cat statuses)" = '0 0' ] || fail "statuses $(cat statuses)"
mkdir out; dura-restore -q arc | tar -xpf - -C out; diff -r src out >&2 || fail "not the same"
echo "night $done, $sent bytes of $all, $tiers tiers"
"#;
    let cut = variable("DURA_NIGHTS_CUT", 2_400_000);
    let dir = scratch("nights");
    let vars = [("FILES", files.to_string()), ("CUT", cut.to_string())];
    print!("{}", bash(&dir, script, &vars));
}
