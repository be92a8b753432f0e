//! An archive in a WebDAV collection, or, to read from, below any address that a plain web server
//! serves.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ureq::SendBody;
use ureq::http::Request;
use url::Url;

use super::create_only::{Conditional, CreateOnly, Put};
use super::http::{Http, HttpServer, IDLE, MAX_PAGE, Reply};
use super::{Notice, Remove, StoreError, StoreErrorKind, most};

pub mod listing;
mod netrc;

/// More than the listing of a full folder, which comes at once.
const MAX_LISTING: u64 = 256 << 20;

const PROPFIND: &str = "<?xml version=\"1.0\"?><propfind xmlns=\"DAV:\"><prop><resourcetype/><getcontentlength/></prop></propfind>";

/// A collection. It need not be there before the first write; what is above it must be.
pub struct Dav {
    http: Http,
    /// Ends in `/`.
    base: Url,
    /// The value of `Authorization`.
    login: Option<String>,
    /// Collections that are there.
    made: Mutex<HashSet<String>>,
    making: Mutex<()>,
    once: CreateOnly,
}

impl std::fmt::Debug for Dav {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let login = self.login.as_ref().map(|_| "…");
        f.debug_struct("Dav")
            .field("base", &self.base.as_str())
            .field("login", &login)
            .finish_non_exhaustive()
    }
}

/// Why an address is none of an archive.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadDavAddress {
    /// It is not written as it should be.
    #[error("not an address: expected http://HOST/PATH or https://HOST/PATH")]
    Form,
    /// There is a user or password in it.
    #[error("an archive's name must not contain a user or password: others can see it")]
    Login,
    /// There is a query or fragment in it.
    #[error("an archive's address must not contain ? or #")]
    Query,
}

impl Dav {
    /// The archive at that address (`http://…` or `https://…`), with user and password from the
    /// environment or `~/.netrc`.
    ///
    /// # Errors
    /// What is wrong with the address.
    pub fn open(name: &str, idle: Option<Duration>, notice: Notice) -> Result<Dav, BadDavAddress> {
        let variable = |name: &str| std::env::var(name).ok();
        let file = |path: &Path| std::fs::read_to_string(path).ok();
        Dav::with(name, &variable, &file, idle, notice)
    }

    /// The same, with environment and files from elsewhere.
    ///
    /// # Errors
    /// What is wrong with the address.
    pub fn with(
        name: &str,
        variable: &dyn Fn(&str) -> Option<String>,
        file: &dyn Fn(&Path) -> Option<String>,
        idle: Option<Duration>,
        notice: Notice,
    ) -> Result<Dav, BadDavAddress> {
        let mut base = Url::parse(name).map_err(|_| BadDavAddress::Form)?;
        let host = base
            .host_str()
            .filter(|_| matches!(base.scheme(), "http" | "https"))
            .ok_or(BadDavAddress::Form)?
            .to_owned();
        if !base.username().is_empty() || base.password().is_some() {
            return Err(BadDavAddress::Login);
        }
        if base.query().is_some() || base.fragment().is_some() {
            return Err(BadDavAddress::Query);
        }
        if !base.path().ends_with('/') {
            base.set_path(&format!("{}/", base.path()));
        }
        let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
        let netrc = || {
            let home = || Some(PathBuf::from(variable("HOME")?).join(".netrc"));
            netrc::login(&file(&variable("NETRC").map(PathBuf::from).or_else(home)?)?, &host)
        };
        let login = variable("DURA_DAV_USER")
            .map(|user| (user, variable("DURA_DAV_PASSWORD").unwrap_or_default()))
            .or_else(netrc);
        let login = login.map(|(user, password)| {
            format!("Basic {}", BASE64.encode(format!("{user}:{password}")))
        });
        let http = Http::new(idle.unwrap_or(IDLE), Arc::clone(&notice));
        Ok(Dav {
            http,
            base,
            login,
            made: Mutex::default(),
            making: Mutex::default(),
            once: CreateOnly::new(notice),
        })
    }

    fn url(&self, name: &str) -> String {
        // Names of objects hold nothing that an address would have to escape.
        format!("{}{name}", self.base)
    }

    fn send(
        &self,
        method: &str,
        name: &str,
        headers: &[(&str, &str)],
        body: Option<&[u8]>,
        max: u64,
    ) -> Result<Reply, StoreError> {
        let at = self.url(name);
        let mut request = Request::builder().method(method).uri(&at);
        if let Some(login) = &self.login {
            request = request.header("authorization", login);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let bad = |error: ureq::http::Error| {
            StoreError::of(StoreErrorKind::Other, &at, error.to_string())
        };
        match body {
            Some(body) => self.http.send(&at, request.body(body).map_err(bad)?, max),
            None => self.http.send(&at, request.body(SendBody::none()).map_err(bad)?, max),
        }
    }

    /// Makes the collection that an object lies in, and those above it down from the archive's,
    /// unless that was done.
    fn make_folders(&self, name: &str) -> Result<(), StoreError> {
        let Some(folder) = name.rfind('/').map(|end| &name[..=end]) else { return Ok(()) };
        if self.made().contains(folder) {
            return Ok(());
        }
        // Others who need it wait, instead of asking for the same.
        let _making = self.making.lock();
        if self.made().contains(folder) {
            return Ok(());
        }
        // From the deepest up to the first that is there, and down again.
        let above: Vec<&str> = std::iter::once("")
            .chain(folder.match_indices('/').map(|(end, _)| &folder[..=end]))
            .collect();
        let mut lacking = above.len() - 1;
        while !self.make(above[lacking], lacking == 0)? {
            lacking -= 1;
        }
        for folder in &above[lacking + 1..] {
            self.make(folder, true)?;
        }
        self.made().insert(folder.to_owned());
        Ok(())
    }

    fn made(&self) -> MutexGuard<'_, HashSet<String>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes one collection. False if the one above is not there, which is an error for the `last`
    /// that is tried.
    fn make(&self, folder: &str, last: bool) -> Result<bool, StoreError> {
        let reply = self.send("MKCOL", folder, &[], None, MAX_PAGE)?;
        match reply.status.as_u16() {
            // It is there already, says the second.
            200..=299 | 405 => Ok(true),
            404 | 409 if !last => Ok(false),
            404 | 409 => Err(reply.error_of(
                StoreErrorKind::NoArchive,
                &self.url(folder),
                Some("the folder above it does not exist"),
            )),
            501 => Err(reply.error_of(
                StoreErrorKind::Denied,
                &self.url(folder),
                Some("not a WebDAV server: it can only be read"),
            )),
            _ => Err(reply.error(&self.url(folder), None)),
        }
    }
}

impl Conditional for Dav {
    fn put(&self, name: &str, bytes: &[u8], only_new: bool) -> Result<Put, StoreError> {
        self.make_folders(name)?;
        let headers: &[(&str, &str)] = if only_new { &[("if-none-match", "*")] } else { &[] };
        let reply = self.send("PUT", name, headers, Some(bytes), MAX_PAGE)?;
        match reply.status.as_u16() {
            200..=299 => Ok(Put::Done),
            412 if only_new => Ok(Put::Exists),
            501 if only_new => Ok(Put::NotUnderstood),
            405 => Err(reply.error_of(
                StoreErrorKind::Denied,
                &self.url(name),
                Some("it can only be read"),
            )),
            404 | 409 => {
                // A folder that we made is gone: the next try makes it again.
                self.made().clear();
                Err(reply.error_of(StoreErrorKind::Passing, &self.url(name), None))
            }
            _ => Err(reply.error(&self.url(name), None)),
        }
    }

    fn size(&self, name: &str) -> Result<Option<u64>, StoreError> {
        let reply = self.send("HEAD", name, &[], None, 0)?;
        match reply.status.as_u16() {
            404 | 410 => Ok(None),
            // A collection is no object. Some servers say that, others that its name ends in a
            // slash.
            405 => Ok(None),
            300..=399 if self.is_collection(&reply, name) => Ok(None),
            200..=299 => reply.size(&self.url(name)).map(Some),
            _ => Err(reply.error(&self.url(name), None)),
        }
    }

    fn read(&self, name: &str) -> Result<Vec<u8>, StoreError> {
        let reply = self.send("GET", name, &[], None, most(name))?;
        if reply.status.is_success() {
            reply.whole(&self.url(name))
        } else {
            Err(reply.error(&self.url(name), None))
        }
    }

    fn prepare(&self, name: &str) -> Result<(), StoreError> {
        self.make_folders(name)
    }

    fn shown(&self, name: &str) -> String {
        self.url(name)
    }
}

impl Dav {
    fn is_collection(&self, reply: &Reply, name: &str) -> bool {
        let to =
            reply.header("location").and_then(|to| Url::parse(&self.url(name)).ok()?.join(to).ok());
        to.is_some_and(|to| to.as_str() == format!("{}/", self.url(name)))
    }
}

impl HttpServer for Dav {
    fn once(&self) -> &CreateOnly {
        &self.once
    }

    fn is_prepared(&self, name: &str) -> bool {
        name.find('/').is_none_or(|end| self.made().contains(&name[..=end]))
    }

    fn part(&self, name: &str, range: &str) -> Result<Reply, StoreError> {
        self.send("GET", name, &[("range", range)], None, most(name))
    }

    fn names(&self, folder: &str) -> Result<Vec<(String, u64)>, StoreError> {
        let folder = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        let headers = [("content-type", "application/xml"), ("depth", "1")];
        let reply =
            self.send("PROPFIND", &folder, &headers, Some(PROPFIND.as_bytes()), MAX_LISTING)?;
        let at = self.url(&folder);
        match reply.status.as_u16() {
            207 => listing::names(&reply.body, &at)
                .map_err(|error| StoreError::of(StoreErrorKind::Other, at, error)),
            404 | 410 => Ok(Vec::new()),
            // What web servers say that know no WebDAV.
            200..=299 | 400 | 405 | 501 => Err(reply.error_of(
                StoreErrorKind::NoListing,
                &at,
                Some("not a WebDAV server: it cannot list what it has"),
            )),
            _ => Err(reply.error(&at, None)),
        }
    }
}

impl Remove for Dav {
    fn remove(&self, name: &str) -> Result<(), StoreError> {
        let reply = self.send("DELETE", name, &[], None, MAX_PAGE)?;
        if reply.status.is_success() { Ok(()) } else { Err(reply.error(&self.url(name), None)) }
    }
}

#[cfg(test)]
mod tests;
