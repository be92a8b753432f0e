//! The tree that a case works on.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, lchown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, RenameFlags, Timespec, Timestamps, XattrFlags, makedev, mknodat,
    renameat_with, utimensat,
};

use crate::util::run::need;
use crate::util::tree::{at, noise};

/// The bytes that a word of a case stands for.
pub(super) fn raw(word: &str) -> Vec<u8> {
    let (mut out, mut bytes) = (vec![], word.as_bytes());
    while let Some((&first, rest)) = bytes.split_first() {
        let octal = rest
            .get(..3)
            .filter(|_| first == b'\\')
            .and_then(|digits| std::str::from_utf8(digits).ok());
        match octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                out.push(byte);
                bytes = &rest[3..];
            }
            None => {
                out.push(first);
                bytes = rest;
            }
        }
    }
    out
}

/// Does what a line says to the tree below `dir`; an error means that it could not be done.
pub(super) fn apply(dir: &Path, line: &str) -> io::Result<()> {
    let words: Vec<&str> = line.split(' ').collect();
    let place = |n: usize| at(dir, raw(words[n]));
    let number = |n: usize| words[n].parse::<u64>().unwrap_or_else(|e| panic!("{line}: {e}"));
    let path = place(1);
    match words[0] {
        "mkdir" => {
            clear(&path)?;
            fs::create_dir(&path)
        }
        "write" => {
            if path.symlink_metadata().is_ok_and(|meta| !meta.is_file()) {
                clear(&path)?;
            }
            fs::write(&path, content(number(3), number(2)))
        }
        "replace" => {
            let new = dir.parent().unwrap().join("new");
            fs::write(&new, content(number(3), number(2)))?;
            if path.symlink_metadata().is_ok_and(|meta| meta.is_dir()) {
                clear(&path)?;
            }
            fs::rename(new, path)
        }
        "sneak" => {
            let meta = regular(&path)?;
            OpenOptions::new()
                .write(true)
                .open(&path)?
                .write_all_at(&noise(number(2), meta.len() as usize), 0)?;
            times(&path, meta.mtime(), meta.mtime_nsec())
        }
        "append" => {
            let size = regular(&path)?.len();
            OpenOptions::new()
                .write(true)
                .open(&path)?
                .write_all_at(&noise(number(3), number(2) as usize), size)
        }
        "truncate" => {
            regular(&path)?;
            OpenOptions::new().write(true).open(&path)?.set_len(number(2))
        }
        "sparse" => {
            clear(&path)?;
            let file = File::create_new(&path)?;
            file.set_len(number(2))?;
            if number(3) < number(2) { file.write_all_at(b"island", number(3)) } else { Ok(()) }
        }
        "link" => {
            clear(&place(2))?;
            fs::hard_link(path, place(2))
        }
        "symlink" => {
            clear(&path)?;
            symlink(OsStr::from_bytes(&raw(words[2])), path)
        }
        "fifo" => node(&path, FileType::Fifo, 0, 0),
        "char" => node(&path, FileType::CharacterDevice, 1, 3),
        "block" => node(&path, FileType::BlockDevice, 259, 1000),
        "mv" => {
            path.symlink_metadata()?;
            clear(&place(2))?;
            fs::rename(path, place(2))
        }
        "cp" => {
            path.symlink_metadata()?;
            clear(&place(2))?;
            let done = Command::new(need("cp")).arg("-rT").arg(&path).arg(place(2)).status()?;
            if done.success() { Ok(()) } else { Err(io::ErrorKind::Other.into()) }
        }
        "swap" => Ok(renameat_with(CWD, path, CWD, place(2), RenameFlags::EXCHANGE)?),
        "rm" => {
            path.symlink_metadata()?;
            clear(&path)
        }
        "chmod" => {
            if path.symlink_metadata()?.is_symlink() {
                return Err(io::ErrorKind::InvalidInput.into());
            }
            fs::set_permissions(
                path,
                fs::Permissions::from_mode(u32::from_str_radix(words[2], 8).unwrap()),
            )
        }
        "chown" => lchown(path, Some(number(2) as u32), Some(number(3) as u32)),
        "touch" => match words[2].split_once('.') {
            Some((seconds, nanoseconds)) => {
                times(&path, seconds.parse().unwrap(), nanoseconds.parse().unwrap())
            }
            None => times(&path, 0, rustix::fs::UTIME_NOW),
        },
        "xattr" => {
            Ok(rustix::fs::lsetxattr(path, words[2], words[3].as_bytes(), XattrFlags::empty())?)
        }
        "unxattr" => Ok(rustix::fs::lremovexattr(path, words[2])?),
        "acl" => setfacl(&["-m", words[2]], &path),
        "unacl" => setfacl(&["-b"], &path),
        _ => panic!("not an operation: {line}"),
    }
}

/// Noise, and in large files dots, which cost little.
fn content(seed: u64, size: u64) -> Vec<u8> {
    let mut bytes = noise(seed, size.min(20_000) as usize);
    bytes.resize(size as usize, b'.');
    bytes
}

/// Makes way for something else.
fn clear(path: &PathBuf) -> io::Result<()> {
    match path.symlink_metadata() {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

fn regular(path: &Path) -> io::Result<fs::Metadata> {
    path.symlink_metadata().and_then(|meta| {
        if meta.is_file() { Ok(meta) } else { Err(io::ErrorKind::InvalidInput.into()) }
    })
}

fn times(path: &Path, seconds: i64, nanoseconds: i64) -> io::Result<()> {
    let time = Timespec { tv_sec: seconds, tv_nsec: nanoseconds };
    let both = Timestamps { last_access: time, last_modification: time };
    Ok(utimensat(CWD, path, &both, AtFlags::SYMLINK_NOFOLLOW)?)
}

fn node(path: &PathBuf, kind: FileType, major: u32, minor: u32) -> io::Result<()> {
    clear(path)?;
    Ok(mknodat(CWD, path, kind, Mode::from_raw_mode(0o644), makedev(major, minor))?)
}

fn setfacl(arguments: &[&str], path: &Path) -> io::Result<()> {
    if path.symlink_metadata()?.is_symlink() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let status = Command::new(need("setfacl"))
        .args(arguments)
        .arg("--")
        .arg(path)
        .stderr(Stdio::null())
        .status()?;
    if status.success() { Ok(()) } else { Err(io::ErrorKind::InvalidInput.into()) }
}
