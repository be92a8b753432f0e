//! What vouches for the bands that a backup builds on: this host's journal, the copies that earlier
//! releases kept of what they had written, and with `--signed-by` the lists that a key has signed.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use anyhow::anyhow;

use crate::archive::caching;
use crate::archive::locked::locked;
use crate::archive::{Attested, unzip};
use crate::format::band::{BandId, BandName};
use crate::format::digest;
use crate::format::head::Head;
use crate::format::journal::{BandRecord, JournalEntry};
use crate::format::object::{Object, ObjectName};
use crate::report::message::{Hinted, Report, why};
use crate::store::cache::{Cache, CacheError};
use crate::store::journal::Journal;

/// An index that is not the one that this host has written, or that was signed.
#[derive(Debug, thiserror::Error)]
#[error("{0}: not the index that {1}")]
pub(crate) struct Unvouched(pub(crate) String, pub(crate) &'static str);

/// Opens the journal of who writes a band: in the cache that was named, else in the usual place. As
/// with the cache, one that others can write to ends the run; one that cannot be read is told of.
pub(crate) fn journal(
    cache: Option<&Path>,
    no_cache: bool,
    report: &Report,
) -> anyhow::Result<Option<Journal>> {
    let dir = match (cache, no_cache) {
        (_, true) => return Ok(None),
        (Some(cache), false) => Some(cache.join("journal")),
        (None, false) => caching::state_dir().map(|dir| dir.join("journal")),
    };
    let Some(dir) = dir else { return Ok(None) };
    match Journal::open(&dir) {
        Ok(journal) => Ok(Some(journal)),
        Err(CacheError::Io(error)) => {
            let (dir, why) = (dir.display(), why(&error));
            report.note(format_args!("{dir}: {why}: continuing without a journal"));
            Ok(None)
        }
        Err(error) => {
            let hint = "the journal records which bands this host wrote: you must own it, and nobody else may be able to write to it (chmod 700)";
            Err(Hinted::wrap(anyhow!("{}: {error}", dir.display()), hint))
        }
    }
}

/// What is known of an archive, and what is taken in.
pub(crate) struct Vouching {
    journal: Option<Journal>,
    cache: Option<Cache>,
    /// What `--signed-by` vouches for.
    signed: Option<Arc<Attested>>,
    taken: Mutex<TakenIndexes>,
}

#[derive(Default)]
struct TakenIndexes {
    /// Bands whose indexes are believed as they are.
    bands: HashSet<BandId>,
    /// What was seen of them, for the journal.
    seen: BTreeMap<([u8; 16], u32), (digest::Digest, digest::Digest)>,
    heads: Vec<(BandId, Vec<JournalEntry>)>,
    noted: HashSet<BandId>,
    looked: HashSet<BandId>,
    /// Indexes that nothing vouches for, by their band's name.
    passed: BTreeMap<String, Vec<u32>>,
    /// The archive holds bands.
    holds_bands: bool,
}

impl Vouching {
    /// With this journal, the copies that this host keeps, and what is signed; none with neither
    /// journal nor signatures.
    pub(crate) fn new(
        journal: Option<Journal>,
        cache: Option<Cache>,
        signed: Option<Arc<Attested>>,
    ) -> Option<Vouching> {
        let any = journal.is_some() || signed.is_some();
        any.then(|| Vouching { journal, cache, signed, taken: Mutex::default() })
    }

    fn taken(&self) -> MutexGuard<'_, TakenIndexes> {
        locked(&self.taken)
    }

    /// Whether signatures vouch, too.
    pub(crate) fn has_signers(&self) -> bool {
        self.signed.is_some()
    }

    /// Who does not know what is passed over.
    pub(crate) fn nobody(&self) -> &'static str {
        match (&self.journal, &self.signed) {
            (_, None) => "this host's journal does not know",
            (None, Some(_)) => "no list signed by --signed-by names",
            (Some(_), Some(_)) => {
                "neither this host's journal nor a list signed by --signed-by knows"
            }
        }
    }

    /// Who knows another text of an index.
    pub(crate) fn who(&self) -> &'static str {
        match (&self.journal, &self.signed) {
            (_, None) => "this host's journal knows",
            (None, Some(_)) => "its signed list names",
            (Some(_), Some(_)) => "this host's journal knows, or its signed list names",
        }
    }

    /// Whether this host has used the archive at this address.
    pub(crate) fn knows_archive(&self, address: &str) -> std::io::Result<bool> {
        self.journal.as_ref().map_or(Ok(false), |journal| journal.knows_archive(address))
    }

    /// The band that this host built on last in the archive at this address.
    pub(crate) fn newest(&self, address: &str) -> std::io::Result<Option<BandName>> {
        self.journal.as_ref().map_or(Ok(None), |journal| journal.newest(address))
    }

    /// Whether this host has seen or stored bands in the archive at this address.
    pub(crate) fn has_seen_bands(&self, address: &str) -> std::io::Result<bool> {
        self.journal.as_ref().map_or(Ok(false), |journal| journal.has_seen_bands(address))
    }

    /// Whether this host has pushed the band with this id into the archive at this address, and
    /// into no other.
    pub(crate) fn is_stored_alone(&self, id: BandId, address: &str) -> bool {
        let record = self.journal.as_ref().and_then(|journal| journal.band(id).ok().flatten());
        record.is_some_and(|record| record.stored.iter().eq([address]))
    }

    /// What is known of a band with this id.
    fn record(&self, head: &Head) -> anyhow::Result<Option<Arc<BandRecord>>> {
        let Some(journal) = &self.journal else { return Ok(None) };
        if let Some(record) = journal.band(head.id)? {
            return Ok(Some(record));
        }
        // What an earlier release kept counts as written by this host. Looked for once.
        let folder = self.cache.as_ref().and_then(|cache| cache.earlier(&head.band, head.id));
        let Some(folder) = folder.filter(|_| self.taken().looked.insert(head.id)) else {
            return Ok(None);
        };
        let entries = copies(&folder, head);
        journal.append(head.id, &entries)?;
        Ok(journal.band(head.id)?)
    }

    /// Whether anything is known of the band with this id.
    pub(crate) fn knows(&self, head: &Head) -> anyhow::Result<bool> {
        Ok(self.record(head)?.is_some())
    }

    /// Whether this is the band's HEAD as it was written.
    pub(crate) fn head(&self, head: &Head) -> anyhow::Result<bool> {
        let sha256 = digest::of(head.to_string().as_bytes());
        if self.record(head)?.is_some_and(|record| record.heads.contains(&sha256)) {
            return Ok(true);
        }
        let signed = self.signed.as_ref().map_or(Ok(false), |signed| signed.head(head))?;
        if signed {
            self.note(head);
        }
        Ok(signed)
    }

    /// Remembers a HEAD, to be written into the journal.
    fn note(&self, head: &Head) {
        let sha256 = digest::of(head.to_string().as_bytes());
        let mut taken = self.taken();
        if taken.noted.insert(head.id) {
            let entries = vec![JournalEntry::Band(head.band.clone()), JournalEntry::Head(sha256)];
            taken.heads.push((head.id, entries));
        }
    }

    /// Whether all these indexes of the band are known.
    pub(crate) fn numbers(
        &self,
        head: &Head,
        mut numbers: impl Iterator<Item = u32>,
    ) -> anyhow::Result<bool> {
        let record = self.record(head)?;
        let mut all = Ok(true);
        let _ = numbers.all(|number| {
            all = self.number(head, record.as_deref(), number);
            matches!(all, Ok(true))
        });
        all
    }

    fn number(
        &self,
        head: &Head,
        record: Option<&BandRecord>,
        number: u32,
    ) -> anyhow::Result<bool> {
        if record.is_some_and(|record| record.knows(number)) {
            return Ok(true);
        }
        let refused = record.is_some_and(|record| record.refuses(number));
        match self.signed.as_ref().filter(|_| !refused) {
            Some(signed) => Ok(signed.names(head, number)?),
            None => Ok(false),
        }
    }

    /// Believes the indexes of this band, and remembers what they are.
    pub(crate) fn take(&self, head: &Head) {
        self.note(head);
        self.taken().bands.insert(head.id);
    }

    /// Whether an index of the band is what was written, or is taken in.
    pub(crate) fn index(&self, head: &Head, number: u32, gzip: &[u8], text: &[u8]) -> bool {
        let record = self.journal.as_ref().and_then(|journal| journal.band(head.id).ok().flatten());
        if record.is_some_and(|record| record.vouches(number, gzip, text)) {
            return true;
        }
        let signed = || self.signed.as_ref().is_some_and(|signed| signed.has_read(head, number));
        let is_good = self.taken().bands.contains(&head.id) || signed();
        if is_good {
            // Without the gzip its text alone is known.
            let of_text = digest::of(text);
            let of_gzip = if gzip.is_empty() { of_text } else { digest::of(gzip) };
            self.taken().seen.insert((head.id.0, number), (of_text, of_gzip));
        }
        is_good
    }

    /// Remembers that the archive has another index: it is passed over from now on.
    pub(crate) fn differs(&self, head: &Head, number: u32) {
        if !self.numbers(head, std::iter::once(number)).unwrap_or(false) {
            return;
        }
        // Without it the next run finds out again.
        let entries = [JournalEntry::Band(head.band.clone()), JournalEntry::Differs(number)];
        let _ = self.journal.as_ref().map(|journal| journal.append(head.id, &entries));
    }

    /// Whether something may vouch for an index: else it need not be read.
    pub(crate) fn may_know(&self, head: &Head, number: u32) -> anyhow::Result<bool> {
        let taken = self.taken().bands.contains(&head.id);
        Ok(taken || self.numbers(head, std::iter::once(number))?)
    }

    /// An index is not built on.
    pub(crate) fn pass(&self, head: &Head, number: u32) {
        self.taken().passed.entry(head.band.to_string()).or_default().push(number);
    }

    /// The archive holds bands: from now on it is known.
    pub(crate) fn holds_bands(&self) {
        self.taken().holds_bands = true;
    }

    /// Tells of indexes that are not built on.
    pub(crate) fn tell(&self, report: &Report) {
        for (band, numbers) in std::mem::take(&mut self.taken().passed) {
            let Some(first) = numbers.iter().min() else { continue };
            report.warn(format_args!(
                "{band}: {} index {first:09}: not building on it or on later ones",
                self.nobody()
            ));
        }
    }

    /// Writes into the journal what was taken in, and which band is built on.
    pub(crate) fn finish(&self, address: &str, built: Option<&BandName>) -> std::io::Result<()> {
        let taken = std::mem::take(&mut *self.taken());
        let Some(journal) = &self.journal else { return Ok(()) };
        if taken.holds_bands {
            journal.note_archive(address)?;
        }
        if let Some(band) = built {
            journal.note_newest(address, band)?;
        }
        for (id, mut entries) in taken.heads {
            let of = taken.seen.range((id.0, 0)..=(id.0, u32::MAX));
            entries
                .extend(of.map(|((_, at), (text, gzip))| JournalEntry::Index(*at, *text, *gzip)));
            journal.append(id, &entries)?;
        }
        Ok(())
    }
}

/// What an earlier release kept of a band.
fn copies(folder: &Path, head: &Head) -> Vec<JournalEntry> {
    let list = |dir: &Path| {
        let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect::<Vec<PathBuf>>()
    };
    let mut entries = vec![JournalEntry::Band(head.band.clone())];
    entries.extend(
        std::fs::read(folder.join("HEAD")).ok().map(|head| JournalEntry::Head(digest::of(&head))),
    );
    for path in list(folder).iter().flat_map(|below| list(below)) {
        let name =
            path.strip_prefix(folder).ok().and_then(Path::to_str).and_then(ObjectName::parse);
        let Some(Object::Index(number)) = name.map(|name| name.object) else { continue };
        let Ok(gzip) = std::fs::read(&path) else { continue };
        let Ok(text) = unzip(&gzip, crate::format::object::Object::Index(0)) else { continue };
        entries.push(JournalEntry::Index(number, digest::of(&text), digest::of(&gzip)));
    }
    entries
}
