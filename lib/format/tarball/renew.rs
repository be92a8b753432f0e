//! Headers of a stored entry made anew, for another path or with other attributes: content and
//! extended attributes stay as they were stored.

use std::borrow::Cow;

use super::super::entry::Meta;
use super::super::path::Path;
use super::super::time::Time;
use super::super::untar;
use super::{
    BLOCK, MAX_OCTAL_ID, MAX_OCTAL_SIZE, MAX_RECORDS, TooLong, push_records, put_checksum,
    put_meta, put_name, record, sparse_name, split_name, truncated,
};
use crate::format::entry::Kind;

/// The headers of `stored`, which is no directory, at `path` and with `meta`. What follows them is
/// what followed the stored ones.
pub fn renew(stored: &untar::Entry, path: &Path, meta: &Meta) -> Result<Vec<u8>, TooLong> {
    let name = [b"./", &path.raw()[..]].concat();
    let sparse = stored.record(b"GNU.sparse.name").is_some();
    let mut header = tar::Header::new_ustar();
    if let Some(own) = stored.headers.last_chunk::<BLOCK>() {
        header.as_mut_bytes().copy_from_slice(own);
    }
    let (uid, gid) = (id(stored, b"uid", header.uid()), id(stored, b"gid", header.gid()));
    let shown = if sparse { Cow::Owned(sparse_name(&name)) } else { Cow::Borrowed(&name[..]) };
    let (prefix, base) = split_name(&shown).unwrap_or_else(|| (b"", truncated(&shown, Kind::File)));
    put_name(&mut header, prefix, base);
    // A name goes before its number when a tar extracts, so it goes with the number that it
    // belonged to.
    for (changed, field) in
        [(uid != Some(meta.uid.into()), 265..297), (gid != Some(meta.gid.into()), 297..329)]
    {
        if changed {
            header.as_mut_bytes()[field].fill(0);
        }
    }
    put_meta(&mut header, meta);
    put_checksum(&mut header);
    let records = records(stored, &name, sparse, meta);
    if records.len() > MAX_RECORDS {
        return Err(TooLong(records.len()));
    }
    let mut out = Vec::with_capacity(3 * BLOCK);
    push_records(&mut out, &records);
    out.extend(header.as_bytes());
    Ok(out)
}

fn id(stored: &untar::Entry, key: &[u8], field: std::io::Result<u64>) -> Option<u64> {
    match stored.record(key) {
        Some(value) => super::super::entry::number(value),
        None => field.ok(),
    }
}

fn records(stored: &untar::Entry, name: &[u8], sparse: bool, meta: &Meta) -> Vec<u8> {
    let mut out = Vec::new();
    let long = !sparse && split_name(name).is_none();
    let linkpath = stored.record(b"linkpath");
    if ((long || sparse) && !name.is_ascii()) || linkpath.is_some_and(|target| !target.is_ascii()) {
        record(&mut out, b"hdrcharset", b"BINARY");
    }
    if long {
        record(&mut out, b"path", name);
    }
    for key in [&b"linkpath"[..], b"size"] {
        if let Some(value) = stored.record(key) {
            record(&mut out, key, value);
        }
    }
    for (key, id) in [(&b"uid"[..], meta.uid), (b"gid", meta.gid)] {
        if id > MAX_OCTAL_ID {
            record(&mut out, key, id.to_string().as_bytes());
        }
    }
    let Time { sec, nsec } = meta.time;
    if nsec != 0 || sec < 0 || sec as u64 > MAX_OCTAL_SIZE {
        record(&mut out, b"mtime", meta.time.to_pax().as_bytes());
    }
    for (key, value) in stored.records() {
        match key {
            b"GNU.sparse.name" => record(&mut out, key, name),
            key if key.starts_with(b"GNU.sparse.") || key.starts_with(b"SCHILY.") => {
                record(&mut out, key, value)
            }
            _ => {}
        }
    }
    out
}
