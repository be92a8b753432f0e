//! Table of contents: which block holds which paths.

use std::fmt;

use super::band::BandId;
use super::path::Path;

/// One index of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Its number.
    pub number: u32,
    /// Its first and last path; none when it lists nothing.
    pub span: Option<(Path, Path)>,
    /// How many parts its block has: 0 for no block, 1 for one object.
    pub parts: u32,
}

/// A table that an earlier one of the same run is found by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Earlier {
    /// Its number.
    pub number: u32,
    /// Its first path; none when it lists nothing.
    pub first: Option<Path>,
}

/// A table of contents, before compression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Toc {
    /// The band's id.
    pub id: BandId,
    /// The indexes since the table before.
    pub rows: Vec<Row>,
    /// In the last table of a run: the earlier ones.
    pub earlier: Vec<Earlier>,
}

impl Toc {
    /// The number of the last index it lists, which is its own; none for an empty table, which no program writes.
    pub fn number(&self) -> Option<u32> {
        self.rows.last().map(|row| row.number)
    }
}

impl fmt::Display for Toc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "#toc {} {:09}", self.id, self.number().unwrap_or_default())?;
        for Row { number, span, parts } in &self.rows {
            match span {
                Some((first, last)) => writeln!(f, "{number:09} {first} {last} {parts}")?,
                None => writeln!(f, "{number:09} - - {parts}")?,
            }
        }
        for Earlier { number, first } in &self.earlier {
            match first {
                Some(first) => writeln!(f, "toc {number:09} {first}")?,
                None => writeln!(f, "toc {number:09} -")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden() {
        let path = |raw: &str| Path::from_raw(raw.as_bytes());
        let toc = Toc {
            id: "00112233445566778899aabbccddeeff".parse().unwrap(),
            rows: vec![
                Row { number: 4096, span: Some((Path::root(), path("a b"))), parts: 1 },
                Row { number: 4097, span: None, parts: 0 },
                Row { number: 4099, span: Some((path("big"), path("big"))), parts: 12 },
            ],
            earlier: vec![Earlier { number: 4095, first: Some(Path::root()) }],
        };
        let text = "#toc 00112233445566778899aabbccddeeff 000004099\n000004096 . ./a\\040b 1\n000004097 - - 0\n000004099 ./big ./big 12\ntoc 000004095 .\n";
        assert_eq!(toc.to_string(), text);
    }
}
