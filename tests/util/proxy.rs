//! A proxy on loopback in front of a server, through which single requests go wrong as told, all
//! take longer, or are counted.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// What goes wrong with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The connection is closed before anything is done.
    Refused,
    /// There is no answer, as long as the client waits.
    Hangs,
    /// It is carried out, but the connection is closed instead of an answer.
    LostReply,
    /// The connection is cut in the middle of the body: of the request's if it has one, else of the
    /// reply's.
    CutBody,
    /// Nothing is done, and the answer has this status.
    Status(u16),
    /// The same with 503 and `Retry-After`, in seconds.
    Busy(u32),
    /// Nothing is done; the answer sends the client there.
    Redirect(String),
    /// What was written last is not there, for a look, a read or a listing; nor is its band, in the
    /// list of bands.
    Stale,
    /// A listing ends after its first half.
    LostPage,
    /// The answer says that it is half as long as it is, and is so.
    Short,
    /// A bit of the body is flipped: of the request's if it has one, else of the reply's.
    Flipped,
}

/// A request, and from when to when it took.
#[derive(Debug, Clone)]
struct Call {
    what: String,
    begun: Instant,
    ended: Option<Instant>,
}

#[derive(Debug, Default)]
struct State {
    faults: BTreeMap<usize, Fault>,
    calls: Vec<Call>,
    /// The path that was written last.
    last: String,
    latency: Duration,
    /// For so long, from the next request on, listings lack what was written last, and its band;
    /// and until when, once that has come.
    lags: Option<(Duration, Option<Instant>)>,
    /// More than this many names in a page of a listing come in another one.
    page: Option<usize>,
    /// A method that is refused.
    refused: Option<&'static str>,
    /// What is written under names with this end is confirmed, and nothing of it kept, or so many
    /// bytes.
    loses: Option<(String, Option<usize>)>,
    /// The request that went wrong.
    hit: Option<String>,
    /// What was written, with the path, in the order in which the server had it.
    written: Vec<(String, Vec<u8>)>,
}

/// The proxy. It listens until the test's process ends.
#[derive(Debug, Clone)]
pub(crate) struct Proxy {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl Proxy {
    /// A proxy in front of a server.
    pub(crate) fn start(server: SocketAddr) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = Proxy { address: listener.local_addr().unwrap(), state: Arc::default() };
        let state = Arc::clone(&proxy.state);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let state = Arc::clone(&state);
                // A client that goes away in the middle is what tests are about.
                std::thread::spawn(move || drop(serve(client, server, &state)));
            }
        });
        proxy
    }

    /// Every request takes so much longer.
    pub(crate) fn latency(&self, latency: Duration) {
        self.state.lock().unwrap().latency = latency;
    }

    /// For so long, from the next request on, listings lack what was written last, and its band.
    pub(crate) fn lags(&self, time: Duration) {
        self.state.lock().unwrap().lags = Some((time, None));
    }

    /// Listings of S3 come in pages of so many names. Only for servers that do not look at
    /// signatures.
    pub(crate) fn pages_of(&self, names: usize) {
        self.state.lock().unwrap().page = Some(names);
    }

    /// What the server took since this was asked last, and what was last said to be wrong went
    /// wrong with.
    pub(crate) fn taken(&self) -> (Vec<(String, Vec<u8>)>, Option<String>) {
        let mut state = self.state.lock().unwrap();
        (std::mem::take(&mut state.written), state.hit.take())
    }

    /// Request `number`, counted from 0 since the last call of `begin`, goes wrong.
    pub(crate) fn fault(&self, number: usize, fault: Fault) {
        self.state.lock().unwrap().faults.insert(number, fault);
    }

    /// From request `number` on all go wrong, until the next call of `begin`.
    pub(crate) fn fault_from(&self, number: usize, fault: &Fault) {
        self.state
            .lock()
            .unwrap()
            .faults
            .extend((number..number + 10_000).map(|number| (number, fault.clone())));
    }

    /// Requests with this method are refused with 403, until the next call of `begin`.
    pub(crate) fn refuses(&self, method: &'static str) {
        self.state.lock().unwrap().refused = Some(method);
    }

    /// What is written under names with this end is confirmed, and nothing of it kept, or so many
    /// bytes, until the next call of `begin`. Only for servers that do not look at signatures.
    pub(crate) fn loses(&self, end: &str, kept: Option<usize>) {
        self.state.lock().unwrap().loses = Some((end.to_owned(), kept));
    }

    /// From request `number` on nothing gets through any more, until the next call of `begin`.
    pub(crate) fn dies(&self, number: usize) {
        self.fault_from(number, &Fault::Refused);
    }

    /// How many requests there were since the last call of `begin`.
    pub(crate) fn count(&self) -> usize {
        self.state.lock().unwrap().calls.len()
    }

    /// Counts from 0 again, without faults; gives the requests so far, as `PUT /path`.
    pub(crate) fn begin(&self) -> Vec<String> {
        let mut state = self.state.lock().unwrap();
        state.faults.clear();
        state.refused = None;
        state.loses = None;
        std::mem::take(&mut state.calls).into_iter().map(|call| call.what).collect()
    }

    /// How many requests came one after the other, each when the one before had ended: the round
    /// trips that a run takes. Needs a latency against which everything else is short.
    pub(crate) fn in_sequence(&self) -> usize {
        let mut calls = self.state.lock().unwrap().calls.clone();
        calls.sort_by_key(|call| call.begun);
        let mut depths: Vec<(Instant, usize)> = Vec::new();
        for call in calls {
            let before = depths
                .iter()
                .filter(|(ended, _)| *ended <= call.begun)
                .map(|(_, depth)| *depth)
                .max();
            depths.extend(call.ended.map(|ended| (ended, before.unwrap_or(0) + 1)));
        }
        depths.into_iter().map(|(_, depth)| depth).max().unwrap_or(0)
    }
}

/// A message as it goes by: its head with the empty line, and its body, no longer in chunks.
struct Message {
    head: String,
    body: Vec<u8>,
}

impl Message {
    fn read(from: &mut impl BufRead, reply_to_head: bool) -> std::io::Result<Option<Message>> {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if from.read_line(&mut head)? == 0 {
                return Ok(None);
            }
        }
        let mut body = Vec::new();
        let header = |name| find(&head, name);
        if reply_to_head {
        } else if let Some(length) = header("content-length") {
            from.take(length.parse().unwrap()).read_to_end(&mut body)?;
        } else if header("transfer-encoding").is_some() {
            loop {
                let mut line = String::new();
                from.read_line(&mut line)?;
                let size = u64::from_str_radix(line.trim(), 16).unwrap_or(0);
                from.take(size).read_to_end(&mut body)?;
                from.read_line(&mut String::new())?;
                if size == 0 {
                    break;
                }
            }
        } else if head.starts_with("HTTP/") && !head.contains(" 204 ") {
            from.read_to_end(&mut body)?;
        }
        Ok(Some(Message { head, body }))
    }

    /// The head as it goes on: one connection for each request, and the length of the body as it is
    /// now.
    fn head(&self, with_length: bool) -> String {
        let mut lines: Vec<&str> = self.head.trim_end().split("\r\n").collect();
        let is =
            |line: &str, name: &str| line.to_ascii_lowercase().starts_with(&format!("{name}:"));
        let given = ["connection", "transfer-encoding", "content-length"];
        lines.retain(|line| {
            !given[..if with_length { 3 } else { 2 }].iter().any(|name| is(line, name))
        });
        let length = if with_length {
            format!("Content-Length: {}\r\n", self.body.len())
        } else {
            String::new()
        };
        format!("{}\r\n{length}Connection: close\r\n\r\n", lines.join("\r\n"))
    }

    /// Of a reply to HEAD, which has no other body than that.
    fn halve_length(&mut self) {
        let Some(length) = find(&self.head, "content-length").map(str::to_owned) else { return };
        let half = length.parse::<u64>().unwrap() / 2;
        let line = |line: &str| match line.to_ascii_lowercase().starts_with("content-length:") {
            true => format!("Content-Length: {half}"),
            false => line.to_owned(),
        };
        self.head = self.head.lines().map(line).collect::<Vec<_>>().join("\r\n");
    }

    /// Nothing but the beginning of the body, and no checksum that would tell.
    fn cut(&mut self, kept: usize) {
        self.body.truncate(kept);
        let is_sum = |line: &&str| {
            let line = line.to_ascii_lowercase();
            ["content-md5:", "x-amz-checksum", "x-amz-sdk-checksum"]
                .iter()
                .any(|sum| line.starts_with(sum))
        };
        let kept: Vec<&str> =
            self.head.trim_end().split("\r\n").filter(|line| !is_sum(line)).collect();
        self.head = kept.join("\r\n");
    }

    fn flip(&mut self) {
        let middle = self.body.len() / 2;
        self.body.iter_mut().skip(middle).take(1).for_each(|byte| *byte ^= 1);
    }
}

fn find<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim())
}

fn serve(client: TcpStream, server: SocketAddr, state: &Mutex<State>) -> std::io::Result<()> {
    let mut reader = BufReader::new(client.try_clone()?);
    let Some(mut request) = Message::read(&mut reader, false)? else { return Ok(()) };
    let begun = Instant::now();
    let mut words = request.head.split(' ');
    let (method, target) = (words.next().unwrap().to_owned(), words.next().unwrap().to_owned());
    let path = target.split('?').next().unwrap().to_owned();
    let (number, fault, latency, last, lags, lost) = {
        let mut state = state.lock().unwrap();
        let number = state.calls.len();
        state.calls.push(Call { what: format!("{method} {path}"), begun, ended: None });
        if let Some(names) = state.page.filter(|_| target.contains("list-type=2")) {
            request.head = request.head.replacen(&target, &format!("{target}&max-keys={names}"), 1);
        }
        if state.faults.contains_key(&number) {
            state.hit = Some(format!("{method} {target}"));
        }
        let last = state.last.clone();
        if method == "PUT" {
            state.last.clone_from(&path);
        }
        let lags = state
            .lags
            .as_mut()
            .is_some_and(|(time, until)| begun < *until.get_or_insert(begun + *time));
        let refused = state.refused.is_some_and(|refused| refused == method);
        let fault = state.faults.get(&number).cloned().or(refused.then_some(Fault::Status(403)));
        let lost = state.loses.as_ref().filter(|(end, _)| method == "PUT" && path.ends_with(end));
        let lost = lost.map(|(_, kept)| *kept);
        (number, fault, state.latency, last, lags, lost)
    };
    std::thread::sleep(latency);
    let mut client = client;
    let mut answer = |text: String| {
        client.write_all(
            format!("HTTP/1.1 {text}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").as_bytes(),
        )
    };
    match &fault {
        Some(Fault::Refused) => return client.shutdown(Shutdown::Both),
        Some(Fault::Hangs) => return reader.read_to_end(&mut Vec::new()).map(drop),
        Some(Fault::Status(status)) => return answer(format!("{status} Told To")),
        Some(Fault::Busy(seconds)) => return answer(format!("503 Busy\r\nRetry-After: {seconds}")),
        Some(Fault::Redirect(to)) => return answer(format!("307 Elsewhere\r\nLocation: {to}")),
        Some(Fault::Stale) if path == last && matches!(method.as_str(), "GET" | "HEAD") => {
            return answer("404 Not Yet".to_owned());
        }
        Some(Fault::Flipped) if !request.body.is_empty() => request.flip(),
        _ => {}
    }
    match lost {
        Some(None) => return answer("200 OK".to_owned()),
        Some(Some(kept)) => request.cut(kept),
        None => {}
    }
    let mut upstream = TcpStream::connect(server)?;
    let has_body = !request.body.is_empty() || lost.is_some();
    upstream.write_all(request.head(has_body).as_bytes())?;
    if fault == Some(Fault::CutBody) && has_body {
        upstream.write_all(&request.body[..request.body.len() / 2])?;
        upstream.shutdown(Shutdown::Both)?;
        return client.shutdown(Shutdown::Both);
    }
    upstream.write_all(&request.body)?;
    let is_head = method == "HEAD";
    let Some(mut reply) = Message::read(&mut BufReader::new(upstream), is_head)? else {
        return client.shutdown(Shutdown::Both);
    };
    if method == "PUT" && reply.head.starts_with("HTTP/1.1 2") {
        state.lock().unwrap().written.push((path, request.body));
    }
    let lists = method == "PROPFIND" || target.contains("list-type=2");
    match &fault {
        Some(Fault::LostReply) => return client.shutdown(Shutdown::Both),
        Some(Fault::Flipped) if !has_body => reply.flip(),
        Some(Fault::Short) if is_head => reply.halve_length(),
        Some(Fault::Short) => reply.body.truncate(reply.body.len() / 2),
        fault if lists && (lags || *fault == Some(Fault::Stale)) => {
            // A folder lists itself all the same.
            let own = format!("{}<", target.trim_end_matches('/'));
            let itself = |entry: &str| lags && entry.replacen("/<", "<", 1).contains(&own);
            reply.body = entries(&reply.body, |_, _, entry| itself(entry) || !is_new(&last, entry))
        }
        Some(Fault::LostPage) if lists => {
            reply.body = entries(&reply.body, |at, of, _| at < of / 2)
        }
        _ => {}
    }
    // The counting may have begun anew.
    if let Some(call) =
        state.lock().unwrap().calls.get_mut(number).filter(|call| call.begun == begun)
    {
        call.ended = Some(Instant::now());
    }
    client.write_all(reply.head(!is_head).as_bytes())?;
    let end = if fault == Some(Fault::CutBody) { reply.body.len() / 2 } else { reply.body.len() };
    client.write_all(&reply.body[..end])
}

/// Whether an entry of a listing is of the object that was written last, or of its band.
fn is_new(last: &str, entry: &str) -> bool {
    let name = ["<D:href>", "<Key>", "<Prefix>"]
        .iter()
        .find_map(|tag| entry.split_once(tag)?.1.split('<').next());
    let name = name.unwrap_or_default().replace("%2F", "/");
    let own = name.trim_end_matches('/').rsplit('/').next().unwrap_or_default().to_owned();
    let folder = |part: &str| part.len() == 5 && part.bytes().all(|byte| byte.is_ascii_digit());
    last.split('/').any(|part| part == own && !folder(part))
}

/// A listing with only those entries that are to be kept, by place, number of all, and text; and no
/// word of a further page.
fn entries(body: &[u8], keep: impl Fn(usize, usize, &str) -> bool) -> Vec<u8> {
    const TAGS: [(&str, &str); 3] = [
        ("<D:response>", "</D:response>"),
        ("<Contents>", "</Contents>"),
        ("<CommonPrefixes>", "</CommonPrefixes>"),
    ];
    let text = String::from_utf8_lossy(body);
    let mut rest = &*text;
    let of = TAGS.iter().map(|(open, _)| rest.matches(open).count()).sum();
    let (mut kept, mut at) = (String::new(), 0);
    while let Some((start, open, close)) =
        TAGS.iter().filter_map(|(open, close)| Some((rest.find(open)?, open, close))).min()
    {
        let Some(length) = rest[start..].find(close) else { break };
        let entry = &rest[start..start + length];
        kept.push_str(&rest[..start]);
        if keep(at, of, entry.trim_start_matches(open)) {
            kept.extend([entry, close]);
        }
        at += 1;
        rest = &rest[start + length + close.len()..];
    }
    kept.push_str(rest);
    kept.replace("<IsTruncated>true</IsTruncated>", "<IsTruncated>false</IsTruncated>").into_bytes()
}
