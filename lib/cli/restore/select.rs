//! What of a version is wanted: paths, patterns, and what is to be left out.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path as FsPath;

use anyhow::{Context, anyhow, bail};
use ignore::gitignore::{Gitignore, GitignoreBuilder};

use super::super::message::Report;
use crate::format::entry::{Entry, Kind};
use crate::format::path::Path;

/// What a person asked for.
#[derive(Debug)]
struct Asked {
    typed: String,
    what: What,
    seen: bool,
}

#[derive(Debug)]
enum What {
    /// A path with all below it.
    Exact(Path),
    /// What matches, with all below it.
    Pattern(Gitignore),
}

/// What is wanted. Asked about the entries in canonical order.
#[derive(Debug)]
pub(super) struct Selection {
    asked: Vec<Asked>,
    exclude: Gitignore,
    /// The directory that matched a pattern, while the walk is below it.
    inside: Option<Path>,
    /// The directory that is left out, while the walk is below it.
    outside: Option<Path>,
}

impl Selection {
    /// Reads paths and patterns. `is_there` tells whether the version has a path: a name with `*`
    /// may be just that.
    pub(super) fn new(
        paths: &[OsString],
        exclude: &[String],
        is_there: &mut dyn FnMut(&Path) -> anyhow::Result<bool>,
    ) -> anyhow::Result<Selection> {
        let mut builder = GitignoreBuilder::new("/");
        for pattern in exclude {
            builder.add_line(None, pattern).with_context(|| format!("--exclude {pattern}"))?;
        }
        let exclude = builder.build().context("--exclude")?;
        let mut asked = Vec::new();
        for typed in paths {
            let raw = typed.as_bytes();
            let shown = typed.display().to_string();
            if raw.is_empty() {
                bail!("an empty path names nothing");
            }
            let exact = Path::from_typed(raw)
                .map_err(|_| anyhow!("{shown}: not a path below the source: it is written ./a/b"));
            let globs = raw.iter().any(|byte| b"*?[".contains(byte));
            let what = match exact {
                Ok(path) if !globs || is_there(&path)? => What::Exact(path),
                Err(error) if !globs => return Err(error),
                _ => What::Pattern(pattern(&shown)?),
            };
            asked.push(Asked { typed: shown, what, seen: false });
        }
        Ok(Selection { asked, exclude, inside: None, outside: None })
    }

    /// The paths that were asked for, if nothing but paths was.
    pub(super) fn paths(&self) -> Option<Vec<Path>> {
        let path = |asked: &Asked| match &asked.what {
            What::Exact(path) if !path.is_root() => Some(path.clone()),
            _ => None,
        };
        let paths: Option<Vec<Path>> = self.asked.iter().map(path).collect();
        paths.filter(|paths| !paths.is_empty())
    }

    /// True if the entry is wanted.
    pub(super) fn wants(&mut self, entry: &Entry) -> bool {
        let (path, is_dir) = (&entry.path, entry.kind == Kind::Dir);
        if self.outside.as_ref().is_some_and(|dir| dir.holds(path)) {
            return false;
        }
        self.outside = None;
        if self.asked.is_empty() && self.exclude.is_empty() {
            return true;
        }
        let raw = path.raw();
        let raw = FsPath::new(OsStr::from_bytes(&raw));
        if !path.is_root() && self.exclude.matched(raw, is_dir).is_ignore() {
            self.outside = is_dir.then(|| path.clone());
            return false;
        }
        let mut wanted =
            self.asked.is_empty() || self.inside.as_ref().is_some_and(|dir| dir.holds(path));
        for asked in &mut self.asked {
            let found = match &asked.what {
                What::Exact(exact) => exact == path || exact.holds(path),
                What::Pattern(pattern) => {
                    !path.is_root() && pattern.matched(raw, is_dir).is_ignore()
                }
            };
            asked.seen |= found;
            wanted |= found;
            if found && is_dir && self.inside.as_ref().is_none_or(|dir| !dir.holds(path)) {
                self.inside = Some(path.clone());
            }
        }
        wanted
    }

    /// Tells of what was not found; fails if nothing was.
    pub(super) fn finish(&self, report: &Report) -> anyhow::Result<()> {
        for asked in self.asked.iter().filter(|asked| !asked.seen) {
            report.warn(format_args!("{}: not in this version", asked.typed));
        }
        if !self.asked.is_empty() && !self.asked.iter().any(|asked| asked.seen) {
            bail!("nothing of what was asked for is in this version");
        }
        Ok(())
    }
}

/// A pattern in gitignore syntax; `./` before it stands for the root, as it does before a path.
fn pattern(typed: &str) -> anyhow::Result<Gitignore> {
    let line = match typed.strip_prefix("./") {
        Some(rest) => format!("/{rest}"),
        // These begin a name here, not a comment or an exception.
        None if typed.starts_with(['!', '#']) => format!("\\{typed}"),
        None => typed.to_owned(),
    };
    let mut builder = GitignoreBuilder::new("/");
    builder.add_line(None, &line).with_context(|| typed.to_owned())?;
    builder.build().with_context(|| typed.to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::super::super::core::merge::tests::sample::entry;
    use super::*;

    const TREE: [&str; 9] = [
        ". dir",
        "./a dir",
        "./a/n.c file",
        "./a/sub dir",
        "./a/sub/m.c file",
        "./a/sub/x file",
        "./b.c dir",
        "./b.c/y file",
        "./c\\052 file",
    ];

    fn wanted(paths: &[&str], exclude: &[&str]) -> Vec<String> {
        let paths: Vec<OsString> = paths.iter().map(OsString::from).collect();
        let exclude: Vec<String> = exclude.iter().map(|&pattern| pattern.to_owned()).collect();
        let mut is_there = |path: &Path| Ok(TREE.iter().any(|line| entry(line).path == *path));
        let mut selection = Selection::new(&paths, &exclude, &mut is_there).unwrap();
        TREE.iter()
            .map(|line| entry(line))
            .filter(|entry| selection.wants(entry))
            .map(|entry| entry.path.to_string())
            .collect()
    }

    #[test]
    fn paths_and_patterns() {
        assert_eq!(wanted(&[], &[]).len(), TREE.len());
        assert_eq!(wanted(&["a/sub/"], &[]), ["./a/sub", "./a/sub/m.c", "./a/sub/x"]);
        assert_eq!(wanted(&["./a/n.c", "a/sub/x"], &[]), ["./a/n.c", "./a/sub/x"]);
        assert_eq!(wanted(&["*.c"], &[]), ["./a/n.c", "./a/sub/m.c", "./b.c", "./b.c/y"]);
        assert_eq!(wanted(&["./*.c"], &[]), ["./b.c", "./b.c/y"]);
        assert_eq!(wanted(&["a/*/"], &[]), ["./a/sub", "./a/sub/m.c", "./a/sub/x"]);
        // A name that is there is no pattern.
        assert_eq!(wanted(&["c*"], &[]), ["./c\\052"]);
        assert_eq!(wanted(&["a"], &["sub"]), ["./a", "./a/n.c"]);
        assert_eq!(wanted(&[], &["*", "!/a", "!*.c"]), [".", "./a", "./a/n.c", "./b.c"]);
    }

    #[test]
    fn what_cannot_be_asked_for() {
        for bad in ["/etc", "../x", ""] {
            assert!(Selection::new(&[bad.into()], &[], &mut |_| Ok(false)).is_err(), "{bad}");
        }
    }
}
