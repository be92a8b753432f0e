//! Reads Rust source as far as the rules of the house need it: its words, and the paths in them.

use super::names;

/// The words and signs of Rust source, without comments, strings and character literals; each with
/// its line.
pub(super) fn tokens(source: &str) -> Vec<(usize, String)> {
    let chars: Vec<char> = source.chars().collect();
    let word = |c: char| c.is_alphanumeric() || c == '_';
    let mut found = Vec::new();
    let (mut at, mut line) = (0, 1);
    while at < chars.len() {
        let start = at;
        let next = chars.get(at + 1).copied().unwrap_or(' ');
        match chars[at] {
            '/' if next == '/' => {
                at += chars[at..].iter().position(|&c| c == '\n').unwrap_or(chars.len() - at)
            }
            '/' if next == '*' => {
                let mut depth = 0;
                loop {
                    match (chars.get(at), chars.get(at + 1)) {
                        (Some('/'), Some('*')) => (depth, at) = (depth + 1, at + 2),
                        (Some('*'), Some('/')) => (depth, at) = (depth - 1, at + 2),
                        (Some(_), _) => at += 1,
                        (None, _) => break,
                    }
                    if depth == 0 {
                        break;
                    }
                }
            }
            '"' => {
                at += 1;
                while at < chars.len() && chars[at] != '"' {
                    at += if chars[at] == '\\' { 2 } else { 1 };
                }
                at += 1;
            }
            // A lifetime has no closing quote after one character, nor an escape.
            '\'' if next == '\\' => {
                at += 3;
                while at < chars.len() && chars[at] != '\'' {
                    at += 1;
                }
                at += 1;
            }
            '\'' if chars.get(at + 2) == Some(&'\'') => at += 3,
            c if word(c) => {
                while at < chars.len() && word(chars[at]) {
                    at += 1;
                }
                let text: String = chars[start..at].iter().collect();
                let hashes = chars[at..].iter().take_while(|&&c| c == '#').count();
                if matches!(text.as_str(), "r" | "br" | "cr")
                    && chars.get(at + hashes) == Some(&'"')
                {
                    let end: Vec<char> =
                        std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
                    at += hashes + 1;
                    while at < chars.len() && !chars[at..].starts_with(&end) {
                        at += 1;
                    }
                    at += end.len();
                } else {
                    found.push((line, text));
                }
            }
            c if c.is_whitespace() => at += 1,
            ':' if next == ':' => {
                found.push((line, "::".to_owned()));
                at += 2;
            }
            c => {
                found.push((line, c.to_string()));
                at += 1;
            }
        }
        at = at.min(chars.len());
        line += chars[start..at].iter().filter(|&&c| c == '\n').count();
    }
    found
}

/// All paths `a::b::c` in the tokens, with `{…}` groups taken apart, each closed by `::` so that
/// prefixes compare by whole words.
pub(super) fn paths(tokens: &[(usize, String)]) -> Vec<(usize, String)> {
    fn is_word(text: &str) -> bool {
        text.starts_with(|c: char| c.is_alphabetic() || c == '_')
    }
    /// Reads one path from `at` on; returns where it ends.
    fn walk(
        tokens: &[(usize, String)],
        mut at: usize,
        prefix: &str,
        found: &mut Vec<(usize, String)>,
    ) -> usize {
        let mut path = prefix.to_owned();
        let mut line = tokens[at].0;
        loop {
            match tokens.get(at) {
                Some((here, text)) if is_word(text) || text == "*" => {
                    path.push_str(text);
                    path.push_str("::");
                    (line, at) = (*here, at + 1);
                }
                Some((_, text)) if text == "{" => {
                    at += 1;
                    while tokens.get(at).is_some_and(|(_, text)| text != "}") {
                        let begins = is_word(&tokens[at].1) || tokens[at].1 == "*";
                        at = if begins { walk(tokens, at, &path, found) } else { at + 1 };
                    }
                    return (at + 1).min(tokens.len());
                }
                _ => break,
            }
            match tokens.get(at) {
                Some((_, text)) if text == "::" => at += 1,
                _ => break,
            }
        }
        found.push((line, path));
        at
    }
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        at = if is_word(&tokens[at].1) { walk(tokens, at, "", &mut found) } else { at + 1 };
    }
    found
}

/// The path with leading `super` and `self` replaced by what they stand for in the file.
pub(super) fn absolute(file: &str, path: &str) -> String {
    let inside = file.trim_start_matches("lib/").trim_end_matches(".rs").trim_end_matches("/mod");
    let mut module: Vec<&str> = inside.split('/').collect();
    let mut rest = path;
    let mut relative = false;
    loop {
        if let Some(after) = rest.strip_prefix("super::") {
            module.pop();
            rest = after;
        } else if let Some(after) = rest.strip_prefix("self::") {
            rest = after;
        } else {
            break;
        }
        relative = true;
    }
    module.insert(0, "crate");
    if relative { format!("{}::{rest}", module.join("::")) } else { path.to_owned() }
}

#[test]
fn the_reader_of_source_knows_strings_comments_and_groups() {
    let source = "use std::{io, fs::{self, File}};\n// std::net::x\nlet a = \"std::env::y\"; let b = r#\"dbg!(\"\"#; 'x: loop { break 'x }\nlet c = '\"'; crate::core::z();";
    let found: Vec<String> = paths(&tokens(source)).into_iter().map(|(_, path)| path).collect();
    for wanted in ["std::io::", "std::fs::self::", "std::fs::File::", "crate::core::z::"] {
        assert!(found.iter().any(|path| path == wanted), "{wanted} is not in {found:?}");
    }
    for unwanted in ["std::net::", "std::env::", "dbg::"] {
        assert!(!found.iter().any(|path| path.starts_with(unwanted)), "{unwanted} is in {found:?}");
    }
    assert!(
        names("a::now", "::now")
            && !names("now", "::now")
            && names("std::fs::link", "fs::link")
            && !names("unlink", "link")
    );
    assert_eq!(tokens(source).last().map(|(line, _)| *line), Some(4));
    assert_eq!(absolute("lib/core/a.rs", "super::super::store::x::"), "crate::store::x::");
}
