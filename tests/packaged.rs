//! The Debian package on a fresh root: installed, configured with one file, run as the timer would
//! run it, restored from, and removed.

use std::fs;

use crate::util::run::{bare, programs, scratch};
use crate::util::snapshot::{EXACT, assert_same, take};
use crate::util::tree::root;

/// A root with the system's tools and a `/usr` of its own, into which dpkg can install. What the
/// unit says of environment and capabilities holds for the job.
const PLAY: &str = r#"set -eu; PATH=/usr/sbin:/usr/bin:/sbin:/bin
    "$REPOSITORY/scripts/deb" --compress none --programs "$PROGRAMS" "$PWD/dura.deb" >/dev/null
    mkdir -p root/{usr/share,host,dev,proc,tmp,root,etc,var/lib/dpkg/{info,updates},srv/data/{web,db},mnt/backup}
    chmod 700 root/root; chmod 1777 root/tmp
    for at in /bin /sbin /lib*; do
        if [ -h "$at" ]; then cp -P "$at" root; else mkdir "root$at"; mount --rbind "$at" "root$at"; fi
    done
    cp -rP /etc/alternatives /etc/ld.so.cache root/etc
    echo root:x:0:0::/root:/bin/sh >root/etc/passwd; echo root:x:0: >root/etc/group
    for at in dev proc; do mount --rbind "/$at" "root/$at"; done
    mount --rbind /usr root/host; mount -o remount,bind,ro root/host || [ -n "$OWN" ]
    for at in bin sbin lib lib32 lib64; do
        if [ -d "/usr/$at" ]; then mkdir "root/usr/$at"; (cd "/usr/$at" && printf "/host/$at/%s\\0" *) | xargs -0 ln -st "root/usr/$at"; fi
    done
    rm -f root/usr/lib/systemd
    dpkg-query -W -f 'Package: ${Package}\nStatus: ${Status}\nVersion: ${Version}\nArchitecture: ${Architecture}\nMaintainer: x\nDescription: x\n\n' \
        libc6 libgcc-s1 gpg >root/var/lib/dpkg/status
    cp dura.deb root/tmp
    there() { chroot root env -i PATH="$PATH" HOME=/root LC_ALL=C "$@"; }
    there dpkg -i /tmp/dura.deb
    unit=root/usr/lib/systemd/system/dura@.service
    bounds=$(sed -n 's/^CapabilityBoundingSet=//p' $unit | tr 'A-Z ' 'a-z,' | sed 's/cap_/+/g')
    environment=$(sed -n 's/^Environment=//p' $unit)
    job() {
        (umask 077; mkdir -p root/var/lib/dura
            there setpriv --no-new-privs --bounding-set "-all,$bounds" env -i PATH="$PATH" $environment \
                STATE_DIRECTORY=/var/lib/dura "$@")
    }
    trap 'for at in there job; do $at gpgconf --kill all; done' EXIT
    there gpg -q --batch --passphrase '' --quick-generate-key me@example.org
    job mkdir -m 700 /var/lib/dura/.gnupg
    there gpg --export me@example.org | job gpg -q --batch --import
    there dura-job --example | sed 's,^SOURCE=.*,SOURCE=/srv/data,; s/^CHECK=.*/CHECK=100/; s/^#KEEP/KEEP/' >root/etc/dura/home.conf
    command=$(sed -n 's/^ExecStart=\(.*\)%i$/\1home/p' $unit)
    for day in 1 2; do
        echo "$day" | tee root/srv/data/web/page root/srv/data/db/dump >/dev/null; echo "$day" >root/srv/data/film.iso
        if [ "$day" = 1 ] && [ -z "$OWN" ]; then chown 33:33 root/srv/data/web; chmod 4750 root/srv/data/web/page; fi
        sleep 2.1
        said=$(job $command 2>&1); [ -z "$said" ] || { echo "$said"; exit 3; }
    done
    there dura-index bands /mnt/backup
    there sh -c 'mkdir /tmp/out; dura-restore -q /mnt/backup | tar -xpf - -C /tmp/out'
    there dpkg -r dura
    there sh -c 'cd /mnt/backup/*-* && sh recover.sh /tmp/by-hand'
    find root/usr root/etc -name '*dura*'
"#;

#[test]
fn from_the_package_to_a_restore() {
    let dir = scratch("packaged");
    let own = if root() { "-m" } else { "-Urm" };
    fs::write(dir.join("play"), PLAY).unwrap();
    let done = bare(&format!("unshare {own} bash play 2>&1"))
        .dir(&dir)
        .var("PROGRAMS", programs())
        .var("REPOSITORY", env!("CARGO_MANIFEST_DIR"))
        .var("OWN", if root() { "" } else { "yes" })
        .run();
    let said = done.text();
    assert_eq!(done.code, 0, "{said}");
    let sealed =
        |line: &&str| line.contains(" complete ") && line.ends_with(" encrypted unsigned 0");
    assert_eq!(said.lines().filter(sealed).count(), 2, "{said}");
    // The configuration is its owner's; of the package nothing is left.
    let left: Vec<&str> = said.lines().skip_while(|line| *line != "recover.sh: done").collect();
    assert_eq!(left, ["recover.sh: done", "root/etc/dura"], "{said}");
    for place in ["tmp/out", "tmp/by-hand"].map(|place| dir.join("root").join(place)) {
        for folder in ["web", "db"] {
            let was = take(&dir.join("root/srv/data").join(folder));
            assert_same(folder, &was, &take(&place.join(folder)), EXACT);
        }
        assert!(!place.join("film.iso").exists());
    }
}
