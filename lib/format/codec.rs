//! Compression of members: gzip by libdeflate, zstd frames, or none.

use std::io;

use super::object::Compression;

/// Levels that `--level` takes for gzip, and the one used without it.
///
/// The default is the fastest that stays within 1.06 of the size of `gzip -6` on source code;
/// `docs/speed.md` has the figures.
pub const GZIP_LEVELS: (i32, i32, i32) = (1, 12, 5);

/// Levels that `--level` takes for zstd, and the one used without it.
pub const ZSTD_LEVELS: (i32, i32, i32) = (1, 19, 3);

/// Compresses one member at a time; a thread keeps one and uses it again.
pub enum Codec {
    /// gzip.
    Gzip(Box<Gzip>),
    /// zstd with frame checksums.
    Zstd(zstd::bulk::Compressor<'static>),
    /// Nothing.
    Plain,
}

/// The compressors of gzip members.
pub struct Gzip {
    deflate: libdeflater::Compressor,
    /// Only stores.
    store: libdeflater::Compressor,
    /// Compresses samples, at the lowest level.
    probe: libdeflater::Compressor,
}

/// Samples of a member, spread over it, and the bytes of each: a fiftieth of a large member.
const SAMPLES: usize = 6;
const SAMPLE: usize = 4 << 10;

/// A member of less is compressed without a look at samples.
const WORTH_A_LOOK: usize = 128 << 10;

/// Lowest, highest and default level of a compression.
pub fn levels(compression: Compression) -> (i32, i32, i32) {
    match compression {
        Compression::Gzip => GZIP_LEVELS,
        Compression::Zstd => ZSTD_LEVELS,
        Compression::Plain => (0, 0, 0),
    }
}

impl Codec {
    /// A codec at `level`, which is clamped to what the compression has.
    ///
    /// # Errors
    /// If the library refuses the level.
    pub fn new(compression: Compression, level: i32) -> io::Result<Codec> {
        let (low, high, _) = levels(compression);
        let level = level.clamp(low, high);
        let deflate = |level| {
            let level = libdeflater::CompressionLvl::new(level)
                .map_err(|_| io::Error::other("no such gzip level"))?;
            io::Result::Ok(libdeflater::Compressor::new(level))
        };
        Ok(match compression {
            Compression::Gzip => Codec::Gzip(Box::new(Gzip {
                deflate: deflate(level)?,
                store: deflate(0)?,
                probe: deflate(1)?,
            })),
            Compression::Zstd => {
                let mut zstd = zstd::bulk::Compressor::new(level)?;
                zstd.include_checksum(true)?;
                Codec::Zstd(zstd)
            }
            Compression::Plain => Codec::Plain,
        })
    }

    /// Appends `data` as one member; a gzip member that would not shrink is stored, most often
    /// after a look at samples alone (zstd does so by itself).
    ///
    /// # Errors
    /// If the library fails.
    pub fn append(&mut self, data: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        let start = out.len();
        match self {
            Codec::Gzip(gzip) => {
                let shrinks = gzip.may_shrink(data, out)?;
                if shrinks {
                    deflate_member(&mut gzip.deflate, data, out)?;
                }
                if !shrinks || out.len() - start > data.len() {
                    out.truncate(start);
                    deflate_member(&mut gzip.store, data, out)?;
                }
            }
            Codec::Zstd(zstd) => {
                out.resize(start + zstd::zstd_safe::compress_bound(data.len()), 0);
                let written = zstd.compress_to_buffer(data, &mut out[start..])?;
                out.truncate(start + written);
            }
            Codec::Plain => out.extend_from_slice(data),
        }
        Ok(())
    }
}

impl Gzip {
    /// Whether it is worth the time to compress these bytes: photographs, films and archives of
    /// other programs do not shrink, in any part. `scratch` is used behind its end.
    fn may_shrink(&mut self, data: &[u8], scratch: &mut Vec<u8>) -> io::Result<bool> {
        if data.len() < WORTH_A_LOOK {
            return Ok(true);
        }
        let start = scratch.len();
        let step = (data.len() - SAMPLE) / (SAMPLES - 1);
        for sample in (0..SAMPLES).map(|number| &data[number * step..][..SAMPLE]) {
            deflate_member(&mut self.probe, sample, scratch)?;
        }
        let compressed = scratch.len() - start;
        scratch.truncate(start);
        // A hundredth is not worth it.
        Ok(compressed < SAMPLES * (SAMPLE - SAMPLE / 100))
    }
}

fn deflate_member(
    deflate: &mut libdeflater::Compressor,
    data: &[u8],
    out: &mut Vec<u8>,
) -> io::Result<()> {
    let start = out.len();
    out.resize(start + deflate.gzip_compress_bound(data.len()), 0);
    let written = deflate
        .gzip_compress(data, &mut out[start..])
        .map_err(|_| io::Error::other("gzip output did not fit"))?;
    out.truncate(start + written);
    Ok(())
}

/// The whole of `text` as one gzip member, for indexes and tables of contents.
///
/// # Errors
/// If the library fails.
pub fn gzip(text: &[u8]) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    Codec::new(Compression::Gzip, GZIP_LEVELS.2)?.append(text, &mut out)?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn noise(len: usize) -> Vec<u8> {
        let mut state = 1u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        };
        (0..len).map(|_| next()).collect()
    }

    #[test]
    fn members_in_a_row_read_back_as_one() {
        let text = b"so it goes, ".repeat(1000);
        let parts = [&text[..], b"", &noise(100_000), b"x"];
        for compression in [Compression::Gzip, Compression::Zstd, Compression::Plain] {
            let mut codec = Codec::new(compression, 3).unwrap();
            let mut out = Vec::new();
            parts.iter().for_each(|part| codec.append(part, &mut out).unwrap());
            let mut back = Vec::new();
            match compression {
                Compression::Gzip => {
                    flate2::read::MultiGzDecoder::new(&out[..]).read_to_end(&mut back).unwrap()
                }
                Compression::Zstd => zstd::stream::read::Decoder::new(&out[..])
                    .unwrap()
                    .read_to_end(&mut back)
                    .unwrap(),
                Compression::Plain => out.as_slice().read_to_end(&mut back).unwrap(),
            };
            assert_eq!(back, parts.concat());
        }
    }

    /// What is compressed although it need not be costs time only; what is not, although it would
    /// shrink, costs bytes.
    #[test]
    fn samples_tell_what_shrinks() {
        let text: Vec<u8> =
            (0..).flat_map(|n: u32| format!("{n:x} ").into_bytes()).take(1 << 20).collect();
        let noise = noise(1 << 20);
        let mut base64 = noise.clone();
        base64.iter_mut().for_each(|byte| *byte = b'0' + (*byte & 63));
        let half = [&noise[..1 << 19], &text[..1 << 19]].concat();
        let tenth = [&noise[..9 << 16], &text[..1 << 16], &noise[9 << 16..]].concat();
        for (data, most, what) in [
            (&text, 60, "text"),
            (&base64, 77, "six bits of eight"),
            (&half, 75, "half of it text"),
            (&tenth, 101, "a tenth of it text"),
            (&noise, 101, "noise"),
            (&noise[..WORTH_A_LOOK - 1].to_vec(), 101, "a little noise"),
        ] {
            let mut out = vec![1, 2, 3];
            Codec::new(Compression::Gzip, 5).unwrap().append(data, &mut out).unwrap();
            assert!((out.len() - 3) * 100 <= data.len() * most, "{what}: {}", out.len());
            let mut back = Vec::new();
            flate2::read::GzDecoder::new(&out[3..]).read_to_end(&mut back).unwrap();
            assert_eq!((&back == data, &out[..3]), (true, &[1, 2, 3][..]), "{what}");
        }
        let Codec::Gzip(mut gzip) = Codec::new(Compression::Gzip, 5).unwrap() else { panic!() };
        assert!(!gzip.may_shrink(&noise, &mut Vec::new()).unwrap());
        assert!(gzip.may_shrink(&half, &mut Vec::new()).unwrap());
    }

    #[test]
    fn what_does_not_shrink_hardly_grows() {
        let data = noise(1 << 20);
        for compression in [Compression::Gzip, Compression::Zstd] {
            let mut out = Vec::new();
            Codec::new(compression, 6).unwrap().append(&data, &mut out).unwrap();
            assert!(out.len() < data.len() + data.len() / 5000, "{compression:?} {}", out.len());
        }
    }
}
