//! Patterns in gitignore syntax, matched as git matches them: the one builder for all programs.
//!
//! Patterns and paths are bytes. A path is asked about by itself: who walks a tree does not enter
//! what was left out, so what lies below it never comes up.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bstr::ByteSlice;
use gix_glob::pattern::{Case, Mode as Kind};
use gix_glob::wildmatch;
use gix_glob::wildmatch::Mode;

/// A list of patterns, of which the last that matches decides.
#[derive(Debug, Default, Clone)]
pub struct Patterns(Vec<Pattern>);

/// One pattern, and whether it has matched anything yet.
#[derive(Debug, Clone)]
struct Pattern {
    glob: gix_glob::Pattern,
    text: Vec<u8>,
    hit: Arc<AtomicBool>,
}

impl Patterns {
    /// Adds one line of a file of patterns, which may be empty or a comment.
    pub fn add_line(&mut self, line: &[u8]) {
        // A name may have a newline, which only an argument can say.
        let glob = if line.contains(&b'\n') {
            gix_glob::Pattern::from_bytes(line)
        } else {
            // With a file's line end, a lone carriage return before it is part of the pattern.
            let line = [line, b"\n"].concat();
            let parsed = gix_ignore::parse(&line, false).next().map(|(glob, ..)| glob);
            parsed.or_else(|| blank(&line))
        };
        if let Some(glob) = glob {
            self.0.push(Pattern {
                glob,
                text: line.to_vec(),
                hit: Arc::new(AtomicBool::new(false)),
            });
        }
    }

    /// Adds a pattern in which `!` and `#` begin a name, and blanks at the end belong to it.
    pub fn add_name(&mut self, text: &[u8]) {
        let escaped = match text.first() {
            Some(b'!' | b'#') => [b"\\", text].concat(),
            _ => text.to_vec(),
        };
        if let Some(glob) = gix_glob::Pattern::from_bytes(&escaped) {
            self.0.push(Pattern {
                glob,
                text: text.to_vec(),
                hit: Arc::new(AtomicBool::new(false)),
            });
        }
    }

    /// True if there is no pattern.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What the list says of a path, given as the raw bytes `a/b`: true if the last pattern that
    /// matches selects it, false if that pattern begins with `!`, none if no pattern matches.
    pub fn verdict(&self, raw: &[u8], is_dir: bool) -> Option<bool> {
        let name = raw.rfind_byte(b'/').map(|slash| slash + 1);
        let mut verdict = None;
        for Pattern { glob, hit, .. } in self.0.iter().rev() {
            // Behind the one that decides, only those are asked that have not matched before.
            if verdict.is_some() && hit.load(Ordering::Relaxed) {
                continue;
            }
            if matches(glob, raw, name, is_dir) {
                hit.store(true, Ordering::Relaxed);
                verdict = verdict.or(Some(!glob.is_negative()));
            }
        }
        verdict
    }

    /// True if the path is selected.
    pub fn selects(&self, raw: &[u8], is_dir: bool) -> bool {
        self.verdict(raw, is_dir) == Some(true)
    }

    /// The patterns that have matched nothing so far, as they were written.
    pub fn unmatched(&self) -> impl Iterator<Item = &[u8]> {
        let idle = self.0.iter().filter(|pattern| !pattern.hit.load(Ordering::Relaxed));
        idle.map(|pattern| pattern.text.as_slice())
    }

    /// True if any pattern has matched a path.
    pub fn any_matched(&self) -> bool {
        self.0.iter().any(|pattern| pattern.hit.load(Ordering::Relaxed))
    }

    /// The patterns with braces as a shell has them, `{a,b}`, which stand for themselves here.
    pub fn with_braces(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().map(|pattern| pattern.text.as_slice()).filter(|text| has_braces(text))
    }

    /// The patterns in the order in which they were added, a line each without comments, blank
    /// lines and trailing blanks: two lists with the same text select the same paths.
    pub fn normal_text(&self) -> Vec<u8> {
        let mut text = Vec::new();
        for Pattern { glob, .. } in &self.0 {
            for (kind, mark) in [(Kind::NEGATIVE, b'!'), (Kind::ABSOLUTE, b'/')] {
                text.extend(glob.mode.contains(kind).then_some(mark));
            }
            text.extend_from_slice(&glob.text);
            text.extend(glob.mode.contains(Kind::MUST_BE_DIR).then_some(b'/'));
            text.push(b'\n');
        }
        text
    }
}

/// Whether a pattern matches a path, whose last name begins at `name`.
///
/// git compares what a pattern with a slash has before its first wildcard, and matches the rest by
/// itself: so the `**` of `b**/c` is one at the beginning of a name.
fn matches(glob: &gix_glob::Pattern, raw: &[u8], name: Option<usize>, is_dir: bool) -> bool {
    let mode = Mode::NO_MATCH_SLASH_LITERAL;
    let of_path = !glob.mode.contains(Kind::NO_SUB_DIR) || glob.mode.contains(Kind::ABSOLUTE);
    match glob.first_wildcard_pos.filter(|_| of_path) {
        Some(literal) => {
            (is_dir || !glob.mode.contains(Kind::MUST_BE_DIR))
                && raw.get(..literal) == glob.text.get(..literal)
                && wildmatch(glob.text[literal..].as_bstr(), raw[literal..].as_bstr(), mode)
        }
        None => {
            let raw = raw.as_bstr();
            glob.matches_repo_relative_path(raw, name, Some(is_dir), Case::Sensitive, mode)
        }
    }
}

/// A pattern of blanks, which ends in one that is no space: a name for git, nothing for the crate.
fn blank(line: &[u8]) -> Option<gix_glob::Pattern> {
    let line = line.strip_suffix(b"\r\n").unwrap_or(line);
    let line = line.trim_end_with(|end| matches!(end, '\n' | ' '));
    let (mode, text) = match line.strip_prefix(b"!") {
        Some(text) => (Kind::NEGATIVE, text),
        None => (Kind::empty(), line),
    };
    let names = !text.is_empty() && text.iter().all(u8::is_ascii_whitespace);
    names.then(|| gix_glob::Pattern {
        text: text.into(),
        mode: mode | Kind::NO_SUB_DIR,
        first_wildcard_pos: None,
    })
}

/// True if an unescaped `{` is followed by `,` and `}`.
fn has_braces(text: &[u8]) -> bool {
    let mut bytes = text.iter();
    let (mut open, mut comma) = (false, false);
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => drop(bytes.next()),
            b'{' => (open, comma) = (true, false),
            b',' => comma = open,
            b'}' if comma => return true,
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patterns(lines: &[&str]) -> Patterns {
        let mut patterns = Patterns::default();
        lines.iter().for_each(|line| patterns.add_line(line.as_bytes()));
        patterns
    }

    #[test]
    fn what_stands_before_the_first_wildcard_is_compared_by_itself() {
        let selects = |line: &str, path: &str| patterns(&[line]).selects(path.as_bytes(), false);
        for (line, path, wanted) in [
            ("b**/c", "bc", true),
            ("b**/c", "bx/y/c", true),
            ("b**/?*", "b!", true),
            ("/b*", "b/c", false),
            ("a/b*c", "a/bxc", true),
            ("a/b*c", "a/b", false),
            ("a/longer*", "a", false),
        ] {
            assert_eq!(selects(line, path), wanted, "{line} {path}");
        }
    }

    #[test]
    fn the_last_match_decides() {
        let patterns =
            patterns(&["*.o", "/top", "cache/", "!keep.o", "a/**/z", "# no", "new\\ line", ""]);
        for (path, is_dir, verdict) in [
            (&b"x.o"[..], false, Some(true)),
            (b"deep/down/x.o", false, Some(true)),
            (b"keep.o", false, Some(false)),
            (b"top", true, Some(true)),
            (b"sub/top", true, None),
            (b"sub/cache", true, Some(true)),
            (b"sub/cache", false, None),
            (b"a/b/c/z", false, Some(true)),
            (b"new line", false, Some(true)),
            (b"# no", false, None),
            (b"odd\nname.o", false, Some(true)),
            (b"\xff\xfe.o", false, Some(true)),
        ] {
            assert_eq!(patterns.verdict(path, is_dir), verdict, "{}", path.as_bstr());
        }
        assert_eq!(patterns.unmatched().count(), 0);
    }

    /// What other readers of this syntax get wrong.
    #[test]
    fn marks_of_other_languages_stand_for_themselves() {
        for (pattern, path, selected) in [
            ("*.py{}", "x.py", false),
            ("*.py{}", "x.py{}", true),
            ("{a,b}", "a", false),
            ("{a,b}", "{a,b}", true),
            ("[[:upper:]]*", "Xy", true),
            ("[[:upper:]]*", "xy", false),
            ("b[!x]ar", "b/ar", false),
            ("b[!x]ar", "bcar", true),
            ("tab\t", "tab", false),
            ("tab\t", "tab\t", true),
            ("blank ", "blank", true),
            ("}", "}", true),
            ("x\\", "x", false),
            ("$x", "$x", true),
            ("\t", "\t", true),
            ("cr\r", "cr", true),
        ] {
            let patterns = patterns(&[pattern]);
            assert_eq!(patterns.selects(path.as_bytes(), false), selected, "{pattern} {path}");
        }
    }

    #[test]
    fn a_pattern_need_not_be_text() {
        let mut patterns = Patterns::default();
        patterns.add_line(b"/a\r");
        patterns.add_line(b"\xff*");
        patterns.add_line(b"new\nline");
        assert!(patterns.selects(b"a", false) && patterns.selects(b"\xffx", false));
        assert!(patterns.selects(b"d/new\nline", false) && !patterns.selects(b"new", false));
    }

    #[test]
    fn what_matched_nothing_is_known() {
        let patterns = patterns(&["x*", "xy", "z", "!no"]);
        assert!(!patterns.any_matched() && patterns.selects(b"xy", false));
        let idle: Vec<&[u8]> = patterns.unmatched().collect();
        assert_eq!(idle, [&b"z"[..], b"!no"]);
        assert!(patterns.any_matched());
    }

    #[test]
    fn braces_are_seen() {
        let list = patterns(&["*.{a,b}", "{}", "\\{a,b}", "{a}", "a,b}", "{x{a,}"]);
        let seen: Vec<&[u8]> = list.with_braces().collect();
        assert_eq!(seen, [&b"*.{a,b}"[..], b"{x{a,}"]);
    }

    #[test]
    fn the_normal_text_has_what_counts() {
        let text = patterns(&["# note", "", "/a ", "!b/", "\\#c"]).normal_text();
        assert_eq!(text.as_bstr(), "/a\n!b/\n#c\n");
        assert_eq!(patterns(&["/a", "!b/", "\\#c"]).normal_text(), text);
    }
}
