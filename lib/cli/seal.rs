//! `dura-seal`: encrypts objects with gpg, and lists their checksums.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, anyhow, bail};
use clap::{CommandFactory, Parser};

use super::common::{self, Common};
use super::message::{Hinted, Report};
use crate::core::groups::Groups;
use crate::edge::budget::Budget;
use crate::edge::gpg::{self, GpgError, Keys};
use crate::edge::ordered::{Ordered, Submit};
use crate::edge::pipe;
use crate::format::group::{DEFAULT_SLOTS, Member};
use crate::format::head::Head;
use crate::format::object::{Object, ObjectName};
use crate::format::stream::{self, Item, Reader, StreamError};

mod keys;

/// Encrypt a band's objects with gpg, and list their checksums
///
/// Reads an object stream (from dura-pack) on standard input and writes it, with each block, index and table of contents encrypted
/// and a checksum list after each group of objects, to standard output. Without options it only adds checksum lists.
#[derive(Debug, Parser)]
#[command(name = "dura-seal", version, max_term_width = 100)]
#[command(after_help = "Exit status: 0 done; 2 not done.\n\
    Example: dura-scan ~ | dura-pack | dura-seal -r me@example.org | dura-push /mnt/backup")]
struct SealArgs {
    /// Encrypt to KEY of the keyring: a fingerprint, a mail address; may be given several times
    #[arg(short, long, value_name = "KEY")]
    recipient: Vec<std::ffi::OsString>,
    /// Encrypt to the public key in FILE, which need not be in a keyring; may be given several times
    #[arg(long, value_name = "FILE")]
    recipient_file: Vec<PathBuf>,
    /// Encrypt with the passphrase in --passphrase-file
    #[arg(long, requires = "passphrase_file", conflicts_with_all = ["recipient", "recipient_file"])]
    symmetric: bool,
    /// The first line of FILE is the passphrase
    #[arg(long, value_name = "FILE", requires = "symmetric")]
    passphrase_file: Option<PathBuf>,
    /// Put K objects into a group
    #[arg(long, value_name = "K", default_value_t = DEFAULT_SLOTS, value_parser = slots)]
    group: usize,
    /// How many gpg run at once [default: one for each core]
    #[arg(short, long, value_name = "N")]
    jobs: Option<usize>,
    #[command(flatten)]
    common: Common,
}

fn slots(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|slots| (1..=255).contains(slots)).ok_or_else(|| "wanted a number from 1 to 255".to_owned())
}

/// The program's arguments, for tests and tools.
pub fn command() -> clap::Command {
    SealArgs::command()
}

/// The program.
pub fn main() -> ExitCode {
    common::main("dura-seal", |args: &SealArgs| &args.common, run)
}

/// Bytes of objects that may be under way at once; one larger object goes alone.
const MAX_UNDER_WAY: u64 = 40 << 20;

type Sealed = Result<(Item, Member), GpgError>;

fn run(args: SealArgs, report: &Arc<Report>) -> anyhow::Result<()> {
    if pipe::stdout_is_terminal() {
        return Err(Hinted::wrap(anyhow!("standard output is a terminal"), "pipe it into dura-push ARCHIVE, or into a file"));
    }
    let keys = Arc::new(keys::resolve(&args, report)?);
    let jobs = common::jobs(args.jobs);
    let (submit, results) = Ordered::start::<Sealed>(jobs, jobs + 1)?;
    let budget = Arc::new(Budget::new(MAX_UNDER_WAY));
    let mut stream = Reader::new(pipe::stdin()?);

    // The first object tells which band it is: HEAD, or what the continuation says.
    let first = stream.next_item()?.ok_or(StreamError::Empty)?;
    let continues = stream.continues();
    if !stream::in_place(None, &first.name, continues.is_some()) {
        bail!("the object stream does not begin with HEAD");
    }
    let id = match (continues, first.name.object) {
        (Some(id), _) => id,
        (None, _) => Head::parse(&first.bytes).with_context(|| format!("{}/HEAD", first.band))?.id,
    };
    let mtime = stream.mtime();
    let mut out = pipe::stdout()?;
    if let Some(id) = continues {
        out.write_all(&stream::continuation(&first.band, &id)).context(CANNOT_WRITE)?;
    }
    let band = first.band.clone();
    let mut groups = Groups::new(band.clone(), id, args.group);
    let mut write = |item: &Item| {
        report.verbose(format_args!("{} {} bytes", item.name, item.bytes.len()));
        stream::write(&mut out, item, mtime).context(CANNOT_WRITE)
    };
    let list = |(name, list): (ObjectName, crate::format::group::List)| Item {
        band: band.clone(),
        name,
        bytes: list.to_string().into_bytes(),
    };

    let last = std::thread::scope(|scope| {
        let feeder = Feeder { keys, budget: Arc::clone(&budget), submit };
        let feeding = scope.spawn(move || feeder.run(stream, first, continues.is_some()));
        let closing = budget.closing();
        for sealed in results {
            let (item, member) = sealed?;
            write(&item)?;
            budget.adjust(item.bytes.len() as u64, 0);
            if let Some(complete) = groups.handle_object(member) {
                write(&list(complete))?;
            }
        }
        drop(closing);
        match feeding.join() {
            Ok(outcome) => outcome,
            Err(_) => bail!("reading broke off"),
        }
    })?;
    // Only now is the input known to be whole.
    if let Some(complete) = groups.finish() {
        write(&list(complete))?;
    }
    for item in &last {
        write(item)?;
    }
    out.write_all(&stream::END).context(CANNOT_WRITE)?;
    out.finish().context(CANNOT_WRITE)
}

const CANNOT_WRITE: &str = "cannot write the object stream";

/// Reads objects and queues them.
struct Feeder {
    keys: Arc<Option<Keys>>,
    budget: Arc<Budget>,
    submit: Submit<Sealed>,
}

impl Feeder {
    /// Returns TAIL, once the end of the stream has come.
    fn run(self, mut stream: Reader<impl std::io::Read>, first: Item, continues: bool) -> anyhow::Result<Vec<Item>> {
        let mut last = Vec::new();
        let mut before = None;
        let mut next = Some(first);
        while let Some(item) = next {
            if !stream::in_place(before.as_ref(), &item.name, continues) {
                bail!("{}/{} is out of place in the object stream", item.band, item.name);
            }
            if item.name.encrypted || matches!(item.name.object, Object::List(..) | Object::ListSig(..) | Object::Parity(..)) {
                return Err(Hinted::wrap(
                    anyhow!("{}/{} is sealed already", item.band, item.name),
                    "use dura-seal once in a pipe",
                ));
            }
            before = Some(item.name);
            if matches!(item.name.object, Object::Tail | Object::TailSig) {
                last.push(item);
            } else if !self.queue(item) {
                return Ok(Vec::new());
            }
            next = match stream.next_item_if(&mut |size| self.budget.take(size)) {
                // Nobody takes the results any more, and that side has the reason.
                Err(StreamError::Stopped) => return Ok(Vec::new()),
                item => item?,
            };
        }
        match before.map(|name| name.object) {
            Some(Object::Tail | Object::TailSig) => Ok(last),
            _ => bail!("the object stream has no TAIL: what came before failed"),
        }
    }

    /// False when nobody takes the results any more, who then has the reason.
    fn queue(&self, mut item: Item) -> bool {
        let (keys, budget) = (Arc::clone(&self.keys), Arc::clone(&self.budget));
        let seal = move || {
            if let (Some(keys), true) = (&*keys, item.name.is_secret()) {
                let plain = std::mem::take(&mut item.bytes);
                item.bytes = gpg::encrypt(keys, &plain)?;
                item.name.encrypted = true;
                budget.adjust(plain.len() as u64, item.bytes.len() as u64);
            }
            let member = Member::of(item.name, &item.bytes);
            Ok((item, member))
        };
        self.submit.submit(seal).is_ok()
    }
}
