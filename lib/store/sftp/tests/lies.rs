//! Servers that answer as they should not, each a function from a request to answers.

use std::time::Instant;

use super::*;

/// A server that greets, and then answers each request with what `reply` gives.
fn hostile(
    reply: impl Fn(&[u8]) -> Vec<Vec<u8>> + Send + Sync + 'static,
    idle: Duration,
    notice: Notice,
) -> Sftp {
    let reply = Arc::new(reply);
    let dial = move || {
        let (wire, mut theirs, mut back) = wire();
        let reply = Arc::clone(&reply);
        std::thread::spawn(move || {
            while let Some(packet) = read_packet(&mut theirs) {
                let answers =
                    if packet[0] == 1 { vec![sized(&[2, 0, 0, 0, 3])] } else { reply(&packet) };
                if answers.iter().any(|answer| back.write_all(answer).is_err()) {
                    return;
                }
            }
        });
        Ok(wire)
    };
    Sftp::over(b"/b".to_vec(), "ssh://nas/b".to_owned(), Box::new(dial), idle, notice)
}

fn text(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u32).to_be_bytes(), bytes].concat()
}

/// A page of names, each with size and mode.
fn page(id: &[u8], names: &[&[u8]], mode: u32) -> Vec<u8> {
    let mut page = [&[104], id, &(names.len() as u32).to_be_bytes()[..]].concat();
    for name in names {
        page.extend(
            [text(name), text(b""), vec![0, 0, 0, 5], vec![0, 0, 0, 0, 0, 0, 0, 9]].concat(),
        );
        page.extend(mode.to_be_bytes());
    }
    sized(&page)
}

const FILE: u32 = 0o100_644;

/// Names that are not in the folder are none, and a listing ends.
#[test]
fn listings_that_lie() {
    let asked = AtomicUsize::new(0);
    let odd: [&[u8]; 9] =
        [b"HEAD", b"../x", b"a/b", b".", b"..", b"", b"\xff", b"n\0", &[b'x'; 300]];
    let store = hostile(
        move |packet| match packet[0] {
            11 => vec![sized(&[&[102], &packet[1..5], &text(b"h")[..]].concat())],
            12 if asked.fetch_add(1, Ordering::Relaxed) == 0 => {
                vec![page(&packet[1..5], &odd, FILE)]
            }
            _ => vec![sized(&status(&packet[1..5], code::EOF))],
        },
        Duration::from_secs(9),
        unheard(),
    );
    assert_eq!(store.list("").unwrap(), [("HEAD".to_owned(), 9)]);

    let endless = |packet: &[u8]| match packet[0] {
        11 => vec![sized(&[&[102], &packet[1..5], &text(b"h")[..]].concat())],
        _ => vec![page(&packet[1..5], &[b"HEAD"], FILE)],
    };
    let error = hostile(endless, Duration::from_secs(9), unheard()).list("").unwrap_err();
    assert!(error.source.to_string().contains("without a new name"), "{error:?}");

    let untold = |packet: &[u8]| match packet[0] {
        11 => vec![sized(&[&[102], &packet[1..5], &text(b"h")[..]].concat())],
        12 if packet[1..5] == [0, 0, 0, 2] => vec![page(&packet[1..5], &[b"HEAD"], 0)]
            .into_iter()
            .map(|mut page| {
                // It tells nothing of it.
                page.truncate(page.len() - 16);
                page.extend([0; 4]);
                let length = (page.len() - 4) as u32;
                page[..4].copy_from_slice(&length.to_be_bytes());
                page
            })
            .collect(),
        _ => vec![sized(&status(&packet[1..5], code::EOF))],
    };
    let (notice, heard) = hearing();
    let listed = hostile(untold, Duration::from_secs(9), notice).list("").unwrap();
    assert_eq!(listed, [("HEAD".to_owned(), UNSEEN)]);
    assert_eq!(*heard.lock().unwrap(), ["flaw ssh://nas/b/HEAD"]);
}

/// No length, size, number or kind of an answer is believed.
#[test]
fn answers_that_lie() {
    fn attributes(id: &[u8], size: u64) -> Vec<u8> {
        let size = &size.to_be_bytes()[..];
        sized(&[&[105], id, &[0, 0, 0, 5], size, &FILE.to_be_bytes()].concat())
    }
    type Reply = fn(&[u8]) -> Vec<Vec<u8>>;
    let opened: Reply = |packet| vec![sized(&[&[102], &packet[1..5], &text(b"h")[..]].concat())];
    fn data(packet: &[u8], length: usize) -> Vec<Vec<u8>> {
        vec![sized(&[&[103], &packet[1..5], &text(&vec![7; length])[..]].concat())]
    }
    let cases: [(&str, u64, Reply, StoreErrorKind); 9] = [
        ("more than was asked for", 100, |packet| data(packet, 101), StoreErrorKind::Other),
        ("nothing", 100, |packet| data(packet, 0), StoreErrorKind::Other),
        ("the end", 100, |p| vec![sized(&status(&p[1..5], code::EOF))], StoreErrorKind::Damaged),
        ("a failure", 100, |p| vec![sized(&status(&p[1..5], 4))], StoreErrorKind::Damaged),
        ("a size that no object has", u64::MAX, |_| Vec::new(), StoreErrorKind::Damaged),
        ("another number", 100, |_| vec![sized(&status(&[9; 4], 0))], StoreErrorKind::Other),
        ("a huge packet", 100, |_| vec![vec![0xff; 64]], StoreErrorKind::Other),
        ("another kind", 100, |p| vec![attributes(&p[1..5], 1)], StoreErrorKind::Other),
        ("no packet", 100, |_| vec![sized(&[103, 0, 0, 0])], StoreErrorKind::Other),
    ];
    for (what, size, read, kind) in cases {
        let reply = move |packet: &[u8]| match packet[0] {
            7 => vec![attributes(&packet[1..5], size)],
            3 => opened(packet),
            _ => read(packet),
        };
        let store = hostile(reply, Duration::from_secs(9), unheard());
        assert_eq!(store.get(HEAD).unwrap_err().kind, kind, "{what}");
    }
    // Less than was asked for is asked for again.
    let short: Reply = |packet| match packet[0] {
        7 => vec![attributes(&packet[1..5], 50_000)],
        3 => vec![sized(&[&[102], &packet[1..5], &text(b"h")[..]].concat())],
        5 => {
            let place = u64::from_be_bytes(packet[10..18].try_into().unwrap());
            let length = u32::from_be_bytes(packet[18..22].try_into().unwrap()) as usize;
            let bytes: Vec<u8> =
                (place..).map(|at| (at / 7) as u8).take(length.min(9000)).collect();
            vec![sized(&[&[103], &packet[1..5], &text(&bytes)[..]].concat())]
        }
        _ => vec![sized(&status(&packet[1..5], 0))],
    };
    let got = hostile(short, Duration::from_secs(9), unheard()).get(HEAD).unwrap();
    assert!(got.len() == 50_000 && got.iter().enumerate().all(|(at, b)| *b == (at / 7) as u8));
}

/// A server that says nothing any more is left.
#[test]
fn silence() {
    let begun = Instant::now();
    let store = hostile(|_| Vec::new(), Duration::from_millis(100), unheard());
    for _ in 0..2 {
        let error = store.get(HEAD).unwrap_err();
        assert_eq!(error.kind, StoreErrorKind::Passing);
        assert!(error.source.to_string().contains("no answer"), "{error:?}");
    }
    assert!(begun.elapsed() < Duration::from_secs(5));
}
