//! One connection: many requests at once, and a thread that brings each answer to whoever waits.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process};

use super::packet::{MAX_PACKET, SftpReply, SftpRequest, decode, greeting, hello};
use crate::store::http::printable;
use crate::store::{StoreError, StoreErrorKind};

/// What ssh said last is kept up to here.
const MAX_SAID: usize = 8 << 10;

/// How long the end of a program is waited for.
const GRACE: Duration = Duration::from_secs(2);

/// How a connection is spoken over: what goes there, what comes, and the program between.
pub(super) struct Wire {
    pub(super) to: File,
    pub(super) from: File,
    pub(super) program: Option<SshProgram>,
}

/// A program that connects us, and what it says on stderr.
pub(super) struct SshProgram {
    child: Child,
    said: Arc<Mutex<Vec<u8>>>,
}

impl Wire {
    /// Starts a program that speaks SFTP. What is typed at our terminal is nothing to it: we end
    /// first.
    pub(super) fn start(mut command: Command) -> io::Result<Wire> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.process_group(0).spawn()?;
        let (Some(to), Some(from), Some(mut words)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        let said = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&said);
        // Ends with the last program that has this stderr, which may outlive ssh.
        std::thread::spawn(move || {
            let mut buffer = [0; 1024];
            while let Ok(read @ 1..) = words.read(&mut buffer) {
                let mut said = lock(&heard);
                said.extend_from_slice(&buffer[..read]);
                let over = said.len().saturating_sub(MAX_SAID);
                said.drain(..over);
            }
        });
        Ok(Wire {
            to: OwnedFd::from(to).into(),
            from: OwnedFd::from(from).into(),
            program: Some(SshProgram { child, said }),
        })
    }
}

impl SshProgram {
    fn end(&mut self, signal: Signal) {
        if let Ok(None) = self.child.try_wait()
            && let Some(pid) = Pid::from_raw(self.child.id() as i32)
        {
            _ = kill_process(pid, signal);
        }
    }

    /// Whether it has ended, or does so in a moment.
    fn ends(&mut self) -> bool {
        let begun = Instant::now();
        while begun.elapsed() < GRACE {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return true;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        false
    }
}

impl Drop for SshProgram {
    fn drop(&mut self) {
        self.end(Signal::TERM);
        if !self.ends() {
            self.end(Signal::KILL);
            _ = self.child.wait();
        }
    }
}

/// Why a connection is no more, or never was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LinkEnd {
    pub(super) kind: StoreErrorKind,
    pub(super) text: String,
}

impl LinkEnd {
    fn passing(text: impl Into<String>) -> LinkEnd {
        LinkEnd { kind: StoreErrorKind::Passing, text: text.into() }
    }

    /// The server does not speak as it should.
    pub(super) fn wrong(text: impl Into<String>) -> LinkEnd {
        LinkEnd { kind: StoreErrorKind::Other, text: text.into() }
    }

    pub(super) fn at(&self, at: &str) -> StoreError {
        StoreError::of(self.kind, at, self.text.clone())
    }
}

/// What ssh says when trying again does not help.
const FINAL: [(&str, StoreErrorKind); 9] = [
    ("Permission denied (", StoreErrorKind::NoLogin),
    ("Host key verification failed", StoreErrorKind::NoLogin),
    ("Too many authentication failures", StoreErrorKind::NoLogin),
    ("subsystem request failed", StoreErrorKind::Other),
    ("Bad configuration option", StoreErrorKind::Other),
    ("Bad owner or permissions", StoreErrorKind::Other),
    ("no matching ", StoreErrorKind::Other),
    ("Name or service not known", StoreErrorKind::Other),
    ("command-line", StoreErrorKind::Other),
];

/// What the end of a connection means, from what ssh said last.
fn end_of(said: &str, begun: bool) -> LinkEnd {
    let mut lines: Vec<&str> =
        said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let found = (!begun)
        .then(|| FINAL.into_iter().find(|(words, _)| lines.iter().any(|line| line.contains(words))))
        .flatten();
    if let Some((words, _)) = found {
        lines.retain(|line| line.contains(words));
    }
    let last = lines.split_off(lines.len().saturating_sub(2)).join("; ");
    let text = match printable(&last) {
        said if said.is_empty() => "the connection ended".to_owned(),
        said if said.starts_with("ssh: ") => said,
        said => format!("ssh: {said}"),
    };
    LinkEnd { kind: found.map_or(StoreErrorKind::Passing, |(_, kind)| kind), text }
}

/// An answer, or none because the connection ended.
type Arrival = (u32, Option<SftpReply>);

struct LinkState {
    next: u32,
    /// Who waits for which answer; none where nobody does.
    waiting: HashMap<u32, Option<Sender<Arrival>>>,
    end: Option<LinkEnd>,
    /// When something last went or came.
    moved: Instant,
}

struct LinkShared {
    state: Mutex<LinkState>,
    program: Mutex<Option<SshProgram>>,
    idle: Duration,
}

impl LinkShared {
    /// Nothing has moved for too long although something is asked.
    fn is_overdue(&self) -> bool {
        let state = lock(&self.state);
        !state.waiting.is_empty() && state.moved.elapsed() >= self.idle
    }

    fn overdue(&self) -> LinkEnd {
        LinkEnd::passing(format!("no answer for {} seconds", self.idle.as_secs().max(1)))
    }

    /// Brings an answer to whoever waits. False if nobody asked.
    fn arrived(&self, id: u32, reply: SftpReply) -> bool {
        let mut state = lock(&self.state);
        state.moved = Instant::now();
        let Some(waits) = state.waiting.remove(&id) else { return false };
        // Whoever asked may have given up.
        if let Some(waits) = waits {
            _ = waits.send((id, Some(reply)));
        }
        true
    }

    /// All that wait are told, and nobody asks any more.
    fn end(&self, end: LinkEnd) {
        let waiting = {
            let mut state = lock(&self.state);
            state.end.get_or_insert(end);
            std::mem::take(&mut state.waiting)
        };
        for (id, waits) in waiting {
            waits.map(|waits| waits.send((id, None)));
        }
        // Whoever is about to write is not kept waiting by a program that does not read.
        if let Some(program) = &mut *lock(&self.program) {
            program.end(Signal::TERM);
        }
    }

    /// Why the connection ended, as the program tells.
    fn reason(&self, begun: bool) -> LinkEnd {
        let mut program = lock(&self.program);
        let Some(program) = program.as_mut() else { return end_of("", begun) };
        program.ends();
        // Its words may come a moment after its end.
        let since = Instant::now();
        while lock(&program.said).is_empty() && since.elapsed() < GRACE / 10 {
            std::thread::sleep(Duration::from_millis(2));
        }
        let said = lock(&program.said);
        end_of(&String::from_utf8_lossy(&said), begun)
    }
}

/// A connection. It ends with the last who has it.
pub(super) struct SshLink {
    to: Mutex<File>,
    shared: Arc<LinkShared>,
    extensions: Vec<String>,
}

impl SshLink {
    /// Speaks first, and waits until the server is there.
    pub(super) fn begin(wire: Wire, idle: Duration) -> Result<SshLink, LinkEnd> {
        // The greeting is waited for, as a request is.
        let waiting = HashMap::from([(0, None)]);
        let state = LinkState { next: 1, waiting, end: None, moved: Instant::now() };
        let Wire { mut to, from, program } = wire;
        let shared =
            Arc::new(LinkShared { state: Mutex::new(state), program: Mutex::new(program), idle });
        let mut from =
            BufReader::with_capacity(64 << 10, Patient { from, of: Arc::clone(&shared) });
        // If the program has ended already, reading says why.
        _ = to.write_all(&hello());
        let first = match packet(&mut from) {
            Ok(Some(first)) => first,
            Ok(None) => return Err(shared.reason(false)),
            Err(end) => return Err(end),
        };
        let extensions = greeting(&first)
            .map_err(|error| LinkEnd::wrong(format!("the server sends {error}")))?;
        lock(&shared.state).waiting.clear();
        let reads = Arc::clone(&shared);
        std::thread::spawn(move || {
            let end = loop {
                let reply = match packet(&mut from) {
                    Ok(Some(reply)) => reply,
                    Ok(None) => break reads.reason(true),
                    Err(end) => break end,
                };
                match decode(&reply) {
                    Err(error) => break LinkEnd::wrong(format!("the server sends {error}")),
                    Ok((id, reply)) => {
                        if !reads.arrived(id, reply) {
                            break LinkEnd::wrong("the server answers what was not requested");
                        }
                    }
                }
            };
            reads.end(end);
        });
        Ok(SshLink { to: Mutex::new(to), shared, extensions })
    }

    /// Whether the server says that it has an extension.
    pub(super) fn has(&self, extension: &str) -> bool {
        self.extensions.iter().any(|name| name == extension)
    }

    pub(super) fn is_over(&self) -> bool {
        lock(&self.shared.state).end.is_some()
    }

    /// Ends it: it cannot be used any more.
    pub(super) fn end(&self, end: LinkEnd) {
        self.shared.end(end);
    }

    /// Sends a request; the answer comes to `waits`, or to nobody.
    fn send(
        &self,
        request: &SftpRequest<'_>,
        waits: Option<Sender<Arrival>>,
    ) -> Result<u32, LinkEnd> {
        let id = {
            let mut state = lock(&self.shared.state);
            if let Some(end) = &state.end {
                return Err(end.clone());
            }
            let id = state.next;
            state.next = id.wrapping_add(1);
            state.moved = if state.waiting.is_empty() { Instant::now() } else { state.moved };
            state.waiting.insert(id, waits);
            id
        };
        let written = lock(&self.to).write_all(&request.encode(id));
        match written {
            // The reader knows why, or soon will.
            Err(_) => self.shared.end(self.shared.reason(true)),
            Ok(()) => lock(&self.shared.state).moved = Instant::now(),
        }
        Ok(id)
    }

    /// Asks for what is nobody's to wait for.
    pub(super) fn tell(&self, request: &SftpRequest<'_>) {
        _ = self.send(request, None);
    }
}

impl Drop for SshLink {
    fn drop(&mut self) {
        // What was asked for last is done, if the server still answers.
        let begun = Instant::now();
        while !lock(&self.shared.state).waiting.is_empty() && begun.elapsed() < GRACE {
            std::thread::sleep(Duration::from_millis(1));
        }
        drop(lock(&self.shared.program).take());
    }
}

/// What one caller asks over a connection, as much as it likes at once.
pub(super) struct SshCall<'a> {
    pub(super) link: &'a SshLink,
    give: Sender<Arrival>,
    take: Receiver<Arrival>,
}

impl<'a> SshCall<'a> {
    pub(super) fn new(link: &'a SshLink) -> SshCall<'a> {
        let (give, take) = channel();
        SshCall { link, give, take }
    }

    /// Sends a request, and gives its number.
    pub(super) fn ask(&self, request: &SftpRequest<'_>) -> Result<u32, LinkEnd> {
        self.link.send(request, Some(self.give.clone()))
    }

    /// The next answer to any of what was asked.
    pub(super) fn next(&self) -> Result<(u32, SftpReply), LinkEnd> {
        // Each request has an answer, or is told of the end.
        match self.take.recv() {
            Ok((id, Some(reply))) => Ok((id, reply)),
            _ => Err(lock(&self.link.shared.state)
                .end
                .clone()
                .unwrap_or_else(|| LinkEnd::passing("the connection ended"))),
        }
    }
}

/// Reads what comes, as long as it is worth waiting for.
struct Patient {
    from: File,
    of: Arc<LinkShared>,
}

impl Read for Patient {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let wait = self.of.idle.min(Duration::from_secs(1)) / 2;
        let wait = Timespec::try_from(wait).ok();
        loop {
            match poll(&mut [PollFd::new(&self.from, PollFlags::IN)], wait.as_ref()) {
                Ok(0) if self.of.is_overdue() => return Err(io::ErrorKind::TimedOut.into()),
                Ok(0) | Err(rustix::io::Errno::INTR) => {}
                Ok(_) => return self.from.read(out),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// The next packet, without its length; none where the stream ends before it.
fn packet(from: &mut BufReader<Patient>) -> Result<Option<Vec<u8>>, LinkEnd> {
    let shared = Arc::clone(&from.get_ref().of);
    let cut = |error: io::Error| match error.kind() {
        io::ErrorKind::UnexpectedEof => None,
        io::ErrorKind::TimedOut => Some(shared.overdue()),
        _ => Some(LinkEnd::passing(error.to_string())),
    };
    let mut length = [0; 4];
    if let Err(error) = from.read_exact(&mut length) {
        return cut(error).map_or(Ok(None), Err);
    }
    let size = u32::from_be_bytes(length) as usize;
    if !(5..=MAX_PACKET).contains(&size) {
        return Err(LinkEnd::wrong(noise(&length, from)));
    }
    let mut body = vec![0; size];
    match from.read_exact(&mut body) {
        Ok(()) => Ok(Some(body)),
        Err(error) => cut(error).map_or(Ok(None), Err),
    }
}

/// What came in place of a packet: often the words of a shell's start-up file.
fn noise(begin: &[u8], from: &BufReader<Patient>) -> String {
    let words: Vec<u8> = begin.iter().chain(from.buffer()).copied().collect();
    match std::str::from_utf8(&words).map(printable) {
        Ok(words) if !words.is_empty() && words.bytes().all(|byte| byte >= b' ') => {
            format!("the server prints text instead of speaking SFTP: {words}")
        }
        _ => "the server sends what is not SFTP".to_owned(),
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ssh_says() {
        use StoreErrorKind::{NoLogin, Other, Passing};
        for (said, begun, kind, text) in [
            ("", false, Passing, "the connection ended"),
            ("ssh: connect to host x\n", false, Passing, "ssh: connect to host x"),
            (
                "Warning: x\r\nme@nas: Permission denied (publickey).\r\n",
                false,
                NoLogin,
                "ssh: me@nas: Permission denied (publickey)",
            ),
            (
                "No key is known.\nHost key verification failed.\n",
                false,
                NoLogin,
                "ssh: Host key verification failed",
            ),
            (
                "subsystem request failed on channel 0\nx",
                false,
                Other,
                "ssh: subsystem request failed on channel 0",
            ),
            (
                "a\nkex_exchange: closed\nConnection closed\n",
                false,
                Passing,
                "ssh: kex_exchange: closed; Connection closed",
            ),
            (
                "Permission denied (x)\nTimeout, server nas not responding.\n",
                true,
                Passing,
                "ssh: Permission denied (x); Timeout, server nas not responding",
            ),
        ] {
            let wanted = LinkEnd { kind, text: text.to_owned() };
            assert_eq!(end_of(said, begun), wanted, "{said}");
        }
    }
}
