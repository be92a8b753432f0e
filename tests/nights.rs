//! Runs that never come to their end in one night: each is cut, and the tree changes meanwhile;
//! with two archives, one of which is away for some nights.
//!
//! `scripts/nights` runs it larger.

use crate::continued::bash;
use crate::util::dice::variable;
use crate::util::gpg::{KEY, home, public};
use crate::util::run::scratch;

/// A tree of files of 100 kB and one of 3 MB that changes every night, larger than a night takes.
/// One night the disk is missing; excludes change; each morning there is a masked run.
fn nights(files: u64, seal: &str, key: &std::path::Path) {
    let files = variable("DURA_NIGHTS_FILES", files);
    let script = r#"set -u
fail() { echo "FAILED in night $night: $*" >&2; cat said packed pushed >&2; exit 1; }
noise() { head -c 100000 /dev/urandom >"$1"; }
place() { case $(($1 % 3)) in 0) echo src/a/$1 ;; 1) echo src/b/$1 ;; *) echo src/c/$1 ;; esac; }
# run CUT SCAN-OPTIONS: gives the statuses of diff and push
run() {
    local cut=$1; shift
    dura-scan -q --exclude-from ex "$@" src | dura-index diff --tier auto arc 2>said | dura-pack -q --block-size 500k --part-size 1M 2>packed |
        dura-seal -q $SEAL 2>sealed | if [ "$cut" != 0 ]; then head -c "$cut"; else cat; fi | dura-push $to 2>pushed
    local s=("${PIPESTATUS[@]}"); echo "${s[1]} ${s[5]}"
}
remedy() { dura-push -q --from arc two 2>pushed || [ $? = 1 ] || fail "the remedy"; }
whole() { for b in $(grep -L '^partial: yes' arc/*/HEAD); do dirname $b; done; }
bytes() { find arc -type f -printf '%s\n' | awk '{ s += $1 } END { print s + 0 }'; }
to="arc two"; mkdir -p src/a src/b src/c; : >ex; echo /a/ >m
for i in $(seq $FILES); do noise $(place $i); done
head -c 3000000 /dev/urandom >src/b/large; cp -r src was; changed=0; done=
for night in $(seq 30); do
    for k in $(seq $(((FILES + 49) / 50))); do noise $(place $(((night * 7 + k * 13) % FILES + 1))); changed=$((changed + 100000)); done
    head -c 3000000 /dev/urandom >src/b/large; changed=$((changed + 3000000))
    [ $((night % 5)) != 0 ] || echo "*.tmp$night" >>ex
    # The second archive is away, and is behind for two nights more.
    case $night in 2) to=arc ;; 4) to="arc two" ;; 6) remedy ;; esac
    if [ $night = 3 ]; then
        mv src away; mkdir src; statuses=$(run 2400000); [ "$statuses" = '2 2' ] || fail "no disk: $statuses"
        rmdir src; mv away src; continue
    fi
    run 0 --only-from m >statuses
    case $night,$(cat statuses) in *,'0 0' | *,'1 1' | [45],[01]' 2') ;; *) fail "the mask: $(cat statuses)" ;; esac
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
to="arc two"; remedy
sleep 2.1; for again in 1 2 3; do run 0 >statuses; [ "$(cat statuses)" != '0 0' ] || break; done
[ "$(cat statuses)" = '0 0' ] || fail "statuses $(cat statuses)"
diff -r arc two >&2 || fail "the second archive is another"
dura-verify -q arc >said 2>&1 || fail "verify"
mkdir out; GNUPGHOME=$SECRET dura-restore -q two | tar -xpf - -C out; diff -r src out >&2 || fail "not the same"
echo "night $done, $sent bytes of $all ($((sent * 100 / all)) %), $tiers tiers: ${SEAL:-plain}"
"#;
    let cut = variable("DURA_NIGHTS_CUT", 1_600_000);
    let dir = scratch("nights");
    let text = |path: &std::path::Path| path.to_str().unwrap().to_owned();
    let vars = [
        ("FILES", files.to_string()),
        ("CUT", cut.to_string()),
        ("SEAL", seal.to_owned()),
        ("GNUPGHOME", text(key)),
        ("SECRET", text(&home().dir)),
    ];
    print!("{}", bash(&dir, script, &vars));
}

#[test]
fn a_band_is_complete_in_the_end() {
    nights(80, "", &home().dir);
}

/// The host that is backed up can read nothing of the archive.
#[test]
fn with_the_public_key_alone() {
    nights(40, &format!("-r {KEY}"), &public().dir);
}

#[test]
fn signed() {
    nights(40, &format!("-r {KEY} --sign {KEY} --parity 1"), &home().dir);
}
