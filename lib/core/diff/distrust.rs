//! What verify found lost or damaged, so that the next band stores it anew: `--distrust`.

use std::collections::BTreeSet;

use crate::core::delta::links::DeltaLink;
use crate::core::merge::Placed;
use crate::core::verify::FindingKind;
use crate::format::band::BandName;
use crate::format::entry::Within;
use crate::format::listing::Header;
use crate::format::object::{Object, ObjectName};
use crate::format::path::Path;

/// Blocks and files of a chain that nothing may refer to any more.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Distrust {
    blocks: BTreeSet<Within>,
    paths: BTreeSet<Path>,
    /// How many findings were about something else, such as other bands.
    pub others: u64,
}

/// A line that verify does not write.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {0}: not a line of dura-verify")]
pub struct NoFinding(pub u64);

impl Distrust {
    /// Reads lines as verify writes them; `chain` are the bands that the new one is based on, the
    /// full one first.
    ///
    /// # Errors
    /// The first line that is no finding of these bands.
    pub fn read(text: &str, chain: &[BandName]) -> Result<Distrust, NoFinding> {
        let mut distrust = Distrust::default();
        for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.is_empty()) {
            let no_finding = || NoFinding(number);
            let (kind, rest) = line.split_once(' ').ok_or_else(no_finding)?;
            let (subject, _) = rest.split_once(": ").ok_or_else(no_finding)?;
            let (band, name) = subject.split_once('/').ok_or_else(no_finding)?;
            let band: BandName = band.parse().map_err(|_| no_finding())?;
            let tier = chain.iter().position(|known| *known == band);
            let block = match ObjectName::parse(name).map(|name| name.object) {
                Some(Object::Block(block, _) | Object::Part(block, ..)) => Some(block),
                _ => None,
            };
            match (FindingKind::from_word(kind).ok_or_else(no_finding)?, tier, block) {
                (FindingKind::Missing | FindingKind::Damaged, Some(tier), Some(block)) => {
                    distrust.blocks.insert(Within { tier: tier as u8, block });
                }
                (FindingKind::File, ..) => {
                    let path = Path::parse(name.as_bytes()).map_err(|_| no_finding())?;
                    distrust.paths.insert(path);
                }
                _ => distrust.others += 1,
            }
        }
        Ok(distrust)
    }

    /// True if nothing is distrusted.
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty() && self.paths.is_empty()
    }

    /// Adds a block or delta.
    pub fn push(&mut self, block: Within) {
        self.blocks.insert(block);
    }

    /// Whether nothing may refer to a delta, by what it is made of.
    pub fn refuses_delta(&self, links: &[DeltaLink]) -> bool {
        links.iter().any(|link| self.refuses(link.at, &link.line.path))
    }

    /// Lines for who refers to content of the chain.
    pub fn headers(&self) -> impl Iterator<Item = Header> {
        let blocks = self.blocks.iter().copied().map(Header::DistrustedBlock);
        blocks.chain(self.paths.iter().cloned().map(Header::DistrustedFile))
    }

    /// Takes such a line; false if it is another.
    pub fn handle_header(&mut self, header: &Header) -> bool {
        match header {
            Header::DistrustedBlock(block) => _ = self.blocks.insert(*block),
            Header::DistrustedFile(path) => _ = self.paths.insert(path.clone()),
            _ => return false,
        }
        true
    }

    /// Whether nothing may refer to content of this block, which has it under this path.
    pub fn refuses(&self, block: Within, name: &Path) -> bool {
        self.blocks.contains(&block) || self.paths.contains(name)
    }

    /// Whether an entry of the version is to be stored anew.
    pub(super) fn concerns(&self, placed: &Placed) -> bool {
        self.refuses(placed.data(), placed.name_in_block())
            || self.paths.contains(&placed.entry.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_name_blocks_and_files_of_the_chain() {
        let names = ["20261101T020000Z", "20261101T020000Z-20261108T020000Z", "20261001T020000Z"];
        let [full, layer, other] = names.map(|name| name.parse::<BandName>().unwrap());
        let chain = [full.clone(), layer.clone()];
        let text = format!(
            "missing {full}/00000/000000003.tar.gz.gpg: in the list of its group\n\
             damaged {layer}/00000/000000032.tar.gz.000001: other bytes: than listed\n\n\
             damaged {other}/00000/000000003.tar.gz: other bytes\n\
             damaged {full}/00000/000000004.mtree.gz: other bytes\n\
             unlisted {full}/HEAD: in no list\n\
             file {layer}/./a\\040b: lost\n"
        );
        let found = Distrust::read(&text, &chain).unwrap();
        let blocks: Vec<Within> = found.blocks.iter().copied().collect();
        assert_eq!(
            blocks,
            [Within { tier: 0, block: 3 }, Within { tier: 1, block: 32 }],
            "the other band has a block of this number, too"
        );
        assert_eq!(found.paths.iter().map(Path::to_string).collect::<Vec<_>>(), ["./a\\040b"]);
        assert_eq!((found.others, found.is_empty()), (3, false));
        assert!(Distrust::read("", &chain).unwrap().is_empty());
        for bad in ["rubbish", "missing x", "missing x/y: z", "lost 20261101T020000Z/HEAD: x"] {
            assert_eq!(Distrust::read(&format!("\n{bad}\n"), &chain), Err(NoFinding(2)), "{bad}");
        }
    }
}
