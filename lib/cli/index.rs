//! `dura-index`: says what is in an archive, and what a new band must record.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{anyhow, bail};
use clap::{Args, CommandFactory, Parser, Subcommand};
use jiff::tz::Offset;

use crate::archive::named::ArchiveName;
use crate::archive::reading::ReadOptions;
use crate::cli::common::{self, Common, refuse_terminal, size, to_stdout};
use crate::cli::reading::{FilesFromArgs, ReadingArgs};
use crate::core::chain::calendar::TierRule;
use crate::core::diff::{MaxChanged, MaxDeleted};
use crate::core::expire::{Period, Rules};
use crate::edge::pipe;
use crate::ops::records::{Records, Style};
use crate::ops::{bands, changes, diff, expire, filter, find, keys, list, locate, ls};
use crate::report::message::{Hinted, Report};

/// List what is in an archive, and what a new band must record
#[derive(Debug, Parser)]
#[command(name = "dura-index", version, max_term_width = 100)]
#[command(
    after_help = "Exit status: 0 done; 1 done, but something is lost or damaged; 2 not done.\n\
    Example: dura-scan ~ | dura-index diff /mnt/backup | dura-pack | dura-seal -r me@example.org | dura-push /mnt/backup"
)]
struct IndexArgs {
    #[command(subcommand)]
    what: IndexCommand,
    #[command(flatten)]
    reading: ReadingArgs,
    /// Write lines of JSON instead of columns (bands, ls, find, changes, where, expire)
    #[arg(long, global = true, display_order = 806)]
    json: bool,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Subcommand)]
enum IndexCommand {
    /// Reduce a listing to what a new band must record
    Diff(DiffArgs),
    /// Write a version as a listing
    List(Of),
    /// List a version for people
    Ls(LsArgs),
    /// List the bands of an archive, oldest first
    Bands(BandsArgs),
    /// List the versions that contain the paths that match a pattern
    Find(FindArgs),
    /// List what differs between two versions, or between a version and a listing
    Changes(ChangesArgs),
    /// List the objects that a restore of paths reads
    Where(WhereArgs),
    /// List the bands that may be removed, by rules of what to keep
    Expire(ExpireArgs),
    /// List the keys that open each run, or write messages for more recipients
    Keys(KeysArgs),
    /// Mark entries that a command leaves out of a listing as excluded
    Filter(FilterArgs),
}

/// The archive that is read.
#[derive(Debug, Clone, Args)]
struct Of {
    /// The archive: a directory, s3://BUCKET/PREFIX, https://HOST/PATH, or ssh://HOST/PATH
    #[arg(value_name = "ARCHIVE")]
    archive: ArchiveName,
}

/// Arguments of `bands`.
#[derive(Debug, Clone, Args)]
struct BandsArgs {
    #[command(flatten)]
    of: Of,
    /// List the bands of each archive in a folder of ARCHIVE, with the folder before their names
    #[arg(long)]
    below: bool,
}

/// Arguments of `diff`.
#[derive(Debug, Clone, Args)]
struct DiffArgs {
    /// The archive: a directory, s3://BUCKET/PREFIX, https://HOST/PATH, or ssh://HOST/PATH; it need
    /// not exist yet
    #[arg(value_name = "ARCHIVE")]
    archive: ArchiveName,
    /// Build on the newest band of a tier below N, as dump(8) does; 0: make a full band; auto:
    /// build on the newest band of tier 8 or less; calendar: on the last of a week or month
    #[arg(long, value_name = "N", value_parser = tier)]
    tier: Option<TierRule>,
    /// Build on this band, whose name may be shortened; latest: on the newest
    #[arg(long, value_name = "BAND")]
    parent: Option<String>,
    /// Make a full band
    #[arg(long, conflicts_with_all = ["tier", "parent"])]
    full: bool,
    /// Start a new band even though the newest is unfinished
    #[arg(long)]
    no_resume: bool,
    /// Fail if the archive does not hold a band yet
    #[arg(long)]
    must_exist: bool,
    /// Refuse to delete more than N entries, or PCT% of them, minus new ones; none: no limit
    /// [default: 50%, for versions with 100 entries or more]
    #[arg(long, value_name = "N|PCT%", value_parser = max_deleted)]
    max_deleted: Option<MaxDeleted>,
    /// Exit with status 1 if more than PCT% of the parent's entries have changed or are gone: they
    /// may have been encrypted by malware
    #[arg(long, value_name = "PCT%", value_parser = max_changed)]
    max_changed: Option<MaxChanged>,
    /// Store again what the lines of dura-verify in FILE call missing or damaged, though it did not
    /// change
    #[arg(long, value_name = "FILE")]
    distrust: Option<PathBuf>,
}

fn tier(text: &str) -> Result<TierRule, String> {
    match text.parse() {
        Ok(tier @ 0..=9) => Ok(TierRule::Below(tier)),
        _ if text == "auto" => Ok(TierRule::Newest),
        _ if text == "calendar" => Ok(TierRule::Calendar),
        _ => Err("expected a number from 0 to 9, auto, or calendar".to_owned()),
    }
}

fn max_changed(text: &str) -> Result<MaxChanged, String> {
    text.parse().map_err(str::to_owned)
}

fn max_deleted(text: &str) -> Result<MaxDeleted, String> {
    text.parse().map_err(str::to_owned)
}

/// Arguments of `ls`.
#[derive(Debug, Clone, Args)]
struct LsArgs {
    /// The archive: a directory, s3://BUCKET/PREFIX, https://HOST/PATH, or ssh://HOST/PATH
    #[arg(value_name = "ARCHIVE")]
    archive: ArchiveName,
    /// List these, and what lies below them [default: all]
    #[arg(value_name = "PATH")]
    paths: Vec<OsString>,
    #[command(flatten)]
    names: FilesFromArgs,
    /// List only what lies directly in PATH, not what is further below
    #[arg(short = '1', long)]
    one_level: bool,
    /// List directories with the bytes and files below them, the largest first
    #[arg(short, long)]
    sums: bool,
}

/// Arguments of `changes`.
#[derive(Debug, Clone, Args)]
struct ChangesArgs {
    /// The archive: a directory, s3://BUCKET/PREFIX, https://HOST/PATH, or ssh://HOST/PATH
    #[arg(value_name = "ARCHIVE")]
    archive: ArchiveName,
    /// Compare these, and what lies below them [default: all]
    #[arg(value_name = "PATH")]
    paths: Vec<OsString>,
    #[command(flatten)]
    names: FilesFromArgs,
    /// Compare a version with the listing in FILE, from dura-scan or dura-index list (- is standard
    /// input)
    #[arg(long, value_name = "FILE")]
    listing: Option<PathBuf>,
    /// Also list what differs in mode, owner or time alone
    #[arg(long)]
    metadata: bool,
}

/// Arguments of `find`.
#[derive(Debug, Clone, Args)]
struct FindArgs {
    /// The archive: a directory, s3://BUCKET/PREFIX, https://HOST/PATH, or ssh://HOST/PATH
    #[arg(value_name = "ARCHIVE")]
    archive: ArchiveName,
    /// What to find: a name at any depth, a path below the source, or a pattern (gitignore syntax)
    #[arg(value_name = "PATTERN", required_unless_present = "files_from")]
    patterns: Vec<OsString>,
    /// Also use the lines in FILE as PATTERNs, or, if it has a NUL, what NULs terminate (- is
    /// standard input)
    #[arg(long, value_name = "FILE")]
    files_from: Vec<PathBuf>,
}

/// Arguments of `where`.
#[derive(Debug, Clone, Args)]
struct WhereArgs {
    /// The archive: a directory, s3://BUCKET/PREFIX, https://HOST/PATH, or ssh://HOST/PATH
    #[arg(value_name = "ARCHIVE")]
    archive: ArchiveName,
    /// What would be restored, with everything below it
    #[arg(value_name = "PATH", required_unless_present = "files_from")]
    paths: Vec<OsString>,
    #[command(flatten)]
    names: FilesFromArgs,
}

/// Arguments of `expire`.
#[derive(Debug, Clone, Args)]
struct ExpireArgs {
    /// The archive: a directory, s3://BUCKET/PREFIX, https://HOST/PATH, or ssh://HOST/PATH
    #[arg(value_name = "ARCHIVE")]
    archive: ArchiveName,
    /// Keep the N newest versions
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    keep_last: u64,
    /// Keep the newest version of each of the last N hours in which there is one
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    keep_hourly: u64,
    /// The same for days
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    keep_daily: u64,
    /// The same for weeks, from Monday to Sunday
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    keep_weekly: u64,
    /// The same for months
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    keep_monthly: u64,
    /// The same for years
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    keep_yearly: u64,
    /// Keep all versions that are at most SPAN older than the newest: 30d, or 1y6m (years, months,
    /// days, hours)
    #[arg(long, value_name = "SPAN", value_parser = span)]
    keep_within: Option<Period>,
    /// Keep the newest versions that take at most SIZE in the archive, with all bands below them
    #[arg(long, value_name = "SIZE", value_parser = size)]
    keep_space: Option<u64>,
    /// Let hours, days, weeks, months and years begin at this offset from UTC, such as +02:00
    #[arg(
        long,
        value_name = "OFFSET",
        value_parser = offset,
        default_value = "+00:00",
        hide_default_value = true,
        allow_hyphen_values = true
    )]
    zone: Offset,
}

fn span(text: &str) -> Result<Period, String> {
    Period::parse(text).ok_or_else(|| "expected a span such as 30d, 1y6m or 12h".to_owned())
}

fn offset(text: &str) -> Result<Offset, String> {
    let wanted = || "expected an offset from UTC, such as +02:00".to_owned();
    let (sign, rest) = match text.split_at_checked(1) {
        Some(("+", rest)) => (1, rest),
        Some(("-", rest)) => (-1, rest),
        _ => return Err(wanted()),
    };
    let (hours, minutes) = rest.split_once(':').ok_or_else(wanted)?;
    let number = |text: &str, most: i32| {
        let number = (text.len() == 2).then(|| text.parse::<i32>().ok()).flatten();
        number.filter(|number| (0..=most).contains(number)).ok_or_else(wanted)
    };
    let seconds = (number(hours, 14)? * 60 + number(minutes, 59)?) * 60;
    Offset::from_seconds(sign * seconds).map_err(|_| wanted())
}

/// What `keys` is asked.
#[derive(Debug, Clone, Args)]
struct KeysArgs {
    /// The archive: a directory, s3://BUCKET/PREFIX, https://HOST/PATH, or ssh://HOST/PATH
    #[arg(value_name = "ARCHIVE")]
    archive: ArchiveName,
    /// Write messages to KEY of the keyring for all runs that it does not open, as a stream for
    /// dura-push; may be given several times
    #[arg(short, long, value_name = "KEY")]
    recipient: Vec<OsString>,
    /// The same to the public key in FILE, which need not be in a keyring
    #[arg(long, value_name = "FILE")]
    recipient_file: Vec<PathBuf>,
    /// Write one message with the keys of all runs of a band, so that it opens at once
    #[arg(long)]
    join: bool,
    /// Sign the lists of the messages with the secret key KEY
    #[arg(long, value_name = "KEY")]
    sign: Option<OsString>,
}

/// Arguments of `filter`.
#[derive(Debug, Clone, Args)]
struct FilterArgs {
    /// A program that reads lines and writes some of them, such as grep -v, with its arguments
    #[arg(
        value_name = "COMMAND",
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    command: Vec<OsString>,
}

/// The program's arguments, for tests and tools.
pub fn command() -> clap::Command {
    IndexArgs::command()
}

/// The program.
pub fn main() -> ExitCode {
    common::main("dura-index", |args: &IndexArgs| &args.common, run)
}

fn run(args: IndexArgs, report: &Arc<Report>) -> anyhow::Result<()> {
    let json = args.json;
    let (reading, newer) = args.reading.settle_two(report)?;
    if newer.is_some() && !matches!(args.what, IndexCommand::Changes(_)) {
        bail!("--band may be given only once, except with changes");
    }
    if json
        && matches!(
            args.what,
            IndexCommand::Diff(_)
                | IndexCommand::List(_)
                | IndexCommand::Keys(_)
                | IndexCommand::Filter(_)
        )
    {
        bail!("--json: for bands, ls, find, changes, where and expire only");
    }
    let reading = &reading;
    let style = match json {
        true => Style::Json,
        false if pipe::stdout_is_terminal() => Style::Titled,
        false => Style::Columns,
    };
    match args.what {
        IndexCommand::Diff(args) => {
            let scan = pipe::attended_stdin()?;
            to_stdout(|out| diff::run(&args.into(), reading, scan, out, report))?;
            Ok(())
        }
        IndexCommand::List(of) => {
            to_stdout(|out| list::run(&of.archive, reading, out, report))?;
            Ok(())
        }
        IndexCommand::Ls(args) => {
            let LsArgs { archive, paths, names: FilesFromArgs { files_from }, one_level, sums } =
                args;
            let options = ls::Options { archive, paths, files_from, one_level, sums };
            records(style, |records| ls::run(&options, reading, records, report))
        }
        IndexCommand::Bands(BandsArgs { of, below }) => {
            records(style, |records| bands::run(&of.archive, below, reading, records, report))
        }
        IndexCommand::Find(args) => {
            let FindArgs { archive, patterns, files_from } = args;
            let options = find::Options { archive, patterns, files_from };
            records(style, |records| find::run(&options, reading, records, report))
        }
        IndexCommand::Changes(args) => {
            let ChangesArgs {
                archive,
                paths,
                names: FilesFromArgs { files_from },
                listing,
                metadata,
            } = args;
            let options = changes::Options { archive, paths, files_from, newer, listing, metadata };
            let sums = to_stdout(|out| {
                changes::run(&options, reading, &mut Records::new(out, style), report)
            })?;
            report.done(changes::in_words(&sums));
            Ok(())
        }
        IndexCommand::Where(args) => {
            let WhereArgs { archive, paths, names: FilesFromArgs { files_from } } = args;
            let options = locate::Options { archive, paths, files_from };
            records(style, |records| locate::run(&options, reading, records, report))
        }
        IndexCommand::Expire(args) => records(style, |records| {
            expire::run(&args.archive, &args.rules(), reading, records, report)
        }),
        IndexCommand::Keys(args) => args.run(reading, style == Style::Titled, report),
        IndexCommand::Filter(args) => {
            let listing = pipe::stdin()?;
            report.verbose(to_stdout(|out| filter::run(&args.command, listing, out))?);
            Ok(())
        }
    }
}

/// Standard output for a deed that writes records.
fn records(
    style: Style,
    deed: impl FnOnce(&mut Records<'_>) -> anyhow::Result<u64>,
) -> anyhow::Result<()> {
    to_stdout(|out| deed(&mut Records::new(out, style)))?;
    Ok(())
}

impl KeysArgs {
    fn run(
        self,
        reading: &ReadOptions,
        is_titled: bool,
        report: &Arc<Report>,
    ) -> anyhow::Result<()> {
        let KeysArgs { archive, recipient, recipient_file, join, sign } = self;
        let adds = !(recipient.is_empty() && recipient_file.is_empty());
        if !adds && (join || sign.is_some()) {
            return Err(Hinted::wrap(
                anyhow!("--join and --sign are of messages, and none are asked for"),
                "say for whom: -r KEY",
            ));
        }
        let options = keys::Options { archive, recipient, recipient_file, join, sign };
        if adds {
            refuse_terminal("pipe it into dura-push ARCHIVE")?;
            to_stdout(|out| keys::add(&options, reading, out, report))?;
        } else {
            to_stdout(|out| keys::run(&options, reading, out, is_titled, report))?;
        }
        Ok(())
    }
}

impl From<DiffArgs> for diff::Options {
    fn from(args: DiffArgs) -> diff::Options {
        diff::Options {
            archive: args.archive,
            tier: args.tier.unwrap_or_default(),
            parent: args.parent,
            full: args.full,
            no_resume: args.no_resume,
            must_exist: args.must_exist,
            max_deleted: args.max_deleted,
            max_changed: args.max_changed,
            distrust: args.distrust,
        }
    }
}

impl ExpireArgs {
    fn rules(&self) -> Rules {
        Rules {
            last: self.keep_last,
            hourly: self.keep_hourly,
            daily: self.keep_daily,
            weekly: self.keep_weekly,
            monthly: self.keep_monthly,
            yearly: self.keep_yearly,
            within: self.keep_within,
            space: self.keep_space,
            zone: self.zone,
        }
    }
}
