//! `dura-mount`: the versions of an archive as directories.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{CommandFactory, Parser};

use crate::archive::named::ArchiveName;
use crate::archive::reading::ReadOptions;
use crate::cli::common::{self, Common};
use crate::cli::reading::{AccessArgs, CacheArgs};
use crate::ops::mount;
use crate::report::message::Report;

/// Show the versions of an archive as directories
///
/// Mounts ARCHIVE on DIR, read-only: DIR/by-time has a directory for each complete version, named
/// by its time in UTC, and DIR/latest is the newest. What you read is fetched when you read it.
#[derive(Debug, Parser)]
#[command(name = "dura-mount", version, max_term_width = 100)]
#[command(
    after_help = "Exit status: 0 mounted (with -f: unmounted again); 1 unmounted, but something could not be read; 2 not mounted.\n\
    Example: dura-mount /mnt/backup /tmp/b && ls /tmp/b/latest; fusermount3 -u /tmp/b"
)]
struct MountArgs {
    /// The archive: a directory, s3://BUCKET/PREFIX, https://HOST/PATH, or ssh://HOST/PATH
    #[arg(value_name = "ARCHIVE")]
    archive: ArchiveName,
    /// Where it is mounted: an empty directory
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Stay in the foreground, until Ctrl-C or until DIR is unmounted
    #[arg(short, long)]
    foreground: bool,
    /// Show everything as your own
    #[arg(long)]
    owner_me: bool,
    /// Let other users look in, too, as far as the permissions of the files allow
    #[arg(long)]
    allow_other: bool,
    #[command(flatten)]
    copies: CacheArgs,
    #[command(flatten)]
    access: AccessArgs,
    #[command(flatten)]
    common: Common,
}

/// The program's arguments, for tests and tools.
pub fn command() -> clap::Command {
    MountArgs::command()
}

/// The program.
pub fn main() -> ExitCode {
    common::main("dura-mount", |args: &MountArgs| &args.common, run)
}

fn run(args: MountArgs, report: &Arc<Report>) -> anyhow::Result<()> {
    let options = mount::Options {
        archive: args.archive,
        dir: args.dir,
        reading: ReadOptions {
            cache: args.copies.cache,
            no_cache: args.copies.no_cache,
            ..args.access.reading()
        },
        foreground: args.foreground,
        owner_me: args.owner_me,
        allow_other: args.allow_other,
    };
    mount::run(&options, report)
}
