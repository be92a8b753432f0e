//! Which store an ARCHIVE on a command line stands for, and what to do when a store fails.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{anyhow, bail};

use crate::archive::awaited::Awaited;
use crate::archive::named::ArchiveName;
use crate::archive::reading::Reach;
use crate::archive::retrying::Retrying;
use crate::core::place::Destination;
use crate::edge::clock;
use crate::report::message::{Hinted, Report, why};
use crate::store::dav::{self, Dav};
use crate::store::local::Local;
use crate::store::s3::{self, S3};
use crate::store::sftp::Sftp;
use crate::store::sftp::address::BadSshAddress;
use crate::store::{LookAhead, Notice, Remove, Store, StoreError, Word};

/// The store that ARCHIVE names, to read from: what fails for a reason that may pass is asked
/// again, which is told when it lasts; so is a listing without what is expected. An entry that
/// cannot be examined ends the run with 1.
pub(crate) fn open_store(
    archive: &ArchiveName,
    reach: &Reach,
    expected: Awaited,
    report: &Arc<Report>,
) -> anyhow::Result<Arc<dyn Store>> {
    let hears = Arc::clone(report);
    let heard = move |word: Word<'_>| {
        if let Word::Flaw(error) = word {
            hears.warn(flaw(error));
        }
    };
    let store = open(archive, Arc::new(heard))?.0;
    Ok(Arc::new(Retrying::reader(store, reach, seed()?, report).expecting(expected)))
}

/// A store, and the same if it may have to look before it writes.
pub(crate) type OpenedStore = (Arc<dyn Store>, Option<Arc<dyn LookAhead>>);

/// The same to write to. What the one who trusts the store should know of it is told once.
pub(crate) fn open_store_to_write(
    archive: &ArchiveName,
    report: &Arc<Report>,
) -> anyhow::Result<OpenedStore> {
    let (store, ahead) = open(archive, heard(archive, report))?;
    Ok((store, ahead))
}

/// The same for the one program that removes: the store to read, and to remove from.
pub(crate) fn open_store_to_remove(
    archive: &ArchiveName,
    reach: &Reach,
    report: &Arc<Report>,
) -> anyhow::Result<(Arc<Retrying>, Arc<dyn Remove>)> {
    let store = open(archive, heard(archive, report))?.0;
    let reader = Retrying::reader(store.clone(), reach, seed()?, report);
    Ok((Arc::new(reader), store))
}

/// What chance decides how long waits are.
fn seed() -> anyhow::Result<u64> {
    Ok(u64::from_le_bytes(clock::random_id()?.0[..8].try_into()?))
}

/// Passes on what a store says.
fn heard(archive: &ArchiveName, report: &Arc<Report>) -> Notice {
    let (report, shown) = (Arc::clone(report), archive.to_string());
    Arc::new(move |word: Word<'_>| match word {
        Word::Note(text) => report.note(format_args!("{shown}: {text}")),
        Word::Flaw(error) => report.warn(flaw(error)),
    })
}

/// An entry of a listing that cannot be examined.
fn flaw(error: &StoreError) -> String {
    format!("{}: cannot be inspected: {}", error.at, why(&error.source))
}

/// A store with all that it can do, and the same if it may have to look before it writes.
type Able = (Arc<dyn Remove>, Option<Arc<dyn LookAhead>>);

fn open(archive: &ArchiveName, notice: Notice) -> anyhow::Result<Able> {
    let rest = |name: &'_ str| name.split_once("://").map_or("", |(_, rest)| rest).to_owned();
    match archive.place()? {
        Destination::Directory(dir) => {
            Ok((Arc::new(Local::with(OsStr::from_bytes(dir), notice)), None))
        }
        Destination::Bucket(name) => {
            let opened = S3::open(name, idle()?, notice);
            let bucket = Arc::new(opened.map_err(|error| bad_bucket(&rest(name), error))?);
            Ok((bucket.clone(), Some(bucket)))
        }
        Destination::Web(address) => {
            let opened = Dav::open(address, idle()?, notice);
            let opened = opened.map_err(|error| bad_address(address, &rest(address), error));
            let collection = Arc::new(opened?);
            Ok((collection.clone(), Some(collection)))
        }
        Destination::Ssh(address) => {
            let opened = Sftp::open(address, idle()?, notice);
            Ok((Arc::new(opened.map_err(|error| bad_host(&rest(address), error))?), None))
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
        _ => bail!("DURA_TIMEOUT: expected a number of seconds, from 1 to 86400"),
    }
}

/// The archive's name up to where a user or password could stand.
fn without_login(scheme: &str, rest: &str) -> String {
    let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    format!("{scheme}://{}", host.split(['?', '#']).next().unwrap_or(host))
}

fn bad_bucket(rest: &str, error: s3::BadBucket) -> anyhow::Error {
    let hint = match &error {
        s3::BadBucket::Keys(s3::NoKeys::NotInProfile(_)) => {
            "for single sign-on, roles and the like: eval \"$(aws configure export-credentials --format env)\""
        }
        s3::BadBucket::Keys(_) => {
            "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or see dura-stores(7) for profile files"
        }
        s3::BadBucket::Endpoint(_) | s3::BadBucket::Form(_) => {
            "see dura-stores(7) for the names of archives in buckets"
        }
    };
    Hinted::wrap(anyhow!("{}: {error}", without_login("s3", rest)), hint)
}

fn bad_address(archive: &str, rest: &str, error: dav::BadDavAddress) -> anyhow::Error {
    let scheme = archive.split("://").next().unwrap_or("https");
    let hint = match error {
        dav::BadDavAddress::Login => {
            "put them into ~/.netrc, or into DURA_DAV_USER and DURA_DAV_PASSWORD"
        }
        _ => "see dura-stores(7) for the names of archives on WebDAV servers",
    };
    Hinted::wrap(anyhow!("{}: {error}", without_login(scheme, rest)), hint)
}

fn bad_host(rest: &str, error: BadSshAddress) -> anyhow::Error {
    let hint = match error {
        BadSshAddress::Login => "use a key: ssh takes no password from Dura",
        BadSshAddress::Word(_) => {
            "write letters, digits and . _ -; for anything else, give the host a name in ~/.ssh/config"
        }
        _ => "see dura-stores(7) for the names of archives over SSH",
    };
    Hinted::wrap(anyhow!("{}: {error}", without_login("ssh", rest)), hint)
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
            "ssh://me:hush@host/a",
            "ssh://me:hu@sh@host/a?hush",
        ] {
            let report = Arc::new(Report::new("test", 0, Default::default()));
            let archive = ArchiveName::from(std::ffi::OsString::from(archive));
            let error =
                open_store(&archive, &Reach::default(), Awaited::default(), &report).err().unwrap();
            let error = format!("{error:#}");
            assert!(!error.contains("hush") && !error.contains("sh@"), "{error}");
        }
    }
}
