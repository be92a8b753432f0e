//! What `--exclude` leaves out and `--only-from` lets in: gitignore patterns relative to the
//! source.

use std::io::{BufRead, BufReader, Read};
use std::path::Path as FsPath;

use anyhow::{Context, anyhow};
use ignore::gitignore::{Gitignore, GitignoreBuilder};

/// The patterns of a run.
#[derive(Debug)]
pub(super) struct Masks {
    exclude: Gitignore,
    only: Option<Gitignore>,
}

impl Masks {
    /// Reads all patterns; those of `--exclude` come before those of files, and the last that
    /// matches decides.
    pub(super) fn load(
        root: &FsPath,
        exclude: &[String],
        exclude_from: &[std::path::PathBuf],
        only_from: Option<&FsPath>,
    ) -> anyhow::Result<Masks> {
        let mut builder = GitignoreBuilder::new(root);
        for pattern in exclude {
            builder.add_line(None, pattern).with_context(|| format!("--exclude {pattern}"))?;
        }
        for file in exclude_from {
            add_file(&mut builder, file)?;
        }
        let exclude = builder.build().context("--exclude")?;
        let only = match only_from {
            Some(file) => {
                let mut builder = GitignoreBuilder::new(root);
                add_file(&mut builder, file)?;
                Some(builder.build().context("--only-from")?)
            }
            None => None,
        };
        Ok(Masks { exclude, only })
    }

    /// True if there is an `--only-from`.
    pub(super) fn has_only(&self) -> bool {
        self.only.is_some()
    }

    /// True if the entry is left out. Its directory was not, so only the entry itself is asked
    /// about.
    pub(super) fn excludes(&self, raw: &FsPath, is_dir: bool) -> bool {
        self.exclude.matched(raw, is_dir).is_ignore()
    }

    /// True if the entry, or a directory above it, is let in.
    pub(super) fn selects(&self, raw: &FsPath, is_dir: bool) -> bool {
        self.only
            .as_ref()
            .is_none_or(|only| only.matched_path_or_any_parents(raw, is_dir).is_ignore())
    }
}

fn add_file(builder: &mut GitignoreBuilder, file: &FsPath) -> anyhow::Result<()> {
    let shown = file.display();
    let input: Box<dyn Read> = match file.as_os_str().as_encoded_bytes() {
        b"-" => Box::new(std::io::stdin()),
        _ => Box::new(std::fs::File::open(file).with_context(|| shown.to_string())?),
    };
    for (number, line) in BufReader::new(input).split(b'\n').enumerate() {
        let number = number + 1;
        let mut line = line.with_context(|| shown.to_string())?;
        line.pop_if(|last| *last == b'\r');
        let line =
            String::from_utf8(line).map_err(|_| anyhow!("{shown}: line {number} is not UTF-8"))?;
        builder.add_line(None, &line).with_context(|| format!("{shown}: line {number}"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masks(exclude: &[&str]) -> Masks {
        let exclude: Vec<String> = exclude.iter().map(|pattern| (*pattern).to_owned()).collect();
        Masks::load(FsPath::new("/src"), &exclude, &[], None).unwrap()
    }

    #[test]
    fn gitignore_syntax() {
        let masks = masks(&["*.o", "/top", "cache/", "!keep.o", "a/**/z", "# no", "new\\ line"]);
        for (path, is_dir, left_out) in [
            ("x.o", false, true),
            ("deep/down/x.o", false, true),
            ("keep.o", false, false),
            ("top", true, true),
            ("sub/top", true, false),
            ("sub/cache", true, true),
            ("sub/cache", false, false),
            ("a/b/c/z", false, true),
            ("new line", false, true),
            ("# no", false, false),
            ("odd\nname.o", false, true),
        ] {
            assert_eq!(masks.excludes(FsPath::new(path), is_dir), left_out, "{path}");
        }
    }

    #[test]
    fn names_need_not_be_utf8() {
        use std::os::unix::ffi::OsStrExt;
        let name = FsPath::new(std::ffi::OsStr::from_bytes(b"\xff\xfe.o"));
        assert!(masks(&["*.o"]).excludes(name, false) && !masks(&["*.c"]).excludes(name, false));
    }

    #[test]
    fn bad_patterns_are_told() {
        assert!(Masks::load(FsPath::new("/"), &["a{b".into()], &[], None).is_err());
        assert!(
            Masks::load(FsPath::new("/"), &[], &["/no/such/file".into()], None)
                .unwrap_err()
                .to_string()
                .contains("/no/such/file")
        );
    }
}
