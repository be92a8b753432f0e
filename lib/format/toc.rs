//! Table of contents: which block holds which paths.

use std::fmt;

use super::band::BandId;
use super::entry::number;
use super::path::Path;

/// One index of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TocRow {
    /// Its number.
    pub number: u32,
    /// Its first and last path; none when it lists nothing.
    pub span: Option<(Path, Path)>,
    /// How many parts its block has: 0 for no block, 1 for one object.
    pub parts: u32,
    /// What is said beside that of the block.
    pub marks: TocMarks,
}

/// What a table says of a block beside its parts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TocMarks {
    /// The sums of a large file lie beside it.
    pub sums: bool,
    /// It is a delta.
    pub delta: bool,
}

impl TocMarks {
    fn parse(words: &[&[u8]]) -> Option<TocMarks> {
        let (sums, delta) = match words {
            [] => (false, false),
            [b"sums"] => (true, false),
            [b"rdiff"] => (false, true),
            [b"sums", b"rdiff"] => (true, true),
            _ => return None,
        };
        Some(TocMarks { sums, delta })
    }
}

impl fmt::Display for TocMarks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.sums { " sums" } else { "" })?;
        f.write_str(if self.delta { " rdiff" } else { "" })
    }
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
    pub rows: Vec<TocRow>,
    /// In the last table of a run: the earlier ones.
    pub earlier: Vec<Earlier>,
}

impl Toc {
    /// Reads a table, decompressed; none if it is cut or no table.
    pub fn parse(text: &[u8]) -> Option<Toc> {
        let mut lines = text.strip_suffix(b"\n")?.split(|&b| b == b'\n');
        let words =
            |line: &'_ [u8]| line.split(|&b| b == b' ').map(<[u8]>::to_vec).collect::<Vec<_>>();
        let path = |word: &[u8]| match word {
            b"-" => Some(None),
            word => Path::parse(word).ok().map(Some),
        };
        let first = words(lines.next()?);
        let [b"#toc", id, last] = first.iter().map(Vec::as_slice).collect::<Vec<_>>()[..] else {
            return None;
        };
        let mut toc = Toc {
            id: std::str::from_utf8(id).ok()?.parse().ok()?,
            rows: Vec::new(),
            earlier: Vec::new(),
        };
        for line in lines {
            let line = words(line);
            match line.iter().map(Vec::as_slice).collect::<Vec<_>>()[..] {
                [b"toc", n, first] => {
                    toc.earlier.push(Earlier { number: number(n)?, first: path(first)? })
                }
                [n, first, last, parts, ref marks @ ..] => {
                    let (span, marks) = (path(first)?.zip(path(last)?), TocMarks::parse(marks)?);
                    let (number, parts) = (number(n)?, number(parts)?);
                    toc.rows.push(TocRow { number, span, parts, marks });
                }
                _ => return None,
            }
        }
        (toc.number()? == number::<u32>(last)?).then_some(toc)
    }

    /// The number of the last index it lists, which is its own; none for an empty table, which no
    /// program writes.
    pub fn number(&self) -> Option<u32> {
        self.rows.last().map(|row| row.number)
    }
}

impl fmt::Display for Toc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "#toc {} {:09}", self.id, self.number().unwrap_or_default())?;
        for TocRow { number, span, parts, marks } in &self.rows {
            match span {
                Some((first, last)) => writeln!(f, "{number:09} {first} {last} {parts}{marks}")?,
                None => writeln!(f, "{number:09} - - {parts}{marks}")?,
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
        let row = |number, span, parts| TocRow { number, span, parts, marks: TocMarks::default() };
        let toc = Toc {
            id: "00112233445566778899aabbccddeeff".parse().unwrap(),
            rows: vec![
                row(4096, Some((Path::root(), path("a b"))), 1),
                row(4097, None, 0),
                TocRow {
                    marks: TocMarks { sums: true, delta: true },
                    ..row(4099, Some((path("big"), path("big"))), 12)
                },
            ],
            earlier: vec![Earlier { number: 4095, first: Some(Path::root()) }],
        };
        let text = "#toc 00112233445566778899aabbccddeeff 000004099\n000004096 . ./a\\040b 1\n000004097 - - 0\n000004099 ./big ./big 12 sums rdiff\ntoc 000004095 .\n";
        assert_eq!(toc.to_string(), text);
        assert_eq!(Toc::parse(text.as_bytes()), Some(toc));
        for bad in [
            &text[1..],
            &text[..60],
            &text.replace("000004099 ./", "000004098 ./"),
            &text.replace("./a", "../a"),
            &format!("{} x\n", &text[..37]),
            &text.replace("12 sums rdiff", "12 rdiff sums"),
            &text.replace("12 sums rdiff", "12 new"),
            "",
        ] {
            assert_eq!(Toc::parse(bad.as_bytes()), None);
        }
    }
}
