//! A file that the scan hands over, of a length that nobody knows before its end. The header of a tar
//! entry says how long it is, and comes first: so it is made last, as a part of its own, and part 0
//! of the block.

use std::io::{self, Read};
use std::path::{Path as FsPath, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::core::assemble::{BlockStart, LargePiece};
use crate::core::planner::MEMBER;
use crate::edge::attributes::Attributes;
use crate::edge::handover;
use crate::format::entry::{Entry, EntryState};
use crate::format::path::Path;
use crate::format::tarball::{Content, padding};
use crate::ops::pack::raw::Raw;
use crate::ops::pack::reading::FileReading;

/// Which file it is, and where its content waits.
#[derive(Debug)]
pub(crate) struct HandedFile {
    pub path: Path,
    pub socket: PathBuf,
}

impl FileReading {
    /// Reads it to its end and hands on its tar in pieces, but the last, which has its line: that
    /// comes back, with the file's length, to be handed on when its producer is known to have
    /// succeeded. The inner error is what `emit` fails with.
    pub(super) fn take_handed<E>(
        &self,
        mut entry: Entry,
        socket: &FsPath,
        emit: &mut dyn FnMut(Raw) -> Result<(), E>,
    ) -> io::Result<Result<(Raw, u64), E>> {
        let EntryState::Present(meta) = entry.state else {
            return Err(io::Error::other("its line has no attributes"));
        };
        let mut input = handover::take(socket)?;
        let (mut sha256, mut len) = (Sha256::new(), 0);
        let mut start = Some(BlockStart::Headless);
        let mut raw = loop {
            let mut raw = self.empty();
            len += input.by_ref().take(MEMBER).read_to_end(&mut raw.tar)? as u64;
            sha256.update(&raw.tar);
            if (raw.tar.len() as u64) < MEMBER {
                break raw;
            }
            let piece = LargePiece { start: start.take(), ..LargePiece::default() };
            raw.member.large = Some(Box::new(piece));
            if let Err(error) = emit(raw) {
                return Ok(Err(error));
            }
        };
        (entry.size, entry.nlink) = (Some(len), Some(1));
        (entry.sha256, entry.within, entry.reference) =
            (Some(sha256.finalize().into()), None, None);
        raw.tar.resize(raw.tar.len() + padding(len), 0);
        let mut last = self.empty();
        let content = Content::Bytes(len);
        self.write_header(&mut last.tar, &entry, meta, content, &Attributes::default());
        if start.is_some() {
            last.tar.extend_from_slice(&raw.tar);
        } else {
            let header = LargePiece { is_header: true, ..LargePiece::default() };
            last.member.large = Some(Box::new(header));
            raw.member.large = Some(Box::default());
            if let Err(error) = if raw.tar.is_empty() { Ok(()) } else { emit(raw) } {
                return Ok(Err(error));
            }
        }
        last.member.border = true;
        last.file(&entry, None, false);
        Ok(Ok((last, len)))
    }
}
