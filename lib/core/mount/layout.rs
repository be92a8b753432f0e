//! Where a file has data and where holes, for reads anywhere in it.

use crate::format::tarball::Segment;

/// A piece of a range that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LayoutPiece {
    /// So many zeros.
    Hole(u64),
    /// So many bytes, from this one of the file's data on.
    Data {
        /// The first.
        at: u64,
        /// How many.
        len: u64,
    },
}

/// The data of a file, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileLayout {
    /// Each with how much data lies before it; none is empty.
    segments: Vec<(Segment, u64)>,
    size: u64,
}

impl FileLayout {
    /// A file of this size without holes.
    pub fn dense(size: u64) -> FileLayout {
        FileLayout::new(&[Segment { offset: 0, len: size }], size)
    }

    /// A file of this size with these segments of data, which are in order and within it.
    pub fn new(segments: &[Segment], size: u64) -> FileLayout {
        let mut before = 0;
        let mut with = Vec::new();
        for segment in segments.iter().filter(|segment| segment.len > 0) {
            with.push((*segment, before));
            before += segment.len;
        }
        FileLayout { segments: with, size }
    }

    /// The first segment that ends behind this place.
    fn from(&self, place: u64) -> impl Iterator<Item = &(Segment, u64)> {
        let first = self.segments.partition_point(|(it, _)| it.offset + it.len <= place);
        self.segments[first..].iter()
    }

    /// What `len` bytes from `place` on are, as far as the file goes.
    pub fn stretches(&self, place: u64, len: u64) -> Vec<LayoutPiece> {
        let end = self.size.min(place.saturating_add(len));
        let (mut at, mut found) = (place, Vec::new());
        for (segment, before) in self.from(place) {
            if at >= end || segment.offset >= end {
                break;
            }
            if segment.offset > at {
                found.push(LayoutPiece::Hole(segment.offset - at));
                at = segment.offset;
            }
            let within = at - segment.offset;
            let now = (segment.len - within).min(end - at);
            found.push(LayoutPiece::Data { at: before + within, len: now });
            at += now;
        }
        if at < end {
            found.push(LayoutPiece::Hole(end - at));
        }
        found
    }

    /// Where data is at or behind this place; none if there is none.
    pub fn next_data(&self, place: u64) -> Option<u64> {
        self.from(place).next().map(|(segment, _)| segment.offset.max(place))
    }

    /// Where a hole is at or behind this place, or the end, which counts as one.
    pub fn next_hole(&self, place: u64) -> u64 {
        let mut at = place;
        for (segment, _) in self.from(place) {
            if segment.offset > at {
                break;
            }
            at = segment.offset + segment.len;
        }
        at.min(self.size)
    }
}

#[cfg(test)]
mod tests {
    use super::LayoutPiece::{Data, Hole};
    use super::*;

    fn sample() -> FileLayout {
        let at = |offset, len| Segment { offset, len };
        FileLayout::new(&[at(10, 5), at(15, 5), at(40, 10), at(60, 0)], 60)
    }

    #[test]
    fn ranges_are_cut_at_holes() {
        let layout = sample();
        let all = [
            Hole(10),
            Data { at: 0, len: 5 },
            Data { at: 5, len: 5 },
            Hole(20),
            Data { at: 10, len: 10 },
            Hole(10),
        ];
        assert_eq!(layout.stretches(0, 1000), all);
        assert_eq!(layout.stretches(12, 2), [Data { at: 2, len: 2 }]);
        assert_eq!(layout.stretches(20, 3), [Hole(3)]);
        assert_eq!(layout.stretches(49, 2), [Data { at: 19, len: 1 }, Hole(1)]);
        assert_eq!(layout.stretches(60, 5), []);
        assert_eq!(layout.stretches(u64::MAX, 5), []);
        assert_eq!(FileLayout::dense(7).stretches(3, 100), [Data { at: 3, len: 4 }]);
        assert_eq!(FileLayout::dense(0).stretches(0, 100), []);
    }

    #[test]
    fn data_and_holes_are_found() {
        let layout = sample();
        let data = |place| layout.next_data(place);
        assert_eq!((data(0), data(12), data(20)), (Some(10), Some(12), Some(40)));
        assert_eq!(data(50), None);
        let hole = |place| layout.next_hole(place);
        assert_eq!((hole(0), hole(10), hole(45), hole(55)), (0, 20, 50, 55));
        assert_eq!(FileLayout::dense(7).next_hole(3), 7);
    }
}
