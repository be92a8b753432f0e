//! A name means one type in all of the library.

use std::collections::BTreeMap;

use super::source::tokens;
use super::{files, outside_of_tests, read};

/// Each deed has its own, and is called by its module: `pack::Options`.
const OF_DEEDS: &str = "Options";

/// The types that a file defines, by their names; not those that belong to an implementation.
fn types(source: &str) -> Vec<String> {
    let tokens = tokens(source);
    let mut depth = 0;
    let mut found = Vec::new();
    for pair in tokens.windows(2) {
        match pair[0].1.as_str() {
            "{" => depth += 1,
            "}" => depth -= 1,
            // As a name of a field or a method, `type` begins nothing.
            "struct" | "enum" | "trait" | "union" | "type"
                if depth == 0 && pair[1].1.starts_with(char::is_uppercase) =>
            {
                found.push(pair[1].1.clone());
            }
            _ => {}
        }
    }
    found
}

#[test]
fn no_two_types_share_a_name() {
    let mut named: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in files("lib", "rs") {
        for name in types(&outside_of_tests(&file, &read(&file))) {
            named.entry(name).or_default().push(file.clone());
        }
    }
    assert!(named.len() > 500, "only {} types were found", named.len());
    named.retain(|name, files| files.len() > 1 && name != OF_DEEDS);
    assert!(named.is_empty(), "types that share a name: {named:#?}");
}

#[test]
fn types_are_found() {
    let source = "pub struct A { b: u8 }\nimpl T for A { type C = u8; }\nfn f() { enum D { E } }\n\
                  type F<T> = Vec<T>; // struct G\npub(crate) trait H {}\n";
    assert_eq!(types(source), ["A", "F", "H"]);
}
