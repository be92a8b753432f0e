//! Removing objects from a bucket.

use std::io;

use rusty_s3::Method;

use super::super::create_only::Conditional;
use super::super::{Remove, StoreError, StoreErrorKind, Word};
use super::{MAX_PAGE, S3};

/// Said once, of a bucket that removes nothing by itself.
const KEEPS_VERSIONS: &str = "the bucket keeps older versions: what is removed takes room until a \
    lifecycle rule of the bucket removes older versions, and can be had back until then";

impl Remove for S3 {
    fn remove(&self, name: &str) -> Result<(), StoreError> {
        // The server says the same whether there was one or not.
        if self.size(name)?.is_none() {
            return Err(StoreError::new(self.shown(name), io::ErrorKind::NotFound.into()));
        }
        let reply = self.send(Method::Delete, Some(name), &[], &[], None, MAX_PAGE)?;
        if reply.status.is_success() {
            if reply.header("x-amz-delete-marker") == Some("true") {
                self.keeps_versions.call_once(|| self.once.tell(Word::Note(KEEPS_VERSIONS)));
            }
            return Ok(());
        }
        let mut error = self.failed(name, &reply);
        if error.kind == StoreErrorKind::Denied
            && let Some(until) = self.locked_until(name)
        {
            let text = format!("{}: locked until {until}", error.source);
            error.source = io::Error::new(error.source.kind(), text);
        }
        Err(error)
    }
}

impl S3 {
    /// Until when the bucket's object lock keeps an object, if it tells.
    fn locked_until(&self, name: &str) -> Option<String> {
        let reply = self.send(Method::Head, Some(name), &[], &[], None, 0).ok()?;
        let legal = reply.header("x-amz-object-lock-legal-hold") == Some("ON");
        let until = reply.header("x-amz-object-lock-retain-until-date").map(str::to_owned);
        until.or_else(|| legal.then(|| "its legal hold has been removed".to_owned()))
    }
}
