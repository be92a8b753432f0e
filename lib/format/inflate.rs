//! Decompression of blocks, member by member, in bounded memory, and past damage.
//!
//! Members of usual size are decompressed in one call, which tells where each one ends. A zstd
//! frame says how long it is, and here it counts as a member, too. What is not as `dura-pack`
//! writes it (a member over 8 MiB, or in two parts) is streamed, by another decoder: so one that
//! wrongly refuses a member costs time, not data.

use std::io::{self, BufRead, Read};

use sirocco::Format;
use sirocco::inflate::Decoder;

use super::object::Compression;

/// So much of a part is read before its memory is given back, as long as nobody wants it sooner:
/// what is left of it is moved, and it costs more to ask the system for memory than to fill it. So
/// a block of usual size goes as a whole, and its memory serves for the next one.
pub const LEAVE: usize = 32 << 20;

/// How every gzip member begins.
const GZIP: [u8; 3] = [0x1f, 0x8b, 8];

/// How every zstd frame begins (RFC 8878, 3.1.1).
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// So much memory a member gets at first, and twice as much whenever that is full.
const LEAST: usize = 64 << 10;

/// Members of pack's seldom hold more.
const USUAL: usize = 5 << 18;

/// The largest member that is decompressed as a whole.
const MAX_MEMBER: usize = 8 << 20;

/// Bytes that are decompressed in vain behind damage, in search of a member that is whole: what
/// tens of thousands of other gzip files in a block take, and a minute. Members that lie in one
/// another could each take as much.
const IN_VAIN: u64 = 64 << 30;

/// Pieces of what is streamed.
const PIECE: usize = 256 << 10;

/// What comes out of a block.
#[derive(Debug, PartialEq, Eq)]
pub enum BlockPiece {
    /// Bytes; true if a member begins with them.
    Data(Vec<u8>, bool),
    /// Something is damaged: why. What follows, if anything, begins with the next member that is
    /// whole.
    Gap(String),
}

/// Gives the parts of a block one after another, and none at its end.
pub type Parts<'a> = dyn FnMut() -> io::Result<Option<Vec<u8>>> + 'a;

/// Where the pieces of a block go.
pub trait Sink {
    /// The next piece; false if no more are wanted.
    fn give(&mut self, piece: BlockPiece) -> bool;

    /// Memory of a piece that is used up, if there is some: to ask the system for each mebibyte
    /// anew takes longer than to fill it. Waits until a piece is wanted.
    fn spare(&mut self) -> Vec<u8> {
        Vec::new()
    }

    /// When so much of a block is read, its memory is wanted back.
    fn leave_at(&self) -> usize {
        LEAVE
    }

    /// So many bytes of the block were given back to the system.
    fn leave(&mut self, _bytes: u64) {}
}

impl<F: FnMut(BlockPiece) -> bool> Sink for F {
    fn give(&mut self, piece: BlockPiece) -> bool {
        self(piece)
    }
}

/// Decompresses a block. Ends early when nothing more is wanted.
pub fn inflate(compression: Compression, parts: &mut Parts<'_>, sink: &mut dyn Sink) {
    let mut input = BlockInput { parts, bytes: Vec::new(), at: 0 };
    match compression {
        Compression::Gzip => members(
            &mut MemberDecoder::Gzip(Box::new(Decoder::new(Format::Gzip))),
            &mut input,
            sink,
        ),
        Compression::Zstd => match zstd::bulk::Decompressor::new() {
            Ok(frames) => members(&mut MemberDecoder::Zstd(frames), &mut input, sink),
            Err(error) => drop(damaged(sink, &error)),
        },
        Compression::Plain => plain(input, sink),
    }
}

/// The content of one gzip member that `bytes` are all of; none if they are anything else or
/// damaged, or it has over `most` bytes. What else is gzip, such as members in a row, is for a
/// reader of streams.
pub fn whole(bytes: &[u8], most: usize) -> Option<Vec<u8>> {
    // What deflate can make of a byte at most, so a length that lies does not cost memory.
    const RATIO: usize = 1032;
    let len = u32::from_le_bytes(*bytes.last_chunk()?) as usize;
    let mut content =
        vec![0; Some(len).filter(|len| *len <= most && *len <= bytes.len().saturating_mul(RATIO))?];
    let came = Decoder::new(Format::Gzip).decompress(bytes, &mut content, true).ok()?;
    let all = came.done && came.consumed == bytes.len() && came.output.len() == len;
    all.then_some(content)
}

/// The parts of a block as one stream.
struct BlockInput<'a, 'b> {
    parts: &'a mut Parts<'b>,
    bytes: Vec<u8>,
    at: usize,
}

impl BlockInput<'_, '_> {
    /// Gives back what was read. What a lane holds that waits for others is then the rest of its
    /// block.
    fn leave(&mut self, sink: &mut dyn Sink) {
        // What is moved is never many times what was read.
        let rest = self.bytes.len() - self.at;
        let many = if sink.leave_at() < LEAVE { rest / 16 } else { rest };
        if self.at >= sink.leave_at().max(many) {
            self.bytes.drain(..self.at);
            self.bytes.shrink_to_fit();
            sink.leave(std::mem::take(&mut self.at) as u64);
        }
    }
}

impl Read for BlockInput<'_, '_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let mut rest = self.fill_buf()?;
        let came = rest.read(out)?;
        self.consume(came);
        Ok(came)
    }
}

impl BufRead for BlockInput<'_, '_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.at == self.bytes.len() {
            // The part before goes before the next one comes: both would be twice the memory.
            self.bytes = Vec::new();
            self.at = 0;
            match (self.parts)()? {
                Some(part) => self.bytes = part,
                None => break,
            }
        }
        Ok(&self.bytes[self.at..])
    }

    fn consume(&mut self, bytes: usize) {
        self.at += bytes;
    }
}

/// Hands on a block that is not compressed.
fn plain(mut input: BlockInput<'_, '_>, sink: &mut dyn Sink) {
    let mut begins = true;
    loop {
        input.leave(sink);
        match input.fill_buf() {
            Ok([]) => return,
            Ok(bytes) => {
                let mut piece = sink.spare();
                piece.clear();
                piece.extend_from_slice(&bytes[..bytes.len().min(PIECE)]);
                input.consume(piece.len());
                if !sink.give(BlockPiece::Data(piece, std::mem::take(&mut begins))) {
                    return;
                }
            }
            Err(error) => {
                damaged(sink, &error);
                return;
            }
        }
    }
}

/// How a stream ended.
#[derive(Debug, PartialEq, Eq)]
enum StreamEnd {
    Whole,
    Damaged,
    Unwanted,
}

/// Hands on what `from` gives until it ends or fails.
fn stream(mut from: impl Read, sink: &mut dyn Sink) -> StreamEnd {
    let mut begins = true;
    loop {
        let mut piece = sink.spare();
        piece.clear();
        piece.reserve(PIECE);
        let read = (&mut from).take(PIECE as u64).read_to_end(&mut piece);
        let came = piece.len();
        if came > 0 && !sink.give(BlockPiece::Data(piece, std::mem::take(&mut begins))) {
            return StreamEnd::Unwanted;
        }
        match read {
            Ok(_) if came < PIECE => return StreamEnd::Whole,
            Ok(_) => {}
            Err(error) => return damaged(sink, &error),
        }
    }
}

fn damaged(sink: &mut dyn Sink, error: &io::Error) -> StreamEnd {
    if sink.give(BlockPiece::Gap(error.to_string())) {
        StreamEnd::Damaged
    } else {
        StreamEnd::Unwanted
    }
}

/// What decompresses one member after another.
enum MemberDecoder {
    Gzip(Box<Decoder>),
    Zstd(zstd::bulk::Decompressor<'static>),
}

impl MemberDecoder {
    fn magic(&self) -> &'static [u8] {
        match self {
            MemberDecoder::Gzip(_) => &GZIP,
            MemberDecoder::Zstd(_) => &ZSTD,
        }
    }

    /// Where the member ends that `bytes` begin with, and its content; none if it is to be
    /// streamed, and then the content is about as long as what was decompressed in vain.
    fn whole(&mut self, bytes: &[u8], content: &mut Vec<u8>) -> Option<usize> {
        match self {
            MemberDecoder::Gzip(decoder) => member(decoder, bytes, content),
            MemberDecoder::Zstd(decompressor) => frame(decompressor, bytes, content),
        }
    }

    /// Hands on one member that begins where the input stands.
    fn stream(&self, input: &mut BlockInput<'_, '_>, sink: &mut dyn Sink) -> StreamEnd {
        match self {
            MemberDecoder::Gzip(_) => stream(flate2::bufread::GzDecoder::new(input), sink),
            MemberDecoder::Zstd(_) => match zstd::stream::read::Decoder::with_buffer(input) {
                Ok(decoder) => stream(decoder.single_frame(), sink),
                Err(error) => damaged(sink, &error),
            },
        }
    }
}

fn members(members: &mut MemberDecoder, input: &mut BlockInput<'_, '_>, sink: &mut dyn Sink) {
    let mut in_vain = IN_VAIN;
    loop {
        let rest = match input.fill_buf() {
            Ok([]) => return,
            Ok(rest) => rest,
            Err(error) => {
                damaged(sink, &error);
                return;
            }
        };
        let mut content = sink.spare();
        if let Some(end) = members.whole(rest, &mut content) {
            input.consume(end);
            // A lane may wait long with this piece: what it was made from is not kept beside it.
            input.leave(sink);
            if !sink.give(BlockPiece::Data(content, true)) {
                return;
            }
            continue;
        }
        let (before, bytes) = (input.at, input.bytes.len());
        match members.stream(input, sink) {
            StreamEnd::Whole => input.leave(sink),
            StreamEnd::Unwanted => return,
            StreamEnd::Damaged => {
                // In the same part a whole member may begin right behind the damage; of a later
                // part all is looked at.
                let same = input.bytes.len() == bytes && input.at >= before;
                input.at = if same { before + 1 } else { 0 };
                if !seek(members, input, &mut in_vain) {
                    return;
                }
            }
        }
    }
}

fn member(decoder: &mut Decoder, bytes: &[u8], content: &mut Vec<u8>) -> Option<usize> {
    decoder.reset();
    // Room for any: members grow and shrink. But what is not needed is not cleared.
    content.reserve(USUAL.saturating_sub(content.len()));
    content.resize(content.len().max(LEAST), 0);
    let mut end = 0;
    loop {
        let came = decoder.decompress(&bytes[end..], content, true).ok()?;
        end += came.consumed;
        if came.done {
            content.truncate(usize::try_from(decoder.total_out()).ok()?);
            return Some(end);
        }
        let more = match content.len() {
            len if len < USUAL => USUAL.min(2 * len),
            len if len < MAX_MEMBER => MAX_MEMBER.min(2 * len),
            _ => return None,
        };
        content.resize(more, 0);
    }
}

fn frame(
    decompressor: &mut zstd::bulk::Decompressor<'_>,
    bytes: &[u8],
    content: &mut Vec<u8>,
) -> Option<usize> {
    content.clear();
    let end = zstd::zstd_safe::find_frame_compressed_size(bytes).ok()?;
    let len = usize::try_from(zstd::zstd_safe::get_frame_content_size(bytes).ok()??).ok()?;
    if len > MAX_MEMBER {
        return None;
    }
    content.reserve_exact(len);
    let came = decompressor.decompress_to_buffer(&bytes[..end], content);
    came.inspect_err(|_| content.resize(len, 0)).ok()?;
    Some(end)
}

/// Goes to the next whole member; false if there is none, or it took too much to look for it.
fn seek(members: &mut MemberDecoder, input: &mut BlockInput<'_, '_>, in_vain: &mut u64) -> bool {
    let mut content = Vec::new();
    loop {
        match input.fill_buf() {
            Ok([]) | Err(_) => return false,
            Ok(rest) => match memchr::memmem::find(rest, members.magic()) {
                Some(at) if members.whole(&rest[at..], &mut content).is_some() => {
                    input.consume(at);
                    return true;
                }
                Some(at) => {
                    let tried = content.len().max(LEAST) as u64;
                    let Some(left) = in_vain.checked_sub(tried) else { return false };
                    *in_vain = left;
                    content.clear();
                    input.consume(at + 1);
                }
                None => {
                    let len = rest.len();
                    input.consume(len);
                }
            },
        }
    }
}

#[cfg(test)]
mod tests;
