//! No file uses one that uses it again, over however many others.

use std::collections::{BTreeMap, BTreeSet};

use super::source::{absolute, paths, tokens};
use super::{files, outside_of_tests, read};

/// The path of the module that a file is.
fn module(file: &str) -> String {
    let inside = file.trim_start_matches("lib/").trim_end_matches(".rs").trim_end_matches("/mod");
    format!("crate::{}::", inside.replace('/', "::"))
}

/// The modules, each with those that it uses; not with those that it lies in or that lie in it.
fn uses<'a>(sources: &[(&'a str, String)]) -> BTreeMap<&'a str, BTreeSet<&'a str>> {
    let modules: BTreeMap<String, &str> =
        sources.iter().map(|(file, _)| (module(file), *file)).collect();
    let related = |a: &str, b: &str| a.starts_with(b) || b.starts_with(a);
    let found = sources.iter().map(|(file, source)| {
        let own = module(file);
        let used = paths(&tokens(source)).into_iter().filter_map(|(_, path)| {
            let path = absolute(file, &path);
            let longest = modules.iter().filter(|(name, _)| path.starts_with(name.as_str()));
            let (name, other) = longest.max_by_key(|(name, _)| name.len())?;
            (!related(name, &own)).then_some(*other)
        });
        (*file, used.collect())
    });
    found.collect()
}

/// What is left when all that uses nothing more, or is used by nothing more, is taken away.
fn circles(mut uses: BTreeMap<&str, BTreeSet<&str>>) -> Vec<String> {
    loop {
        let used: BTreeSet<&str> = uses.values().flatten().copied().collect();
        let before = uses.len();
        let keep = |file: &str, uses: &BTreeSet<&str>| !uses.is_empty() && used.contains(file);
        uses.retain(|file, uses| keep(file, uses));
        let left: BTreeSet<&str> = uses.keys().copied().collect();
        uses.values_mut().for_each(|used| used.retain(|file| left.contains(file)));
        if uses.len() == before {
            return uses.iter().map(|(file, uses)| format!("{file} uses {uses:?}")).collect();
        }
    }
}

#[test]
fn imports_have_no_circles() {
    let sources: Vec<(String, String)> = files("lib", "rs")
        .into_iter()
        .map(|file| (outside_of_tests(&file, &read(&file)), file))
        .map(|(source, file)| (file, source))
        .collect();
    let sources: Vec<(&str, String)> =
        sources.iter().map(|(file, source)| (file.as_str(), source.clone())).collect();
    let uses = uses(&sources);
    assert!(uses.values().any(|uses| uses.contains("lib/format/path.rs")), "{uses:?}");
    let left = circles(uses);
    assert!(left.is_empty(), "files that use each other:\n{}\n", left.join("\n"));
}

#[test]
fn circles_are_found() {
    let source = |file, text: &str| (file, text.to_owned());
    let three = [
        source("lib/core/a.rs", "use super::b::B; mod a1;"),
        source("lib/core/a/a1.rs", "use super::A; use crate::core::c;"),
        source("lib/core/b.rs", "fn b() { crate::core::c::c() }"),
        source("lib/core/c.rs", "use crate::format::{path::Path, x};"),
    ];
    assert_eq!(circles(uses(&three)), Vec::<String>::new());
    let mut circle = three;
    circle[3] = source("lib/core/c.rs", "use crate::core::{a::{A, X}};");
    let left = circles(uses(&circle));
    assert_eq!(left.len(), 3, "{left:?}");
}
