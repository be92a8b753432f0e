//! Whether the files of a version are read one after another, so that the next block is worth
//! fetching before it is wanted.

use crate::format::entry::Within;

/// Between files that are read one after another there are at most so many other entries.
const NEAR: u32 = 64;

/// What was read last.
#[derive(Debug, Default)]
pub struct ReadingCourse {
    file: u32,
    block: Option<Within>,
}

impl ReadingCourse {
    /// The file with this place in the version is read, whose content is in this block. True if the
    /// next block is to be read ahead.
    pub fn handle_file(&mut self, file: u32, block: Within) -> bool {
        let is_next = file > self.file && file - self.file <= NEAR;
        self.file = file;
        self.block.replace(block) != Some(block) && is_next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_block_is_wanted_once_by_who_reads_on() {
        let mut course = ReadingCourse::default();
        let mut read = |file, block| course.handle_file(file, Within { tier: 0, block });
        assert!(read(3, 0), "from the begin");
        assert!(!read(4, 0) && !read(7, 0));
        assert!(read(8, 1) && !read(9, 1));
        assert!(!read(9000, 7), "somewhere else");
        assert!(read(9064, 8) && !read(9129, 9) && !read(5, 0));
    }
}
