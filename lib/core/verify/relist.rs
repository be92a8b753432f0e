//! Checksum lists made anew: of objects that have none, and from what is legible of a damaged one.
//!
//! An interrupted run leaves objects without a list, and lists can be lost. What a list says of an
//! object can be had again from the object itself, if that is not damaged. So whatever a damaged
//! list still says goes before what is found: else damage to an object would be listed as what it
//! should be.

use std::collections::HashMap;

use super::stream_order::{headed_late, position};
use crate::format::band::{BandId, BandName};
use crate::format::digest::{self, Digest};
use crate::format::group::{GroupMember, List, PIECE};
use crate::format::object::{Object, ObjectName};

/// What a damaged list says of an object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Claim {
    /// The `#object` line: size and digests of pieces.
    pieces: Option<(u64, Vec<Digest>)>,
    /// The checksum line.
    sha256: Option<Digest>,
}

/// What is legible of a damaged list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Claims {
    objects: HashMap<ObjectName, Claim>,
    /// Slots and parity.
    shape: Option<(usize, usize)>,
    /// How many lines there are, if the last one is there and they can be counted.
    lines: Option<usize>,
}

impl Claims {
    /// Reads the lines that have their form; all others are passed over. If it is the list of
    /// another group or band, nothing is read.
    pub fn read(text: &[u8], band: &BandName, id: BandId, name: (u32, u32)) -> Claims {
        let (own, group) =
            (format!("#band {band} {id}"), format!("#group {:09}-{} ", name.0, name.1));
        let another = |line: &[u8]| {
            let (band, list) = (
                line.starts_with(b"#band ") && line != own.as_bytes(),
                line.starts_with(b"#group "),
            );
            // A line that says what a line of another list would say is not taken for a damaged
            // one.
            (band && has_band(line))
                || (list && !line.starts_with(group.as_bytes()) && has_group(line))
        };
        if text.split(|&b| b == b'\n').any(another) {
            return Claims::default();
        }
        let mut claims = Claims::default();
        let count = text.split(|&b| b == b'\n').count() - 1;
        let last = text.split(|&b| b == b'\n').nth(count.saturating_sub(1)).unwrap_or_default();
        // Where more is overwritten than a byte, newlines may be, too.
        let odd = text.iter().filter(|&&b| b != b'\n' && !(b' '..=b'~').contains(&b)).count();
        claims.lines = (odd <= 1 && last.starts_with(b"#end ")).then_some(count);
        for line in text.split(|&b| b == b'\n').filter_map(|line| std::str::from_utf8(line).ok()) {
            if claims.line(line).is_none() {
                continue;
            }
        }
        claims
    }

    /// Whether it names any object.
    pub fn is_empty(&self) -> bool {
        !self.objects.keys().any(ObjectName::is_grouped)
    }

    fn line(&mut self, line: &str) -> Option<()> {
        if let Some(rest) = line.strip_prefix("#group ") {
            let mut words = rest.split(' ').skip(1);
            let mut value = |key: &str| {
                words.next()?.strip_prefix(key)?.parse::<usize>().ok().filter(|value| *value < 256)
            };
            self.shape = Some((value("slots=").filter(|slots| *slots > 0)?, value("parity=")?));
        } else if let Some(rest) = line.strip_prefix("#object ") {
            let mut words = rest.split(' ');
            let size: u64 = words.next()?.parse().ok()?;
            let name = ObjectName::parse(words.next()?)?;
            let pieces: Vec<Digest> =
                words.map(|word| digest::parse(word.as_bytes())).collect::<Option<_>>()?;
            (pieces.len() as u64 == size.div_ceil(PIECE as u64)).then_some(())?;
            self.objects.entry(name).or_default().pieces = Some((size, pieces));
        } else {
            let (hex, name) = line.split_once("  ")?;
            self.objects.entry(ObjectName::parse(name)?).or_default().sha256 =
                Some(digest::parse(hex.as_bytes())?);
        }
        Some(())
    }

    /// The slots and parity shards that it has; none if that is not legible.
    pub fn shape(&self) -> Option<(usize, usize)> {
        self.shape
    }

    /// How many objects it had, without parity; of one that is cut off only how many at most.
    pub fn count(&self, slots: usize, parity: usize) -> usize {
        // Three lines stand before the objects, which have two each, and one behind them. Damage
        // can make one line of two.
        let members = self.lines.map(|lines| lines.saturating_sub(3) / 2);
        members.map_or(slots, |members| members.saturating_sub(parity)).min(slots)
    }

    /// The objects that it names.
    pub fn names(&self) -> impl Iterator<Item = &ObjectName> {
        self.objects.keys()
    }

    /// Whether both lines of an object are legible.
    fn is_sure_of(&self, name: &ObjectName) -> bool {
        let claim = self.objects.get(name);
        claim.is_some_and(|claim| claim.pieces.is_some() && claim.sha256.is_some())
    }

    /// What the list says of an object that was found like this, or was not: and whether the list
    /// vouches for it. None if nothing is legible of one that was not found.
    fn member(&self, name: ObjectName, found: Option<&GroupMember>) -> Option<(GroupMember, bool)> {
        let claim = self.objects.get(&name);
        if let Some(found) = found {
            let Some(claim) = claim else { return Some((found.clone(), false)) };
            // Of two lines one is enough: both would have to be damaged, and in the same way as the
            // object.
            let as_listed = claim.sha256 == Some(found.sha256)
                || claim
                    .pieces
                    .as_ref()
                    .is_some_and(|(size, pieces)| (*size, pieces) == (found.size, &found.pieces));
            if as_listed {
                return Some((found.clone(), true));
            }
        }
        let Claim { pieces: Some((size, pieces)), sha256 } = claim? else {
            return found.map(|found| (found.clone(), false));
        };
        let sha256 = match (pieces.as_slice(), sha256) {
            ([only], None) => *only,
            ([only], Some(sha256)) if only != sha256 => {
                return found.map(|found| (found.clone(), false));
            }
            (_, Some(sha256)) => *sha256,
            (_, None) => return found.map(|found| (found.clone(), false)),
        };
        Some((GroupMember { name, size: *size, sha256, pieces: pieces.clone() }, true))
    }
}

/// True for a whole `#band` line.
fn has_band(line: &[u8]) -> bool {
    let mut words = std::str::from_utf8(line).unwrap_or_default().split(' ').skip(1);
    let band = words.next().is_some_and(|word| word.parse::<BandName>().is_ok());
    band && words.next().is_some_and(|word| word.parse::<BandId>().is_ok())
        && words.next().is_none()
}

/// True for a whole `#group` line.
fn has_group(line: &[u8]) -> bool {
    let words: Vec<&str> = std::str::from_utf8(line).unwrap_or_default().split(' ').collect();
    let name = words
        .get(1)
        .is_some_and(|word| ObjectName::parse(&format!("{}.sha256", in_folder(word))).is_some());
    name && words.len() == 4 && words[2].starts_with("slots=") && words[3].starts_with("parity=")
}

/// A name of nine digits and more, with the folder before it.
fn in_folder(name: &str) -> String {
    let number: u32 = name.split('-').next().and_then(|digits| digits.parse().ok()).unwrap_or(0);
    format!("{:05}/{name}", number / 10_000)
}

/// A list made anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relisted {
    /// The list.
    pub list: List,
    /// Whether a damaged list says of each member what stands in this one.
    pub vouched: Vec<bool>,
}

/// Makes the list of a group from what was found, and what is legible of the damaged list. `frame`
/// has band, id, name, slots and parity, and no members. None if nothing is left of the group, or
/// what there is does not fit it.
pub fn relist(frame: List, found: &[GroupMember], claims: &Claims) -> Option<Relisted> {
    let mut names: Vec<ObjectName> =
        found.iter().map(|member| member.name).chain(claims.names().copied()).collect();
    names.retain(|name| match name.object {
        Object::Parity(n, c, j) => (n, c) == frame.name && (j as usize) < frame.parity,
        _ => name.is_grouped(),
    });
    let of_claim = |(name, claim): (&ObjectName, &Claim)| {
        claim.pieces.as_ref().map(|(size, _)| (*name, *size))
    };
    let sizes = found.iter().map(|member| (member.name, member.size));
    let late = headed_late(sizes.chain(claims.objects.iter().filter_map(of_claim)));
    names.sort_by_key(|name| (!name.is_grouped(), position(name, &late)));
    names.dedup();
    let mut list = frame;
    let mut vouched = Vec::new();
    let known = |name: &ObjectName| found.iter().find(|member| member.name == *name);
    // One damaged byte can make another name of one: then there is an object too many.
    let objects = names.iter().filter(|name| name.is_grouped()).count();
    if objects > claims.count(list.slots, list.parity) {
        names.retain(|name| known(name).is_some() || claims.is_sure_of(name));
    }
    for name in names {
        if let Some((member, sure)) = claims.member(name, known(&name)) {
            list.members.push(member);
            vouched.push(sure);
        }
    }
    let grouped = list.members.iter().filter(|member| member.name.is_grouped()).count();
    let whole = grouped > 0 && grouped <= list.slots && list.members.len() - grouped == list.parity;
    // What no program would take for a list is none.
    (whole && List::parse(list.to_string().as_bytes()).is_ok_and(|read| read == list))
        .then_some(Relisted { list, vouched })
}

#[cfg(test)]
mod tests;
