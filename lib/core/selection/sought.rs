//! What is looked for in all versions: a name at any depth, a path, or a pattern.

use std::collections::HashMap;

use super::{AskedError, anchored, below};
use crate::core::patterns::Patterns;
use crate::format::path::{Path, decode};

/// The place of a pattern among the readings, behind the name and its octal reading.
const PATTERN: u8 = 2;

/// Names and patterns that are looked for. It is shown the paths of all versions before it says
/// which of them are meant, because a name anywhere takes precedence over a pattern.
#[derive(Debug)]
pub struct Sought {
    typed: Vec<Vec<u8>>,
    /// Paths below the source.
    paths: HashMap<Path, Hits>,
    /// Names at any depth, each with whether only a directory is meant.
    names: HashMap<Vec<u8>, Vec<(PatternHit, bool)>>,
    patterns: Vec<(usize, Patterns)>,
    /// The first reading of each thing typed that a path had.
    best: Vec<Option<u8>>,
}

/// Which of the things typed a path is, and by which of their readings.
pub type Hits = Vec<PatternHit>;

/// One thing typed, by its place, and one of its readings: 0 the name, 1 its octal reading, 2 the
/// pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PatternHit {
    at: usize,
    reading: u8,
}

impl Sought {
    /// Reads what was typed; `source` is the path of the source, where it is known.
    ///
    /// # Errors
    /// The first that is no path below the root of the source.
    pub fn new(typed: &[Vec<u8>], source: Option<&[u8]>) -> Result<Sought, AskedError> {
        let mut sought = Sought {
            typed: typed.to_vec(),
            paths: HashMap::new(),
            names: HashMap::new(),
            patterns: Vec::new(),
            best: vec![None; typed.len()],
        };
        for (at, typed) in typed.iter().enumerate() {
            if typed.is_empty() {
                return Err(AskedError::Empty);
            }
            sought.add_name(PatternHit { at, reading: 0 }, typed, source);
            if typed.contains(&b'\\')
                && let Ok(raw) = decode(typed)
            {
                sought.add_name(PatternHit { at, reading: 1 }, &raw, source);
            }
            if typed.iter().any(|byte| b"*?[\\".contains(byte)) {
                let mut pattern = Patterns::default();
                pattern.add_name(&anchored(typed, source));
                sought.patterns.push((at, pattern));
            }
        }
        Ok(sought)
    }

    /// A name without a slash, but at its end, is looked for at any depth, as gitignore has it.
    fn add_name(&mut self, hit: PatternHit, raw: &[u8], source: Option<&[u8]>) {
        let mut name = raw;
        while let Some(shorter) = name.strip_suffix(b"/") {
            name = shorter;
        }
        if !name.is_empty() && !name.contains(&b'/') {
            let only_dir = name.len() < raw.len();
            self.names.entry(name.to_vec()).or_default().push((hit, only_dir));
            return;
        }
        // A slash before it stands for the source, too.
        let path = below(raw, source)
            .or_else(|error| Path::from_typed(raw.strip_prefix(b"/").ok_or(error)?));
        if let Ok(path) = path {
            self.paths.entry(path).or_default().push(hit);
        }
    }

    /// Looks at a path of a version.
    pub fn look_at(&mut self, path: &Path, is_dir: bool) -> Hits {
        let mut hits = self.paths.get(path).cloned().unwrap_or_default();
        let only_paths = self.names.is_empty() && self.patterns.is_empty();
        if !only_paths && !path.is_root() {
            let raw = path.raw();
            let start = raw.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
            let named = self.names.get(&raw[start..]).map_or(&[][..], Vec::as_slice);
            hits.extend(named.iter().filter(|(_, only)| is_dir || !only).map(|(hit, _)| *hit));
            let matched = self.patterns.iter().filter(|(_, list)| list.selects(&raw, is_dir));
            hits.extend(matched.map(|(at, _)| PatternHit { at: *at, reading: PATTERN }));
        }
        for PatternHit { at, reading } in &hits {
            let best = &mut self.best[*at];
            *best = Some(best.map_or(*reading, |best| best.min(*reading)));
        }
        hits
    }

    /// True if a path with these hits is meant, once all paths were shown.
    pub fn means(&self, hits: &Hits) -> bool {
        hits.iter().any(|hit| self.best[hit.at] == Some(hit.reading))
    }

    /// What was met nowhere, as it was typed.
    pub fn unseen(&self) -> impl Iterator<Item = &[u8]> {
        let unseen = self.typed.iter().zip(&self.best).filter(|(_, best)| best.is_none());
        unseen.map(|(typed, _)| typed.as_slice())
    }

    /// The patterns with braces that were met as patterns, or nowhere.
    pub fn with_braces(&self) -> impl Iterator<Item = &[u8]> {
        let open = |at: &usize| self.best[*at].is_none_or(|best| best == PATTERN);
        let lists = self.patterns.iter().filter(move |(at, _)| open(at));
        lists.flat_map(|(_, list)| list.with_braces())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(typed: &[&str], tree: &[&str]) -> Vec<String> {
        let typed: Vec<Vec<u8>> = typed.iter().map(|typed| typed.as_bytes().to_vec()).collect();
        let mut sought = Sought::new(&typed, Some(b"/home/me")).unwrap();
        let seen: Vec<(Path, Hits)> = tree
            .iter()
            .map(|raw| {
                let path = Path::from_raw(raw.trim_end_matches('/').as_bytes());
                let hits = sought.look_at(&path, raw.ends_with('/'));
                (path, hits)
            })
            .collect();
        let meant = seen.iter().filter(|(_, hits)| sought.means(hits));
        meant.map(|(path, _)| path.to_string()).collect()
    }

    #[test]
    fn names_paths_and_patterns() {
        let tree = ["", "a/", "a/x", "a/x.c", "b/", "b/a", "b/x", "x"];
        for (typed, paths) in [
            ("x", &["./a/x", "./b/x", "./x"][..]),
            ("/x", &["./x"]),
            ("./x", &["./x"]),
            ("/home/me/b/x", &["./b/x"]),
            ("a/x", &["./a/x"]),
            ("a", &["./a", "./b/a"]),
            ("a/", &["./a"]),
            ("*.c", &["./a/x.c"]),
            ("/home/me/*/x", &["./a/x", "./b/x"]),
            ("b/[ax]", &["./b/a", "./b/x"]),
            ("\\170", &["./a/x", "./b/x", "./x"]),
            ("none", &[]),
            ("../x", &[]),
        ] {
            assert_eq!(found(&[typed], &tree), paths, "{typed}");
        }
        assert_eq!(found(&["*.c", "b/x"], &tree), ["./a/x.c", "./b/x"]);
    }

    #[test]
    fn a_name_goes_before_a_pattern() {
        assert_eq!(found(&["[x]"], &["d/[x]", "x"]), ["./d/\\133x]"]);
        assert_eq!(found(&["[x]"], &["d/y", "x"]), ["./x"]);
        assert_eq!(found(&["\\052"], &["*", "\\052"]), ["./\\134052"]);
        assert_eq!(found(&["\\052"], &["*", "x"]), ["./\\052"]);
    }
}
