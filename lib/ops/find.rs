//! In which versions a path is.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use crate::archive::named::ArchiveName;
use crate::archive::reading::ReadOptions;
use crate::archive::version::{Version, must_exist};
use crate::core::selection::sought::{Hits, Sought};
use crate::format::digest::Digest;
use crate::format::entry::{Entry, Kind};
use crate::format::path::{self, Path};
use crate::format::time::Time;
use crate::ops::asked;
use crate::ops::records::{Fields, Records, time_fields};
use crate::report::message::Report;

/// What is looked for.
#[derive(Debug, Clone)]
pub struct Options {
    /// The archive.
    pub archive: ArchiveName,
    /// Names at any depth, paths below the source, or patterns.
    pub patterns: Vec<OsString>,
    /// Files with more of them.
    pub files_from: Vec<PathBuf>,
}

/// What makes two versions of a path the same to the person who looks for it.
type FoundAs = (Option<u64>, Option<Time>, Option<Digest>);

/// How a path has looked, each time with the bands that have it so.
type Appearances = Vec<(FoundAs, Vec<String>)>;

/// Writes a line for each content that a path has had: path, size, time, digest, and the bands with
/// it. Gives how many lines there are.
///
/// # Errors
/// What keeps it from looking through all versions.
pub fn run(
    options: &Options,
    reading: &ReadOptions,
    records: &mut Records<'_>,
    report: &Arc<Report>,
) -> anyhow::Result<u64> {
    must_exist(&options.archive)?;
    let archive = Arc::new(reading.open(&options.archive, report)?);
    let typed = asked::typed(&options.patterns, &options.files_from)?;
    let mut sought: Option<Sought> = None;
    let mut found: BTreeMap<Path, (Hits, Appearances)> = BTreeMap::new();
    for name in archive.bands(report)? {
        let chain = match archive.chain(&name) {
            Ok(chain) => chain,
            Err(error) => {
                report.warn(format_args!("{name}: cannot be read: {error:#}"));
                continue;
            }
        };
        let sought = match &mut sought {
            Some(sought) => sought,
            none => {
                let source = asked::source(&archive, &chain, &typed, report)?;
                none.insert(Sought::new(&typed, source.as_deref())?)
            }
        };
        let mut version = Version::open(&archive, &chain, report)?;
        while let Some(placed) = version.next_entry()? {
            let Entry { path, kind, size, .. } = &placed.entry;
            let hits = sought.look_at(path, *kind == Kind::Dir);
            if hits.is_empty() {
                continue;
            }
            let look = (*size, placed.entry.meta().map(|meta| meta.time), placed.entry.digest());
            let (_, looks) = found.entry(path.clone()).or_insert_with(|| (hits, Vec::new()));
            match looks.iter_mut().find(|(known, _)| *known == look) {
                Some((_, bands)) => bands.push(name.to_string()),
                None => looks.push((look, vec![name.to_string()])),
            }
        }
    }
    let sought = match sought {
        Some(sought) => sought,
        None => Sought::new(&typed, None)?,
    };
    asked::tell_of_braces(sought.with_braces(), report);
    for (path, (hits, looks)) in &found {
        if !sought.means(hits) {
            continue;
        }
        for ((size, time, sha256), bands) in looks {
            let columns = |line: &mut Vec<u8>| {
                let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
                let size = or_dash(size.map(|size| size.to_string()));
                let time = or_dash(time.map(|time| time.to_string()));
                let sha256 = or_dash(sha256.map(hex::encode));
                line.extend(format!("{path} {size} {time} {sha256} {}", bands.join(",")).bytes());
            };
            records.write(columns, || {
                let mut fields: Fields =
                    vec![("path", path.to_string().into()), ("size", (*size).into())];
                fields.extend(time_fields(*time));
                fields.push(("sha256", sha256.map(hex::encode).into()));
                fields.push(("bands", bands.clone().into()));
                fields
            })?;
        }
    }
    for typed in sought.unseen() {
        report.warn(format_args!("{}: in no version", path::shown(typed)));
    }
    Ok(records.count())
}
