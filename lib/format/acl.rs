//! POSIX ACLs: from the kernel's attribute to the numeric text that tar records carry.
//!
//! Source of the binary layout: Linux `include/uapi/linux/posix_acl_xattr.h` (version 2, little
//! endian). Source of the text: acl(5) short form; with numbers, because GNU tar refuses the
//! four-field form and names may not exist at recovery.

/// The attribute that holds an access ACL.
pub const ACCESS: &[u8] = b"system.posix_acl_access";
/// The attribute that holds a directory's default ACL.
pub const DEFAULT: &[u8] = b"system.posix_acl_default";

/// The ACL as `user::rw-,user:1234:r--,…`; none if the bytes are no version 2 ACL.
pub fn to_text(attribute: &[u8]) -> Option<String> {
    let (version, entries) = attribute.split_at_checked(4)?;
    if version != 2u32.to_le_bytes() || entries.len() % 8 != 0 {
        return None;
    }
    let mut text = String::new();
    for entry in entries.chunks_exact(8) {
        let tag = u16::from_le_bytes([entry[0], entry[1]]);
        let perm = u16::from_le_bytes([entry[2], entry[3]]);
        let id = u32::from_le_bytes([entry[4], entry[5], entry[6], entry[7]]);
        let who = match tag {
            0x01 => "user:".to_owned(),
            0x02 => format!("user:{id}"),
            0x04 => "group:".to_owned(),
            0x08 => format!("group:{id}"),
            0x10 => "mask:".to_owned(),
            0x20 => "other:".to_owned(),
            _ => return None,
        };
        let bit = |bit, letter| if perm & bit == 0 { '-' } else { letter };
        let comma = if text.is_empty() { "" } else { "," };
        text += &format!("{comma}{who}:{}{}{}", bit(4, 'r'), bit(2, 'w'), bit(1, 'x'));
    }
    Some(text)
}

/// The attribute that [`to_text`] makes this text of; none if it is no such text.
pub fn from_text(text: &str) -> Option<Vec<u8>> {
    let mut attribute = 2u32.to_le_bytes().to_vec();
    for (who, perm) in entries(text)? {
        let (tag, id) = who.split_once(':')?;
        let (tag, id): (u16, u32) = match (tag, id) {
            ("user", "") => (0x01, u32::MAX),
            ("user", id) => (0x02, id.parse().ok()?),
            ("group", "") => (0x04, u32::MAX),
            ("group", id) => (0x08, id.parse().ok()?),
            ("mask", _) => (0x10, u32::MAX),
            _ => (0x20, u32::MAX),
        };
        attribute.extend(tag.to_le_bytes());
        attribute.extend((perm as u16).to_le_bytes());
        attribute.extend(id.to_le_bytes());
    }
    Some(attribute)
}

/// Whether the text is that of an access ACL of an entry with this mode. An ACL sets the mode when
/// a tar extracts, so one of another mode would change it.
pub fn is_of_mode(text: &str, mode: u32) -> bool {
    let Some(entries) = entries(text) else { return false };
    let perm = |who: &str| entries.iter().find(|(known, _)| *known == who).map(|(_, perm)| *perm);
    // Where there is a mask, the mode's group bits are the mask.
    let group = perm("mask:").or(perm("group:"));
    [perm("user:"), group, perm("other:")] == [mode >> 6 & 7, mode >> 3 & 7, mode & 7].map(Some)
}

/// Whom each part of an ACL's text is about, as `user:` or `user:1234`, and what it allows; none
/// if it is no such text.
fn entries(text: &str) -> Option<Vec<(&str, u32)>> {
    let mut found: Vec<(&str, u32)> = Vec::new();
    for part in text.split(',') {
        let (who, perm) = part.rsplit_once(':')?;
        let (tag, id) = who.split_once(':')?;
        let known = match tag {
            "user" | "group" => {
                id.is_empty() || id.parse::<u32>().is_ok_and(|n| n.to_string() == id)
            }
            "mask" | "other" => id.is_empty(),
            _ => false,
        };
        let [r, w, x] = perm.as_bytes() else { return None };
        let mut bits = 0;
        for (byte, letter) in [(r, b'r'), (w, b'w'), (x, b'x')] {
            bits = bits << 1 | u32::from(*byte == letter);
            if ![letter, b'-'].contains(byte) {
                return None;
            }
        }
        if !known || found.iter().any(|(before, _)| *before == who) {
            return None;
        }
        found.push((who, bits));
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden() {
        let mut bytes = 2u32.to_le_bytes().to_vec();
        for (tag, perm, id) in [
            (1u16, 6u16, u32::MAX),
            (2, 4, 1234),
            (4, 5, u32::MAX),
            (8, 7, 4_000_000_000),
            (0x10, 7, u32::MAX),
            (0x20, 0, u32::MAX),
        ] {
            bytes.extend(tag.to_le_bytes());
            bytes.extend(perm.to_le_bytes());
            bytes.extend(id.to_le_bytes());
        }
        let text = "user::rw-,user:1234:r--,group::r-x,group:4000000000:rwx,mask::rwx,other::---";
        assert_eq!(to_text(&bytes).as_deref(), Some(text));
        assert_eq!(from_text(text), Some(bytes.clone()));
        assert_eq!((from_text("user:joe:rwx"), from_text("")), (None, None));
        for end in 0..bytes.len() {
            assert_ne!(to_text(&bytes[..end]).as_deref(), Some(text));
        }
        bytes[0] = 3;
        assert_eq!(to_text(&bytes), None);
        assert_eq!(to_text(b"\x02\0\0\0\x03\0\0\0\0\0\0\0"), None);
    }
    #[test]
    fn an_access_acl_is_that_of_its_mode() {
        let text = "user::rw-,user:1234:r--,group::r-x,mask::rwx,other::---";
        assert!(is_of_mode(text, 0o670) && is_of_mode(text, 0o4670) && entries(text).is_some());
        assert!(!is_of_mode(text, 0o650) && !is_of_mode(text, 0o770) && !is_of_mode(text, 0o671));
        assert!(is_of_mode("user::rw-,group::r-x,other::---", 0o650));
        for bad in [
            "",
            "user::rw-",
            "user::rw-,group::r-x",
            "user::rw-,group::r-x,other::---,user::rwx",
            "u::rw-,group::r-x,other::---",
            "user::6,group::r-x,other::---",
            "user::rw-,user:+1:rwx,group::r-x,other::---",
            "user::rw-,user:joe:rwx,group::r-x,other::---",
        ] {
            assert!(!is_of_mode(bad, 0o650), "{bad}");
        }
    }
}
