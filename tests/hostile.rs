//! Object streams that lie: refused, with nothing written outside the band's folder and no TAIL.

use std::fs;

use crate::util::run::{dura, scratch};
use crate::util::small::{BAND, ID, listing, packed, refused, sealed, tails};
use crate::util::snapshot::take;
use crate::util::stream::{Member, has_tail, join, split, through};
use crate::util::tree::noise;

/// A flipped bit anywhere in a header is noticed, by seal and by push.
#[test]
fn flipped_header_bits() {
    let members = split(sealed());
    let plain = split(packed());
    for (turn, at) in (0..512).step_by(7).enumerate().filter(|(_, at)| !(148..156).contains(at)) {
        let flip = |members: &[_]| {
            let mut members = members.to_vec();
            let which = if turn % 2 == 0 { members.len() / 2 } else { members.len() - 1 };
            let member: &mut Member = &mut members[which];
            member.header[at] ^= 1 << (turn % 8);
            join(&members)
        };
        let dir = scratch("flip");
        let done = dura("dura-push archive").dir(&dir).input(&flip(&members)).run();
        refused(&format!("push, byte {at}"), &done);
        assert_eq!(tails(&dir), [""; 0]);
        let done = through("dura-seal", &flip(&plain));
        refused(&format!("seal, byte {at}"), &done);
        assert!(!has_tail(&done.stdout));
    }
}

/// A stream that means harm, or means nothing, is refused by seal and by push; nothing is written
/// outside the band's folder.
#[test]
fn hostile_streams() {
    let members = split(sealed());
    let (head, tail) = (&members[0], members.last().unwrap());
    let middle = members.len() / 2;
    assert_eq!((head.name(), tail.name()), (format!("{BAND}/HEAD"), format!("{BAND}/TAIL")));
    let place = scratch("hostile-target");
    let absolute = place.join("evil").to_str().unwrap().to_string();

    let mut streams: Vec<(String, Vec<u8>)> = vec![
        ("nothing but zeros".into(), vec![0; 10_240]),
        ("noise".into(), noise(1, 100_000)),
        ("text".into(), listing().to_vec()),
        ("gzip".into(), members[middle].data.clone()),
        ("no HEAD".into(), join(&members[1..])),
        (
            "TAIL first".into(),
            join(&[std::slice::from_ref(tail), &members[..members.len() - 1]].concat()),
        ),
        (
            "an object after TAIL".into(),
            join(
                &[
                    &members[..],
                    &[members[middle].named(&format!("{BAND}/00000/000000099.tar.gz"))],
                ]
                .concat(),
            ),
        ),
        ("one zero block".into(), sealed()[..sealed().len() - 512].to_vec()),
        ("noise for HEAD".into(), join(&[&[head.holding(&noise(2, 300))], &members[1..]].concat())),
        (
            "noise for TAIL".into(),
            join(&[&members[..members.len() - 1], &[tail.holding(&noise(2, 300))]].concat()),
        ),
    ];
    let text = String::from_utf8(head.data.clone()).unwrap();
    for (what, changed) in [
        ("a newer format", text.replace("dura-band: 2", "dura-band: 3")),
        ("another band's HEAD", text.replace(BAND, "20200102T030406Z")),
    ] {
        assert_ne!(text, changed);
        streams.push((
            what.into(),
            join(&[&[head.holding(changed.as_bytes())], &members[1..]].concat()),
        ));
    }
    let text = String::from_utf8(tail.data.clone()).unwrap();
    for (what, from, to) in [
        ("a TAIL that its digest denies", "\nfiles: ", "\nfiles: 1"),
        ("another id's TAIL", ID, "ffeeddccbbaa99887766554433221100"),
    ] {
        let changed = text.replacen(from, to, 1);
        assert_ne!(text, changed);
        streams.push((
            what.into(),
            join(&[&members[..members.len() - 1], &[tail.holding(changed.as_bytes())]].concat()),
        ));
    }
    let names = [
        "",
        "/",
        ".",
        "..",
        "../evil",
        "evil",
        "HEAD",
        "TAIL",
        &absolute,
        &format!("{BAND}/../evil"),
        &format!("{BAND}/../../evil"),
        &format!("{BAND}/00000/../../../evil"),
        &format!("{BAND}/evil"),
        &format!("{BAND}/00000/evil"),
        &format!("{BAND}//evil"),
        &format!("{BAND}/"),
        &format!("{BAND}/00000"),
        &format!("{BAND}/00000/"),
        &format!("{BAND}/00000/000000000.tar.gz/evil"),
        &format!("{BAND}/00001/000000099.tar.gz"),
        &format!("{BAND}/00000/000000099.exe"),
        &format!("{BAND}/00000/99.tar.gz"),
        &format!("{BAND}/00000/000000099.tar.gz.1"),
        "20200102T030406Z/00000/000000099.tar.gz",
        &format!("{BAND}-20200102T030406Z/00000/000000099.tar.gz"),
        "\u{e9}/00000/000000099.tar.gz",
        &format!("{BAND}/00000/000000099.tar.gz\nx"),
    ];
    for name in names {
        let mut members = members.clone();
        members[middle] = members[middle].named(name);
        streams.push((format!("the name {name:?}"), join(&members)));
    }
    for kind in *b"123456xKLSV" {
        let mut members = members.clone();
        members[middle] = members[middle].with(|header| header[156] = kind);
        streams.push((format!("type {:?}", kind as char), join(&members)));
    }
    for size in [
        &b"77777777777\0"[..],
        b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x80\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        b"-0000000001\0",
        b"zzz\0\0\0\0\0\0\0\0\0",
    ] {
        let mut members = members.clone();
        members[middle] = members[middle].with(|header| header[124..136].copy_from_slice(size));
        streams.push((format!("size {size:?}"), join(&members)));
    }
    // seal passes TAIL on as it is; push looks into it.
    let for_push = |what: &str| {
        what.contains("TAIL that") || what.contains("'s TAIL") || what == "noise for TAIL"
    };
    for (what, stream) in streams {
        let dir = scratch("hostile");
        let done = dura("mkdir store && cd store && dura-push archive")
            .dir(&dir)
            .seconds(20)
            .input(&stream)
            .run();
        refused(&format!("push: {what}"), &done);
        assert_eq!(tails(&dir), [""; 0], "{what}");
        let band = format!("store/archive/{BAND}");
        for name in take(&dir).0.keys().map(|name| String::from_utf8_lossy(name)) {
            assert!(
                [".", "store", "store/archive"].contains(&&*name)
                    || name == band
                    || name.starts_with(&format!("{band}/")),
                "push: {what}: wrote {name}"
            );
        }
        if !for_push(&what) {
            let done = dura("dura-seal").dir(&dir).seconds(20).input(&stream).run();
            refused(&format!("seal: {what}"), &done);
            assert!(!has_tail(&done.stdout), "seal: {what}: TAIL");
        }
        assert_eq!(fs::read_dir(&place).unwrap().count(), 0, "{what}: wrote outside");
    }
}
