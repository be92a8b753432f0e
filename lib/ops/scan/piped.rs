//! The listing of what comes on standard input: one file, whose content is handed over to pack.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use anyhow::{Context, anyhow, bail};

use crate::edge::clock;
use crate::edge::handover::{self, Offer};
use crate::format::entry::{Entry, EntryState, Kind, Meta};
use crate::format::listing::{End, Header, VERSION};
use crate::format::path::Path;
use crate::ops::CANNOT_WRITE;
use crate::ops::scan::{ScanSum, system_name};
use crate::report::message::{Hinted, Report};

/// Which file is listed.
#[derive(Debug)]
pub struct PipedFile<R> {
    /// Its name.
    pub name: OsString,
    /// What it holds.
    pub content: PipedContent<R>,
    /// The name of the host that the listing says [default: the system's].
    pub host: Option<OsString>,
}

/// What the file holds.
#[derive(Debug)]
pub enum PipedContent<R> {
    /// What this gives.
    Input(R),
    /// The output of a shell command.
    Command(OsString),
}

/// Writes the listing of one file, hands its content over to dura-pack, and ends
/// the listing only when all of it has come.
///
/// # Errors
/// If the content could not be read or taken to its end, or its command has failed.
pub fn run(
    file: PipedFile<impl Read>,
    out: &mut dyn Write,
    report: &Report,
) -> anyhow::Result<ScanSum> {
    let name = file.name.as_bytes();
    if name.is_empty() || name == b"." || name == b".." || name.contains(&b'/') {
        bail!("--stdin {}: not the name of a file: give one without slashes", file.name.display());
    }
    let hint = "set TMPDIR to a folder with a short path that you may write to";
    let offer = Offer::open()
        .map_err(|error| Hinted::wrap(anyhow!(error).context("cannot make a socket"), hint))?;
    let path = Path::from_raw(name);
    let entries = entries(&path)?;
    let host = file.host.map_or_else(system_name, OsString::into_vec);
    let source = Header::Source(host, [b"stdin:", name].concat());
    let socket = Header::Stdin(path.clone(), offer.path().as_os_str().as_bytes().to_vec());
    let mut text = Vec::new();
    for header in [Header::Mtree, Header::Version(VERSION), source, socket] {
        writeln!(text, "{header}")?;
    }
    entries.iter().for_each(|entry| entry.write(&mut text));
    out.write_all(&text).and_then(|()| out.flush()).context(CANNOT_WRITE)?;

    let waiting = || report.note(format_args!("{path}: waiting for dura-pack to read it"));
    let mut to = offer.taken(waiting).context(CANNOT_WRITE)?;
    let bytes = match file.content {
        PipedContent::Command(command) => {
            let child = handover::start(&command).context("--stdin-command: cannot start sh")?;
            let (status, bytes) = handover::copy(child, to).with_context(|| path.to_string())?;
            if !status.success() {
                bail!("--stdin-command: {status}: {}", command.display());
            }
            bytes
        }
        PipedContent::Input(mut input) => {
            let bytes = io::copy(&mut input, &mut to).with_context(|| path.to_string())?;
            // The reader sees the end of it before the listing ends.
            drop(to);
            if bytes == 0 {
                let hint =
                    "its program seems to have failed; with --stdin-command its status counts";
                return Err(Hinted::wrap(anyhow!("nothing came on standard input"), hint));
            }
            bytes
        }
    };
    let end = End { entries: entries.len() as u64, ..End::default() };
    writeln!(out, "{end}").context(CANNOT_WRITE)?;
    out.flush().context(CANNOT_WRITE)?;
    let counts = [("entries", end.entries), ("excluded", 0), ("unreadable", 0), ("bytes", bytes)];
    report.events().emit("listed", &counts.map(|(key, count)| (key, count.into())));
    Ok(ScanSum { end, bytes })
}

/// The file, and the directory that it is in, as if a shell made them now.
fn entries(path: &Path) -> anyhow::Result<[Entry; 2]> {
    let time = clock::now()?;
    let (file, dir) = handover::modes();
    let (uid, gid) = handover::user();
    let entry = |path, kind, mode| {
        Entry::new(path, kind, EntryState::Present(Meta { mode, uid, gid, time }))
    };
    let mut root = entry(Path::root(), Kind::Dir, dir);
    // Without it pack would look for its attributes.
    root.ctime = Some(time);
    // pack tells the size.
    let file = Entry { size: Some(0), nlink: Some(1), ..entry(path.clone(), Kind::File, file) };
    Ok([root, file])
}
