//! The arguments that say how an archive is reached and read: the same for all readers.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::bail;
use clap::Args;

use crate::archive::reading::{RETRIES, Reach, ReadOptions};
use crate::archive::unlock::Unlocking;
use crate::cli::at::{said, time};
use crate::cli::common::size;
use crate::format::moment::Moment;
use crate::report::message::Report;

/// Which version is read, and how.
#[derive(Debug, Clone, Args)]
pub(super) struct ReadingArgs {
    #[command(flatten)]
    copies: CacheArgs,
    /// Read the version of band NAME, which may be shortened; latest is the newest
    #[arg(long, value_name = "NAME", global = true, display_order = 802)]
    band: Vec<String>,
    /// Read the newest version that was started at or before TIME: 2026-11-27T22:30 (local time;
    /// add Z or +02:00 for others), yesterday, or 3d
    #[arg(long, value_name = "TIME", value_parser = time, conflicts_with = "band", global = true, display_order = 803)]
    at: Option<Moment>,
    #[command(flatten)]
    access: AccessArgs,
}

/// Where a reader keeps copies of indexes.
#[derive(Debug, Clone, Args)]
pub(super) struct CacheArgs {
    /// Keep plain copies of indexes in DIR, and use them
    #[arg(
        long,
        value_name = "DIR",
        env = "DURA_CACHE",
        hide_env_values = true,
        global = true,
        display_order = 800
    )]
    pub(super) cache: Option<PathBuf>,
    /// Neither use nor keep copies of indexes
    #[arg(long, global = true, display_order = 801)]
    pub(super) no_cache: bool,
}

/// What of an archive is believed, and how it is opened: for every version of it.
#[derive(Debug, Clone, Args)]
pub(super) struct AccessArgs {
    /// Accept only objects in lists with a good signature by KEY, and only a signed TAIL; may be
    /// given several times
    #[arg(long, value_name = "KEY", global = true, display_order = 804)]
    signed_by: Vec<String>,
    /// Exit with status 1 if band NAME, the newest that you know of, is missing or not complete
    #[arg(long, value_name = "NAME", global = true, display_order = 805)]
    expect: Option<String>,
    #[command(flatten)]
    unlocking: UnlockingArgs,
    #[command(flatten)]
    reach: ReachArgs,
}

impl AccessArgs {
    /// How an archive is read, with copies of indexes in the usual place.
    pub(super) fn reading(self) -> ReadOptions {
        let AccessArgs { signed_by, expect, unlocking, reach } = self;
        let (unlocking, reach) = (unlocking.into(), reach.into());
        ReadOptions { signed_by, expect, unlocking, reach, ..ReadOptions::default() }
    }
}

impl ReadingArgs {
    /// What is asked for; says what a local time was taken for.
    pub(super) fn settle(self, report: &Report) -> anyhow::Result<ReadOptions> {
        match self.settle_two(report)? {
            (reading, None) => Ok(reading),
            (_, Some(_)) => bail!("--band may be given only once"),
        }
    }

    /// The same, and the second of two bands.
    pub(super) fn settle_two(
        self,
        report: &Report,
    ) -> anyhow::Result<(ReadOptions, Option<String>)> {
        let mut bands = self.band.into_iter();
        let (band, second) = (bands.next(), bands.next());
        if bands.next().is_some() {
            bail!("--band may be given only twice");
        }
        let reading = ReadOptions {
            cache: self.copies.cache,
            no_cache: self.copies.no_cache,
            band,
            at: self.at.map(|at| said(&at, report)),
            ..self.access.reading()
        };
        Ok((reading, second))
    }
}

/// Names in files, besides those on the command line.
#[derive(Debug, Clone, Args)]
pub(super) struct FilesFromArgs {
    /// Also use the names in FILE as PATHs: one per line, or each terminated by a NUL (- is
    /// standard input)
    #[arg(long, value_name = "FILE")]
    pub(super) files_from: Vec<PathBuf>,
}

/// How sealed objects are opened, and how much one may hold.
#[derive(Debug, Clone, Args)]
pub(super) struct UnlockingArgs {
    /// Use the first line of FILE as the passphrase of the objects or of the secret key
    #[arg(long, value_name = "FILE", global = true, display_order = 890)]
    passphrase_file: Option<PathBuf>,
    /// Use the first line that COMMAND writes as the passphrase; sh runs it
    #[arg(
        long,
        value_name = "COMMAND",
        conflicts_with = "passphrase_file",
        global = true,
        display_order = 891
    )]
    passphrase_command: Option<OsString>,
    /// Accept blocks, parts and parity of up to SIZE bytes [default: 128M], and up to SIZE from an
    /// encrypted object that yields more than its own size [default: 80M]
    #[arg(long, value_name = "SIZE", value_parser = size, global = true, display_order = 892)]
    max_object: Option<u64>,
    /// Accept objects that are not encrypted in an encrypted band, and an unencrypted band that is
    /// newer than an encrypted one
    #[arg(long, global = true, display_order = 893)]
    plain: bool,
}

impl From<UnlockingArgs> for Unlocking {
    fn from(args: UnlockingArgs) -> Unlocking {
        let UnlockingArgs { passphrase_file, passphrase_command, max_object, plain } = args;
        Unlocking { passphrase_file, passphrase_command, max_object, plain }
    }
}

/// How patient a reader is, and how fast it may read.
#[derive(Debug, Clone, Args)]
pub(super) struct ReachArgs {
    /// Retry up to N times if something fails for a reason that may be temporary
    #[arg(
        long,
        value_name = "N",
        default_value_t = RETRIES,
        hide_default_value = true,
        global = true,
        display_order = 895
    )]
    retries: u32,
    /// Read at most SIZE bytes per second, on average
    #[arg(long, value_name = "SIZE", value_parser = size, global = true, display_order = 896)]
    limit_rate: Option<u64>,
}

impl From<ReachArgs> for Reach {
    fn from(args: ReachArgs) -> Reach {
        Reach { retries: args.retries, limit_rate: args.limit_rate }
    }
}
