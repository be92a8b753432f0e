//! `dura-push`: stores a band's objects in archives.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{CommandFactory, Parser};

use crate::archive::named::ArchiveName;
use crate::archive::reading::RETRIES;
use crate::cli::common::{self, Common, size};
use crate::core::chain::kept_up::Waived;
use crate::edge::{clock, pipe};
use crate::format::band::BandName;
use crate::format::moment;
use crate::format::time::Stamp;
use crate::ops::push::{self, SpoolRequest};
use crate::report::message::Report;

/// Store a band's objects in one or more archives
///
/// Reads an object stream (from dura-seal or dura-pack) on standard input and stores each object.
/// Never overwrites an object. TAIL is stored last, and makes the band complete.
#[derive(Debug, Parser)]
#[command(name = "dura-push", version, max_term_width = 100)]
#[command(
    after_help = "Exit status: 0 done; 1 done, but the band lacks something, which TAIL counts; 2 not done.\n\
    Example: dura-scan ~ | dura-pack | dura-seal -r me@example.org | dura-push /mnt/backup"
)]
struct PushArgs {
    /// The archives: directories, which are created if needed, s3://BUCKET/PREFIX,
    /// https://HOST/PATH, or ssh://HOST/PATH
    #[arg(value_name = "ARCHIVE", required = true)]
    archives: Vec<ArchiveName>,
    /// Write N objects at a time to each archive [default: 4, or 32 over a network]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: Option<u16>,
    /// Send at most SIZE bytes per second to each archive, on average
    #[arg(long, value_name = "SIZE", value_parser = size)]
    limit_rate: Option<u64>,
    /// Retry up to N times if something fails for a reason that may be temporary
    #[arg(long, value_name = "N", default_value_t = RETRIES)]
    retries: u32,
    /// Instead of reading a stream, send what the archives lack of the local archive DIR, a spool
    #[arg(long, value_name = "DIR")]
    from: Option<ArchiveName>,
    /// Remove from the spool what all archives have
    #[arg(long = "move", requires = "from")]
    empty: bool,
    /// With --move, leave everything except blocks and parity in the spool, for new layers
    #[arg(long, requires = "empty")]
    keep_indexes: bool,
    /// Continue until stopped by a signal, and send what others put into the spool as it arrives
    #[arg(long, requires = "from")]
    follow: bool,
    /// With --from, send only bands that are newer than BAND, not older ones that were removed
    #[arg(long, value_name = "BAND", requires = "from")]
    newer_than: Option<BandName>,
    /// End at HH:MM, local time, even if not everything is stored: the next run continues
    #[arg(long, value_name = "HH:MM", value_parser = time_of_day, conflicts_with = "replace")]
    until: Option<Stamp>,
    /// Replace damaged or missing objects by rebuilt ones from dura-verify --repair
    #[arg(long, conflicts_with = "from")]
    replace: bool,
    /// Record in the journal in DIR, the cache, which archives were used [default: see dura(7)]
    #[arg(long, value_name = "DIR", env = "DURA_CACHE", hide_env_values = true)]
    cache: Option<PathBuf>,
    /// Record nothing
    #[arg(long)]
    no_cache: bool,
    /// Refuse an archive that does not hold a band yet
    #[arg(long)]
    must_exist: bool,
    /// Allow objects that are not encrypted in or on top of an encrypted band
    #[arg(long)]
    plain: bool,
    /// Allow objects that are not signed in or on top of a signed band
    #[arg(long)]
    unsigned: bool,
    /// Allow objects without parity in or on top of a band with parity
    #[arg(long)]
    no_parity: bool,
    /// Make an archive even though the place contains other things
    #[arg(long, conflicts_with = "replace")]
    beside_others: bool,
    /// Store nothing, and list with -v what would be stored
    #[arg(short = 'n', long)]
    dry_run: bool,
    #[command(flatten)]
    common: Common,
}

fn time_of_day(text: &str) -> Result<Stamp, String> {
    moment::next(text, &clock::here()).ok_or_else(|| "expected a time, such as 06:30".to_owned())
}

/// The program's arguments, for tests and tools.
pub fn command() -> clap::Command {
    PushArgs::command()
}

/// The program.
pub fn main() -> ExitCode {
    common::main("dura-push", |args: &PushArgs| &args.common, run)
}

fn run(args: PushArgs, report: &Arc<Report>) -> anyhow::Result<()> {
    let options = push::Options {
        archives: args.archives,
        jobs: args.jobs,
        limit_rate: args.limit_rate,
        retries: args.retries,
        until: args.until,
        cache: args.cache,
        no_cache: args.no_cache,
        must_exist: args.must_exist,
        waived: Waived { plain: args.plain, unsigned: args.unsigned, no_parity: args.no_parity },
        beside_others: args.beside_others,
        dry_run: args.dry_run,
    };
    if let Some(dir) = args.from {
        let PushArgs { empty, keep_indexes, follow, newer_than, .. } = args;
        let asked = SpoolRequest { dir, empty, keep_indexes, follow, newer_than };
        return push::send(options, &asked, report);
    }
    match args.replace {
        true => push::replace(options, pipe::stdin()?, report)?,
        false => push::run(options, pipe::stdin()?, report)?,
    };
    Ok(())
}
