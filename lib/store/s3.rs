//! An archive in a bucket of an S3 service: Amazon's, or one of the many that speak the same.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use md5::Md5;
use rusty_s3::{Bucket, Method, UrlStyle};
use sha2::{Digest, Sha256};
use ureq::SendBody;
use ureq::http::Request;

use super::create_only::{Conditional, CreateOnly, Put};
use super::http::{Http, HttpServer, IDLE, MAX_PAGE, Reply, date, range};
use super::{Notice, StoreError, StoreErrorKind, Word, most};
use crate::format::object::{Object, ObjectName};

pub mod answers;
mod profile;
mod remove;
mod sign;

use profile::Settings;
pub use profile::{NoKeys, Sources};

/// More names than any folder of a band has, in bytes.
const MAX_NAMES: usize = 256 << 20;
/// So many pages of a listing are told of, and so many end it.
const PAGES: [u32; 2] = [1000, 100_000];
/// Pages in a row without a name behind all that came before: more than a service needs to step
/// over what was removed.
const MAX_EMPTY: u32 = 300;

/// A bucket, or what lies below a prefix in one.
pub struct S3 {
    http: Http,
    bucket: Bucket,
    settings: Mutex<Arc<Settings>>,
    /// Reads the settings again.
    reload: Option<Reload>,
    /// What the server's clock is ahead of ours, once it has told.
    ahead: Mutex<jiff::SignedDuration>,
    /// Whether the service takes checksums of its own kind.
    sums: Mutex<ChecksumSupport>,
    /// Empty, or ends in `/`.
    prefix: String,
    /// The storage class of blocks and their parity, if not the bucket's own.
    class: Option<String>,
    shown: String,
    once: CreateOnly,
    /// Done when that was said.
    keeps_versions: std::sync::Once,
}

type Reload = Box<dyn Fn() -> Option<Settings> + Send + Sync>;

/// What a service does with `x-amz-checksum-…`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ChecksumSupport {
    Unknown,
    Taken,
    Refused,
}

/// Said once, of a service that takes none.
const NO_SUMS: &str =
    "the service does not accept x-amz-checksum-sha256: sending objects with Content-MD5 only";

impl std::fmt::Debug for S3 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("S3").field("shown", &self.shown).finish_non_exhaustive()
    }
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
pub enum BadBucket {
    /// It is not written as it should be.
    #[error("{0}")]
    Form(&'static str),
    /// The service's address, from the environment or a profile.
    #[error("the endpoint is not an http:// or https:// address: {0}")]
    Endpoint(String),
    /// No keys.
    #[error(transparent)]
    Keys(#[from] NoKeys),
}

impl S3 {
    /// The archive of that name (`s3://…`), with keys, region and endpoint as Amazon's tools find
    /// them.
    ///
    /// # Errors
    /// What is wrong with the name, or with the keys.
    pub fn open(name: &str, idle: Option<Duration>, notice: Notice) -> Result<S3, BadBucket> {
        let variable = |name: &str| std::env::var(name).ok();
        let file = |path: &Path| std::fs::read_to_string(path).ok();
        let mut opened =
            S3::with(name, &Sources { variable: &variable, file: &file }, idle, notice)?;
        let profile = Address::parse(name)?.profile.map(str::to_owned);
        opened.reload = Some(Box::new(move || {
            let sources = Sources { variable: &variable, file: &file };
            sources.settings(profile.as_deref()).ok()
        }));
        Ok(opened)
    }

    /// The same, with environment and files from elsewhere.
    ///
    /// # Errors
    /// What is wrong with the name, or with the keys.
    pub fn with(
        name: &str,
        sources: &Sources<'_>,
        idle: Option<Duration>,
        notice: Notice,
    ) -> Result<S3, BadBucket> {
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
        let bad = || BadBucket::Endpoint(super::http::printable(&endpoint));
        let url = url::Url::parse(&endpoint)
            .ok()
            .filter(|url| url.username().is_empty() && url.password().is_none());
        let url =
            url.ok_or(BadBucket::Form("the endpoint is not an address, or contains a user name"))?;
        let bucket = Bucket::new(url, style, address.bucket.to_owned(), settings.region.clone())
            .map_err(|_| bad())?;
        Ok(S3 {
            http: Http::new(idle.unwrap_or(IDLE), Arc::clone(&notice)),
            bucket,
            settings: Mutex::new(Arc::new(settings)),
            reload: None,
            ahead: Mutex::default(),
            sums: Mutex::new(ChecksumSupport::Unknown),
            shown: format!("s3://{}/{}", address.bucket, address.prefix),
            prefix: address.prefix,
            class: address.class.map(str::to_owned),
            once: CreateOnly::new(notice),
            keeps_versions: std::sync::Once::new(),
        })
    }

    /// Signs and sends a request. Headers have names in lower case. Where the clocks differ, or
    /// the keys' time is over, it is signed once more: by the server's clock, or with the keys that
    /// the profile has by now.
    fn send(
        &self,
        method: Method,
        name: Option<&str>,
        query: &[(&str, &str)],
        headers: &[(&str, &str)],
        body: Option<&[u8]>,
        max: u64,
    ) -> Result<Reply, StoreError> {
        let reply = self.send_once(method, name, query, headers, body, max)?;
        if !matches!(reply.status.as_u16(), 400 | 401 | 403) || !self.mends(&reply) {
            return Ok(reply);
        }
        self.send_once(method, name, query, headers, body, max)
    }

    /// Whether what was refused would be taken if it were signed once more.
    fn mends(&self, reply: &Reply) -> bool {
        let code = answers::code(reply);
        if answers::is_skew(&code) {
            let Some(theirs) = reply.header("date").and_then(date) else { return false };
            let ahead = theirs.duration_since(jiff::Timestamp::now());
            let mut known = lock(&self.ahead);
            let changed = (*known - ahead).abs() > jiff::SignedDuration::from_secs(60);
            *known = ahead;
            return changed;
        }
        if !answers::is_ended(&code) {
            return false;
        }
        let Some(fresh) = self.reload.as_ref().and_then(|reload| reload()) else { return false };
        let mut known = lock(&self.settings);
        let changed = known.keys != fresh.keys;
        *known = Arc::new(fresh);
        changed
    }

    fn send_once(
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
        let mut url = self.bucket.object_url(&key);
        let settings = Arc::clone(&lock(&self.settings));
        let digest = hex::encode(Sha256::digest(body.unwrap_or_default()));
        let unsigned =
            sign::Unsigned { method: method.to_str(), url: &url, query, headers, body: &digest };
        let now = jiff::Timestamp::now() + *lock(&self.ahead);
        let own = sign::headers(unsigned, &settings.keys, self.bucket.region(), now);
        url.set_query(
            Some(&sign::query(query)).filter(|query| !query.is_empty()).map(|q| q.as_str()),
        );
        let mut request = Request::builder().method(method.to_str()).uri(url.as_str());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        for (name, value) in own {
            request = request.header(name, value);
        }
        let bad = |error: ureq::http::Error| {
            StoreError::of(StoreErrorKind::Other, &at, error.to_string())
        };
        match body {
            Some(body) => self.http.send(&at, request.body(body).map_err(bad)?, max),
            None => self.http.send(&at, request.body(SendBody::none()).map_err(bad)?, max),
        }
    }

    /// Sends a request with headers about checksums, and without them where the service does not
    /// take them.
    fn send_summed(
        &self,
        method: Method,
        name: &str,
        headers: &[(&str, &str)],
        body: Option<&[u8]>,
        max: u64,
    ) -> Result<Reply, StoreError> {
        let bare = || {
            let kept: Vec<(&str, &str)> = headers
                .iter()
                .copied()
                .filter(|(name, _)| !name.starts_with("x-amz-checksum-"))
                .collect();
            self.send(method, Some(name), &[], &kept, body, max)
        };
        let known = *lock(&self.sums);
        if known == ChecksumSupport::Refused {
            return bare();
        }
        let reply = self.send(method, Some(name), &[], headers, body, max)?;
        let status = reply.status.as_u16();
        if status < 300 || known == ChecksumSupport::Taken {
            if body.is_some() && status < 300 {
                *lock(&self.sums) = ChecksumSupport::Taken;
            }
            return Ok(reply);
        }
        // Services that know no such header have no common word for that.
        let code = answers::code(&reply);
        let refused = matches!(status, 400 | 411 | 415 | 501)
            || (status == 403 && matches!(code.as_str(), "SignatureDoesNotMatch" | "AccessDenied"));
        let other = ["BadDigest", "IncompleteBody", "InvalidObjectState", "RequestTimeout"];
        let signing = answers::is_skew(&code) || answers::is_ended(&code);
        if !refused || signing || other.contains(&code.as_str()) {
            return Ok(reply);
        }
        let again = bare()?;
        if again.status.is_success() || matches!(again.status.as_u16(), 404 | 412) {
            let before = std::mem::replace(&mut *lock(&self.sums), ChecksumSupport::Refused);
            if before != ChecksumSupport::Refused {
                self.once.tell(Word::Note(NO_SUMS));
            }
        }
        Ok(again)
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
    fn parse(name: &'a str) -> Result<Address<'a>, BadBucket> {
        let rest =
            name.strip_prefix("s3://").ok_or(BadBucket::Form("expected s3://BUCKET/PREFIX"))?;
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
        if bucket.contains('@') {
            return Err(BadBucket::Form(
                "an archive's name must not contain keys: others can see it",
            ));
        }
        if bucket.is_empty()
            || !bucket.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        {
            return Err(BadBucket::Form("not the name of a bucket: expected s3://BUCKET/PREFIX"));
        }
        let prefix = prefix.trim_matches('/');
        if !prefix.is_empty() && prefix.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err(BadBucket::Form("a prefix must not have empty parts, . or .."));
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
                    return Err(BadBucket::Form(
                        "only profile=NAME and storage-class=CLASS may follow the ?, joined by &",
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
        headers.sort_unstable();
        let reply = self.send_summed(Method::Put, name, &headers, Some(bytes), MAX_PAGE)?;
        match reply.status.as_u16() {
            200..=299 => Ok(Put::Done),
            412 if only_new => Ok(Put::Exists),
            501 if only_new => Ok(Put::NotUnderstood),
            404 if self.failed(name, &reply).kind == StoreErrorKind::NotFound => Err(reply
                .error_of(StoreErrorKind::NoArchive, &self.shown(name), Some("no such bucket"))),
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
                    most(name),
                )?;
                if matches!(told.status.as_u16(), 400 | 403) {
                    return Err(self.failed(name, &told));
                }
                // Signed once more it was taken, and so is the look.
                let reply = self.send(Method::Head, Some(name), &[], &[], None, 0)?;
                match reply.status.as_u16() {
                    200..=299 => reply.size(&self.shown(name)).map(Some),
                    404 => Ok(None),
                    _ => Err(self.failed(name, &reply)),
                }
            }
            _ => Err(self.failed(name, &reply)),
        }
    }

    fn read(&self, name: &str) -> Result<Vec<u8>, StoreError> {
        let mode = [("x-amz-checksum-mode", "ENABLED")];
        let reply = self.send_summed(Method::Get, name, &mode, None, most(name))?;
        if !reply.status.is_success() {
            return Err(self.failed(name, &reply));
        }
        // Of an object that came in several uploads the checksum is one of checksums, and has a
        // dash.
        let sum = reply.header("x-amz-checksum-sha256").filter(|sum| !sum.contains('-'));
        if sum.is_some_and(|sum| sum != BASE64.encode(Sha256::digest(&reply.body))) {
            return Err(StoreError::of(
                StoreErrorKind::Passing,
                self.shown(name),
                "changed on the way: the server's checksum does not match",
            ));
        }
        reply.whole(&self.shown(name))
    }

    fn shown(&self, name: &str) -> String {
        format!("{}{name}", self.shown)
    }
}

impl HttpServer for S3 {
    fn once(&self) -> &CreateOnly {
        &self.once
    }

    /// What lies cold cannot be read to see whose it is. But the server tells its SHA-256, or else
    /// the MD5 that it calls the entity's tag.
    fn tells_to_have(&self, name: &str, bytes: &[u8]) -> Result<bool, StoreError> {
        Ok(self.class_of(name).is_some() && self.sums(name, bytes)? == Some(true))
    }

    fn sums(&self, name: &str, bytes: &[u8]) -> Result<Option<bool>, StoreError> {
        let mode = [("x-amz-checksum-mode", "ENABLED")];
        let reply = self.send_summed(Method::Head, name, &mode, None, 0)?;
        let tag =
            || Md5::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        // Of an object that came in several uploads both are something else.
        let sum = reply.header("x-amz-checksum-sha256").filter(|sum| !sum.contains('-'));
        let same = match sum {
            Some(sum) => Some(sum == BASE64.encode(Sha256::digest(bytes))),
            None => reply
                .header("etag")
                .filter(|found| *found == format!("\"{}\"", tag()))
                .map(|_| true),
        };
        if !reply.status.is_success() {
            return Ok(None);
        }
        let size = reply.size(name)?;
        Ok(if size == bytes.len() as u64 { same } else { Some(false) })
    }

    fn part(&self, name: &str, range: &str) -> Result<Reply, StoreError> {
        let reply =
            self.send(Method::Get, Some(name), &[], &[("range", range)], None, most(name))?;
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
        let (mut furthest, mut empty, mut pages, mut held) = (String::new(), 0, 0, 0);
        loop {
            pages += 1;
            if pages == PAGES[0] {
                let text = format!("{}: the listing has over {pages} pages", self.shown(folder));
                self.once.tell(Word::Note(&text));
            }
            let mut query = Vec::new();
            query.extend(token.as_ref().map(|token| ("continuation-token", token.as_str())));
            query.extend([
                ("delimiter", "/"),
                ("encoding-type", "url"),
                ("list-type", "2"),
                ("prefix", prefix.as_str()),
            ]);
            let reply = self.send(Method::Get, None, &query, &[], None, MAX_PAGE)?;
            if !reply.status.is_success() {
                let error = self.failed(folder, &reply);
                let kind = match error.kind {
                    StoreErrorKind::NotFound => StoreErrorKind::NoArchive,
                    kind => kind,
                };
                return Err(StoreError { kind, ..error });
            }
            let shown = self.shown(folder);
            let bad =
                |text: &'static str| StoreError::of(StoreErrorKind::Other, shown.clone(), text);
            let page = answers::page(&reply.body, &prefix)
                .map_err(|error| StoreError::of(StoreErrorKind::Other, &shown, error))?;
            // Names come in order: what is not behind the others is not new.
            let last = page.names.iter().map(|(name, _)| name).max();
            if last.is_some_and(|last| *last > furthest) {
                furthest = last.cloned().unwrap_or_default();
                empty = 0;
            } else {
                empty += 1;
            }
            held += page.names.iter().map(|(name, _)| name.len() + 48).sum::<usize>();
            found.extend(page.names);
            if held > MAX_NAMES || pages > PAGES[1] {
                return Err(bad("the server lists more names than any archive has"));
            }
            if empty > MAX_EMPTY {
                return Err(bad("the server lists page after page without a new name"));
            }
            match (page.truncated, page.next) {
                (false, _) => break,
                (true, Some(next)) if Some(&next) != token.as_ref() => token = Some(next),
                (true, _) => return Err(bad("the server does not say how its listing continues")),
            }
        }
        found.sort();
        found.dedup_by(|a, b| a.0 == b.0);
        Ok(found)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
