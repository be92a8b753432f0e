//! The notes that stand in each band: how to read it without Dura.

use crate::format::object::NOTES as NAMES;

/// Their names and texts.
pub const NOTES: [(&str, &[u8]); 4] = [
    (NAMES[0], include_bytes!("../notes/RECOVER.txt")),
    (NAMES[1], include_bytes!("../notes/recover.sh")),
    (NAMES[2], include_bytes!("../notes/rsrepair.py")),
    (NAMES[3], include_bytes!("../notes/rdpatch.py")),
];
