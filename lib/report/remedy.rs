//! What helps against an error of a store.

use crate::store::{Kind, StoreError};

/// What helps against an error of a store.
pub(super) fn remedy(error: &StoreError) -> Option<&'static str> {
    match error.kind {
        // The system's own number: a file's owner and mode, and no key, decide.
        Kind::Denied if error.source.raw_os_error().is_some() => {
            Some("check its owner and mode, and whether its file system is writable")
        }
        Kind::Denied => {
            Some("check the keys or the password, and their permissions: see dura-stores(7)")
        }
        Kind::NoArchive => {
            Some("create the bucket, or the folder above the archive, first; or check its name")
        }
        Kind::NoSpace => Some(
            "free some space, or store elsewhere: what is stored is intact, and the next run continues from there",
        ),
        Kind::Certificate => Some(
            "for a server with a certificate of your own, name its authority's file in SSL_CERT_FILE",
        ),
        Kind::Redirect => {
            Some("redirects are not followed: use the right address (for S3, region and endpoint)")
        }
        Kind::NoListing => Some(
            "give the full name of a complete band with --band: it can be read without a listing",
        ),
        Kind::Overtaken => Some("start the backup again: it makes a new band"),
        Kind::Clock => Some("set the clock: requests are signed with the time"),
        Kind::Session => Some(
            "the session has ended: sign in again, or renew the keys of the profile; see dura-stores(7)",
        ),
        Kind::Cold => Some(
            "ask the service to retrieve it first: dura-index where lists what a restore needs",
        ),
        Kind::NotFound | Kind::Exists | Kind::Passing | Kind::Damaged | Kind::Other => None,
    }
}
