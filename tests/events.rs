//! The events that programs write are those of dura-events(5), with these members.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde_json::Value;

use super::util::run::{dura, scratch};

/// Of each event of the page, by program: the members that its item names.
fn documented() -> BTreeMap<(String, String), BTreeSet<String>> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("man/dura-events.5");
    let page = fs::read_to_string(page).unwrap();
    let mut found: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
    let (mut tool, mut event, mut of_tool) = (String::new(), None::<String>, BTreeSet::new());
    for line in page.lines() {
        if let Some(heading) = line.strip_prefix(".Ss ") {
            tool = if heading == "Of all programs" { String::new() } else { heading.to_owned() };
            (event, of_tool) = (None, BTreeSet::new());
        } else if let Some(name) = line.strip_prefix(".It Cm ") {
            event = Some(name.to_owned());
            found.insert((tool.clone(), name.to_owned()), of_tool.clone());
        } else if line.starts_with(".Cm ") || line.starts_with(".Pq Cm ") {
            let words = line.split(' ').map(str::to_owned);
            let words =
                words.filter(|word| word.chars().all(|it| it.is_ascii_lowercase() || it == '_'));
            match &event {
                Some(event) => {
                    found.get_mut(&(tool.clone(), event.clone())).unwrap().extend(words);
                }
                None => of_tool.extend(words),
            }
        }
    }
    found
}

/// What was written, in the same form; and the number of lines.
fn written(file: &Path) -> BTreeMap<(String, String), BTreeSet<String>> {
    let mut found: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
    for line in fs::read_to_string(file).unwrap().lines() {
        let Value::Object(event) = serde_json::from_str(line).unwrap() else { panic!("{line}") };
        let text = |key: &str| event[key].as_str().unwrap().to_owned();
        assert!(text("time").ends_with('Z'), "{line}");
        let members = found.entry((text("tool"), text("event"))).or_default();
        let usual = ["time", "tool", "event"];
        members.extend(event.keys().filter(|key| !usual.contains(&key.as_str())).cloned());
    }
    found
}

#[test]
fn events_are_those_of_the_page() {
    let dir = scratch("events");
    let file = dir.join("log");
    let run = |line: &str| dura(line).dir(&dir).var("DURA_EVENTS", &file).run();
    run("mkdir src; echo x >src/x; ln -s x src/l");
    let backup = "dura-scan src | dura-index diff archive | dura-pack | \
                  dura-seal --parity 1 | dura-push archive second";
    assert_eq!(run(backup).code, 0);
    // Something that cannot be done, damage, its repair, a version, and a band that goes.
    assert_eq!(run("dura-scan nowhere").code, 2);
    run("rm archive/*/00000/000000000.tar.gz");
    assert_eq!(run("dura-verify archive").code, 1);
    assert_eq!(run("dura-restore archive | tar -tf -").code, 1);
    assert_eq!(run("dura-verify --repair archive | dura-push --replace archive").code, 1);
    assert_eq!(run("dura-verify archive").code, 0);
    let (documented, written) = (documented(), written(&file));
    for ((tool, event), members) in &written {
        let known = [tool.as_str(), ""]
            .into_iter()
            .find_map(|tool| documented.get(&(tool.to_owned(), event.clone())));
        let known = known.unwrap_or_else(|| panic!("{tool} {event}: not in dura-events(5)"));
        let more: Vec<&String> = members.difference(known).collect();
        assert!(more.is_empty(), "{tool} {event}: members that are not in the page: {more:?}");
    }
    // All that the page names were seen, but for a request that is made again, and --until.
    for ((tool, event), members) in &documented {
        if matches!(event.as_str(), "retry" | "ending" | "progress" | "time" | "tool" | "event") {
            continue;
        }
        let all: Vec<_> = written
            .iter()
            .filter(|((by, is), _)| is == event && (tool.is_empty() || by == tool))
            .collect();
        assert!(!all.is_empty(), "{tool} {event}: never written");
        let seen: BTreeSet<&String> = all.iter().flat_map(|(_, members)| *members).collect();
        let lacking: Vec<&String> = members.iter().filter(|it| !seen.contains(it)).collect();
        assert!(lacking.is_empty(), "{tool} {event}: never with {lacking:?}");
    }
    assert!(written.len() > 20, "{written:?}");
}

/// What is read comes to the total that was told before, also where a band continues; and a restore
/// and a verify that last tell how far they are.
#[test]
fn progress_comes_to_its_total() {
    let dir = scratch("progress");
    let with = |line: &str| {
        let state = ["DURA_CACHE", "XDG_STATE_HOME"];
        state.into_iter().fold(dura(line).dir(&dir), |shell, name| shell.var(name, dir.join("own")))
    };
    let all = |file: &str, event: &str, key: &str| -> Vec<u64> {
        let text = fs::read_to_string(dir.join(file)).unwrap();
        let events = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        events.filter(|it| it["event"] == event).filter_map(|it| it[key].as_u64()).collect()
    };
    let noise = |len: usize| crate::util::tree::noise(len as u64, len);
    fs::create_dir(dir.join("src")).unwrap();
    fs::write(dir.join("src/large"), noise(3_000_000)).unwrap();
    for n in 0..8 {
        fs::write(dir.join(format!("src/small{n}")), noise(60_000 + n)).unwrap();
    }
    let scan = "sleep 2.1; dura-scan -q src | dura-index diff archive";
    let pack = "dura-pack -q --block-size 50k --part-size 1200k";
    let line =
        |file: &str, then: &str| format!("export DURA_EVENTS={file}; {scan} | {pack} | {then}");
    with(&line("cut", "dura-seal -q | head -c 3400000 | dura-push archive")).code(2);
    with(&line("rest", "dura-seal -q | dura-push archive")).ok();
    let bytes = 3_480_028;
    assert_eq!(all("cut", "listed", "bytes"), [bytes]);
    assert_eq!(all("cut", "compared", "bytes"), [bytes]);
    let read = all("cut", "object", "read");
    assert!(read.iter().any(|it| (1_000_000..3_000_000).contains(it)), "{read:?}");
    assert!(read.is_sorted() && read.last() == Some(&bytes), "{read:?}");
    // Less is left.
    let left = all("rest", "compared", "bytes")[0];
    assert!(left < bytes && all("rest", "object", "read").last() == Some(&left));
    let entries = all("rest", "compared", "entries")[0];
    assert_eq!(all("rest", "object", "entries").last(), Some(&entries));

    let slow = "--limit-rate 2M --events slow archive";
    with(&format!("dura-restore {slow} | tar -tf -; dura-verify {slow}")).ok();
    assert_eq!(all("slow", "restoring", "bytes"), [bytes]);
    assert_eq!(all("slow", "verifying", "bands"), [1]);
    assert!(!all("slow", "progress", "entries").is_empty());
    assert!(!all("slow", "progress", "bands").is_empty());
}
