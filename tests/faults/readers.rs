//! Readers under faults: what they bring back is what was there, or they say that it is not.

use std::collections::BTreeSet;

use super::{Setting, all, each, fresh, moto, rclone_s3, rclone_webdav};
use crate::util::place::{Ended, FRESH};
use crate::util::proxy::Fault;

/// What goes wrong, and whether a reader gets over it.
const FAULTS: [(Fault, bool); 9] = [
    (Fault::Flipped, false),
    (Fault::CutBody, true),
    (Fault::Short, false),
    (Fault::Status(500), true),
    (Fault::Busy(1), true),
    (Fault::LostPage, false),
    (Fault::Refused, true),
    (Fault::LostReply, true),
    (Fault::Hangs, true),
];

/// What is read, to a file `$OUT`.
const READERS: [&str; 5] = [
    "dura-restore -q --band 20260101T000000Z-20260201T000000Z \"$ARC\" > \"$OUT\"",
    "dura-restore -q --band 20260101T000000Z-20260201T000000Z \"$ARC\" ./a/2 > \"$OUT\"",
    "dura-index list -q --band 20260101T000000Z-20260201T000000Z \"$ARC\" > \"$OUT\"",
    "dura-index where -q --band 20260101T000000Z-20260201T000000Z \"$ARC\" ./a | cut -d' ' -f2 > \"$OUT\"",
    "dura-verify -q \"$ARC\" > \"$OUT\"",
];

fn sweep(setting: &Setting, first: usize, stride: usize) {
    let proxy = setting.proxy();
    let through = setting.place(Some(&proxy), "read");
    through.ok("dura-push -q \"$ARC\" < full; dura-push -q \"$ARC\" < layer");
    let mut cases = Vec::new();
    let mut wanted = Vec::new();
    for (at, reader) in READERS.iter().enumerate() {
        proxy.begin();
        let out = fresh(setting.dir.path(), &format!("wanted-{at}"));
        through.ok(&format!("{FRESH}; OUT={out}; {reader}"));
        wanted.push(std::fs::read(&out).unwrap());
        let requests = proxy.begin().len();
        assert!(requests >= 4, "{reader}: {requests}");
        cases.extend(
            (0..requests)
                .flat_map(|number| (0..FAULTS.len()).map(move |fault| (at, number, fault))),
        );
    }
    if !all() {
        cases = cases.into_iter().skip(first).step_by(stride).collect();
    }
    let work = |proxy: &crate::util::proxy::Proxy, at: usize| {
        let (reader, number, fault) = cases[at];
        let (fault, passes) = &FAULTS[fault];
        let out = fresh(setting.dir.path(), &format!("out-{at}"));
        proxy.begin();
        proxy.fault(number, fault.clone());
        let timeout = if *fault == Fault::Hangs { "export DURA_TIMEOUT=3; " } else { "" };
        let script = format!("{timeout}{FRESH}; OUT={out}; {}", READERS[reader]);
        let Ended(code, _, err) = setting.place(Some(proxy), "read").run(&script);
        let (_, hit) = proxy.taken();
        let is = std::fs::read(&out).unwrap();
        std::fs::remove_file(&out).unwrap();
        let failed = |why: &str| {
            let hit = hit.clone().unwrap_or_default();
            Err(format!(
                "{}: {fault:?} at {number}, {hit}: {why}, status {code}\n{err}{}",
                READERS[reader],
                String::from_utf8_lossy(&is[..is.len().min(300)])
            ))
        };
        // Without a table of contents more objects have to be looked into.
        let names = |bytes: &[u8]| {
            String::from_utf8_lossy(bytes).lines().map(str::to_owned).collect::<BTreeSet<_>>()
        };
        let enough =
            READERS[reader].contains("where") && names(&is).is_superset(&names(&wanted[reader]));
        match code {
            0 if is != wanted[reader] && !enough => failed("wrong and not told"),
            0 => Ok(()),
            1 | 2 if !passes && (err.contains("dura-") || !is.is_empty()) => Ok(()),
            _ => failed("not got over, or not told"),
        }
    };
    each("readers", cases.len(), work, || setting.proxy());
    eprintln!("readers: {} cases", cases.len());
}

#[test]
fn readers_of_a_bucket() {
    sweep(&moto(), 0, 37);
}

#[test]
fn readers_of_a_bucket_without_checksums() {
    sweep(&rclone_s3(), 5, 43);
}

#[test]
fn readers_of_webdav() {
    sweep(&rclone_webdav(), 2, 37);
}
