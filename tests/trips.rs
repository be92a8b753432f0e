//! What runs cost over a network: requests, and round trips one after the other, counted at a proxy
//! in front of real servers.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use dura::core::groups::Groups;
use dura::format::band::{BandId, BandName};
use dura::format::group::GroupMember;
use dura::format::head::{Head, Tail};
use dura::format::object::{Compression, Object, ObjectName};
use dura::format::stream::{self, StreamItem};
use dura::format::time::Stamp;

use crate::util::place::Place;
use crate::util::proxy::Proxy;
use crate::util::servers::{self, Server};

/// What each request takes longer: so much more than all else that what is asked side by side
/// overlaps.
const TRIP: Duration = Duration::from_millis(200);

/// A busy machine may bring requests one after the other that would go side by side, and servers
/// fail now and then; what a run can do, it does in one of so many tries.
const TRIES: usize = 4;

/// An archive on a server, as it is reached through a proxy.
struct Far<'a> {
    place: Place<'a>,
    proxy: Proxy,
}

impl Far<'_> {
    fn new<'a>(server: &Server, dir: &'a Path) -> Far<'a> {
        let proxy = Proxy::start(server.address);
        let mut variables = server.environment(proxy.address);
        variables.push(("ARC", server.archive_at(proxy.address, "arc")));
        Far { place: Place { dir, variables }, proxy }
    }

    /// What a script asks: round trips in sequence, and requests by method.
    #[track_caller]
    fn costs(&self, script: &str, trip: Duration) -> (usize, String) {
        self.proxy.begin();
        self.proxy.latency(trip);
        self.place.ok(script);
        self.proxy.latency(Duration::ZERO);
        let trips = self.proxy.in_sequence();
        let mut requests: BTreeMap<String, usize> = BTreeMap::new();
        self.proxy.begin().iter().for_each(|call| {
            *requests.entry(call.split(' ').next().unwrap().to_owned()).or_default() += 1
        });
        (
            trips,
            requests
                .iter()
                .map(|(method, count)| format!("{count} {method}"))
                .collect::<Vec<_>>()
                .join(", "),
        )
    }

    /// In one of some tries, a script takes so many round trips at most, and just the requests that
    /// go with the number of the try.
    #[track_caller]
    fn takes(&self, script: &str, trips: usize, requests: impl Fn(usize) -> String) {
        let mut seen = Vec::new();
        for number in 0..TRIES {
            let (took, made) = self.costs(script, TRIP);
            if took <= trips && made == requests(number) {
                return;
            }
            seen.push((took, made));
        }
        panic!("{script}: not {trips} round trips with {}, but {seen:?}", requests(0));
    }
}

const PUT: &str = "dura-scan -q src | dura-index diff -q \"$ARC\" | dura-pack -q | dura-seal -q | dura-push -q \"$ARC\"";

/// One file out of three tiers without a cache, and runs in which nothing has changed on three
/// tiers and more, with a warm one. `others` are the requests of such a run besides GET, of which
/// there are so many, and four more for each further tier, and HEAD, with four more.
fn few_round_trips(
    server: &Server,
    list: &str,
    trips: usize,
    (gets, heads): (usize, usize),
    others: &str,
) {
    let dir = tempfile::tempdir().unwrap();
    let far = Far::new(server, dir.path());
    far.place.ok("mkdir -p src/a/b; for i in 1 2 3 4 5; do echo $i > src/a/b/$i; done");
    for tier in 0..3 {
        far.place.ok(&format!("echo {tier} > src/a/new; sleep 2.1; {PUT}"));
    }
    // TAIL, table and index of each tier, the block, and a guess that the archive is encrypted; and
    // the list of bands; beside the tables, a look whether each tier is encrypted.
    let file = "rm -rf cold; export DURA_CACHE=cold; dura-restore -q \"$ARC\" ./a/b/3 | tar -xOf - | grep -qx 3";
    far.takes(file, 6, |_| {
        if list == "GET" {
            "12 GET, 3 HEAD".to_owned()
        } else {
            format!("11 GET, 3 HEAD, 1 {list}")
        }
    });
    let counts = |more| format!("{} GET, {} HEAD, {others}", gets + 4 * more, heads + 4 * more);
    far.takes(PUT, trips, counts);
}

/// HEAD and TAIL of three tiers for diff and for push, HEAD and TAIL read back, and listings of the
/// band and its folder; looks for the parent's last index, encrypted or not, whether each tier is
/// encrypted, whether the parent is encrypted, signed and has parity, for HEAD, the notes, index,
/// table and list, and for HEAD and the last index of the three tiers; and those eight, TAIL, and
/// HEAD once more are written.
#[test]
fn a_bucket_that_refuses_to_overwrite() {
    few_round_trips(&servers::moto(), "GET", 9, (17, 25), "10 PUT");
}

/// A look for TAIL more, and HEAD is read back again before it.
#[test]
fn a_bucket_that_overwrites() {
    few_round_trips(&servers::rclone_s3(), "GET", 9, (18, 26), "10 PUT");
}

/// The same, and the band's two folders are made.
#[test]
fn a_collection_that_overwrites() {
    few_round_trips(
        &servers::rclone_webdav(),
        "PROPFIND",
        10,
        (15, 26),
        "2 MKCOL, 3 PROPFIND, 10 PUT",
    );
}

/// A band of so many small blocks as a stream: each with an index, in groups of 32, with a table of
/// contents.
fn band(blocks: u32) -> (usize, Vec<u8>) {
    let band: BandName = "20260101T000000Z".parse().unwrap();
    let (id, stamp) = (BandId([7; 16]), Stamp::from_unix(1_767_225_600).unwrap());
    let (compression, writer) = (Compression::Gzip, "test".to_owned());
    let head = Head::new(band.clone(), id, None, stamp, compression, &writer);
    let (entries, files, bytes, skipped, last) = (2, 1, 900, 0, blocks - 1);
    let tail = Tail {
        band: band.clone(),
        id,
        finished: stamp,
        last,
        toc: last,
        entries,
        files,
        bytes,
        tree: None,
        skipped,
        behind: None,
        runs: Vec::new(),
        unattributed: 0,
        head: Some(head.clone()),
    };
    let mut grouped = vec![(Object::Head, head.to_string().into_bytes())];
    grouped.extend(dura::format::object::NOTES.map(|note| (Object::Note(note), vec![1; 900])));
    for number in 0..blocks {
        grouped.extend([
            (Object::Block(number, compression.into()), vec![2; 3000]),
            (Object::Index(number), vec![3; 300]),
        ]);
    }
    grouped.push((Object::Toc(last), vec![5; 300]));
    let mut groups = Groups::new(band.clone(), id, 32, 0);
    let mut objects = Vec::new();
    for (object, bytes) in grouped {
        let list = groups.handle_object(GroupMember::of(ObjectName::plain(object), &bytes));
        objects.push((object, bytes));
        objects.extend(list.map(|list| (list.object().object, list.text().into_bytes())));
    }
    objects.extend(groups.finish().map(|list| (list.object().object, list.text().into_bytes())));
    objects.push((Object::Tail, tail.to_string().into_bytes()));
    let mut stream = Vec::new();
    let count = objects.len();
    for (object, bytes) in objects {
        stream::write(
            &mut stream,
            &StreamItem { band: band.clone(), name: ObjectName::plain(object), bytes },
            0,
        )
        .unwrap();
    }
    stream.extend(stream::END);
    (count, stream)
}

/// 200 blocks to an empty archive: as many writes as objects, and HEAD once more; where the server
/// overwrites, a look for each. They go side by side: in few round trips, of which most are spent
/// to have no more than 32 requests at once.
fn many_blocks(server: &Server, overwrites: bool, trips: usize) {
    let dir = tempfile::tempdir().unwrap();
    let far = Far::new(server, dir.path());
    let (objects, stream) = band(200);
    std::fs::write(dir.path().join("band"), stream).unwrap();
    let mut seen = Vec::new();
    for number in 0..TRIES {
        let archive = format!("export ARC=$ARC-{number}; dura-push -q \"$ARC\" < band");
        let (took, made) = far.costs(&archive, TRIP / 2);
        let count = |method: &str| {
            let of = made.split(", ").find_map(|of| of.strip_suffix(method));
            of.map_or(0, |count| count.trim().parse::<usize>().unwrap())
        };
        let looks = if overwrites { objects..objects + 20 } else { 2..80 };
        if took <= trips && count("PUT") == objects + 1 && looks.contains(&count("HEAD")) {
            return;
        }
        seen.push((took, made));
    }
    panic!("not {trips} round trips for {objects} objects, but {seen:?}");
}

#[test]
fn blocks_to_a_bucket_that_refuses_to_overwrite() {
    many_blocks(&servers::moto(), false, 28);
}

#[test]
fn blocks_to_a_bucket_that_overwrites() {
    many_blocks(&servers::rclone_s3(), true, 45);
}

#[test]
fn blocks_to_a_collection_that_overwrites() {
    many_blocks(&servers::rclone_webdav(), true, 45);
}
