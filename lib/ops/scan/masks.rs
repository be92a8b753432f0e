//! What `--exclude` leaves out and `--only-from` lets in: gitignore patterns relative to the
//! source.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path as FsPath;

use anyhow::bail;
use bstr::ByteSlice;
use sha2::{Digest as _, Sha256};

use crate::core;
use crate::core::patterns::Patterns;
use crate::core::selection::anchored;
use crate::format::digest::Digest;
use crate::format::path::shown;
use crate::ops::asked::{self, read_file};
use crate::ops::scan::seen::ScanVerdict;
use crate::ops::scan::{Options, apps};
use crate::report::message::Report;

/// The patterns of a run.
#[derive(Debug)]
pub(super) struct Masks {
    exclude: Patterns,
    only: Option<Only>,
}

/// What `--only-from` has.
#[derive(Debug, Default)]
struct Only {
    patterns: Patterns,
    /// True if a line names the source itself.
    all: bool,
}

impl Only {
    fn add_line(&mut self, line: &[u8], source: &mut SourcePaths) {
        if source.is(line) {
            self.all = true;
        } else {
            self.patterns.add_line(&source.plain(line));
        }
    }
}

/// The source, as patterns name it: its path, and others by way of symbolic links, as they come.
struct SourcePaths {
    names: Vec<Vec<u8>>,
}

impl SourcePaths {
    fn new(root: &FsPath) -> SourcePaths {
        SourcePaths { names: vec![root.as_os_str().as_bytes().to_vec()] }
    }

    /// A pattern in gitignore syntax, of what people and find(1) write: `./x`, `x//`, or an
    /// absolute path below the source.
    fn plain(&mut self, line: &[u8]) -> Vec<u8> {
        if line.starts_with(b"#") {
            return Vec::new();
        }
        let (not, typed) = line.strip_prefix(b"!").map_or((&b""[..], line), |it| (&b"!"[..], it));
        let mut name = typed.to_vec();
        name.dedup_by(|next, byte| *next == b'/' && *byte == b'/');
        let own = self.name_in(&name);
        // A pattern that does not begin so is no name: it means what it means to git.
        let is_name = own.is_some() || name.starts_with(b"./");
        match is_name || !name.iter().any(|byte| b"*?[\\".contains(byte)) {
            true => [not, anchored(&name, own).as_slice()].concat(),
            false => line.to_vec(),
        }
    }

    /// True for a line that stands for the source itself.
    fn is(&mut self, line: &[u8]) -> bool {
        let trimmed = |name: &[u8]| name.trim_end_with(|end| end == '/').to_vec();
        let name = trimmed(line.trim_end());
        line.starts_with(b"/") && self.name_in(&name).is_some_and(|own| trimmed(own) == name)
            || line.starts_with(b".")
                && name.split(|byte| *byte == b'/').all(|part| part == b"." || part.is_empty())
    }

    /// The name of the source with which an absolute path begins.
    fn name_in(&mut self, path: &[u8]) -> Option<&[u8]> {
        let begins = |name: &Vec<u8>| {
            let rest = path.strip_prefix(name.trim_end_with(|end| end == '/'));
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
        };
        if path.starts_with(b"/") && !self.names.iter().any(begins) {
            let root = FsPath::new(OsStr::from_bytes(&self.names[0])).to_owned();
            self.names.extend(other_name(FsPath::new(OsStr::from_bytes(path)), &root));
        }
        self.names.iter().find(|name| begins(name)).map(Vec::as_slice)
    }
}

/// The beginning of a path that leads to the source by way of symbolic links.
fn other_name(path: &FsPath, root: &FsPath) -> Option<Vec<u8>> {
    let mut above: Vec<&FsPath> = path.ancestors().collect();
    above.reverse();
    let there = above.into_iter().map_while(|dir| Some((dir, dir.canonicalize().ok()?)));
    let mut same = there.filter(|(_, real)| real == root);
    same.next().map(|(dir, _)| dir.as_os_str().as_bytes().to_vec())
}

impl Masks {
    /// Reads all patterns: those of `--exclude-apps` come first, then those of `--exclude`, then
    /// those of files, and the last that matches decides. `root` is the path of the source, without
    /// links: a pattern may begin with it.
    pub(super) fn load(root: &FsPath, options: &Options, report: &Report) -> anyhow::Result<Masks> {
        let mut source = SourcePaths::new(root);
        let mut patterns = Patterns::default();
        for list in options.exclude_apps.as_deref().map_or(Ok(Vec::new()), apps::chosen)? {
            let own = root.as_os_str().as_bytes();
            core::apps::patterns(list.as_bytes(), own).for_each(|line| patterns.add_line(line));
        }
        for pattern in &options.exclude {
            patterns.add_line(&source.plain(pattern.as_bytes()));
        }
        for file in &options.exclude_from {
            let text = read_file(file)?;
            lines(&text).for_each(|line| patterns.add_line(&source.plain(line)));
        }
        let mut only = None;
        if let Some(file) = options.only_from.as_deref() {
            let text = read_file(file)?;
            let mut mask = Only::default();
            for line in lines(&text) {
                mask.add_line(line, &mut source);
            }
            only = Some(mask);
        }
        let lists = [&patterns].into_iter().chain(only.as_ref().map(|only| &only.patterns));
        asked::tell_of_braces(lists.flat_map(Patterns::with_braces), report);
        Ok(Masks { exclude: patterns, only })
    }

    /// True if there is an `--only-from`.
    pub(super) fn has_only(&self) -> bool {
        self.only.is_some()
    }

    /// True if an answer depends on the path.
    pub(super) fn are_some(&self) -> bool {
        self.has_only() || !self.exclude.is_empty()
    }

    /// True if the source itself is let in, with all that is in it.
    pub(super) fn select_all(&self) -> bool {
        self.only.as_ref().is_none_or(|only| only.all)
    }

    /// True if the entry is left out. Its directory was not, so only the entry itself is asked
    /// about.
    pub(super) fn excludes(&self, raw: &[u8], is_dir: bool) -> bool {
        self.exclude.selects(raw, is_dir)
    }

    /// How an entry is listed, and whether it is let in; none if it is left out. `above` says
    /// whether its directory is let in.
    pub(super) fn judge(
        &self,
        raw: &[u8],
        is_dir: bool,
        above: bool,
    ) -> Option<(ScanVerdict, bool)> {
        if self.excludes(raw, is_dir) {
            return None;
        }
        let Some(only) = &self.only else { return Some((ScanVerdict::List, true)) };
        let selected = only.patterns.verdict(raw, is_dir).unwrap_or(above);
        Some((if selected { ScanVerdict::List } else { ScanVerdict::IfBelow }, selected))
    }

    /// What tells this mask from others: the SHA-256 of its patterns, one a line. Their order
    /// counts only where one takes another back.
    pub(super) fn digest(&self) -> Option<Digest> {
        let only = self.only.as_ref()?;
        let mut text = only.patterns.normal_text();
        if only.all {
            text.extend(b"/\n");
        }
        let mut lines: Vec<&[u8]> = text.lines_with_terminator().collect();
        if !lines.iter().any(|line| line.starts_with(b"!")) {
            lines.sort_unstable();
            lines.dedup();
        }
        Some(Sha256::digest(lines.concat()).into())
    }

    /// Says which patterns matched nothing in the whole source; fails if that is all of a mask. Of
    /// a part of the source, nobody knows.
    pub(super) fn tell(&self, whole: bool, report: &Report) -> anyhow::Result<()> {
        let only = self.only.as_ref();
        for list in [&self.exclude].into_iter().chain(only.map(|only| &only.patterns)) {
            for pattern in list.unmatched() {
                report.verbose(format_args!("pattern {}: matched nothing", shown(pattern)));
            }
        }
        match only {
            Some(only) if only.patterns.is_empty() && !only.all => {
                report.note("--only-from: contains no patterns: listing only the source itself");
            }
            Some(only) if whole && !only.patterns.any_matched() && !only.all => {
                bail!("--only-from: none of its patterns matches anything in the source")
            }
            _ => {}
        }
        Ok(())
    }
}

/// The lines of a file of patterns; a byte order mark is none of them.
fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text).lines()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only(lines: &str) -> Masks {
        let (mut mask, mut source) = (Only::default(), SourcePaths::new(FsPath::new("/src")));
        for line in self::lines(lines.as_bytes()) {
            mask.add_line(line, &mut source);
        }
        Masks { exclude: Patterns::default(), only: Some(mask) }
    }

    #[test]
    fn spellings_mean_what_they_plainly_mean() {
        for (line, path, is_dir, selected) in [
            ("./x", "x", false, true),
            ("./x", "d/x", false, false),
            ("\u{feff}./x\r", "x", false, true),
            ("/src/d/x", "d/x", false, true),
            ("/src/d//", "d", true, true),
            ("//src//d/x", "d/x", false, true),
            ("!/src/d/x", "d/x", false, false),
            ("d//x", "d/x", false, true),
            ("x//", "x", true, true),
            ("x//", "x", false, false),
            ("!./x", "x", false, false),
            ("# ./x", "x", false, false),
            ("./d//*", "d/x", false, true),
            ("/src//d/?", "d/x", false, true),
            // What git takes for a pattern that matches nothing.
            ("d//*", "d/x", false, false),
            ("**//x", "d/x", false, false),
            ("!./*", "x", false, false),
            ("/srcx", "x", false, false),
        ] {
            let judged = only(line).judge(path.as_bytes(), is_dir, false);
            assert_eq!(judged.map(|(_, selected)| selected), Some(selected), "{line} {path}");
        }
        for line in [".", "./", ".//", "/src", "/src/", "./.", ".\r"] {
            assert!(only(line).select_all(), "{line}");
        }
        for line in ["..", ".x", "./x", "/srcx", "", "#.", "x/."] {
            assert!(!only(line).select_all(), "{line}");
        }
    }

    #[test]
    fn what_is_below_goes_with_its_directory() {
        let masks = only("/a\n!/a/b\n");
        let judge = |path: &str, above| masks.judge(path.as_bytes(), true, above);
        assert_eq!(judge("a", false), Some((ScanVerdict::List, true)));
        assert_eq!(judge("a/x", true), Some((ScanVerdict::List, true)));
        assert_eq!(judge("a/b", true), Some((ScanVerdict::IfBelow, false)));
        assert_eq!(judge("c", false), Some((ScanVerdict::IfBelow, false)));
    }

    #[test]
    fn one_mask_has_one_digest() {
        let same =
            ["/a\nb/\n", "b/\n./a\n", "# x\n/src/a\n\nb//\n/a\n"].map(|text| only(text).digest());
        assert!(same.iter().all(|digest| *digest == same[0] && digest.is_some()));
        assert_ne!(only("/a\n").digest(), same[0]);
        assert_ne!(only("/a\n!/b\n").digest(), only("!/b\n/a\n").digest());
        assert_ne!(only(".\n").digest(), only("").digest());
    }
}
