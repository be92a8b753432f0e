//! Golden headers: every value where ustar ends and pax begins.

use super::*;

fn member<'a>(path: &'a Path, kind: Kind, content: Content<'a>) -> TarHeader<'a> {
    let meta =
        Meta { mode: 0o644, uid: 1000, gid: 1000, time: Time { sec: 1_500_000_000, nsec: 0 } };
    TarHeader::plain(path, kind, meta, content)
}

fn header(member: &TarHeader<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    member.write_header(&mut out).unwrap();
    assert_eq!(out.len() % BLOCK, 0);
    out
}

/// The records before the entry, with lengths checked, and the entry's own header.
fn parts(bytes: &[u8]) -> (Vec<String>, Vec<u8>) {
    if bytes[156] != b'x' {
        return (Vec::new(), bytes.to_vec());
    }
    assert_eq!(&bytes[..17], b"PaxHeaders/entry\0");
    let size = usize::from_str_radix(std::str::from_utf8(&bytes[124..135]).unwrap(), 8).unwrap();
    let mut rest = &bytes[BLOCK..BLOCK + size];
    let mut records = Vec::new();
    while !rest.is_empty() {
        let blank = rest.iter().position(|&b| b == b' ').unwrap();
        let len: usize = std::str::from_utf8(&rest[..blank]).unwrap().parse().unwrap();
        assert_eq!(rest[len - 1], b'\n');
        records.push(rest[blank + 1..len - 1].escape_ascii().to_string());
        rest = &rest[len..];
    }
    let next = BLOCK + size + padding(size as u64);
    assert!(bytes[BLOCK + size..next].iter().all(|&b| b == 0));
    (records, bytes[next..].to_vec())
}

fn field(header: &[u8], range: std::ops::Range<usize>) -> String {
    let field = &header[range];
    field[..field.iter().position(|&b| b == 0).unwrap_or(field.len())].escape_ascii().to_string()
}

#[test]
fn golden_plain_file() {
    let path = Path::from_raw(b"a b");
    let mut file = member(&path, Kind::File, Content::Bytes(7));
    (file.uname, file.gname) = (Some(&b"joe"[..]), Some(&b"users"[..]));
    let bytes = header(&file);
    assert_eq!(bytes.len(), 512);
    let mut golden = vec![0; 512];
    for (at, text) in [
        (0, "./a b"),
        (100, "0000644"),
        (108, "0001750"),
        (116, "0001750"),
        (124, "00000000007"),
        (136, "13132027400"),
        (156, "0"),
        (257, "ustar"),
        (263, "00"),
        (265, "joe"),
        (297, "users"),
    ] {
        golden[at..at + text.len()].copy_from_slice(text.as_bytes());
    }
    let sum: u32 = golden.iter().map(|&b| u32::from(b)).sum::<u32>() + 8 * 32;
    golden[148..156].copy_from_slice(format!("{sum:07o}\0").as_bytes());
    assert_eq!(bytes.escape_ascii().to_string(), golden.escape_ascii().to_string());
}

#[test]
fn types_and_names() {
    let path = Path::from_raw(b"d/\xff");
    let root = Path::root();
    let first = Path::from_raw(b"first");
    for (member, name, flag, link) in [
        (member(&root, Kind::Dir, Content::Nothing), "./", '5', ""),
        (member(&path, Kind::Dir, Content::Nothing), "./d/\\xff/", '5', ""),
        (member(&path, Kind::File, Content::Bytes(0)), "./d/\\xff", '0', ""),
        (member(&path, Kind::File, Content::Hard(&first)), "./d/\\xff", '1', "./first"),
        (member(&path, Kind::Link, Content::Link(b"x\ny")), "./d/\\xff", '2', "x\\ny"),
        (member(&path, Kind::Char, Content::Device(259, 1000)), "./d/\\xff", '3', ""),
        (member(&path, Kind::Block, Content::Device(1, 2)), "./d/\\xff", '4', ""),
        (member(&path, Kind::Fifo, Content::Nothing), "./d/\\xff", '6', ""),
    ] {
        let bytes = header(&member);
        assert_eq!(
            (bytes.len(), field(&bytes, 0..100).as_str(), bytes[156] as char),
            (512, name, flag)
        );
        assert_eq!(field(&bytes, 157..257), link);
        if member.kind == Kind::Char {
            assert_eq!(
                (field(&bytes, 329..337), field(&bytes, 337..345)),
                ("0000403".into(), "0001750".into())
            );
        }
    }
}

#[test]
fn long_names_split_then_truncate() {
    for (len, split) in
        [(98, true), (99, true), (152, false), (252, true), (253, false), (2000, false)]
    {
        // One slash at 153 of `./…`: prefix up to it, name behind it.
        let raw: Vec<u8> =
            (0..len).map(|i| if i == 151 && len > 152 { b'/' } else { b'n' }).collect();
        let path = Path::from_raw(&raw);
        let (records, entry) = parts(&header(&member(&path, Kind::File, Content::Bytes(0))));
        let (prefix, name) = (field(&entry, 345..500), field(&entry, 0..100));
        let whole = format!("./{}", String::from_utf8(raw).unwrap());
        if split {
            assert!(records.is_empty(), "{len}");
            assert_eq!(if prefix.is_empty() { name } else { format!("{prefix}/{name}") }, whole);
        } else {
            assert_eq!(records, [format!("path={whole}")], "{len}");
            assert_eq!(name, whole[..100]);
        }
    }
}

#[test]
fn records_where_ustar_ends() {
    let path = Path::from_raw(b"f");
    let mut file = member(&path, Kind::File, Content::Bytes(MAX_OCTAL_SIZE + 1));
    file.meta = Meta {
        mode: 0o7777,
        uid: 4_000_000_000,
        gid: MAX_OCTAL_ID + 1,
        time: Time { sec: -6, nsec: 750_000_000 },
    };
    let xattrs = [(b"user.a%=".to_vec(), b"\0\n=".to_vec()), (b"user.empty".to_vec(), Vec::new())];
    file.xattrs = &xattrs;
    (file.acl_access, file.acl_default) = (Some("user::rw-"), Some("user::r--"));
    let (records, entry) = parts(&header(&file));
    assert_eq!(
        records,
        [
            "size=8589934592",
            "uid=4000000000",
            "gid=2097152",
            "mtime=-5.25",
            "SCHILY.acl.access=user::rw-",
            "SCHILY.acl.default=user::r--",
            "SCHILY.xattr.user.a%25%3D=\\x00\\n=",
            "SCHILY.xattr.user.empty=",
        ]
    );
    assert_eq!(&entry[108..116], b"\x80\0\0\0\xee\x6b\x28\0");
    assert_eq!(&entry[116..124], b"\x80\0\0\0\0\x20\0\0");
    assert_eq!(&entry[124..136], b"\x80\0\0\0\0\0\0\x02\0\0\0\0");
    assert_eq!(field(&entry, 136..148), "00000000000");

    let mut file = member(&path, Kind::File, Content::Bytes(MAX_OCTAL_SIZE));
    file.meta.uid = MAX_OCTAL_ID;
    assert!(parts(&header(&file)).0.is_empty());
}

#[test]
fn bytes_that_are_not_ascii_are_announced() {
    let raw = [b"\xff".to_vec(), vec![b'n'; 300]].concat();
    let path = Path::from_raw(&raw);
    let (records, _) = parts(&header(&member(&path, Kind::File, Content::Bytes(0))));
    assert_eq!(records[0], "hdrcharset=BINARY");
    assert!(records[1].starts_with("path=./\\xffnn"));
    let path = Path::from_raw(b"l");
    let (records, _) = parts(&header(&member(&path, Kind::Link, Content::Link(&raw))));
    assert_eq!((records.len(), records[0].as_str()), (2, "hdrcharset=BINARY"));
    assert!(records[1].starts_with("linkpath=\\xffnn"));
}

#[test]
fn golden_sparse() {
    let path = Path::from_raw(b"d/s\n\xff");
    let segments = [Segment { offset: 4096, len: 100 }, Segment { offset: 1 << 34, len: 512 }];
    let mut out = Vec::new();
    let sparse = member(&path, Kind::File, Content::Sparse(&segments, 1 << 35));
    assert_eq!(sparse.write_header(&mut out).unwrap(), 612);
    let (records, entry) = parts(&out);
    assert_eq!(
        records,
        [
            "hdrcharset=BINARY",
            "GNU.sparse.major=1",
            "GNU.sparse.minor=0",
            "GNU.sparse.name=./d/s\\n\\xff",
            "GNU.sparse.realsize=34359738368"
        ]
    );
    assert_eq!(field(&entry, 0..100), "./d/GNUSparseFile.0/s\\n\\xff");
    assert_eq!(field(&entry, 124..136), format!("{:011o}", 512 + 612));
    assert_eq!(field(&entry, 512..1024), "2\\n4096\\n100\\n17179869184\\n512\\n");
}

#[test]
fn too_many_attributes_are_refused() {
    let path = Path::from_raw(b"f");
    let xattrs: Vec<_> =
        (0..20).map(|i| (format!("user.{i}").into_bytes(), vec![0; 65536])).collect();
    let mut file = member(&path, Kind::File, Content::Bytes(0));
    file.xattrs = &xattrs;
    let mut out = Vec::new();
    assert!(file.write_header(&mut out).is_err() && out.is_empty());
}

#[test]
fn record_lengths_at_digit_borders() {
    for len in [1, 2, 3, 85, 86, 87, 88, 89, 90, 91, 980, 985, 986, 987, 990, 9980, 99985] {
        let mut out = Vec::new();
        record(&mut out, b"k", &vec![b'v'; len]);
        let blank = out.iter().position(|&b| b == b' ').unwrap();
        assert_eq!(
            std::str::from_utf8(&out[..blank]).unwrap().parse::<usize>().unwrap(),
            out.len()
        );
    }
}
