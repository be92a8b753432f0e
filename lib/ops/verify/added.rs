//! Messages that were added to a band's key objects: each has a list of its own.

use std::sync::Arc;

use crate::core::verify::stream_order::ObjectSizes;
use crate::core::verify::{Finding, FindingKind};
use crate::edge::ordered::Gone;
use crate::format::group::List;
use crate::format::object::{Object, ObjectName};
use crate::ops::verify::band::{BandWalk, Walking};

impl BandWalk {
    /// The lists of a folder's added messages; names a message that has none. The text of each goes
    /// to `texts`, for its signature.
    pub(super) fn added(
        &self,
        walking: &mut Walking<'_>,
        objects: &ObjectSizes,
        texts: &mut Vec<(ObjectName, Vec<u8>)>,
    ) -> Result<Vec<Arc<List>>, Gone> {
        let (mut lists, mut found) = (Vec::new(), Vec::new());
        let is_added = |name: &ObjectName| name.is_added();
        let added = objects.values().filter(|(name, size)| is_added(name) && *size > 0);
        let named: Vec<&ObjectName> = added.clone().map(|(name, _)| name).collect();
        for (name, size) in added {
            match name.object {
                Object::Key(number, counter, m) => {
                    let list = ObjectName::plain(Object::KeyList(number, counter, m));
                    if !named.contains(&&list) {
                        let what = "in no checksum list";
                        found.push(Finding::of(FindingKind::Unlisted, walking.band, *name, what));
                    }
                }
                Object::KeyList(..) => {
                    // Where the limit is reached, that is reported elsewhere.
                    let Some(text) = self.text(walking.band, name, *size) else { continue };
                    let own = |text: &[u8]| List::parse_own(text, walking.band, walking.id, name);
                    let list = text.and_then(|text| match own(&text) {
                        Ok(list) => Ok((list, text)),
                        Err(what) => Err((FindingKind::Damaged, what)),
                    });
                    match list {
                        Ok((list, text)) => {
                            lists.push(Arc::new(list));
                            texts.push((*name, text));
                        }
                        Err((kind, what)) => {
                            found.push(Finding::of(kind, walking.band, *name, what));
                        }
                    }
                }
                _ => {}
            }
        }
        self.found(found)?;
        Ok(lists)
    }
}
