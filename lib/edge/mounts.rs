//! Where else a directory can be seen: bind mounts, and other mounts of its file system.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The names of a directory: the given one, which has no symbolic links in it and need not be there
/// yet, and those under which other mounts show it.
pub fn names(dir: PathBuf) -> Vec<PathBuf> {
    let identity = |path: &Path| {
        let stat = std::fs::metadata(path).ok()?;
        Some((stat.dev(), stat.ino()))
    };
    let mounts = std::fs::read("/proc/self/mountinfo").unwrap_or_default();
    let there = identity(&dir);
    let mut names = others(&mounts, &dir);
    // Something else may be mounted over it there.
    names.retain(|name| there.is_none() || identity(name) == there);
    names.insert(0, dir);
    names
}

/// A line of `/proc/self/mountinfo`.
struct Mount {
    device: Vec<u8>,
    /// What of the file system is mounted.
    root: PathBuf,
    /// Where.
    at: PathBuf,
}

impl Mount {
    fn parse(line: &[u8]) -> Option<Mount> {
        let mut words = line.split(|byte| *byte == b' ').skip(2);
        let device = words.next()?.to_vec();
        let (root, at) = (unescape(words.next()?), unescape(words.next()?));
        // Of some file systems the root has no path.
        (root.is_absolute() && at.is_absolute()).then_some(Mount { device, root, at })
    }
}

/// Blanks, ends of lines and backslashes are `\` and three octal digits.
fn unescape(word: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(word.len());
    let mut rest = word;
    while let Some((&byte, after)) = rest.split_first() {
        let digits = after.get(..3).filter(|_| byte == b'\\');
        let code = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        let code = code.and_then(|digits| u8::from_str_radix(digits, 8).ok());
        bytes.push(code.unwrap_or(byte));
        rest = if code.is_some() { &after[3..] } else { after };
    }
    PathBuf::from(OsString::from_vec(bytes))
}

/// The other names of a directory in these mounts.
fn others(mounts: &[u8], dir: &Path) -> Vec<PathBuf> {
    let mounts: Vec<Mount> = mounts.split(|byte| *byte == b'\n').filter_map(Mount::parse).collect();
    let above = mounts.iter().filter_map(|mount| Some((mount, dir.strip_prefix(&mount.at).ok()?)));
    // The innermost; of several in one place the last, which lies on top.
    let Some((own, below)) = above.max_by_key(|(mount, _)| mount.at.components().count()) else {
        return Vec::new();
    };
    let inside = own.root.join(below);
    let same = mounts.iter().filter(|mount| mount.device == own.device);
    let seen = same.filter_map(|mount| Some(mount.at.join(inside.strip_prefix(&mount.root).ok()?)));
    // Without the slash that joining nothing leaves behind.
    seen.map(|path| path.components().collect()).filter(|path| path != dir).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "22 1 254:0 / / rw - ext4 /dev/vda rw\n\
        23 22 0:21 / /proc rw - proc proc rw\n\
        30 22 254:0 /back/arc /home/me/with\\040blank rw shared:1 - ext4 /dev/vda rw\n\
        31 22 254:0 /back /srv rw - ext4 /dev/vda rw\n\
        32 22 254:0 / /mnt/whole rw - ext4 /dev/vda rw\n\
        33 22 8:1 / /disk rw - ext4 /dev/sda1 rw\n\
        34 22 8:1 /deep/in /home/me/b\\134s rw - ext4 /dev/sda1 rw\n\
        35 22 0:4 net:[4026531840] /run/netns/x rw - nsfs nsfs rw\n";

    #[test]
    fn a_directory_has_a_name_in_each_mount_that_shows_it() {
        let named = |dir: &str| {
            let names = others(MOUNTS.as_bytes(), Path::new(dir));
            names.into_iter().map(|name| name.into_os_string().into_string().unwrap())
        };
        let all = |dir: &str| named(dir).collect::<Vec<_>>();
        assert_eq!(all("/back/arc"), ["/home/me/with blank", "/srv/arc", "/mnt/whole/back/arc"]);
        assert_eq!(all("/srv/arc/x")[0], "/back/arc/x");
        assert_eq!(all("/back/other"), ["/srv/other", "/mnt/whole/back/other"]);
        assert_eq!(all("/disk/deep/in/arc"), ["/home/me/b\\s/arc"]);
        assert_eq!(all("/home/me/b\\s"), ["/disk/deep/in"]);
        assert_eq!(all("/disk"), Vec::<String>::new());
        assert_eq!(others(b"", Path::new("/x")), Vec::<PathBuf>::new());
        assert_eq!(others(b"1 2 3\n\n1 2 254:0 / ", Path::new("/x")), Vec::<PathBuf>::new());
    }
}
