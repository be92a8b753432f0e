//! `--expect`: the newest band that its owner knows of must be there. That the newest bands were
//! taken away cannot be seen from the store alone.

use crate::archive::Archive;
use crate::core::chain::choice::{KnownBand, find};
use crate::format::band::BandName;
use crate::report::message::Report;

/// What came of a band that was expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Expected {
    /// It is there, and complete.
    There,
    /// It has no TAIL.
    Unfinished(BandName),
    /// It is not there.
    Gone(BandName),
    /// The name was shortened, and may mean none or several: why.
    Unclear(String),
}

impl Archive {
    /// Looks for a band that is expected. One whose ends cannot be read is there, and is told as
    /// damaged.
    pub(crate) fn expected(&self, text: &str) -> anyhow::Result<Expected> {
        let known: Vec<KnownBand> = self.names()?.into_iter().map(KnownBand::new).collect();
        let is_complete = |name: &BandName| {
            let state = self.state(name, false);
            state.map_or(true, |ends| ends.tail.is_some() || ends.tail_damaged)
        };
        Ok(match (find(&known, text), text.parse::<BandName>()) {
            (Ok(known), _) if is_complete(&known.name) => Expected::There,
            (Ok(known), _) => Expected::Unfinished(known.name.clone()),
            (Err(_), Ok(name)) => Expected::Gone(name),
            (Err(error), Err(_)) => Expected::Unclear(error.to_string()),
        })
    }

    /// Tells if a band that is expected is not there, or not complete.
    pub(crate) fn expect(&self, text: Option<&str>, report: &Report) -> anyhow::Result<()> {
        let Some(text) = text else { return Ok(()) };
        match self.expected(text)? {
            Expected::There => {}
            Expected::Unfinished(name) => {
                report.warn(format_args!("{name}: expected, but not complete"));
            }
            Expected::Gone(name) => {
                report.warn(format_args!("{name}: expected, but missing"));
            }
            Expected::Unclear(why) => report.warn(format_args!("--expect {text}: {why}")),
        }
        Ok(())
    }
}
