//! The view as the kernel asks for it.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{
    Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, InitFlags,
    KernelConfig, LockOwner, OpenFlags, ReplyAttr, ReplyData, ReplyDirectory, ReplyDirectoryPlus,
    ReplyEmpty, ReplyEntry, ReplyLseek, ReplyOpen, ReplyXattr, Request,
};

use super::view::{InodeLook, MountView, NamedEntry, Refusal};
use crate::core::mount::inodes::InodePlace;
use crate::format::entry::Kind;
use crate::format::time::Time;

/// How long the kernel may remember what never changes.
const LONG: Duration = Duration::from_secs(365 * 86_400);

/// What a reader is given at once, and what the kernel reads ahead.
const UNIT: u32 = 4096;
const AHEAD: u32 = 1 << 20;

const SEEK_DATA: i32 = 3;
const SEEK_HOLE: i32 = 4;

/// Answers the kernel.
pub(super) struct FuseView(pub(super) Arc<MountView>);

fn errno(refusal: Refusal) -> Errno {
    match refusal {
        Refusal::NoEntry => Errno::ENOENT,
        Refusal::Invalid => Errno::EINVAL,
        Refusal::NoAttribute => Errno::NO_XATTR,
        Refusal::NoMore => Errno::ENXIO,
        Refusal::Failed => Errno::EIO,
    }
}

fn place(inode: INodeNo) -> Result<InodePlace, Refusal> {
    InodePlace::of(inode.0).ok_or(Refusal::NoEntry)
}

fn file_type(kind: Kind) -> FileType {
    match kind {
        Kind::File => FileType::RegularFile,
        Kind::Dir => FileType::Directory,
        Kind::Link => FileType::Symlink,
        Kind::Fifo => FileType::NamedPipe,
        Kind::Char => FileType::CharDevice,
        Kind::Block => FileType::BlockDevice,
    }
}

/// What the system cannot say is the epoch.
fn system_time(time: Time) -> SystemTime {
    let seconds = Duration::from_secs(time.sec.unsigned_abs());
    let whole = match time.sec < 0 {
        true => UNIX_EPOCH.checked_sub(seconds),
        false => UNIX_EPOCH.checked_add(seconds),
    };
    let time = whole.and_then(|whole| whole.checked_add(Duration::from_nanos(time.nsec.into())));
    time.unwrap_or(UNIX_EPOCH)
}

/// As the kernel packs the numbers of a device.
fn device((major, minor): (u32, u32)) -> u32 {
    (minor & 0xff) | (major & 0xfff) << 8 | (minor & 0xf_ff00) << 12
}

fn attributes(look: &InodeLook) -> FileAttr {
    FileAttr {
        ino: INodeNo(look.place.number()),
        size: look.size,
        blocks: look.blocks,
        atime: system_time(look.time),
        mtime: system_time(look.time),
        ctime: system_time(look.ctime),
        crtime: UNIX_EPOCH,
        kind: file_type(look.kind),
        perm: look.mode as u16,
        nlink: look.nlink,
        uid: look.uid,
        gid: look.gid,
        rdev: look.device.map_or(0, device),
        blksize: UNIT,
        flags: 0,
    }
}

fn lasting(look: &InodeLook) -> Duration {
    if look.is_lasting { LONG } else { Duration::ZERO }
}

impl Filesystem for FuseView {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> std::io::Result<()> {
        // An older kernel does without. Names always come with what they are: it is at hand, and to
        // look up each name of a large folder takes ten times as long.
        for useful in [InitFlags::FUSE_DO_READDIRPLUS, InitFlags::FUSE_PARALLEL_DIROPS] {
            let _ = config.add_capabilities(useful);
        }
        if let Err(most) = config.set_max_readahead(AHEAD) {
            let _ = config.set_max_readahead(most);
        }
        Ok(())
    }

    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        match place(parent).and_then(|dir| self.0.lookup(dir, name.as_bytes())) {
            Ok(look) => {
                // A name that stands for another version tomorrow; what the inode is stays.
                reply.entry_with_ttls(&LONG, &lasting(&look), &attributes(&look), Generation(0));
            }
            Err(refusal) => reply.error(errno(refusal)),
        }
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match place(ino).and_then(|place| self.0.attributes(place)) {
            Ok(look) => reply.attr(&LONG, &attributes(&look)),
            Err(refusal) => reply.error(errno(refusal)),
        }
    }

    fn readlink(&self, _: &Request, ino: INodeNo, reply: ReplyData) {
        match place(ino).and_then(|place| self.0.target(place)) {
            Ok(target) => reply.data(&target),
            Err(refusal) => reply.error(errno(refusal)),
        }
    }

    fn open(&self, _: &Request, ino: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        match place(ino).and_then(|place| self.0.open(place)) {
            Ok(file) => reply.opened(FileHandle(file), FopenFlags::FOPEN_KEEP_CACHE),
            Err(refusal) => reply.error(errno(refusal)),
        }
    }

    fn read(
        &self,
        _: &Request,
        _: INodeNo,
        file: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        match self.0.read(file.0, offset, size) {
            Ok(bytes) => reply.data(&bytes),
            Err(refusal) => reply.error(errno(refusal)),
        }
    }

    fn release(
        &self,
        _: &Request,
        _: INodeNo,
        file: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        self.0.close(file.0);
        reply.ok();
    }

    fn lseek(
        &self,
        _: &Request,
        _: INodeNo,
        file: FileHandle,
        offset: i64,
        whence: i32,
        reply: ReplyLseek,
    ) {
        let sought = match (u64::try_from(offset), whence) {
            (Ok(at), SEEK_DATA | SEEK_HOLE) => self.0.seek(file.0, at, whence == SEEK_DATA),
            _ => Err(Refusal::Invalid),
        };
        match sought {
            Ok(at) => reply.offset(at as i64),
            Err(refusal) => reply.error(errno(refusal)),
        }
    }

    fn readdir(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let mut take = |entry: NamedEntry| {
            let (number, kind) = (INodeNo(entry.place.number()), file_type(entry.kind));
            !reply.add(number, entry.next, kind, OsStr::from_bytes(&entry.name))
        };
        match place(ino).and_then(|place| self.0.names(place, offset, false, &mut take)) {
            Ok(()) => reply.ok(),
            Err(refusal) => reply.error(errno(refusal)),
        }
    }

    fn readdirplus(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        mut reply: ReplyDirectoryPlus,
    ) {
        let mut take = |entry: NamedEntry| {
            let name = OsStr::from_bytes(&entry.name);
            // Without a look the kernel is given the kind alone: an inode of 0 says so.
            let attr = match &entry.look {
                Some(look) => attributes(look),
                None => FileAttr { ino: INodeNo(entry.place.number()), ..nothing(entry.kind) },
            };
            let (number, ttl) = match &entry.look {
                Some(look) => (look.place.number(), LONG),
                None => (0, Duration::ZERO),
            };
            !reply.add(INodeNo(number), entry.next, name, &ttl, &attr, Generation(0))
        };
        match place(ino).and_then(|place| self.0.names(place, offset, true, &mut take)) {
            Ok(()) => reply.ok(),
            Err(refusal) => reply.error(errno(refusal)),
        }
    }

    fn getxattr(&self, _: &Request, ino: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr) {
        let value = place(ino).and_then(|place| self.0.xattr(place, name.as_bytes()));
        give(value, size, reply);
    }

    fn listxattr(&self, _: &Request, ino: INodeNo, size: u32, reply: ReplyXattr) {
        let all = place(ino).and_then(|place| self.0.xattrs(place));
        let names =
            all.map(|all| all.iter().flat_map(|(name, _)| [name, &b"\0"[..]].concat()).collect());
        give(names, size, reply);
    }
}

/// What is said of an inode of which only the kind is known.
fn nothing(kind: Kind) -> FileAttr {
    FileAttr {
        ino: INodeNo(0),
        size: 0,
        blocks: 0,
        atime: UNIX_EPOCH,
        mtime: UNIX_EPOCH,
        ctime: UNIX_EPOCH,
        crtime: UNIX_EPOCH,
        kind: file_type(kind),
        perm: 0,
        nlink: 1,
        uid: 0,
        gid: 0,
        rdev: 0,
        blksize: UNIT,
        flags: 0,
    }
}

/// Gives a value, or its length if there is no room for one.
fn give(value: Result<Vec<u8>, Refusal>, size: u32, reply: ReplyXattr) {
    match value {
        Err(refusal) => reply.error(errno(refusal)),
        Ok(value) if size == 0 => reply.size(value.len() as u32),
        Ok(value) if value.len() > size as usize => reply.error(Errno::ERANGE),
        Ok(value) => reply.data(&value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_devices_are_those_of_the_system() {
        let time = |sec, nsec| system_time(Time { sec, nsec });
        assert_eq!(time(5, 7), UNIX_EPOCH + Duration::new(5, 7));
        assert_eq!(time(-6, 750_000_000), UNIX_EPOCH - Duration::new(5, 250_000_000));
        assert_eq!((device((8, 1)), device((259, 0x12345))), (0x801, 0x1231_0345));
        assert_eq!(time(i64::MIN, 0), system_time(Time { sec: i64::MIN, nsec: 0 }));
    }
}
