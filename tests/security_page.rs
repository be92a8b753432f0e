//! Every row of `docs/security.md` names a test, and that test is there.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => sources(&path, found),
            false if path.extension().is_some_and(|end| end == "rs") => found.push(path),
            false => {}
        }
    }
}

#[test]
fn every_row_names_a_test_that_is_there() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    ["lib", "tests"].iter().for_each(|dir| sources(&top.join(dir), &mut files));
    // Modules, and functions of which a name may be the beginning.
    let mut modules = HashSet::new();
    let mut functions = Vec::new();
    for file in &files {
        modules.insert(file.file_stem().unwrap().to_str().unwrap().to_owned());
        let text = fs::read_to_string(file).unwrap();
        let named = text.lines().filter_map(|line| line.trim_start().strip_prefix("fn "));
        functions.extend(named.map(|name| name.split(['(', '<']).next().unwrap().to_owned()));
    }
    let page = fs::read_to_string(top.join("docs/security.md")).unwrap();
    let mut rows = 0;
    for row in page.lines().filter(|line| line.starts_with("| ") && !line.ends_with("| test |")) {
        let cell = row.trim_end_matches(" |").rsplit(" | ").next().unwrap();
        rows += 1;
        if cell == "the same" {
            continue;
        }
        // What stands in brackets says which case of the test it is.
        let cell = cell.split(" (").next().unwrap();
        let pieces = cell.split('`').enumerate();
        let names: Vec<&str> = pieces
            .flat_map(|(at, piece)| {
                let words = piece.split([',', ';', ' ']).filter(|word| !word.is_empty());
                words.filter(move |word| at % 2 == 1 || word.contains('/'))
            })
            .collect();
        assert!(!names.is_empty(), "no test: {row}");
        for name in names {
            let last = name.rsplit("::").next().unwrap();
            let is_there = match name.contains('/') {
                true => top.join(name).exists(),
                false => modules.contains(last) || functions.iter().any(|it| it.starts_with(last)),
            };
            assert!(is_there, "{name}: no such test: {row}");
        }
    }
    assert!(rows > 100, "{rows} rows");
}
