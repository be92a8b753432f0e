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
        for end in 0..bytes.len() {
            assert_ne!(to_text(&bytes[..end]).as_deref(), Some(text));
        }
        bytes[0] = 3;
        assert_eq!(to_text(&bytes), None);
        assert_eq!(to_text(b"\x02\0\0\0\x03\0\0\0\0\0\0\0"), None);
    }
}
