//! `--source`: the files of a directory are compared with a version.

use std::io;
use std::path::Path as FsPath;
use std::sync::Arc;

use anyhow::Context;
use rustix::fs::FileType;

use crate::archive::Archive;
use crate::archive::version::Version;
use crate::core::verify::part::ObjectSample;
use crate::core::verify::{Finding, FindingKind, Subject};
use crate::edge::hashing::{hash_all, hash_body};
use crate::edge::look;
use crate::edge::ordered::Ordered;
use crate::edge::source::SourceRoot;
use crate::format::band::BandName;
use crate::format::digest::Digest;
use crate::format::entry::{Entry, Kind as Type};
use crate::format::tarball::Segment;
use crate::format::time::Time;
use crate::report::message::{Report, why};

/// Compares the version of a band with the files in `dir`. Gives how many entries were compared.
pub(super) fn compare(
    archive: &Arc<Archive>,
    band: &BandName,
    dir: &FsPath,
    part: ObjectSample,
    jobs: usize,
    report: &Arc<Report>,
    found: &mut dyn FnMut(Finding) -> anyhow::Result<()>,
) -> anyhow::Result<u64> {
    let source = Arc::new(SourceRoot::open_root(dir).with_context(|| dir.display().to_string())?);
    let chain = archive.chain(band)?;
    let mut version = Version::open(archive, &chain, report)?;
    let (submit, results) =
        Ordered::start::<anyhow::Result<Option<(Entry, String)>>>(jobs, 64 * jobs)?;
    // Ends when all is submitted, or when nobody takes the results any more.
    std::thread::spawn(move || {
        loop {
            let sent = match version.next_entry() {
                Ok(Some(placed)) => {
                    let (source, entry) = (Arc::clone(&source), placed.entry);
                    let read = part.has(&entry.path.to_string());
                    submit.submit(move || {
                        Ok(differs(&source, &entry, read).map(|what| (entry, what)))
                    })
                }
                Ok(None) => return,
                Err(error) => submit.ready(Err(error)),
            };
            if sent.is_err() {
                return;
            }
        }
    });
    let mut count = 0;
    for result in results {
        count += 1;
        if let Some((entry, what)) = result? {
            found(Finding::new(FindingKind::File, Subject::File(band.clone(), entry.path), what))?;
        }
    }
    Ok(count)
}

/// How an entry differs from what is in the directory; none if it does not.
fn differs(source: &SourceRoot, entry: &Entry, read: bool) -> Option<String> {
    let meta = entry.meta()?;
    let stat = match source.stat(&entry.path) {
        Ok(stat) => stat,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Some("not in the source".to_owned());
        }
        Err(error) => return Some(format!("cannot be compared with the source: {}", why(&error))),
    };
    if look::kind(FileType::from_raw_mode(stat.st_mode)) != Some(entry.kind) {
        return Some("of another type in the source".to_owned());
    }
    let (kind, size) = (entry.kind, stat.st_size as u64);
    let mut other = Vec::new();
    if kind == Type::File && entry.size != Some(size) {
        other.push(format!("size {size} in the source, {} here", entry.size.unwrap_or(0)));
    } else if kind == Type::File && read {
        match digest(source, entry) {
            Ok(found) if entry.digest().is_none_or(|wanted| wanted == found) => {}
            Ok(_) if entry.body.is_some() => {
                other.push("other content, or other holes, in the source".to_owned());
            }
            Ok(_) => other.push("other content in the source".to_owned()),
            Err(error) => other.push(format!("cannot be read in the source: {}", why(&error))),
        }
    }
    if kind == Type::Link && source.read_link(&entry.path).ok() != entry.link {
        other.push("another link target in the source".to_owned());
    }
    if kind != Type::Link && stat.st_mode & 0o7777 != meta.mode {
        other.push(format!(
            "mode {:04o} in the source, {:04o} here",
            stat.st_mode & 0o7777,
            meta.mode
        ));
    }
    if (stat.st_uid, stat.st_gid) != (meta.uid, meta.gid) {
        other.push(format!(
            "owner {}:{} in the source, {}:{} here",
            stat.st_uid, stat.st_gid, meta.uid, meta.gid
        ));
    }
    if (Time { sec: stat.st_mtime, nsec: stat.st_mtime_nsec as u32 }) != meta.time {
        other.push("another time in the source".to_owned());
    }
    (!other.is_empty()).then(|| other.join("; "))
}

fn digest(source: &SourceRoot, entry: &Entry) -> io::Result<Digest> {
    let file = source.open(&entry.path)?;
    if entry.body.is_some() {
        let facts = file.facts()?;
        let segments = file.segments(&facts)?;
        let whole = vec![Segment { offset: 0, len: facts.size }];
        return Ok(hash_body(&file, &segments.unwrap_or(whole))?.0);
    }
    hash_all(&file)
}
