//! Plain English wherever a person reads: turns of phrase that a reader had to translate stay out
//! of the man pages, README.md, CHANGES.md, docs/, `--help` and messages.

use super::man::{command, programs};
use super::tidy::{files, nothing, outside_of_tests, read};

/// What is not said, in lower case. Better: reported, again, stopped, uses, ignored, anyone who,
/// anyway, accepted, based on, continues.
const BANNED: [&str; 25] = [
    "all the same",
    "anew",
    "are told",
    "broke off",
    "comes back",
    "costs itself",
    "goes by",
    "going on",
    "heed",
    "heeded",
    "heeds",
    "held against",
    "is told",
    "pass over",
    "passed over",
    "passes over",
    "so many",
    "stand on",
    "stands on",
    "taken in",
    "takes in",
    "tells of",
    "there may stand",
    "told of",
    "whoever",
];

/// Where findings are worded. They go to standard output, which scripts read, and stay as they are.
const FINDINGS: [&str; 3] = ["lib/ops/verify/", "lib/core/verify/", "lib/format/group.rs"];

/// Words with their lines, without the signs around them; a sentence's last word is followed by the
/// sign that ends it.
fn words(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate() {
        for word in line.split_whitespace() {
            let bare = word.trim_matches(|c: char| !c.is_alphanumeric());
            if bare.is_empty() {
                continue;
            }
            found.push((number + 1, bare.to_owned()));
            let end = word.trim_end_matches(['`', '"', ')', '*']).chars().last();
            if let Some(end) = end.filter(|end| ".:;,?!|".contains(*end)) {
                found.push((number + 1, end.to_string()));
            }
        }
    }
    found
}

/// The banned phrases in a text, and sentences that begin like a question and are none.
fn dialect(name: &str, text: &str) -> Vec<String> {
    let words = words(text);
    let mut findings = Vec::new();
    for (at, (line, _)) in words.iter().enumerate() {
        let ahead = || words[at..].iter().map(|(_, word)| word.as_str());
        for phrase in BANNED {
            let count = phrase.split(' ').count();
            let said: Vec<String> = ahead().take(count).map(str::to_lowercase).collect();
            if said.join(" ") == phrase {
                findings.push(format!("{name}:{line}: `{phrase}`"));
            }
        }
        let begins = at == 0 || [".", "?", "!"].contains(&words[at - 1].1.as_str());
        if begins && ["Is", "Are"].contains(&words[at].1.as_str()) {
            let end = ahead().find(|word| [".", "?", "!", ":", "|"].contains(word));
            if end == Some(".") {
                findings.push(format!("{name}:{line}: an inversion"));
            }
        }
    }
    findings
}

/// A man page without its macros and displays.
fn prose(page: &str) -> String {
    let mut display = false;
    let line = |line: &str| {
        display = line.starts_with(".Bd -literal") || (display && line != ".Ed");
        match display || line.starts_with('.') {
            // What a macro shows is a part of the sentence; its name is not.
            true if !display => line.split_once(' ').map_or("", |(_, shown)| shown).to_owned(),
            true => String::new(),
            false => line.to_owned(),
        }
    };
    page.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn pages_are_in_plain_english() {
    let mut findings = Vec::new();
    let pages = ["1", "5", "7"].iter().flat_map(|section| files("man", section));
    for page in pages {
        findings.extend(dialect(&page, &prose(&read(&page))));
    }
    let others = ["README.md", "CHANGES.md", "CONTRIBUTING.md", "SECURITY.md"].map(str::to_owned);
    for page in files("docs", "md").into_iter().chain(others) {
        findings.extend(dialect(&page, &read(&page)));
    }
    nothing(findings);
}

#[test]
fn help_is_in_plain_english() {
    let mut findings = Vec::new();
    for program in programs() {
        let mut top = command(&program);
        findings.extend(dialect(&program, &top.render_long_help().to_string()));
        for sub in top.get_subcommands_mut() {
            let name = format!("{program} {}", sub.get_name());
            findings.extend(dialect(&name, &sub.render_long_help().to_string()));
        }
    }
    nothing(findings);
}

#[test]
fn messages_are_in_plain_english() {
    let mut findings = Vec::new();
    for file in
        files("lib", "rs").iter().filter(|file| !FINDINGS.iter().any(|it| file.starts_with(it)))
    {
        let source = outside_of_tests(file, &read(file));
        let code =
            |line: &str| if line.trim_start().starts_with("//") { "" } else { line }.to_owned();
        let code: Vec<String> = source.lines().map(code).collect();
        findings.extend(
            dialect(file, &code.join("\n"))
                .into_iter()
                .filter(|finding| !finding.ends_with("inversion")),
        );
    }
    nothing(findings);
}

#[test]
fn the_reader_of_words_finds_them() {
    for (text, found) in [
        ("It begins anew.", 1),
        ("It goes\n  by the clock, passed\nover.", 2),
        ("So many, so  few: whoever", 2),
        ("Is the newest band unfinished, it is continued.", 1),
        ("Well. Is it whole?", 0),
        ("It goes, by the way. It is told.", 1),
        ("renewed; going. On", 0),
    ] {
        assert_eq!(dialect("x", text).len(), found, "{text}: {:?}", dialect("x", text));
    }
    assert_eq!(prose(".It Fl x\n.Bd -literal\nso many\n.Ed\nWords"), "Fl x\n\n\n\nWords");
}
