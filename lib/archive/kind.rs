//! What kept an object from being read, as a kind. The kind alone decides what happens next;
//! wording and hints are for people.

use crate::edge::gpg::GpgError;
use crate::report::message::causes;
use crate::store::{StoreError, StoreErrorKind};

/// Why an object could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReadErrorKind {
    /// It is sealed, and gpg has no key that opens it, or cannot use the one it has. Other objects
    /// would fail in the same way, and another host may read them all: nothing is lost.
    NoKey,
    /// It cannot be asked for now: another run may get it, so nothing is lost.
    Unreachable,
    /// The store has no object of that name.
    NotFound,
    /// It was read, and is not what it should be.
    Damaged,
}

impl ReadErrorKind {
    /// The kind of an error, by the typed errors that caused it, however many hints and words
    /// stand around them.
    pub(crate) fn of(error: &anyhow::Error) -> ReadErrorKind {
        for cause in causes(error) {
            if let Some(kind) = cause.downcast_ref().map(ReadErrorKind::of_gpg) {
                return kind;
            }
            if let Some(error) = cause.downcast_ref::<StoreError>() {
                return match error.kind {
                    StoreErrorKind::NotFound => ReadErrorKind::NotFound,
                    StoreErrorKind::Damaged | StoreErrorKind::Other => ReadErrorKind::Damaged,
                    _ => ReadErrorKind::Unreachable,
                };
            }
        }
        ReadErrorKind::Damaged
    }

    fn of_gpg(error: &GpgError) -> ReadErrorKind {
        match error {
            GpgError::Start(_)
            | GpgError::Unusable(_)
            | GpgError::NoSecretKey(_)
            | GpgError::Locked(_)
            | GpgError::WrongPassphrase => ReadErrorKind::NoKey,
            GpgError::Talk(_)
            | GpgError::TooLarge(_)
            | GpgError::Damaged(_)
            | GpgError::Failed(_)
            | GpgError::Unsure => ReadErrorKind::Damaged,
        }
    }
}

/// Whether gpg has no key for what was to be read.
pub(crate) fn is_locked(error: &anyhow::Error) -> bool {
    ReadErrorKind::of(error) == ReadErrorKind::NoKey
}

/// Whether what is there could not be asked for: another run may get it, so it is not to be taken
/// for lost.
pub(crate) fn is_unreachable(error: &anyhow::Error) -> bool {
    ReadErrorKind::of(error) == ReadErrorKind::Unreachable
}

#[cfg(test)]
mod tests {
    use std::io;

    use anyhow::anyhow;

    use super::*;
    use crate::report::message::Hinted;

    #[test]
    #[allow(clippy::type_complexity)]
    fn words_and_hints_change_no_kind() {
        let gpg = || anyhow::Error::new(GpgError::NoSecretKey(Vec::new()));
        let store = |kind| {
            let source = io::Error::other("why");
            anyhow::Error::new(StoreError { kind, at: "x".into(), source, retry_after: None })
        };
        type Make<'a> = &'a dyn Fn() -> anyhow::Error;
        let cases: [(&str, fn(Make<'_>) -> anyhow::Error); 5] = [
            ("as it is", |error| error()),
            ("words", |error| error().context("words")),
            ("a hint", |error| Hinted::wrap(error(), "do this")),
            ("a hint, words", |error| Hinted::wrap(error(), "do this").context("words")),
            ("words, hints, words", |error| {
                let inner = Hinted::wrap(error().context("words"), "do this");
                Hinted::wrap(inner.context("more"), "or that").context("words")
            }),
        ];
        for (how, wrap) in cases {
            for (kind, error) in [
                (ReadErrorKind::NoKey, &gpg as Make<'_>),
                (ReadErrorKind::Unreachable, &|| store(StoreErrorKind::Denied)),
                (ReadErrorKind::Unreachable, &|| store(StoreErrorKind::Passing)),
                (ReadErrorKind::NotFound, &|| store(StoreErrorKind::NotFound)),
                (ReadErrorKind::Damaged, &|| anyhow!("not what it should be")),
                (ReadErrorKind::Damaged, &|| GpgError::Unsure.into()),
            ] {
                assert_eq!(ReadErrorKind::of(&wrap(error)), kind, "{how}: {:#}", error());
            }
        }
    }
}
