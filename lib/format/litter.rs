//! What other programs leave beside and inside of archives: file managers, NAS firmware, programs
//! that copy and synchronise. It is neither an object nor a sign of anything else.

/// Names that mean this, whatever is in them; in `.expired` dura-prune hides what is to go. Compared
/// without regard to case.
const NAMES: [&str; 45] = [
    ".apdisk",
    ".appledb",
    ".appledesktop",
    ".appledouble",
    ".bzempty",
    ".com.apple.timemachine.donotpresent",
    ".com.apple.timemachine.supported",
    ".directory",
    ".documentrevisions-v100",
    ".ds_store",
    ".dropbox",
    ".dropbox.attr",
    ".dropbox.cache",
    ".expired",
    ".fseventsd",
    ".gitkeep",
    ".hidden",
    ".keep",
    ".localized",
    ".nomedia",
    ".owncloudsync.log",
    ".snapshot",
    ".snapshots",
    ".spotlight-v100",
    ".stfolder",
    ".stignore",
    ".stversions",
    ".sync",
    ".syncthing.tmp",
    ".temporaryitems",
    ".trash",
    ".trashes",
    ".volumeicon.icns",
    ".zfs",
    "$recycle.bin",
    "aquota.group",
    "aquota.user",
    "desktop.ini",
    "ehthumbs.db",
    "lost+found",
    "network trash folder",
    "recycler",
    "rclone_test",
    "system volume information",
    "thumbs.db",
];

/// Beginnings that mean this, in lower case: resource forks (`._x`), what NFS and FUSE keep of
/// files that are open, folders of NAS firmware, ours where a file system needs a temporary name.
const BEGINNINGS: [&str; 16] = [
    "._",
    ".nfs",
    ".fuse_hidden",
    ".trash-",
    ".stfolder",
    ".goutputstream-",
    ".~lock.",
    ".syncthing.",
    "~syncthing~",
    ".sync_",
    ".@",
    "@",
    "#recycle",
    "#snapshot",
    ".dura-",
    ".~tmp~",
];

/// Endings that mean this: what copying programs call a file that they have not ended.
const ENDINGS: [&str; 4] = [".partial", ".part", ".crdownload", ".filepart"];

/// Whether a name, directly in a folder of an archive and perhaps with the `/` of a folder, is
/// known to be other programs'. Nothing that Dura ever named is.
pub fn is_litter(name: &str) -> bool {
    let name = name.strip_suffix('/').unwrap_or(name).to_ascii_lowercase();
    NAMES.contains(&name.as_str())
        || BEGINNINGS.iter().any(|begin| name.starts_with(begin))
        || ENDINGS.iter().any(|end| name.ends_with(end))
        || is_rsync_temporary(&name)
}

/// `.NAME.XXXXXX`, as rsync calls what it writes.
fn is_rsync_temporary(name: &str) -> bool {
    let parts = name.strip_prefix('.').and_then(|rest| rest.rsplit_once('.'));
    parts.is_some_and(|(own, chance)| {
        !own.is_empty() && chance.len() == 6 && chance.bytes().all(|b| b.is_ascii_alphanumeric())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::band::BandName;
    use crate::format::object::ObjectName;

    #[test]
    fn what_other_programs_leave() {
        let known = [
            ".DS_Store",
            "._000000000.tar.gz.gpg",
            "@eaDir/",
            "Thumbs.db",
            ".stfolder/",
            ".stversions/",
            ".stfolder.removed-20261127/",
            ".000000000.tar.gz.gpg.a1B2c3",
            ".HEAD.XXXXXX",
            "desktop.ini",
            ".nfs000000000012",
            ".fuse_hidden0000000300000001",
            "lost+found/",
            ".Trash-1000/",
            "$RECYCLE.BIN/",
            "System Volume Information/",
            "#recycle/",
            ".@__thumb/",
            "HEAD.7c1f.partial",
            ".syncthing.HEAD.tmp",
            ".dura-a1b2c3",
        ];
        for name in known {
            assert!(is_litter(name), "{name}");
        }
    }

    #[test]
    fn nothing_of_ours_or_of_a_person_is() {
        let ours = ["HEAD", "TAIL", "TAIL.sig", "RECOVER.txt", "recover.sh", "00000/"];
        let bands = ["20261101T020000Z/", "20261101T020000Z-20261102T020000Z/"];
        let numbered = ["000000000.tar.gz.gpg", "000000000-0.sha256", "000000000-0.rs0"];
        let others = ["photos/", "notes.txt", ".ssh/", "HEAD.old", "a.tar", ".x", "..abcdef"];
        for name in ours.iter().chain(&bands).chain(&numbered).chain(&others) {
            assert!(!is_litter(name), "{name}");
        }
        assert!(bands.iter().all(|name| name.trim_end_matches('/').parse::<BandName>().is_ok()));
        assert!(numbered.iter().all(|name| ObjectName::parse(&format!("00000/{name}")).is_some()));
    }
}
