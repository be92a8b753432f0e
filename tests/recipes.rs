//! The recipes of docs/stores.md, run as they stand there, on servers on loopback in place of those
//! that they speak of.

use std::fs;
use std::path::Path;

use crate::util::gpg::{KEY, home};
use crate::util::place::{Ended, Place};
use crate::util::proxy::Proxy;
use crate::util::servers::{self, Server};
use crate::util::small::sealed;

/// The blocks of a section: what is indented.
fn blocks(heading: &str) -> Vec<String> {
    let page =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/stores.md")).unwrap();
    let section = page
        .split("\n## ")
        .find(|section| section.starts_with(heading))
        .unwrap_or_else(|| panic!("no {heading}"));
    let mut found = vec![String::new()];
    for line in section.lines() {
        match line.strip_prefix("    ") {
            Some(line) => found.last_mut().unwrap().extend([line, "\n"]),
            None => found.push(String::new()),
        }
    }
    found.retain(|block| !block.is_empty());
    assert!(!found.is_empty(), "no recipes below {heading}");
    found
}

/// A home with files in it, a band in `band.tar`, `aws` and `rclone` on the PATH, and rclone's
/// `remote`, a directory here.
struct Kitchen {
    dir: tempfile::TempDir,
    variables: Vec<(&'static str, String)>,
}

impl Kitchen {
    fn new(server: Option<(&Server, &Proxy)>) -> Kitchen {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["bin", "remote", "home/Documents"] {
            fs::create_dir_all(dir.path().join(folder)).unwrap();
        }
        let link = |from: &Path, name: &str| {
            std::os::unix::fs::symlink(from, dir.path().join("bin").join(name)).unwrap()
        };
        link(&servers::installed().join("bin/rclone"), "rclone");
        link(&Path::new(env!("CARGO_MANIFEST_DIR")).join("bin/dura-rclone"), "dura-rclone");
        link(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recipes/aws.py"), "aws");
        fs::write(dir.path().join("home/Documents/letter"), "dear\n").unwrap();
        fs::write(dir.path().join("home/film"), vec![7; 2_000_000]).unwrap();
        fs::write(dir.path().join("band.tar"), sealed()).unwrap();
        let remote =
            format!("[remote]\ntype = alias\nremote = {}\n", dir.path().join("remote").display());
        fs::write(dir.path().join("rclone.conf"), remote).unwrap();
        let mut variables =
            server.map(|(server, proxy)| server.environment(proxy.address)).unwrap_or_default();
        variables.extend([
            ("GNUPGHOME", home().dir.to_str().unwrap().to_owned()),
            ("PYTHONPATH", servers::installed().to_str().unwrap().to_owned()),
            ("RCLONE_CONFIG", dir.path().join("rclone.conf").to_str().unwrap().to_owned()),
        ]);
        Kitchen { dir, variables }
    }

    fn run(&self, script: &str) -> Ended {
        let place = Place { dir: self.dir.path(), variables: self.variables.clone() };
        let key = |name: &str| {
            format!(
                "{name}={}",
                self.variables.iter().find(|(own, _)| *own == name).map_or("", |(_, v)| v)
            )
        };
        let script = script
            .replace("me@example.org", KEY)
            .replace("AWS_ACCESS_KEY_ID=…", &key("AWS_ACCESS_KEY_ID"))
            .replace("AWS_SECRET_ACCESS_KEY=…", &key("AWS_SECRET_ACCESS_KEY"));
        place.run(&format!("set -eu; export HOME=$PWD/home PATH=$PWD/bin:$PATH; {script}"))
    }

    #[track_caller]
    fn ok(&self, script: &str) -> String {
        let Ended(code, out, err) = self.run(script);
        assert_eq!(code, 0, "{script}\n{out}{err}");
        out
    }

    #[track_caller]
    fn fails(&self, script: &str, said: &str) {
        let Ended(code, _, err) = self.run(script);
        assert!(code != 0 && err.contains(said), "{script}\n{code}: {err}");
    }
}

const BACKUP: &str = "dura-scan -q ~ | dura-index diff -q s3://my-backup/laptop | dura-pack -q | dura-seal -q -r me@example.org | dura-push";
const BACK: &str = "rm -rf out; mkdir out; dura-restore -q s3://my-backup/laptop | tar -xpf - -C out; diff -r home out";

/// A server that Amazon's commands work with, behind a proxy that sees what is asked of it.
fn amazon() -> (Server, Proxy) {
    let server = servers::moto();
    let proxy = Proxy::start(server.address);
    (server, proxy)
}

#[test]
fn a_bucket_is_set_up_and_keys_can_only_add() {
    let (server, proxy) = amazon();
    let kitchen = Kitchen::new(Some((&server, &proxy)));
    let [setup, backup, _] =
        blocks("Setting up a bucket").try_into().unwrap_or_else(|blocks| panic!("{blocks:?}"));
    kitchen.ok(&setup);
    let [only_add, versions, only_new, policy] =
        blocks("Keys that can add").try_into().unwrap_or_else(|blocks| panic!("{blocks:?}"));
    fs::write(kitchen.dir.path().join("only-new.json"), &only_new).unwrap();
    kitchen.ok(versions.lines().find(|line| line.contains("s3api")).unwrap());

    // All that a backup, a layer and a restore ask for is what the first policy allows.
    proxy.begin();
    kitchen.ok(&backup);
    kitchen.ok(&format!(
        "echo more > home/more; sleep 1; {BACKUP} s3://my-backup/laptop; {BACK}; dura-verify -q s3://my-backup/laptop"
    ));
    let only_add: serde_json::Value = serde_json::from_str(&only_add).unwrap();
    let allowed = only_add["Statement"].to_string();
    for call in proxy.begin() {
        let (method, path) = call.split_once(' ').unwrap();
        let (action, resource) = match (method, path.trim_end_matches('/')) {
            ("GET", "/my-backup") => ("s3:ListBucket", "arn:aws:s3:::my-backup\""),
            ("GET" | "HEAD", path) if path.starts_with("/my-backup/laptop/") => {
                ("s3:GetObject", "arn:aws:s3:::my-backup/laptop/*")
            }
            ("PUT", path) if path.starts_with("/my-backup/laptop/") => {
                ("s3:PutObject", "arn:aws:s3:::my-backup/laptop/*")
            }
            _ => panic!("{call} is not allowed"),
        };
        assert!(allowed.contains(action) && allowed.contains(resource), "{call}: {allowed}");
    }
    // The server here takes the other policy, but knows no conditions, and refuses every write.
    kitchen.ok(&policy);
    kitchen.ok(BACK);
}

#[test]
fn object_lock() {
    let (server, proxy) = amazon();
    let kitchen = Kitchen::new(Some((&server, &proxy)));
    blocks("Object lock").iter().for_each(|block| drop(kitchen.ok(block)));
    kitchen.ok(&format!("{BACKUP} s3://my-backup/laptop; {BACK}"));
    let versions = kitchen.ok("aws s3api list-object-versions --bucket my-backup");
    let versions: serde_json::Value = serde_json::from_str(&versions).unwrap();
    let versions = versions["Versions"].as_array().unwrap();
    assert!(versions.len() > 5, "{versions:?}");
    for version in versions {
        let (key, id) = (version["Key"].as_str().unwrap(), version["VersionId"].as_str().unwrap());
        kitchen.fails(
            &format!("aws s3api delete-object --bucket my-backup --key {key} --version-id {id}"),
            "AccessDenied",
        );
    }
}

#[test]
fn cold_storage() {
    let (server, proxy) = amazon();
    let kitchen = Kitchen::new(Some((&server, &proxy)));
    kitchen.ok("aws s3api create-bucket --bucket my-backup");
    let [push, ask] =
        blocks("Storage classes").try_into().unwrap_or_else(|blocks| panic!("{blocks:?}"));
    let push = push.trim().trim_start_matches("… | ");
    kitchen.ok(&format!("dura-scan -q ~ | dura-pack -q | dura-seal -q -r me@example.org > cold.tar; {push} < cold.tar"));
    kitchen.fails(BACK, "it lies in cold storage");
    // The same once more needs no look into what lies cold, nor does a layer, or a look for what is
    // missing.
    kitchen.ok(&format!("{push} < cold.tar; dura-verify -q --quick s3://my-backup/laptop; dura-index ls s3://my-backup/laptop"));
    kitchen.ok(&format!("echo more > home/Documents/more; sleep 1; {BACKUP} 's3://my-backup/laptop?storage-class=DEEP_ARCHIVE'"));
    let asked = kitchen.ok(&ask);
    assert_eq!(asked.lines().count(), 2, "{asked}");
    kitchen.ok("dura-restore -q s3://my-backup/laptop ./Documents | tar -xpf - -C bin; diff -r home/Documents bin/Documents");
}

/// Both ways through rclone, in front of a remote; and the manual page tells the second one as well.
#[test]
fn any_other_cloud() {
    let recipes = blocks("Any other cloud");
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("man/dura-stores.7"))
        .unwrap();
    let page: Vec<String> = page
        .lines()
        .map(|line| line.replace("\\(dq", "\"").replace("\\e", "\\"))
        .map(|line| line.trim().to_owned())
        .collect();
    let page = page.join(" ").replace(" \\ ", " ");
    for line in recipes[1].lines() {
        assert!(page.contains(line), "dura-stores(7) has no {line}");
    }
    let kitchen = Kitchen::new(None);
    let then = "export AWS_ENDPOINT_URL=http://127.0.0.1:8333; dura-verify -q s3://me/laptop; mkdir out plain
        dura-restore -q s3://me/laptop | tar -xf - -C out
        tar -xf band.tar -C plain; diff -r plain remote/backups/me/laptop; [ -s out/text ]; kill %1";
    let free = servers::free_address().port().to_string();
    kitchen.ok(&format!("{}{then}", recipes[1]).replace("8333", &free));
    let served = recipes[0].replace("/new", "new");
    let kitchen = Kitchen::new(None);
    kitchen.ok(&format!("mkdir new; {served}\ndiff -r home new; ls remote/backups/2*Z/TAIL"));
}
