//! Lines as they are written.

use super::{DeltaBase, Entry, EntryState, Reference, Within, digest, path};
use crate::format::time::Time;

impl Entry {
    /// Appends the line with its newline, keywords in the order of `docs/format.md`.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend(self.path.as_bytes());
        out.extend(b" type=");
        out.extend(self.kind.word().as_bytes());
        if let EntryState::Present(meta) = &self.state {
            out.extend(b" mode=");
            out.extend([9, 6, 3, 0].map(|shift| b'0' + (meta.mode >> shift & 7) as u8));
            keyed(out, b" uid=", meta.uid.into());
            keyed(out, b" gid=", meta.gid.into());
            out.extend(b" time=");
            push_time(out, meta.time);
        }
        if let Some(nlink) = self.nlink {
            keyed(out, b" nlink=", nlink);
        }
        if let Some(size) = self.size {
            keyed(out, b" size=", size);
        }
        if let Some(sha256) = &self.sha256 {
            out.extend(b" sha256digest=");
            digest::push(out, sha256);
        }
        if let Some(link) = &self.link {
            out.extend(b" link=");
            path::encode(link, out);
        }
        if let Some((major, minor)) = self.device {
            keyed(out, b" device=native,", major.into());
            keyed(out, b",", minor.into());
        }
        out.extend_from_slice(match self.state {
            EntryState::Present(_) if self.unread => b" ignore",
            EntryState::Present(_) => b"",
            EntryState::Deleted => b" optional",
            EntryState::Excluded | EntryState::Unreadable => b" optional ignore",
        });
        self.write_tags(out);
        out.push(b'\n');
    }

    fn write_tags(&self, out: &mut Vec<u8>) {
        let start = out.len();
        if let Some(ctime) = self.ctime {
            out.extend(b",c:");
            push_time(out, ctime);
        }
        if let Some(inode) = self.inode {
            keyed(out, b",i:", inode.dev);
            keyed(out, b".", inode.ino);
        }
        if let Some(hard) = &self.hard {
            out.extend(b",hard:./");
            path::encode_tag(&hard.raw(), out);
        }
        if self.x {
            out.extend(b",x");
        }
        match &self.delta {
            None => push_place(self.within, self.reference.as_deref(), out),
            Some(base) => {
                if let Some(DeltaBase { within, reference }) = base.as_deref() {
                    push_place(Some(*within), Some(reference), out);
                }
                out.extend(b",rdiff");
            }
        }
        if self.deltas > 0 {
            keyed(out, b",deltas:", self.deltas.into());
        }
        if let Some(body) = &self.body {
            out.extend(b",body:");
            digest::push(out, body);
        }
        let word: &[u8] = match self.state {
            EntryState::Present(_) => b"",
            EntryState::Deleted => b",deleted",
            EntryState::Excluded => b",excluded",
            EntryState::Unreadable => b",unreadable",
        };
        out.extend(word);
        if self.over {
            out.extend(b",over");
        }
        if self.unread {
            out.extend(b",unread");
        }
        if out.len() > start {
            out.splice(start..=start, *b" tags=");
        }
    }
}

/// Appends the tags `in:`, `of:` and `as:`.
fn push_place(within: Option<Within>, reference: Option<&Reference>, out: &mut Vec<u8>) {
    if let Some(within) = within {
        keyed(out, b",in:", within.tier.into());
        out.extend(format!("/{:09}", within.block).into_bytes());
    }
    let Some(reference) = reference else { return };
    for (key, path) in [(&b",of:./"[..], &reference.of), (b",as:./", &reference.name)] {
        if let Some(path) = path {
            out.extend(key);
            path::encode_tag(&path.raw(), out);
        }
    }
}

fn keyed(out: &mut Vec<u8>, key: &[u8], number: u64) {
    out.extend(key);
    push_number(out, number);
}

/// Appends a number in digits.
pub(crate) fn push_number(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend(&digits[at..]);
}

fn push_time(out: &mut Vec<u8>, time: Time) {
    if time.sec < 0 {
        out.push(b'-');
    }
    push_number(out, time.sec.unsigned_abs());
    out.push(b'.');
    let at = out.len();
    push_number(out, u64::from(time.nsec) + 1_000_000_000);
    out.remove(at);
}
