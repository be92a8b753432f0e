//! What the programs say on stderr, and the exit status that follows from it.
//!
//! Wording: lower case, no full stop, the path first (`dura-pack: ./x: permission denied`); a
//! remedy on a line of its own (`dura-pack: hint: …`). A line holds no raw control bytes: paths are
//! shown encoded, as in listings.

use std::borrow::Cow;
use std::fmt::{self, Display};
use std::io;
use std::process::ExitCode;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use indicatif::ProgressBar;

use crate::edge::pipe;
use crate::format::listing::ListingError;
use crate::format::stream::StreamError;
use crate::report::events::Events;
use crate::report::progress;
use crate::report::remedy::remedy;
use crate::store::StoreError;

/// Where a program's messages go, and how many there were. One per run, shared by all its threads.
#[derive(Debug)]
pub struct Report {
    program: &'static str,
    verbosity: i8,
    warnings: AtomicU64,
    failed: AtomicBool,
    events: Events,
    progress: OnceLock<ProgressBar>,
}

/// The verbosity with `-q`.
const QUIET: i8 = -1;

/// The verbosity of a report that says nothing.
const SILENT: i8 = -2;

/// An error with a remedy for the person who reads it.
#[derive(Debug)]
pub struct Hinted {
    error: anyhow::Error,
    hint: String,
}

impl Display for Hinted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&chain(&self.error))
    }
}

impl std::error::Error for Hinted {}

impl Hinted {
    /// Adds a remedy to an error.
    pub fn wrap(error: impl Into<anyhow::Error>, hint: impl Into<String>) -> anyhow::Error {
        anyhow::Error::new(Hinted { error: error.into(), hint: hint.into() })
    }
}

impl Report {
    /// A report for `program`; verbosity is -1 with `-q`, and one more for each `-v`. Below that
    /// nothing is written, and warnings are only counted.
    pub fn new(program: &'static str, verbosity: i8, events: Events) -> Report {
        let (warnings, failed) = (AtomicU64::new(0), AtomicBool::new(false));
        Report { program, verbosity, warnings, failed, events, progress: OnceLock::new() }
    }

    /// A report that says nothing: of a reading that is done again.
    pub fn silent() -> Report {
        Report::new("", SILENT, Events::default())
    }

    /// Whether it says nothing at all.
    pub fn is_silent(&self) -> bool {
        self.verbosity == SILENT
    }

    /// Something is not as it should be, but the run goes on; it will end in status 1.
    pub fn warn(&self, what: impl Display) {
        self.warnings.fetch_add(1, Ordering::Relaxed);
        self.events.emit("warning", &[("text", what.to_string().into())]);
        self.line(&what);
    }

    /// Worth knowing, changes no status; silent with `-q`.
    pub fn note(&self, what: impl Display) {
        if self.verbosity >= 0 {
            self.line(&what);
        }
    }

    /// What is done; only with `-v`.
    pub fn verbose(&self, what: impl Display) {
        if self.verbosity >= 1 {
            self.line(&what);
        }
    }

    /// What was made, in the end: on a terminal, and with `-v`.
    pub fn done(&self, what: impl Display) {
        if self.verbosity >= 1 || (self.verbosity == 0 && pipe::stderr_is_terminal()) {
            self.line(&what);
        }
    }

    /// Whether what is done is told.
    pub fn is_verbose(&self) -> bool {
        self.verbosity >= 1
    }

    /// The progress line of this run, drawn if stderr is a terminal; hidden with `-q`. Messages are
    /// written above it.
    pub fn progress(&self) -> &ProgressBar {
        self.progress.get_or_init(|| {
            if self.verbosity < 0 { ProgressBar::hidden() } else { progress::line() }
        })
    }

    /// Something is not as it should be, and was told elsewhere; the run will end in status 1.
    pub fn flaw(&self) {
        self.warnings.fetch_add(1, Ordering::Relaxed);
    }

    /// A line of output that goes to stderr, because stdout carries something else.
    pub fn bare(&self, what: impl Display) {
        self.write(format_args!("{what}"));
    }

    /// Where events go.
    pub fn events(&self) -> &Events {
        &self.events
    }

    /// Where progress goes: the line, and events.
    pub(crate) fn board(&self) -> (&ProgressBar, &Events) {
        (self.progress(), self.events())
    }

    /// How often [`Report::warn`] was called.
    pub fn warnings(&self) -> u64 {
        self.warnings.load(Ordering::Relaxed)
    }

    /// Whether [`Report::fail`] was called.
    pub fn failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    fn line(&self, what: &dyn Display) {
        self.write(format_args!("{}: {what}", self.program));
    }

    fn write(&self, what: std::fmt::Arguments<'_>) {
        if self.verbosity < QUIET {
            return;
        }
        // A stderr that is gone is no reason to lose a backup.
        let line = format!("{}\n", printable(&what.to_string()));
        let write = || drop(pipe::tell(&line));
        match self.progress.get() {
            Some(progress) => progress.suspend(write),
            None => write(),
        }
    }

    /// Something was not done, but the run goes on with the rest; it will end in status 2. `of`
    /// says what, as `archive: `, or nothing.
    pub fn fail(&self, of: &str, error: anyhow::Error) {
        self.failed.store(true, Ordering::Relaxed);
        let hint = causes(&error).into_iter().find_map(|cause| {
            let hinted = cause.downcast_ref::<Hinted>().map(|hinted| hinted.hint.as_str());
            let of_store = || cause.downcast_ref::<StoreError>().and_then(remedy);
            let of_stream = || match cause.downcast_ref::<StreamError>() {
                Some(StreamError::Cut(_)) => Some(IF_KILLED),
                _ => None,
            };
            let of_listing = || match cause.downcast_ref::<ListingError>() {
                Some(ListingError::Count { .. }) => Some(IF_FILTERED),
                _ => None,
            };
            hinted.or_else(of_store).or_else(of_stream).or_else(of_listing).map(str::to_owned)
        });
        let text = format!("{of}{}", chain(&error));
        self.events.emit("error", &[("text", text.clone().into())]);
        self.line(&text);
        if let Some(hint) = hint {
            self.line(&format!("hint: {hint}"));
        }
    }

    /// Whether the error is only that the program before this one failed, or the one behind it.
    /// That one has said why, which is to be the last thing that is read; dura-push, which ends a
    /// pipeline, says that nothing came.
    fn repeats_another(&self, error: &anyhow::Error) -> bool {
        let nothing = |cause: &&(dyn std::error::Error + 'static)| {
            matches!(cause.downcast_ref(), Some(ListingError::Nothing))
                || matches!(cause.downcast_ref(), Some(StreamError::Nothing))
        };
        let unread = |cause: &&(dyn std::error::Error + 'static)| {
            cause.downcast_ref().is_some_and(pipe::is_reader_gone)
        };
        let causes = causes(error);
        let is_between = || self.program != "dura-push" && pipe::is_between();
        self.verbosity < 1
            && (causes.iter().any(unread) || (causes.iter().any(nothing) && is_between()))
    }

    /// Ends the program: words the error if there is one, and gives the exit status.
    pub fn finish(&self, result: anyhow::Result<()>) -> ExitCode {
        match result {
            Err(error) if self.repeats_another(&error) => {
                self.failed.store(true, Ordering::Relaxed)
            }
            Err(error) => self.fail("", error),
            Ok(()) => {}
        }
        if let Some(progress) = self.progress.get() {
            progress.finish_and_clear();
        }
        let status = if self.failed() { 2 } else { u8::from(self.warnings() > 0) };
        self.events.emit("end", &[("status", status.into())]);
        ExitCode::from(status)
    }
}

/// What helps if a program was killed before it could say why.
pub(crate) const IF_KILLED: &str = "if it printed no message itself, it was killed, perhaps because memory ran out: 64 MB are enough with dura-pack -j 1 --block-size 1M --part-size 1M and dura-seal -j 1";

/// What helps if lines of a listing are gone.
const IF_FILTERED: &str = "if they were left out on purpose, use dura-index filter COMMAND, which marks what COMMAND drops as excluded";

/// The error and its causes, also those within a hint.
pub(crate) fn causes(error: &anyhow::Error) -> Vec<&(dyn std::error::Error + 'static)> {
    let mut found = Vec::new();
    for cause in error.chain() {
        found.push(cause);
        if let Some(hinted) = cause.downcast_ref::<Hinted>() {
            found.extend(causes(&hinted.error));
        }
    }
    found
}

/// A line as a terminal may get it: control characters, and those that turn the direction of what
/// follows, are written as `\\` and three octal digits for each byte. What a store, a band or a
/// name says can reach any line.
pub fn printable(line: &str) -> Cow<'_, str> {
    let is_odd = |letter: char| {
        letter.is_control()
            || matches!(letter, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if !line.chars().any(is_odd) {
        return Cow::Borrowed(line);
    }
    let mut shown = String::with_capacity(line.len() + 16);
    for letter in line.chars() {
        match is_odd(letter) {
            true => {
                let mut bytes = [0; 4];
                for byte in letter.encode_utf8(&mut bytes).bytes() {
                    shown += &format!("\\{byte:03o}");
                }
            }
            false => shown.push(letter),
        }
    }
    Cow::Owned(shown)
}

/// The error and its causes in a line.
pub(crate) fn chain(error: &anyhow::Error) -> String {
    let parts: Vec<String> = error
        .chain()
        .map(|cause| cause.downcast_ref::<io::Error>().map_or_else(|| cause.to_string(), why))
        .collect();
    let mut said: Vec<String> = Vec::new();
    for part in parts {
        // Transparent wrappers repeat what they wrap.
        if said.last() != Some(&part) {
            said.push(part);
        }
    }
    said.join(": ")
}

/// An I/O error as people word it: `permission denied`, not `Permission denied (os error 13)`.
pub fn why(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    // Of the system's own texts one begins with `Input/output`.
    let is_path = error.raw_os_error().is_none()
        && text.split(' ').next().is_some_and(|word| word.contains('/'));
    let mut letters = text.chars();
    // A name in capitals, such as that of a variable, stays.
    let is_name = text.chars().take(2).all(char::is_uppercase);
    match letters.next() {
        Some(first) if !is_path && !is_name => first.to_lowercase().chain(letters).collect(),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_hold_nothing_that_a_terminal_obeys() {
        assert_eq!(printable("./a\\033b: \u{e9}"), "./a\\033b: \u{e9}");
        assert_eq!(printable("a\u{1b}[2Jb\n\u{7f}"), "a\\033[2Jb\\012\\177");
        assert_eq!(printable("\u{9b}\u{202e}x"), "\\302\\233\\342\\200\\256x");
    }

    #[test]
    fn errors_are_worded_for_people() {
        assert_eq!(why(&io::Error::from_raw_os_error(13)), "permission denied");
        assert_eq!(why(&io::Error::from_raw_os_error(5)), "input/output error");
        assert_eq!(why(&io::Error::other("Archive/x: Gone")), "Archive/x: Gone");
        assert_eq!(why(&io::Error::other("TZ is odd")), "TZ is odd");
        let error = anyhow::Error::new(io::Error::from_raw_os_error(28)).context("/mnt/a");
        assert_eq!(chain(&error), "/mnt/a: no space left on device");
    }
}
