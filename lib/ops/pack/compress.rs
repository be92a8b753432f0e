//! Compresses members, with tables and buffers that are used again.

use std::io;
use std::sync::{Arc, Mutex};

use crate::core::assemble::PackedMember;
use crate::core::planner::MEMBER;
use crate::format::codec::Codec;
use crate::format::object::Compression;
use crate::ops::pack::raw::{MAX_WHOLE, Raw};
use crate::ops::pack::settle::Settled;

/// Buffers for the tar of members.
#[derive(Default)]
pub(super) struct Buffers(Mutex<Vec<Vec<u8>>>);

impl Buffers {
    /// A member with room for most.
    pub(super) fn empty(&self) -> Raw {
        let buffer = self.0.lock().ok().and_then(|mut buffers| buffers.pop());
        let tar = buffer.unwrap_or_else(|| Vec::with_capacity(MEMBER as usize * 5 / 4));
        Raw { tar, ..Raw::default() }
    }

    /// Takes a member's buffer back.
    pub(super) fn recycle(&self, mut tar: Vec<u8>) {
        tar.clear();
        if let Ok(mut buffers) = self.0.lock()
            && tar.capacity() <= 2 * MAX_WHOLE as usize
        {
            buffers.push(tar);
        }
    }
}

/// A compressed member; see [`Settled`].
pub(super) struct Packed {
    pub member: PackedMember,
    pub pending: Vec<(usize, u64)>,
    pub start: u64,
    /// Bytes of its tar, before compression.
    pub tar: u64,
}

/// Codecs that are not in use, with their output buffers: each holds tables that are worth keeping.
pub(super) struct Codecs {
    compression: Compression,
    level: i32,
    idle: Mutex<Vec<(Codec, Vec<u8>)>>,
    /// Where the tar of members lies before they are compressed.
    pub buffers: Arc<Buffers>,
}

impl Codecs {
    pub(super) fn new(compression: Compression, level: i32, buffers: Arc<Buffers>) -> Codecs {
        Codecs { compression, level, idle: Mutex::default(), buffers }
    }

    pub(super) fn compress(&self, settled: Settled) -> io::Result<Packed> {
        let Settled { raw: Raw { tar, mut member, .. }, pending, start } = settled;
        let len = tar.len() as u64;
        if !tar.is_empty() {
            let idle = self.idle.lock().ok().and_then(|mut idle| idle.pop());
            let (mut codec, mut scratch) = match idle {
                Some(idle) => idle,
                None => (Codec::new(self.compression, self.level)?, Vec::new()),
            };
            codec.append(&tar, &mut scratch)?;
            member.bytes = scratch.as_slice().into();
            scratch.clear();
            if let Ok(mut idle) = self.idle.lock() {
                idle.push((codec, scratch));
            }
        }
        self.buffers.recycle(tar);
        Ok(Packed { member, pending, start, tar: len })
    }
}
