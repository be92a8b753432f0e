//! Servers that answer as they should not, each a function from a request to a reply.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::dav::Dav;
use super::s3::{S3, Sources};
use super::{Notice, Store, StoreError, StoreErrorKind, UNSEEN, Word};

/// A request: its first line, and its headers in lower case.
#[derive(Debug, Clone)]
pub(super) struct HttpRequest {
    pub(super) line: String,
    pub(super) headers: Vec<(String, String)>,
}

impl HttpRequest {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// What was asked so far.
pub(super) type Log = Arc<Mutex<Vec<HttpRequest>>>;

/// A server on loopback that answers with what `reply` gives, a whole reply with its head.
pub(super) fn serve(
    reply: impl Fn(&HttpRequest) -> String + Send + Sync + 'static,
) -> (String, Log) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (log, reply) = (Log::default(), Arc::new(reply));
    let seen = Arc::clone(&log);
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let (seen, reply) = (Arc::clone(&seen), Arc::clone(&reply));
            std::thread::spawn(move || drop(answer(stream, &seen, reply.as_ref())));
        }
    });
    (address, log)
}

fn answer(
    mut stream: TcpStream,
    seen: &Log,
    reply: &(dyn Fn(&HttpRequest) -> String + Send + Sync),
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    loop {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            match line.trim_end() {
                "" => break,
                line => lines.push(line.to_owned()),
            }
        }
        let line = lines.remove(0);
        let header = |line: String| {
            let (name, value) = line.split_once(':')?;
            Some((name.to_ascii_lowercase(), value.trim().to_owned()))
        };
        let asked = HttpRequest { line, headers: lines.into_iter().filter_map(header).collect() };
        let length = asked.header("content-length").map_or(0, |text| text.parse().unwrap());
        std::io::copy(&mut reader.by_ref().take(length), &mut std::io::sink())?;
        let text = reply(&asked);
        seen.lock().unwrap().push(asked);
        let (once, for_ever) = text.split_once(FOR_EVER).unwrap_or((&text, ""));
        let once = once.strip_suffix(SHUT).unwrap_or(once);
        write(&mut stream, once)?;
        while !for_ever.is_empty() {
            write(&mut stream, for_ever)?;
        }
        if text.ends_with(SHUT) {
            return stream.shutdown(std::net::Shutdown::Both);
        }
    }
}

/// In a reply: what follows comes again and again.
const FOR_EVER: char = '\u{2}';
/// In a reply: nothing comes for a while.
const NOTHING: char = '\u{3}';
/// At the end of a reply: the connection is closed.
const SHUT: char = '\u{4}';

/// Pieces with a pause between them trickle.
fn write(stream: &mut TcpStream, text: &str) -> std::io::Result<()> {
    for piece in text.split_inclusive('\u{1}') {
        for (at, piece) in piece.split(NOTHING).enumerate() {
            if at > 0 {
                std::thread::sleep(Duration::from_millis(300));
            }
            stream.write_all(piece.as_bytes())?;
        }
        if piece.ends_with('\u{1}') {
            std::thread::sleep(Duration::from_millis(300));
        }
    }
    Ok(())
}

/// A reply with a body.
pub(super) fn said(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len())
}

/// An error as an S3 service tells of it.
pub(super) fn refused(status: &str, headers: &str, code: &str) -> String {
    said(status, headers, &format!("<Error><Code>{code}</Code><Message>no</Message></Error>"))
}

/// What a store said.
pub(super) fn hearing() -> (Notice, Arc<Mutex<Vec<String>>>) {
    let heard: Arc<Mutex<Vec<String>>> = Arc::default();
    let into = Arc::clone(&heard);
    let notice: Notice = Arc::new(move |word: Word<'_>| {
        into.lock().unwrap().push(match word {
            Word::Note(text) => format!("note {text}"),
            Word::Flaw(error) => format!("flaw {}", error.at),
        })
    });
    (notice, heard)
}

pub(super) fn bucket(endpoint: &str, notice: Notice) -> S3 {
    let variable = |name: &str| match name {
        "AWS_ACCESS_KEY_ID" => Some("key".to_owned()),
        "AWS_SECRET_ACCESS_KEY" => Some("hush".to_owned()),
        "AWS_SESSION_TOKEN" => Some("old".to_owned()),
        "AWS_ENDPOINT_URL" => Some(endpoint.to_owned()),
        _ => None,
    };
    let sources = Sources { variable: &variable, file: &|_| None };
    S3::with("s3://b/p", &sources, Some(Duration::from_secs(1)), notice).unwrap()
}

fn collection(address: &str, notice: Notice) -> Dav {
    let idle = Some(Duration::from_secs(1));
    Dav::with(&format!("{address}/dav"), &|_| None, &|_| None, idle, notice).unwrap()
}

mod replies;

const HEAD: &str = "20261101T020000Z/HEAD";
const INDEX: &str = "20261101T020000Z/00000/000000000.mtree.gz";

/// Services that know no checksums of S3's own refuse the header in several ways.
#[test]
fn services_that_take_no_checksums() {
    for (status, code) in [
        ("400 Bad Request", "InvalidArgument"),
        ("501 Not Implemented", "NotImplemented"),
        ("403 Forbidden", "SignatureDoesNotMatch"),
        ("400 Bad Request", "InvalidRequest"),
    ] {
        let (address, log) = serve(move |asked| {
            let sums = asked.headers.iter().any(|(name, _)| name.starts_with("x-amz-checksum"));
            match asked.line.split(' ').next() {
                _ if sums => refused(status, "", code),
                Some("HEAD") => "HTTP/1.1 404 Not Found\r\n\r\n".to_owned(),
                Some("GET") => said("200 OK", "", "object"),
                _ => said("200 OK", "", ""),
            }
        });
        let (notice, heard) = hearing();
        let store = bucket(&address, notice);
        for name in [INDEX, "20261101T020000Z/00000/000000001.mtree.gz"] {
            store.put_new(name, b"object").unwrap();
            assert_eq!(store.get(name).unwrap(), b"object");
        }
        let told = heard.lock().unwrap().iter().filter(|text| text.contains("checksum")).count();
        assert_eq!(told, 1, "{code}");
        let log = log.lock().unwrap();
        let taken = log.iter().filter(|asked| asked.line.starts_with("PUT"));
        assert!(taken.clone().all(|asked| asked.header("content-md5").is_some()), "{code}");
        // Refused once, and not asked again.
        let sums = |asked: &&HttpRequest| asked.header("x-amz-checksum-sha256").is_some();
        assert_eq!(taken.filter(sums).count(), 1, "{code}");
    }
    // A wrong key is a wrong key.
    let (address, _) = serve(|_| refused("403 Forbidden", "", "SignatureDoesNotMatch"));
    let (notice, heard) = hearing();
    assert_eq!(
        bucket(&address, notice).put_new(HEAD, b"x").unwrap_err().kind,
        StoreErrorKind::Denied
    );
    assert_eq!(*heard.lock().unwrap(), [""; 0]);
}

/// What is signed by a clock that is wrong is signed again by the server's; no address holds a
/// signature.
#[test]
fn a_clock_that_is_wrong() {
    let skewed = |date: &'static str, wanted: &'static str| {
        serve(move |asked| match asked.header("x-amz-date") {
            Some(date) if date.starts_with(wanted) => said("200 OK", "", "object"),
            _ => refused("403 Forbidden", &format!("Date: {date}\r\n"), "RequestTimeTooSkewed"),
        })
    };
    let (address, log) = skewed("Thu, 05 Jan 2040 10:00:00 GMT", "20400105T100");
    let store = bucket(&address, super::unheard());
    assert_eq!(store.get(HEAD).unwrap(), b"object");
    assert_eq!(store.get(HEAD).unwrap(), b"object");
    let log = log.lock().unwrap();
    assert_eq!(log.len(), 3);
    for asked in log.iter() {
        assert!(!asked.line.contains("X-Amz") && !asked.line.contains("old"), "{}", asked.line);
        assert!(asked.header("authorization").is_some_and(|text| text.contains("Signature=")));
        assert_eq!(asked.header("x-amz-security-token"), Some("old"));
    }
    // One that tells nothing better is a wrong clock, and no wrong key.
    let (address, log) = skewed("Thu, 05 Jan 2040 10:00:00 GMT", "never");
    let store = bucket(&address, super::unheard());
    assert_eq!(store.get(HEAD).unwrap_err().kind, StoreErrorKind::Clock);
    assert_eq!(log.lock().unwrap().len(), 2);
}

/// Listings that go on and on, that are of something else, and of which one entry is bad.
#[test]
fn listings_that_lie() {
    let page = |keys: &str, more: &str| {
        said("200 OK", "", &format!("<ListBucketResult>{keys}{more}</ListBucketResult>"))
    };
    let key = |key: &str| format!("<Contents><Key>{key}</Key><Size>1</Size></Contents>");
    let count = Mutex::new(0);
    let one = key("p/HEAD");
    let (address, log) = serve(move |_| {
        let mut count = count.lock().unwrap();
        *count += 1;
        let next = format!("<NextContinuationToken>{count}</NextContinuationToken>");
        page(&one, &format!("<IsTruncated>true</IsTruncated>{next}"))
    });
    let error = bucket(&address, super::unheard()).list("").unwrap_err();
    assert!(error.source.to_string().contains("without a new name"), "{error:?}");
    assert!(log.lock().unwrap().len() < 400);

    let elsewhere = key("HEAD");
    let (address, _) = serve(move |_| page(&elsewhere, ""));
    assert!(bucket(&address, super::unheard()).list("").is_err());

    let sizeless = key("p/TAIL") + "<Contents><Key>p/HEAD</Key></Contents>";
    let (address, _) = serve(move |_| page(&sizeless, ""));
    let (notice, heard) = hearing();
    let listed = bucket(&address, notice).list("").unwrap();
    assert_eq!(listed, [("HEAD".to_owned(), UNSEEN), ("TAIL".to_owned(), 1)]);
    assert_eq!(*heard.lock().unwrap(), ["flaw s3://b/p/HEAD"]);

    let multistatus = |responses: &str| {
        said("207 Multi-Status", "", &format!("<multistatus>{responses}</multistatus>"))
    };
    let response = |href: &str, prop: &str| {
        format!("<response><href>{href}</href><propstat><prop>{prop}</prop></propstat></response>")
    };
    let folder = "<resourcetype><collection/></resourcetype>";
    // A proxy that strips `/dav`.
    let stripped = response("/", folder) + &response("/20261101T020000Z/", folder);
    let (address, _) = serve(move |_| multistatus(&stripped));
    let error = collection(&address, super::unheard()).list("").unwrap_err();
    assert!(error.source.to_string().contains("proxy"), "{error:?}");
    let bad = response("/dav/", folder)
        + &response("/dav/HEAD", "")
        + &response("/dav/TAIL", "<getcontentlength>1</getcontentlength>");
    let (address, _) = serve(move |_| multistatus(&bad));
    let (notice, heard) = hearing();
    let listed = collection(&address, notice).list("").unwrap();
    assert_eq!(listed, [("HEAD".to_owned(), UNSEEN), ("TAIL".to_owned(), 1)]);
    assert_eq!(heard.lock().unwrap().len(), 1);
}

/// No body is read that is larger than what was asked for can be.
#[test]
fn bodies_that_are_too_large() {
    let (address, _) =
        serve(|_| format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\nxxx", 4u64 << 30));
    // More than announced, without an end, and one that goes on behind its length.
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned()
        + &format!("4000\r\n{}\r\n", "x".repeat(0x4000)).repeat(8);
    let (endless, _) = serve(move |_| chunked.clone());
    let stores: [Box<dyn Store>; 3] = [
        Box::new(bucket(&address, super::unheard())),
        Box::new(collection(&address, super::unheard())),
        Box::new(collection(&endless, super::unheard())),
    ];
    for store in stores {
        let begun = Instant::now();
        for name in [HEAD, "20261101T020000Z/TAIL"] {
            let error: StoreError = store.get(name).unwrap_err();
            assert_eq!(error.kind, StoreErrorKind::Damaged, "{error:?}");
        }
        assert!(begun.elapsed() < Duration::from_secs(20));
    }
}

/// A body that trickles is waited for as long as it can be an object, and that is told.
#[test]
fn bodies_that_trickle() {
    let piece = "x".repeat(3999) + "\u{1}";
    let (address, _) = serve(move |_| said("200 OK", "", &piece.repeat(6)));
    let (notice, heard) = hearing();
    assert_eq!(collection(&address, notice).get(HEAD).unwrap().len(), 24_000);
    let heard = heard.lock().unwrap();
    assert_eq!(heard.len(), 1);
    assert!(heard[0].contains("bytes per second"), "{heard:?}");
}
