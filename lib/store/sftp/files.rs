//! Files on a server: written and read many pieces at a time, and flushed with their folders.

use std::collections::VecDeque;

use super::link::{LinkEnd, SshCall, SshLink};
use super::packet::{PIECE, READ, SftpAttributes, SftpReply, SftpRequest, WRITE_NEW, code};
use super::{
    FLUSH, NO_FLUSH, Sftp, SftpFailure, done, folder_of, handle, look, one, senseless, sound,
};
use crate::store::{StoreError, StoreErrorKind};

/// Pieces of one object that are on the way at once.
const WINDOW: usize = 64;

impl Sftp {
    /// Opens a new file, after its folders when they are not there.
    pub(super) fn open_new(&self, call: &SshCall<'_>, path: &[u8]) -> Result<Vec<u8>, SftpFailure> {
        let request = SftpRequest::Open(path, WRITE_NEW);
        let opened = match one(call, &request) {
            Err(failure) if failure.code() == code::NO_SUCH_FILE => {
                self.make_folders(call, folder_of(path).unwrap_or(b"."))?;
                one(call, &request)
            }
            opened => opened,
        };
        handle(call.link, opened?)
    }

    /// Makes a folder and those above it, durably.
    pub(super) fn make_folders(
        &self,
        call: &SshCall<'_>,
        folder: &[u8],
    ) -> Result<(), SftpFailure> {
        let above = folder_of(folder);
        let make = || {
            let made = one(call, &SftpRequest::MakeFolder(folder));
            made.and_then(|reply| done(call.link, reply))
        };
        let mut made = make();
        if let (Err(failure), Some(above)) = (&made, above)
            && failure.code() == code::NO_SUCH_FILE
        {
            self.make_folders(call, above)?;
            made = make();
        }
        // Another may have made it a moment ago.
        if let Err(failure @ SftpFailure::Status(..)) = made {
            let there = look(call, &SftpRequest::Follow(folder))?;
            return there.filter(|there| there.is_folder()).map(drop).ok_or(failure);
        }
        made?;
        self.flush_folder(call, above.unwrap_or(b"."))
    }

    /// Writes an opened file to its end, on disk, and closes it.
    pub(super) fn fill(
        &self,
        call: &SshCall<'_>,
        opened: &[u8],
        bytes: &[u8],
    ) -> Result<(), SftpFailure> {
        let mut on_the_way = 0;
        let mut failed = None;
        let mut take = |on_the_way: &mut usize| {
            let (_, reply) = call.next()?;
            *on_the_way -= 1;
            if let Err(failure) = sound(reply).and_then(|reply| done(call.link, reply)) {
                failed.get_or_insert(failure);
            }
            Ok::<bool, SftpFailure>(failed.is_some())
        };
        for (number, piece) in bytes.chunks(PIECE).enumerate() {
            if on_the_way == WINDOW && take(&mut on_the_way)? {
                break;
            }
            call.ask(&SftpRequest::Write(opened, (number * PIECE) as u64, piece))?;
            on_the_way += 1;
        }
        // Servers do what concerns one file in order; whatever fails, all of it is known before the
        // file gets its name.
        let flushes = call.link.has(FLUSH);
        if flushes {
            call.ask(&SftpRequest::Extended(FLUSH, &[opened]))?;
        }
        call.ask(&SftpRequest::Close(opened))?;
        on_the_way += 1 + usize::from(flushes);
        while on_the_way > 0 {
            take(&mut on_the_way)?;
        }
        if !flushes {
            self.tell(NO_FLUSH);
        }
        failed.map_or(Ok(()), Err)
    }

    /// Flushes the names in a folder.
    pub(super) fn flush_folder(
        &self,
        call: &SshCall<'_>,
        folder: &[u8],
    ) -> Result<(), SftpFailure> {
        if !call.link.has(FLUSH) {
            return Ok(());
        }
        let opened = match one(call, &SftpRequest::Open(folder, READ)) {
            Err(SftpFailure::Status(..)) => {
                self.tell(NO_FLUSH);
                return Ok(());
            }
            opened => handle(call.link, opened?)?,
        };
        let flushed = one(call, &SftpRequest::Extended(FLUSH, &[&opened]));
        call.link.tell(&SftpRequest::Close(&opened));
        match flushed {
            Err(SftpFailure::Status(..)) => self.tell(NO_FLUSH),
            other => done(call.link, other?)?,
        }
        Ok(())
    }
}

/// Whether an object of 0 bytes is there, which counts as absent.
pub(super) fn is_empty(there: SftpAttributes) -> bool {
    there.is_file() && there.size == Some(0)
}

/// The size of a file, which every server tells.
pub(super) fn size(seen: SftpAttributes, at: &str) -> Result<u64, StoreError> {
    let untold = "the server does not say how large it is";
    seen.size.ok_or_else(|| StoreError::of(StoreErrorKind::Other, at, untold))
}

/// Reads an object, or the part of it from `start` on, if it is not larger than `most`.
pub(super) fn fetch(
    link: &SshLink,
    path: &[u8],
    at: &str,
    start: u64,
    length: Option<u64>,
    most: u64,
) -> Result<Vec<u8>, StoreError> {
    let call = SshCall::new(link);
    let damaged = |text: String| StoreError::of(StoreErrorKind::Damaged, at, text);
    // Its disk fails, or something lies there that cannot be opened.
    let failed = |failure: SftpFailure| match failure {
        SftpFailure::Status(code::FAILURE, _) => damaged("the server cannot read it".to_owned()),
        other => other.at(at),
    };
    let looked = call.ask(&SftpRequest::Look(path)).map_err(|end| end.at(at))?;
    call.ask(&SftpRequest::Open(path, READ)).map_err(|end| end.at(at))?;
    // A FIFO is seen for one, though it is never opened.
    let (mut seen, mut opened) = (None, None);
    while seen.is_none() {
        let (id, reply) = call.next().map_err(|end| end.at(at))?;
        *(if id == looked { &mut seen } else { &mut opened }) = Some(reply);
    }
    let seen = match seen.map(sound) {
        Some(Ok(SftpReply::Attributes(seen))) => Ok(seen),
        Some(Err(failure)) => Err(failure.at(at)),
        _ => Err(senseless(link).at(at)),
    };
    let waits = seen.as_ref().map_or(true, |seen| seen.is_file() || seen.is_folder());
    let opened = match opened {
        None if waits => Some(call.next().map_err(|end| end.at(at))?.1),
        None => {
            let text = "something that cannot be opened lies in the archive";
            link.end(LinkEnd { kind: StoreErrorKind::Passing, text: text.to_owned() });
            None
        }
        opened => opened,
    };
    let opened = opened.map(|reply| sound(reply).and_then(|reply| handle(link, reply)));
    let close = |opened: &[u8]| link.tell(&SftpRequest::Close(opened));
    let sized = seen.and_then(|seen| match size(seen, at)? {
        _ if !seen.is_file() => Err(damaged("not a regular file".to_owned())),
        0 => Err(StoreError::new(at, std::io::ErrorKind::NotFound.into())),
        size if size > most => Err(damaged(format!("{size} bytes, more than any such object has"))),
        size => Ok(size),
    });
    let size = match sized {
        Ok(size) => size,
        Err(error) => {
            if let Some(Ok(opened)) = opened {
                close(&opened);
            }
            return Err(error);
        }
    };
    let opened = opened.unwrap_or_else(|| Err(senseless(link))).map_err(failed)?;
    let wanted = size.saturating_sub(start).min(length.unwrap_or(size));
    let read = pieces(&call, &opened, start, wanted);
    close(&opened);
    match read {
        Ok(Some(bytes)) => Ok(bytes),
        Ok(None) => Err(damaged("it ends before the size that the server tells".to_owned())),
        Err(failure) => Err(failed(failure)),
    }
}

/// A piece that is on the way.
struct Piece {
    id: u32,
    length: usize,
    bytes: Vec<u8>,
}

/// So many bytes of an opened file; none if it ends before. No room is made for what has not come.
fn pieces(
    call: &SshCall<'_>,
    opened: &[u8],
    start: u64,
    wanted: u64,
) -> Result<Option<Vec<u8>>, SftpFailure> {
    let mut read = Vec::new();
    let mut on_the_way: VecDeque<Piece> = VecDeque::new();
    let mut asked = 0;
    loop {
        while on_the_way.len() < WINDOW && asked < wanted {
            let length = (wanted - asked).min(PIECE as u64);
            let id = call.ask(&SftpRequest::Read(opened, start + asked, length as u32))?;
            on_the_way.push_back(Piece { id, length: length as usize, bytes: Vec::new() });
            asked += length;
        }
        while on_the_way.front().is_some_and(|piece| piece.bytes.len() == piece.length) {
            read.extend(on_the_way.pop_front().map(|piece| piece.bytes).unwrap_or_default());
        }
        if on_the_way.is_empty() && asked == wanted {
            return Ok(Some(read));
        }
        if on_the_way.len() < WINDOW && asked < wanted {
            continue;
        }
        let (id, reply) = call.next()?;
        let before = |piece: &Piece| piece.length as u64;
        let Some(at) = on_the_way.iter().position(|piece| piece.id == id) else {
            return Err(senseless(call.link));
        };
        let rest: u64 = on_the_way.iter().skip(at).map(before).sum();
        let piece = &mut on_the_way[at];
        match sound(reply) {
            Ok(SftpReply::Data(bytes))
                if !bytes.is_empty() && piece.bytes.len() + bytes.len() <= piece.length =>
            {
                piece.bytes.extend(bytes);
                // A server may send less than was asked for.
                let lacking = piece.length - piece.bytes.len();
                if lacking > 0 {
                    let place = start + asked - rest + piece.bytes.len() as u64;
                    let request = SftpRequest::Read(opened, place, lacking as u32);
                    piece.id = call.ask(&request)?;
                }
            }
            Ok(_) => return Err(senseless(call.link)),
            Err(failure) if failure.code() == code::EOF => return Ok(None),
            Err(failure) => return Err(failure),
        }
    }
}
