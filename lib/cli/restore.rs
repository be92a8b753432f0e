//! `dura-restore`: a version, or parts of it, as one tar.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{CommandFactory, Parser};

use crate::archive::named::ArchiveName;
use crate::cli::common::{self, Common, refuse_terminal};
use crate::cli::reading::{FilesFromArgs, ReadingArgs};
use crate::edge::pipe;
use crate::ops::restore;
use crate::report::message::Report;
use crate::report::units::human;

/// Write a version, or parts of it, as a tar
///
/// Writes a tar to standard output, with the whole version, or with each PATH and everything below
/// it; tar extracts it. A PATH is a name below the source, as it is or as Dura prints it. If the
/// version has no such name, a PATH with * ? or [ is a pattern (gitignore syntax, relative to the
/// source).
#[derive(Debug, Parser)]
#[command(name = "dura-restore", version, max_term_width = 100)]
#[command(
    after_help = "Exit status: 0 done; 1 done, but something is lost, damaged or missing; 2 not done.\n\
    Example: dura-restore --into /tmp/out /mnt/backup ./Documents |\n\
    \x20   tar --no-overwrite-dir --xattrs --xattrs-include='*' --acls -xpf - -C /tmp/out"
)]
struct RestoreArgs {
    /// The archive: a directory, s3://BUCKET/PREFIX, https://HOST/PATH, or ssh://HOST/PATH
    #[arg(value_name = "ARCHIVE")]
    archive: ArchiveName,
    /// What to restore, with everything below it [default: everything]
    #[arg(value_name = "PATH")]
    paths: Vec<OsString>,
    #[command(flatten)]
    names: FilesFromArgs,
    /// Leave out what matches PATTERN (gitignore syntax, relative to the source)
    #[arg(long, value_name = "PATTERN")]
    exclude: Vec<OsString>,
    /// Leave out directories above the PATHs that already exist in DIR, so that they do not change
    #[arg(long, value_name = "DIR")]
    into: Option<PathBuf>,
    /// Keep in DIR what several files have in common until it is written [default: TMPDIR, else
    /// /tmp]
    #[arg(long, value_name = "DIR")]
    spool: Option<PathBuf>,
    /// Keep an owner's name even if it has another number on this system: tar then uses the name,
    /// not the number
    #[arg(long)]
    owner_names: bool,
    /// Fetch and decrypt N blocks at a time [default: one for each core]
    #[arg(short, long, value_name = "N")]
    jobs: Option<usize>,
    #[command(flatten)]
    reading: ReadingArgs,
    #[command(flatten)]
    common: Common,
}

/// The program's arguments, for tests and tools.
pub fn command() -> clap::Command {
    RestoreArgs::command()
}

/// The program.
pub fn main() -> ExitCode {
    common::main("dura-restore", |args: &RestoreArgs| &args.common, run)
}

fn run(args: RestoreArgs, report: &Arc<Report>) -> anyhow::Result<()> {
    let options = restore::Options {
        archive: args.archive,
        paths: args.paths,
        files_from: args.names.files_from,
        exclude: args.exclude,
        into: args.into,
        reading: args.reading.settle(report)?,
        spool: args.spool,
        owner_names: args.owner_names,
        jobs: args.jobs,
    };
    refuse_terminal(
        "pipe it into tar --xattrs --xattrs-include='*' --acls -xpf - -C DIR, or into a file",
    )?;
    let sum = restore::run(options, pipe::stdout()?, report)?;
    report.verbose(format_args!("{} entries, {}", sum.entries, human(sum.bytes)));
    Ok(())
}
