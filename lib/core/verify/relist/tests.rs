//! What is taken from a damaged list, and what from the objects.

use super::*;

const BAND: &str = "20261101T020000Z";
const ID: &str = "00112233445566778899aabbccddeeff";

fn band() -> (BandName, BandId) {
    (BAND.parse().unwrap(), ID.parse().unwrap())
}

/// `N` for block N, `N-C.rsJ` for parity.
fn name(short: &str) -> ObjectName {
    let (number, rest) = short
        .split_once('-')
        .map_or((short, ".tar".to_owned()), |(number, rest)| (number, format!("-{rest}")));
    let number: u32 = number.parse().unwrap();
    ObjectName::parse(&format!("{:05}/{number:09}{rest}", number / 10_000))
        .unwrap_or_else(|| panic!("{short}"))
}

fn member(short: &str, content: &[u8]) -> GroupMember {
    GroupMember::of(name(short), content)
}

/// Block 3 is the only one of two pieces, so parity has two as well.
fn long(fill: u8) -> Vec<u8> {
    vec![fill; PIECE + 9]
}

/// A group of three blocks with two parity shards, in four slots: 2-0.
fn group() -> List {
    let members = vec![
        member("2", b"two"),
        member("3", &long(3)),
        member("4", b"four"),
        member("2-0.rs0", &long(7)),
        member("2-0.rs1", &long(8)),
    ];
    let (band, id) = band();
    List { band, id, name: (2, 0), added: 0, slots: 4, parity: 2, members }
}

fn read(text: &str) -> Claims {
    let (band, id) = band();
    Claims::read(text.as_bytes(), &band, id, (2, 0))
}

/// The line of the list that begins and ends so, garbled at its second byte.
fn garbled(text: &str, start: &str, end: &str) -> String {
    let line = text.lines().find(|line| line.starts_with(start) && line.contains(end)).unwrap();
    text.replace(line, &line.replacen(&line[1..2], "~", 1))
}

/// What a list has for an object: its size and whether the old list vouches for it; `as found` has
/// the sizes of [`found`].
fn show(made: Option<Relisted>) -> String {
    let Some(Relisted { list, vouched }) = made else { return "none".to_owned() };
    let one = |(member, sure): (&GroupMember, &bool)| {
        let file = member.name.to_string();
        let short = file
            .rsplit('/')
            .next()
            .unwrap()
            .trim_start_matches('0')
            .trim_end_matches(".tar")
            .replace("-0.", "-");
        format!("{short}:{}{}", member.size, if *sure { "" } else { "?" })
    };
    list.members.iter().zip(&vouched).map(one).collect::<Vec<_>>().join(" ")
}

fn made(text: &str, found: &[GroupMember]) -> String {
    show(relist(List { members: vec![], ..group() }, found, &read(text)))
}

/// All as it should be, but for objects that are told: another content of the same name, or none.
fn found(changes: &[(&str, Option<&[u8]>)]) -> Vec<GroupMember> {
    let mut members = group().members;
    for (short, content) in changes {
        let at = members.iter().position(|member| member.name == name(short)).unwrap();
        match content {
            Some(content) => members[at] = member(short, content),
            None => _ = members.remove(at),
        }
    }
    members
}

const LONG: usize = PIECE + 9;

#[test]
fn without_a_list_it_is_what_was_found() {
    let sure = format!("2:3? 3:{LONG}? 4:4? 2-rs0:{LONG}? 2-rs1:{LONG}?");
    assert_eq!(made("", &found(&[])), sure);
    // In the order of the stream, however it was found.
    let mut mixed = found(&[]);
    mixed.reverse();
    assert_eq!(made("", &mixed), sure);
    // What belongs to other groups is no part of it.
    let others = ["2-1.rs0", "2-0.rs2", "3-0.rs0"].map(|short| member(short, &long(9)));
    assert_eq!(made("", &[found(&[]), others.to_vec()].concat()), sure);
    // No list has less parity than it says, more objects than slots, none, or parity of another
    // length.
    for wrong in ["2-0.rs0", "2-0.rs1"] {
        assert_eq!(made("", &found(&[(wrong, None)])), "none");
        assert_eq!(made("", &found(&[(wrong, Some(b"short"))])), "none");
    }
    let more = [member("5", b"five"), member("6", b"six")];
    assert_eq!(
        made("", &[found(&[]), more[..1].to_vec()].concat()),
        sure.replace("4:4?", "4:4? 5:4?")
    );
    assert_eq!(made("", &[found(&[]), more.to_vec()].concat()), "none");
    assert_eq!(made("", &found(&[])[3..]), "none");
    assert_eq!(made("", &[]), "none");
}

/// Each line of an object's is enough to know it again, and both are enough to know what it was.
#[test]
fn what_is_legible_goes_before_what_is_found() {
    let text = group().text();
    let (whole, of) = (format!("2:3 3:{LONG} 4:4 2-rs0:{LONG} 2-rs1:{LONG}"), |short: &str| {
        name(short).to_string()
    });
    assert_eq!(made(&text, &found(&[])), whole);
    assert_eq!(
        made(&text, &[]),
        whole,
        "all of it is lost but the list, which says what is to be rebuilt"
    );
    let (pieces, sum) = (
        |short: &str| garbled(&text, "#object", &of(short)),
        |short: &str| {
            let line =
                text.lines().find(|line| line.ends_with(&format!("  {}", of(short)))).unwrap();
            text.replace(line, &line.replace("  ", " ~"))
        },
    );
    let other: Option<&[u8]> = Some(b"damaged");
    let longer = long(4);
    let long_other: Option<&[u8]> = Some(&longer);
    for (what, text, changes, wanted) in [
        ("both lines, object damaged", text.clone(), vec![("2", other)], whole.clone()),
        ("both lines, object gone", text.clone(), vec![("4", None)], whole.clone()),
        ("both lines, parity gone", text.clone(), vec![("2-0.rs1", None)], whole.clone()),
        ("no sum, object good", sum("2"), vec![], whole.clone()),
        ("no pieces, object good", pieces("2"), vec![], whole.clone()),
        ("no sum, one piece, object damaged", sum("2"), vec![("2", other)], whole.clone()),
        ("no sum, one piece, object gone", sum("2"), vec![("2", None)], whole.clone()),
        ("no sum, two pieces, object good", sum("3"), vec![], whole.clone()),
        ("no sum, two pieces, object gone", sum("3"), vec![("3", None)], "none".to_owned()),
        (
            "no sum, two pieces, object damaged",
            sum("3"),
            vec![("3", long_other)],
            whole.replacen(&format!("3:{LONG}"), &format!("3:{LONG}?"), 1),
        ),
        (
            "no pieces, object damaged",
            pieces("2"),
            vec![("2", other)],
            whole.replace("2:3", "2:7?"),
        ),
        ("no pieces, object gone", pieces("2"), vec![("2", None)], whole.replace("2:3 ", "")),
        (
            "neither line, object there",
            text.replace(&of("2"), "~"),
            vec![],
            whole.replace("2:3", "2:3?"),
        ),
        (
            "neither line, object gone",
            text.replace(&of("2"), "~"),
            vec![("2", None)],
            whole.replace("2:3 ", ""),
        ),
    ] {
        // Without the longest object parity would be too long for the group.
        assert_eq!(made(&text, &found(&changes)), wanted, "{what}");
    }
    // A sum that its only piece belies: neither is believed. If both agree with nothing that was
    // found, what was found stands.
    let twisted = text
        .replace(&hex::encode(member("2", b"two").sha256), &hex::encode(member("2", b"2").sha256));
    let both: String = twisted
        .lines()
        .map(|line| match line.starts_with("#object") {
            true => {
                line.replace(
                    &hex::encode(member("2", b"2").sha256),
                    &hex::encode(member("2", b"two").sha256),
                ) + "\n"
            }
            false => line.to_owned() + "\n",
        })
        .collect();
    assert_eq!(made(&both, &found(&[("2", other)])), whole.replace("2:3", "2:7?"));
    assert_eq!(made(&both, &found(&[])), whole, "but one of them is enough to know the object");
}

#[test]
fn lists_of_others_say_nothing() {
    let text = group().text();
    for (from, to) in [
        (BAND, "20261102T020000Z"),
        (ID, "00112233445566778899aabbccddeefe"),
        ("#group 000000002-0 ", "#group 000000002-1 "),
        ("#group 000000002-0 ", "#group 000000003-0 "),
    ] {
        let other = read(&text.replace(from, to));
        assert_eq!(other, Claims::default(), "{to}");
        assert!(other.is_empty());
    }
    // A line that no list has is a damaged one, and its neighbours still speak.
    for (from, to) in [
        (BAND, "20261102T02000"),
        (ID, "0011"),
        ("#band", "#bind"),
        ("#group 000000002-0 ", "#group 000000002 "),
    ] {
        let damaged = read(&text.replacen(from, to, 1));
        assert_eq!(damaged.names().count(), 5, "{to}");
        assert!(!damaged.is_empty());
    }
    // Parity alone is no object.
    let of_parity: String =
        text.lines().filter(|line| line.contains(".rs")).map(|line| format!("{line}\n")).collect();
    assert_eq!((read(&of_parity).names().count(), read(&of_parity).is_empty()), (2, true));
}

#[test]
fn shape_and_count() {
    let text = group().text();
    let shape = |to: &str| read(&text.replace("slots=4 parity=2", to)).shape();
    assert_eq!(read(&text).shape(), Some((4, 2)));
    assert_eq!(shape("slots=255 parity=0"), Some((255, 0)));
    for bad in [
        "slots=0 parity=2",
        "slots=256 parity=2",
        "slots=4 parity=256",
        "slots=-4 parity=2",
        "slots=4",
        "",
        "parity=2 slots=4",
    ] {
        assert_eq!(shape(bad), None, "{bad}");
    }
    // Three objects; how many is known while the last line is there and nothing is overwritten on a
    // larger scale.
    assert_eq!(read(&text).count(4, 2), 3);
    assert_eq!(read(&garbled(&text, "#object", "000000003.tar")).count(4, 2), 3);
    assert_eq!(
        read(&text.replacen("\n#object", "~#object", 1)).count(4, 2),
        3,
        "two lines that became one"
    );
    assert_eq!(read(&text[..text.len() - 70]).count(4, 2), 4);
    assert_eq!(read(&text.replacen("#object", "\0\0\0\0\0\0\0", 1)).count(4, 2), 4);
    assert_eq!(read(&text).count(2, 2), 2, "never more than slots");
    assert_eq!(read("").count(4, 2), 4);
}

/// Sizes and digests that cannot be are not read, whatever else is right.
#[test]
fn lines_that_lie() {
    let text = group().text();
    let own = name("2").to_string();
    let line = text
        .lines()
        .find(|line| line.starts_with("#object") && line.contains(&own))
        .unwrap()
        .to_owned();
    for wrong in [
        line.replacen(" 3 ", " 99999999999999999999 ", 1),
        line.replacen(" 3 ", " 2097153 ", 1),
        line.replacen(" 3 ", " -3 ", 1),
        line.replacen(" 3 ", " 0 ", 1),
        format!("{line} {}", &line[line.len() - 64..]),
        line[..line.len() - 1].to_owned(),
        line.replace(&own, "../../etc/passwd"),
    ] {
        let claims = read(&text.replace(&line, &wrong));
        assert_eq!(
            made(&text.replace(&line, &wrong), &found(&[])),
            made(&text, &found(&[])),
            "{wrong}: its sum is left"
        );
        assert_eq!(claims.names().count(), 5, "{wrong}");
    }
    assert_eq!(made(&"\n".repeat(1000), &found(&[])), made("", &found(&[])));
    assert_eq!(
        made("\u{fffd}\n#object\n#group\n#band\n#end\n  \n", &found(&[])),
        made("", &found(&[]))
    );
}
