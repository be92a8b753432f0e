//! Where a directory is, whether it is there yet or not.

use std::path::{Path, PathBuf};

/// The path without symbolic links; of one that is not there, as far as it is.
pub fn resolve(dir: &Path) -> Option<PathBuf> {
    let dir = std::path::absolute(dir).ok()?;
    dir.ancestors().find_map(|there| {
        let rest = dir.strip_prefix(there).ok()?;
        // Joining nothing would leave a slash behind.
        Some(there.canonicalize().ok()?.join(rest).components().collect())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_has_one_name_whether_it_is_there_or_not() {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().canonicalize().unwrap();
        std::fs::create_dir(top.join("there")).unwrap();
        std::os::unix::fs::symlink("there", top.join("link")).unwrap();
        for (named, whole) in
            [("there", "there"), ("link/", "there"), ("link/none/x/", "there/none/x"), (".", "")]
        {
            let found = resolve(&top.join(named)).unwrap().into_os_string();
            let whole: PathBuf = top.join(whole).components().collect();
            assert_eq!(found, whole.into_os_string(), "{named}");
        }
    }
}
