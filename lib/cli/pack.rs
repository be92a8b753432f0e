//! `dura-pack`: reads the files of a listing and makes a band's objects.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{CommandFactory, Parser};

use crate::archive::named::ArchiveName;
use crate::archive::reading::ReadOptions;
use crate::cli::common::{self, Common, refuse_terminal, to_stdout};
use crate::cli::reading::AccessArgs;
use crate::edge::pipe;
use crate::format::band::{BandId, BandName};
use crate::format::object::Compression;
use crate::ops::pack;
use crate::report::message::Report;

/// Read the files of a listing and make a band of them
///
/// Reads a listing (from dura-scan or dura-index diff) on standard input and writes the band's
/// objects, as a tar, to standard output.
#[derive(Debug, Parser)]
#[command(name = "dura-pack", version, max_term_width = 100)]
#[command(
    after_help = "Exit status: 0 done; 1 done, but some files were not stored as they should be; 2 not done.\n\
    Example: dura-scan ~ | dura-pack | dura-seal -r me@example.org | dura-push /mnt/backup\n\
    From an archive: dura-index list /mnt/backup | dura-pack --from /mnt/backup | dura-push /mnt/new\n\
    Without dura-seal and dura-push: dura-scan ~ | dura-pack | tar xf - -C /mnt/backup"
)]
struct PackArgs {
    /// Read the files in DIR instead of the directory in the listing's #source line
    #[arg(short = 'C', long, value_name = "DIR")]
    directory: Option<PathBuf>,
    /// Take the entries from ARCHIVE, not from files: the listing is one of dura-index list
    #[arg(long, value_name = "ARCHIVE", conflicts_with = "directory")]
    from: Option<ArchiveName>,
    /// With --from, keep in DIR what several files have in common, and large files until all of
    /// them came [default: TMPDIR, else /tmp]
    #[arg(long, value_name = "DIR", requires = "from")]
    spool: Option<PathBuf>,
    /// Compression of blocks: gzip, zstd or none [default: gzip]
    #[arg(long, value_name = "HOW", value_parser = compression)]
    compress: Option<Compression>,
    /// Compression level: 1 to 12 for gzip, 1 to 19 for zstd [default: 5 and 3]
    #[arg(long, value_name = "N")]
    level: Option<i32>,
    /// End a block when its compressed size reaches SIZE [default: 10M, less in little memory]
    #[arg(long, value_name = "SIZE", value_parser = common::size)]
    block_size: Option<u64>,
    /// Store a block of more than SIZE in parts of SIZE [default: 64M, less in little memory]
    #[arg(long, value_name = "SIZE", value_parser = common::size)]
    part_size: Option<u64>,
    /// Of a file of SIZE or more that has changed, store the difference to the version below; none
    /// stores it whole [default: 16M]
    #[arg(long, value_name = "SIZE", value_parser = size_or_none)]
    delta_over: Option<u64>,
    /// Name the band NAME instead of the time of its start
    #[arg(long, value_name = "NAME")]
    band: Option<BandName>,
    /// Give the band this id of 32 hexadecimal digits instead of a random one
    #[arg(long, value_name = "HEX")]
    id: Option<BandId>,
    /// Keep plain copies of HEAD, indexes, tables of contents and sums in DIR, for later runs
    #[arg(long, value_name = "DIR", env = "DURA_CACHE", hide_env_values = true)]
    cache: Option<PathBuf>,
    /// Keep no copies
    #[arg(long)]
    no_cache: bool,
    /// Store files again that were moved, copied or changed in part, instead of references to what
    /// is stored
    #[arg(long)]
    no_references: bool,
    /// Read and compress with N threads [default: one for each core, and one more]
    #[arg(short, long, value_name = "N")]
    jobs: Option<usize>,
    #[command(flatten)]
    access: AccessArgs,
    #[command(flatten)]
    common: Common,
}

fn size_or_none(text: &str) -> Result<u64, String> {
    if text == "none" { Ok(0) } else { common::size(text) }
}

fn compression(word: &str) -> Result<Compression, String> {
    Compression::from_word(word).ok_or_else(|| "expected gzip, zstd or none".to_owned())
}

/// The program's arguments, for tests and tools.
pub fn command() -> clap::Command {
    PackArgs::command()
}

/// The program.
pub fn main() -> ExitCode {
    common::main("dura-pack", |args: &PackArgs| &args.common, run)
}

fn run(args: PackArgs, report: &Arc<Report>) -> anyhow::Result<()> {
    let reading =
        ReadOptions { cache: args.cache.clone(), no_cache: args.no_cache, ..args.access.reading() };
    let (spool, jobs) = (args.spool, args.jobs);
    let from = args.from.map(|archive| pack::FromArchive { archive, reading, spool, jobs });
    let options = pack::Options {
        from,
        directory: args.directory,
        compress: args.compress,
        level: args.level,
        block_size: args.block_size,
        part_size: args.part_size,
        delta_over: args.delta_over,
        band: args.band,
        id: args.id,
        cache: args.cache,
        no_cache: args.no_cache,
        no_references: args.no_references,
        jobs,
    };
    refuse_terminal("pipe it into dura-push ARCHIVE, or into a file")?;
    let listing = pipe::stdin()?;
    to_stdout(|out| pack::run(options, listing, out, report))?;
    Ok(())
}
