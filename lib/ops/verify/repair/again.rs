//! What is made again from what is there: signatures, and parity shards to hold others against.

use anyhow::Context;
use sha2::{Digest as _, Sha256};

use crate::core::parity::Encoder;
use crate::edge::gpg::{self, SignatureVerdict};
use crate::format::digest;
use crate::format::group::{GroupMember, List};
use crate::format::head::Tail;
use crate::format::object::{Object, ObjectName};
use crate::ops::verify::repair::Repairer;
use crate::ops::verify::repair::rebuild::piece_of;
use crate::report::message::Report;

/// Whether a signature is none, or so damaged that nothing can be said of what it is of.
fn is_none(signature: &[u8], text: &[u8]) -> bool {
    matches!(gpg::verify(signature, text), Ok(SignatureVerdict::NoSignature))
}

impl Repairer<'_> {
    /// Signatures that are missing, or none, of lists and TAILs that are in order. One of other
    /// bytes stays: it may be all that shows that somebody changed them.
    pub(super) fn sign_again(&mut self, report: &Report) -> anyhow::Result<()> {
        let Some(key) = self.signer.clone() else { return Ok(()) };
        for (band, name) in std::mem::take(&mut self.unsigned) {
            let of = match name.object {
                Object::ListSig(n, c) => ObjectName::plain(Object::List(n, c)),
                _ => ObjectName::plain(Object::Tail),
            };
            let text = self.store.get_range(&format!("{band}/{of}"), 0, of.most()).ok();
            let id = text.as_deref().and_then(|text| match of.object {
                Object::Tail => Some(Tail::parse(text).ok().filter(|it| it.band == band)?.id),
                _ => {
                    let own = |list: &List| list.band == band && list.object() == of;
                    Some(List::parse(text).ok().filter(own)?.id)
                }
            });
            let (Some(text), Some(id)) = (text, id) else { continue };
            let there = self.store.get_range(&format!("{band}/{name}"), 0, name.most());
            if there.is_ok_and(|there| !there.is_empty() && !is_none(&there, &text)) {
                continue;
            }
            let signature = key.sign(&text).with_context(|| format!("{band}/{of}"))?;
            report.note(format_args!("{band}/{of}: signed as it is"));
            self.write(&band, id, name, signature)?;
        }
        Ok(())
    }

    /// The parity shards of these objects in a group as the list has; none if one cannot be read,
    /// or is not as it was.
    pub(super) fn shards_of(
        &self,
        list: &List,
        objects: &[GroupMember],
    ) -> Option<Vec<GroupMember>> {
        let mut encoder = Encoder::new(list.slots, list.parity)?;
        let rows = objects.iter().map(|member| member.pieces.len()).max()?;
        let mut made: Vec<(Sha256, GroupMember)> = (0..list.parity as u32)
            .map(|shard| {
                let (name, pieces) = (list.shard(shard), Vec::with_capacity(rows));
                (Sha256::new(), GroupMember { name, size: 0, sha256: [0; 32], pieces })
            })
            .collect();
        for row in 0..rows {
            for member in objects {
                encoder.handle_object(&match row < member.pieces.len() {
                    true => piece_of(self.store.as_ref(), &list.band, member, row)?,
                    false => Vec::new(),
                });
            }
            for ((sum, member), piece) in made.iter_mut().zip(encoder.finish()) {
                sum.update(&piece);
                member.size += piece.len() as u64;
                member.pieces.push(digest::of(&piece));
            }
        }
        let member = |(sum, member): (Sha256, GroupMember)| GroupMember {
            sha256: sum.finalize().into(),
            ..member
        };
        Some(made.into_iter().map(member).collect())
    }
}
