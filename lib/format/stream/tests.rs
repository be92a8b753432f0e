//! Object streams that are whole, cut, changed and hostile.

use super::*;

fn items() -> Vec<StreamItem> {
    [
        ("HEAD", &b"head"[..]),
        ("00000/000000000.tar.gz", &[7; 1000]),
        ("00000/000000000.mtree.gz", b""),
        ("TAIL", &[1; 512]),
    ]
    .map(|(name, bytes)| StreamItem {
        band: "20261101T020000Z".parse().unwrap(),
        name: ObjectName::parse(name).unwrap(),
        bytes: bytes.to_vec(),
    })
    .to_vec()
}

fn stream() -> Vec<u8> {
    let mut out = Vec::new();
    items().iter().for_each(|item| write(&mut out, item, 1_793_498_400).unwrap());
    out.extend(END);
    out
}

fn read(bytes: &[u8]) -> Result<Vec<StreamItem>, StreamError> {
    let mut reader = StreamReader::new(bytes);
    let mut items = Vec::new();
    while let Some(item) = reader.next_item()? {
        items.push(item);
    }
    assert_eq!(reader.mtime(), 1_793_498_400);
    Ok(items)
}

#[test]
fn reads_what_it_writes() {
    assert_eq!(read(&stream()).unwrap(), items());
    assert_eq!(read(&[stream(), vec![0; 9000]].concat()).unwrap(), items());
    let header = &stream()[..512];
    assert_eq!(&header[..24], b"20261101T020000Z/HEAD\0\0\0");
    assert_eq!(
        &header[100..157],
        b"0000644\x000000000\x000000000\x0000000000004\x0015271516440\x000010243\x000"
    );
}

#[test]
fn every_cut_is_seen() {
    let bytes = stream();
    for end in 0..bytes.len() {
        let cut = read(&bytes[..end]);
        match cut {
            Err(StreamError::Nothing) if end < BLOCK => {}
            Err(StreamError::Cut(_)) if end >= BLOCK => {}
            other => panic!("cut at {end}: {other:?}"),
        }
    }
}

#[test]
fn every_changed_byte_of_a_header_is_seen() {
    let bytes = stream();
    for i in 0..512 {
        let mut bad = bytes.clone();
        bad[i] ^= 1;
        assert!(
            !read(&bad).is_ok_and(|seen| seen == items())
                || bad[..512] == bytes[..512]
                || (148..156).contains(&i),
            "changed at {i}"
        );
    }
}

#[test]
fn hostile_members() {
    let band: BandName = "20261101T020000Z".parse().unwrap();
    let with = |path: &str, kind: tar::EntryType, size: u64| {
        let mut header = tar::Header::new_ustar();
        header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
        header.set_size(size);
        header.set_mode(0o644);
        header.set_entry_type(kind);
        header.set_cksum();
        read(&[stream()[..1024].to_vec(), header.as_bytes().to_vec(), END.to_vec()].concat())
    };
    let file = tar::EntryType::Regular;
    for path in [
        "../HEAD",
        "/etc/passwd",
        "20261101T020000Z/../../x",
        "20261101T020000Z/x",
        "x/HEAD",
        "20261101T020000Z",
        "20261101T020000Z/00000/../HEAD",
    ] {
        assert!(matches!(with(path, file, 0), Err(StreamError::BadName(_))), "{path}");
    }
    assert!(matches!(with("20261102T020000Z/TAIL", file, 0), Err(StreamError::OtherBand(_))));
    assert!(matches!(
        with("20261101T020000Z/TAIL", tar::EntryType::Symlink, 0),
        Err(StreamError::NotFile(_))
    ));
    // Each kind has its bound: TAIL is held until its signature has come.
    for (name, most) in [
        ("TAIL", 64 << 10),
        ("TAIL.sig", 64 << 10),
        ("00000/000000000-0.sha256.sig", 64 << 10),
        ("recover.sh", 1 << 20),
        ("00000/000000000.tar.gz", MAX_OBJECT),
    ] {
        let name = format!("20261101T020000Z/{name}");
        assert!(matches!(with(&name, file, most + 1), Err(StreamError::TooLarge(..))), "{name}");
        assert!(matches!(with(&name, file, most), Err(StreamError::Cut(_))), "{name}");
    }
    assert!(matches!(read(&[stream(), b"x".to_vec()].concat()), Err(StreamError::AfterEnd)));
    assert!(matches!(read(&END), Err(StreamError::Empty)));
    assert!(matches!(read(&[b'x'; 2048]), Err(StreamError::NotTar(0))));
    assert_eq!(band.tier(), 0);
}

#[test]
fn a_continuation_names_its_band() {
    let band: BandName = "20261101T020000Z".parse().unwrap();
    let id: BandId = "00112233445566778899aabbccddeeff".parse().unwrap();
    let bytes = [continuation(&band, &id), stream()[1024..].to_vec()].concat();
    let mut reader = StreamReader::new(&bytes[..]);
    assert_eq!(reader.next_item().unwrap().unwrap(), items()[1]);
    assert_eq!(reader.continues(), Some(id));
}

#[test]
fn repairs_may_be_of_several_bands() {
    let bands: Vec<BandName> =
        ["20261101T020000Z", "20261102T020000Z"].map(|band| band.parse().unwrap()).to_vec();
    let ids = [BandId([1; 16]), BandId([2; 16])];
    let mut bytes = Vec::new();
    let mut sent = Vec::new();
    for (band, id) in bands.iter().zip(&ids) {
        bytes.extend(continuation(band, id));
        for name in ["TAIL", "HEAD"] {
            let item = StreamItem {
                band: band.clone(),
                name: ObjectName::parse(name).unwrap(),
                bytes: vec![7; 3],
            };
            write(&mut bytes, &item, 1).unwrap();
            sent.push((item, *id));
        }
    }
    bytes.extend(END);
    let mut reader = StreamReader::repairs(&bytes[..]);
    let mut came = Vec::new();
    while let Some(item) = reader.next_item().unwrap() {
        came.push((item, reader.continues().unwrap()));
    }
    assert_eq!(came, sent);
    // Only what replaces takes such a stream, and nothing comes before its band is named.
    let mut strict = StreamReader::new(&bytes[..]);
    let refused = std::iter::from_fn(|| strict.next_item().transpose()).find_map(Result::err);
    assert!(matches!(refused, Some(StreamError::NotFile(_))));
    assert!(matches!(
        StreamReader::repairs(&stream()[..]).next_item(),
        Err(StreamError::OtherBand(_))
    ));
    assert!(matches!(StreamReader::repairs(&END[..]).next_item(), Ok(None)));
}

#[test]
fn the_longest_name_fits() {
    let ten: Vec<String> = (10..20).map(|day| format!("202611{day}T020000Z")).collect();
    let band: BandName = ten.join("-").parse().unwrap();
    let name = ObjectName::parse("00000/000000000.tar.zst.000000.gpg").unwrap();
    let item = StreamItem { band, name, bytes: vec![1] };
    let mut out = Vec::new();
    write(&mut out, &item, 1).unwrap();
    let read = StreamReader::new(&out[..]).next_item();
    assert!(matches!(read, Ok(Some(ref back)) if *back == item), "{read:?}");
}

#[test]
fn places() {
    let name = |text| ObjectName::parse(text).unwrap();
    let (head, block, tail, sig) =
        (name("HEAD"), name("00000/000000000.tar"), name("TAIL"), name("TAIL.sig"));
    assert!(
        in_place(None, &head, false)
            && in_place(Some(&head), &block, false)
            && in_place(Some(&block), &tail, false)
    );
    assert!(in_place(Some(&tail), &sig, false) && in_place(None, &block, true));
    assert!(
        !in_place(None, &block, false)
            && !in_place(Some(&block), &head, false)
            && !in_place(Some(&tail), &block, false)
    );
    assert!(!in_place(None, &head, true) && !in_place(Some(&block), &sig, false));
}

#[allow(clippy::type_complexity)]
#[test]
fn what_tars_read_differently_is_refused() {
    let good = stream();
    let with = |change: &dyn Fn(&mut [u8])| {
        let mut header = tar::Header::new_old();
        header.as_mut_bytes().copy_from_slice(&good[..512]);
        change(header.as_mut_bytes());
        header.set_cksum();
        read(&[header.as_bytes(), &good[512..]].concat())
    };
    assert_eq!(with(&|_| ()).unwrap(), items());
    // A version that has no prefix for some tars, GNU's magic, a name behind the name, numbers in
    // base 256, a size that is not all digits, a file by an older type.
    type Mutation<'a> = &'a dyn Fn(&mut [u8]);
    let odd: [(&str, Mutation<'_>); 8] = [
        ("version", &|h| h[263..265].copy_from_slice(b"99")),
        ("version and prefix", &|h| {
            h[263..265].copy_from_slice(b"99");
            h[345] = b'x';
        }),
        ("GNU", &|h| h[257..265].copy_from_slice(b"ustar  \0")),
        ("name", &|h| h[60] = b'x'),
        ("prefix", &|h| h[400] = b'x'),
        ("base 256", &|h| h[124..136].copy_from_slice(b"\x80\0\0\0\0\0\0\0\0\0\0\x04")),
        ("blanks", &|h| h[124..136].copy_from_slice(b"          4\0")),
        ("type", &|h| h[156] = 0),
    ];
    for (what, change) in odd {
        assert!(with(change).is_err(), "{what}");
    }
}

#[test]
fn a_pax_header_has_one_record_as_it_is_written() {
    let name = b"20261101T020000Z/HEAD";
    let with = |records: &[u8]| {
        let mut bytes = Vec::new();
        let size = records.len() as u64;
        push_header(&mut bytes, "", "PaxHeaders/entry", size, 0, tar::EntryType::XHeader);
        bytes.extend(records);
        bytes.resize(bytes.len() + padding(size), 0);
        read(&[bytes, stream()].concat())
    };
    let mut path = Vec::new();
    record(&mut path, b"path", name);
    assert_eq!(with(&path).unwrap(), items());
    let mut two = path.clone();
    record(&mut two, b"size", b"3");
    let long = [b"99".as_slice(), &path[2..]].concat();
    let odd = [two, long, path[..path.len() - 1].to_vec(), b"path=x\n".to_vec(), Vec::new()];
    for records in odd {
        assert!(with(&records).is_err(), "{}", String::from_utf8_lossy(&records));
    }
}
