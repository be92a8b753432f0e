//! Entries written short, for tables: `./a file s5 t3 c3 n2 i9 h./b`.

use crate::core::merge::{Merge, MergeEvent, Placed};
use crate::format::entry::{Entry, EntryState, Inode, Kind, Meta, Within};
use crate::format::path::Path;
use crate::format::time::Time;

fn at(sec: i64) -> Time {
    Time { sec, nsec: 0 }
}

/// Reads a short entry. A word says what differs from size 0, time and ctime 1, mode 0644
/// (directories 0755), owner and group 0.
///
/// `sN` size, `tN` time, `cN` ctime, `noc` none, `mOOO` mode, `uN` owner, `gN` group, `dN` digest,
/// `nN` links, `iN` inode, `hPATH` hard link, `>TARGET`, `DMAJ` device, `x`, `inT/N`, `over`,
/// `unread`, `deleted`, `excluded`, `unreadable`.
pub(crate) fn entry(text: &str) -> Entry {
    let mut words = text.split(' ');
    let path =
        Path::parse(words.next().unwrap().as_bytes()).unwrap_or_else(|e| panic!("{text}: {e}"));
    let kinds = [Kind::File, Kind::Dir, Kind::Link, Kind::Fifo, Kind::Char, Kind::Block];
    let kind = words.next().unwrap_or_else(|| panic!("{text}: no type"));
    let kind =
        kinds.into_iter().find(|k| k.word() == kind).unwrap_or_else(|| panic!("{text}: no type"));
    let mut meta =
        Meta { mode: if kind == Kind::Dir { 0o755 } else { 0o644 }, uid: 0, gid: 0, time: at(1) };
    let mut entry = Entry::new(path, kind, EntryState::Deleted);
    entry.size = (kind == Kind::File).then_some(0);
    entry.ctime = Some(at(1));
    let mut state = None;
    for word in words {
        let rest = &word[1..];
        let number = || rest.parse::<u64>().unwrap_or_else(|_| panic!("{text}: {word}"));
        match (word, word.as_bytes()[0]) {
            ("noc", _) => entry.ctime = None,
            ("over", _) => entry.over = true,
            ("unread", _) => entry.unread = true,
            ("x", _) => entry.x = true,
            ("deleted", _) => state = Some(EntryState::Deleted),
            ("excluded", _) => state = Some(EntryState::Excluded),
            ("unreadable", _) => state = Some(EntryState::Unreadable),
            (_, b'i') if word.starts_with("in") => {
                let (tier, block) = word[2..].split_once('/').unwrap();
                entry.within =
                    Some(Within { tier: tier.parse().unwrap(), block: block.parse().unwrap() });
            }
            (_, b's') => entry.size = Some(number()),
            (_, b't') => meta.time = at(number() as i64),
            (_, b'c') => entry.ctime = Some(at(number() as i64)),
            (_, b'm') => meta.mode = u32::from_str_radix(rest, 8).unwrap(),
            (_, b'u') => meta.uid = number() as u32,
            (_, b'g') => meta.gid = number() as u32,
            (_, b'd') => entry.sha256 = Some([number() as u8; 32]),
            (_, b'n') => entry.nlink = Some(number()),
            (_, b'i') => entry.inode = Some(Inode { dev: 1, ino: number() }),
            (_, b'h') => entry.hard = Some(Path::parse(rest.as_bytes()).unwrap()),
            (_, b'>') => entry.link = Some(rest.as_bytes().to_vec()),
            (_, b'D') => entry.device = Some((number() as u32, 0)),
            _ => panic!("{text}: {word}"),
        }
    }
    entry.state = state.unwrap_or(EntryState::Present(meta));
    if entry.meta().is_none() {
        (entry.size, entry.ctime) = (None, None);
    }
    entry
}

/// Writes an entry as [`entry`] reads it.
pub(crate) fn short(entry: &Entry) -> String {
    let mut text = format!("{} {}", entry.path, entry.kind.word());
    let mut word = |word: String| text += &format!(" {word}");
    let plain = super::sample::entry(&format!("{} {}", entry.path, entry.kind.word()));
    if let (Some(meta), Some(usual)) = (entry.meta(), plain.meta()) {
        if entry.size != plain.size {
            word(format!("s{}", entry.size.unwrap()));
        }
        if meta.time != usual.time {
            word(format!("t{}", meta.time.sec));
        }
        match entry.ctime {
            ctime if ctime == plain.ctime => {}
            Some(ctime) => word(format!("c{}", ctime.sec)),
            None => word("noc".into()),
        }
        if meta.mode != usual.mode {
            word(format!("m{:o}", meta.mode));
        }
        if meta.uid != 0 {
            word(format!("u{}", meta.uid));
        }
        if meta.gid != 0 {
            word(format!("g{}", meta.gid));
        }
    }
    if let Some(digest) = entry.sha256 {
        word(format!("d{}", digest[0]));
    }
    if let Some(nlink) = entry.nlink {
        word(format!("n{nlink}"));
    }
    if let Some(inode) = entry.inode {
        word(format!("i{}", inode.ino));
    }
    if let Some(hard) = &entry.hard {
        word(format!("h{hard}"));
    }
    if let Some(link) = &entry.link {
        word(format!(">{}", String::from_utf8_lossy(link)));
    }
    if let Some((major, _)) = entry.device {
        word(format!("D{major}"));
    }
    if let Some(within) = entry.within {
        word(format!("in{}/{}", within.tier, within.block));
    }
    let state = match entry.state {
        EntryState::Present(_) => "",
        EntryState::Deleted => "deleted",
        EntryState::Excluded => "excluded",
        EntryState::Unreadable => "unreadable",
    };
    for (there, name) in
        [(entry.x, "x"), (entry.over, "over"), (entry.unread, "unread"), (!state.is_empty(), state)]
    {
        if there {
            word(name.into());
        }
    }
    text
}

/// Lays tiers over each other; each is a list of entries with the number of their index. What is no
/// part of the version comes second.
pub(crate) fn overlay(tiers: &[Vec<(u32, Entry)>]) -> (Vec<Placed>, Vec<MergeEvent>) {
    let mut merge = Merge::new(tiers.len() as u8);
    let mut tiers: Vec<_> = tiers.iter().map(|tier| tier.iter()).collect();
    let (mut version, mut refused) = (Vec::new(), Vec::new());
    while let Some(event) = merge.poll() {
        match event {
            MergeEvent::Want(tier) => match tiers[usize::from(tier)].next() {
                Some((number, entry)) => merge.handle_entry(*number, entry.clone()),
                None => merge.handle_end(),
            },
            MergeEvent::Entry(placed) => version.push(placed),
            other => refused.push(other),
        }
    }
    (version, refused)
}
