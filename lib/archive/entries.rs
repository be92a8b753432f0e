//! The entries of a version with their content, read in one pass: what `dura-restore` writes as a
//! tar, and what `dura-pack --from` puts into another band.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::bail;

use crate::archive::blocks::{BlockSource, Blocks, FEW};
use crate::archive::{Archive, BandInChain};
use crate::core::restore::RestorePlan;
use crate::edge::batches::batches;
use crate::report::message::Report;
use plan::{VersionPlanner, VersionReader, WriterOrder};
use sink::EntrySink;
use wanted::Wanted;
use write::EntryWriter;

pub(crate) mod deltas;
mod kept;
pub(crate) mod lane;
mod plan;
pub(crate) mod sink;
pub(crate) mod wanted;
mod write;

/// Steps that the plan may be ahead of the tar: some blocks' worth of entries.
const STEPS: usize = 16 << 10;

/// What a block takes that is fetched, decrypted and decompressed.
pub(crate) const PER_JOB: u64 = 32 << 20;

/// How a version is read.
#[derive(Debug, Clone)]
pub(crate) struct HowToRead {
    /// Where content is kept that several files have [default: TMPDIR].
    pub spool: Option<PathBuf>,
    /// Keep an owner's name even if it has another number on this system.
    pub owner_names: bool,
    /// How many blocks are fetched and decrypted at a time.
    pub jobs: usize,
    /// Of a block whose index is lost, take what its own headers say.
    pub salvages: bool,
}

/// Gives a sink what is wanted of a version.
pub(crate) fn read<S: EntrySink>(
    archive: Arc<Archive>,
    chain: Vec<BandInChain>,
    wanted: impl Wanted,
    sink: S,
    how: &HowToRead,
    report: &Arc<Report>,
) -> anyhow::Result<S> {
    let bands = chain.iter().map(|band| band.head.clone()).collect();
    let many = chain.len() > FEW;
    let source = BlockSource {
        archive: Arc::clone(&archive),
        bands,
        takes_remains: true,
        many,
        fetches: None,
    };
    let source = Arc::new(source);
    let blocks = Blocks::new(&source, how.jobs)?;
    let kept = kept::KeptFiles::new(how.spool.as_deref());
    let mut writer = EntryWriter::new(sink, &source, kept, how.owner_names, report);
    let (orders, taken) = batches(STEPS);
    let plan = RestorePlan::new(chain.len());
    let reader =
        VersionReader { archive, chain, salvages: how.salvages, report: Arc::clone(report) };
    // Not joined: after a failure it may wait for a store that is in no hurry.
    std::thread::spawn(move || {
        let mut planner = VersionPlanner { reader, wanted, plan, blocks, orders };
        let last = planner.run().map_or_else(WriterOrder::Failed, |()| WriterOrder::End);
        // Whoever writes may be gone, and then knows why.
        drop(planner.orders.send(last));
    });
    for order in taken {
        match order {
            WriterOrder::Lane(lane, feed) => writer.handle_lane(lane, feed),
            WriterOrder::Line(line, awaits) => writer.handle_line(*line, awaits)?,
            WriterOrder::Step(step) => writer.handle_step(step)?,
            WriterOrder::Failed(error) => return Err(error),
            WriterOrder::End => return Ok(writer.into_sink()),
        }
    }
    bail!("the plan stopped unexpectedly")
}
