//! The parsers that read what others wrote, each as a function of bytes: for `tests/corpus.rs` and
//! `fuzz/fuzz.rs`.
//!
//! A target says whether its parser takes the bytes. It panics when what was taken and written
//! again is read as something else, or when what always holds does not. Those that stand in no
//! module are of `format` and of the answers of servers; `machines` has those of what `core`
//! decides from names and lines, `world` the rest of `store`, `edge` and `cli`.
//!
//! What lies in a cache goes the way of what lies in an archive: `gzip`, `head`, `header`, `entry`,
//! `toc`.

use std::fmt::Debug;
use std::str::from_utf8;

use dura::format::band::{BandId, BandName};
use dura::format::entry::Entry;
use dura::format::group::List;
use dura::format::head::{Head, Tail};
use dura::format::inflate::{self, BlockPiece};
use dura::format::listing::{self, Line};
use dura::format::object::{Compression, ObjectName};
use dura::format::path::{self, Path};
use dura::format::sparse::Digester;
use dura::format::stream;
use dura::format::tarball::{Extras, header_of};
use dura::format::time::{Stamp, Time};
use dura::format::toc::Toc;
use dura::format::untar::{self, Untar, UntarError};
use dura::format::{acl, digest};
use dura::store::dav::listing as collection;
use dura::store::s3::answers;

#[path = "machines.rs"]
mod machines;
#[path = "world.rs"]
mod world;

/// More than any input's content that is worth a look.
const MOST: usize = 8 << 20;

/// A parser under test.
pub(crate) struct Target {
    /// The name of its folder of seeds.
    pub(crate) name: &'static str,
    /// Whether it takes an input.
    pub(crate) run: fn(&[u8]) -> bool,
    /// Makes the checksums in an input right, as who means harm would.
    pub(crate) mend: fn(&mut Vec<u8>),
}

/// All targets, by name.
pub(crate) const TARGETS: [Target; 31] = [
    Target { name: "acl", run: acl_text, mend: as_it_is },
    Target { name: "address", run: world::address, mend: as_it_is },
    Target { name: "audit", run: machines::audit, mend: mend_last_list },
    Target { name: "band", run: band, mend: as_it_is },
    Target { name: "choice", run: machines::choice, mend: as_it_is },
    Target { name: "claims", run: machines::claims, mend: as_it_is },
    Target { name: "counted", run: machines::counted, mend: as_it_is },
    Target { name: "dav", run: dav, mend: as_it_is },
    Target { name: "diff", run: machines::diff, mend: as_it_is },
    Target { name: "entry", run: entry, mend: as_it_is },
    Target { name: "gzip", run: gzip, mend: as_it_is },
    Target { name: "head", run: head, mend: as_it_is },
    Target { name: "header", run: header, mend: as_it_is },
    Target { name: "keys", run: world::keys, mend: as_it_is },
    Target { name: "list", run: list, mend: mend_list },
    Target { name: "listing", run: listing, mend: as_it_is },
    Target { name: "merge", run: machines::merge, mend: as_it_is },
    Target { name: "object", run: object, mend: as_it_is },
    Target { name: "options", run: world::options, mend: as_it_is },
    Target { name: "path", run: encoded, mend: as_it_is },
    Target { name: "reply", run: world::reply, mend: as_it_is },
    Target { name: "s3", run: s3, mend: as_it_is },
    Target { name: "sftp", run: world::sftp, mend: as_it_is },
    Target { name: "sparse", run: sparse, mend: as_it_is },
    Target { name: "status", run: world::status, mend: as_it_is },
    Target { name: "stream", run: objects, mend: mend_tar },
    Target { name: "tail", run: tail, mend: mend_tail },
    Target { name: "tar", run: entries, mend: mend_tar },
    Target { name: "time", run: time, mend: as_it_is },
    Target { name: "toc", run: toc, mend: as_it_is },
    Target { name: "zstd", run: zstd, mend: as_it_is },
];

/// Reads, writes and reads again.
fn there_and_back<T: PartialEq + Debug, E: Debug>(
    bytes: &[u8],
    read: impl Fn(&[u8]) -> Result<T, E>,
    write: impl Fn(&T) -> String,
) -> bool {
    let first = read(bytes);
    if let Ok(first) = &first {
        let again = read(write(first).as_bytes());
        assert_eq!(&again.unwrap_or_else(|why| panic!("{why:?}: {first:?}")), first);
    }
    first.is_ok()
}

fn list(bytes: &[u8]) -> bool {
    there_and_back(bytes, List::parse, List::text)
        && machines::repair(&List::parse(bytes).expect("it was taken"))
}

fn head(bytes: &[u8]) -> bool {
    there_and_back(bytes, Head::parse, Head::to_string)
}

fn tail(bytes: &[u8]) -> bool {
    there_and_back(bytes, Tail::parse, Tail::to_string)
}

fn toc(bytes: &[u8]) -> bool {
    there_and_back(bytes, |text| Toc::parse(text).ok_or("no table"), Toc::to_string)
}

fn header(bytes: &[u8]) -> bool {
    there_and_back(bytes, listing::parse_header, |header| header.to_string())
}

fn entry(bytes: &[u8]) -> bool {
    there_and_back(bytes, Entry::parse, |entry| {
        let mut line = Vec::new();
        entry.write(&mut line);
        String::from_utf8(line[..line.len() - 1].to_vec()).expect("a line is ASCII")
    })
}

fn listing(bytes: &[u8]) -> bool {
    let read = |bytes: &[u8]| {
        let mut reader = listing::ListingReader::new(bytes);
        let mut lines = Vec::new();
        while let Some(line) = reader.next_line()? {
            lines.push(line);
        }
        Ok::<_, listing::ListingError>(lines)
    };
    let write = |lines: &Vec<Line>| {
        let mut out = Vec::new();
        for line in lines {
            match line {
                Line::Entry(entry) => entry.write(&mut out),
                Line::Header(header) => out.extend(format!("{header}\n").into_bytes()),
                Line::End(end) => out.extend(format!("{end}\n").into_bytes()),
            }
        }
        String::from_utf8(out).expect("a listing is ASCII")
    };
    there_and_back(bytes, read, write)
}

/// All objects of a stream, and the band that it continues.
fn items(
    bytes: &[u8],
    repairs: bool,
) -> (Vec<stream::StreamItem>, Option<BandId>, Result<(), stream::StreamError>) {
    let mut reader = if repairs {
        stream::StreamReader::repairs(bytes)
    } else {
        stream::StreamReader::new(bytes)
    };
    let mut items = Vec::new();
    let end = loop {
        match reader.next_item() {
            Ok(Some(item)) => items.push(item),
            end => break end.map(drop),
        }
    };
    (items, reader.continues(), end)
}

fn objects(bytes: &[u8]) -> bool {
    let (objects, continues, end) = items(bytes, false);
    let repairs = items(bytes, true).2;
    if let (Ok(()), Some(first)) = (&end, objects.first()) {
        let mut out =
            continues.map(|id| stream::continuation(&first.band, &id)).unwrap_or_default();
        objects.iter().for_each(|item| stream::write(&mut out, item, 7).expect("memory takes all"));
        out.extend(stream::END);
        let again = items(&out, false);
        assert!((&again.0, again.1, again.2.is_ok()) == (&objects, continues, true));
    }
    end.is_ok() || repairs.is_ok()
}

fn entries(bytes: &[u8]) -> bool {
    let mut untar = Untar::new(bytes);
    loop {
        let entry = match untar.next_entry() {
            Ok(Some(entry)) => entry,
            end => return end.is_ok(),
        };
        renewed(&entry);
        // Some are skipped, as a restore of one file does.
        if entry.stored % 2 == 1 {
            let mut came = 0;
            let copied = untar.copy(&entry, &mut |piece| {
                came += piece.len() as u64;
                Ok::<(), UntarError>(())
            });
            assert!(copied.is_err() || came == entry.stored);
        }
    }
}

/// The header of a line says what the line says, whatever a block adds.
fn renewed(stored: &untar::TarEntry) {
    let line =
        b"./there/\\377 type=file mode=0640 uid=4000000000 gid=5 time=-7.000000008 size=9 tags=x";
    let line = Entry::parse(line).expect("a line");
    let Ok(extras) = Extras::of(stored) else { return };
    let mut header = Vec::new();
    let member = extras.member(&line, false).expect("a member");
    let Ok(()) = member.write_head(&mut header, 9) else { return };
    let mut untar = Untar::new(&header[..]);
    let again = untar.next_entry().expect("sound headers").expect("an entry");
    assert_eq!((again.path.clone(), again.flag, again.stored), (line.path.clone(), b'0', 9));
    assert_eq!(header_of(&line, &again), Ok(header));
}

/// What comes out of a block, whole and in small parts.
fn inflated(compression: Compression, bytes: &[u8], part: usize) -> (Vec<u8>, Option<String>) {
    let (mut parts, mut content, mut gap) = (bytes.chunks(part), Vec::new(), None);
    inflate::inflate(compression, &mut || Ok(parts.next().map(<[u8]>::to_vec)), &mut |piece| {
        match piece {
            BlockPiece::Data(data, _) => content.extend(data),
            BlockPiece::Gap(why) => gap = gap.take().or(Some(why)),
        }
        content.len() < MOST
    });
    (content, gap)
}

fn block(compression: Compression, bytes: &[u8]) -> (Vec<u8>, bool) {
    let (content, gap) = inflated(compression, bytes, usize::MAX);
    if gap.is_none() && content.len() < MOST {
        // One of gzip's two decoders checks more of a header than the other. But nothing else may
        // come out unsaid.
        let (other, gap) = inflated(compression, bytes, 1 + bytes.len() / 3);
        assert!(gap.is_some() || other == content, "in parts it is something else");
    }
    (content, gap.is_none())
}

fn gzip(bytes: &[u8]) -> bool {
    let (content, taken) = block(Compression::Gzip, bytes);
    let whole = inflate::whole(bytes, MOST - 1);
    assert!(whole.as_ref().is_none_or(|whole| *whole == content), "at once it is something else");
    taken
}

fn zstd(bytes: &[u8]) -> bool {
    block(Compression::Zstd, bytes).1
}

/// The content of a sparse file, in two sizes of pieces.
fn sparse(bytes: &[u8]) -> bool {
    let digest = |step| {
        let mut digester = Digester::new(true, 4096);
        bytes.chunks(step).for_each(|piece| digester.update(piece));
        digester.finish()
    };
    let whole = digest(usize::MAX);
    assert_eq!(digest(7), whole, "in parts it is something else");
    whole.is_some()
}

fn band(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let (name, id) = (text.parse::<BandName>(), text.parse::<BandId>());
    assert!(name.as_ref().is_ok_and(|name| name.to_string() == text) || name.is_err());
    assert!(id.as_ref().is_ok_and(|id| id.to_string() == text) || id.is_err());
    name.is_ok() || id.is_ok()
}

fn object(bytes: &[u8]) -> bool {
    let Some(name) = from_utf8(bytes).ok().and_then(ObjectName::parse) else { return false };
    assert_eq!(name.to_string().as_bytes(), bytes);
    assert!(!name.to_string().split('/').any(|part| matches!(part, "" | "." | "..")));
    true
}

fn encoded(bytes: &[u8]) -> bool {
    let mut text = Vec::new();
    path::encode_tag(bytes, &mut text);
    assert_eq!(path::decode(&text).as_deref(), Ok(bytes));
    let parsed = Path::parse(bytes);
    let typed = Path::from_typed(bytes);
    for path in parsed.iter().chain(&typed) {
        assert_eq!(&Path::from_raw(&path.raw()), path);
        assert!(bytes.contains(&0) || Path::parse(path.as_bytes()).as_ref() == Ok(path));
    }
    assert!(parsed.as_ref().is_ok_and(|path| path.as_bytes() == bytes) || parsed.is_err());
    ordered(bytes);
    parsed.is_ok()
}

/// Two names in one directory stand as their paths do.
fn ordered(bytes: &[u8]) {
    let mut names =
        bytes.splitn(2, |&b| b == b'/').filter(|name| !name.is_empty() && !name.contains(&b'/'));
    let (Some(a), Some(b)) = (names.next(), names.next()) else { return };
    assert_eq!(path::compare_names(a, b), Path::from_raw(a).cmp(&Path::from_raw(b)));
}

fn time(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let pax = Time::from_pax(&text);
    for time in Time::parse(bytes).iter().chain(&pax) {
        assert_eq!(Time::parse(time.to_string().as_bytes()), Some(*time));
        assert_eq!(Time::from_pax(&time.to_pax()), Some(*time));
    }
    let (plain, dashed) = (Stamp::parse(&text), Stamp::parse_rfc3339(&text));
    assert!(
        plain.is_none_or(|stamp| stamp.to_string() == text)
            && dashed.is_none_or(|stamp| stamp.to_rfc3339() == text)
    );
    Time::parse(bytes).is_some() || pax.is_some() || plain.is_some() || dashed.is_some()
}

fn acl_text(bytes: &[u8]) -> bool {
    let text = acl::to_text(bytes);
    let entries =
        text.as_ref().map_or(0, |text| text.split(',').filter(|entry| !entry.is_empty()).count());
    assert!(text.is_none() || bytes.len() == 4 + 8 * entries);
    text.is_some()
}

/// What a server lists lies directly in the folder that was asked for.
fn listed<E: Debug>(read: Result<Vec<(String, u64)>, E>) -> bool {
    for (name, _) in read.iter().flatten() {
        let bare = name.strip_suffix('/').unwrap_or(name);
        assert!(
            !matches!(bare, "" | "." | "..") && !bare.contains('/'),
            "{name:?} leads elsewhere"
        );
    }
    read.is_ok()
}

fn s3(bytes: &[u8]) -> bool {
    listed(answers::page(bytes, "p/a/").map(|page| page.names))
}

fn dav(bytes: &[u8]) -> bool {
    listed(collection::names(bytes, "http://host/my%20dav/band/"))
}

fn as_it_is(_: &mut Vec<u8>) {}

/// Every header of a tar gets its checksum.
fn mend_tar(bytes: &mut Vec<u8>) {
    for block in bytes
        .as_mut_slice()
        .chunks_exact_mut(512)
        .filter(|block| block[257..].starts_with(b"ustar"))
    {
        let sum: u32 = block
            .iter()
            .enumerate()
            .map(|(i, &b)| if (148..156).contains(&i) { 32 } else { u32::from(b) })
            .sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
}

fn mend_tail(bytes: &mut Vec<u8>) {
    mend_last(bytes, b"sha256: ");
}

fn mend_list(bytes: &mut Vec<u8>) {
    mend_last(bytes, b"#end ");
}

/// A list with something before it.
fn mend_last_list(bytes: &mut Vec<u8>) {
    let mut list = bytes.split_off(machines::opening(bytes));
    mend_list(&mut list);
    bytes.append(&mut list);
}

/// The last line, when it begins so, becomes the sha256 of those above.
fn mend_last(bytes: &mut Vec<u8>, begin: &[u8]) {
    let at = bytes.windows(begin.len()).rposition(|window| window == begin);
    let Some(at) = at.filter(|at| *at == 0 || bytes[at - 1] == b'\n') else { return };
    let mut sum = Vec::new();
    digest::push(&mut sum, &digest::of(&bytes[..at]));
    bytes.truncate(at + begin.len());
    bytes.extend(sum);
    bytes.push(b'\n');
}
