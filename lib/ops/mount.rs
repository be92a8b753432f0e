//! `dura-mount`: the versions of an archive as directories.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, anyhow, bail};
use fuser::{Config, MountOption, Session};

use crate::archive::named::ArchiveName;
use crate::archive::reading::ReadOptions;
use crate::archive::version::must_exist;
use crate::edge::background;
use crate::edge::clock;
use crate::edge::resolve::resolve;
use crate::edge::signals::SignalWait;
use crate::edge::unmount::{HELPER, is_stale, unmount};
use crate::report::message::{Hinted, Report};
use fuse::FuseView;
use versions::MountedVersions;
use view::MountView;

mod fuse;
mod table;
mod versions;
mod view;

/// Requests that are answered at a time: each may wait for a block.
const THREADS: usize = 16;

/// What is mounted, and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// The archive.
    pub archive: ArchiveName,
    /// Where.
    pub dir: PathBuf,
    /// How it is read.
    pub reading: ReadOptions,
    /// Stay in the foreground.
    pub foreground: bool,
    /// Show everything as this user's own.
    pub owner_me: bool,
    /// Let other users look in, as far as the permissions of files allow.
    pub allow_other: bool,
}

/// Mounts an archive, and answers until it is unmounted; in the background, unless it is to stay in
/// the foreground.
///
/// # Errors
/// What keeps the archive from being mounted.
pub fn run(options: &Options, report: &Arc<Report>) -> anyhow::Result<()> {
    let in_background = background::is_child();
    if !options.foreground && !in_background {
        return match background::start().context("cannot go to the background")? {
            None => Ok(()),
            // It has said why.
            Some(status) => std::process::exit(status),
        };
    }
    let dir = look_at(options)?;
    let mut signals = SignalWait::new().context("cannot catch signals")?;
    let view = open(options, report)?;
    let mut session = mount(view, &dir, options)?;
    report.done(format_args!("{}: mounted", options.dir.display()));
    if in_background && !options.foreground {
        background::ready().context("cannot go to the background")?;
    }
    let (stop, tell) = (dir.clone(), Arc::clone(report));
    // Not joined: it waits for signals as long as the mount is there.
    std::thread::spawn(move || {
        signals.wait();
        end(&stop, &tell);
        signals.wait();
        std::process::exit(2);
    });
    let mut unmounter = session.unmount_callable();
    let ended = session.run();
    // Nothing is left to do if it is unmounted already.
    let _ = unmounter.unmount();
    match ended {
        // So the kernel may say that it is unmounted.
        Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => Ok(()),
        ended => ended.context("the mount ended early"),
    }
}

/// Looks whether DIR can be mounted on; gives its whole name.
fn look_at(options: &Options) -> anyhow::Result<PathBuf> {
    let dir = &options.dir;
    let shown = dir.display();
    if is_stale(dir) {
        return Err(Hinted::wrap(
            anyhow!("{shown}: the program that mounted it has ended"),
            format!("unmount it first: {HELPER} -u {shown}"),
        ));
    }
    let found = dir.canonicalize().and_then(|dir| Ok((dir.metadata()?.is_dir(), dir)));
    let dir = match found.with_context(|| shown.to_string())? {
        (true, dir) => dir,
        (false, _) => bail!("{shown}: not a directory"),
    };
    must_exist(&options.archive)?;
    if let Some(archive) = options.archive.local()?.and_then(resolve)
        && (archive.starts_with(&dir) || dir.starts_with(&archive))
    {
        return Err(Hinted::wrap(
            anyhow!("{shown}: is in the archive, or the archive is in it"),
            "mount it on an empty directory elsewhere",
        ));
    }
    Ok(dir)
}

/// Opens the archive and finds its newest version, with the key that it needs.
fn open(options: &Options, report: &Arc<Report>) -> anyhow::Result<Arc<MountView>> {
    let archive = Arc::new(options.reading.open(&options.archive, report)?);
    let versions = MountedVersions::new(archive, options.archive.clone(), report)?;
    if let Some((_, latest)) = versions.latest()? {
        latest.root()?;
    }
    let user = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let since = clock::now().context("the clock cannot be read")?;
    Ok(Arc::new(MountView::new(versions, user, options.owner_me, since, report)))
}

fn mount(view: Arc<MountView>, dir: &Path, options: &Options) -> anyhow::Result<Session<FuseView>> {
    let mut config = Config::default();
    let name = options.archive.to_string();
    config.mount_options = vec![
        // What has a comma or worse would be taken for options.
        MountOption::FSName(match name.contains([',', '\\', ' ', '\n']) {
            true => "dura".to_owned(),
            false => name,
        }),
        MountOption::Subtype("dura".to_owned()),
        MountOption::RO,
        MountOption::NoSuid,
        MountOption::NoDev,
        MountOption::NoAtime,
        MountOption::DefaultPermissions,
    ];
    if options.allow_other {
        config.acl = fuser::SessionACL::All;
    }
    config.n_threads = Some(THREADS);
    Session::new(FuseView(view), dir, &config).map_err(|error| refused(error, &options.dir))
}

/// Why it cannot be mounted, with what helps.
fn refused(error: io::Error, dir: &Path) -> anyhow::Error {
    let text = error.to_string();
    let hint = if error.kind() == io::ErrorKind::NotFound {
        format!("install {HELPER}: it is in the package fuse3")
    } else if text.contains("user_allow_other") {
        "let the administrator put the line user_allow_other into /etc/fuse.conf, or mount without --allow-other".to_owned()
    } else if text.contains("/dev/fuse") || error.kind() == io::ErrorKind::PermissionDenied {
        "let the administrator allow it: modprobe fuse; chmod 666 /dev/fuse".to_owned()
    } else {
        "the directory must be one that you may write to, and FUSE must be there".to_owned()
    };
    let text = text.trim().replace('\n', "; ");
    Hinted::wrap(anyhow!("{}: cannot mount: {text}", dir.display()), hint)
}

/// Somebody asks for the end.
fn end(dir: &Path, report: &Report) {
    let shown = dir.display();
    match unmount(dir, false) {
        Ok(()) => return,
        Err(error) if error.kind() == io::ErrorKind::ResourceBusy => report.note(format_args!(
            "{shown}: still in use: it ends when nobody uses it any more, or at the next signal"
        )),
        Err(error) => report.note(format_args!("{shown}: cannot unmount: {error}")),
    }
    if let Err(error) = unmount(dir, true) {
        report.note(format_args!("{shown}: cannot unmount: {error}"));
    }
}
