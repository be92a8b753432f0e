//! What of a version is asked for: names as people write them, patterns, and what is left out.
//!
//! Names are sorted, and the entries of a version are too, so both sides are merged: many names
//! cost as little as one.

use std::collections::BTreeSet;

use super::patterns::Patterns;
use crate::format::path::{Path, PathError, decode};

pub mod sought;

/// How what a person typed can be meant. The first name that the version has is meant; what is no
/// name there is a pattern.
#[derive(Debug)]
pub struct Readings {
    /// The name as it stands.
    pub literal: Option<Path>,
    /// The name with its octal escapes undone, which is how Dura prints names.
    pub octal: Option<Path>,
    /// What it selects as a pattern in gitignore syntax, if it has a mark of one.
    pub pattern: Option<Patterns>,
}

/// Why something can not be asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AskedError {
    /// It has no bytes.
    #[error("the path is empty")]
    Empty,
    /// It has a `..`, or is an absolute path that is not below the source.
    #[error("{0}: not a path below the source: write ./a/b")]
    Elsewhere(String),
}

impl Readings {
    /// Reads what a person typed. `source` is the path of the source, where it is known: absolute
    /// paths below it are taken too.
    ///
    /// # Errors
    /// If it is no path below the root of the source.
    pub fn new(typed: &[u8], source: Option<&[u8]>) -> Result<Readings, AskedError> {
        if typed.is_empty() {
            return Err(AskedError::Empty);
        }
        let decoded = if typed.contains(&b'\\') { decode(typed).ok() } else { None };
        let literal = below(typed, source).ok();
        let octal = decoded.and_then(|raw| below(&raw, source).ok());
        let pattern = typed.iter().any(|byte| b"*?[".contains(byte)).then(|| {
            let mut pattern = Patterns::default();
            pattern.add_name(&anchored(typed, source));
            pattern
        });
        if literal.is_none() && octal.is_none() && pattern.is_none() {
            return Err(AskedError::Elsewhere(String::from_utf8_lossy(typed).into_owned()));
        }
        Ok(Readings { literal, octal, pattern })
    }

    /// True if only the version can tell what is meant.
    fn is_open(&self) -> bool {
        self.octal.is_some() || self.pattern.is_some()
    }

    /// The names that it can stand for, the likelier one first.
    pub fn names(&self) -> impl Iterator<Item = &Path> {
        self.literal.iter().chain(&self.octal)
    }
}

/// The path below the source that raw bytes name.
fn below(raw: &[u8], source: Option<&[u8]>) -> Result<Path, PathError> {
    let Some(absolute) = raw.strip_prefix(b"/") else { return Path::from_typed(raw) };
    let source = source.and_then(|source| source.strip_prefix(b"/"));
    let source = Path::from_typed(source.ok_or(PathError::NotRelative)?)?;
    Path::from_typed(absolute)?.seen_from(&source).ok_or(PathError::NotRelative)
}

/// A pattern as gitignore has it: what begins with `./`, or with the path of the source, begins
/// with `/` there.
pub fn anchored(typed: &[u8], source: Option<&[u8]>) -> Vec<u8> {
    let source = source.map(|source| source.strip_suffix(b"/").unwrap_or(source));
    let inside = source
        .and_then(|source| typed.strip_prefix(source))
        .filter(|rest| typed.first() == Some(&b'/') && rest.first() == Some(&b'/'));
    let mut rest = inside.unwrap_or(typed);
    let mut line = Vec::with_capacity(typed.len());
    while let Some(shorter) = rest.strip_prefix(b"./").or_else(|| rest.strip_prefix(b"/")) {
        rest = shorter;
        line = b"/".to_vec();
    }
    for &byte in rest {
        if !(byte == b'/' && line.last() == Some(&b'/')) {
            line.push(byte);
        }
    }
    line
}

/// One thing that was asked for.
#[derive(Debug, Clone)]
struct Request {
    typed: Vec<u8>,
    pattern: Option<Patterns>,
    seen: bool,
}

/// What is wanted. Asked about the entries of a version in canonical order.
#[derive(Debug, Clone)]
pub struct Selection {
    asked: Vec<Request>,
    /// The names among them, sorted, each with its place in `asked`.
    names: Vec<(Path, usize)>,
    /// The first name that no entry has reached.
    next: usize,
    /// The places of the patterns in `asked`.
    patterns: Vec<usize>,
    exclude: Patterns,
    /// What was asked for and holds the entry that came last, from the top.
    inside: Vec<Path>,
    /// The directory that is left out, while the walk is below it.
    outside: Option<Path>,
    /// Comparisons of paths so far.
    compared: u64,
}

/// The names whose presence decides how something is meant, sorted.
pub fn undecided(asked: &[(Vec<u8>, Readings)]) -> Vec<Path> {
    let open = asked.iter().filter(|(_, readings)| readings.is_open());
    let names: BTreeSet<&Path> = open.flat_map(|(_, readings)| readings.names()).collect();
    names.into_iter().cloned().collect()
}

impl Selection {
    /// What was typed, how it can be meant, and which of the [`undecided`] names are there.
    pub fn new(
        typed: Vec<(Vec<u8>, Readings)>,
        exclude: Patterns,
        there: &BTreeSet<Path>,
    ) -> Selection {
        let (mut asked, mut names, mut patterns) = (Vec::new(), Vec::new(), Vec::new());
        for (typed, readings) in typed {
            let open = readings.is_open();
            let found = readings.names().find(|name| !open || there.contains(*name)).cloned();
            let pattern = if found.is_none() { readings.pattern } else { None };
            // What is nowhere and is no pattern is looked for under its likelier name, and missed.
            let name = match &pattern {
                Some(_) => None,
                None => found.or(readings.octal).or(readings.literal),
            };
            names.extend(name.map(|name| (name, asked.len())));
            patterns.extend(pattern.is_some().then_some(asked.len()));
            asked.push(Request { typed, pattern, seen: false });
        }
        names.sort();
        Selection {
            asked,
            names,
            next: 0,
            patterns,
            exclude,
            inside: Vec::new(),
            outside: None,
            compared: 0,
        }
    }

    /// The paths that were asked for, sorted, if nothing but paths below the root was.
    pub fn paths(&self) -> Option<Vec<Path>> {
        let all = self.asked.is_empty() || !self.patterns.is_empty();
        let root = self.names.first().is_some_and(|(name, _)| name.is_root());
        (!all && !root).then(|| self.names.iter().map(|(name, _)| name.clone()).collect())
    }

    /// True if an entry is wanted.
    pub fn wants(&mut self, path: &Path, is_dir: bool) -> bool {
        self.compared += 1;
        while self.inside.last().is_some_and(|dir| !dir.holds(path)) {
            self.inside.pop();
            self.compared += 1;
        }
        while let Some((name, at)) = self.names.get(self.next)
            && name <= path
        {
            if name == path || name.holds(path) {
                self.asked[*at].seen = true;
                if self.inside.last() != Some(name) {
                    self.inside.push(name.clone());
                }
            }
            self.next += 1;
            self.compared += 2;
        }
        if self.outside.as_ref().is_some_and(|dir| dir.holds(path)) {
            return false;
        }
        self.outside = None;
        if self.patterns.is_empty() && self.exclude.is_empty() {
            return self.asked.is_empty() || !self.inside.is_empty();
        }
        let raw = path.raw();
        if !path.is_root() && self.exclude.selects(&raw, is_dir) {
            self.outside = is_dir.then(|| path.clone());
            return false;
        }
        for &at in &self.patterns {
            let asked = &mut self.asked[at];
            let pattern = asked.pattern.as_ref();
            if !path.is_root() && pattern.is_some_and(|pattern| pattern.selects(&raw, is_dir)) {
                asked.seen = true;
                if self.inside.last() != Some(path) {
                    self.inside.push(path.clone());
                }
            }
        }
        self.asked.is_empty() || !self.inside.is_empty()
    }

    /// The deepest of what was asked for that is, or holds, the entry that came last.
    pub fn innermost(&self) -> Option<&Path> {
        self.inside.last()
    }

    /// What was asked for and is nowhere, as it was typed.
    pub fn unseen(&self) -> impl Iterator<Item = &[u8]> {
        self.asked.iter().filter(|asked| !asked.seen).map(|asked| asked.typed.as_slice())
    }

    /// True if something was asked for, and nothing of it is there.
    pub fn found_nothing(&self) -> bool {
        !self.asked.is_empty() && !self.asked.iter().any(|asked| asked.seen)
    }

    /// The patterns with braces, among those that were asked for and those that leave out.
    pub fn with_braces(&self) -> impl Iterator<Item = &[u8]> {
        let asked = self.asked.iter().filter_map(|asked| asked.pattern.as_ref());
        asked.chain([&self.exclude]).flat_map(Patterns::with_braces)
    }

    /// How many comparisons of paths it has made.
    #[cfg(test)]
    pub fn compared(&self) -> u64 {
        self.compared
    }
}

/// Paths, so sorted that it is quick to tell which spans of a sorted whole concern them.
#[derive(Debug)]
pub struct PathSet {
    /// Sorted, and none below another.
    tops: Vec<Path>,
    /// The directories above them, sorted.
    above: Vec<Path>,
}

impl PathSet {
    /// A set of these paths, with all below them.
    pub fn new(paths: &[Path]) -> PathSet {
        let mut sorted: Vec<&Path> = paths.iter().collect();
        sorted.sort();
        let mut tops: Vec<Path> = Vec::new();
        for path in sorted {
            if tops.last().is_none_or(|last| last != path && !last.holds(path)) {
                tops.push(path.clone());
            }
        }
        let mut above = BTreeSet::new();
        for path in &tops {
            let mut dir = path.parent();
            // Where one is known, those above it are.
            while let Some(known) = dir.filter(|dir| !above.contains(dir)) {
                dir = known.parent();
                above.insert(known);
            }
        }
        PathSet { tops, above: above.into_iter().collect() }
    }

    /// Whether a path's place among sorted lines, or that of something below it, is from `first` to
    /// before `next`.
    pub fn lies_in(&self, first: &Path, next: Option<&Path>) -> bool {
        let at = self.tops.partition_point(|path| path < first);
        starts_before(&self.tops[at..], next) || at > 0 && self.tops[at - 1].holds(first)
    }

    /// The same, or that of a directory above it.
    pub fn concerns(&self, first: &Path, next: Option<&Path>) -> bool {
        let at = self.above.partition_point(|dir| dir < first);
        self.lies_in(first, next) || starts_before(&self.above[at..], next)
    }
}

fn starts_before(paths: &[Path], next: Option<&Path>) -> bool {
    paths.first().is_some_and(|path| next.is_none_or(|next| path < next))
}

#[cfg(test)]
mod tests;
