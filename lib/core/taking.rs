//! A band that is taken from an archive (`dura-pack --from`): what becomes of a line of the listing.
//!
//! The listing says which entries are wanted and with which attributes; what they are and what they
//! hold is what the version has at that path.

use crate::format::entry::{Entry, EntryState, Kind};

/// What is done with a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineFate {
    /// Nothing: the entry is not backed up now.
    Dropped,
    /// It comes into the band as it is: nothing has to be taken from the archive.
    Whole,
    /// Its entry is taken from the archive.
    Taken,
    /// The version has no such entry.
    Missing,
}

/// Decides for a line of the listing, by what the version has at its path.
pub fn fate(line: &mut Entry, known: Option<&Entry>) -> LineFate {
    match line.state {
        EntryState::Excluded | EntryState::Unreadable => return LineFate::Dropped,
        EntryState::Deleted => return LineFate::Whole,
        EntryState::Present(_) => {}
    }
    let Some(known) = known.filter(|known| is_same(line, known)) else { return LineFate::Missing };
    let same_content = line.digest() == known.digest();
    if line.within.is_some() {
        // The chain has content with the digest of the line, as far as that is this version's.
        if same_content && known.hard.is_none() && !known.x {
            return LineFate::Whole;
        }
        line.forget_place();
    } else if line.digest().is_some() && known.digest().is_some() && !same_content {
        return LineFate::Missing;
    }
    if line.hard.is_some() { LineFate::Whole } else { LineFate::Taken }
}

/// Whether a line is of what the version has at its path.
fn is_same(line: &Entry, known: &Entry) -> bool {
    known.meta().is_some()
        && line.kind == known.kind
        && line.link == known.link
        && line.device == known.device
        && (line.kind != Kind::File || line.size == known.size)
}

/// The line of an entry that was taken: the attributes of the listing's, with what was taken.
pub fn line_of_taken(line: Entry, taken: &Entry) -> Entry {
    Entry {
        size: taken.size,
        sha256: taken.sha256,
        body: taken.body,
        hard: taken.hard.clone(),
        x: taken.x,
        within: None,
        reference: None,
        delta: None,
        deltas: 0,
        ..line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(line: &str) -> Entry {
        let line = line
            .replace("META", "mode=0644 uid=1 gid=1 time=1.000000000")
            .replace("AA", &format!("sha256digest={}", "aa".repeat(32)))
            .replace("BB", &format!("sha256digest={}", "bb".repeat(32)));
        Entry::parse(line.as_bytes()).unwrap()
    }

    const FILE: &str = "./f type=file META nlink=1 size=300 AA";

    fn of(line: &str, known: &str) -> (LineFate, Entry) {
        let mut line = entry(line);
        let known = Some(known).filter(|known| !known.is_empty()).map(entry);
        (fate(&mut line, known.as_ref()), line)
    }

    #[test]
    fn what_the_listing_says_is_held_against_the_version() {
        for (line, known, says) in [
            (FILE, FILE, LineFate::Taken),
            (FILE, "", LineFate::Missing),
            (FILE, "./f type=file META nlink=1 size=301 AA", LineFate::Missing),
            (FILE, "./f type=file META nlink=1 size=300 BB", LineFate::Missing),
            // The attributes are the listing's own affair.
            (
                "./f type=file mode=0600 uid=2 gid=2 time=9.0 nlink=1 size=300 AA",
                FILE,
                LineFate::Taken,
            ),
            // The name of a file whose first name was left out has no digest.
            ("./f type=file META nlink=2 size=300 tags=i:1.2", FILE, LineFate::Taken),
            (
                "./f type=file META nlink=2 size=300 tags=hard:./a",
                "./f type=file META nlink=2 size=300 tags=hard:./a",
                LineFate::Whole,
            ),
            ("./f type=dir META", "./f type=link META link=x", LineFate::Missing),
            ("./f type=link META link=x", "./f type=link META link=y", LineFate::Missing),
            ("./f type=file optional tags=deleted", "", LineFate::Whole),
            ("./f type=file optional ignore tags=excluded", FILE, LineFate::Dropped),
            ("./f type=file optional ignore tags=unreadable", FILE, LineFate::Dropped),
        ] {
            let line = line.replace("time=9.0 ", "time=9.000000000 ");
            assert_eq!(of(&line, known).0, says, "{line} of {known}");
        }
    }

    #[test]
    fn content_stays_in_the_chain_only_where_it_is_the_versions() {
        let within = format!("{FILE} tags=in:0/3,as:./old");
        assert_eq!(of(&within, FILE), (LineFate::Whole, entry(&within)));
        let other = FILE.replace("AA", "BB");
        assert_eq!(of(&within, &other), (LineFate::Taken, entry(FILE)));
        assert_eq!(of(&within, &format!("{FILE} tags=x")), (LineFate::Taken, entry(FILE)));
        assert_eq!(of(&within, "").0, LineFate::Missing);
    }

    #[test]
    fn the_line_has_the_attributes_of_the_listing_and_the_content_of_the_archive() {
        let line = entry(
            "./f type=file mode=0600 uid=2 gid=2 time=9.000000000 nlink=2 size=300 tags=c:8.000000000,i:1.2",
        );
        let taken = entry("./f type=file META nlink=3 size=300 BB tags=x,in:0/4");
        let sha256 = format!("sha256digest={}", "bb".repeat(32));
        let wanted = format!(
            "./f type=file mode=0600 uid=2 gid=2 time=9.000000000 nlink=2 size=300 {sha256} tags=c:8.000000000,i:1.2,x"
        );
        assert_eq!(line_of_taken(line, &taken), entry(&wanted));
    }
}
