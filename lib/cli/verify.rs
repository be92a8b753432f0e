//! `dura-verify`: finds damage in an archive, and rebuilds what parity allows.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{CommandFactory, Parser};

use crate::archive::named::ArchiveName;
use crate::archive::reading::ReadOptions;
use crate::cli::at::{said, time};
use crate::cli::common::{self, Common, refuse_terminal, size, to_stdout};
use crate::cli::reading::{ReachArgs, UnlockingArgs};
use crate::format::moment::Moment;
use crate::ops::verify;
use crate::report::message::Report;

/// Find damage in an archive, and rebuild what parity allows
///
/// Reads each object and compares it with its checksum list. Writes one line for each object that
/// is missing, damaged, in no list, or unexpected. Only --files and --source need the secret key.
#[derive(Debug, Parser)]
#[command(name = "dura-verify", version, max_term_width = 100)]
#[command(
    after_help = "Exit status: 0 nothing is wrong; 1 done, but something is wrong; 2 not done, or not everything can be rebuilt.\n\
    Example: dura-verify --repair /mnt/backup | dura-push --replace /mnt/backup"
)]
struct VerifyArgs {
    /// The archive: a directory, s3://BUCKET/PREFIX, https://HOST/PATH, or ssh://HOST/PATH
    #[arg(value_name = "ARCHIVE")]
    archive: ArchiveName,
    /// Compare only names and sizes with HEAD, TAIL and the lists
    #[arg(long, conflicts_with_all = ["files", "repair", "sample", "limit"])]
    quick: bool,
    /// Also read every file in the blocks and compare it with its index; needs the secret key
    #[arg(long, conflicts_with_all = ["sample", "limit", "repair"])]
    files: bool,
    /// Read only PCT per cent of the objects, different ones each time
    #[arg(long, value_name = "PCT", value_parser = percent, conflicts_with = "repair")]
    sample: Option<f64>,
    /// Read at most BYTES, such as 10G, of different objects each time
    #[arg(long, value_name = "BYTES", value_parser = size, conflicts_with = "repair")]
    limit: Option<u64>,
    /// With --sample or --limit: read the same objects as another run with this seed
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Also compare with OTHER, another archive or a cache
    #[arg(long, value_name = "OTHER", conflicts_with_all = ["limit", "repair"])]
    against: Option<ArchiveName>,
    /// Compare the files in DIR with the newest version, or that of --band or --at; needs the
    /// secret key, or a cache
    #[arg(long, value_name = "DIR", conflicts_with_all = ["limit", "repair"])]
    source: Option<PathBuf>,
    /// Require a good signature by KEY on each list and each TAIL; if given several times, a
    /// signature by one of the keys is enough
    #[arg(long, value_name = "KEY")]
    signed_by: Vec<String>,
    /// Require that band NAME, the newest that you know of, exists and is complete
    #[arg(long, value_name = "NAME")]
    expect: Option<String>,
    /// Write what can be rebuilt as an object stream, for dura-push --replace; findings go to
    /// stderr
    #[arg(long)]
    repair: bool,
    /// With --repair: sign the lists that are written with KEY, and write missing signatures
    #[arg(long, value_name = "KEY", requires = "repair")]
    sign: Option<OsString>,
    /// Use the plain copies of indexes in DIR
    #[arg(long, value_name = "DIR", env = "DURA_CACHE", hide_env_values = true)]
    cache: Option<PathBuf>,
    /// Neither use nor keep copies of indexes
    #[arg(long)]
    no_cache: bool,
    /// Check only band NAME, which may be shortened, and those below it; latest is the newest
    #[arg(long, value_name = "NAME")]
    band: Option<String>,
    /// Check only the newest band that was started at or before TIME, and those below it:
    /// 2026-11-27T22:30 (local time; add Z or +02:00 for others), yesterday, or 3d
    #[arg(long, value_name = "TIME", value_parser = time, conflicts_with = "band")]
    at: Option<Moment>,
    /// Read N objects at a time [default: one for each core]
    #[arg(short, long, value_name = "N")]
    jobs: Option<usize>,
    #[command(flatten)]
    unlocking: UnlockingArgs,
    #[command(flatten)]
    reach: ReachArgs,
    #[command(flatten)]
    common: Common,
}

/// Reads a percentage.
fn percent(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').unwrap_or(text).parse::<f64>().ok();
    number
        .filter(|number| *number > 0.0 && *number <= 100.0)
        .ok_or_else(|| "expected a number above 0, up to 100".to_owned())
}

/// The program's arguments, for tests and tools.
pub fn command() -> clap::Command {
    VerifyArgs::command()
}

/// The program.
pub fn main() -> ExitCode {
    common::main("dura-verify", |args: &VerifyArgs| &args.common, run)
}

fn run(args: VerifyArgs, report: &Arc<Report>) -> anyhow::Result<()> {
    let reading = ReadOptions {
        cache: args.cache,
        no_cache: args.no_cache,
        band: args.band,
        at: args.at.map(|at| said(&at, report)),
        signed_by: args.signed_by,
        expect: args.expect,
        unlocking: args.unlocking.into(),
        reach: args.reach.into(),
    };
    let options = verify::Options {
        archive: args.archive,
        quick: args.quick,
        files: args.files,
        sample: args.sample,
        limit: args.limit,
        seed: args.seed,
        against: args.against,
        source: args.source,
        repair: args.repair,
        sign: args.sign,
        reading,
        jobs: args.jobs,
    };
    if options.repair {
        refuse_terminal("pipe it into dura-push --replace ARCHIVE, or into a file")?;
    }
    to_stdout(|out| verify::run(options, out, report))?;
    Ok(())
}
