//! Bands of several sources in one archive: nothing but its name binds a band to the others, and a
//! key may have signed those of several hosts.

use crate::edge::ordered::Gone;
use crate::format::head::Head;
use crate::ops::verify::band::BandWalk;

impl BandWalk {
    /// Bands of several sources in one archive: the newest of all is what a restore gives.
    pub(super) fn source(&mut self, head: &Head) -> Result<(), Gone> {
        let Some(own) = head.source_id else { return Ok(()) };
        match &self.source {
            Some((source, first)) if *source != own => self.note(format!(
                "{}: has another source than {first}: check whether it belongs here",
                head.band
            )),
            Some(_) => Ok(()),
            None => {
                self.source = Some((own, head.band.clone()));
                Ok(())
            }
        }
    }

    /// The same by what their first indexes say, where these can be read.
    pub(super) fn tree(&mut self, head: &Head) -> Result<(), Gone> {
        let Some(own) = self.archive.source_line(head) else { return Ok(()) };
        match &self.tree {
            Some((tree, first)) if *tree != own => {
                self.note(format!("{} is of {own}, but {first} of {tree}", head.band))
            }
            Some(_) => Ok(()),
            None => {
                self.tree = Some((own, head.band.clone()));
                Ok(())
            }
        }
    }
}
