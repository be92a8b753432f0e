//! `dura-seal`: encrypts objects with gpg, lists their checksums, and adds parity and signatures.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{CommandFactory, Parser};

use crate::cli::common::{self, Common, refuse_terminal, to_stdout};
use crate::edge::pipe;
use crate::format::group::DEFAULT_SLOTS;
use crate::ops::seal;
use crate::report::message::Report;

/// Encrypt a band's objects with gpg, and protect them with checksums, parity and signatures
///
/// Reads an object stream (from dura-pack) on standard input, encrypts each block, index and table
/// of contents, adds a checksum list after each group of objects, and writes the stream to standard
/// output. Without options it only adds checksum lists.
#[derive(Debug, Parser)]
#[command(name = "dura-seal", version, max_term_width = 100)]
#[command(after_help = "Exit status: 0 done; 2 not done.\n\
    Example: dura-scan ~ | dura-pack | dura-seal -r me@example.org --parity 2 | dura-push /mnt/backup")]
struct SealArgs {
    /// Encrypt to KEY of the keyring: a fingerprint or mail address; may be given several times
    #[arg(short, long, value_name = "KEY")]
    recipient: Vec<OsString>,
    /// Encrypt to the public key in FILE, which need not be in a keyring; may be given several
    /// times
    #[arg(long, value_name = "FILE")]
    recipient_file: Vec<PathBuf>,
    /// Also encrypt to KEY, but without its id in the archive; may be given several times
    #[arg(short = 'R', long, value_name = "KEY")]
    hidden_recipient: Vec<OsString>,
    /// Encrypt with the passphrase from --passphrase-file or --passphrase-command
    #[arg(long, conflicts_with_all = ["recipient", "recipient_file", "hidden_recipient"])]
    symmetric: bool,
    /// Use the first line of FILE as the passphrase
    #[arg(long, value_name = "FILE", requires = "symmetric")]
    passphrase_file: Option<PathBuf>,
    /// Use the first line that COMMAND writes as the passphrase; sh runs it
    #[arg(
        long,
        value_name = "COMMAND",
        requires = "symmetric",
        conflicts_with = "passphrase_file"
    )]
    passphrase_command: Option<OsString>,
    /// Sign each checksum list and TAIL with the secret key KEY
    #[arg(long, value_name = "KEY")]
    sign: Option<OsString>,
    /// Add M shards of parity to each group: any M of its objects can then be rebuilt
    #[arg(long, value_name = "M", default_value_t = 0, value_parser = shards)]
    parity: usize,
    /// Put K objects into each group
    #[arg(long, value_name = "K", default_value_t = DEFAULT_SLOTS, value_parser = slots)]
    group: usize,
    /// Record in DIR what is sealed, so that a run that continues this one can list it
    #[arg(long, value_name = "DIR", env = "DURA_CACHE", hide_env_values = true)]
    cache: Option<PathBuf>,
    /// Record nothing
    #[arg(long)]
    no_cache: bool,
    /// Run N gpg processes at a time [default: one for each core]
    #[arg(short, long, value_name = "N")]
    jobs: Option<usize>,
    #[command(flatten)]
    common: Common,
}

fn slots(text: &str) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|slots| (2..=255).contains(slots))
        .ok_or_else(|| "expected a number from 2 to 255".to_owned())
}

fn shards(text: &str) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|shards| (0..=255).contains(shards))
        .ok_or_else(|| "expected a number from 0 to 255".to_owned())
}

/// The program's arguments, for tests and tools.
pub fn command() -> clap::Command {
    SealArgs::command()
}

/// The program.
pub fn main() -> ExitCode {
    common::main("dura-seal", |args: &SealArgs| &args.common, run)
}

fn run(args: SealArgs, report: &Arc<Report>) -> anyhow::Result<()> {
    let options = seal::Options {
        recipient: args.recipient,
        recipient_file: args.recipient_file,
        hidden_recipient: args.hidden_recipient,
        symmetric: args.symmetric,
        passphrase_file: args.passphrase_file,
        passphrase_command: args.passphrase_command,
        sign: args.sign,
        parity: args.parity,
        group: args.group,
        cache: args.cache,
        no_cache: args.no_cache,
        jobs: args.jobs,
    };
    refuse_terminal("pipe it into dura-push ARCHIVE, or into a file")?;
    let input = pipe::stdin()?;
    to_stdout(|out| seal::run(options, input, out, report))?;
    Ok(())
}
