//! `dura-job`: a configured backup, as a timer runs it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use super::util::gpg::{KEY, home};
use super::util::run::{Done, Shell, dura, scratch};
use super::util::tree::noise;

const JOB: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/bin/dura-job");

/// A source of some files, with names that need quoting.
fn place(name: &str) -> PathBuf {
    let dir = scratch(name);
    fs::create_dir_all(dir.join("src/a b")).unwrap();
    for n in 0..6 {
        fs::write(dir.join(format!("src/a b/f'{n}")), vec![n; 40_000]).unwrap();
    }
    fs::write(dir.join("src/left.iso"), "out").unwrap();
    dir
}

/// A configuration, with more settings behind the usual ones.
fn configure(dir: &Path, more: &str) {
    let text = format!(
        "SOURCE='{0}/src'\nARCHIVES='\n{0}/arc\n'\nRECIPIENTS='\n{KEY}\n'\nEXCLUDE='\n*.iso\n'\nCHECK=100\n\
         ON_FAILURE='cat >failed; echo \"$NAME $STATUS\" >>failed'\nON_SUCCESS='echo \"$NAME $STATUS\" >>succeeded'\n{more}\n",
        dir.display()
    );
    fs::write(dir.join("job.conf"), text).unwrap();
}

fn shell(dir: &Path, line: &str) -> Shell {
    let line = line.replace("dura-job", JOB);
    let own = |name: &str| dir.join(name);
    home()
        .with(dura(&line))
        .dir(dir)
        .var("HOME", dir)
        .var("XDG_CACHE_HOME", own("cache"))
        .var("XDG_STATE_HOME", own("state"))
}

fn job(dir: &Path, line: &str) -> Done {
    shell(dir, line).run()
}

fn bands(dir: &Path, archive: &str) -> Vec<String> {
    let Ok(entries) = fs::read_dir(dir.join(archive)) else { return Vec::new() };
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn text(dir: &Path, file: &str) -> String {
    fs::read_to_string(dir.join(file)).unwrap_or_default()
}

#[test]
fn a_job_backs_up_checks_drills_and_prunes() {
    for sh in ["dash", "bash", "busybox sh"] {
        let dir = place("job");
        configure(
            &dir,
            "DRILL=3\nPARITY=1\nKEEP='--keep-last 1'\nHIDE=7\nTIER=1\nBEFORE='date >>src/before'\nAFTER='echo $STATUS >>after'\n\
             TEXTFILE=metrics.prom",
        );
        for run in 1..=3 {
            let done =
                job(&dir, &format!("{sh} dura-job ./job.conf; code=$?; sleep 1; exit $code"));
            assert_eq!(done.code, 0, "{sh}, {run}: {}", done.report());
            // A timer mails what is said.
            assert_eq!(done.text(), "", "{sh}");
            assert_eq!(done.stderr, "", "{sh}");
        }
        // Tier 1 stands on the full band, which stays for that.
        let left = bands(&dir, "arc");
        assert!(left.len() == 3 && left[0] == ".expired", "{sh}: {left:?}");
        assert_eq!(text(&dir, "succeeded"), "job 0\n".repeat(3));
        assert_eq!(text(&dir, "after"), "0\n".repeat(3));
        let metrics = text(&dir, "metrics.prom");
        assert!(metrics.contains("dura_job_last_status{job=\"job\"} 0\n"), "{metrics}");
        let stored = metrics.lines().find_map(|line| {
            line.strip_prefix("dura_job_last_stored_bytes{job=\"job\"} ")?.parse::<u64>().ok()
        });
        assert!(stored.is_some_and(|stored| stored > 100), "{metrics}");
        let line = "mkdir out; dura-restore arc | tar -xpf - -C out; cmp src/before out/before && \
                    cmp \"src/a b/f'5\" \"out/a b/f'5\" && [ ! -e out/left.iso ]";
        home().with(dura(line)).dir(&dir).ok();
        let done = job(&dir, "dura-job --check-age 1 ./job.conf");
        assert_eq!(done.code, 0, "{}", done.report());
        let done = job(
            &dir,
            "dura-job --check-age 0 ./job.conf; echo $?; rm -r arc/*; dura-job --check-age 9 ./job.conf",
        );
        assert_eq!((done.code, done.text().as_str()), (1, "1\n"), "{}", done.report());
        done.tells("over 0 hours old").tells("no complete band in any archive");
    }
}

/// What -n prints is what a person can type.
#[test]
fn what_is_printed_runs() {
    let dir = place("job-printed");
    configure(&dir, "SIGN=\nPARITY=2\nEXCLUDE_CACHES=yes");
    let done =
        job(&dir, "dura-job -n ./job.conf >typed; sh -e typed; dura-index bands arc | wc -l");
    assert_eq!(
        (done.code, done.text().trim()),
        (0, "1"),
        "{}\n{}",
        text(&dir, "typed"),
        done.report()
    );
    assert!(text(&dir, "typed").contains("--exclude '*.iso'"), "{}", text(&dir, "typed"));
}

#[test]
fn the_example_is_a_configuration() {
    let dir = place("job-example");
    for (edit, code, said) in [
        ("", 0, ""),
        ("; /^#STDIN/d; s/^#\\([A-Z_]*=\\)/\\1/", 0, ""),
        ("; /^SOURCE=/d; s/^#\\([A-Z_]*=\\)/\\1/", 0, ""),
        ("; s/^EXCLUDE=/EXCLUED=/", 2, "no such setting: EXCLUED"),
        ("; s/^TIER=/tier=/", 2, "no such setting: tier"),
        ("; s/^TIER=/tmp=/", 2, "no such setting: tmp"),
        ("; s/^EXCLUDE_CACHES=yes/EXCLUDE_CACHES=1/", 2, "EXCLUDE_CACHES is yes or no, not 1"),
        ("; s/^CHECK=1/CHECK=all/", 2, "CHECK is a percentage"),
        ("; s/^#FULL_EVERY=90/FULL_EVERY=3m/", 2, "FULL_EVERY is a number"),
        ("; s/^SOURCE=.*//", 2, "SOURCE is not set"),
        ("; s/^TIER=calendar/TIER=$(/", 2, "not shell variables"),
    ] {
        let line = format!(
            "dura-job --example | sed 's,^SOURCE=.*,SOURCE=src,; s,^/mnt/backup,arc,{edit}' >x.conf; dura-job -n ./x.conf"
        );
        let done = job(&dir, &line);
        assert_eq!(done.code, code, "{edit}: {}", done.report());
        done.tells(said);
        assert!(code == 2 || done.text().contains("dura-scan"), "{edit}: {}", done.report());
    }
    job(&dir, "dura-job nowhere").tells("no such configuration").tells("dura-job --example");
    let done = job(
        &dir,
        "mkdir -p .config/dura; mv x.conf .config/dura/x.conf; chmod 666 .config/dura/x.conf; dura-job x",
    );
    assert_eq!(done.code, 2);
    done.tells("everybody may write to it");
}

/// One run at a time; nothing is stored for a disk that is not there, and that is no failure.
#[test]
fn not_now() {
    let dir = place("job-not-now");
    configure(&dir, "BEFORE='sleep 30 >/dev/null 2>&1 & echo $! >sleeper'");
    let done = job(&dir, "dura-job ./job.conf");
    assert_eq!(done.code, 0, "{}", done.report());
    // What was left behind does not hold the lock.
    configure(&dir, "BEFORE='touch began; while [ ! -e go ]; do sleep 0.1; done'");
    let line = "kill $(cat sleeper); dura-job ./job.conf & while [ ! -e began ]; do sleep 0.1; done; \
                dura-job ./job.conf; echo $?; touch go; wait $!; echo $?";
    let done = job(&dir, line);
    assert_eq!(done.text(), "75\n0\n", "{}", done.report());
    done.tells("job: is running already");
    let count = bands(&dir, "arc").len();
    configure(&dir, "");
    let done = job(
        &dir,
        "mv arc away; dura-job ./job.conf; code=$?; [ ! -e arc ] || exit 9; mv away arc; exit $code",
    );
    assert_eq!(done.code, 75, "{}", done.report());
    done.tells("arc: not there now");
    assert_eq!(bands(&dir, "arc").len(), count);
}

#[test]
fn hooks_that_fail() {
    let dir = place("job-hooks");
    configure(&dir, "BEFORE='echo no dump >&2; false'\nAFTER='echo $STATUS >after'");
    let done = job(&dir, "dura-job ./job.conf");
    assert_eq!(done.code, 2, "{}", done.report());
    done.tells("BEFORE failed: nothing is backed up");
    assert!(bands(&dir, "arc").is_empty());
    assert_eq!(text(&dir, "after"), "2\n");
    let failed = text(&dir, "failed");
    assert!(failed.contains("no dump") && failed.ends_with("job 2\n"), "{failed}");
    configure(&dir, "AFTER='exit 3'");
    let done = job(&dir, "dura-job ./job.conf");
    assert_eq!(done.code, 1, "{}", done.report());
    done.tells("AFTER failed");
}

/// Whichever program dies, the job does not call it done.
#[test]
fn each_stage_is_killed() {
    let dir = place("job-killed");
    configure(&dir, "");
    fs::create_dir(dir.join("bin")).unwrap();
    for program in ["dura-scan", "dura-index", "dura-pack", "dura-seal", "dura-push"] {
        let shim = dir.join("bin").join(program);
        fs::write(&shim, "#!/bin/sh\nkill -9 $$\n").unwrap();
        fs::set_permissions(&shim, PermissionsExt::from_mode(0o755)).unwrap();
        let done = job(&dir, "PATH=$PWD/bin:$PATH dura-job ./job.conf");
        assert_eq!(done.code, 2, "{program}: {}", done.report());
        assert!(text(&dir, "failed").ends_with("job 2\n"), "{program}");
        fs::remove_file(shim).unwrap();
    }
    assert_eq!(job(&dir, "dura-job ./job.conf").code, 0);
}

/// A job that is asked to end takes its programs along.
#[test]
fn asked_to_end() {
    let dir = place("job-ends");
    // A source that never ends to be listed.
    configure(&dir, "");
    let shim = dir.join("bin/dura-scan");
    fs::create_dir(dir.join("bin")).unwrap();
    fs::write(&shim, "#!/bin/sh\necho $$ >scanning\nexec sleep 60\n").unwrap();
    fs::set_permissions(&shim, PermissionsExt::from_mode(0o755)).unwrap();
    let began = Instant::now();
    let line = "PATH=$PWD/bin:$PATH dura-job ./job.conf & while [ ! -s scanning ]; do sleep 0.1; done; sleep 0.5; \
                kill $!; wait $!; echo $?; kill -0 $(cat scanning) 2>/dev/null || echo gone";
    let done = job(&dir, line);
    assert_eq!(done.text(), "2\ngone\n", "{}", done.report());
    assert!(began.elapsed() < Duration::from_secs(40));
    done.tells("stopped by a signal");
    assert!(text(&dir, "failed").ends_with("job 2\n"));
}

/// An archive that was away gets what it lacks; a file that does not come back as it is fails the
/// drill.
#[test]
fn two_archives_and_a_drill() {
    let dir = place("job-two");
    configure(&dir, &format!("ARCHIVES='{0}/arc\n{0}/two'\nDRILL=6\nCHECK=0", dir.display()));
    assert_eq!(job(&dir, "dura-job ./job.conf").code, 0);
    let done = job(
        &dir,
        "mv two away; echo 1 >src/one; sleep 1; dura-job ./job.conf; code=$?; mv away two; exit $code",
    );
    assert_eq!(done.code, 1, "{}", done.report());
    done.tells("two: not there now");
    let done = job(&dir, "echo 2 >src/two; sleep 1; dura-job ./job.conf");
    assert_eq!(done.code, 0, "{}", done.report());
    assert_eq!(bands(&dir, "two"), bands(&dir, "arc"));
    assert_eq!(bands(&dir, "two").len(), 3);
    // The same size and time, and another content.
    let line = "touch -r \"src/a b/f'1\" stamp; head -c 40000 /dev/zero | tr '\\0' x >\"src/a b/f'1\"; \
                touch -r stamp \"src/a b/f'1\"; dura-job ./job.conf";
    let _ = job(&dir, line);
    let gone = Command::new("sh").current_dir(&dir).args(["-c", "rm arc/*/*/*.tar*"]).status();
    assert!(gone.unwrap().success());
    let done = job(&dir, "dura-job ./job.conf");
    assert_ne!(done.code, 0, "{}", done.report());
    done.tells("the drill failed");
}

/// A run that UNTIL has ended is none that failed, if something of it is stored: nothing is checked
/// and removed, and the next run continues. Its events are there for others, too.
#[test]
fn a_run_that_ends_at_its_time() {
    let dir = place("job-until");
    for n in 0..6 {
        fs::write(dir.join(format!("src/noise{n}")), noise(n, 400_000)).unwrap();
    }
    configure(&dir, "UNTIL=06:30\nKEEP='--keep-last 1'\nPACK_OPTIONS='--block-size 100k'");
    let printed = job(&dir, "dura-job -n ./job.conf").text();
    assert!(printed.contains("dura-push --until 06:30 "), "{printed}");
    // What dura-push does at this time, now (tests/push.rs waits for it): an event, and status 2.
    fs::create_dir(dir.join("bin")).unwrap();
    let shim = dir.join("bin/dura-push");
    let at = |bytes: u32| {
        let text = format!(
            "#!/bin/sh\nwhile [ \"$1\" != --events ]; do shift; done\n\
             echo '{{\"event\":\"ending\"}}' >>\"$2\"\n\
             head -c {bytes} | PATH=${{PATH#*:}} dura-push \"$@\" 2>>pushed\nexit 2\n"
        );
        fs::write(&shim, text).unwrap();
        fs::set_permissions(&shim, PermissionsExt::from_mode(0o755)).unwrap();
        job(&dir, "DURA_EVENTS=$PWD/events PATH=$PWD/bin:$PATH dura-job ./job.conf")
    };
    // HEAD and notes alone are no progress.
    let done = at(90_000);
    assert_eq!(done.code, 2, "{}", done.report());
    assert!(text(&dir, "failed").ends_with("job 2\n"));
    let done = at(2_000_000);
    assert_eq!(done.code, 0, "{}\n{}", done.report(), text(&dir, "pushed"));
    done.tells("job: it is 06:30: ended with a band that is not complete: the next run continues");
    assert!(text(&dir, "succeeded").ends_with("job 0\n"));
    assert_eq!(bands(&dir, "arc").len(), 1);
    assert!(!dir.join("state/dura/jobs/job.success").exists());
    let events = text(&dir, "events");
    for tool in ["dura-scan", "dura-index", "dura-pack", "dura-seal", "dura-push"] {
        assert!(events.contains(&format!("\"tool\":\"{tool}\"")), "{events}");
    }
    assert!(!events.contains("dura-verify") && !events.contains("dura-prune"), "{events}");
    // A band that went on is looked at once more, for what has changed meanwhile.
    let done = job(&dir, "dura-job ./job.conf");
    assert_eq!(done.code, 0, "{}", done.report());
    let has_tail = |band: &String| dir.join("arc").join(band).join("TAIL").exists();
    assert!(bands(&dir, "arc").iter().all(has_tail), "{}", done.report());
    assert!(dir.join("state/dura/jobs/job.success").exists());
    for bad in ["6:30", "24:00", "now"] {
        configure(&dir, &format!("UNTIL={bad}"));
        let done = job(&dir, "dura-job ./job.conf");
        assert_eq!(done.code, 2);
        done.tells("UNTIL is a time such as 06:30");
    }
}

/// A dump, and one that fails.
#[test]
fn what_a_command_prints() {
    let dir = scratch("job-dump");
    let configure = |lines: &str| {
        let text = format!(
            "ARCHIVES='{}/arc'\nRECIPIENTS={KEY}\nCHECK=100\nDRILL=1\nTEXTFILE=metrics\n{lines}\n",
            dir.display()
        );
        fs::write(dir.join("job.conf"), text).unwrap();
    };
    let dump = "STDIN_NAME=shop.sql\nSTDIN_COMMAND='seq 300000; exit $(cat status)'";
    configure(dump);
    for status in ["0", "0", "3"] {
        fs::write(dir.join("status"), status).unwrap();
        let done = job(&dir, "dura-job ./job.conf; code=$?; sleep 1; exit $code");
        assert_eq!(done.code, if status == "0" { 0 } else { 2 }, "{}", done.report());
        assert_eq!(done.stderr.contains("exit status: 3"), status == "3", "{}", done.report());
    }
    let restored = job(&dir, "dura-restore arc | tar -xOf - | cmp - <(seq 300000)");
    assert_eq!(restored.code, 0, "{}", restored.report());
    let shown = job(&dir, "dura-job -n ./job.conf");
    assert!(
        shown.text().starts_with("dura-scan --stdin shop.sql --stdin-command "),
        "{}",
        shown.report()
    );
    for (lines, said) in [
        (format!("SOURCE=src\n{dump}"), "SOURCE is set, and so is STDIN_NAME"),
        ("STDIN_NAME=shop.sql".to_owned(), "STDIN_NAME and STDIN_COMMAND are set together"),
        (String::new(), "SOURCE is not set"),
    ] {
        configure(&lines);
        let done = job(&dir, "dura-job ./job.conf");
        assert_eq!(done.code, 2, "{lines}");
        assert!(done.stderr.contains(said), "{lines}: {}", done.report());
    }
}
