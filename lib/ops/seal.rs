//! `dura-seal`: encrypts objects with gpg, lists their checksums, and adds parity and signatures.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, anyhow, bail};
use clap::{CommandFactory, Parser};

use crate::archive::caching;
use crate::cli::common::{self, Common};
use crate::edge::budget::Budget;
use crate::edge::gpg::{GpgError, Sealer};
use crate::edge::ordered::{Ordered, Submit};
use crate::edge::pipe;
use crate::format::group::{DEFAULT_SLOTS, MAX_SHARDS, Member};
use crate::format::head::Head;
use crate::format::object::Object;
use crate::format::stream::{self, Item, Preface, Reader, SealedAs, StreamError};
use crate::ops::room;
use crate::report::message::{Hinted, Report};
use crate::store::cache::Cache;

mod keys;
pub(crate) use keys::{not_to_be_used, signer, to_keys};
mod parity;
mod write;

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
    recipient: Vec<std::ffi::OsString>,
    /// Encrypt to the public key in FILE, which need not be in a keyring; may be given several
    /// times
    #[arg(long, value_name = "FILE")]
    recipient_file: Vec<PathBuf>,
    /// Also encrypt to KEY, but without its id in the archive; may be given several times
    #[arg(short = 'R', long, value_name = "KEY")]
    hidden_recipient: Vec<std::ffi::OsString>,
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
    passphrase_command: Option<std::ffi::OsString>,
    /// Sign each checksum list and TAIL with the secret key KEY
    #[arg(long, value_name = "KEY")]
    sign: Option<std::ffi::OsString>,
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

/// What gpg takes, and an object that it encrypts.
const PER_JOB: u64 = 16 << 20;

/// Bytes of objects that may be under way at once; one larger object goes alone.
const MAX_UNDER_WAY: u64 = 40 << 20;

type Sealed = Result<(Item, Member), GpgError>;

fn run(args: SealArgs, report: &Arc<Report>) -> anyhow::Result<()> {
    if pipe::stdout_is_terminal() {
        return Err(Hinted::wrap(
            anyhow!("standard output is a terminal"),
            "pipe it into dura-push ARCHIVE, or into a file",
        ));
    }
    if args.group + args.parity > MAX_SHARDS {
        let all = args.group + args.parity;
        return Err(Hinted::wrap(
            anyhow!(
                "groups of {} objects and {} parity shards: {all} in total, but the maximum is {MAX_SHARDS}",
                args.group,
                args.parity
            ),
            "lower --group or --parity",
        ));
    }
    let keys = keys::resolve(&args, report)?;
    let signer = args.sign.as_deref().map(|name| keys::signer(name, report)).transpose()?;
    let signed = signer.is_some();
    let jobs = room::jobs(args.jobs, 0, PER_JOB);
    let (submit, results) = Ordered::start::<Sealed>(jobs, jobs + 1)?;
    let budget = Arc::new(Budget::new(room::room().bytes(MAX_UNDER_WAY, 4)));
    let mut stream = Reader::new(pipe::stdin()?);

    // The first object tells which band it is: HEAD, or what the continuation says.
    let first = stream.next_item()?.ok_or(StreamError::Empty)?;
    let continues = stream.continues();
    if !stream::in_place(None, &first.name, continues.is_some()) {
        bail!("the object stream does not begin with HEAD");
    }
    let (id, has_keys) = match continues {
        Some(id) => (id, stream.preface().keys),
        None => {
            let head = Head::parse(&first.bytes).with_context(|| format!("{}/HEAD", first.band))?;
            (head.id, head.keys)
        }
    };
    let (keys, run) = match keys {
        Some(to) if has_keys => {
            let (sealer, message) = keys::of_run(&to, report)?;
            (Some(sealer), Some(message))
        }
        keys => (keys, None),
    };
    let keys = Arc::new(keys);
    let out = write::Out {
        report,
        band: first.band.clone(),
        mtime: stream.mtime(),
        signer,
        pipe: pipe::stdout()?,
        notes: caching::dir(args.cache.as_deref(), args.no_cache)
            // What is wrong with a cache, dura-pack tells.
            .and_then(|dir| Cache::open(&dir).ok())
            .map(|cache| cache.sealed(id)),
    };
    let shape = (args.group, args.parity);
    let mut writer = write::Writer::new(out, id, shape, run, Arc::clone(&budget))?;
    let sealed = SealedAs {
        encrypted: keys.is_some(),
        signed,
        parity: args.parity.try_into().unwrap_or(u32::MAX),
    };
    // A stream that pack begins with HEAD begins with HEAD here, too.
    let mut preface = stream.preface().clone();
    if preface != Preface::default() {
        preface.sealed = Some(sealed);
    }
    writer.begin(&preface)?;
    let tail = std::thread::scope(|scope| {
        let feeder = Feeder { keys, budget: Arc::clone(&budget), submit };
        let feeding = scope.spawn(move || feeder.run(stream, first, continues.is_some()));
        let closing = budget.closing();
        for sealed in results {
            let (item, member) = sealed?;
            writer.object(item, member)?;
        }
        drop(closing);
        match feeding.join() {
            Ok(outcome) => outcome,
            Err(_) => bail!("a reader thread stopped unexpectedly"),
        }
    })?;
    // Only now is the input known to be whole.
    writer.finish(tail)
}

/// Reads objects and queues them.
struct Feeder {
    keys: Arc<Option<Sealer>>,
    budget: Arc<Budget>,
    submit: Submit<Sealed>,
}

impl Feeder {
    /// Returns TAIL, once the end of the stream has come; nothing when nobody takes the results,
    /// who then has the reason.
    fn run(
        self,
        mut stream: Reader<impl std::io::Read>,
        first: Item,
        continues: bool,
    ) -> anyhow::Result<Option<Item>> {
        let mut tail = None;
        let mut before = None;
        let mut next = Some(first);
        while let Some(item) = next {
            if !stream::in_place(before.as_ref(), &item.name, continues) {
                bail!("{}/{} is out of place in the object stream", item.band, item.name);
            }
            if item.name.encrypted || !(item.name.is_grouped() || item.name.object == Object::Tail)
            {
                return Err(Hinted::wrap(
                    anyhow!("{}/{} is already sealed", item.band, item.name),
                    "use dura-seal only once in a pipeline",
                ));
            }
            before = Some(item.name);
            if item.name.object == Object::Tail {
                tail = Some(item);
            } else if !self.queue(item) {
                return Ok(None);
            }
            next = match stream.next_item_if(&mut |size| self.budget.take(size)) {
                Err(StreamError::Stopped) => return Ok(None),
                item => item?,
            };
        }
        if tail.is_none() {
            bail!("the object stream has no TAIL: a previous program failed");
        }
        Ok(tail)
    }

    /// False when nobody takes the results any more.
    fn queue(&self, mut item: Item) -> bool {
        let (keys, budget) = (Arc::clone(&self.keys), Arc::clone(&self.budget));
        let seal = move || {
            if let (Some(keys), true) = (&*keys, item.name.is_secret()) {
                let plain = std::mem::take(&mut item.bytes);
                item.bytes = keys.encrypt(&plain)?;
                item.name.encrypted = true;
                budget.adjust(plain.len() as u64, item.bytes.len() as u64);
            }
            let member = Member::of(item.name, &item.bytes);
            Ok((item, member))
        };
        self.submit.submit(seal).is_ok()
    }
}
