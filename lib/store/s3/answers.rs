//! What an S3 service answers: a page of a listing, or an error with a code.

use percent_encoding::percent_decode_str;

use super::super::http::Reply;
use super::super::xml::{BadXml, elements};
use super::super::{MAX_NAME, StoreError, StoreErrorKind, UNSEEN};

/// A page of a listing.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Names and sizes, below the prefix; folders end in `/`.
    pub names: Vec<(String, u64)>,
    /// Whether there are more.
    pub truncated: bool,
    /// What to ask the next page with.
    pub next: Option<String>,
}

/// Reads a page. What does not lie directly below the prefix is left out, whatever the server says.
///
/// # Errors
/// If it is no such answer.
pub fn page(xml: &[u8], prefix: &str) -> Result<Page, BadListingPage> {
    let mut page = Page::default();
    let mut raw: Vec<(String, u64)> = Vec::new();
    let (mut key, mut size, mut encoded, mut is_list) = (None, None, false, false);
    let mut asked: Option<String> = None;
    elements(xml, |path, text| match path {
        ["ListBucketResult"] => is_list = true,
        ["ListBucketResult", "Contents", "Key"] => key = Some(text.to_owned()),
        ["ListBucketResult", "Contents", "Size"] => size = text.parse().ok(),
        ["ListBucketResult", "Contents"] => {
            let size = size.take().unwrap_or(UNSEEN);
            raw.extend(key.take().map(|key| (key, size)));
        }
        ["ListBucketResult", "CommonPrefixes", "Prefix"] => raw.push((text.to_owned(), 0)),
        ["ListBucketResult", "EncodingType"] => encoded = text == "url",
        ["ListBucketResult", "Prefix"] => asked = Some(text.to_owned()),
        ["ListBucketResult", "IsTruncated"] => page.truncated = text == "true",
        ["ListBucketResult", "NextContinuationToken"] => {
            page.next = Some(text.to_owned()).filter(|token| !token.is_empty())
        }
        _ => {}
    })?;
    if !is_list {
        return Err(BadXml.into());
    }
    let decoded = |text: String| match encoded {
        true => percent_decode_str(&text.replace('+', " ")).decode_utf8().ok().map(String::from),
        false => Some(text),
    };
    let mut understood = raw.is_empty();
    for (name, size) in raw {
        let name = decoded(name);
        let name = name.as_deref().and_then(|name| name.strip_prefix(prefix));
        understood |= name.is_some();
        let name = name.unwrap_or_default();
        let bare = name.strip_suffix('/').unwrap_or(name);
        if !matches!(bare, "" | "." | "..") && !bare.contains('/') && bare.len() <= MAX_NAME {
            page.names.push((name.to_owned(), size));
        }
    }
    // Some servers leave the prefix out, or cut its end.
    let other = asked.and_then(decoded).is_some_and(|asked| {
        !asked.is_empty() && asked.trim_end_matches('/') != prefix.trim_end_matches('/')
    });
    if !understood || (page.names.is_empty() && other) {
        return Err(BadListingPage::Elsewhere);
    }
    Ok(page)
}

/// Why an answer is no page of a listing.
#[derive(Debug, thiserror::Error)]
pub enum BadListingPage {
    /// It cannot be read.
    #[error(transparent)]
    Xml(#[from] BadXml),
    /// It is of something else than was asked for. An empty folder looks otherwise.
    #[error("the server lists other paths than this one: a proxy may change them")]
    Elsewhere,
}

/// What the service calls the error that a reply tells of; empty if it does not say.
pub fn code(reply: &Reply) -> String {
    let mut code = String::new();
    let _ = elements(&reply.body, |path, text| {
        if let ["Error", "Code"] = path {
            text.clone_into(&mut code);
        }
    });
    code
}

/// The error that a reply tells of, sorted by its code where it has one.
pub fn error(reply: &Reply, at: &str) -> StoreError {
    let (mut code, mut message) = (String::new(), String::new());
    let _ = elements(&reply.body, |path, text| match path {
        ["Error", "Code"] => text.clone_into(&mut code),
        ["Error", "Message"] => text.clone_into(&mut message),
        _ => {}
    });
    let mut said = if message.is_empty() { code.clone() } else { format!("{code}: {message}") };
    if let Some(region) = reply.header("x-amz-bucket-region") {
        said = format!("the bucket is in region {region}: {said}");
    }
    let kind = match code.as_str() {
        "NoSuchBucket" | "NoSuchBucketPolicy" => StoreErrorKind::NoArchive,
        "NoSuchKey" => StoreErrorKind::NotFound,
        "PermanentRedirect" | "TemporaryRedirect" => StoreErrorKind::Redirect,
        code if is_skew(code) => StoreErrorKind::Clock,
        code if is_ended(code) => StoreErrorKind::Session,
        "AccessDenied"
        | "AuthorizationHeaderMalformed"
        | "InvalidAccessKeyId"
        | "SignatureDoesNotMatch" => StoreErrorKind::Denied,
        "BadDigest"
        | "ConditionalRequestConflict"
        | "IncompleteBody"
        | "InternalError"
        | "OperationAborted"
        | "RequestTimeout"
        | "ServiceUnavailable"
        | "SlowDown"
        | "XAmzContentChecksumMismatch"
        | "XAmzContentSHA256Mismatch" => StoreErrorKind::Passing,
        "InvalidObjectState" => {
            said =
                "it lies in cold storage, and has to be asked for before it can be read".to_owned();
            StoreErrorKind::Cold
        }
        code if code.contains("Quota")
            || code.contains("StorageFull")
            || code == "InsufficientStorage" =>
        {
            StoreErrorKind::NoSpace
        }
        _ => return reply.error(at, Some(&said)),
    };
    reply.error_of(kind, at, Some(&said))
}

/// Whether the service says that the clocks are too far apart.
pub fn is_skew(code: &str) -> bool {
    matches!(code, "RequestTimeTooSkewed" | "RequestExpired" | "RequestInTheFuture")
}

/// Whether the service says that the keys were for a time that is over.
pub fn is_ended(code: &str) -> bool {
    let ends = ["ExpiredToken", "ExpiredTokenException", "InvalidToken", "TokenRefreshRequired"];
    ends.contains(&code)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(inside: &str) -> String {
        format!(
            "<?xml version=\"1.0\"?><ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">{inside}</ListBucketResult>"
        )
    }

    #[test]
    fn pages() {
        let xml = list(
            "<Name>b</Name><Prefix>p/a</Prefix><IsTruncated>true</IsTruncated><NextContinuationToken>t&amp;1</NextContinuationToken>\
             <EncodingType>url</EncodingType><Contents><Key>p/a%2FHEAD</Key><Size>7</Size><Owner><ID>x</ID></Owner></Contents>\
             <Contents><Size>9</Size><Key>p/a/b+c%2B</Key></Contents><CommonPrefixes><Prefix>p/a/00000/</Prefix></CommonPrefixes>",
        );
        let names = vec![("HEAD".to_owned(), 7), ("b c+".to_owned(), 9), ("00000/".to_owned(), 0)];
        assert_eq!(
            page(xml.as_bytes(), "p/a/").unwrap(),
            Page { names, truncated: true, next: Some("t&1".to_owned()) }
        );
        assert_eq!(page(list("").as_bytes(), "").unwrap(), Page::default());
    }

    #[test]
    fn what_a_server_should_not_list_is_left_out() {
        let key = |key: &str| format!("<Contents><Key>{key}</Key><Size>1</Size></Contents>");
        let long = format!("p/{}", "x".repeat(256));
        let keys = [&long, "p/HEAD", "p/", "p/..", "p/./", "q/x", "p/a/b", "x", "", "p//", "p/ok/"];
        let sizes = "<Contents><Key>p/negative</Key><Size>-1</Size></Contents><Contents><Key>p/sizeless</Key></Contents>";
        let xml = list(&(keys.map(key).concat() + sizes));
        assert_eq!(
            page(xml.as_bytes(), "p/")
                .unwrap()
                .names
                .iter()
                .map(|(name, size)| format!("{name} {size}"))
                .collect::<Vec<_>>(),
            ["HEAD 1", "ok/ 1", &format!("negative {UNSEEN}"), &format!("sizeless {UNSEEN}")]
        );
        for elsewhere in [key("HEAD"), key("q/HEAD") + "<Prefix>q/</Prefix>"] {
            let read = page(list(&elsewhere).as_bytes(), "p/");
            assert!(matches!(read, Err(BadListingPage::Elsewhere)), "{read:?}");
        }
        let read = page(list("<Prefix>other/</Prefix>").as_bytes(), "p/");
        assert!(matches!(read, Err(BadListingPage::Elsewhere)), "{read:?}");
        for empty in ["<Prefix>p/</Prefix>", "<Prefix/>", "", &key("p/")] {
            assert_eq!(page(list(empty).as_bytes(), "p/").unwrap().names, [], "{empty}");
        }
        for bad in ["", "<html/>", "<Error><Code>x</Code></Error>", "<ListBucketResult>"] {
            assert!(page(bad.as_bytes(), "").is_err(), "{bad}");
        }
    }
}
