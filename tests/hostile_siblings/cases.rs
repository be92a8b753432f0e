//! The chains: each with what it is.

use super::encoded;
use crate::util::forge::{Header, dir, dir_line, file, file_line, hard, link_line, pax, symlink};

/// A band's lines, but the root's, and its tar behind the root.
pub(super) type Layer = (Vec<String>, Vec<u8>);

/// So many cases are tried as both users.
pub(super) const BOTH: usize = 27;

pub(super) fn cases() -> Vec<(&'static str, Vec<Layer>)> {
    let mut cases: Vec<(&'static str, Vec<Layer>)> = Vec::new();
    let out = "../outside";
    let kept = |path: &str, tags: &str| file_line(path, b"kept", tags);
    let setuid = |line: String| line.replace("mode=0644", "mode=4777");
    let layer = |lines: &[String], tar: &[Vec<u8>]| (lines.to_vec(), tar.concat());
    let s = || layer(&[link_line("./s", out, "")], &[symlink("./s", out)]);
    let f =
        || layer(&[link_line("./f", "../outside/file", "")], &[symlink("./f", "../outside/file")]);

    cases.push((
        "a hard link to an older symlink",
        vec![
            f(),
            layer(&[kept("./h", "")], &[hard("./h", "./f")]),
            layer(&[setuid(kept("./h", " tags=in:1/0"))], &[]),
        ],
    ));
    cases.push((
        "a hard link to an older symlink, and a file over it",
        vec![
            f(),
            layer(&[file_line("./h", b"evil", "")], &[hard("./h", "./f"), file("./h", b"evil")]),
        ],
    ));
    cases.push((
        "a hard link to a symlink of its own band, and a file over it",
        vec![layer(
            &[link_line("./f", "../outside/file", ""), file_line("./h", b"evil", "")],
            &[symlink("./f", "../outside/file"), hard("./h", "./f"), file("./h", b"evil")],
        )],
    ));
    cases.push((
        "a hard link to a symlink to a folder, and a file below it",
        vec![
            s(),
            layer(
                &[dir_line("./h", ""), file_line("./h/evil", b"evil", "")],
                &[hard("./h", "./s"), file("./h/evil", b"evil")],
            ),
        ],
    ));
    for (what, target) in [
        ("a hard link to a fifo outside", "../outside/fifo"),
        ("a hard link to a symlink outside", "../outside/link"),
        ("a hard link to a file below two dots", "./x/../../outside/file"),
    ] {
        let line = match target {
            "../outside/fifo" => {
                "./h type=fifo mode=0777 uid=1 gid=1 time=1500000000.000000000".to_owned()
            }
            "../outside/link" => link_line("./h", "nowhere", "").replace("uid=0", "uid=1"),
            _ => setuid(kept("./h", "")),
        };
        cases.push((
            what,
            vec![layer(&[line, dir_line("./x", "")], &[dir("./x/"), hard("./h", target)])],
        ));
    }
    for over in [" tags=over", ""] {
        let what = if over.is_empty() {
            "a folder, a symlink, a folder, not over"
        } else {
            "a folder, a symlink, a folder"
        };
        cases.push((
            what,
            vec![
                layer(
                    &[dir_line("./d", ""), file_line("./d/s", b"old", "")],
                    &[dir("./d/"), file("./d/s", b"old")],
                ),
                layer(
                    &[link_line("./d", "../outside/dir", over)],
                    &[symlink("./d", "../outside/dir")],
                ),
                layer(
                    &[
                        dir_line("./d", over),
                        setuid(kept("./d/kept", " tags=in:0/0")),
                        dir_line("./d/locked", ""),
                        "./d/s type=file optional tags=deleted".to_owned(),
                    ],
                    &[dir("./d/"), file("./d/evil", b"evil"), dir("./d/locked/")],
                ),
            ],
        ));
    }
    cases.push((
        "a symlink that becomes a folder as its target has it",
        vec![
            layer(&[link_line("./d", "../outside/dir", "")], &[symlink("./d", "../outside/dir")]),
            layer(
                &[
                    dir_line("./d", " tags=over"),
                    dir_line("./d/locked", ""),
                    file_line("./d/locked/new", b"new", ""),
                ],
                &[dir("./d/"), dir("./d/locked/"), file("./d/locked/new", b"new")],
            ),
        ],
    ));
    for (what, folders, link, exchanged, to) in [
        (
            "a folder of a symlink is exchanged for a symlink",
            &["./d"][..],
            "./d/s",
            "./d",
            "../outside/dir",
        ),
        (
            "a folder of a symlink is exchanged for a symlink, deeper",
            &["./d", "./d/e"],
            "./d/e/s",
            "./d/e",
            "../../outside/dir",
        ),
        (
            "an exchange, and the symlink's own name is a folder outside",
            &["./d"],
            "./d/sub",
            "./d",
            "../outside/dir",
        ),
    ] {
        let mut lines: Vec<String> = folders.iter().map(|path| dir_line(path, "")).collect();
        let mut tar: Vec<Vec<u8>> = folders.iter().map(|path| dir(&format!("{path}/"))).collect();
        lines.push(link_line(link, "x", ""));
        tar.push(symlink(link, "x"));
        let above =
            layer(&[file_line("./z", b"z", "")], &[symlink(exchanged, to), file("./z", b"z")]);
        cases.push((what, vec![layer(&lines, &tar), above]));
    }
    for (what, mode) in [
        ("a symlink in a folder that is shut", "0000"),
        ("a symlink in a folder that is read-only", "0555"),
    ] {
        let shut = |tags: &str| dir_line("./d", tags).replace("0755", mode);
        let d = Header::new(b'5', b"./d/", 0).mode(u32::from_str_radix(mode, 8).unwrap()).with(b"");
        let full = layer(
            &[shut(""), link_line("./d/s", "../../outside", "")],
            &[d.clone(), symlink("./d/s", "../../outside")],
        );
        cases.push((
            what,
            vec![
                full.clone(),
                layer(
                    &[file_line("./z", b"z", "")],
                    &[file("./d/s/evil", b"evil"), file("./z", b"z")],
                ),
            ],
        ));
        cases.push((
            what,
            vec![
                full.clone(),
                layer(&[dir_line("./d", "")], &[dir("./d/"), file("./d/s/evil", b"evil")]),
            ],
        ));
        let honest = if mode == "0555" { "honest: it stays" } else { "honest: it stays, unseen" };
        cases.push((
            honest,
            vec![full, layer(&[shut(""), file_line("./z", b"z", "")], &[d, file("./z", b"z")])],
        ));
    }
    // Names.
    let names = [
        "-rf",
        "--",
        "*",
        "?",
        "[a-z]",
        "$(touch pwn)",
        "`touch pwn`",
        "a\n./b",
        "\n",
        " ",
        " a ",
        "a\\",
        "\\n",
        "~",
        "!",
        "a'b\"c",
        ".recover.1.1",
        "%s%n",
    ];
    let mut lines = Vec::new();
    let mut tar = Vec::new();
    let mut later = Vec::new();
    let mut below = Vec::new();
    for name in names {
        let path = format!("./{}", encoded(name.as_bytes()));
        lines.push(link_line(&path, out, ""));
        tar.push(symlink(&format!("./{name}"), out));
        later.push(setuid(kept(&format!("{path}/file"), " tags=in:0/0")));
        later.push(format!("{path}/dir type=dir optional tags=deleted"));
        below.push(file(&format!("./{name}/file"), b"evil"));
        below.push(file(&format!("{name}/evil"), b"evil"));
        below.push(file(&format!(".//{name}/evil"), b"evil"));
        below.push(file(&format!("././{name}/evil"), b"evil"));
    }
    cases.push(("odd names", vec![layer(&lines, &tar), layer(&later, &below)]));
    // Many symlinks are not moved aside.
    let many: Vec<String> = (0..1100).map(|n| link_line(&format!("./l{n}"), "x", "")).collect();
    let tars: Vec<Vec<u8>> = (0..1100).map(|n| symlink(&format!("./l{n}"), "x")).collect();
    let odd = [link_line("./s\\040", out, ""), link_line("./t", out, "")];
    cases.push((
        "more symlinks than are moved aside",
        vec![
            layer(
                &[&many[..], &odd].concat(),
                &[&tars[..], &[symlink("./s ", out), symlink("./t", out)]].concat(),
            ),
            layer(
                &[],
                &[
                    "./s /e1",
                    "s /e2",
                    "t/e3",
                    ".//t/e4",
                    "././t/e5",
                    "./x/../t/e6",
                    "t//e7",
                    "./t/e8",
                ]
                .map(|path| file(path, b"evil")),
            ),
        ],
    ));
    // Other ways to say a name.
    let long = |flag: u8, text: &str| {
        Header::new(flag, b"././@LongLink", text.len() as u64 + 1)
            .with(format!("{text}\0").as_bytes())
    };
    let x = || kept("./x", "");
    let global = |records: &[(&str, &str)]| {
        let mut bytes = pax(records);
        bytes[156] = b'g';
        let mut header = Header { bytes: bytes[..512].try_into().unwrap() };
        [header.with(b""), bytes[512..].to_vec()].concat()
    };
    for (what, members) in [
        ("pax path", vec![pax(&[("path", "../outside/evil")]), file("./x", b"kept")]),
        ("pax path through a symlink", vec![pax(&[("path", "./s/evil")]), file("./x", b"kept")]),
        (
            "pax linkpath",
            vec![file("./y", b"y"), pax(&[("linkpath", "../outside/file")]), hard("./x", "./y")],
        ),
        (
            "pax linkpath of a symlink",
            vec![
                pax(&[("linkpath", "../outside")]),
                symlink("./x", "y"),
                file("./x/evil", b"evil"),
            ],
        ),
        ("global pax path", vec![global(&[("path", "../outside/evil")]), file("./x", b"kept")]),
        (
            "global pax linkpath",
            vec![global(&[("linkpath", "../outside/file")]), hard("./x", "./y")],
        ),
        ("GNU longname", vec![long(b'L', "../outside/evil"), file("./x", b"kept")]),
        ("GNU longname through a symlink", vec![long(b'L', "./s/evil"), file("./x", b"kept")]),
        ("GNU longlink", vec![long(b'K', "../outside/file"), hard("./x", "./y")]),
        (
            "GNU longlink of a symlink",
            vec![long(b'K', "../outside"), symlink("./x", "y"), file("./x/evil", b"evil")],
        ),
        ("a trailing slash", vec![file("./x/", b"kept")]),
        (
            "dots and slashes",
            vec![
                file(".//x", b"kept"),
                file("././s/evil", b"evil"),
                file("s//evil", b"evil"),
                file("./s/./evil", b"evil"),
            ],
        ),
        ("no dot", vec![file("x", b"kept"), file("s/evil", b"evil")]),
        ("an absolute name", vec![file("/x", b"kept")]),
        (
            "two dots",
            vec![
                dir("./y/"),
                file("./y/../x", b"kept"),
                file("./y/../s/evil", b"evil"),
                file("./s/../../outside/evil", b"evil"),
            ],
        ),
        ("doubled, a symlink last", vec![file("./x", b"kept"), symlink("./x", "../outside/file")]),
        (
            "doubled, a symlink between",
            vec![file("./x", b"kept"), symlink("./x", "../outside/file"), file("./x", b"evil")],
        ),
        ("doubled, a folder", vec![dir("./x/"), file("./x/evil", b"evil"), file("./x", b"kept")]),
        ("doubled, a fifo", vec![file("./x", b"kept"), Header::new(b'6', b"./x", 0).with(b"")]),
        (
            "a device",
            vec![
                Header::new(b'4', b"./x", 0)
                    .mode(0o666)
                    .put(329, b"0000010")
                    .put(337, b"0000000")
                    .with(b""),
            ],
        ),
        (
            "a device beside",
            vec![
                file("./x", b"kept"),
                Header::new(b'3', b"./y", 0)
                    .mode(0o666)
                    .put(329, b"0000001")
                    .put(337, b"0000003")
                    .with(b""),
            ],
        ),
        (
            "old sparse",
            vec![
                Header::new(b'S', b"./x", 4)
                    .put(257, b"ustar  \0")
                    .put(386, b"00000000000\0")
                    .put(398, b"00000000004\0")
                    .put(483, b"00000000004\0")
                    .with(b"kept"),
            ],
        ),
        (
            "a sparse name",
            vec![
                pax(&[
                    ("GNU.sparse.name", "../outside/evil"),
                    ("GNU.sparse.major", "1"),
                    ("GNU.sparse.minor", "0"),
                    ("GNU.sparse.realsize", "4"),
                ]),
                {
                    let mut map = b"1\n0\n4\n".to_vec();
                    map.resize(512, 0);
                    map.extend(b"kept");
                    file("./x", &map)
                },
            ],
        ),
        (
            "a sparse name through a symlink",
            vec![
                pax(&[
                    ("GNU.sparse.name", "./s/evil"),
                    ("GNU.sparse.major", "1"),
                    ("GNU.sparse.minor", "0"),
                    ("GNU.sparse.realsize", "4"),
                ]),
                {
                    let mut map = b"1\n0\n4\n".to_vec();
                    map.resize(512, 0);
                    map.extend(b"kept");
                    file("./x", &map)
                },
            ],
        ),
        ("zero blocks before", vec![vec![0; 1024], file("./x", b"kept")]),
        (
            "a volume, a dumpdir, a continuation",
            vec![
                Header::new(b'V', b"./evil", 0).with(b""),
                Header::new(b'D', b"./evild", 0).with(b""),
                Header::new(b'M', b"./evilm", 4).with(b"evil"),
                file("./x", b"kept"),
            ],
        ),
        ("an unknown type", vec![Header::new(b'Z', b"./x", 4).with(b"kept")]),
        (
            "setgid and sticky folders",
            vec![Header::new(b'5', b"./d/", 0).mode(0o7777).with(b""), file("./x", b"kept")],
        ),
        (
            "a root that is a symlink",
            vec![symlink("./", "../outside"), symlink(".", "../outside"), file("./x", b"kept")],
        ),
        ("DEST itself, by its name", vec![symlink("../dest", "outside"), file("./x", b"kept")]),
        (
            "a folder of a symlink that is a fifo",
            vec![Header::new(b'6', b"./s", 0).with(b""), file("./x", b"kept")],
        ),
        (
            "the name of what is moved aside",
            vec![
                symlink("./.recover.1.1", "../outside"),
                symlink("./.recover.1", "../outside"),
                file("./x", b"kept"),
            ],
        ),
    ] {
        let mut lines = vec![x()];
        if what.contains("sticky") {
            lines.insert(0, dir_line("./d", ""));
        }
        if what == "a device" {
            lines = vec![
                "./x type=block mode=0666 uid=0 gid=0 time=1500000000.000000000 device=native,8,1"
                    .to_owned(),
            ];
        }
        cases.push((what, vec![s(), layer(&lines, &members)]));
    }
    // Fields.
    let field = |from: &str, to: &str| {
        vec![
            layer(
                &[x().replace(from, to), kept("./y\\0720", "")],
                &[file("./x", b"kept"), file("./y:0", b"kept")],
            ),
            layer(&[x().replace(from, to) + " tags=in:0/0"], &[]),
        ]
    };
    cases.push(("an owner that is an option", field("uid=0", "uid=--reference=./y")));
    cases.push(("an owner that is another option", field("uid=0", "uid=--from=1")));
    cases.push(("an owner that is a short option", field("uid=0", "uid=-R")));
    cases
        .push(("a mode that is an option", field("mode=0644", "mode=--reference=../outside/file")));
    cases.push(("a mode in words", field("mode=0644", "mode=,u+s")));
    cases.push(("a mode with a colon", field("mode=0644", "mode=0644:0")));
    cases.push((
        "a time that is a command",
        field("time=1500000000.000000000", "time=$(touch pwn)"),
    ));
    cases.push(("a time in words", field("time=1500000000.000000000", "time=1;tomorrow")));
    cases.push(("a mode of nine digits", field("mode=0644", "mode=000004755")));
    cases
}
