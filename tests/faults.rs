//! Fault sweeps over real servers, through a proxy: each request of a backup goes wrong in each
//! way. Afterwards, or after one rerun, nothing is lost, no TAIL was a lie, no object was written
//! over, and the exit status told how it was. Readers tell, or bring back what was there.
//!
//! The suite takes each request once, with one fault or another; `scripts/fault-sweep` takes all of
//! all.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::util::place::{Ended, FRESH, Place};
use crate::util::proxy::{Fault, Proxy};
use crate::util::servers::{self, Server};
use crate::util::sweep::all;

mod readers;

/// What goes wrong, and whether a backup that it happens to is to be done all the same.
const FAULTS: [(Fault, bool); 11] = [
    (Fault::CutBody, true),
    (Fault::LostReply, true),
    (Fault::Stale, true),
    (Fault::LostPage, false),
    (Fault::Flipped, false),
    (Fault::Refused, true),
    (Fault::Status(500), true),
    (Fault::Status(412), false),
    (Fault::Busy(1), true),
    (Fault::Status(409), false),
    (Fault::Hangs, true),
];

/// Archives on a server that all begin the same: a full band, and on it the beginning of a layer.
struct Setting {
    server: Server,
    dir: tempfile::TempDir,
    /// Names in a page of a listing, where the proxy can make the pages small.
    page: Option<usize>,
    /// Whether it holds what is written against its checksums.
    checks: bool,
}

const PACK: &str = "dura-pack -q --block-size 30k --part-size 60k";

impl Setting {
    fn new(server: Server, page: Option<usize>, checks: bool) -> Setting {
        let setting = Setting { server, dir: tempfile::tempdir().unwrap(), page, checks };
        let noise = |name: &str, bytes: u32| {
            format!("(head -c {bytes} /dev/urandom; head -c 1050000 /dev/zero) > src/{name}")
        };
        let make = format!(
            "mkdir -p src/a; {}; echo old > src/text; sleep 2.1; cp -a src old; \
             dura-scan -q src | {PACK} --band 20260101T000000Z | dura-seal --parity 1 > full; dura-push -q base < full; \
             {}; {}; {}; echo new > src/text; rm src/a/0; sleep 2.1; dura-scan -q src > listing; \
             dura-index diff -q base < listing | {PACK} --band 20260101T000000Z-20260201T000000Z | dura-seal --parity 1 > layer; \
             dura-push -q base < layer; head -c 80000 layer > half",
            noise("a/0", 40_000),
            noise("a/1", 40_000),
            noise("a/2", 100_000),
            noise("b", 40_000)
        );
        setting.place(None, "base").ok(&format!("{FRESH}; {make}"));
        setting
    }

    /// Where the programs reach an archive, through a proxy or not.
    fn place(&self, proxy: Option<&Proxy>, name: &str) -> Place<'_> {
        let address = proxy.map_or(self.server.address, |proxy| proxy.address);
        let mut variables = self.server.environment(address);
        variables.push(("ARC", self.server.archive_at(address, name)));
        variables.push(("CASE", name.to_owned()));
        Place { dir: self.dir.path(), variables }
    }

    fn proxy(&self) -> Proxy {
        let proxy = Proxy::start(self.server.address);
        if let Some(names) = self.page {
            proxy.pages_of(names);
        }
        proxy
    }
}

/// A backup that things happen to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Backup {
    /// A layer goes onto the full band in one go.
    Layer,
    /// A layer that was cut off goes on: what is there is listed and looked at first.
    Resume,
    /// The same goes on from a spool, which is emptied.
    Move,
}

impl Backup {
    fn before(self) -> &'static str {
        match self {
            Backup::Layer => "dura-push -q \"$ARC\" < full",
            Backup::Resume => {
                "dura-push -q \"$ARC\" < full; ! dura-push -q -j 1 \"$ARC\" < half 2>/dev/null"
            }
            Backup::Move => {
                "dura-push -q \"$ARC\" < full; ! dura-push -q -j 1 \"$ARC\" < half 2>/dev/null; \
                 dura-push -q \"spool-$CASE\" < full; dura-push -q \"spool-$CASE\" < layer; \
                 rm \"spool-$CASE\"/20260101T000000Z/*/*.tar.gz"
            }
        }
    }

    fn command(self, jobs: usize) -> String {
        match self {
            Backup::Layer => format!("dura-push -q -j {jobs} \"$ARC\" < layer"),
            Backup::Resume => format!(
                "{FRESH}; dura-index diff -q \"$ARC\" < listing | {PACK} | dura-seal --parity 1 | dura-push -q -j {jobs} \"$ARC\""
            ),
            Backup::Move => {
                format!("dura-push -q -j {jobs} --from \"spool-$CASE\" --move \"$ARC\"")
            }
        }
    }
}

/// One thing that goes wrong.
#[derive(Debug, Clone)]
struct Case {
    backup: Backup,
    number: usize,
    fault: Fault,
    passes: bool,
    jobs: usize,
}

/// How often the first run was done, and how often it took another.
#[derive(Debug, Default)]
struct Tally {
    at_once: AtomicUsize,
    rerun: AtomicUsize,
    missed: AtomicUsize,
}

/// Every path was written once; or again with the same bytes, or over what was the beginning of
/// them.
fn no_object_was_changed(written: &[(String, Vec<u8>)]) -> Result<(), String> {
    let mut stored: BTreeMap<&str, &[u8]> = BTreeMap::new();
    for (path, bytes) in written {
        if let Some(before) = stored.insert(path, bytes)
            && !bytes.starts_with(before)
        {
            return Err(format!("{path} was written over"));
        }
    }
    Ok(())
}

impl Setting {
    fn case(&self, proxy: &Proxy, at: usize, case: &Case, tally: &Tally) -> Result<(), String> {
        let name = format!("c{at}");
        let (through, direct) = (self.place(Some(proxy), &name), self.place(None, &name));
        through.ok(case.backup.before());
        proxy.begin();
        proxy.taken();
        proxy.fault(case.number, case.fault.clone());
        let timeout = if case.fault == Fault::Hangs { "export DURA_TIMEOUT=3; " } else { "" };
        let command = case.backup.command(case.jobs);
        let Ended(code, _, err) = through.run(&format!("{timeout}{command}"));
        let (mut written, hit) = proxy.taken();
        proxy.begin();
        let Some(hit) = hit else {
            eprintln!("{case:?} came too late, status {code}");
            tally.missed.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        };
        let failed = |why: String| Err(format!("{hit}: {why}\n{err}"));
        // Where nothing goes along that the server could check a body with, a body that changed on
        // the way is found by verify.
        let unseen = case.fault == Fault::Flipped && hit.starts_with("PUT") && !self.checks;
        match code {
            0 => tally.at_once.fetch_add(1, Ordering::Relaxed),
            1 | 2 if !case.passes && err.contains("dura-") => {
                tally.rerun.fetch_add(1, Ordering::Relaxed)
            }
            code => return failed(format!("status {code}")),
        };
        let complete =
            direct.ok("dura-index bands \"$ARC\" | grep -c ' complete ' || true").trim() == "2";
        // Of a spool one band may fail that was there already.
        if complete != (code < 2) && !unseen && !(complete && case.backup == Backup::Move) {
            return failed(format!("status {code}, but complete is {complete}"));
        }
        if code == 2 {
            let Ended(code, _, err) = through.run(&command);
            written.extend(proxy.taken().0);
            if code != 0 && !unseen {
                return failed(format!("the rerun ends with {code}\n{err}"));
            }
            if code != 0 {
                // HEAD itself: nothing goes into that band any more, and a new one is begun.
                direct.ok(&format!(
                    "{FRESH}; dura-index diff -q --no-resume --full \"$ARC\" < listing > again"
                ));
                direct
                    .ok(&format!("{PACK} < again | dura-seal --parity 1 | dura-push -q \"$ARC\""));
            }
        }
        let Ended(_, left, _) =
            direct.run("[ ! -d spool-$CASE ] || find spool-$CASE -type f; rm -rf spool-$CASE");
        if !left.is_empty() && !unseen {
            return failed(format!("left in the spool: {left}"));
        }
        // A second write of HEAD, which only asks whether it is refused, may be the one that
        // changed on the way.
        written.retain(|(path, _)| !unseen || !hit.contains(path));
        no_object_was_changed(&written).or_else(failed)?;
        self.all_is_there(&direct, unseen).or_else(failed)
    }

    /// The archive verifies, or lacks no more than checksum lists for what an interrupted run left;
    /// both versions come back.
    fn all_is_there(&self, direct: &Place<'_>, damaged: bool) -> Result<(), String> {
        let Ended(code, out, err) = direct.run("dura-verify -v \"$ARC\"");
        // A band whose HEAD came to be damaged is left as it is, without TAIL; what it was to hold
        // is in the next one.
        let left = |out: &str, line: &str| {
            let band = line
                .strip_prefix("missing ")
                .and_then(|rest| rest.split_once("/TAIL:"))
                .map(|(band, _)| band);
            band.is_some_and(|band| out.contains(&format!("damaged {band}/HEAD:")))
        };
        let allowed = |line: &str| {
            let listed = line.starts_with("unlisted ") || line.starts_with("superseded ");
            listed || damaged && (line.starts_with("damaged ") || left(&out, line))
        };
        if !out.lines().all(allowed) || code > 1 {
            return Err(format!("verify ends with {code}\n{out}{err}"));
        }
        let tail = out.lines().any(|line| line.starts_with("damaged ") && line.contains("/TAIL"));
        if code == 1 && !tail {
            let Ended(_, _, said) =
                direct.run("dura-verify -q --repair \"$ARC\" | dura-push -q --replace \"$ARC\"");
            let Ended(code, still, err) = direct.run("dura-verify -q \"$ARC\"");
            let is_left = |line: &str| {
                line.starts_with("damaged ") && line.contains("/HEAD") || left(&out, line)
            };
            if code != 0 && !(damaged && still.lines().all(is_left)) {
                return Err(format!("verify ends with {code} after repair\n{said}{still}{err}"));
            }
        }
        let same = "rm -rf \"out-$CASE\"; mkdir \"out-$CASE\"; cd \"out-$CASE\"; code=0; dura-restore -q $BAND \"$ARC\" | tar -xpf - || code=$?; \
            cd ..; diff -r \"$TREE\" \"out-$CASE\"; rm -rf \"out-$CASE\"; exit $code";
        for (tree, band) in [("old", "--band 20260101T000000Z"), ("src", "")] {
            let Ended(code, out, err) =
                direct.run(&format!("set -e; TREE={tree}; BAND='{band}'; {same}"));
            // A TAIL that is damaged is told, in status 1.
            if code != 0 && !(tail && err.contains("/TAIL: damaged") && out.is_empty()) {
                return Err(format!("{tree} does not come back: {code}\n{out}{err}"));
            }
        }
        Ok(())
    }

    /// The requests of a backup that nothing happens to.
    fn requests(&self, backup: Backup) -> usize {
        let (proxy, name) = (self.proxy(), format!("clean-{backup:?}"));
        let through = self.place(Some(&proxy), &name);
        through.ok(backup.before());
        proxy.begin();
        through.ok(&backup.command(4));
        self.all_is_there(&self.place(None, &name), false).unwrap();
        proxy.begin().len()
    }
}

/// Works through numbered cases, several at once, for most of the time goes by waiting; fails with
/// all that went wrong.
fn each(
    what: &str,
    of: usize,
    work: impl Fn(&Proxy, usize) -> Result<(), String> + Sync,
    proxy: impl Fn() -> Proxy + Sync,
) {
    let (next, wrong) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                let proxy = proxy();
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    if at >= of {
                        return;
                    }
                    if let Err(error) = work(&proxy, at) {
                        eprintln!("{what} {at}: {error}");
                        wrong.lock().unwrap().push(error);
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{what}: {} of {of} went wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// Sweeps a backup; in the suite with one fault for each request, from `first` on, and for each
/// `stride`th of them.
fn sweep(setting: &Setting, backup: Backup, first: usize, stride: usize) {
    let requests = setting.requests(backup);
    assert!(requests > 20, "{requests}");
    let case = |number: usize, at: usize| {
        let (fault, passes) = FAULTS[at % FAULTS.len()].clone();
        Case { backup, number, fault, passes, jobs: [1, 4, 32][(number + at) % 3] }
    };
    let cases: Vec<Case> = if all() {
        (0..requests)
            .flat_map(|number| (0..FAULTS.len()).map(move |at| (number, at)))
            .map(|(number, at)| case(number, at))
            .collect()
    } else {
        (0..requests)
            .step_by(stride)
            .enumerate()
            .map(|(nth, number)| case(number, first + nth))
            .collect()
    };
    let tally = Tally::default();
    let what = format!("{backup:?}, {requests} requests");
    each(
        &what,
        cases.len(),
        |proxy, at| {
            let error = |error| format!("{:?}: {error}", cases[at]);
            setting.case(proxy, at, &cases[at], &tally).map_err(error)
        },
        || setting.proxy(),
    );
    eprintln!("{what}: {} cases, {tally:?}", cases.len());
    assert!(tally.missed.load(Ordering::Relaxed) * 2 < cases.len(), "{tally:?}");
}

fn moto() -> Setting {
    Setting::new(servers::moto(), Some(5), false)
}

fn rclone_s3() -> Setting {
    Setting::new(servers::rclone_s3(), None, true)
}

fn rclone_webdav() -> Setting {
    Setting::new(servers::rclone_webdav(), None, false)
}

#[test]
fn layers_on_a_server_that_keeps_conditions() {
    sweep(&moto(), Backup::Layer, 0, 8);
}

#[test]
fn resumes_on_a_server_that_keeps_conditions() {
    sweep(&moto(), Backup::Resume, 3, 9);
}

#[test]
fn layers_on_an_s3_server_that_overwrites() {
    sweep(&rclone_s3(), Backup::Layer, 6, 12);
}

#[test]
fn resumes_on_an_s3_server_that_overwrites() {
    sweep(&rclone_s3(), Backup::Resume, 2, 12);
}

#[test]
fn layers_on_a_webdav_server_that_overwrites() {
    sweep(&rclone_webdav(), Backup::Layer, 4, 12);
}

#[test]
fn resumes_on_a_webdav_server_that_overwrites() {
    sweep(&rclone_webdav(), Backup::Resume, 8, 12);
}

#[test]
fn spools_that_are_emptied_onto_servers() {
    for (setting, first) in [(moto(), 1), (rclone_s3(), 5), (rclone_webdav(), 9)] {
        sweep(&setting, Backup::Move, first, 17);
    }
}

/// A file that no test has made yet.
fn fresh(dir: &Path, name: &str) -> String {
    dir.join(name).to_str().unwrap().to_owned()
}
