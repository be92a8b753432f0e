//! Standard streams that are closed, open the wrong way round, full, or not ready: nothing is lost
//! in silence, and nothing ends for a reason that passes.

use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::time::Duration;

use rustix::fs::OFlags;

use crate::util::run::{Done, dura, scratch};
use crate::util::small;
use crate::util::tree::noise;

/// Each program with what makes it succeed, reading `in` if it reads its standard input.
fn programs() -> (std::path::PathBuf, Vec<(&'static str, bool)>) {
    let dir = scratch("streams");
    fs::create_dir(dir.join("src")).unwrap();
    fs::write(dir.join("src/f"), "x").unwrap();
    fs::write(dir.join("listing"), small::listing()).unwrap();
    fs::write(dir.join("packed"), small::packed()).unwrap();
    fs::write(dir.join("empty"), "").unwrap();
    fs::write(dir.join("sealed"), small::sealed()).unwrap();
    dura("dura-push archive < sealed").dir(&dir).ok();
    let programs = vec![
        ("dura-scan src", false),
        ("dura-index diff --full archive < listing", true),
        ("dura-index bands archive", false),
        ("dura-index ls archive", false),
        ("dura-pack < listing", true),
        ("dura-seal < packed", true),
        ("dura-push other < sealed", true),
        ("dura-prune archive < empty", true),
        ("dura-restore archive", false),
        ("dura-verify archive", false),
        ("dura-scan --help", false),
        ("dura-pack --version", false),
    ];
    (dir, programs)
}

#[track_caller]
fn refuses(what: &str, done: &Done, text: &str) {
    assert_eq!(done.code, 2, "{what}\n{}", done.report());
    assert!(done.stderr.contains(text), "{what}\n{}", done.report());
}

#[test]
fn closed_streams_are_refused() {
    let (dir, programs) = programs();
    for (program, reads) in programs {
        let run = |line: String| dura(&line).dir(&dir).run();
        assert_eq!(run(format!("{program} > /dev/null")).code, 0, "{program}");
        fs::remove_dir_all(dir.join("other")).ok();
        refuses(program, &run(format!("{program} >&-")), ": standard output is closed");
        refuses(program, &run(format!("{program} 1< src/f")), "standard output is not open");
        // These have nothing to write.
        if !["dura-push", "dura-verify", "dura-prune"].iter().any(|it| program.starts_with(it)) {
            refuses(program, &run(format!("{program} > /dev/full")), "no space left on device");
        }
        let program = program.split(" <").next().unwrap();
        if reads {
            let text = "standard input is closed";
            refuses(program, &run(format!("{program} <&- > /dev/null")), text);
            let text = "standard input is not open";
            refuses(program, &run(format!("{program} 0> out > /dev/null")), text);
        } else {
            assert_eq!(run(format!("{program} <&- > /dev/null")).code, 0, "{program}");
        }
        assert!(!dir.join("other").exists(), "something was pushed");
    }
}

/// The streams of a pipe that others have set to O_NONBLOCK, stderr too.
fn nonblocking(stream: impl std::os::fd::AsFd) {
    let flags = rustix::fs::fcntl_getfl(&stream).unwrap();
    rustix::fs::fcntl_setfl(&stream, flags | OFlags::NONBLOCK).unwrap();
}

/// Input that comes late, output that is taken late: waited for.
#[test]
fn streams_that_are_not_ready_are_waited_for() {
    let dir = scratch("late");
    let run = |line: &str, input: &[u8], dir: &Path| {
        let (reader, mut writer) = std::io::pipe().unwrap();
        nonblocking(&reader);
        let (mut taken, out) = std::io::pipe().unwrap();
        nonblocking(&out);
        let child = dura(line).dir(dir).stdin(reader).stdout(out).start();
        let input = input.to_vec();
        let giver = std::thread::spawn(move || {
            let (first, rest) = input.split_at(input.len() / 2);
            std::thread::sleep(Duration::from_millis(100));
            writer.write_all(first).unwrap();
            std::thread::sleep(Duration::from_millis(100));
            writer.write_all(rest).unwrap();
        });
        std::thread::sleep(Duration::from_millis(400));
        let mut came = Vec::new();
        taken.read_to_end(&mut came).unwrap();
        giver.join().unwrap();
        let done = crate::util::run::finish(child, line);
        assert_eq!(done.code, 0, "{}", done.report());
        came
    };
    let packed = run(&format!("exec env {}", small::pack(small::ID)), small::listing(), &dir);
    let sealed = dura("dura-seal").input(&packed).ok().stdout;
    assert!(run("exec dura-seal", &packed, &dir) == sealed, "seal");
    run("exec dura-push archive", &sealed, &dir);
    let restored = run("exec dura-restore archive", b"", &dir);
    assert!(restored == dura("dura-restore archive").dir(&dir).ok().stdout, "restore");
}

/// Messages wait, too: none is lost where stderr is full.
#[test]
fn messages_wait_for_whoever_reads_them() {
    let dir = scratch("messages");
    for n in 0..3000 {
        fs::create_dir_all(dir.join(format!("src/{n:04}-a-name-that-makes-the-line-long")))
            .unwrap();
    }
    let (mut read, stderr) = std::io::pipe().unwrap();
    nonblocking(&stderr);
    let line = "exec dura-scan -v src > listing 2>&1 2>&0";
    let child = dura(line).dir(&dir).stdin(stderr).start();
    std::thread::sleep(Duration::from_millis(300));
    let mut said = String::new();
    read.read_to_string(&mut said).unwrap();
    assert_eq!(crate::util::run::finish(child, line).code, 0);
    assert_eq!(said.lines().filter(|line| line.contains("that-makes")).count(), 3000);
}

/// A reader draws what it does on a terminal, within its width, and leaves nothing of it behind.
#[test]
fn what_is_drawn_on_a_terminal() {
    let dir = scratch("drawn");
    fs::create_dir(dir.join("src")).unwrap();
    for n in 0..4 {
        fs::write(dir.join(format!("src/{n}")), noise(n, 1_100_000)).unwrap();
    }
    dura("dura-scan -q src | dura-pack -q --block-size 1M | dura-seal -q | dura-push -q a")
        .dir(&dir)
        .ok();
    for (command, word) in [
        ("dura-verify --limit-rate 2M a", "read"),
        ("dura-restore --no-cache --limit-rate 2M a > tar", "written"),
    ] {
        for columns in [20, 60] {
            let line =
                format!("SHELL=/bin/sh script -qec 'stty cols {columns}; {command}' /dev/null");
            let done = dura(&line).dir(&dir).run();
            assert_eq!(done.code, 0, "{}", done.report());
            let text = done.text();
            let plain: Vec<String> = text.split(['\r', '\n']).map(without_marks).collect();
            let drawn: Vec<&String> = plain
                .iter()
                .filter(|line| line.contains(" object") || line.contains(" entr"))
                .collect();
            let drawn: Vec<&&String> =
                drawn.iter().filter(|line| !line.contains("found")).collect();
            assert!(!drawn.is_empty(), "{command}, {columns}: {text:?}");
            assert!(
                drawn.iter().all(|line| line.chars().count() <= columns),
                "{command}: {drawn:?}"
            );
            assert!(columns == 20 || drawn.iter().any(|line| line.contains(word)), "{drawn:?}");
            assert!(!text.contains("stored"), "{text:?}");
        }
    }
    // Nothing of it where stderr is no terminal, or is not wanted.
    let done = dura("dura-verify --limit-rate 2M a").dir(&dir).run();
    assert_eq!(done.stderr.lines().count(), 1, "{}", done.report());
    let quiet = "SHELL=/bin/sh script -qec 'dura-verify -q --limit-rate 2M a' /dev/null";
    assert_eq!(dura(quiet).dir(&dir).run().text().trim(), "");
}

/// A line without what moves the cursor.
fn without_marks(line: &str) -> String {
    let mut text = String::new();
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\x1b' => drop(letters.find(char::is_ascii_alphabetic)),
            letter => text.push(letter),
        }
    }
    text.trim_end().to_owned()
}
