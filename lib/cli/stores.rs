//! Which store an ARCHIVE on a command line stands for, and what to do when a store fails.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{anyhow, bail};

use super::message::{Hinted, Report};
use super::retrying::Retrying;
use crate::edge::clock;
use crate::store::dav::{self, Dav};
use crate::store::local::Local;
use crate::store::s3::{self, S3};
use crate::store::{Kind, LookAhead, Notice, Store};

/// The store that ARCHIVE names, to read from: what fails for a reason that may pass is asked
/// again.
pub(super) fn open_store(archive: &str) -> anyhow::Result<Arc<dyn Store>> {
    let seed = u64::from_le_bytes(clock::random_id()?.0[..8].try_into()?);
    Ok(Arc::new(Retrying::reader(open(archive, Box::new(|_| ()))?.0, seed)))
}

/// A store, and the same if it may have to look before it writes.
pub(super) type Opened = (Arc<dyn Store>, Option<Arc<dyn LookAhead>>);

/// The same to write to. What the one who trusts the store should know of it is told once.
pub(super) fn open_store_to_write(archive: &str, report: &Arc<Report>) -> anyhow::Result<Opened> {
    let (report, shown) = (Arc::clone(report), archive.to_owned());
    open(archive, Box::new(move |text| report.note(format_args!("{shown}: {text}"))))
}

/// The store that ARCHIVE names, if that is a directory.
pub(super) fn local(archive: &str) -> Option<Local> {
    match archive.split_once("://") {
        None => Some(Local::new(archive)),
        Some(("file", path)) if path.starts_with('/') => Some(Local::new(path)),
        Some(_) => None,
    }
}

fn open(archive: &str, notice: Notice) -> anyhow::Result<Opened> {
    if let Some(local) = local(archive) {
        return Ok((Arc::new(local), None));
    }
    let (scheme, rest) = archive.split_once("://").unwrap_or_default();
    match scheme {
        "s3" => {
            let opened = S3::open(archive, idle()?, notice);
            let bucket = Arc::new(opened.map_err(|error| bad_bucket(rest, error))?);
            Ok((bucket.clone(), Some(bucket)))
        }
        "http" | "https" => {
            let opened = Dav::open(archive, idle()?, notice);
            let collection = Arc::new(opened.map_err(|error| bad_address(archive, rest, error))?);
            Ok((collection.clone(), Some(collection)))
        }
        _ => {
            let hint = "archives are directories, file://, s3:// or http(s)://; for what else rclone reaches, see dura-stores(7)";
            Err(Hinted::wrap(anyhow!("{archive}: no store for {scheme}://"), hint))
        }
    }
}

/// How long a connection may stay silent, if the user says so.
fn idle() -> anyhow::Result<Option<Duration>> {
    let Some(text) = std::env::var_os("DURA_TIMEOUT").filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    match text.to_str().and_then(|text| text.parse().ok()) {
        Some(seconds @ 1..=86_400) => Ok(Some(Duration::from_secs(seconds))),
        _ => bail!("DURA_TIMEOUT: wanted a number of seconds, from 1 to 86400"),
    }
}

/// The archive's name up to where a user or password could stand.
fn without_login(scheme: &str, rest: &str) -> String {
    let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    format!("{scheme}://{}", host.split(['?', '#']).next().unwrap_or(host))
}

fn bad_bucket(rest: &str, error: s3::BadAddress) -> anyhow::Error {
    let hint = match &error {
        s3::BadAddress::Keys(s3::NoKeys::NotInProfile(_)) => {
            "for single sign-on, roles and the like: eval \"$(aws configure export-credentials --format env)\""
        }
        s3::BadAddress::Keys(_) => {
            "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or see dura-stores(7) for profile files"
        }
        s3::BadAddress::Endpoint(_) | s3::BadAddress::Form(_) => {
            "dura-stores(7) tells how archives in buckets are named"
        }
    };
    Hinted::wrap(anyhow!("{}: {error}", without_login("s3", rest)), hint)
}

fn bad_address(archive: &str, rest: &str, error: dav::BadAddress) -> anyhow::Error {
    let scheme = archive.split("://").next().unwrap_or("https");
    let hint = match error {
        dav::BadAddress::Login => {
            "put them into ~/.netrc, or into DURA_DAV_USER and DURA_DAV_PASSWORD"
        }
        _ => "dura-stores(7) tells how archives on WebDAV servers are named",
    };
    Hinted::wrap(anyhow!("{}: {error}", without_login(scheme, rest)), hint)
}

/// What helps against an error of a store.
pub(super) fn remedy(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::Denied => Some(
            "check the keys or the password, and what they are allowed: dura-stores(7) tells where they come from",
        ),
        Kind::NoArchive => {
            Some("make the bucket, or the folder above the archive, first; or check its name")
        }
        Kind::NoSpace => Some(
            "make room, or store elsewhere: what is stored is whole, and the next run goes on from there",
        ),
        Kind::Certificate => Some(
            "for a server with a certificate of your own, name its authority's file in SSL_CERT_FILE",
        ),
        Kind::Redirect => Some(
            "nothing is sent elsewhere: name the right address (for S3, region and endpoint) yourself",
        ),
        Kind::NoListing => {
            Some("name a complete band in full with --band: what is in it needs no listing")
        }
        Kind::Overtaken => Some("start the backup again, and it gets a band of its own"),
        Kind::NotFound | Kind::Exists | Kind::Passing | Kind::Other => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_login_is_shown() {
        for archive in [
            "https://me:hush@host/a?hush",
            "s3://key:hush@bucket/a",
            "http://hush@/",
            "https://me:hu@sh@host/",
        ] {
            let error = format!("{:#}", open_store(archive).err().unwrap());
            assert!(!error.contains("hush") && !error.contains("sh@"), "{error}");
        }
    }
}
