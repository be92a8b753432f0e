//! Archives that earlier builds wrote must be read and recovered by this one, for ever. They are
//! never made anew.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

#[allow(dead_code)]
#[path = "../examples/largest.rs"]
mod largest;

/// The folder of a format's archives: `KIND/BAND/…`, what each version lists in
/// `KIND.BAND.listing`; in that of format 1 also the key of all that is sealed.
fn folder(format: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(format)
}

fn fixtures() -> PathBuf {
    folder("format-1")
}

/// A keyring with the fixtures' key, which is no secret.
fn keyring() -> tempfile::TempDir {
    let home = tempfile::Builder::new()
        .prefix("dura-k")
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o700))
        .tempdir_in("/tmp")
        .unwrap();
    let import = Command::new("gpg")
        .args(["-q", "--batch", "--import"])
        .arg(fixtures().join("secret-key.asc"))
        .env("GNUPGHOME", home.path())
        .status();
    assert!(import.expect("gpg (Debian package gnupg)").success());
    home
}

/// Archive, band and listing of every version there is.
fn versions() -> Vec<(PathBuf, String, String)> {
    let mut versions = Vec::new();
    let formats = ["format-1", "format-2"].map(folder);
    for (format, entry) in formats
        .iter()
        .flat_map(|format| fs::read_dir(format).unwrap().map(move |entry| (format, entry)))
    {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if let Some((kind, band)) =
            name.strip_suffix(".listing").and_then(|name| name.split_once('.'))
        {
            versions.push((format.join(kind), band.to_owned(), fs::read_to_string(&path).unwrap()));
        }
    }
    assert_eq!(
        versions.len(),
        13,
        "two bands of two archives, one with parity and signatures, two bands with run keys, three with references, and three with deltas"
    );
    versions
}

fn stop_agent(home: &Path) {
    let _ = Command::new("gpgconf").args(["--kill", "all"]).env("GNUPGHOME", home).status();
}

/// `dura-index list` gives each version as it was when it was written.
#[test]
fn old_archives_are_read() {
    let home = keyring();
    for (archive, band, listing) in versions() {
        let mut index = Command::new(env!("CARGO_BIN_EXE_dura-index"));
        let out = index
            .args(["list", "-q", "--band", &band])
            .arg(&archive)
            .env("GNUPGHOME", home.path())
            .output()
            .unwrap();
        assert!(out.status.success(), "{band}: {}", String::from_utf8_lossy(&out.stderr));
        let text = String::from_utf8(out.stdout).unwrap();
        let text: String = text
            .lines()
            .filter(|line| !line.starts_with("#source") && !line.starts_with("#version"))
            .map(|line| format!("{line}\n"))
            .collect();
        assert_eq!(text, listing, "{} {band}", archive.display());
    }
    stop_agent(home.path());
}

/// The script that lies in each band recovers it; as root, mtree then finds no difference to the
/// listing.
#[test]
fn old_archives_are_recovered_by_hand() {
    let home = keyring();
    for (archive, band, listing) in versions() {
        let dir = tempfile::tempdir().unwrap();
        let (dest, list) = (dir.path().join("out"), dir.path().join("listing"));
        fs::write(&list, &listing).unwrap();
        let recovery = Command::new("dash")
            .arg("recover.sh")
            .arg(&dest)
            .current_dir(archive.join(&band))
            .env("GNUPGHOME", home.path())
            .output();
        let recovery = recovery.expect("dash");
        let said = String::from_utf8_lossy(&recovery.stderr).into_owned();
        if !rustix::process::geteuid().is_root() {
            assert_ne!(recovery.status.code(), Some(2), "{said}");
            continue;
        }
        assert_eq!(recovery.status.code(), Some(0), "{} {band}: {said}", archive.display());
        let recipe =
            r#"G='^[^ ]*\\\(052\|077\|133\)'; (grep -v "$G" "$1"; grep "$G" "$1") | mtree -p "$2""#;
        let check = Command::new("bash")
            .args(["-c", recipe, "bash"])
            .args([&list, &dest])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&check.stdout).into_owned()
            + &String::from_utf8_lossy(&check.stderr);
        assert!(check.status.success() && said.is_empty(), "{} {band}: {said}", archive.display());
    }
    stop_agent(home.path());
}

/// The scripts of earlier builds do not misread what they do not know.
#[test]
fn older_scripts_refuse_later_bands() {
    let (plain, sealed) = ("format-1/plain/20261101T020000Z", "format-2/sealed/20261201T020000Z");
    let (moved, deltas) = ("moved/20261202T020000Z", "deltas/20261203T020000Z");
    let moved_script = "format-2/moved/20261202T020000Z";
    let cases = [
        (plain, moved),
        (sealed, moved),
        (plain, deltas),
        (sealed, deltas),
        (moved_script, deltas),
    ];
    for (older, band) in cases {
        let band = folder("format-2").join(band);
        let dir = tempfile::tempdir().unwrap();
        let done = Command::new("dash")
            .arg(folder(older).join("recover.sh"))
            .arg(dir.path().join("out"))
            .current_dir(&band)
            .output()
            .expect("dash");
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert_eq!(done.status.code(), Some(2), "{older}: {said}");
        assert!(said.contains("is in format 2"), "{older}: {said}");
        assert!(!dir.path().join("out").exists(), "{older}: {said}");
    }
}

/// Any two of each group come back by the script that lies in the band, and gpg knows the
/// signatures.
#[test]
fn old_parity_and_signatures_are_read() {
    let home = keyring();
    let dir = tempfile::tempdir().unwrap();
    let line = "set -e; cp -r \"$1\" band; cp -r band damaged; cd damaged
        for list in */*.sha256; do gpg -q --verify $list.sig $list; rm -f $(grep -v '^#' $list | cut -c67- | sed -n '2p;$p'); done
        gpg -q --verify TAIL.sig TAIL
        cmp -s HEAD ../band/HEAD; ! diff -r . ../band > ../lost; grep -c '^Only' ../lost
        for list in */*.sha256; do python3 ../band/rsrepair.py $list; done; diff -r . ../band";
    let mut run = Command::new("bash");
    run.args(["-c", line, "bash"]).arg(fixtures().join("protected/20261101T020000Z"));
    let done = run.current_dir(dir.path()).env("GNUPGHOME", home.path()).output().unwrap();
    let said =
        String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success() && said.matches(": rebuilt\n").count() >= 4, "{said}");
    stop_agent(home.path());
}

/// The example reads a chain of bands through the library.
#[test]
fn the_example_finds_the_largest_files() {
    let (files, flaws) = largest::largest(fixtures().join("plain").into(), 4).unwrap();
    let files: Vec<String> = files.iter().map(|(size, path)| format!("{size} {path}")).collect();
    let large = ["4194307 ./sparse", "1300000 ./big", "108894 ./seq", "11 ./a/hello"];
    assert_eq!((files, flaws), (large.map(str::to_owned).to_vec(), 0));
}
