//! Which extended attributes are stored: those that a user or a program has set, not what a file
//! system shows of something else under the name of an attribute.

use super::acl;

/// Names that begin so are views of a file system: made from its own structures, different on each
/// request or each system, and refused or meaningless when another file system is asked to set
/// them.
///
/// Sources: Linux `fs/smb/client/xattr.c` (`user.cifs.`, `user.smb3.`), `fs/ceph/xattr.c`,
/// `fs/afs/xattr.c`, `fs/bcachefs/xattr.c`.
const VIEWS: &[&[u8]] = &[b"user.cifs.", b"user.smb3.", b"ceph.", b"afs.", b"bcachefs_effective."];

/// XFS shows root each POSIX ACL a second time under these names, in its own binary form
/// (`fs/xfs/xfs_xattr.c`). Set on another file system, such a value stays as junk.
const SECOND_ACLS: &[&[u8]] = &[b"trusted.SGI_ACL_FILE", b"trusted.SGI_ACL_DEFAULT"];

/// Whether an attribute of this name is stored.
///
/// Of `system.` only POSIX ACLs are: all others (`system.nfs4_acl`, `system.cifs_acl`,
/// `system.ntfs_attrib` …) are views, and NFS shows one for each file. The marks of overlay file
/// systems (`trusted.overlay.`, `user.overlay.`) are stored: without them a restored upper layer
/// would mean something else.
pub fn is_stored(name: &[u8]) -> bool {
    let of_system = name.starts_with(b"system.") && name != acl::ACCESS && name != acl::DEFAULT;
    let is_view = VIEWS.iter().any(|view| name.starts_with(view));
    !of_system && !is_view && !SECOND_ACLS.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_of_a_file_system_are_not_stored() {
        for name in [
            "trusted.SGI_ACL_FILE",
            "trusted.SGI_ACL_DEFAULT",
            "system.nfs4_acl",
            "system.nfs4_dacl",
            "system.nfs4_sacl",
            "system.nfs4_acl_xdr",
            "system.richacl",
            "system.cifs_acl",
            "system.smb3_ntsd_full",
            "system.ntfs_attrib",
            "user.cifs.dosattrib",
            "user.smb3.creationtime",
            "ceph.dir.entries",
            "afs.acl",
            "bcachefs_effective.compression",
        ] {
            assert!(!is_stored(name.as_bytes()), "{name}");
        }
        for name in [
            "system.posix_acl_access",
            "system.posix_acl_default",
            "trusted.SGI_ACL_FILES",
            "trusted.overlay.opaque",
            "trusted.overlay.redirect",
            "user.overlay.origin",
            "user.cifs",
            "user.comment",
            "security.selinux",
            "security.capability",
            "btrfs.compression",
            "bcachefs.compression",
        ] {
            assert!(is_stored(name.as_bytes()), "{name}");
        }
    }
}
