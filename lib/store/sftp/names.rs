//! The names in a folder, of which a server may say anything.

use std::collections::{BTreeMap, BTreeSet};

use super::packet::{SftpAttributes, SftpReply, SftpRequest, code};
use super::{SftpFailure, handle, look, one, senseless};
use crate::store::sftp::link::{LinkEnd, SshCall};
use crate::store::{MAX_NAME, UNSEEN};

/// Pages that are asked for at once, in the end: each holds about a hundred names.
const PAGES: usize = 16;

/// So many pages in a row that bring no new name are no listing.
const IDLE_PAGES: usize = 300;

/// More than all names of the largest folder.
const MAX_NAMES: usize = 256 << 20;

/// A listing, sorted, and the names of which the server does not say what they are.
type NamesSeen = (Vec<(String, u64)>, Vec<String>);

/// The names in a folder with their sizes; nothing where there is no such folder.
pub(super) fn names(call: &SshCall<'_>, folder: &[u8]) -> Result<NamesSeen, SftpFailure> {
    let opened = match one(call, &SftpRequest::OpenFolder(folder)) {
        Err(failure) if failure.code() == code::NO_SUCH_FILE => return Ok(Default::default()),
        opened => handle(call.link, opened?)?,
    };
    let read = pages(&SshCall::new(call.link), &opened);
    call.link.tell(&SftpRequest::Close(&opened));
    let mut listed = Vec::new();
    let mut unseen = Vec::new();
    for (name, seen) in read? {
        match size(call, folder, &name, seen)? {
            Seen::Folder => listed.push((name + "/", 0)),
            Seen::Size(size) => listed.push((name, size)),
            Seen::Gone => {}
            Seen::Odd => listed.push((name, UNSEEN)),
            Seen::Untold => {
                listed.push((name.clone(), UNSEEN));
                unseen.push(name);
            }
        }
    }
    listed.sort();
    Ok((listed, unseen))
}

/// What an entry is.
enum Seen {
    Folder,
    Size(u64),
    Gone,
    /// It is there, and no object.
    Odd,
    Untold,
}

fn size(
    call: &SshCall<'_>,
    folder: &[u8],
    name: &str,
    seen: SftpAttributes,
) -> Result<Seen, SftpFailure> {
    Ok(match seen.size {
        _ if seen.is_folder() => Seen::Folder,
        Some(size) if seen.is_file() => Seen::Size(size),
        // A folder may lie elsewhere, an object is a file.
        _ if seen.is_link() => {
            let path = [folder, b"/", name.as_bytes()].concat();
            match look(call, &SftpRequest::Follow(&path)) {
                Ok(Some(to)) if to.is_folder() => Seen::Folder,
                Ok(Some(_)) => Seen::Odd,
                Ok(None) => Seen::Gone,
                Err(SftpFailure::Status(..)) => Seen::Untold,
                Err(end) => return Err(end),
            }
        }
        _ if seen.mode.is_some() && !seen.is_file() => Seen::Odd,
        _ => Seen::Untold,
    })
}

/// All pages of an opened folder.
fn pages(
    call: &SshCall<'_>,
    opened: &[u8],
) -> Result<BTreeMap<String, SftpAttributes>, SftpFailure> {
    let mut found = BTreeMap::new();
    let (mut bytes, mut idle) = (0, 0);
    let (mut asked, mut wanted) = (BTreeSet::new(), 2);
    let mut ended: Option<(u32, Result<(), SftpFailure>)> = None;
    loop {
        while ended.is_none() && asked.len() < wanted {
            asked.insert(call.ask(&SftpRequest::ReadFolder(opened))?);
        }
        // What was asked for behind the end brings no more, and is not waited for.
        let is_last = |(last, _): &mut (u32, _)| asked.first().is_none_or(|first| first > last);
        if let Some((_, end)) = ended.take_if(is_last) {
            return end.map(|()| found);
        }
        let (id, reply) = call.next()?;
        asked.remove(&id);
        match reply {
            SftpReply::Names(page) => {
                let before = found.len();
                for (name, seen) in page {
                    if let Some(name) = kept(name) {
                        bytes += name.len();
                        found.insert(name, seen);
                    }
                }
                idle = if found.len() == before { idle + 1 } else { 0 };
                if idle > IDLE_PAGES || bytes > MAX_NAMES {
                    let end = LinkEnd::wrong("a listing that does not end, without a new name");
                    call.link.end(end.clone());
                    return Err(end.into());
                }
                wanted = (wanted * 2).min(PAGES);
            }
            SftpReply::Status(code, words) if code != code::OK => {
                let end = match code {
                    code::EOF => Ok(()),
                    code => Err(SftpFailure::Status(code, words)),
                };
                // The first end is the one, in whatever order the answers come.
                if ended.as_ref().is_none_or(|(last, _)| id < *last) {
                    ended = Some((id, end));
                }
            }
            _ => return Err(senseless(call.link)),
        }
    }
}

/// A name as it is listed: one that is directly in this folder, and that a program of ours can
/// have given.
fn kept(name: Vec<u8>) -> Option<String> {
    let name = String::from_utf8(name).ok()?;
    let bad = name.is_empty()
        || name.len() > MAX_NAME
        || matches!(name.as_str(), "." | "..")
        || name.contains(['/', '\0']);
    (!bad).then_some(name)
}
