//! Real servers on loopback, started by the tests: rclone's S3 and WebDAV, moto's S3, and sshd.
//! `scripts/setup` installs them.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The key, or user, that the servers know.
pub(crate) const KEY: &str = "DURATESTKEY";
/// Its secret, or password.
pub(crate) const SECRET: &str = "dura/test+secret";

/// How a server is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    S3,
    Dav,
    Ssh,
}

/// A server that ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    kind: Kind,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// What it serves, if that is a directory.
    dir: Option<tempfile::TempDir>,
}

impl Server {
    /// The ARCHIVE of that name on it, in the bucket or collection `store`.
    pub(crate) fn archive(&self, name: &str) -> String {
        self.archive_at(self.address, name)
    }

    /// The same through something that listens at another address.
    pub(crate) fn archive_at(&self, address: SocketAddr, name: &str) -> String {
        match self.kind {
            Kind::S3 => format!("s3://store/{name}"),
            Kind::Dav => format!("http://{address}/store/{name}"),
            Kind::Ssh => {
                let folder = self.folder(name).expect("sshd serves a directory");
                format!("ssh://{address}{}", folder.display())
            }
        }
    }

    /// What `AWS_ENDPOINT_URL` has to be.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The environment with which programs reach it, directly or through something that listens at
    /// `address`.
    pub(crate) fn environment(&self, address: SocketAddr) -> Vec<(&'static str, String)> {
        match self.kind {
            Kind::S3 => vec![
                ("AWS_ACCESS_KEY_ID", KEY.to_owned()),
                ("AWS_SECRET_ACCESS_KEY", SECRET.to_owned()),
                ("AWS_ENDPOINT_URL", format!("http://{address}")),
            ],
            Kind::Dav => {
                vec![("DURA_DAV_USER", KEY.to_owned()), ("DURA_DAV_PASSWORD", SECRET.to_owned())]
            }
            Kind::Ssh => vec![("DURA_SSH", self.ssh())],
        }
    }

    /// ssh with a configuration that knows this host, and a key.
    pub(crate) fn ssh(&self) -> String {
        let dir = self.dir.as_ref().expect("sshd serves a directory");
        format!("ssh -F {}/ssh_config", dir.path().display())
    }

    /// Where an archive, or a folder of one, lies on the disk of a server that serves a directory.
    pub(crate) fn folder(&self, name: &str) -> Option<PathBuf> {
        Some(self.dir.as_ref()?.path().join("store").join(name))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where `scripts/setup` puts the servers.
pub(crate) fn installed() -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache
        .or_else(|| Some(Path::new(&std::env::var_os("HOME")?).join(".cache")))
        .expect("HOME is not set");
    let dir = std::env::var_os("DURA_TEST_SERVERS")
        .map_or_else(|| cache.join("dura-test-servers"), PathBuf::from);
    assert!(
        dir.join("bin/rclone").exists(),
        "{}: no servers there; run scripts/setup",
        dir.display()
    );
    dir
}

/// An address that was free a moment ago.
pub(crate) fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Starts a server at a free port, and waits until it answers.
fn start(kind: Kind, dir: Option<tempfile::TempDir>, command: impl Fn(&str) -> Command) -> Server {
    for _ in 0..5 {
        let address = free_address();
        let mut command = command(&address.to_string());
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = child.stderr.take().unwrap();
        // Read to the end, or the server would wait for us.
        let log = std::thread::spawn(move || {
            BufReader::new(stderr).lines().map_while(Result::ok).collect::<Vec<_>>().join("\n")
        });
        let begun = Instant::now();
        let ended = loop {
            if TcpStream::connect(address).is_ok() {
                return Server { child, kind, address, dir };
            }
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            assert!(begun.elapsed() < Duration::from_secs(120), "{command:?} does not listen");
            std::thread::sleep(Duration::from_millis(20));
        };
        // Another took the port in between.
        eprintln!("{command:?} ended with {ended}: {}", log.join().unwrap());
    }
    panic!("a server does not start");
}

fn rclone(what: &str, address: &str, dir: &Path) -> Command {
    let mut command = Command::new(installed().join("bin/rclone"));
    command.args(["serve", what]).arg(dir).args(["--addr", address, "--config", "/dev/null"]);
    command
}

/// rclone's S3, which ignores the condition of a write.
pub(crate) fn rclone_s3() -> Server {
    rclone_s3_in(tempfile::tempdir().unwrap())
}

/// The same over a directory of the caller's.
pub(crate) fn rclone_s3_in(dir: tempfile::TempDir) -> Server {
    std::fs::create_dir_all(dir.path().join("store")).unwrap();
    let path = dir.path().to_owned();
    start(Kind::S3, Some(dir), |address| {
        let mut command = rclone("s3", address, &path);
        command.arg("--auth-key").arg(format!("{KEY},{SECRET}"));
        command
    })
}

/// rclone's WebDAV, which ignores the condition of a write.
pub(crate) fn rclone_webdav() -> Server {
    rclone_webdav_in(tempfile::tempdir().unwrap())
}

/// The same over a directory of the caller's.
pub(crate) fn rclone_webdav_in(dir: tempfile::TempDir) -> Server {
    std::fs::create_dir_all(dir.path().join("store")).unwrap();
    let path = dir.path().to_owned();
    start(Kind::Dav, Some(dir), |address| {
        let mut command = rclone("webdav", address, &path);
        command.args(["--user", KEY, "--pass", SECRET]);
        command
    })
}

/// moto's S3, which keeps the condition of a write.
pub(crate) fn moto() -> Server {
    let packages = installed();
    let server = start(Kind::S3, None, |address| {
        let (host, port) = address.split_once(':').unwrap();
        let mut command = Command::new("python3");
        command.args(["-m", "moto.server", "-H", host, "-p", port]).env("PYTHONPATH", &packages);
        command
    });
    // It takes any key; its bucket has to be made.
    let mut stream = TcpStream::connect(server.address).unwrap();
    write!(
        stream,
        "PUT /store HTTP/1.1\r\nHost: {}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        server.address
    )
    .unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    assert!(reply.starts_with("HTTP/1.1 200"), "{reply}");
    server
}

/// rclone's WebDAV over TLS.
pub(crate) fn rclone_webdav_tls(cert: &Path, key: &Path) -> Server {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("store")).unwrap();
    let path = dir.path().to_owned();
    start(Kind::Dav, Some(dir), |address| {
        let mut command = rclone("webdav", address, &path);
        command.args(["--user", KEY, "--pass", SECRET, "--cert"]).arg(cert).arg("--key").arg(key);
        command
    })
}

/// A web server that knows nothing but GET and HEAD.
pub(crate) fn plain_web(dir: &Path) -> Server {
    start(Kind::Dav, None, |address| {
        let mut command = Command::new("python3");
        let (host, port) = address.split_once(':').unwrap();
        command.args(["-m", "http.server", "--bind", host, port, "--directory"]).arg(dir);
        command
    })
}

/// OpenSSH's server, with keys and configurations of its own: for whoever runs the tests.
pub(crate) fn sshd() -> Server {
    sshd_in(tempfile::tempdir().unwrap())
}

/// The same over a directory of the caller's.
pub(crate) fn sshd_in(dir: tempfile::TempDir) -> Server {
    std::fs::create_dir_all(dir.path().join("store")).unwrap();
    let at = |name: &str| dir.path().join(name).display().to_string();
    for key in ["host_key", "key"] {
        let made = Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-f", &at(key)])
            .status();
        assert!(made.unwrap().success());
    }
    // What Debian's service does before it starts it.
    if rustix::process::geteuid().is_root() {
        std::fs::create_dir_all("/run/sshd").unwrap();
    }
    std::fs::copy(at("key.pub"), at("authorized_keys")).unwrap();
    let host = std::fs::read_to_string(at("host_key.pub")).unwrap();
    std::fs::write(at("known_hosts"), format!("dura-test {host}")).unwrap();
    let server = format!(
        "HostKey {}\nAuthorizedKeysFile {}\nSubsystem sftp /usr/lib/openssh/sftp-server\n\
         StrictModes no\nUsePAM no\nPidFile none\nPasswordAuthentication no\n\
         KbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\nMaxStartups 100\n",
        at("host_key"),
        at("authorized_keys")
    );
    std::fs::write(at("sshd_config"), server).unwrap();
    let client = format!(
        "HostKeyAlias dura-test\nStrictHostKeyChecking yes\nUserKnownHostsFile {}\n\
         GlobalKnownHostsFile /dev/null\nIdentityFile {}\nIdentitiesOnly yes\n",
        at("known_hosts"),
        at("key")
    );
    std::fs::write(at("ssh_config"), client).unwrap();
    let configuration = at("sshd_config");
    start(Kind::Ssh, Some(dir), |address| {
        let mut command = Command::new("/usr/sbin/sshd");
        command.args(["-D", "-e", "-f", &configuration, "-o", &format!("ListenAddress={address}")]);
        command
    })
}
