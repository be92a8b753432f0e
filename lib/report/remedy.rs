//! What helps against an error of a store.

use crate::store::{StoreError, StoreErrorKind};

/// What helps against an error of a store.
pub(super) fn remedy(error: &StoreError) -> Option<&'static str> {
    match error.kind {
        // The system's own number: a file's owner and mode, and no key, decide.
        StoreErrorKind::Denied if error.source.raw_os_error().is_some() => {
            Some("check its owner and mode, and whether its file system is writable")
        }
        StoreErrorKind::Denied => {
            Some("check the keys or the password, and their permissions: see dura-stores(7)")
        }
        StoreErrorKind::NoArchive => {
            Some("create the bucket, or the folder above the archive, first; or check its name")
        }
        StoreErrorKind::NoSpace => Some(
            "free some space, or store elsewhere: what is stored is intact, and the next run continues from there",
        ),
        StoreErrorKind::Certificate => Some(
            "for a server with a certificate of your own, name its authority's file in SSL_CERT_FILE",
        ),
        StoreErrorKind::Redirect => {
            Some("redirects are not followed: use the right address (for S3, region and endpoint)")
        }
        StoreErrorKind::NoListing => Some(
            "give the full name of a complete band with --band: it can be read without a listing",
        ),
        StoreErrorKind::NoLogin => Some(
            "ssh is not allowed to ask (BatchMode): log in once by hand with ssh or sftp, to see that the host's key is known and that no password or passphrase is needed; see dura-stores(7)",
        ),
        StoreErrorKind::Overtaken => Some("start the backup again: it makes a new band"),
        StoreErrorKind::Clock => Some("set the clock: requests are signed with the time"),
        StoreErrorKind::Session => Some(
            "the session has ended: sign in again, or renew the keys of the profile; see dura-stores(7)",
        ),
        StoreErrorKind::Cold => Some(
            "ask the service to retrieve it first: dura-index where lists what a restore needs",
        ),
        StoreErrorKind::NotFound
        | StoreErrorKind::Exists
        | StoreErrorKind::Passing
        | StoreErrorKind::Damaged
        | StoreErrorKind::Other => None,
    }
}
