//! The directories above the first path of an index, repeated there from the indexes before it.

use crate::format::path::Path;

/// The directories above and at the last path so far: the number of the index that lists each, and
/// its line there.
///
/// What is listed next lies below one of them, for parents come before children and their content
/// is together.
#[derive(Debug, Default)]
pub(super) struct Above(Vec<(u32, Vec<u8>)>);

fn path_of(line: &[u8]) -> &[u8] {
    line.split(|&b| b == b' ').next().unwrap_or_default()
}

fn leads_to(dir: &[u8], path: &Path) -> bool {
    path.as_bytes().strip_prefix(dir).is_some_and(|rest| rest.first() == Some(&b'/'))
}

impl Above {
    /// The index with this number closes with these lines.
    pub(super) fn handle_index(&mut self, number: u32, lines: &[u8], last: &Path) {
        self.0.retain(|(_, line)| leads_to(path_of(line), last));
        let mut from = 0;
        for end in memchr::memchr_iter(b'\n', lines) {
            let line = &lines[std::mem::replace(&mut from, end + 1)..end];
            let path = path_of(line);
            // A directory that is there has a mode; one that is deleted has not, and nothing below
            // it.
            if (leads_to(path, last) || path == last.as_bytes())
                && line[path.len()..].starts_with(b" type=dir mode=")
            {
                self.0.push((number, line.to_vec()));
            }
        }
    }

    /// Appends the `#above` lines of an index that begins with this path.
    pub(super) fn write(&self, first: &Path, out: &mut Vec<u8>) {
        for (number, line) in self.0.iter().filter(|(_, line)| leads_to(path_of(line), first)) {
            out.extend(format!("#above {number:09} ").into_bytes());
            out.extend(line);
            out.push(b'\n');
        }
    }
}
