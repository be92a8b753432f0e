//! How many jobs and how large buffers fit into the memory that the system grants.

/// Programs of a pipeline that hold objects or members: diff, pack, seal and push, with the
/// children of seal.
const PROGRAMS: u64 = 4;

const MEBIBYTE: u64 = 1 << 20;

/// The memory that a program may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Bytes; none if there is no limit.
    share: Option<u64>,
}

impl Room {
    /// The room of one program where a whole pipeline is limited to so many bytes.
    pub fn of_limit(limit: Option<u64>) -> Room {
        Room { share: limit.map(|limit| limit / PROGRAMS) }
    }

    /// How many of the `wanted` jobs fit if each takes so many bytes: at least one.
    pub fn jobs(self, wanted: usize, each: u64) -> usize {
        let most = self
            .share
            .map_or(usize::MAX, |share| usize::try_from(share / each.max(1)).unwrap_or(usize::MAX));
        wanted.min(most).max(1)
    }

    /// How much of the `wanted` bytes may be held if that is one of so many parts of what the
    /// program holds: whole mebibytes, and at least one.
    pub fn bytes(self, wanted: u64, parts: u64) -> u64 {
        let most = self.share.map_or(u64::MAX, |share| share / parts / MEBIBYTE * MEBIBYTE);
        wanted.min(most.max(MEBIBYTE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_and_buffers_fit_the_limit() {
        let (kib, mib, gib) = (1 << 10, MEBIBYTE, 1 << 30);
        // Limit, jobs of 8 MiB wanted and given, buffer of 64 MiB that is an eighth.
        for (limit, wanted, jobs, buffer) in [
            (None, 65, 65, 64 * mib),
            (Some(64 * gib), 65, 65, 64 * mib),
            (Some(2 * gib), 65, 64, 64 * mib),
            (Some(gib), 3, 3, 32 * mib),
            (Some(256 * mib), 9, 8, 8 * mib),
            (Some(64 * mib), 3, 2, 2 * mib),
            (Some(300 * kib), 3, 1, mib),
            (Some(0), 3, 1, mib),
        ] {
            let room = Room::of_limit(limit);
            assert_eq!(room.jobs(wanted, 8 * mib), jobs, "{limit:?}");
            assert_eq!(room.bytes(64 * mib, 8), buffer, "{limit:?}");
        }
        assert_eq!(Room::of_limit(None).jobs(0, 1), 1);
        assert_eq!(Room::of_limit(None).bytes(100_000, 8), 100_000);
    }
}
