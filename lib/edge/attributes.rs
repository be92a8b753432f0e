//! Extended attributes and ACLs.

use std::ffi::CStr;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;

use rustix::buffer::Buffer;
use rustix::io::Errno;

use crate::format::{acl, xattr};

/// Where attributes are read from.
#[derive(Debug, Clone, Copy)]
pub enum At<'a> {
    /// An open file.
    File(BorrowedFd<'a>),
    /// A path; a symbolic link is not followed.
    Path(&'a Path),
}

/// The attributes of an entry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attributes {
    /// Name and value, sorted by name; without ACLs.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// Access ACL as numeric text.
    pub acl_access: Option<String>,
    /// Default ACL as numeric text.
    pub acl_default: Option<String>,
}

impl Attributes {
    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        *self == Attributes::default()
    }
}

/// An attribute that could not be read.
#[derive(Debug)]
pub struct UnreadAttribute {
    /// Its name; empty if even the names could not be listed.
    pub name: Vec<u8>,
    /// Why.
    pub error: io::Error,
}

/// True if there are any attributes that are to be stored; false where the file system has none.
///
/// # Errors
/// What the system says.
pub fn any(at: At<'_>) -> io::Result<bool> {
    // Nearly all entries have no attribute, or one short name: no heap for them.
    let mut small = [0; 256];
    match list(at, &mut small[..]) {
        Ok(len) => Ok(kept(&small[..len]).next().is_some()),
        Err(_) => Ok(names(at)?.is_some_and(|names| kept(&names).next().is_some())),
    }
}

/// Reads all attributes that are to be stored, and says which of them could not be read. One that
/// vanishes meanwhile is left out.
pub fn read(at: At<'_>) -> (Attributes, Vec<UnreadAttribute>) {
    let mut attributes = Attributes::default();
    let names = match names(at) {
        Ok(names) => names.unwrap_or_default(),
        Err(why) => {
            return (attributes, vec![UnreadAttribute { name: Vec::new(), error: why.into() }]);
        }
    };
    let mut unread = Vec::new();
    for c_name in kept(&names) {
        let name = c_name.to_bytes();
        let value = match grow(|buffer| get(at, c_name, buffer)) {
            Ok(value) => value,
            Err(Errno::NODATA) => continue,
            Err(why) => {
                unread.push(UnreadAttribute { name: name.to_vec(), error: why.into() });
                continue;
            }
        };
        let slot = match name {
            acl::ACCESS => &mut attributes.acl_access,
            acl::DEFAULT => &mut attributes.acl_default,
            name => {
                attributes.xattrs.push((name.to_vec(), value));
                continue;
            }
        };
        *slot = acl::to_text(&value);
        if slot.is_none() {
            let error = io::Error::other("an ACL of an unknown kind");
            unread.push(UnreadAttribute { name: name.to_vec(), error });
        }
    }
    attributes.xattrs.sort();
    (attributes, unread)
}

/// The names of all attributes, each with a zero byte; none where the file system has none.
fn names(at: At<'_>) -> Result<Option<Vec<u8>>, Errno> {
    match grow(|buffer| list(at, buffer)) {
        Ok(names) => Ok(Some(names)),
        Err(Errno::NOTSUP | Errno::NOSYS) => Ok(None),
        Err(why) => Err(why),
    }
}

/// Those of the names that are stored.
fn kept(names: &[u8]) -> impl Iterator<Item = &CStr> {
    names
        .split_inclusive(|&byte| byte == 0)
        .filter_map(|name| CStr::from_bytes_with_nul(name).ok())
        .filter(|name| xattr::is_stored(name.to_bytes()))
}

fn list<B: Buffer<u8>>(at: At<'_>, buffer: B) -> Result<B::Output, Errno> {
    match at {
        At::File(file) => rustix::fs::flistxattr(file, buffer),
        At::Path(path) => rustix::fs::llistxattr(path, buffer),
    }
}

fn get<B: Buffer<u8>>(at: At<'_>, name: &CStr, buffer: B) -> Result<B::Output, Errno> {
    match at {
        At::File(file) => rustix::fs::fgetxattr(file, name, buffer),
        At::Path(path) => rustix::fs::lgetxattr(path, name, buffer),
    }
}

/// Calls `fill` with a buffer that grows until what is asked for fits. The kernel's limit for both
/// is 64 KiB.
fn grow(fill: impl Fn(&mut [u8]) -> Result<usize, Errno>) -> Result<Vec<u8>, Errno> {
    let mut buffer = vec![0; 256];
    loop {
        match fill(&mut buffer) {
            Ok(len) => {
                buffer.truncate(len);
                return Ok(buffer);
            }
            Err(Errno::RANGE) if buffer.len() < 1 << 20 => buffer.resize(buffer.len() * 4, 0),
            Err(why) => return Err(why),
        }
    }
}
