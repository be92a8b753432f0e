//! Bands as somebody would build them who can write to the store: with any header, any index, and
//! checksums that are right.

use std::fs;
use std::io::Write;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::Digest;

/// A full band, and one on it.
pub(crate) const FULL: &str = "20260101T000000Z";
pub(crate) const LAYER: &str = "20260101T000000Z-20260102T000000Z";

const ID: &str = "00112233445566778899aabbccddeeff";
const TIME: &str = "1500000000.000000000";

pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex::encode(sha2::Sha256::digest(bytes))
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(vec![], Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A tar header of a forged member; fields may be changed before its checksum is made.
#[derive(Clone)]
pub(crate) struct Header {
    pub(crate) bytes: [u8; 512],
}

impl Header {
    /// Of a member of this type and name: mode 0644, owner 0, the time of all lines here.
    pub(crate) fn new(flag: u8, name: &[u8], size: u64) -> Header {
        let mut header = Header { bytes: [0; 512] };
        header.put(0, &name[..name.len().min(100)]).mode(0o644);
        header.put(108, b"0000000\0").put(116, b"0000000\0");
        header.put(124, format!("{size:011o}\0").as_bytes()).put(136, b"13132027400\0");
        header.put(156, &[flag]).put(257, b"ustar\x0000");
        header
    }

    pub(crate) fn put(&mut self, at: usize, bytes: &[u8]) -> &mut Header {
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
        self
    }

    pub(crate) fn mode(&mut self, mode: u32) -> &mut Header {
        self.put(100, format!("{mode:07o}\0").as_bytes())
    }

    pub(crate) fn link(&mut self, target: &str) -> &mut Header {
        self.put(157, target.as_bytes())
    }

    /// The header with its checksum, and content behind it.
    pub(crate) fn with(&mut self, content: &[u8]) -> Vec<u8> {
        self.put(148, b"        ");
        let sum: u32 = self.bytes.iter().map(|&byte| u32::from(byte)).sum();
        self.put(148, format!("{sum:06o}\0 ").as_bytes());
        let mut out = self.bytes.to_vec();
        out.extend(content);
        out.resize(out.len().next_multiple_of(512), 0);
        out
    }
}

/// A pax header with these records.
pub(crate) fn pax(records: &[(&str, &str)]) -> Vec<u8> {
    let mut text = String::new();
    for (key, value) in records {
        let body = format!(" {key}={value}\n");
        let mut len = body.len() + 1;
        while len.to_string().len() + body.len() != len {
            len = len.to_string().len() + body.len();
        }
        text += &format!("{len}{body}");
    }
    Header::new(b'x', b"PaxHeaders/entry", text.len() as u64).with(text.as_bytes())
}

pub(crate) fn file(name: &str, content: &[u8]) -> Vec<u8> {
    Header::new(b'0', name.as_bytes(), content.len() as u64).with(content)
}

pub(crate) fn dir(name: &str) -> Vec<u8> {
    Header::new(b'5', name.as_bytes(), 0).mode(0o755).with(b"")
}

pub(crate) fn symlink(name: &str, target: &str) -> Vec<u8> {
    Header::new(b'2', name.as_bytes(), 0).mode(0o777).link(target).with(b"")
}

pub(crate) fn hard(name: &str, target: &str) -> Vec<u8> {
    Header::new(b'1', name.as_bytes(), 0).link(target).with(b"")
}

pub(crate) fn file_line(path: &str, content: &[u8], tags: &str) -> String {
    let (size, sum) = (content.len(), sha256(content));
    format!(
        "{path} type=file mode=0644 uid=0 gid=0 time={TIME} nlink=1 size={size} sha256digest={sum}{tags}"
    )
}

pub(crate) fn dir_line(path: &str, tags: &str) -> String {
    format!("{path} type=dir mode=0755 uid=0 gid=0 time={TIME}{tags}")
}

pub(crate) fn link_line(path: &str, target: &str, tags: &str) -> String {
    format!("{path} type=link mode=0777 uid=0 gid=0 time={TIME} link={target}{tags}")
}

/// A band of one block, written into the archive; gives its folder.
pub(crate) fn band(archive: &Path, name: &str, lines: &[String], tar: &[u8]) -> PathBuf {
    band_of(archive, name, lines, ("gzip", "gz"), &gzip(tar))
}

/// The same of a block that is compressed already: how, and what its name ends with.
pub(crate) fn band_of(
    archive: &Path,
    name: &str,
    lines: &[String],
    (compression, suffix): (&str, &str),
    block: &[u8],
) -> PathBuf {
    let head = match name.rsplit_once('-') {
        None => "parent: -\nparent-id: -\nparent-last: -\n".to_owned(),
        Some((parent, _)) => {
            format!("parent: {parent}\nparent-id: {ID}\nparent-last: 000000000\n")
        }
    };
    let head = format!(
        "dura-band: 1\nband: {name}\nid: {ID}\n{head}started: 2026-01-01T00:00:00Z\ncompression: {compression}\nwriter: dura 0.1.0\n"
    );
    let count = lines.len();
    let index = format!(
        "#mtree\n#dura listing 1\n#index {ID} 000000000 after -\n#source host /src\n{}\n#end entries={count} excluded=0 unreadable=0\n",
        lines.join("\n")
    );
    let path = |line: Option<&String>| line.unwrap().split(' ').next().unwrap().to_owned();
    let toc = format!(
        "#toc {ID} 000000000\n000000000 {} {} 1\n",
        path(lines.first()),
        path(lines.last())
    );
    let note = |name: &str| {
        fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("lib/notes").join(name)).unwrap()
    };
    let block_name = format!("00000/000000000.tar.{suffix}");
    let objects = [
        ("HEAD", head.clone().into_bytes()),
        ("RECOVER.txt", note("RECOVER.txt")),
        ("recover.sh", note("recover.sh")),
        ("rsrepair.py", note("rsrepair.py")),
        ("rdpatch.py", note("rdpatch.py")),
        (block_name.as_str(), block.to_vec()),
        ("00000/000000000.mtree.gz", gzip(index.as_bytes())),
        ("00000/000000000.toc.gz", gzip(toc.as_bytes())),
    ];
    let folder = archive.join(name);
    fs::create_dir_all(folder.join("00000")).unwrap();
    let mut list =
        format!("#dura group 1\n#band {name} {ID}\n#group 000000000-0 slots=32 parity=0\n");
    for (name, bytes) in &objects {
        fs::write(folder.join(name), bytes).unwrap();
        let sum = sha256(bytes);
        list += &format!("#object {} {name} {sum}\n{sum}  {name}\n", bytes.len());
    }
    list += &format!("#end {}\n", sha256(list.as_bytes()));
    fs::write(folder.join("00000/000000000-0.sha256"), list).unwrap();
    let rest: String = head
        .lines()
        .filter(|line| !line.starts_with("band:") && !line.starts_with("id:"))
        .map(|line| format!("{line}\n"))
        .collect();
    let tail = format!(
        "band: {name}\nid: {ID}\nfinished: 2026-01-01T00:00:09Z\nlast: 000000000\ntoc: 000000000\nentries: {count}\nfiles: 1\nbytes: 1\nskipped: 0\n{rest}"
    );
    fs::write(folder.join("TAIL"), format!("{tail}sha256: {}\n", sha256(tail.as_bytes()))).unwrap();
    folder
}

/// What a line's `type=` says of such a file, as far as hostile chains make any.
pub(crate) fn kind_word(kind: std::fs::FileType) -> &'static str {
    match kind {
        kind if kind.is_symlink() => "link",
        kind if kind.is_dir() => "dir",
        kind if kind.is_file() => "file",
        kind if kind.is_fifo() => "fifo",
        _ => "device",
    }
}
