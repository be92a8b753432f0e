//! Blocks that are whole, cut, damaged and odd.

use super::*;
use crate::format::codec::Codec;

fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 59) as u8
    };
    (0..len).map(|_| next()).collect()
}

fn members(compression: Compression, contents: &[Vec<u8>]) -> Vec<u8> {
    let mut codec = Codec::new(compression, 3).unwrap();
    let mut out = Vec::new();
    contents.iter().for_each(|content| codec.append(content, &mut out).unwrap());
    out
}

/// What comes out of a block in parts of this size: its bytes, and after how many of them there
/// were gaps.
fn read(compression: Compression, block: &[u8], part: usize) -> (Vec<u8>, Vec<usize>) {
    let mut parts = block.chunks(part);
    let (mut bytes, mut gaps) = (Vec::new(), Vec::new());
    inflate(compression, &mut || Ok(parts.next().map(<[u8]>::to_vec)), &mut |piece| {
        match piece {
            BlockPiece::Data(data, _) => bytes.extend(data),
            BlockPiece::Gap(_) => gaps.push(bytes.len()),
        }
        true
    });
    (bytes, gaps)
}

#[test]
fn blocks_come_back_whole_and_in_parts() {
    let contents = [noise(1, 3000), vec![], noise(2, 2 << 20), vec![0; 20 << 20], noise(3, 1)];
    for compression in [Compression::Gzip, Compression::Zstd, Compression::Plain] {
        let block = members(compression, &contents);
        for part in [usize::MAX, 1 << 20, 100_000, 4096] {
            assert!(
                read(compression, &block, part) == (contents.concat(), vec![]),
                "{compression:?} {part}"
            );
        }
    }
}

/// What is left of a block is moved when memory is given back: seldom, but where many are held.
#[test]
fn memory_is_given_back_seldom() {
    struct Counting(usize, u64, u64);
    impl Sink for Counting {
        fn give(&mut self, _: BlockPiece) -> bool {
            true
        }
        fn leave_at(&self) -> usize {
            self.0
        }
        fn leave(&mut self, bytes: u64) {
            self.1 += 1;
            self.2 += bytes;
        }
    }
    for (mib, at, times) in [(20, LEAVE, 0), (64, LEAVE, 2), (10, 1 << 20, 9)] {
        let mut part = Some(vec![7; mib << 20]);
        let mut sink = Counting(at, 0, 0);
        inflate(Compression::Plain, &mut || Ok(part.take()), &mut sink);
        assert!(sink.1 <= times + 1 && sink.1 >= times, "{mib} MiB: {} times", sink.1);
        assert!(sink.2 <= (mib as u64) << 20);
    }
}

#[test]
fn magic_numbers_within_a_member_do_not_mislead() {
    for len in [0u32, 5, 3000, USUAL as u32, u32::MAX] {
        // What is compressed already is stored as it is.
        let content =
            [&len.to_le_bytes()[..], &members(Compression::Gzip, &[noise(1, 9000)])].concat();
        let each = members(Compression::Gzip, std::slice::from_ref(&content));
        assert_eq!(memchr::memmem::find_iter(&each, &GZIP).count(), 2);
        assert!(
            read(Compression::Gzip, &each.repeat(2), usize::MAX) == (content.repeat(2), vec![]),
            "{len}"
        );
    }
}

#[test]
fn one_member_is_read_at_once() {
    for content in [noise(1, 3000), vec![], vec![0; 1 << 20]] {
        let one = members(Compression::Gzip, std::slice::from_ref(&content));
        assert!(whole(&one, content.len()).is_some_and(|found| found == content));
        assert!(content.is_empty() || whole(&one, content.len() - 1).is_none());
        assert_eq!(
            whole(&members(Compression::Gzip, &[content.clone(), content.clone()]), 1 << 22),
            None
        );
        for at in (0..one.len()).step_by(7).chain(one.len() - 8..one.len()) {
            let mut bad = one.clone();
            bad[at] ^= 0x10;
            assert!(whole(&bad, 1 << 22).is_none_or(|found| found == content), "{at}");
            assert!(whole(&one[..at], 1 << 22).is_none());
        }
    }
    assert_eq!(whole(b"", 100), None);
}

#[test]
fn damage_costs_a_member() {
    let contents: Vec<Vec<u8>> = (1..6).map(|seed| noise(seed, 5000)).collect();
    // Of gzip's header a few bytes say nothing that matters.
    for (compression, idle) in [(Compression::Gzip, 10), (Compression::Zstd, 0)] {
        let each: Vec<Vec<u8>> = contents
            .iter()
            .map(|content| members(compression, std::slice::from_ref(content)))
            .collect();
        let (before, len) = (each[..2].concat().len(), each[2].len());
        for at in (0..len).step_by(37).chain(0..20).chain(len - 9..len) {
            let mut bad = each.concat();
            bad[before + at] ^= 0x41;
            let (bytes, gaps) = read(compression, &bad, usize::MAX);
            if gaps.is_empty() {
                assert!(bytes == contents.concat() && at < idle, "{compression:?} {at}");
                continue;
            }
            let kept = bytes.starts_with(&contents[..2].concat())
                && bytes.ends_with(&contents[3..].concat());
            assert!(kept, "{compression:?} {at}");
        }
    }
}

#[test]
fn damage_between_equal_members_is_told() {
    let content = noise(1, 3000);
    for (compression, checksum, magic) in
        [(Compression::Gzip, 8, GZIP.len()), (Compression::Zstd, 4, ZSTD.len())]
    {
        let each = members(compression, std::slice::from_ref(&content));
        // In the checksum of the first, whose content gzip gives before it looks at that, and
        // in the magic number of the second.
        for at in each.len() - checksum..each.len() + magic {
            let mut bad = each.repeat(4);
            bad[at] ^= 0x10;
            let (came, gap) = match (at < each.len(), compression) {
                (true, Compression::Gzip) => (4, content.len()),
                (true, _) => (3, 0),
                (false, _) => (3, content.len()),
            };
            assert!(
                read(compression, &bad, usize::MAX) == (content.repeat(came), vec![gap]),
                "{compression:?} {at}"
            );
        }
    }
}

#[test]
fn members_within_members_are_not_tried_for_ever() {
    let good = members(Compression::Gzip, &[noise(1, 3000)]);
    // Each is a stored block that holds the next one, and is cut off.
    let one = [&GZIP[..], &[0; 7], &[0, 0xff, 0xff, 0, 0]].concat();
    let block = [&one.repeat(1000)[..], &good].concat();
    let found = |mut in_vain: u64| {
        let mut once = Some(block.clone());
        let mut parts = || Ok(once.take());
        let mut input = BlockInput { parts: &mut parts, bytes: Vec::new(), at: 0 };
        seek(
            &mut MemberDecoder::Gzip(Box::new(Decoder::new(Format::Gzip))),
            &mut input,
            &mut in_vain,
        )
    };
    assert!(found(IN_VAIN));
    assert!(!found(1 << 20));
    // Other gzip files, as many as a mebibyte can hold, do not hide what follows.
    let files = members(Compression::Gzip, &[b"x".to_vec()]);
    let bad = [&[0x1f, 0x8b][..], &[files, vec![0]].concat().repeat(4000), &good].concat();
    let (bytes, gaps) = read(Compression::Gzip, &bad, usize::MAX);
    assert!(bytes.ends_with(&noise(1, 3000)) && !gaps.is_empty());
}

#[test]
fn cuts_are_told() {
    let contents = [noise(1, 3000), noise(2, 3000)];
    for compression in [Compression::Gzip, Compression::Zstd] {
        let block = members(compression, &contents);
        let first = members(compression, &contents[..1]).len();
        for end in 1..block.len() {
            let (_, gaps) = read(compression, &block[..end], usize::MAX);
            assert_eq!(gaps.is_empty(), end == first, "{compression:?} {end}");
        }
    }
}

#[test]
fn an_end_that_comes_early_is_heeded() {
    let block = members(Compression::Gzip, &[noise(1, 3000), noise(2, 3000)]);
    let mut came = 0;
    inflate(
        Compression::Gzip,
        &mut {
            let mut once = Some(block);
            move || Ok(once.take())
        },
        &mut |_| {
            came += 1;
            false
        },
    );
    assert_eq!(came, 1);
}
