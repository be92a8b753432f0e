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
    /// gzip, and a second compressor that only stores.
    Gzip(Box<libdeflater::Compressor>, Box<libdeflater::Compressor>),
    /// zstd with frame checksums.
    Zstd(zstd::bulk::Compressor<'static>),
    /// Nothing.
    Plain,
}

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
    pub fn new(compression: Compression, level: i32) -> io::Result<Codec> {
        let (low, high, _) = levels(compression);
        let level = level.clamp(low, high);
        let deflate = |level| {
            let level = libdeflater::CompressionLvl::new(level)
                .map_err(|_| io::Error::other("no such gzip level"))?;
            io::Result::Ok(Box::new(libdeflater::Compressor::new(level)))
        };
        Ok(match compression {
            Compression::Gzip => Codec::Gzip(deflate(level)?, deflate(0)?),
            Compression::Zstd => {
                let mut zstd = zstd::bulk::Compressor::new(level)?;
                zstd.include_checksum(true)?;
                Codec::Zstd(zstd)
            }
            Compression::Plain => Codec::Plain,
        })
    }

    /// Appends `data` as one member; a gzip member that would not shrink is stored (zstd does so by
    /// itself).
    pub fn append(&mut self, data: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        let start = out.len();
        match self {
            Codec::Gzip(deflate, store) => {
                deflate_member(deflate, data, out)?;
                if out.len() - start > data.len() {
                    out.truncate(start);
                    deflate_member(store, data, out)?;
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
