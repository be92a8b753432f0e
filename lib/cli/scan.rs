//! `dura-scan`: walks a tree and lists it.

use std::ffi::OsString;
use std::io::Read;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{anyhow, bail};
use clap::{CommandFactory, Parser};

use crate::cli::common::{self, Common, to_stdout};
use crate::edge::pipe;
use crate::ops::scan;
use crate::ops::scan::piped::{self, PipedContent, PipedFile};
use crate::report::message::{Hinted, Report};

/// List a directory tree, for dura-pack or dura-index diff
///
/// Walks DIR in canonical order and writes a listing in a dialect of mtree(5) to standard output.
/// Does not read files.
#[derive(Debug, Parser)]
#[command(name = "dura-scan", version, max_term_width = 100)]
#[command(
    after_help = "Exit status: 0 done; 1 done, but something could not be inspected; 2 not done.\n\
    Example: dura-scan --exclude .cache ~ | dura-pack | dura-seal -r me@example.org | dura-push /mnt/backup\n\
    A dump: dura-scan --stdin db.sql --stdin-command 'pg_dump db' | dura-pack | dura-push /mnt/dumps"
)]
struct ScanArgs {
    /// The directory to list
    #[arg(value_name = "DIR", required_unless_present_any = ["exclude_apps", "stdin"])]
    dir: Option<PathBuf>,
    /// Stay on DIR's file system: mount points are listed but not entered
    #[arg(short = 'x', long)]
    one_file_system: bool,
    /// Leave out what matches PATTERN (gitignore syntax, relative to DIR)
    #[arg(long, value_name = "PATTERN")]
    exclude: Vec<OsString>,
    /// Leave out what matches a pattern in FILE (gitignore syntax; - is standard input)
    #[arg(long, value_name = "FILE")]
    exclude_from: Vec<PathBuf>,
    /// Leave out caches, trash and other things that programs make again, by the lists with these names,
    /// separated by commas [default: all lists]; =list shows the lists
    #[arg(
        long,
        value_name = "LISTS",
        num_args = 0..=1,
        require_equals = true,
        value_delimiter = ',',
        default_missing_value = ""
    )]
    exclude_apps: Option<Vec<String>>,
    /// List a directory that holds a CACHEDIR.TAG, but not what is in it
    #[arg(long)]
    exclude_caches: bool,
    /// List only what matches a pattern in FILE, and what lies below it (gitignore syntax)
    #[arg(long, value_name = "FILE")]
    only_from: Option<PathBuf>,
    /// List only what comes after PATH in canonical order, and the directories above it
    #[arg(long, value_name = "PATH")]
    after: Option<std::ffi::OsString>,
    /// List one file NAME, which holds what comes on standard input
    #[arg(long, value_name = "NAME", conflicts_with_all = ["dir", "one_file_system", "exclude",
        "exclude_from", "exclude_apps", "exclude_caches", "only_from", "after"])]
    stdin: Option<OsString>,
    /// With --stdin, take what the shell command CMD writes; the backup fails if CMD does
    #[arg(long, value_name = "CMD", requires = "stdin")]
    stdin_command: Option<OsString>,
    /// Record NAME in the listing as the host of the tree [default: the system's name]
    #[arg(long, value_name = "NAME", value_parser = not_empty)]
    host: Option<OsString>,
    /// Leave out DIR, the cache of indexes, if it lies in the tree
    #[arg(long, value_name = "DIR", env = "DURA_CACHE", hide_env_values = true)]
    cache: Option<PathBuf>,
    /// Inspect entries with N threads [default: one for each core]
    #[arg(short, long, value_name = "N")]
    jobs: Option<usize>,
    #[command(flatten)]
    common: Common,
}

/// The program's arguments, for tests and tools.
pub fn command() -> clap::Command {
    ScanArgs::command()
}

/// The program.
pub fn main() -> ExitCode {
    common::main("dura-scan", |args: &ScanArgs| &args.common, run)
}

/// A host has a name.
fn not_empty(text: &str) -> Result<OsString, String> {
    if text.is_empty() { Err("expected a name".to_owned()) } else { Ok(text.into()) }
}

fn run(args: ScanArgs, report: &Arc<Report>) -> anyhow::Result<()> {
    let exclude_apps = args
        .exclude_apps
        .map(|names| names.into_iter().filter(|name| !name.is_empty()).collect::<Vec<String>>());
    if exclude_apps.as_deref() == Some(&["list".to_owned()]) {
        return to_stdout(|out| scan::show_apps(out));
    }
    if let Some(name) = args.stdin {
        let content = content(args.stdin_command)?;
        let file = PipedFile { name, content, host: args.host };
        to_stdout(|out| piped::run(file, out, report))?;
        return Ok(());
    }
    let Some(dir) = args.dir else { bail!("name the directory to list") };
    let options = scan::Options {
        dir,
        exclude_apps,
        one_file_system: args.one_file_system,
        exclude: args.exclude,
        exclude_from: args.exclude_from,
        exclude_caches: args.exclude_caches,
        only_from: args.only_from,
        after: args.after,
        host: args.host,
        cache: args.cache,
        jobs: args.jobs,
    };
    let listed = to_stdout(|out| scan::run(options, out, report))?;
    report.verbose(listed.end);
    Ok(())
}

/// What the file of `--stdin` holds; the listing must go to whoever takes that.
fn content(command: Option<OsString>) -> anyhow::Result<PipedContent<impl Read>> {
    if command.is_none() && pipe::stdin_is_terminal() {
        let hint = "pipe the content into dura-scan, or name its command with --stdin-command";
        return Err(Hinted::wrap(anyhow!("standard input is a terminal"), hint));
    }
    if pipe::stdout_is_file() {
        let hint = "pipe the listing into dura-pack or dura-index diff";
        return Err(Hinted::wrap(anyhow!("nobody reads the content from a file"), hint));
    }
    Ok(match command {
        Some(command) => PipedContent::Command(command),
        None => PipedContent::Input(pipe::stdin()?),
    })
}
