//! The commands in the man pages, run as they stand there; those of README.md are in fresh_root.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::util::gpg::{KEY, OTHER, home};
use super::util::run::{Done, dura, scratch};
use super::util::snapshot::{EXACT, assert_same, take};

/// The band that the pages speak of.
const BAND: &str = "20261101T020000Z";

/// A computer of one's own: a home directory, a place for backups, and a place for what is
/// temporary.
struct Sandbox {
    dir: PathBuf,
}

impl Sandbox {
    fn new() -> Sandbox {
        let dir = scratch("examples");
        for folder in ["home/node_modules", "home/films", "backup", "tmp", "bin"] {
            fs::create_dir_all(dir.join(folder)).unwrap();
        }
        for (name, text) in [
            ("report.txt", "all is well\n"),
            ("films/a.iso", "moving\n"),
            ("node_modules/x", "x\n"),
            ("a[b] *?", "odd\n"),
        ] {
            fs::write(dir.join("home").join(name), text).unwrap();
        }
        fs::write(dir.join("bin/pg_dump"), "#!/bin/sh\necho \"-- dump of $1\"\n").unwrap();
        for (name, mode) in [("home/report.txt", 0o640), ("bin/pg_dump", 0o755)] {
            fs::set_permissions(dir.join(name), fs::Permissions::from_mode(mode)).unwrap();
        }
        Sandbox { dir }
    }

    /// Runs a script with the places and keys of this computer in place of those of the pages.
    fn run(&self, script: &str) -> Done {
        let script = script
            .replace("/mnt/", "$HERE/")
            .replace("/var/tmp/", "$HERE/tmp/")
            .replace(" /tmp/out", " $HERE/out")
            .replace(" /tmp/", " $HERE/tmp/")
            .replace(" /tmp ", " $HERE/tmp ")
            .replace("=/tmp/", "=$HERE/tmp/")
            .replace("me@example.org", KEY)
            .replace("safe@example.org", OTHER);
        let script = format!(
            "set -e\nless() {{ cat; }}\nbase64() {{ od -An -tx1; }}\npsql() {{ cat; }}\n\
             PATH=$HERE/bin:$PATH\n{script}"
        );
        home()
            .with(
                dura(&script)
                    .var("HERE", &self.dir)
                    .var("HOME", self.dir.join("home"))
                    .dir(&self.dir.join("home")),
            )
            .ok()
    }

    fn bands(&self) -> usize {
        fs::read_dir(self.dir.join("backup")).unwrap().count()
    }
}

fn page(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("man").join(name)).unwrap()
}

/// The commands of a section or subsection: what stands in literal displays and in lines displayed
/// alone.
fn commands(page: &str, heading: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut lines = page.lines().skip_while(|line| *line != heading).skip(1);
    while let Some(line) = lines.next() {
        if line.starts_with(".Sh ") || (line.starts_with(".Ss ") && heading.starts_with(".Ss ")) {
            break;
        } else if let Some(alone) = line.strip_prefix(".Dl ") {
            found.push(alone.replace("\\e", "\\"));
        } else if line.starts_with(".Bd -literal") {
            let block: Vec<String> = lines
                .by_ref()
                .take_while(|line| *line != ".Ed")
                .map(|line| line.replace("\\e", "\\"))
                .collect();
            found.push(block.join("\n"));
        }
    }
    assert!(!found.is_empty(), "no commands below {heading}");
    found
}

#[test]
fn examples_of_the_programs_run() {
    for (name, bands) in
        [("dura-scan.1", 1), ("dura-pack.1", 2), ("dura-seal.1", 3), ("dura-push.1", 4)]
    {
        let sandbox = Sandbox::new();
        for script in commands(&page(name), ".Sh EXAMPLES") {
            // Bands are named by the second, and these come faster.
            let script =
                script.replace("dura-pack", &format!("dura-pack --band {}", next_band(&sandbox)));
            sandbox.run(&script);
        }
        assert_eq!(sandbox.bands(), bands, "{name}");
    }
}

/// A name that no band has yet.
fn next_band(sandbox: &Sandbox) -> String {
    format!("202611{:02}T020000Z", 1 + sandbox.bands())
}

#[test]
fn examples_of_the_overview_run() {
    let sandbox = Sandbox::new();
    for heading in [".Ss The pipeline", ".Sh EXAMPLES"] {
        for script in commands(&page("dura.7"), heading) {
            sandbox.run(
                &script.replace("dura-pack", &format!("dura-pack --band {}", next_band(&sandbox))),
            );
        }
    }
    assert_eq!(sandbox.bands(), 4);
}

/// What looks into an archive, checks it, removes from it and restores from it; and a source that
/// several pipelines share.
#[test]
fn examples_with_an_archive_run() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.dir.join("home/Documents")).unwrap();
    fs::write(sandbox.dir.join("home/Documents/letter"), "dear\n").unwrap();
    sandbox.run(&format!(
        "dura-scan ~ | SOURCE_DATE_EPOCH=1793498400 dura-pack | dura-seal -r {KEY} | dura-push /mnt/backup
         [ -d /mnt/backup/{BAND} ]
         mkdir $HERE/out $HERE/new"
    ));
    // These are run elsewhere, or need what is not here.
    let elsewhere = ["rm -r /mnt", "rsrepair", "--signed-by", "gpg --verify"];
    let mut ran = 0;
    for (name, heading) in [
        ("dura-index.1", ".Sh EXAMPLES"),
        ("dura-restore.1", ".Sh EXAMPLES"),
        ("dura-verify.1", ".Sh EXAMPLES"),
        ("dura-prune.1", ".Sh EXAMPLES"),
        ("dura.7", ".Ss Layers"),
        ("dura.7", ".Ss After an interruption"),
        ("dura.7", ".Ss Looking into an archive"),
        ("dura.7", ".Ss Keeping and removing"),
        ("dura.7", ".Ss When something is damaged"),
        ("dura.7", ".Ss Several hosts, several writers"),
    ] {
        for script in commands(&page(name), heading) {
            if elsewhere.iter().any(|word| script.contains(word)) {
                continue;
            }
            let script = script.replace("/srv.new", "$HERE/new").replace("/srv", "~");
            // Bands are named by the second.
            let before = match script.as_str() {
                it if it.contains("dura-pack") => "sleep 1.1\n",
                it if it.contains("--against") => "cp -a /mnt/backup /mnt/second\n",
                _ => "",
            };
            sandbox.run(&format!("{before}{script}"));
            ran += 1;
        }
    }
    assert!(ran > 22, "{ran}");
    let home = take(&sandbox.dir.join("home"));
    assert_same("together", &home, &take(&sandbox.dir.join("new")), EXACT);
}

#[test]
fn the_worked_recovery_brings_everything_back() {
    let sandbox = Sandbox::new();
    sandbox.run(&format!(
        "dura-scan ~ | dura-pack --band {BAND} | dura-seal -r {KEY} | dura-push /mnt/backup"
    ));
    let blocks = commands(&page("dura.7"), ".Ss Recovery by hand");

    let script = blocks.iter().find(|block| block.contains("recover.sh")).unwrap();
    sandbox.run(script);
    let before = take(&sandbox.dir.join("home"));
    assert_same("recover.sh", &before, &take(&sandbox.dir.join("out")), EXACT);
    fs::remove_dir_all(sandbox.dir.join("out")).unwrap();

    let typed: Vec<&String> = blocks
        .iter()
        .filter(|block| !block.contains("recover.sh") && !block.contains("--import"))
        .collect();
    assert!(typed.len() >= 6, "{typed:?}");
    let typed: Vec<String> = typed.iter().map(|block| block.to_string()).collect();
    let (compare, others) = typed.split_last().unwrap();
    let done = sandbox.run(&others.join("\n"));
    assert!(done.text().contains("./report.txt"), "{}", done.report());
    assert!(sandbox.dir.join("tmp/report.txt").exists());
    assert_same("by hand", &before, &take(&sandbox.dir.join("out")), EXACT);
    let open = typed.iter().find(|block| block.contains("open() {")).unwrap();
    let done = sandbox.run(&format!("cd /mnt/backup/{BAND}\n{open}\n{compare}"));
    assert_eq!(done.text(), "", "mtree found differences");
}

/// The text of a page or program, with the lines of a command as one and its marks as typed.
fn joined(text: &str) -> String {
    let text = text.replace("\\e", "\\").replace("|\\n\\\n    \\x20", "| ").replace("\\\n", " ");
    text.replace("|\n", "| ").replace(['`', '(', ')', '"'], " ")
}

/// What tar is told where a command extracts what was backed up.
fn extractions(text: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for line in joined(text).lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        for at in (0..words.len()).filter(|at| words[*at] == "tar") {
            // The others have other options; and objects are files like any.
            let other = at > 0 && words[at - 1] == "busybox";
            let objects = words[..at].iter().any(|word| ["dura-pack", "dura-seal"].contains(word));
            let options = words[at + 1..].iter().take_while(|word| !["-", "|"].contains(*word));
            let options: Vec<String> = options.map(|word| word.to_string()).collect();
            let is_mode = |word: &String| {
                let letters = word.trim_start_matches('-');
                // With O it writes no file.
                let extracts = letters.contains('x') && !letters.contains('O');
                extracts && letters.ends_with('f') && letters.len() < 6
            };
            if !other && !objects && options.iter().any(is_mode) {
                found.push(options);
            }
        }
    }
    found
}

/// Whoever types an example gets back what was there, with ACLs and attributes and no others: the
/// options are the same in all of them, and every way to a part keeps what is there.
#[test]
fn tar_is_told_the_same_everywhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files: Vec<PathBuf> = ["README.md", "lib/notes/RECOVER.txt", "scripts/restore"]
        .iter()
        .map(|name| root.join(name))
        .collect();
    for folder in ["man", "docs", "lib/cli", "lib/ops"] {
        files.extend(fs::read_dir(root.join(folder)).unwrap().map(|entry| entry.unwrap().path()));
    }
    // Measurements tell what was measured.
    files.retain(|file| file.is_file() && !file.ends_with("docs/speed.md"));
    let (mut seen, mut parts) = (0, 0);
    for file in files {
        for options in extractions(&fs::read_to_string(&file).unwrap()) {
            let said = options.join(" ");
            let exact = "--xattrs --xattrs-include='*' --acls ";
            let rest = said.replacen(exact, "", 1);
            // GNU tar cannot do it as an ordinary user, and the page says so.
            if file.ends_with("RECOVER.txt") && said == "--delay-directory-restore -xpf" {
                continue;
            }
            assert!(said.contains(exact), "{}: tar {said}", file.display());
            let known = [
                "-xpf",
                "--no-overwrite-dir -xpf",
                "--numeric-owner --delay-directory-restore -xpf",
                "-b 512 ${keep[@]} -xpf",
            ];
            assert!(known.contains(&rest.as_str()), "{}: tar {said}", file.display());
            parts += u32::from(rest.contains("--no-overwrite-dir"));
            seen += 1;
        }
    }
    assert!(seen >= 12 && parts >= 2, "{seen} {parts}");
    let script = fs::read_to_string(root.join("scripts/restore")).unwrap();
    assert!(script.contains("keep=(--no-overwrite-dir) read+=(--into \"$dest\")"));
}
