//! Runs pipelines as a person would type them, with the built programs on the PATH or with none of
//! them there.

use std::cell::RefCell;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::Read;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use super::tree::root;

/// The ordinary user that tests run as when they are started by root: `nobody` on this system,
/// group `nogroup`.
pub(crate) const USER: u32 = 65_534;

/// The programs, and where cargo put them.
const PROGRAMS: [(&str, &str); 10] = [
    ("dura", env!("CARGO_BIN_EXE_dura")),
    ("dura-scan", env!("CARGO_BIN_EXE_dura-scan")),
    ("dura-pack", env!("CARGO_BIN_EXE_dura-pack")),
    ("dura-seal", env!("CARGO_BIN_EXE_dura-seal")),
    ("dura-push", env!("CARGO_BIN_EXE_dura-push")),
    ("dura-mount", env!("CARGO_BIN_EXE_dura-mount")),
    ("dura-prune", env!("CARGO_BIN_EXE_dura-prune")),
    ("dura-index", env!("CARGO_BIN_EXE_dura-index")),
    ("dura-restore", env!("CARGO_BIN_EXE_dura-restore")),
    ("dura-verify", env!("CARGO_BIN_EXE_dura-verify")),
];

/// The tools that tests and recovery use, and the Debian package of each.
const TOOLS: &[(&str, &str)] = &[
    ("awk", "mawk"),
    ("bash", "bash"),
    ("bsdtar", "libarchive-tools"),
    ("busybox", "busybox"),
    ("cat", "coreutils"),
    ("cc", "build-essential"),
    ("chmod", "coreutils"),
    ("chown", "coreutils"),
    ("cksum", "coreutils"),
    ("cmp", "diffutils"),
    ("comm", "coreutils"),
    ("cp", "coreutils"),
    ("cut", "coreutils"),
    ("dash", "dash"),
    ("date", "coreutils"),
    ("dd", "coreutils"),
    ("df", "coreutils"),
    ("dirname", "coreutils"),
    ("basename", "coreutils"),
    ("env", "coreutils"),
    ("expr", "coreutils"),
    ("find", "findutils"),
    ("flock", "util-linux"),
    ("fusermount3", "fuse3"),
    ("getfacl", "acl"),
    ("git", "git"),
    ("gpg", "gnupg"),
    ("gpgconf", "gnupg"),
    ("grep", "grep"),
    ("gzip", "gzip"),
    ("head", "coreutils"),
    ("id", "coreutils"),
    ("ln", "coreutils"),
    ("ls", "coreutils"),
    ("mkdir", "coreutils"),
    ("mkfifo", "coreutils"),
    ("mknod", "coreutils"),
    ("mktemp", "coreutils"),
    ("mount", "mount"),
    ("mtree", "mtree-netbsd"),
    ("mv", "coreutils"),
    ("od", "coreutils"),
    ("printf", "coreutils"),
    ("readlink", "coreutils"),
    ("realpath", "coreutils"),
    ("rm", "coreutils"),
    ("rmdir", "coreutils"),
    ("script", "bsdutils"),
    ("rdiff", "rdiff"),
    ("sed", "sed"),
    ("seq", "coreutils"),
    ("setfacl", "acl"),
    ("setfattr", "attr"),
    ("setpriv", "util-linux"),
    ("sh", "dash"),
    ("sha256sum", "coreutils"),
    ("sleep", "coreutils"),
    ("sort", "coreutils"),
    ("stat", "coreutils"),
    ("strace", "strace"),
    ("stty", "coreutils"),
    ("tail", "coreutils"),
    ("tar", "tar"),
    ("tee", "coreutils"),
    ("test", "coreutils"),
    ("timeout", "coreutils"),
    ("touch", "coreutils"),
    ("tr", "coreutils"),
    ("true", "coreutils"),
    ("truncate", "coreutils"),
    ("tty", "coreutils"),
    ("umount", "mount"),
    ("uniq", "coreutils"),
    ("unshare", "util-linux"),
    ("wc", "coreutils"),
    ("xargs", "findutils"),
    ("zsh", "zsh"),
    ("zstd", "zstd"),
];

/// Where a tool is. Fails, with the package to install, if it is nowhere.
pub(crate) fn need(tool: &str) -> PathBuf {
    let Some((_, package)) = TOOLS.iter().find(|(name, _)| *name == tool) else {
        panic!("{tool} is not among the tools that tests name")
    };
    find(tool).unwrap_or_else(|| panic!("{tool} is missing: install the Debian package {package}"))
}

fn find(tool: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|dir| dir.join(tool)).find(|file| {
        fs::metadata(file)
            .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    })
}

/// A directory of this test process, removed when it has ended however it ends, with any gpg-agent
/// below it stopped.
///
/// Its path is short, so that an agent's socket fits, and any user may enter it.
pub(crate) fn base() -> &'static Path {
    static BASE: OnceLock<PathBuf> = OnceLock::new();
    BASE.get_or_init(|| {
        let dir = tempfile::Builder::new().prefix("dura-t.").tempdir().unwrap().keep();
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).unwrap();
        // It waits for the end of its input, which comes when this process is gone.
        let last = "trap '' HUP INT TERM; cat; for d in \"$1\"/gpg.*; do [ -d \"$d\" ] && gpgconf --homedir \"$d\" --kill all; done; \
                    chmod -R u+rwx \"$1\"; rm -rf \"$1\"";
        Command::new("sh").args(["-c", last, "sh"]).arg(&dir).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().map(std::mem::forget).unwrap();
        dir
    })
}

thread_local! {
    static OWN: RefCell<Scratch> = const { RefCell::new(Scratch { dirs: Vec::new(), sharing: 0 }) };
}

/// The directories of a thread: they go with it, so that a run takes no more room than the tests
/// that are under way.
struct Scratch {
    dirs: Vec<PathBuf>,
    /// What is made now is for other threads, too.
    sharing: u32,
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed goes with `base`.
        self.dirs.iter().for_each(|dir| drop(fs::remove_dir_all(dir)));
    }
}

/// What several tests use, with the directories in which it lies.
pub(crate) trait Share<T> {
    /// What was made once.
    fn shared(&'static self, make: impl FnOnce() -> T) -> &'static T;
}

impl<T> Share<T> for OnceLock<T> {
    fn shared(&'static self, make: impl FnOnce() -> T) -> &'static T {
        self.get_or_init(|| {
            OWN.with_borrow_mut(|own| own.sharing += 1);
            let made = make();
            OWN.with_borrow_mut(|own| own.sharing -= 1);
            made
        })
    }
}

/// A new directory below `base`, which `USER` may use too; removed when its thread ends.
pub(crate) fn scratch(name: &str) -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let dir = base().join(format!("{name}.{}", COUNT.fetch_add(1, Ordering::Relaxed)));
    fs::create_dir(&dir).unwrap();
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).unwrap();
    OWN.with_borrow_mut(|own| {
        if own.sharing == 0 {
            own.dirs.push(dir.clone());
        }
    });
    dir
}

/// Gives a directory to the ordinary user.
pub(crate) fn give(dir: &Path) {
    if root() {
        std::os::unix::fs::chown(dir, Some(USER), Some(USER)).unwrap();
    }
}

/// A directory with the built programs, where every user can run them.
pub(crate) fn programs() -> &'static Path {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    DIR.shared(|| {
        let dir = scratch("bin");
        for (name, built) in PROGRAMS {
            fs::copy(built, dir.join(name)).unwrap();
        }
        dir
    })
}

/// The interpreter itself: what the PATH has may be a script that looks for it.
fn python() -> String {
    let ran = Command::new("python3").args(["-c", "import sys; print(sys.executable)"]).output();
    let ran = ran.unwrap_or_else(|e| panic!("python3: {e}: install the Debian package python3"));
    String::from_utf8(ran.stdout).unwrap().trim().to_owned()
}

/// A directory with the standard tools and nothing of Dura.
fn tools() -> &'static Path {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    DIR.shared(|| {
        let dir = scratch("tools");
        // Where one is missing, only the tests that use it fail.
        let missing = |tool: &str, package: &str| {
            let says = format!("{tool} is missing: install the Debian package {package}");
            fs::write(dir.join(tool), format!("#!/bin/sh\necho '{says}' >&2\nexit 127\n")).unwrap();
            fs::set_permissions(dir.join(tool), fs::Permissions::from_mode(0o755)).unwrap();
        };
        for (tool, package) in TOOLS {
            match find(tool) {
                Some(path) => symlink(path, dir.join(tool)).unwrap(),
                None => missing(tool, package),
            }
        }
        match find("python3") {
            Some(_) => symlink(python(), dir.join("python3")).unwrap(),
            None => missing("python3", "python3"),
        }
        dir
    })
}

/// A directory with busybox under the names of all its applets, and gpg.
fn applets() -> &'static Path {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    DIR.shared(|| {
        let dir = scratch("applets");
        let list = Command::new(need("busybox")).arg("--list").output().unwrap();
        for applet in String::from_utf8(list.stdout).unwrap().lines() {
            symlink(need("busybox"), dir.join(applet)).unwrap();
        }
        for tool in ["gpg", "busybox"] {
            symlink(need(tool), dir.join(tool)).unwrap();
        }
        dir
    })
}

/// A command line to be run by a shell, in an environment that holds little.
pub(crate) struct Shell {
    script: String,
    vars: Vec<(String, OsString)>,
    dir: PathBuf,
    user: bool,
    stdin: Option<Stdio>,
    stdout: Option<Stdio>,
    shell: Vec<PathBuf>,
    seconds: u32,
}

/// What came of it.
pub(crate) struct Done {
    /// The exit status; 128 and the signal if one ended it.
    pub(crate) code: i32,
    /// That of each command of the last pipeline, if `Shell::stages` was used.
    pub(crate) stages: Vec<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
    script: String,
}

/// With the programs on the PATH, and the standard tools.
pub(crate) fn dura(script: &str) -> Shell {
    let mut path = OsString::from(programs());
    path.push(":");
    path.push(tools());
    shell(script, path)
}

/// With the standard tools alone.
pub(crate) fn bare(script: &str) -> Shell {
    shell(script, tools().into())
}

/// With nothing but busybox, by its own shell.
pub(crate) fn busybox_only(script: &str) -> Shell {
    Shell { shell: vec![need("busybox"), "sh".into()], ..shell(script, applets().into()) }
}

fn shell(script: &str, path: OsString) -> Shell {
    let vars = vec![
        ("PATH".into(), path),
        ("LC_ALL".into(), "C.UTF-8".into()),
        ("HOME".into(), base().into()),
        ("TZ".into(), "UTC".into()),
    ];
    Shell {
        script: script.into(),
        vars,
        dir: base().into(),
        user: false,
        stdin: None,
        stdout: None,
        shell: vec![need("bash"), "-o".into(), "pipefail".into()],
        seconds: 240,
    }
}

impl Shell {
    /// An environment variable.
    pub(crate) fn var(mut self, name: &str, value: impl AsRef<OsStr>) -> Shell {
        self.vars.push((name.into(), value.as_ref().into()));
        self
    }

    /// The working directory.
    pub(crate) fn dir(mut self, dir: &Path) -> Shell {
        self.dir = dir.into();
        self
    }

    /// As the ordinary user; when this process is one, as itself.
    pub(crate) fn user(mut self, user: bool) -> Shell {
        self.user = user;
        self
    }

    pub(crate) fn stdin(mut self, stdin: impl Into<Stdio>) -> Shell {
        self.stdin = Some(stdin.into());
        self
    }

    pub(crate) fn stdout(mut self, stdout: impl Into<Stdio>) -> Shell {
        self.stdout = Some(stdout.into());
        self
    }

    /// How long it may take; four minutes unless told.
    pub(crate) fn seconds(mut self, seconds: u32) -> Shell {
        self.seconds = seconds;
        self
    }

    /// These bytes on standard input, from a file.
    pub(crate) fn input(self, bytes: &[u8]) -> Shell {
        let file = scratch("input").join("input");
        fs::write(&file, bytes).unwrap();
        self.stdin(fs::File::open(file).unwrap())
    }

    fn command(&mut self) -> Command {
        // Nothing here may hang for ever.
        let mut command = Command::new(need("timeout"));
        command.args(["-k", "5", &self.seconds.to_string()]);
        if self.user && root() {
            command.arg(need("setpriv")).args([
                "--reuid",
                "65534",
                "--regid",
                "65534",
                "--clear-groups",
                "--inh-caps=-all",
                "--no-new-privs",
            ]);
        }
        command.args(&self.shell).args(["-c", &self.script]);
        // Each command has caches and journals of its own, unless the test says otherwise.
        let home = scratch("own");
        if self.user {
            give(&home);
        }
        command
            .env_clear()
            .env("XDG_CACHE_HOME", home.join("cache"))
            .env("XDG_STATE_HOME", home.join("state"))
            .envs(self.vars.iter().map(|(name, value)| (name, value)))
            .current_dir(&self.dir);
        command
            .stdin(self.stdin.take().unwrap_or_else(Stdio::null))
            .stdout(self.stdout.take().unwrap_or_else(Stdio::piped))
            .stderr(Stdio::piped());
        command
    }

    /// Starts it, for those who do something while it runs.
    pub(crate) fn start(mut self) -> Child {
        self.command().spawn().unwrap_or_else(|e| panic!("{}: {e}", self.script))
    }

    /// Runs it to its end.
    pub(crate) fn run(mut self) -> Done {
        let mut command = self.command();
        // The child's ends of caller's pipes go with the command, or nobody would ever see them
        // closed.
        let child = command.spawn().unwrap_or_else(|e| panic!("{}: {e}", self.script));
        drop(command);
        finish(child, &self.script)
    }

    /// Runs a pipeline and keeps the exit status of each of its commands; `code` is the last one's.
    pub(crate) fn stages(mut self) -> Done {
        let file = scratch("status").join("status");
        give(file.parent().unwrap());
        self.script = format!(
            "{}\nstages=(\"${{PIPESTATUS[@]}}\"); echo \"${{stages[@]}}\" > {}; exit ${{stages[-1]}}",
            self.script,
            file.display()
        );
        let mut done = self.run();
        let text = fs::read_to_string(&file)
            .unwrap_or_else(|e| panic!("no status: {e}\n{}", done.report()));
        done.stages = text.split_whitespace().map(|code| code.parse().unwrap()).collect();
        done
    }

    /// Runs it and expects it to succeed.
    #[track_caller]
    pub(crate) fn ok(self) -> Done {
        self.code(0)
    }

    /// Runs it and expects this exit status.
    #[track_caller]
    pub(crate) fn code(self, code: i32) -> Done {
        let done = self.run();
        assert_eq!(done.code, code, "exit status\n{}", done.report());
        done
    }
}

/// Waits for a started command and gathers what it says.
pub(crate) fn finish(mut child: Child, script: &str) -> Done {
    let mut stderr = child.stderr.take();
    let messages = std::thread::spawn(move || {
        let mut bytes = vec![];
        stderr.as_mut().map(|s| s.read_to_end(&mut bytes)).transpose().unwrap();
        bytes
    });
    let mut stdout = vec![];
    child.stdout.take().map(|mut s| s.read_to_end(&mut stdout)).transpose().unwrap();
    let status = child.wait().unwrap();
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    let stderr = String::from_utf8_lossy(&messages.join().unwrap()).into_owned();
    Done { code, stages: vec![], stdout, stderr, script: script.into() }
}

impl Done {
    /// Standard output as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// What happened, for a message.
    pub(crate) fn report(&self) -> String {
        let part = |text: &str| {
            // tar says much that is nothing to worry about.
            let worth = |line: &&str| {
                !["time stamp", "unknown extended header"].iter().any(|noise| line.contains(noise))
            };
            let lines =
                text.lines().filter(worth).take(30).map(|line| line.chars().take(300).collect());
            lines.collect::<Vec<String>>().join("\n  ")
        };
        format!(
            "{}\nexit {}, stages {:?}\nstderr:\n  {}\nstdout:\n  {}",
            self.script,
            self.code,
            self.stages,
            part(&self.stderr),
            if self.stdout.contains(&0) {
                format!("{} bytes", self.stdout.len())
            } else {
                part(&self.text())
            }
        )
    }

    /// Fails unless stderr has this text.
    #[track_caller]
    pub(crate) fn tells(&self, text: &str) -> &Done {
        assert!(self.stderr.contains(text), "not told: {text}\n{}", self.report());
        self
    }
}
