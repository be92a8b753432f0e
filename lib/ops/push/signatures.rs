//! Signatures on their way: no list names them, so gpg is asked whether they are good.

use crate::core::intake::Look;
use crate::edge::gpg::{self, Verdict};

/// What can be said of a signature. Where gpg or the key is not at hand, nothing can.
pub(super) fn look(signature: &[u8], text: &[u8]) -> Look {
    match gpg::verify(signature, text) {
        Ok(Verdict::Signed(_)) => Look::Good,
        Ok(Verdict::Bad | Verdict::NoSignature) => Look::Damaged,
        Ok(Verdict::Unknown(_)) | Err(_) => Look::Unknown,
    }
}
