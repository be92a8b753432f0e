//! `dura-prune`: removes bands that nothing needs. The only program that removes.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::anyhow;
use clap::{CommandFactory, Parser};

use crate::archive::named::ArchiveName;
use crate::cli::common::{self, Common, to_stdout};
use crate::cli::reading::ReachArgs;
use crate::edge::pipe;
use crate::format::band::BandName;
use crate::ops::prune::{self, AT_ONCE};
use crate::report::message::{Hinted, Report};

/// Remove bands from an archive
///
/// Reads the names of bands from the arguments or, without any, from standard input, one per line,
/// as dura-index expire writes them. A band is kept if another one is based on it, or if no later
/// complete version has all its objects.
#[derive(Debug, Parser)]
#[command(name = "dura-prune", version, max_term_width = 100)]
#[command(
    after_help = "Exit status: 0 all named bands are removed; 1 done, but a named band did not exist; 2 a named band was kept.\n\
    Example: dura-index expire --keep-daily 7 --keep-monthly 12 /mnt/backup | dura-prune /mnt/backup"
)]
struct PruneArgs {
    /// The archive: a directory, s3://BUCKET/PREFIX, https://HOST/PATH, or ssh://HOST/PATH
    #[arg(value_name = "ARCHIVE")]
    archive: ArchiveName,
    /// The bands to remove, by their whole names [default: those on standard input]
    #[arg(value_name = "BAND")]
    bands: Vec<BandName>,
    /// Write the names of the bands that would be removed, and remove nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Remove nothing unless band NAME, the newest that you know of, exists and is complete
    #[arg(long, value_name = "NAME")]
    expect: Option<String>,
    /// Hide the bands in ARCHIVE/.expired, and remove what has been hidden for DAYS
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=36_500))]
    hide: Option<u32>,
    /// Remove N objects at a time [default: 32]
    #[arg(
        short,
        long,
        value_name = "N",
        default_value_t = AT_ONCE,
        hide_default_value = true,
        value_parser = jobs
    )]
    jobs: usize,
    #[command(flatten)]
    reach: ReachArgs,
    #[command(flatten)]
    common: Common,
}

fn jobs(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| (1..=256).contains(number));
    number.ok_or_else(|| "expected a number from 1 to 256".to_owned())
}

/// The program's arguments, for tests and tools.
pub fn command() -> clap::Command {
    PruneArgs::command()
}

/// The program.
pub fn main() -> ExitCode {
    common::main("dura-prune", |args: &PruneArgs| &args.common, run)
}

fn run(args: PruneArgs, report: &Arc<Report>) -> anyhow::Result<()> {
    let bands = match args.bands.is_empty() {
        false => args.bands.into_iter().collect(),
        true => bands_on_stdin()?,
    };
    let options = prune::Options {
        archive: args.archive,
        bands,
        dry_run: args.dry_run,
        expect: args.expect,
        hide: args.hide,
        jobs: args.jobs,
        reach: args.reach.into(),
    };
    to_stdout(|out| prune::run(options, out, report))?;
    Ok(())
}

/// The bands that another program names.
fn bands_on_stdin() -> anyhow::Result<BTreeSet<BandName>> {
    if pipe::stdin_is_terminal() {
        let hint = "name bands, or pipe them in: dura-index expire … ARCHIVE | dura-prune ARCHIVE";
        return Err(Hinted::wrap(anyhow!("no band was named"), hint));
    }
    prune::names(pipe::stdin()?)
}
