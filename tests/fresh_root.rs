//! README.md and the first lines of RECOVER.txt, typed on a fresh root: the system's tools, a new
//! user with a home, and nothing else.

use std::fs;
use std::path::{Path, PathBuf};

use crate::util::run::{bare, programs, scratch};
use crate::util::snapshot::{EXACT, assert_same, take};
use crate::util::tree::root;

/// Makes the root, in which `me PATH COMMAND...` runs as its user, and plays both days. gpg-agent
/// asks a script for the passphrase, with which a person would answer.
const SETUP: &str = r#"set -eu; PATH=/usr/sbin:/usr/bin:/sbin:/bin; user=$*
    mkdir -p root/{usr,dev,proc,etc,tmp,opt/target,srv/backup,mnt/backup,mnt/backup2} local
    for at in /bin /sbin /lib*; do
        if [ -h "$at" ]; then cp -P "$at" root; else mkdir "root$at"; mount --rbind "$at" "root$at"; fi
    done
    cp -rP /etc/alternatives /etc/ld.so.cache root/etc
    printf '%s\n' root:x:0:0::/:/bin/sh me:x:1000:1000::/home/me:/bin/bash >root/etc/passwd
    printf '%s\n' root:x:0: me:x:1000: >root/etc/group
    mount --rbind /usr root/usr; mount -o remount,bind,ro root/usr || [ "$(id -u)" != 0 ]
    mount --bind local root/usr/local
    for at in /dev /proc; do mount --rbind "$at" "root$at"; done
    mount --bind "$PROGRAMS" root/opt/target
    printf '#!/bin/sh\necho OK\nwhile read -r l; do case $l in GETPIN) echo "D a phrase of mine"; echo OK ;; BYE) echo OK; exit ;; *) echo OK ;; esac; done\n' >root/opt/pinentry
    for home in me rescue; do
        mkdir -pm 700 root/home/$home/.gnupg
        printf 's2k-count 65536\npinentry-program /opt/pinentry\n' >root/home/$home/.gnupg/gpg-agent.conf
    done
    mkdir -p root/home/me/{Documents,Downloads,dura/target}
    ln -s /opt/target root/home/me/dura/target/release
    (cd "$REPOSITORY" && tar -c bin lib man docs scripts README.md CHANGES.md LICENSE Cargo.toml) | tar --no-same-owner -xC root/home/me/dura
    echo 'all is well' | tee root/home/me/report.txt >root/home/me/Documents/report.txt
    echo x >root/home/me/Downloads/x; echo moving >root/home/me/film.iso
    chmod 755 root/opt/pinentry; chmod 1777 root/tmp
    chown -R 1000:1000 root/home root/mnt root/srv
    cp typed.* root/opt
    me() {
        local home=$1 path=$2; shift 2
        chroot root $user env -i "HOME=/home/$home" USER=me LOGNAME=me SHELL=/bin/bash "PATH=$path" "$@"
    }
    me me /usr/bin:/bin bash /opt/typed.afternoon
    # As cron does it: later, without a terminal, and what is said would be mailed.
    sleep 3
    said=$(me me /usr/bin:/bin sh -c "$(cat typed.cron)" 2>&1); [ -z "$said" ] || { echo "$said"; exit 3; }
    chroot root env -i PATH="$PATH" sh -c 'cd /home/me/dura && scripts/install --programs target/release'
    me me /usr/local/bin:/usr/bin:/bin bash /opt/typed.installed
    me rescue /usr/bin:/bin bash /opt/typed.rescue
"#;

/// What every script begins with: it ends at what fails, and shows what it had typed.
const TYPED: &str = "set -e -o pipefail; trap 'gpgconf --kill all' EXIT\n\
    gpg() { command gpg --batch \"$@\"; }; less() { cat; }; ssh() { bash -c \"$2\"; }\nset -v\n";

/// The pieces of a text that are set in.
fn pieces(text: &str) -> Vec<String> {
    let mut pieces = vec![String::new()];
    for line in text.lines() {
        match line.strip_prefix("    ") {
            Some(line) => *pieces.last_mut().unwrap() += &format!("{line}\n"),
            None if !pieces.last().unwrap().is_empty() => pieces.push(String::new()),
            None => {}
        }
    }
    pieces.retain(|piece| !piece.is_empty());
    pieces
}

fn read(file: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap()
}

/// The commands of a section of README.md, and its lines for a crontab.
fn commands(heading: &str) -> (String, Vec<String>) {
    let readme = read("README.md");
    let section = readme.split("\n## ").find(|part| part.starts_with(heading)).unwrap();
    let is_cron = |piece: &String| piece.starts_with(|first: char| first.is_ascii_digit());
    let (cron, typed): (Vec<_>, Vec<_>) = pieces(section).into_iter().partition(is_cron);
    // What an archive looks like is no command.
    let typed: Vec<_> = typed.into_iter().filter(|piece| !piece.starts_with('/')).collect();
    assert!(!typed.is_empty(), "{heading}");
    (typed.concat(), cron)
}

/// The root after both days, and what was said.
fn played() -> (PathBuf, String) {
    let dir = scratch("root");
    let backup = "scripts/backup ~ /mnt/backup";
    let refused = |line: &str, says: &str| {
        format!(
            "! {line} >/tmp/said 2>&1 || exit 4; cat /tmp/said\ngrep -qF -- '{says}' /tmp/said\n"
        )
    };
    let (first, cron) = commands("The first afternoon");
    let after_key = first.find("\n").unwrap() + 1;
    let afternoon = [
        "cd ~/dura\n",
        // Before there is a key, nothing is stored; nor later if the key is forgotten, or where
        // the arguments are swapped.
        &refused(&format!("{backup} -r me@example.org"), "me@example.org: no such public key"),
        "[ -z \"$(ls -A /mnt/backup)\" ]\n",
        &first[..after_key],
        &first[after_key..],
        &refused(backup, "use dura-seal -r KEY"),
        &refused(
            "scripts/backup /mnt/backup ~ -r me@example.org",
            "an archive would be made beside",
        ),
    ];
    let crontab: Vec<&str> = cron.iter().map(|line| line.splitn(6, ' ').last().unwrap()).collect();
    assert_eq!(crontab.len(), 1, "{cron:?}");
    let rest = "dura-pack | dura-seal -r me@example.org | dura-push /mnt/backup";
    let installed = [
        commands("The pipeline").0.replace('…', rest),
        // The one that follows may be in the middle of a band, which then ends it with 2.
        commands("To a slow archive").0
            + "kill %1; wait %1 || [ $? = 2 ]; dura-push --from /mnt/backup /mnt/backup2\n",
        commands("Looking into").0.replace("2026-11-01", "$(date +%F)"),
        "dura-job --example >/tmp/job.conf; man --version >/dev/null\n".into(),
    ];
    let band = "$(cd /mnt/backup; ls | head -n 1)";
    let by_hand = commands("Recovery by hand").0.replace("20261101T020000Z", band);
    let (script, typed) = by_hand.split_once("recover.sh /tmp/out\n").unwrap();
    // The page's first steps, as they stand there.
    let page = read("lib/notes/RECOVER.txt");
    let steps: Vec<&str> = page.split("\n\n").nth(1).unwrap().lines().collect();
    assert!(steps.len() <= 10, "{steps:?}");
    let line = |begins: &str| {
        let found: Vec<_> = steps.iter().filter_map(|line| line.split_once(begins)).collect();
        assert_eq!((found.len(), found[0].0.trim()), (1, ""), "{begins}");
        format!("{begins}{}\n", found[0].1)
    };
    assert!(steps[0].starts_with("1. In a terminal type `sh`, "), "{steps:?}");
    assert!(steps[3].starts_with("2. `cd BAND`: "), "{steps:?}");
    let first_ten = [
        "cd /mnt/backup\nnewest() {\n",
        &line("    ls */TAIL"),
        "}\nnewest\nBAND=$(newest | tail -n 1); BAND=${BAND#* }; cd $BAND\n",
        &line("    gpg --import key.asc; ")
            .replace("key.asc", "/home/me/dura/key-to-keep-elsewhere.asc"),
        &line("4. sh recover.sh /new/directory").replace("4. ", "").replace("/new/", "/tmp/"),
    ];
    let rescue =
        [&first_ten.concat(), script, "recover.sh /tmp/out\nmv /tmp/out /tmp/by-script\n", typed];
    for (name, typed) in [
        ("afternoon", afternoon.concat()),
        ("installed", installed.concat()),
        ("rescue", rescue.concat()),
    ] {
        fs::write(dir.join(format!("typed.{name}")), format!("{TYPED}{typed}")).unwrap();
    }
    fs::write(dir.join("typed.cron"), crontab[0]).unwrap();
    fs::write(dir.join("setup"), SETUP).unwrap();
    let (own, user) = match root() {
        true => ("-m", "setpriv --reuid 1000 --regid 1000 --clear-groups"),
        false => (
            "-Um --map-user=1000 --map-group=1000 --keep-caps",
            "setpriv --inh-caps=-all --ambient-caps=-all",
        ),
    };
    let done = bare(&format!("unshare {own} bash setup {user} 2>&1"))
        .dir(&dir)
        .var("PROGRAMS", programs())
        .var("REPOSITORY", env!("CARGO_MANIFEST_DIR"))
        .run();
    let said = done.text();
    // What failed is at the end.
    let end: Vec<&str> = said.lines().rev().take(30).collect();
    assert_eq!(done.code, 0, "{}", end.into_iter().rev().collect::<Vec<_>>().join("\n"));
    (dir.join("root"), said)
}

#[test]
fn both_days_on_a_fresh_root() {
    let (root, said) = played();
    for line in ["./Documents/report.txt", ": OK, no problems found", "recover.sh: done"] {
        assert!(said.contains(line), "{line}\n{said}");
    }
    // gpg runs while its home is listed, and nothing comes and goes there.
    assert!(!said.contains("vanished"), "{said}");
    for folder in ["Documents", "dura"] {
        let was = take(&root.join("home/me").join(folder));
        for place in ["tmp/restored", "tmp/documents", "tmp/by-script", "tmp/out"] {
            if folder == "Documents" || place != "tmp/documents" {
                assert_same(place, &was, &take(&root.join(place).join(folder)), EXACT);
            }
        }
    }
    // What is excluded later stays as the first backup has it.
    assert!(root.join("tmp/restored/film.iso").exists());
    let key = fs::read_to_string(root.join("home/me/dura/key-to-keep-elsewhere.asc")).unwrap();
    assert!(key.starts_with("-----BEGIN PGP PRIVATE KEY BLOCK-----"));
}
