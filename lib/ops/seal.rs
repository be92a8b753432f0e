//! `dura-seal`: encrypts objects with gpg, lists their checksums, and adds parity and signatures.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, anyhow, bail};

use crate::archive::caching;
use crate::edge::budget::Budget;
use crate::edge::gpg::{GpgError, GpgSealer};
use crate::edge::ordered::{Ordered, Submit};
use crate::format::group::{GroupMember, MAX_SHARDS};
use crate::format::head::Head;
use crate::format::object::Object;
use crate::format::stream::{self, Preface, SealedAs, StreamError, StreamItem, StreamReader};
use crate::ops::keyring;
use crate::ops::room;
use crate::report::message::{Hinted, Report};
use crate::store::cache::Cache;

mod keys;
mod parity;
mod write;

/// How a band's objects are protected.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Keys of the keyring that can open them.
    pub recipient: Vec<OsString>,
    /// Files with public keys that can.
    pub recipient_file: Vec<PathBuf>,
    /// Keys of the keyring that can, of which the archive does not hold the ids.
    pub hidden_recipient: Vec<OsString>,
    /// A passphrase opens them.
    pub symmetric: bool,
    /// The file whose first line is the passphrase.
    pub passphrase_file: Option<PathBuf>,
    /// The command whose first line is the passphrase.
    pub passphrase_command: Option<OsString>,
    /// The secret key that signs lists and TAIL.
    pub sign: Option<OsString>,
    /// How many shards of parity each group gets.
    pub parity: usize,
    /// How many objects a group has.
    pub group: usize,
    /// Where it is noted what was sealed [default: the usual place].
    pub cache: Option<PathBuf>,
    /// Note nothing.
    pub no_cache: bool,
    /// How many gpg processes run at a time [default: one for each core].
    pub jobs: Option<usize>,
}

/// What gpg takes, and an object that it encrypts.
const PER_JOB: u64 = 16 << 20;

/// Bytes of objects that may be under way at once; one larger object goes alone.
const MAX_UNDER_WAY: u64 = 40 << 20;

type SealResult = Result<(StreamItem, GroupMember), GpgError>;

/// Reads an object stream, and writes it with protected objects. Gives how many objects it wrote.
///
/// # Errors
/// What keeps the stream from being whole, and keys that cannot be used.
pub fn run(
    options: Options,
    input: impl Read + Send,
    out: &mut dyn Write,
    report: &Arc<Report>,
) -> anyhow::Result<u64> {
    if options.group + options.parity > MAX_SHARDS {
        let all = options.group + options.parity;
        return Err(Hinted::wrap(
            anyhow!(
                "groups of {} objects and {} parity shards: {all} in total, but the maximum is {MAX_SHARDS}",
                options.group,
                options.parity
            ),
            "lower --group or --parity",
        ));
    }
    let keys = keys::resolve(&options, report)?;
    let signer = options.sign.as_deref().map(|name| keyring::signer(name, report)).transpose()?;
    let signed = signer.is_some();
    let jobs = room::jobs(options.jobs, 0, PER_JOB);
    let (submit, results) = Ordered::start::<SealResult>(jobs, jobs + 1)?;
    let budget = Arc::new(Budget::new(room::room().bytes(MAX_UNDER_WAY, 4)));
    let mut stream = StreamReader::new(input);

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
            let (sealer, message) = keyring::of_run(&to, report)?;
            (Some(sealer), Some(message))
        }
        keys => (keys, None),
    };
    let keys = Arc::new(keys);
    let sink = write::ObjectSink {
        report,
        band: first.band.clone(),
        mtime: stream.mtime(),
        signer,
        stream: out,
        objects: 0,
        notes: caching::dir(options.cache.as_deref(), options.no_cache)
            // What is wrong with a cache, dura-pack tells.
            .and_then(|dir| Cache::open(&dir).ok())
            .map(|cache| cache.sealed(id)),
    };
    let shape = (options.group, options.parity);
    let mut writer = write::SealWriter::new(sink, id, shape, run, Arc::clone(&budget))?;
    let sealed = SealedAs {
        encrypted: keys.is_some(),
        signed,
        parity: options.parity.try_into().unwrap_or(u32::MAX),
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
    keys: Arc<Option<GpgSealer>>,
    budget: Arc<Budget>,
    submit: Submit<SealResult>,
}

impl Feeder {
    /// Returns TAIL, once the end of the stream has come; nothing when nobody takes the results,
    /// who then has the reason.
    fn run(
        self,
        mut stream: StreamReader<impl Read>,
        first: StreamItem,
        continues: bool,
    ) -> anyhow::Result<Option<StreamItem>> {
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
    fn queue(&self, mut item: StreamItem) -> bool {
        let (keys, budget) = (Arc::clone(&self.keys), Arc::clone(&self.budget));
        let seal = move || {
            if let (Some(keys), true) = (&*keys, item.name.is_secret()) {
                let plain = std::mem::take(&mut item.bytes);
                item.bytes = keys.encrypt(&plain)?;
                item.name.encrypted = true;
                budget.adjust(plain.len() as u64, item.bytes.len() as u64);
            }
            let member = GroupMember::of(item.name, &item.bytes);
            Ok((item, member))
        };
        self.submit.submit(seal).is_ok()
    }
}
