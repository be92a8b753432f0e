//! Runs that are killed at any time, with masks, excludes, parity, two at once, into two archives
//! that share a cache: after every run that ends, verify finds nothing, and what it said it stored
//! is there.
//!
//! `scripts/kills` does so for hundreds of rounds.

use crate::continued::bash;
use crate::util::dice::variable;
use crate::util::run::scratch;

const SCRIPT: &str = r#"set -u; RANDOM=$SEED; export DURA_CACHE=$PWD/cache
fail() { echo "FAILED in round $round of seed $SEED: $*" >&2; cat said.* >&2; ls -R a b >&2; exit 1; }
dice() { [ $((RANDOM % $1)) = 0 ]; }
noise() { local in=$(dirname "$1"); [ -d $in ] || { rm -f $in; mkdir -p $in; }; head -c $((RANDOM * 4)) /dev/urandom >"$1"; }
place() { echo src/d$((RANDOM % 4))/f$((RANDOM % 9)); }
change() {
    for _ in 1 2 3 4; do noise "$(place)"; done
    if dice 3; then rm -rf "$(place)"; fi
    if dice 6; then rm -rf src/d$((RANDOM % 4)); fi
    if dice 6; then mv src/d1 src/e$round 2>/dev/null; fi
    if dice 9; then rm -rf src/d3; noise src/d3; fi
    find src -empty -type d -delete; mkdir -p src
}
# put NAME ARCHIVE CUT: gives the statuses of scan, diff and push
put() {
    dura-scan -q $scan src 2>said.$1.0 | dura-index diff --tier auto --max-deleted none $2 2>said.$1.1 |
        dura-pack -q --block-size 60k --part-size 100k 2>said.$1.2 | dura-seal -q --group 4 --parity $parity 2>said.$1.3 |
        if [ $3 != 0 ]; then head -c $3; else cat; fi | dura-push -q --no-parity $2 2>said.$1.4
    local s=("${PIPESTATUS[@]}"); echo "${s[0]} ${s[1]} ${s[5]}" >status.$1
}
check() {
    dura-verify -q $1 >said.verify 2>&1 || fail "verify $1 after $2"
    [ "$(cat status.1)" = "0 0 0" ] && [ -z "$scan" ] || return 0
    rm -rf out; mkdir out; dura-restore -q $1 2>said.restore | tar -xpf - -C out; [ "${PIPESTATUS[*]}" = "0 0" ] || fail "restore $1"
    diff -r src out >said.diff || fail "$1 is not the source after $2"
}
mkdir src; echo '/d1/' >mask; echo '/d2/' >excluded; whole=0; killed=0
for i in 1 2 3 4 5 6 7 8 9; do noise "$(place)"; done
for round in $(seq $ROUNDS); do
    change; scan=; parity=$((RANDOM % 3)); arc=a; dice 3 && arc=b
    case $((RANDOM % 8)) in 0) [ -d src/d1 ] && scan="--only-from mask" ;; 1) scan="--exclude-from excluded" ;; esac
    case $((RANDOM % 6)) in
    0) put 1 $arc $((RANDOM * 20)); killed=$((killed + 1)); continue ;;
    1) # All of it at once, as when the power goes.
        set -m; (put 1 $arc 0) & job=$!; set +m; sleep 0.$((RANDOM % 3))$((RANDOM % 10)); kill -KILL -- -$job 2>/dev/null
        wait $job 2>/dev/null; killed=$((killed + 1)); continue ;;
    2) # Two at once into one archive, or into two in the same second, one of them cut.
        other=$arc; dice 2 && other=b; put 2 $other $((RANDOM * 20)) & put 1 $arc 0; wait
        case $(cat status.1) in [01]\ [01]\ [01]) ;; *) killed=$((killed + 1)); continue ;; esac ;;
    *) put 1 $arc 0; case $(cat status.1) in [01]\ [01]\ [01]) ;; *) fail "statuses $(cat status.1)" ;; esac ;;
    esac
    [ $other = none ] && check $arc "a run of its own: $(cat status.1)" || check $arc "one of two: $(cat status.1)"
    whole=$((whole + 1)); other=none
done
echo "$ROUNDS rounds, $whole whole, $killed killed or refused, $(ls a b | wc -l) bands"
"#;

#[test]
fn killed_at_any_time() {
    let rounds = variable("DURA_KILLS_ROUNDS", 25);
    let seed = variable("DURA_KILLS_SEED", 5);
    let dir = scratch("kills");
    let script = format!("other=none; {SCRIPT}");
    print!(
        "{}",
        bash(&dir, &script, &[("ROUNDS", rounds.to_string()), ("SEED", seed.to_string())])
    );
}
