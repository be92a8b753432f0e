//! An archive in a bucket of an S3 service: Amazon's, or one of the many that speak the same.

use std::io;
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use md5::Md5;
use rusty_s3::{Bucket, Method, UrlStyle, signing};
use sha2::{Digest, Sha256};
use ureq::SendBody;
use ureq::http::Request;

use super::create_only::{Conditional, CreateOnly, Put};
use super::http::{Http, IDLE, MAX_OBJECT, MAX_PAGE, Reply, Server, range};
use super::{Kind, Notice, Remove, StoreError};
use crate::format::object::{Object, ObjectName};

pub mod answers;
mod profile;

use profile::Settings;
pub use profile::{NoKeys, Sources};

/// How long a signed request may lie before it is sent.
const EXPIRES: Duration = Duration::from_secs(3600);
/// More names than any folder of a band has.
const MAX_NAMES: usize = 4_000_000;

/// A bucket, or what lies below a prefix in one.
#[derive(Debug)]
pub struct S3 {
    http: Http,
    bucket: Bucket,
    settings: Settings,
    /// Empty, or ends in `/`.
    prefix: String,
    /// The storage class of blocks and their parity, if not the bucket's own.
    class: Option<String>,
    shown: String,
    once: CreateOnly,
}

/// What an archive's name asks for, taken apart:
/// `s3://BUCKET/PREFIX?profile=NAME&storage-class=CLASS`.
#[derive(Debug, Default, PartialEq, Eq)]
struct Address<'a> {
    bucket: &'a str,
    prefix: String,
    profile: Option<&'a str>,
    class: Option<&'a str>,
}

/// Why a bucket cannot be spoken to, before anything was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadAddress {
    /// It is not written as it should be.
    #[error("{0}")]
    Form(&'static str),
    /// The service's address, from the environment or a profile.
    #[error("the endpoint is no http:// or https:// address: {0}")]
    Endpoint(String),
    /// No keys.
    #[error(transparent)]
    Keys(#[from] NoKeys),
}

impl S3 {
    /// The archive of that name (`s3://…`), with keys, region and endpoint as Amazon's tools find
    /// them.
    pub fn open(name: &str, idle: Option<Duration>, notice: Notice) -> Result<S3, BadAddress> {
        let variable = |name: &str| std::env::var(name).ok();
        let file = |path: &Path| std::fs::read_to_string(path).ok();
        S3::with(name, &Sources { variable: &variable, file: &file }, idle, notice)
    }

    /// The same, with environment and files from elsewhere.
    pub fn with(
        name: &str,
        sources: &Sources<'_>,
        idle: Option<Duration>,
        notice: Notice,
    ) -> Result<S3, BadAddress> {
        let address = Address::parse(name)?;
        let settings = sources.settings(address.profile)?;
        let (endpoint, style) = match &settings.endpoint {
            Some(endpoint) if settings.virtual_host => (endpoint.clone(), UrlStyle::VirtualHost),
            Some(endpoint) => (endpoint.clone(), UrlStyle::Path),
            None => {
                let suffix = if settings.region.starts_with("cn-") { ".cn" } else { "" };
                // A certificate for the bucket's host name covers no name with a dot.
                let style = if address.bucket.contains('.') {
                    UrlStyle::Path
                } else {
                    UrlStyle::VirtualHost
                };
                (format!("https://s3.{}.amazonaws.com{suffix}", settings.region), style)
            }
        };
        let bad = || BadAddress::Endpoint(super::http::printable(&endpoint));
        let url = url::Url::parse(&endpoint)
            .ok()
            .filter(|url| url.username().is_empty() && url.password().is_none());
        let url = url.ok_or(BadAddress::Form(
            "the endpoint is no address, or has a user in it, which has no place there",
        ))?;
        let bucket = Bucket::new(url, style, address.bucket.to_owned(), settings.region.clone())
            .map_err(|_| bad())?;
        Ok(S3 {
            http: Http::new(idle.unwrap_or(IDLE)),
            bucket,
            settings,
            shown: format!("s3://{}/{}", address.bucket, address.prefix),
            prefix: address.prefix,
            class: address.class.map(str::to_owned),
            once: CreateOnly::new(notice),
        })
    }

    /// Signs and sends a request. Query and headers are sorted by name, as the signature wants
    /// them.
    fn send(
        &self,
        method: Method,
        name: Option<&str>,
        query: &[(&str, &str)],
        headers: &[(&str, &str)],
        body: Option<&[u8]>,
        max: u64,
    ) -> Result<Reply, StoreError> {
        let at = self.shown(name.unwrap_or(""));
        let key = name.map_or_else(String::new, |name| format!("{}{name}", self.prefix));
        let keys = &self.settings.keys;
        let url = signing::sign(
            &jiff::Timestamp::now(),
            method,
            self.bucket.object_url(&key),
            keys.key(),
            keys.secret(),
            keys.token(),
            self.bucket.region(),
            EXPIRES.as_secs(),
            query.iter().copied(),
            headers.iter().copied(),
        );
        let mut request = Request::builder().method(method.to_str()).uri(url.as_str());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let bad = |error: ureq::http::Error| StoreError::of(Kind::Other, &at, error.to_string());
        match body {
            Some(body) => self.http.send(&at, request.body(body).map_err(bad)?, max),
            None => self.http.send(&at, request.body(SendBody::none()).map_err(bad)?, max),
        }
    }

    fn failed(&self, name: &str, reply: &Reply) -> StoreError {
        answers::error(reply, &self.shown(name))
    }

    /// The class that an object is stored in: what is needed to look into a band, or to go on with
    /// one, is always at hand.
    fn class_of(&self, name: &str) -> Option<&str> {
        let (_, object) = name.split_once('/')?;
        let object = ObjectName::parse(object)?.object;
        let cold = matches!(object, Object::Block(..) | Object::Part(..) | Object::Parity(..));
        self.class.as_deref().filter(|_| cold)
    }
}

impl<'a> Address<'a> {
    fn parse(name: &'a str) -> Result<Address<'a>, BadAddress> {
        let rest =
            name.strip_prefix("s3://").ok_or(BadAddress::Form("wanted s3://BUCKET/PREFIX"))?;
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
        if bucket.contains('@') {
            return Err(BadAddress::Form(
                "keys have no place in an archive's name: others can see it",
            ));
        }
        if bucket.is_empty()
            || !bucket.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        {
            return Err(BadAddress::Form("no name of a bucket; wanted s3://BUCKET/PREFIX"));
        }
        let prefix = prefix.trim_matches('/');
        if !prefix.is_empty() && prefix.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err(BadAddress::Form("a prefix has no empty part and no dots alone"));
        }
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        let mut address = Address { bucket, prefix, ..Address::default() };
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some(("profile", value)) if !value.is_empty() => address.profile = Some(value),
                Some(("storage-class", value))
                    if value.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') =>
                {
                    address.class = Some(value);
                }
                _ => {
                    return Err(BadAddress::Form(
                        "after the ? come profile=NAME and storage-class=CLASS, with & between them",
                    ));
                }
            }
        }
        Ok(address)
    }
}

impl Conditional for S3 {
    fn put(&self, name: &str, bytes: &[u8], only_new: bool) -> Result<Put, StoreError> {
        let (md5, sha) = (BASE64.encode(Md5::digest(bytes)), BASE64.encode(Sha256::digest(bytes)));
        let mut headers = vec![("content-md5", md5.as_str())];
        if only_new {
            headers.push(("if-none-match", "*"));
        }
        headers.push(("x-amz-checksum-sha256", &sha));
        if let Some(class) = self.class_of(name) {
            headers.push(("x-amz-storage-class", class));
        }
        let reply = self.send(Method::Put, Some(name), &[], &headers, Some(bytes), MAX_PAGE)?;
        match reply.status.as_u16() {
            200..=299 => Ok(Put::Done),
            412 if only_new => Ok(Put::Exists),
            501 if only_new => Ok(Put::NotUnderstood),
            404 if self.failed(name, &reply).kind == Kind::NotFound => {
                Err(reply.error_of(Kind::NoArchive, &self.shown(name), Some("no such bucket")))
            }
            _ => Err(self.failed(name, &reply)),
        }
    }

    fn size(&self, name: &str) -> Result<Option<u64>, StoreError> {
        let reply = self.send(Method::Head, Some(name), &[], &[], None, 0)?;
        match reply.status.as_u16() {
            200..=299 => reply.size(&self.shown(name)).map(Some),
            404 => Ok(None),
            // The answer to HEAD has no body that could tell why: a read of one byte has.
            400 | 403 => {
                let told = self.send(
                    Method::Get,
                    Some(name),
                    &[],
                    &[("range", &range(0, 1))],
                    None,
                    MAX_OBJECT,
                )?;
                Err(self.failed(
                    name,
                    if matches!(told.status.as_u16(), 400 | 403) { &told } else { &reply },
                ))
            }
            _ => Err(self.failed(name, &reply)),
        }
    }

    fn read(&self, name: &str) -> Result<Vec<u8>, StoreError> {
        let reply = self.send(
            Method::Get,
            Some(name),
            &[],
            &[("x-amz-checksum-mode", "ENABLED")],
            None,
            MAX_OBJECT,
        )?;
        if !reply.status.is_success() {
            return Err(self.failed(name, &reply));
        }
        // Of an object that came in several uploads the checksum is one of checksums, and has a
        // dash.
        let sum = reply.header("x-amz-checksum-sha256").filter(|sum| !sum.contains('-'));
        if sum.is_some_and(|sum| sum != BASE64.encode(Sha256::digest(&reply.body))) {
            return Err(StoreError::of(
                Kind::Passing,
                self.shown(name),
                "changed on the way: the server's checksum does not fit",
            ));
        }
        Ok(reply.body)
    }

    fn shown(&self, name: &str) -> String {
        format!("{}{name}", self.shown)
    }
}

impl Server for S3 {
    fn once(&self) -> &CreateOnly {
        &self.once
    }

    /// What lies cold cannot be read to see whose it is. But the server tells its SHA-256, or else
    /// the MD5 that it calls the entity's tag.
    fn tells_to_have(&self, name: &str, bytes: &[u8]) -> Result<bool, StoreError> {
        if self.class_of(name).is_none() {
            return Ok(false);
        }
        let reply = self.send(
            Method::Head,
            Some(name),
            &[],
            &[("x-amz-checksum-mode", "ENABLED")],
            None,
            0,
        )?;
        let is = |header: &str, wanted: String| reply.header(header).map(|found| found == wanted);
        let tag =
            || Md5::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let sum = is("x-amz-checksum-sha256", BASE64.encode(Sha256::digest(bytes)));
        let same = sum.or_else(|| is("etag", format!("\"{}\"", tag())));
        Ok(reply.status.is_success()
            && reply.size(name)? == bytes.len() as u64
            && same == Some(true))
    }

    fn part(&self, name: &str, range: &str) -> Result<Reply, StoreError> {
        let reply =
            self.send(Method::Get, Some(name), &[], &[("range", range)], None, MAX_OBJECT)?;
        if matches!(reply.status.as_u16(), 200 | 206 | 416) {
            Ok(reply)
        } else {
            Err(self.failed(name, &reply))
        }
    }

    fn names(&self, folder: &str) -> Result<Vec<(String, u64)>, StoreError> {
        let prefix = if folder.is_empty() {
            self.prefix.clone()
        } else {
            format!("{}{folder}/", self.prefix)
        };
        let mut found = Vec::new();
        let mut token: Option<String> = None;
        loop {
            let mut query = Vec::new();
            if let Some(token) = &token {
                query.push(("continuation-token", token.as_str()));
            }
            query.extend([
                ("delimiter", "/"),
                ("encoding-type", "url"),
                ("list-type", "2"),
                ("prefix", prefix.as_str()),
            ]);
            let reply = self.send(Method::Get, None, &query, &[], None, MAX_PAGE)?;
            if !reply.status.is_success() {
                let error = self.failed(folder, &reply);
                return Err(if error.kind == Kind::NotFound {
                    StoreError { kind: Kind::NoArchive, ..error }
                } else {
                    error
                });
            }
            let bad = |text: &'static str| StoreError::of(Kind::Other, self.shown(folder), text);
            let page = answers::page(&reply.body, &prefix)
                .map_err(|error| StoreError::of(Kind::Other, self.shown(folder), error))?;
            found.extend(page.names);
            if found.len() > MAX_NAMES {
                return Err(bad("the server lists more names than any archive has"));
            }
            match (page.truncated, page.next) {
                (false, _) => break,
                (true, Some(next)) if Some(&next) != token.as_ref() => token = Some(next),
                (true, _) => return Err(bad("the server does not tell how its listing goes on")),
            }
        }
        found.sort();
        found.dedup_by(|a, b| a.0 == b.0);
        Ok(found)
    }
}

impl Remove for S3 {
    fn remove(&self, name: &str) -> Result<(), StoreError> {
        // The server says the same whether there was one or not.
        if self.size(name)?.is_none() {
            return Err(StoreError::new(self.shown(name), io::ErrorKind::NotFound.into()));
        }
        let reply = self.send(Method::Delete, Some(name), &[], &[], None, MAX_PAGE)?;
        if reply.status.is_success() { Ok(()) } else { Err(self.failed(name, &reply)) }
    }
}

#[cfg(test)]
mod tests;
