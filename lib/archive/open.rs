//! Bounds of objects: how large they may be, and what they may expand to.

use std::io::Read as _;

use anyhow::{Context, anyhow, bail};

use crate::format::inflate::whole;
use crate::format::object::{MAX_BLOCK, MAX_INDEX, MAX_SUMS, MAX_TOC, Object};

/// An object is larger than any of its kind.
pub(super) fn too_large(name: &str, most: u64) -> anyhow::Error {
    let error = anyhow!("{name}: has over {most} bytes, more than such an object has");
    match most < MAX_BLOCK {
        true => error,
        false => error.context("if it is meant to be this large, use --max-object SIZE"),
    }
}

/// Decompresses an index or table of contents, up to what such an object may have.
pub(crate) fn unzip(bytes: &[u8], object: Object) -> anyhow::Result<Vec<u8>> {
    let most = match object {
        Object::Toc(_) => MAX_TOC,
        Object::Sums(_) => MAX_SUMS,
        _ => MAX_INDEX,
    };
    if let Some(text) = whole(bytes, most) {
        return Ok(text);
    }
    let mut text = Vec::new();
    flate2::read::MultiGzDecoder::new(bytes)
        .take(most as u64 + 1)
        .read_to_end(&mut text)
        .context("damaged")?;
    if text.len() > most {
        bail!("expands to over {} MiB, which no such object does", most >> 20);
    }
    Ok(text)
}
