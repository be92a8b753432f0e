//! Golden lines of entries, and lines that are refused.

use super::*;

const GOLDEN: &[&str] = &[
    ". type=dir mode=0755 uid=1000 gid=1000 time=1795378639.757295736 tags=c:1795378639.757295736",
    "./a\\040b type=file mode=0644 uid=1000 gid=1000 time=1500000000.000000005 nlink=1 size=7 sha256digest=0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef tags=c:1500000000.000000006",
    "./second type=file mode=4755 uid=4000000000 gid=0 time=-6.750000000 nlink=2 size=9663676416 tags=c:1.000000000,i:2049.131,hard:./first\\054\\072,x",
    "./ln type=link mode=0777 uid=0 gid=0 time=0.000000000 link=target\\040x,: tags=c:5.000000000",
    "./null type=char mode=0666 uid=0 gid=0 time=0.000000000 device=native,1,3 tags=c:5.000000000",
    "./sda type=block mode=0660 uid=0 gid=6 time=0.000000000 nlink=2 device=native,259,1000 tags=c:5.000000000,i:5.6",
    "./fifo type=fifo mode=0000 uid=0 gid=0 time=0.000000000",
    "./kept type=file mode=0644 uid=0 gid=0 time=0.000000000 nlink=1 size=1 tags=in:0/000000012",
    "./moved type=file mode=0644 uid=0 gid=0 time=0.000000000 nlink=1 size=999 tags=in:0/000000012,of:./a\\054\\072b/c,as:./d,over",
    "./was type=dir optional tags=deleted",
    "./file-now type=file mode=0644 uid=0 gid=0 time=0.000000000 nlink=1 size=1 tags=over",
    "./mnt type=dir mode=0755 uid=0 gid=0 time=0.000000000 ignore tags=c:5.000000000,unread",
    "./cache type=dir optional ignore tags=excluded",
    "./secret type=file optional ignore tags=unreadable",
];

#[test]
fn golden_lines_read_and_write_back() {
    for line in GOLDEN {
        let entry = Entry::parse(line.as_bytes()).unwrap_or_else(|e| panic!("{line}: {e}"));
        let mut out = Vec::new();
        entry.write(&mut out);
        assert_eq!(String::from_utf8(out).unwrap(), format!("{line}\n"));
    }
}

#[test]
fn fields_of_a_line() {
    let entry = Entry::parse(GOLDEN[2].as_bytes()).unwrap();
    assert_eq!(entry.kind, Kind::File);
    let meta = entry.meta().unwrap();
    assert_eq!(
        (meta.mode, meta.uid, meta.gid, meta.time),
        (0o4755, 4_000_000_000, 0, Time { sec: -6, nsec: 750_000_000 })
    );
    assert_eq!((entry.nlink, entry.size), (Some(2), Some(9_663_676_416)));
    assert_eq!(entry.inode, Some(Inode { dev: 2049, ino: 131 }));
    assert_eq!(entry.hard, Some(Path::from_raw(b"first,:")));
    assert!(entry.x && !entry.over && !entry.unread);
    assert_eq!(Entry::parse(GOLDEN[3].as_bytes()).unwrap().link.unwrap(), b"target x,:");
    assert_eq!(
        Entry::parse(GOLDEN[7].as_bytes()).unwrap().within,
        Some(Within { tier: 0, block: 12 })
    );
}

#[test]
fn refused_lines() {
    let meta = "mode=0644 uid=0 gid=0 time=0.000000000";
    for (line, why) in [
        ("".into(), EntryError::Path(PathError::NotRelative)),
        ("./a".into(), EntryError::NoType),
        ("./a type=socket".into(), EntryError::BadValue("type")),
        (format!("./a type=file {meta}"), EntryError::Lacks("size")),
        (format!("./a type=link {meta}"), EntryError::Lacks("link")),
        (format!("./a type=char {meta}"), EntryError::Lacks("device")),
        (format!(". type=file {meta} size=1"), EntryError::BadValue("type")),
        ("./a type=file size=1 uid=0 gid=0 time=0.000000000".into(), EntryError::Lacks("mode")),
        (format!("./a type=dir {meta} mode=0644"), EntryError::Twice("mode")),
        (format!("./a type=dir {meta} tags=x,x"), EntryError::Twice("x")),
        (format!("./a type=dir {meta} tags="), EntryError::Unknown(String::new())),
        (format!("./a type=dir {meta} "), EntryError::Unknown(String::new())),
        (format!("./a type=dir {meta} size=-1"), EntryError::BadValue("size")),
        (format!("./a type=dir {meta} size=99999999999999999999"), EntryError::BadValue("size")),
        (format!("./a type=file {meta} size=1 tags=in:10/000000001"), EntryError::BadValue("in")),
        (format!("./a type=file {meta} size=1 tags=unread"), EntryError::BadValue("tags")),
        (format!("./a type=dir {meta} tags=hard:./b"), EntryError::BadValue("tags")),
        (
            format!("./a type=file {meta} size=1 tags=hard:../b"),
            EntryError::Path(PathError::NotRelative),
        ),
        (
            format!("./a type=file {meta} size=1 sha256digest=00"),
            EntryError::BadValue("sha256digest"),
        ),
        ("./a type=file tags=deleted,excluded".into(), EntryError::BadValue("tags")),
        (format!("./a type=dir {meta} mood=1"), EntryError::Unknown("mood".into())),
        (
            "./a type=dir mode=10000 uid=0 gid=0 time=0.000000000".into(),
            EntryError::BadValue("mode"),
        ),
    ] {
        assert_eq!(Entry::parse(line.as_bytes()).map(|_| ()), Err(why), "{line}");
    }
}

#[test]
fn a_cut_line_is_refused_or_shorter() {
    for line in GOLDEN {
        let whole = Entry::parse(line.as_bytes()).unwrap();
        for end in 0..line.len() {
            if let Ok(entry) = Entry::parse(&line.as_bytes()[..end]) {
                assert_ne!(entry, whole, "{line} cut at {end}");
            }
        }
    }
}
