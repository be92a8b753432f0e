//! HTTP as the stores over it need it: whole requests and whole, bounded replies; no redirects;
//! errors sorted by what to do about them.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use ureq::http::{HeaderMap, Request, StatusCode};
use ureq::tls::{RootCerts, TlsConfig};
use ureq::{Agent, AsSendBody};

use super::create_only::{Conditional, CreateOnly};
use super::{LookAhead, Notice, Store, StoreError, StoreErrorKind, UNSEEN, Word};

/// More than any page of a listing that comes in pages.
pub(super) const MAX_PAGE: u64 = 16 << 20;
/// What is read of a reply that tells of an error.
const MAX_ERROR: u64 = 64 << 10;
/// What is shown of it.
const MAX_SHOWN: usize = 200;
/// A body that comes at less than this for longer than the time-out is given up.
const MIN_RATE: u64 = 4 << 10;

/// How long a connection may stay silent, unless the user says otherwise.
pub(super) const IDLE: Duration = Duration::from_secs(60);

/// A client: its connections are kept and used again.
pub(super) struct Http {
    agent: Agent,
    idle: Duration,
    notice: Notice,
}

impl std::fmt::Debug for Http {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Http").field("idle", &self.idle).finish_non_exhaustive()
    }
}

/// A whole reply. Of one that tells of an error, the body may be cut.
#[derive(Debug)]
pub struct Reply {
    /// What it says in a number.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, if there was to be one.
    pub body: Vec<u8>,
}

impl Http {
    /// A client that gives up when nothing moves for as long as `idle`, and says when something
    /// takes longer.
    pub(super) fn new(idle: Duration, notice: Notice) -> Http {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .allow_non_standard_methods(true)
            .user_agent(concat!("dura/", env!("CARGO_PKG_VERSION")))
            .tls_config(TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build())
            .timeout_resolve(Some(idle.min(Duration::from_secs(20))))
            .timeout_connect(Some(idle.min(Duration::from_secs(20))))
            .timeout_per_read(Some(idle))
            .timeout_per_write(Some(idle))
            .timeout_recv_response(Some(idle * 5))
            .max_idle_connections(64)
            .max_idle_connections_per_host(64)
            .build();
        Http { agent: config.new_agent(), idle, notice }
    }

    /// Sends a request and reads the reply, whatever it says, up to `max` bytes if it is what was
    /// asked for. `at` is the object as a person finds it.
    pub(super) fn send(
        &self,
        at: &str,
        request: Request<impl AsSendBody>,
        max: u64,
    ) -> Result<Reply, StoreError> {
        let is_head = request.method() == "HEAD";
        let longest = self.idle + Duration::from_secs(max / MIN_RATE);
        let request =
            self.agent.configure_request(request).timeout_recv_body(Some(longest)).build();
        let reply = self.agent.run(request).map_err(|error| self.failed(at, error))?;
        let (parts, mut body) = reply.into_parts();
        let (status, headers) = (parts.status, parts.headers);
        let framed =
            headers.contains_key("content-length") || headers.contains_key("transfer-encoding");
        if status.is_success()
            && !framed
            && !is_head
            && status != StatusCode::NO_CONTENT
            && status != StatusCode::CREATED
        {
            // One that was cut off could not be told from a whole one.
            return Err(StoreError::of(
                StoreErrorKind::Other,
                at,
                "the server's reply has no length",
            ));
        }
        let announced: Option<u64> = headers
            .get("content-length")
            .and_then(|length| length.to_str().ok()?.parse().ok())
            .filter(|_| status.is_success() && !is_head);
        if announced.is_some_and(|announced| announced > max) {
            return Err(self.failed(at, ureq::Error::BodyExceedsLimit(max)));
        }
        let max = if status.is_success() { max } else { MAX_ERROR };
        let mut bytes = Vec::new();
        if !is_head {
            let read = match headers.contains_key("transfer-encoding") {
                false => self.read(at, &mut body.as_reader(), max, &mut bytes),
                true => {
                    let mut chunks = Chunks::of(body.into_reader(), self.idle * 2);
                    self.read(at, &mut chunks, max, &mut bytes)
                }
            };
            match read {
                // What the status says is enough.
                _ if !status.is_success() => {}
                Ok(()) => {}
                Err(error) => return Err(self.failed(at, error.into())),
            }
        }
        Ok(Reply { status, headers, body: bytes })
    }

    /// Reads a body: never more than `max`, not slower than is worth waiting for, and no room is
    /// made for what has not come.
    fn read(
        &self,
        at: &str,
        body: &mut impl Read,
        max: u64,
        bytes: &mut Vec<u8>,
    ) -> io::Result<()> {
        let begun = Instant::now();
        let mut told = false;
        let mut buffer = vec![0; 64 << 10];
        loop {
            let read = match body.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if bytes.len() as u64 + read as u64 > max {
                return Err(ureq::Error::BodyExceedsLimit(max).into_io());
            }
            bytes.extend_from_slice(&buffer[..read]);
            if !told && begun.elapsed() > self.idle {
                told = true;
                let rate = bytes.len() as u64 / begun.elapsed().as_secs().max(1);
                (self.notice)(Word::Note(&format!(
                    "waiting for {at}: receiving {rate} bytes per second"
                )));
            }
            if begun.elapsed() > self.idle + Duration::from_secs(bytes.len() as u64 / MIN_RATE) {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "the reply is too slow"));
            }
        }
    }

    /// Sorts what went wrong before there was a reply, or in the middle of one.
    fn failed(&self, at: &str, error: ureq::Error) -> StoreError {
        use ureq::Error as E;
        match error {
            E::Timeout(_) => {
                let text = format!("no answer for {} seconds", self.idle.as_secs().max(1));
                StoreError::of(
                    StoreErrorKind::Passing,
                    at,
                    io::Error::new(io::ErrorKind::TimedOut, text),
                )
            }
            E::Io(error) if error.kind() == io::ErrorKind::InvalidData => {
                // A record that was changed on the way may come right the next time; a certificate
                // does not.
                let passing = error.to_string().contains("decrypt");
                StoreError::of(
                    if passing { StoreErrorKind::Passing } else { StoreErrorKind::Certificate },
                    at,
                    error,
                )
            }
            E::Io(error) => StoreError::of(StoreErrorKind::Passing, at, error),
            E::Rustls(error) => StoreError::of(StoreErrorKind::Certificate, at, error.to_string()),
            E::Tls(text) => StoreError::of(StoreErrorKind::Certificate, at, text),
            E::HostNotFound => StoreError::of(StoreErrorKind::Passing, at, "host not found"),
            E::BodyExceedsLimit(max) => StoreError::of(
                StoreErrorKind::Damaged,
                at,
                format!("the server's reply is larger than {max} bytes, and no such object is"),
            ),
            error @ (E::Protocol(_)
            | E::ConnectionFailed
            | E::ConnectProxyFailed(_)
            | E::LargeResponseHeader(..)) => {
                StoreError::of(StoreErrorKind::Passing, at, error.to_string())
            }
            error => StoreError::of(StoreErrorKind::Other, at, error.to_string()),
        }
    }
}

/// A body in chunks. What is between them can take for ever and bring nothing, without a pause: so
/// another thread reads.
struct Chunks {
    pieces: Receiver<io::Result<Vec<u8>>>,
    piece: io::Cursor<Vec<u8>>,
    idle: Duration,
}

impl Chunks {
    /// A reader that gives up when nothing comes for as long as `idle`.
    fn of(mut body: impl Read + Send + 'static, idle: Duration) -> Chunks {
        let (give, pieces) = sync_channel(2);
        // Ends with the body, or when nobody takes it any more; at the latest when the request does.
        std::thread::spawn(move || {
            loop {
                let mut piece = vec![0; 64 << 10];
                let read = body.read(&mut piece).map(|read| {
                    piece.truncate(read);
                    piece
                });
                let is_last = read.as_ref().map_or(true, Vec::is_empty);
                if give.send(read).is_err() || is_last {
                    return;
                }
            }
        });
        Chunks { pieces, piece: io::Cursor::default(), idle }
    }
}

impl Read for Chunks {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.piece.position() == self.piece.get_ref().len() as u64 {
            self.piece = io::Cursor::new(match self.pieces.recv_timeout(self.idle) {
                Ok(piece) => piece?,
                Err(RecvTimeoutError::Disconnected) => Vec::new(),
                Err(RecvTimeoutError::Timeout) => {
                    return Err(io::Error::new(io::ErrorKind::TimedOut, "the reply is too slow"));
                }
            });
        }
        self.piece.read(out)
    }
}

impl Reply {
    /// The body of the reply to a request for a whole object.
    pub(super) fn whole(self, at: &str) -> Result<Vec<u8>, StoreError> {
        if self.status == StatusCode::PARTIAL_CONTENT {
            let text = "the server sends a part, although the whole was requested";
            return Err(StoreError::of(StoreErrorKind::Other, at, text));
        }
        Ok(self.body)
    }

    /// A header, if it is there and is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The size that the reply to a HEAD request tells.
    ///
    /// # Errors
    /// If it tells none.
    pub fn size(&self, at: &str) -> Result<u64, StoreError> {
        let size = self.header("content-length").and_then(|text| text.parse().ok());
        size.ok_or_else(|| {
            StoreError::of(StoreErrorKind::Other, at, "the server does not say how large it is")
        })
    }

    /// The error that a reply tells of, as far as its status says; `said` is what else is known,
    /// from the server or us.
    pub fn error(&self, at: &str, said: Option<&str>) -> StoreError {
        let kind = match self.status.as_u16() {
            300..=399 => StoreErrorKind::Redirect,
            401 | 403 | 407 => StoreErrorKind::Denied,
            404 | 410 => StoreErrorKind::NotFound,
            412 => StoreErrorKind::Exists,
            507 => StoreErrorKind::NoSpace,
            408 | 409 | 423 | 425 | 429 | 500 | 502 | 503 | 504 | 509 | 520..=530 => {
                StoreErrorKind::Passing
            }
            _ => StoreErrorKind::Other,
        };
        self.error_of(kind, at, said)
    }

    /// The same, where more is known than the status says.
    pub fn error_of(&self, kind: StoreErrorKind, at: &str, said: Option<&str>) -> StoreError {
        let mut text = match self.status.canonical_reason() {
            Some(reason) => format!("{} {}", self.status.as_u16(), reason.to_lowercase()),
            None => self.status.as_u16().to_string(),
        };
        if kind == StoreErrorKind::Redirect {
            // Only where to: what follows in an address may be secret.
            let to = self.header("location").and_then(|to| url::Url::parse(to).ok());
            let to = to.map(|to| to.origin().ascii_serialization());
            text = format!(
                "{text}: the server redirects to {}",
                to.as_deref().unwrap_or("another address")
            );
        }
        if let Some(said) = said.map(printable).filter(|said| !said.is_empty()) {
            text = format!("{text}: {said}");
        }
        let mut error = StoreError::of(kind, at, text);
        error.retry_after =
            self.header("retry-after").and_then(|text| retry_after(text, jiff::Timestamp::now()));
        error
    }

    /// The part of an object that the reply to a request with `range` brings; none if the object
    /// ends before.
    ///
    /// # Errors
    /// If it is not that part.
    pub fn part(self, at: &str, start: u64, length: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let cut = |bytes: &[u8], from: u64| {
            let at = |offset: u64| {
                usize::try_from(offset).map_or(bytes.len(), |offset| offset.min(bytes.len()))
            };
            bytes[at(from)..at(from.saturating_add(length))].to_vec()
        };
        let range = self.header("content-range").and_then(|text| text.strip_prefix("bytes "));
        let (place, whole) = range.and_then(|text| text.split_once('/')).unzip();
        let ends = place.and_then(|text| text.split_once('-'));
        let from: Option<u64> = ends.and_then(|(from, _)| from.parse().ok());
        let to: Option<u64> = ends.and_then(|(_, to)| to.parse().ok());
        let whole: Option<u64> = whole.and_then(|text| text.parse().ok());
        let behind = start.saturating_add(self.body.len() as u64);
        // It may have an end that the server does not tell.
        let is_short = |whole: u64| behind < whole.min(start.saturating_add(length));
        match (self.status.as_u16(), from) {
            (200 | 206, Some(from))
                if from == start
                    && (to.is_some_and(|to| to.checked_add(1) != Some(behind))
                        || whole.is_some_and(is_short)) =>
            {
                Err(StoreError::of(
                    StoreErrorKind::Other,
                    at,
                    "the server sends less than was requested",
                ))
            }
            // Some servers say 200 for a part, too.
            (200 | 206, Some(from)) if from == start => Ok(Some(cut(&self.body, 0))),
            // Servers may send all.
            (200, None) => Ok(Some(cut(&self.body, start))),
            (200 | 206, _) => Err(StoreError::of(
                StoreErrorKind::Other,
                at,
                "the server sends another part than was requested",
            )),
            (416, _) => Ok(None),
            _ => Err(self.error(at, None)),
        }
    }
}

/// A server that holds an archive. What it has of 0 bytes counts as absent.
pub(super) trait HttpServer: Conditional + Send {
    /// What this run knows of how it takes writes.
    fn once(&self) -> &CreateOnly;
    /// The reply to a request for a part of an object: with that `Range`.
    fn part(&self, name: &str, range: &str) -> Result<Reply, StoreError>;
    /// What [`Store::list`] gives.
    fn names(&self, folder: &str) -> Result<Vec<(String, u64)>, StoreError>;
    /// Whether it says of an object, by a checksum of its own, that it has just these bytes there;
    /// none where it has no such checksum.
    fn sums(&self, _name: &str, _bytes: &[u8]) -> Result<Option<bool>, StoreError> {
        Ok(None)
    }
    /// Whether it says of an object that should not be read for that, that it has just these bytes
    /// there.
    fn tells_to_have(&self, _name: &str, _bytes: &[u8]) -> Result<bool, StoreError> {
        Ok(false)
    }
    /// Whether the band of that name has what its objects lie in.
    fn is_prepared(&self, _name: &str) -> bool {
        true
    }
}

fn absent(server: &dyn Conditional, name: &str) -> StoreError {
    StoreError::new(server.shown(name), io::ErrorKind::NotFound.into())
}

impl<S: HttpServer> Store for S {
    fn put_new(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        match self.once().put_new(self, name, bytes) {
            Err(error) if error.kind == StoreErrorKind::Exists => {
                if self.tells_to_have(name, bytes)? { Ok(()) } else { Err(error) }
            }
            other => other,
        }
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.put(name, bytes, false).map(drop)
    }

    fn get(&self, name: &str) -> Result<Vec<u8>, StoreError> {
        self.read(name)
            .and_then(|bytes| if bytes.is_empty() { Err(absent(self, name)) } else { Ok(bytes) })
    }

    fn get_range(&self, name: &str, start: u64, length: u64) -> Result<Vec<u8>, StoreError> {
        let nothing =
            || if self.stat(name)?.is_some() { Ok(Vec::new()) } else { Err(absent(self, name)) };
        if length == 0 {
            return nothing();
        }
        let reply = self.part(name, &range(start, length))?;
        reply.part(&self.shown(name), start, length)?.map_or_else(nothing, Ok)
    }

    fn stat(&self, name: &str) -> Result<Option<u64>, StoreError> {
        Ok(self.size(name)?.filter(|size| *size > 0))
    }

    fn list(&self, folder: &str) -> Result<Vec<(String, u64)>, StoreError> {
        let found = self.names(folder)?;
        for (name, _) in found.iter().filter(|(_, size)| *size == UNSEEN) {
            let at = self.shown(&if folder.is_empty() {
                name.clone()
            } else {
                format!("{folder}/{name}")
            });
            let text = "the server lists it, but does not say how large it is";
            self.once().tell(Word::Flaw(&StoreError::of(StoreErrorKind::Damaged, at, text)));
        }
        Ok(found)
    }
}

impl<S: HttpServer> LookAhead for S {
    fn look_ahead(&self, name: &str) {
        // What the write has to make first would come between.
        if self.is_prepared(name) {
            self.once().look_ahead(self, name);
        }
    }

    fn tells(&self, name: &str, bytes: &[u8]) -> Result<Option<bool>, StoreError> {
        self.sums(name, bytes)
    }
}

/// The value of a `Range` header.
pub(super) fn range(start: u64, length: u64) -> String {
    match start.checked_add(length - 1).filter(|end| *end <= i64::MAX as u64) {
        Some(end) => format!("bytes={start}-{end}"),
        None => format!("bytes={start}-"),
    }
}

/// What a server says, so that it can stand in a message: one line, not long, nothing that a
/// terminal obeys.
pub(super) fn printable(text: &str) -> String {
    let clean: String =
        text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_SHOWN).collect();
    clean.trim().trim_end_matches(['.', ' ']).to_owned()
}

/// How long to wait by a `Retry-After`: seconds, or a date.
fn retry_after(text: &str, now: jiff::Timestamp) -> Option<Duration> {
    if let Ok(seconds) = text.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    Some(Duration::try_from(date(text)?.duration_since(now)).unwrap_or_default())
}

/// A date as headers have it.
pub(super) fn date(text: &str) -> Option<jiff::Timestamp> {
    Some(jiff::fmt::rfc2822::parse(text.trim()).ok()?.timestamp())
}

#[cfg(test)]
mod tests;
