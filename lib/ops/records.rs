//! Records on standard output: columns that people and scripts read, or lines of JSON.

use std::io::Write;

use anyhow::Context;
use serde_json::{Map, Value};

use crate::edge::pipe::{self, Out};
use crate::format::time::{Stamp, Time};
use crate::ops::CANNOT_WRITE;

/// What a record holds, by name. None is `null`.
pub(crate) type Fields = Vec<(&'static str, Value)>;

/// Standard output, as a list of records.
pub(crate) struct Records {
    out: Out,
    json: bool,
    line: Vec<u8>,
}

impl Records {
    /// Begins a list; what the columns are, on a terminal.
    pub(crate) fn open(json: bool, heading: Option<&str>) -> anyhow::Result<Records> {
        let mut records = Records { out: pipe::stdout()?, json, line: Vec::new() };
        if let Some(heading) = heading.filter(|_| !json && pipe::stdout_is_terminal()) {
            writeln!(records.out, "{heading}").context(CANNOT_WRITE)?;
        }
        Ok(records)
    }

    /// Writes a record: its columns, or its fields.
    pub(crate) fn write(
        &mut self,
        columns: impl FnOnce(&mut Vec<u8>),
        fields: impl FnOnce() -> Fields,
    ) -> anyhow::Result<()> {
        self.line.clear();
        match self.json {
            false => columns(&mut self.line),
            true => {
                let fields = fields().into_iter().map(|(name, value)| (name.to_owned(), value));
                self.line.extend(Value::Object(fields.collect::<Map<_, _>>()).to_string().bytes());
            }
        }
        self.line.push(b'\n');
        self.out.write_all(&self.line).context(CANNOT_WRITE)
    }

    /// Ends the list.
    pub(crate) fn finish(self) -> anyhow::Result<()> {
        self.out.finish().context(CANNOT_WRITE)
    }
}

/// The fields of a time: text, in UTC, where a year of four digits has it, and what comes behind
/// its seconds.
pub(crate) fn time_fields(time: Option<Time>) -> Fields {
    let text = time
        .map(|time| Stamp::from_unix(time.sec).map_or_else(|| time.to_string(), Stamp::to_rfc3339));
    vec![("time", text.into()), ("nanoseconds", time.map(|time| time.nsec).into())]
}
