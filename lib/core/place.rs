//! What an ARCHIVE on a command line stands for, by its spelling alone.
//!
//! A name that looks like what another program takes is refused: a backup that lands in a new
//! directory called `nas:` is none.

/// Where an archive lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Destination<'a> {
    /// A directory, by its raw bytes.
    Directory(&'a [u8]),
    /// A bucket: the whole name, which begins with `s3://`.
    Bucket(&'a str),
    /// A collection, or what a web server serves: the whole name.
    Web(&'a str),
    /// A directory of a host, over SSH: the whole name.
    Ssh(&'a str),
}

/// A name that is none, and how it should be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct Misspelled {
    /// What it looks like.
    pub what: String,
    /// What to write instead.
    pub instead: String,
}

const RCLONE: &str = "for clouds that rclone supports: use rclone serve s3 or rclone serve webdav, and its address; see dura-stores(7)";
const SSH: &str =
    "write ssh://[USER@]HOST[:PORT]/DIR, or ssh://[USER@]HOST/~/DIR in the home directory";
const MOUNT: &str = "mount it, and name the directory";

/// Reads the name of an archive, which is text unless it is that of a directory.
///
/// # Errors
/// What is wrong with the name, and what was probably meant.
pub fn place(name: &[u8]) -> Result<Destination<'_>, Misspelled> {
    if let Ok(text) = std::str::from_utf8(name) {
        return of_text(text);
    }
    let (text, dir) = (String::from_utf8_lossy(name), name.strip_prefix(b"file://"));
    match of_text(&text)? {
        Destination::Directory(_) => Ok(Destination::Directory(dir.map_or(name, without_host))),
        Destination::Bucket(_) | Destination::Web(_) | Destination::Ssh(_) => Err(misspelled(
            &format!("{text}: not UTF-8"),
            "write each such byte as % and two digits",
        )),
    }
}

fn of_text(text: &str) -> Result<Destination<'_>, Misspelled> {
    if text.is_empty() {
        return Err(misspelled(
            "not the name of an archive",
            "name a directory, s3://, https:// or ssh://",
        ));
    }
    let is_path = ["/", "./", "../"].iter().any(|begin| text.starts_with(begin));
    if is_path || matches!(text, "." | "..") {
        return Ok(Destination::Directory(text.as_bytes()));
    }
    let scheme =
        |word: &str| word.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
    if let Some((scheme, rest)) = text.split_once("://").filter(|(word, _)| scheme(word)) {
        return address(text, scheme, rest);
    }
    if text == "~" || text.starts_with("~/") {
        let instead = "the shell did not expand the ~: write $HOME, or ./ before it";
        return Err(misspelled(&format!("{text}: no directory is called ~"), instead));
    }
    match text.split('/').next().and_then(|first| first.split_once(':')) {
        None => Ok(Destination::Directory(text.as_bytes())),
        Some((kind, _)) => Err(colon(text, kind)),
    }
}

fn misspelled(what: &str, instead: &str) -> Misspelled {
    Misspelled { what: what.to_owned(), instead: instead.to_owned() }
}

/// What `file://` names, which may be said to be on this host.
fn without_host(rest: &[u8]) -> &[u8] {
    let host = b"localhost".len();
    match rest.split_at_checked(host) {
        Some((name, path)) if name.eq_ignore_ascii_case(b"localhost") => path,
        _ => rest,
    }
}

/// `SCHEME://…`
fn address<'a>(text: &'a str, scheme: &str, rest: &'a str) -> Result<Destination<'a>, Misspelled> {
    // The rest may hold a password.
    let no_store = |instead: &str| {
        let what = format!("no store for {scheme}://");
        let meant = "; for a directory of that name put ./ before it";
        Err(Misspelled { what, instead: format!("{instead}{meant}") })
    };
    match scheme.to_ascii_lowercase().as_str() {
        known @ ("s3" | "http" | "https" | "file" | "ssh") if known != scheme => {
            no_store(&format!("write {known}:// in lower case"))
        }
        "s3" => Ok(Destination::Bucket(text)),
        "http" | "https" => Ok(Destination::Web(text)),
        "file" => match without_host(rest.as_bytes()) {
            path if path.starts_with(b"/") => Ok(Destination::Directory(path)),
            _ => Err(misspelled(
                "file:// needs an absolute path",
                "write file:///DIR, or the directory alone",
            )),
        },
        "ssh" => Ok(Destination::Ssh(text)),
        "sftp" | "scp" | "rsync" | "git+ssh" => no_store(SSH),
        "webdav" | "dav" => no_store("write http://HOST/PATH"),
        "webdavs" | "davs" => no_store("write https://HOST/PATH"),
        "gs" | "gcs" => no_store(
            "write s3://BUCKET/PREFIX, with AWS_ENDPOINT_URL=https://storage.googleapis.com and HMAC keys",
        ),
        "s3a" | "s3n" | "minio" | "r2" | "wasabi" => {
            no_store("write s3://BUCKET/PREFIX, with AWS_ENDPOINT_URL for another service")
        }
        "smb" | "cifs" | "nfs" | "afp" => no_store(MOUNT),
        _ => no_store(RCLONE),
    }
}

/// `WORD:…`, which is a host or a remote to other programs.
fn colon(text: &str, kind: &str) -> Misspelled {
    let after = &text[kind.len() + 1..];
    let path = after.split_once("://").map_or(after, |(_, rest)| rest).trim_start_matches('/');
    let instead = match kind.to_ascii_lowercase().as_str() {
        "s3" => {
            // `s3:host/bucket` of other programs names the service first.
            let (host, bucket) = path.split_once('/').unwrap_or((path, ""));
            let bucket = if bucket.is_empty() { "BUCKET/PREFIX" } else { bucket };
            match host.contains(['.', ':']) || host == "localhost" {
                true => format!("write s3://{bucket}, with AWS_ENDPOINT_URL=https://{host}"),
                false if path.is_empty() => "write s3://BUCKET/PREFIX".to_owned(),
                false => format!("write s3://{path}"),
            }
        }
        "http" | "https" => format!("write {}://HOST/PATH", kind.to_ascii_lowercase()),
        "file" => "write file:///DIR, or the directory alone".to_owned(),
        "sftp" | "ssh" | "scp" | "rsync" => SSH.to_owned(),
        "gs" | "gcs" | "b2" | "azure" | "swift" | "rclone" | "rest" | "ftp" | "dropbox"
        | "onedrive" | "drive" | "mega" | "pcloud" | "webdav" | "dav" | "opendal" => {
            RCLONE.to_owned()
        }
        "nfs" | "smb" | "cifs" => MOUNT.to_owned(),
        _ if kind.contains('@') => SSH.to_owned(),
        _ => format!("if {kind} is a host: {SSH}; if it is a remote of rclone: {RCLONE}"),
    };
    Misspelled {
        what: format!(
            "{kind}: before a path names a host or another kind of store, not a directory"
        ),
        instead: format!("{instead}; for a directory of that name write ./ before it"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_buckets_and_addresses() {
        for dir in [
            "/mnt/b",
            "./b2:x",
            "../me@nas:/b",
            ".",
            "..",
            "backup",
            "a/b:c",
            "./~",
            "/x:y",
            "a@b",
            ".hidden",
            "./s3:x",
            "...",
            "-x",
        ] {
            assert_eq!(place(dir.as_bytes()), Ok(Destination::Directory(dir.as_bytes())), "{dir}");
        }
        for (name, dir) in [
            (&b"file:///mnt/b"[..], &b"/mnt/b"[..]),
            (b"file://localhost/x", b"/x"),
            (b"file://LocalHost/x", b"/x"),
            (b"a\xff", b"a\xff"),
            (b"/\xfe:x", b"/\xfe:x"),
            (b"file:///\xff", b"/\xff"),
            (b"file://localhost/\xff", b"/\xff"),
        ] {
            assert_eq!(place(name), Ok(Destination::Directory(dir)), "{}", name.escape_ascii());
        }
        assert_eq!(place(b"s3://b/p"), Ok(Destination::Bucket("s3://b/p")));
        assert_eq!(place(b"https://h/p"), Ok(Destination::Web("https://h/p")));
        assert_eq!(place(b"http://h/p"), Ok(Destination::Web("http://h/p")));
        assert_eq!(place(b"ssh://h/p"), Ok(Destination::Ssh("ssh://h/p")));
        for name in [
            &b"s3://b/\xff"[..],
            b"https://h/\xff",
            b"ssh://h/\xff",
            b"n\xff:/b",
            b"file://h\xff/x",
        ] {
            assert!(place(name).is_err(), "{}", name.escape_ascii());
        }
    }

    #[test]
    fn what_looks_like_another_kind_is_refused_with_the_right_spelling() {
        for (text, wanted) in [
            ("me@nas:/b", "ssh://[USER@]HOST"),
            ("nas:backup", "ssh://[USER@]HOST"),
            ("nas:backup", "rclone"),
            ("nas:", "ssh://[USER@]HOST"),
            ("[::1]:/b", "ssh://[USER@]HOST"),
            ("sftp:me@nas:/b", "ssh://[USER@]HOST"),
            ("sftp://me@nas/b", "ssh://[USER@]HOST"),
            ("SSH://nas/b", "lower case"),
            ("s3:host.example/b", "s3://b, with AWS_ENDPOINT_URL=https://host.example"),
            ("s3:https://h.example/b", "AWS_ENDPOINT_URL"),
            ("s3:bucket/p", "write s3://bucket/p"),
            ("s3:/bucket", "write s3://bucket"),
            ("s3:", "s3://BUCKET/PREFIX"),
            ("S3://bucket", "lower case"),
            ("b2:bucket:p", "rclone serve s3"),
            ("b2://bucket", "rclone serve s3"),
            ("rclone:r:p", "rclone serve s3"),
            ("rest:https://h/", "rclone serve s3"),
            ("azure:c:/p", "rclone serve s3"),
            ("gs://b", "s3://BUCKET/PREFIX, with AWS_ENDPOINT_URL"),
            ("gs:b:/", "rclone"),
            ("webdav://h/p", "http://HOST/PATH"),
            ("davs://h/p", "https://HOST/PATH"),
            ("ftp://h/p", "rclone serve s3"),
            ("smb://h/p", "mount it"),
            ("file://nas/p", "file:///DIR"),
            ("file:x", "file:///DIR"),
            ("file:///", ""),
            ("http:/h", "http://HOST/PATH"),
            ("~/backup", "$HOME"),
            ("C:\\backup", "./"),
            ("", "directory"),
        ] {
            match place(text.as_bytes()) {
                Err(error) => assert!(error.instead.contains(wanted), "{text}: {}", error.instead),
                Ok(place) => assert!(wanted.is_empty(), "{text}: {place:?}"),
            }
        }
        // No password is repeated.
        for secret in ["ftp://me:hush@h/p", "sftp://me:hush@h", "webdav://me:hush@h/"] {
            let error = place(secret.as_bytes()).unwrap_err();
            assert!(!format!("{error} {}", error.instead).contains("hush"), "{secret}");
        }
    }
}
