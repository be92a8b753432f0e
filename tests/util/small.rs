//! A small tree and its band, as each program of the pipeline leaves it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::run::{Done, Share, dura, scratch};
use super::snapshot::{Compare, EXACT, Snapshot, Times, take};
use super::tree::noise;

pub(crate) const BAND: &str = "20200102T030405Z";
pub(crate) const ID: &str = "00112233445566778899aabbccddeeff";

/// What packs the small tree: some dozen objects, parts among them.
pub(crate) fn pack(id: &str) -> String {
    format!(
        "SOURCE_DATE_EPOCH=1577934245 dura-pack --block-size 100k --part-size 1500k --band {BAND} --id {id}"
    )
}

/// A small tree with a few blocks' worth of files.
pub(crate) fn tree() -> &'static Path {
    static TREE: OnceLock<PathBuf> = OnceLock::new();
    TREE.shared(|| {
        let dir = scratch("small").join("src");
        fs::create_dir_all(dir.join("sub")).unwrap();
        for n in 0..10u64 {
            fs::write(dir.join(format!("sub/{n}")), noise(n, 400_000)).unwrap();
        }
        fs::write(dir.join("large"), noise(99, 2_000_000)).unwrap();
        fs::write(dir.join("text"), "text\n".repeat(1000)).unwrap();
        dir
    })
}

/// Its listing.
pub(crate) fn listing() -> &'static [u8] {
    static LISTING: OnceLock<Vec<u8>> = OnceLock::new();
    LISTING.shared(|| dura("dura-scan \"$SRC\"").var("SRC", tree()).ok().stdout)
}

/// Its band, as pack writes it.
pub(crate) fn packed() -> &'static [u8] {
    static PACKED: OnceLock<Vec<u8>> = OnceLock::new();
    PACKED.shared(|| dura(&pack(ID)).input(listing()).ok().stdout)
}

/// The same band with its checksum lists.
pub(crate) fn sealed() -> &'static [u8] {
    static SEALED: OnceLock<Vec<u8>> = OnceLock::new();
    SEALED.shared(|| dura("dura-seal").input(packed()).ok().stdout)
}

/// Every path below a directory that has a TAIL in its name.
pub(crate) fn tails(dir: &Path) -> Vec<String> {
    let names = take(dir).0.into_keys().map(|name| String::from_utf8_lossy(&name).into_owned());
    names.filter(|name| name.contains("TAIL")).collect()
}

/// A store may differ from another in times alone.
pub(crate) const CONTENTS: Compare = Compare { times: Times::Ignored, ..EXACT };

/// The store as it is when everything went well.
pub(crate) fn whole() -> &'static Snapshot {
    static WHOLE: OnceLock<Snapshot> = OnceLock::new();
    WHOLE.shared(|| {
        let dir = scratch("whole");
        dura("dura-push archive").dir(&dir).input(sealed()).ok();
        assert_eq!(tails(&dir), [format!("archive/{BAND}/TAIL")]);
        take(&dir)
    })
}

#[track_caller]
pub(crate) fn refused(what: &str, done: &Done) {
    assert_eq!(done.code, 2, "{what}: exit status\n{}", done.report());
    assert!(done.stderr.contains("dura-"), "{what}: nothing was told\n{}", done.report());
}
