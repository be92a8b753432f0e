//! Records: columns that people and scripts read, or lines of JSON.

use std::io::Write;

use anyhow::Context;
use serde_json::{Map, Value};

use crate::format::time::{Stamp, Time};
use crate::ops::CANNOT_WRITE;

/// What a record holds, by name. None is `null`.
pub(crate) type Fields = Vec<(&'static str, Value)>;

/// How records are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// As columns.
    Columns,
    /// As columns, below a line that names them, where they have one.
    Titled,
    /// As lines of JSON.
    Json,
}

/// A list of records.
pub struct Records<'a> {
    out: &'a mut dyn Write,
    style: Style,
    line: Vec<u8>,
    count: u64,
}

impl<'a> Records<'a> {
    /// A list that goes there.
    pub fn new(out: &'a mut dyn Write, style: Style) -> Records<'a> {
        Records { out, style, line: Vec::new(), count: 0 }
    }

    /// Says what the columns are.
    pub(crate) fn title(&mut self, columns: &str) -> anyhow::Result<()> {
        match self.style {
            Style::Titled => writeln!(self.out, "{columns}").context(CANNOT_WRITE),
            Style::Columns | Style::Json => Ok(()),
        }
    }

    /// How many records were written.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Writes a record: its columns, or its fields.
    pub(crate) fn write(
        &mut self,
        columns: impl FnOnce(&mut Vec<u8>),
        fields: impl FnOnce() -> Fields,
    ) -> anyhow::Result<()> {
        self.line.clear();
        match self.style {
            Style::Columns | Style::Titled => columns(&mut self.line),
            Style::Json => {
                let fields = fields().into_iter().map(|(name, value)| (name.to_owned(), value));
                self.line.extend(Value::Object(fields.collect::<Map<_, _>>()).to_string().bytes());
            }
        }
        self.line.push(b'\n');
        self.count += 1;
        self.out.write_all(&self.line).context(CANNOT_WRITE)
    }
}

/// The fields of a time: text, in UTC, where a year of four digits has it, and what comes behind
/// its seconds.
pub(crate) fn time_fields(time: Option<Time>) -> Fields {
    let text = time
        .map(|time| Stamp::from_unix(time.sec).map_or_else(|| time.to_string(), Stamp::to_rfc3339));
    vec![("time", text.into()), ("nanoseconds", time.map(|time| time.nsec).into())]
}
