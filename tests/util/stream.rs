//! Takes an object stream apart and puts it together again, right or wrong.

use super::run::{Done, dura};

/// One member of an object stream.
#[derive(Clone)]
pub(crate) struct Member {
    pub(crate) header: [u8; 512],
    pub(crate) data: Vec<u8>,
}

impl Member {
    /// The member's name.
    pub(crate) fn name(&self) -> String {
        let end = self.header[..100].iter().position(|b| *b == 0).unwrap_or(100);
        String::from_utf8(self.header[..end].to_vec()).unwrap()
    }

    /// The same under another name.
    pub(crate) fn named(&self, name: &str) -> Member {
        self.with(|header| {
            header[..100].fill(0);
            header[345..500].fill(0);
            header[..name.len()].copy_from_slice(name.as_bytes());
        })
    }

    /// The same with other content.
    pub(crate) fn holding(&self, data: &[u8]) -> Member {
        let mut member = self.with(|header| {
            header[124..136].copy_from_slice(format!("{:011o}\0", data.len()).as_bytes())
        });
        member.data = data.to_vec();
        member
    }

    /// The same with another header, whose checksum is made right.
    pub(crate) fn with(&self, change: impl Fn(&mut [u8; 512])) -> Member {
        let mut member = self.clone();
        change(&mut member.header);
        member.header[148..156].fill(b' ');
        let sum: u32 = member.header.iter().map(|b| u32::from(*b)).sum();
        member.header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        member
    }
}

/// The members of a stream that is whole.
pub(crate) fn split(mut stream: &[u8]) -> Vec<Member> {
    let mut members = vec![];
    while stream[0] != 0 {
        let header: [u8; 512] = stream[..512].try_into().unwrap();
        let size =
            usize::from_str_radix(std::str::from_utf8(&header[124..135]).unwrap(), 8).unwrap();
        members.push(Member { header, data: stream[512..512 + size].to_vec() });
        stream = &stream[512 + size.next_multiple_of(512)..];
    }
    assert!(
        stream.len() >= 1024 && stream.iter().all(|b| *b == 0),
        "a stream ends with two zero blocks"
    );
    members
}

/// A stream of these members.
pub(crate) fn join(members: &[Member]) -> Vec<u8> {
    let mut stream = vec![];
    for member in members {
        stream.extend_from_slice(&member.header);
        stream.extend_from_slice(&member.data);
        stream.resize(stream.len().next_multiple_of(512), 0);
    }
    stream.resize(stream.len() + 1024, 0);
    stream
}

/// True if a stream, whole or cut, has a TAIL.
pub(crate) fn has_tail(stream: &[u8]) -> bool {
    stream.windows(6).any(|six| six == b"/TAIL\0")
}

/// Runs a command line over a stream.
pub(crate) fn through(line: &str, stream: &[u8]) -> Done {
    dura(line).input(stream).run()
}
