//! Installing: by script, and as a Debian package; completions; units of systemd.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use walkdir::WalkDir;

use super::util::run::{programs, scratch};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn run(program: &str, args: &[&str]) -> Output {
    let mut command = Command::new(program);
    command.args(args).env("SOURCE_DATE_EPOCH", "1800000000");
    command.output().unwrap_or_else(|error| panic!("{program}: {error}; run scripts/setup"))
}

fn ok(program: &str, args: &[&str]) -> String {
    let out = run(program, args);
    assert!(out.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

fn files(below: &Path) -> BTreeSet<String> {
    let entries = WalkDir::new(below).into_iter().map(Result::unwrap);
    let files = entries.filter(|entry| !entry.file_type().is_dir());
    files.map(|entry| entry.path().strip_prefix(below).unwrap().display().to_string()).collect()
}

/// The names of the programs, by what is built.
fn names() -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(programs())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("dura-"))
        .collect();
    names.sort();
    assert!(names.len() > 6, "{names:?}");
    names
}

/// The long options in a help text, and the subcommands.
fn in_help(program: &Path) -> (BTreeSet<String>, Vec<String>) {
    let help = ok(program.to_str().unwrap(), &["--help"]);
    let options = help
        .lines()
        .filter(|line| line.trim_start().starts_with('-'))
        .collect::<Vec<_>>()
        .join("\n");
    let options = options
        .split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'))
        .filter(|word| word.starts_with("--") && word.len() > 3)
        .map(str::to_owned)
        .collect();
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let commands = commands.take_while(|line| !line.is_empty());
    let commands = commands.filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    (
        options,
        commands.filter(|name| !name.is_empty() && *name != "help").map(str::to_owned).collect(),
    )
}

fn install(dest: &Path, more: &[&str]) {
    let (script, dest) = (format!("{ROOT}/scripts/install"), dest.to_str().unwrap());
    let programs = programs().to_str().unwrap();
    ok(&script, &[&["--programs", programs, "--destdir", dest], more].concat());
}

#[test]
fn by_script_and_gone_again() {
    let dest = scratch("install");
    fs::create_dir_all(dest.join("opt/d/bin")).unwrap();
    fs::write(dest.join("opt/d/bin/other"), "of somebody else").unwrap();
    // A second time over the first.
    install(&dest, &["--prefix", "/opt/d"]);
    install(&dest, &["--prefix=/opt/d"]);
    let (there, below) = (files(&dest), dest.join("opt/d"));
    // By a name of its own it is none of them.
    let out = run(below.join("bin/dura").to_str().unwrap(), &["--help"]);
    let said = String::from_utf8(out.stderr).unwrap();
    assert_eq!(out.status.code(), Some(2), "{said}");
    let all = fs::metadata(below.join("bin/dura")).unwrap().ino();
    for name in names() {
        let program = below.join("bin").join(&name);
        assert_eq!(fs::metadata(&program).unwrap().ino(), all, "{name} takes room of its own");
        assert!(said.contains(&name), "{said}");
        assert!(ok(program.to_str().unwrap(), &["--version"]).starts_with(&name));
        assert!(there.contains(&format!("opt/d/share/man/man1/{name}.1")), "{name}");
        let (options, commands) = in_help(&program);
        for (shell, file) in [
            ("bash", format!("share/bash-completion/completions/{name}")),
            ("zsh", format!("share/zsh/site-functions/_{name}")),
            ("fish", format!("share/fish/vendor_completions.d/{name}.fish")),
        ] {
            let text = fs::read_to_string(below.join(&file)).unwrap_or_default();
            for option in &options {
                let word = if shell == "fish" { option[2..].to_owned() } else { option.clone() };
                assert!(text.contains(&word), "{file} lacks {option}");
            }
            let lacking = commands.iter().find(|name| !text.contains(name.as_str()));
            assert_eq!(lacking, None, "{file}");
        }
        // Bash itself reads them.
        ok(
            "bash",
            &[
                "-n",
                below.join(format!("share/bash-completion/completions/{name}")).to_str().unwrap(),
            ],
        );
    }
    for file in [
        "bin/dura-job",
        "share/man/man1/dura-job.1",
        "share/man/man5/dura-archive.5",
        "share/man/man7/dura.7",
        "lib/systemd/system/dura@.service",
        "share/dura/recover.sh",
        "share/dura/exclude/caches.list",
        "share/doc/dura/README.md",
    ] {
        assert!(there.contains(&format!("opt/d/{file}")), "{file} is not there: {there:?}");
    }
    let licences = fs::read_to_string(below.join("share/doc/dura/licences.txt")).unwrap();
    assert!(
        ["rustls ", "zstd-sys ", "dura "]
            .iter()
            .all(|name| licences.contains(&format!("\n{name}")))
    );
    let mode = |file: &str| fs::metadata(below.join(file)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("bin/dura-job"), mode("share/man/man7/dura.7")), (0o755, 0o644));
    let script = format!("{ROOT}/scripts/install");
    ok(&script, &["--prefix", "/opt/d", "--destdir", dest.to_str().unwrap(), "--remove"]);
    assert_eq!(files(&dest), BTreeSet::from(["opt/d/bin/other".to_owned()]));
    assert_eq!(fs::read_dir(&below).unwrap().count(), 1, "folders are left");
}

/// The package holds the same, is the same each time, and dpkg installs and removes it.
#[test]
fn as_a_debian_package() {
    let dir = scratch("deb");
    let deb = |name: &str| -> PathBuf {
        let file = dir.join(name);
        let programs = programs().to_str().unwrap();
        ok(
            &format!("{ROOT}/scripts/deb"),
            &["--compress", "none", "--programs", programs, file.to_str().unwrap()],
        );
        file
    };
    let (one, two) = (deb("one.deb"), deb("two.deb"));
    assert!(fs::read(&one).unwrap() == fs::read(&two).unwrap(), "not the same twice");
    let fields = ok("dpkg-deb", &["-f", one.to_str().unwrap()]);
    assert!(fields.contains("Package: dura\n") && fields.contains("Depends: libc6"), "{fields}");
    assert!(fields.contains("\n Dura is a set of small programs"), "{fields}");
    let root = dir.join("root");
    for folder in ["var/lib/dpkg/info", "var/lib/dpkg/updates", "var/log"] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    fs::write(root.join("var/lib/dpkg/status"), "").unwrap();
    let own = format!("--root={}", root.display());
    let flags = [own.as_str(), "--force-depends", "--force-not-root", "--force-bad-path"];
    ok("dpkg", &[&flags[..], &["-i", one.to_str().unwrap()]].concat());
    for name in names() {
        assert!(ok(root.join("usr/bin").join(&name).to_str().unwrap(), &["-V"]).starts_with(&name));
        let page = root.join(format!("usr/share/man/man1/{name}.1.gz"));
        ok("gzip", &["-t", page.to_str().unwrap()]);
        assert!(root.join(format!("usr/share/zsh/vendor-completions/_{name}")).exists());
    }
    let etc = fs::metadata(root.join("etc/dura")).unwrap().permissions().mode() & 0o777;
    assert_eq!(etc, 0o750);
    assert!(root.join("usr/share/doc/dura/changelog.gz").exists());
    assert!(root.join("usr/share/doc/dura/licences.txt.gz").exists());
    ok("dpkg", &[&flags[..], &["-r", "dura"]].concat());
    assert!(!root.join("usr").exists(), "{:?}", files(&root.join("usr")));
}

#[test]
fn systemd_takes_the_units() {
    let dir = scratch("units");
    for unit in ["dura@.service", "dura@.timer"] {
        let text = fs::read_to_string(format!("{ROOT}/lib/systemd/{unit}")).unwrap();
        let text = text.replace("ExecStart=dura-job", "ExecStart=/bin/echo");
        fs::write(dir.join(unit.replace('@', "@home")), text).unwrap();
    }
    for unit in ["dura@home.timer", "dura@home.service"] {
        let out = run("systemd-analyze", &["verify", "--man=no", dir.join(unit).to_str().unwrap()]);
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        let own: Vec<&str> = said.lines().filter(|line| line.contains("dura@")).collect();
        assert!(out.status.success() && own.is_empty(), "{said}");
    }
    // What makes a mount namespace would change what is backed up.
    let service = fs::read_to_string(format!("{ROOT}/lib/systemd/dura@.service")).unwrap();
    for directive in
        ["PrivateTmp=", "ProtectSystem=", "ProtectHome=", "PrivateDevices=", "ReadOnlyPaths="]
    {
        assert!(!service.lines().any(|line| line.starts_with(directive)), "{directive}");
    }
}
