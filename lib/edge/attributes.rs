//! Extended attributes and ACLs.

use std::ffi::CStr;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;

use rustix::buffer::Buffer;
use rustix::io::Errno;

use crate::format::acl;

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

/// True if there are any attributes; false where the file system has none.
pub fn any(at: At<'_>) -> io::Result<bool> {
    let len = match at {
        At::File(file) => rustix::fs::flistxattr_query(file),
        At::Path(path) => rustix::fs::llistxattr_query(path),
    };
    match len {
        Ok(len) => Ok(len > 0),
        Err(Errno::NOTSUP) => Ok(false),
        Err(why) => Err(why.into()),
    }
}

/// Reads all attributes. One that vanishes meanwhile is left out.
pub fn read(at: At<'_>) -> io::Result<Attributes> {
    let names = grow(|buffer| list(at, buffer));
    let names = match names {
        Ok(names) => names,
        Err(Errno::NOTSUP) => return Ok(Attributes::default()),
        Err(why) => return Err(why.into()),
    };
    let mut attributes = Attributes::default();
    for name in names.split_inclusive(|&b| b == 0) {
        let Ok(c_name) = CStr::from_bytes_with_nul(name) else { continue };
        let value = match grow(|buffer| get(at, c_name, buffer)) {
            Ok(value) => value,
            Err(Errno::NODATA) => continue,
            Err(why) => return Err(why.into()),
        };
        let name = c_name.to_bytes();
        match name {
            acl::ACCESS => attributes.acl_access = Some(acl_text(&value)?),
            acl::DEFAULT => attributes.acl_default = Some(acl_text(&value)?),
            name => attributes.xattrs.push((name.to_vec(), value)),
        }
    }
    attributes.xattrs.sort();
    Ok(attributes)
}

fn acl_text(value: &[u8]) -> io::Result<String> {
    acl::to_text(value).ok_or_else(|| io::Error::other("its ACL is of an unknown kind"))
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
