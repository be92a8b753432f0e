//! Which keys open which run, and messages for more recipients.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;

use crate::archive::named::ArchiveName;
use crate::archive::reading::ReadOptions;
use crate::archive::version::{choose, must_exist};
use crate::archive::{Archive, RunMessages};
use crate::edge::clock;
use crate::edge::gpg::{self, GpgSealer, Keys, Signatory};
use crate::format::band::{BandId, BandName};
use crate::format::group::{GroupMember, List};
use crate::format::object::{Object, ObjectName};
use crate::format::openpgp::{KeyId, holds, openers};
use crate::format::stream::{self, Preface, StreamItem};
use crate::ops::CANNOT_WRITE;
use crate::ops::keyring;
use crate::report::message::Report;

/// What the columns are, for people: scripts get lines alone.
const HEADING: &str = "band run here keys";

/// The bytes of a run key in its message: a line of base64.
const LINE: usize = 45;

/// What is asked of an archive's keys.
#[derive(Debug, Clone)]
pub struct Options {
    /// The archive.
    pub archive: ArchiveName,
    /// Keys of the keyring that get messages for the runs that they do not open.
    pub recipient: Vec<OsString>,
    /// Files with public keys that get them.
    pub recipient_file: Vec<PathBuf>,
    /// One message with the keys of all runs of a band.
    pub join: bool,
    /// The secret key that signs the lists of the messages.
    pub sign: Option<OsString>,
}

impl Options {
    /// The archive, and which of its bands are asked about.
    fn open(
        &self,
        reading: &ReadOptions,
        report: &Arc<Report>,
    ) -> anyhow::Result<(Archive, Vec<BandName>)> {
        must_exist(&self.archive)?;
        let archive = reading.open(&self.archive, report)?;
        let bands = match &reading.band {
            Some(asked) => vec![choose(&archive, &self.archive, Some(asked), None, report)?],
            None => archive.bands(report)?,
        };
        Ok((archive, bands))
    }
}

/// Writes a line a run: the band, the run's first number, whether a secret key is here that opens
/// it, and the ids of all keys that do; below what the columns are, if that is wanted. Gives how
/// many lines there are.
///
/// # Errors
/// What keeps it from the whole answer.
pub fn run(
    options: &Options,
    reading: &ReadOptions,
    out: &mut dyn Write,
    is_titled: bool,
    report: &Arc<Report>,
) -> anyhow::Result<u64> {
    let (archive, bands) = options.open(reading, report)?;
    if is_titled {
        writeln!(out, "{HEADING}").context(CANNOT_WRITE)?;
    }
    let mut count = 0;
    let secret = gpg::secret_ids().unwrap_or_else(|error| {
        report.note(format_args!("cannot tell which secret keys are here: {error}"));
        Vec::new()
    });
    for band in &bands {
        let Some(runs) = archive.run_messages(band)? else {
            writeln!(out, "{band} {}", without_keys(&archive, band, &secret)?)
                .context(CANNOT_WRITE)?;
            count += 1;
            continue;
        };
        let all: Vec<&Vec<u8>> =
            runs.iter().flat_map(|run| &run.messages).filter(|it| is_joined(it, &runs)).collect();
        for run in &runs {
            let messages: Vec<&Vec<u8>> =
                run.messages.iter().filter(|it| !is_joined(it, &runs)).chain(all.clone()).collect();
            writeln!(out, "{band} {:09} {}", run.place.0, columns(&messages, &secret))
                .context(CANNOT_WRITE)?;
            count += 1;
        }
    }
    Ok(count)
}

/// Whether a message has the keys of all runs.
fn is_joined(message: &[u8], runs: &[RunMessages]) -> bool {
    // Half a line more or less is of the form of the message.
    runs.len() > 1 && holds(message).is_some_and(|size| size + LINE / 2 >= runs.len() * LINE)
}

/// Whether a secret key is here, and the keys.
fn columns(messages: &[&Vec<u8>], secret: &[KeyId]) -> String {
    let (mut ids, mut phrase) = (BTreeSet::new(), false);
    for message in messages {
        let (recipients, passphrases) = openers(message);
        ids.extend(recipients);
        phrase |= !passphrases.is_empty();
    }
    let here = if ids.iter().any(|id| secret.contains(id)) { "here" } else { "-" };
    let shown = |id: &KeyId| match *id {
        KeyId::HIDDEN => "hidden".to_owned(),
        id => id.to_string(),
    };
    let mut keys: Vec<String> = ids.iter().map(shown).collect();
    keys.extend(phrase.then(|| "passphrase".to_owned()));
    let keys = if keys.is_empty() { "-".to_owned() } else { keys.join(",") };
    format!("{here} {keys}")
}

/// The same for a band without key objects: by its first index.
fn without_keys(archive: &Archive, band: &BandName, secret: &[KeyId]) -> anyhow::Result<String> {
    let index = ObjectName { object: Object::Index(0), encrypted: true };
    let columns = match archive.store().get_range(&format!("{band}/{index}"), 0, index.most()) {
        Ok(message) => columns(&[&message], secret),
        Err(_) => "- -".to_owned(),
    };
    Ok(format!("- {columns}"))
}

/// Writes messages for more recipients as an object stream. Gives how many objects it has.
///
/// # Errors
/// What keeps it from writing any message, or the whole stream.
pub fn add(
    options: &Options,
    reading: &ReadOptions,
    out: &mut dyn Write,
    report: &Arc<Report>,
) -> anyhow::Result<u64> {
    let (archive, bands) = options.open(reading, report)?;
    let sealer = keyring::to_keys(&options.recipient, &[], &options.recipient_file, report)?;
    let signer = options.sign.as_deref().map(|name| keyring::signer(name, report)).transpose()?;
    let mtime = u64::try_from(clock::stamp()?.unix()).unwrap_or(0);
    let mut out = KeyStream { stream: out, signer, mtime, objects: 0 };
    let mut without: Option<anyhow::Error> = None;
    for band in &bands {
        let (Some(head), tail) = archive.ends(band)? else { continue };
        let Some(runs) = archive.run_messages(band)? else {
            report.note(format_args!("{band}: has no key objects: nothing can be added"));
            continue;
        };
        let mut begun = false;
        let mut write = |run: &RunMessages, keys: &[Arc<gpg::Passphrase>]| {
            let message = gpg::seal_keys(&sealer, keys).map_err(keyring::not_to_be_used)?;
            if !std::mem::replace(&mut begun, true) {
                out.begin(band, head.id)?;
            }
            out.message(band, head.id, run, message)
        };
        let keys = runs.iter().map(|run| (run, archive.key_of_run(band, run.place)));
        if options.join && tail.is_some() && runs.len() > 1 {
            if runs
                .iter()
                .flat_map(|run| &run.messages)
                .any(|it| is_joined(it, &runs) && opens_for(&sealer, it))
            {
                continue;
            }
            match keys.map(|(_, key)| key).collect::<anyhow::Result<Vec<_>>>() {
                Ok(keys) => write(&runs[0], &keys)?,
                Err(error) => _ = without.get_or_insert(error),
            }
            continue;
        }
        for (run, key) in
            keys.filter(|(run, _)| !run.messages.iter().any(|it| opens_for(&sealer, it)))
        {
            match key {
                Ok(key) => write(run, &[key])?,
                Err(error) => _ = without.get_or_insert(error),
            }
        }
    }
    match without {
        Some(error) if out.objects == 0 => return Err(error),
        Some(error) => report.warn(format_args!("{error:#}: nothing was added there")),
        None => {}
    }
    out.stream.write_all(&stream::END).context(CANNOT_WRITE)?;
    Ok(out.objects)
}

/// Whether each key that the sealer seals to opens a message already.
fn opens_for(sealer: &GpgSealer, message: &[u8]) -> bool {
    let (recipients, _) = openers(message);
    match sealer.keys() {
        Keys::Public(wanted) => {
            wanted.iter().all(|to| to.ids.iter().any(|id| recipients.contains(id)))
        }
        Keys::Symmetric(..) => false,
    }
}

/// Where the stream goes.
struct KeyStream<'a> {
    stream: &'a mut dyn Write,
    signer: Option<Signatory>,
    mtime: u64,
    objects: u64,
}

impl KeyStream<'_> {
    fn begin(&mut self, band: &BandName, id: BandId) -> anyhow::Result<()> {
        let preface = Preface { adds: Some((band.clone(), id)), ..Preface::default() };
        self.stream.write_all(&preface.to_bytes()).context(CANNOT_WRITE)
    }

    fn put(&mut self, band: &BandName, name: ObjectName, bytes: Vec<u8>) -> anyhow::Result<()> {
        self.objects += 1;
        let item = StreamItem { band: band.clone(), name, bytes };
        stream::write(&mut self.stream, &item, self.mtime).context(CANNOT_WRITE)
    }

    /// Writes a message, its list, and the signature of that.
    fn message(
        &mut self,
        band: &BandName,
        id: BandId,
        run: &RunMessages,
        message: Vec<u8>,
    ) -> anyhow::Result<()> {
        let ((number, counter), added) = (run.place, run.next);
        let name = ObjectName { object: Object::Key(number, counter, added), encrypted: true };
        let (name_of, members) = ((number, counter), vec![GroupMember::of(name, &message)]);
        let (band_of, slots, parity) = (band.clone(), 1, 0);
        let list = List { band: band_of, id, name: name_of, added, slots, parity, members };
        let text = list.text().into_bytes();
        let signature = self.signer.as_ref().map(|key| key.sign(&text)).transpose();
        let signature = signature.with_context(|| list.object().to_string())?;
        self.put(band, name, message)?;
        self.put(band, list.object(), text)?;
        signature.map_or(Ok(()), |bytes| self.put(band, list.signature(), bytes))
    }
}
