//! What an object stream says before its first object, in pax global headers that every tar passes
//! over: which band it continues, and what diff found of it.

use super::super::band::{BandId, BandName};
use super::super::counted::CountedBlocks;
use super::super::cut::BegunBlock;
use super::super::entry::number;
use super::super::object::{Object, ObjectName};
use super::super::tarball::{padding, record};
use super::push_header;

/// How many unlisted objects stand in one header.
const MAX_UNLISTED: usize = 500;

/// What dura-seal does with a stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SealedAs {
    /// It encrypts.
    pub encrypted: bool,
    /// It signs lists and TAIL.
    pub signed: bool,
    /// It adds so many shards of parity to each group.
    pub parity: u32,
}

impl SealedAs {
    /// Takes in what an object of the stream shows of it.
    pub fn handle(&mut self, name: &ObjectName) {
        self.encrypted |= name.encrypted;
        self.signed |= matches!(name.object, Object::ListSig(..) | Object::TailSig);
        if let Object::Parity(_, _, shard) = name.object {
            self.parity = self.parity.max(shard + 1);
        }
    }
}

/// What stands before the first object of a stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Preface {
    /// The band that the stream continues; none if it begins with HEAD.
    pub continues: Option<(BandName, BandId)>,
    /// The band to which the objects that follow are added, though it may be complete.
    pub adds: Option<(BandName, BandId)>,
    /// The number with which the run begins, if it continues a band.
    pub next: Option<u32>,
    /// True if that band may hold key objects.
    pub keys: bool,
    /// What dura-seal did; none if it did nothing, or was an earlier one.
    pub sealed: Option<SealedAs>,
    /// What counts of that band, or of the new band's parent, and must be in every archive.
    pub counted: CountedBlocks,
    /// Objects of the continued band that no list names, with their sizes as stored.
    pub unlisted: Vec<(ObjectName, u64)>,
    /// Blocks of the continued band that were begun and not ended, with the parts that are there:
    /// the stream has the others.
    pub parts: Vec<BegunBlock>,
}

impl Preface {
    /// The headers.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        if let Some((band, id)) = &self.continues {
            out.extend(continuation(band, id));
        }
        if let Some((band, id)) = &self.adds {
            push_comment(&mut out, &format!("dura-add {band} {id}"));
        }
        if let Some(next) = self.next {
            push_comment(&mut out, &format!("dura-next {next:09}"));
        }
        if self.keys {
            push_comment(&mut out, "dura-uses keys");
        }
        if let Some(SealedAs { encrypted, signed, parity }) = self.sealed {
            let yes = |is: bool| if is { "yes" } else { "no" };
            let (encrypted, signed) = (yes(encrypted), yes(signed));
            let line = format!("dura-sealed encrypted={encrypted} signed={signed} parity={parity}");
            push_comment(&mut out, &line);
        }
        for piece in self.counted.pieces() {
            push_comment(&mut out, &format!("dura-counted {piece}"));
        }
        for piece in self.parts.iter().cloned().flat_map(BegunBlock::pieces) {
            push_comment(&mut out, &format!("dura-parts {piece}"));
        }
        for piece in self.unlisted.chunks(MAX_UNLISTED) {
            let words: Vec<String> =
                piece.iter().map(|(name, size)| format!("{name}:{size}")).collect();
            push_comment(&mut out, &format!("dura-unlisted {}", words.join(" ")));
        }
        out
    }

    /// Takes the comment of the next header; none if no program writes it.
    pub(super) fn handle_line(&mut self, line: &str) -> Option<()> {
        let (keyword, rest) = line.split_once(' ')?;
        match keyword {
            "dura" if self.continues.is_none() => {
                let (band, id) = rest.split_once(' ')?;
                self.continues = Some((band.parse().ok()?, id.parse().ok()?));
                Some(())
            }
            "dura-add" if self.adds.is_none() && self.continues.is_none() => {
                let (band, id) = rest.split_once(' ')?;
                self.adds = Some((band.parse().ok()?, id.parse().ok()?));
                Some(())
            }
            "dura-next" if self.next.is_none() => {
                self.next = Some(number(rest.as_bytes())?);
                Some(())
            }
            "dura-uses" if !self.keys && rest == "keys" => {
                self.keys = true;
                Some(())
            }
            "dura-sealed" if self.sealed.is_none() => {
                let mut words = rest.split(' ');
                let is = |word: &str| match word {
                    "yes" => Some(true),
                    "no" => Some(false),
                    _ => None,
                };
                self.sealed = Some(SealedAs {
                    encrypted: is(words.next()?.strip_prefix("encrypted=")?)?,
                    signed: is(words.next()?.strip_prefix("signed=")?)?,
                    parity: number(words.next()?.strip_prefix("parity=")?.as_bytes())?,
                });
                words.next().is_none().then_some(())
            }
            "dura-counted" => {
                self.counted.extend(&CountedBlocks::parse(rest.as_bytes())?).then_some(())
            }
            "dura-parts" => {
                let words: Vec<&[u8]> = rest.split(' ').map(str::as_bytes).collect();
                BegunBlock::extend(&mut self.parts, BegunBlock::parse(&words)?);
                Some(())
            }
            "dura-unlisted" => {
                for word in rest.split(' ') {
                    let (name, size) = word.split_once(':')?;
                    self.unlisted.push((ObjectName::parse(name)?, number(size.as_bytes())?));
                }
                Some(())
            }
            _ => None,
        }
    }
}

/// The pax global header by which a stream without HEAD says which band it continues.
pub fn continuation(band: &BandName, id: &BandId) -> Vec<u8> {
    let mut out = Vec::new();
    push_comment(&mut out, &format!("dura {band} {id}"));
    out
}

fn push_comment(out: &mut Vec<u8>, comment: &str) {
    let mut records = Vec::new();
    record(&mut records, b"comment", comment.as_bytes());
    let size = records.len() as u64;
    push_header(out, "", "PaxHeaders/dura", size, 0, tar::EntryType::XGlobalHeader);
    out.extend(records);
    out.resize(out.len() + padding(size), 0);
}

#[cfg(test)]
mod tests {
    use super::super::{END, StreamError, StreamItem, StreamReader, write};
    use super::*;

    fn preface() -> Preface {
        let mut counted = CountedBlocks::default();
        (0..2100).for_each(|number| counted.push(number, number % 3));
        let unlisted =
            (0..1200).map(|n| (ObjectName::parse(&format!("00000/{n:09}.tar.gz")).unwrap(), 7));
        Preface {
            continues: Some(("20261101T020000Z".parse().unwrap(), BandId([7; 16]))),
            adds: None,
            next: Some(32),
            keys: true,
            sealed: Some(SealedAs { encrypted: true, signed: false, parity: 2 }),
            counted,
            unlisted: unlisted.collect(),
            parts: vec![
                BegunBlock { number: 3, parts: (0..700).collect(), ..BegunBlock::default() },
                BegunBlock { number: 5, is_delta: true, has_sums: true, parts: vec![1] },
            ],
        }
    }

    fn read(preface: &[u8], name: &str) -> Result<Preface, StreamError> {
        let item = StreamItem {
            band: "20261101T020000Z".parse().unwrap(),
            name: ObjectName::parse(name).unwrap(),
            bytes: vec![1],
        };
        let mut bytes = preface.to_vec();
        write(&mut bytes, &item, 7).unwrap();
        bytes.extend(END);
        let mut reader = StreamReader::new(&bytes[..]);
        reader.next_item()?;
        Ok(reader.preface().clone())
    }

    #[test]
    fn comes_back_whole() {
        let all = preface();
        assert_eq!(read(&all.to_bytes(), "TAIL").unwrap(), all);
        let adds = Preface { adds: all.continues.clone(), ..Preface::default() };
        assert_eq!(read(&adds.to_bytes(), "00000/000000000-0.1.key.gpg").unwrap(), adds);
        let new = Preface { continues: None, unlisted: Vec::new(), parts: Vec::new(), ..all };
        assert_eq!(read(&new.to_bytes(), "HEAD").unwrap(), new);
        assert_eq!(Preface::default().to_bytes(), b"");
    }

    #[test]
    fn what_no_program_writes() {
        let band = "20261101T020000Z";
        let id = BandId([7; 16]);
        for comment in [
            "dura",
            "dura x",
            "dura-counted 5-1:1",
            "dura-unlisted HEAD",
            "dura-unlisted ../x:1",
            "dura-later thing",
            "dura-next x",
            "dura-uses deltas",
            "dura-sealed encrypted=yes signed=maybe parity=0",
        ] {
            let mut bytes = Vec::new();
            push_comment(&mut bytes, comment);
            assert!(read(&bytes, "HEAD").is_err(), "{comment}");
        }
        // Two bands, or numbers twice.
        let twice = continuation(&band.parse().unwrap(), &id).repeat(2);
        assert!(read(&twice, "TAIL").is_err());
        let mut counted = Vec::new();
        (0..2).for_each(|_| push_comment(&mut counted, "dura-counted 0-1:1"));
        assert!(read(&counted, "HEAD").is_err());
    }
}
