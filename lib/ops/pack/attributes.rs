//! Attributes of the entries that pack stores: what cannot be read of them is reported and counted,
//! and costs nothing else.

use std::sync::atomic::Ordering;

use crate::edge::attributes::{self, At, Attributes, UnreadAttribute};
use crate::edge::source::{FileStat, SourceFile};
use crate::format::entry::{Entry, Kind};
use crate::ops::pack::reading::FileReading;
use crate::report::message::why;

/// What could be read of an entry's attributes.
#[derive(Default)]
pub(super) struct Got {
    pub attributes: Attributes,
    /// False if some could not be read. The entry's line then has no ctime, so that the next run
    /// tries again.
    pub all: bool,
}

impl Got {
    fn none() -> Got {
        Got { all: true, ..Got::default() }
    }
}

impl FileReading {
    /// Those of a file that is open.
    pub(super) fn of_file(&self, entry: &Entry, file: &SourceFile, facts: &FileStat) -> Got {
        // The scan has looked; the file is only asked again if it has changed since.
        if !entry.x && entry.ctime == Some(facts.ctime) {
            return Got::none();
        }
        self.tell_of_attributes(entry, attributes::read(At::File(file.fd())))
    }

    /// Those of an entry without content.
    pub(super) fn of_plain(&self, entry: &Entry) -> Got {
        // Only where the scan could not list them does a line of its lack the ctime.
        let asked = entry.x || (entry.ctime.is_none() && entry.kind != Kind::File);
        if !asked || entry.hard.is_some() {
            return Got::none();
        }
        let read = self.source.attributes(&entry.path).unwrap_or_else(|error| {
            (Attributes::default(), vec![UnreadAttribute { name: Vec::new(), error }])
        });
        self.tell_of_attributes(entry, read)
    }

    fn tell_of_attributes(&self, entry: &Entry, read: (Attributes, Vec<UnreadAttribute>)) -> Got {
        let (attributes, unread) = read;
        for UnreadAttribute { name, error } in &unread {
            let name = name.escape_ascii().to_string();
            let (what, colon) = if name.is_empty() { ("", "") } else { (name.as_str(), ": ") };
            self.report.warn(format_args!(
                "{}: attributes not stored: {what}{colon}{}",
                entry.path,
                why(error)
            ));
        }
        let all = unread.is_empty();
        if !all {
            self.unattributed.fetch_add(1, Ordering::Relaxed);
        }
        Got { attributes, all }
    }
}
