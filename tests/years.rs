//! Runs over months with `--tier calendar`, of which expire and prune remove what no rule keeps:
//! which bands stay, on what they build, and that each restores exactly.
//!
//! `scripts/two-years` does so for each day of two years, and compares what stays with restic.

use std::fs;

use crate::util::run::{dura, scratch};

/// Saves the tree of each day, backs it up, and removes what the rules do not keep.
const MONTHS: &str = r#"set -eu
mkdir src; for i in $(seq 40); do echo "$i of the first day" >src/$i; done
for day in 0131 0203 0210 0217 0224 0228 0303 0304 0305 0306; do
    echo "$day" >src/$((10#$day % 40)); echo "$day" >src/new$day; rm -f src/$((10#$day % 7 + 1))
    cp -a src $day
    export SOURCE_DATE_EPOCH=$(date -u -d "2041$day 02:00" +%s)
    backup() { dura-scan -q "$@" src | dura-index diff -q --tier calendar A | dura-pack -q | dura-seal -q | dura-push -q A; }
    # What a masked run has made before changes nothing.
    [ $day != 0304 ] || { echo 7 >mask; SOURCE_DATE_EPOCH=$((SOURCE_DATE_EPOCH - 3600)) backup --only-from mask; }
    backup
    dura-index expire -q --keep-daily 3 --keep-weekly 2 --keep-monthly 2 A | dura-prune -q A
done"#;

#[test]
fn what_stays_of_months() {
    let dir = scratch("years");
    dura(MONTHS).dir(&dir).ok();
    let short = |name: String| name.replace("2041", "").replace("T020000Z", "");
    let bands = fs::read_dir(dir.join("A")).unwrap();
    let mut bands: Vec<String> =
        bands.map(|band| short(band.unwrap().file_name().into_string().unwrap())).collect();
    bands.sort();
    let kept = ["0303", "0303-0304", "0303-0305", "0303-0306"];
    let mut wanted = vec!["0131".to_owned(), "0131-0228".to_owned()];
    wanted.extend(kept.map(|name| format!("0131-0228-{name}")));
    assert_eq!(bands, wanted);
    for day in ["0228", "0303", "0304", "0305", "0306"] {
        let line = format!(
            "mkdir out; dura-restore -q --band 2041{day}T020000Z A | tar -xpf - -C out; diff -r out {day} && \
             diff <(cd out; find . -printf '%p %m %t\\n' | sort) <(cd {day}; find . -printf '%p %m %t\\n' | sort); rm -r out"
        );
        let done = dura(&line).dir(&dir).run();
        assert_eq!((done.code, done.text().as_str()), (0, ""), "{day}: {}", done.report());
    }
}
