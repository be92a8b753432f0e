//! Signatures on their way: no list names them, so gpg is asked whether they are good.

use crate::core::intake::SignatureCheck;
use crate::edge::gpg::{self, SignatureVerdict};

/// What can be said of a signature. Where gpg or the key is not at hand, nothing can.
pub(super) fn look(signature: &[u8], text: &[u8]) -> SignatureCheck {
    match gpg::verify(signature, text) {
        Ok(SignatureVerdict::Signed(_)) => SignatureCheck::Good,
        Ok(SignatureVerdict::Bad | SignatureVerdict::NoSignature) => SignatureCheck::Damaged,
        Ok(SignatureVerdict::Unknown(_)) | Err(_) => SignatureCheck::Unknown,
    }
}
