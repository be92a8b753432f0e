//! What other programs leave in folders that they look after: desktops, file servers, programs that
//! synchronize. It is known by its name, harms nothing, and is no finding.

/// Whole names.
const NAMES: [&str; 22] = [
    ".DS_Store",
    ".AppleDouble",
    ".TemporaryItems",
    ".fseventsd",
    ".Spotlight-V100",
    ".apdisk",
    ".localized",
    "@eaDir",
    ".@__thumb",
    "#recycle",
    "#snapshot",
    ".snapshot",
    ".zfs",
    "lost+found",
    "Thumbs.db",
    "desktop.ini",
    "System Volume Information",
    "$RECYCLE.BIN",
    ".directory",
    ".stfolder",
    ".stversions",
    ".stignore",
];

/// How names begin.
const BEGINS: [&str; 7] =
    ["._", ".nfs", ".fuse_hidden", ".Trash-", ".syncthing.", "~syncthing~", ".owncloudsync"];

/// True for a name of such a file or folder; a folder's name is given without its slash.
pub fn is_litter(name: &str) -> bool {
    NAMES.iter().any(|known| name.eq_ignore_ascii_case(known))
        || BEGINS.iter().any(|begin| name.starts_with(begin))
        || is_rsync_temporary(name)
}

/// rsync writes `NAME` as `.NAME.XXXXXX`, with six letters and digits.
fn is_rsync_temporary(name: &str) -> bool {
    let Some((of, end)) = name.strip_prefix('.').and_then(|rest| rest.rsplit_once('.')) else {
        return false;
    };
    let is_of_band = of.bytes().next().is_some_and(|byte| byte.is_ascii_digit())
        || ["HEAD", "TAIL", "TAIL.sig"].contains(&of)
        || super::object::NOTES.contains(&of);
    is_of_band && end.len() == 6 && end.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn litter_is_known_by_its_name() {
        for name in [
            ".DS_Store",
            "._HEAD",
            "@eaDir",
            "thumbs.db",
            ".nfs000000000012345600000001",
            ".000000001.tar.gz.gpg.a1B2c3",
            ".HEAD.Xy12zZ",
            "#recycle",
        ] {
            assert!(is_litter(name), "{name}");
        }
        for name in
            ["HEAD", "note.txt", ".x.123456", ".HEAD.Xy12z", "000000000.tar", "DS_Store", ""]
        {
            assert!(!is_litter(name), "{name}");
        }
    }
}
