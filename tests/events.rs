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
        if matches!(event.as_str(), "retry" | "ending" | "time" | "tool" | "event") {
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
