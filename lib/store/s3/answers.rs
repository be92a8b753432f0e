//! What an S3 service answers: a page of a listing, or an error with a code.

use percent_encoding::percent_decode_str;

use super::super::http::Reply;
use super::super::xml::{BadXml, elements};
use super::super::{Kind, StoreError};

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
pub fn page(xml: &[u8], prefix: &str) -> Result<Page, BadXml> {
    let mut page = Page::default();
    let mut raw: Vec<(String, u64)> = Vec::new();
    let (mut key, mut size, mut encoded, mut is_list) = (None, None, false, false);
    elements(xml, |path, text| match path {
        ["ListBucketResult"] => is_list = true,
        ["ListBucketResult", "Contents", "Key"] => key = Some(text.to_owned()),
        ["ListBucketResult", "Contents", "Size"] => size = text.parse().ok(),
        ["ListBucketResult", "Contents"] => raw.extend(key.take().zip(size.take())),
        ["ListBucketResult", "CommonPrefixes", "Prefix"] => raw.push((text.to_owned(), 0)),
        ["ListBucketResult", "EncodingType"] => encoded = text == "url",
        ["ListBucketResult", "IsTruncated"] => page.truncated = text == "true",
        ["ListBucketResult", "NextContinuationToken"] => {
            page.next = Some(text.to_owned()).filter(|token| !token.is_empty())
        }
        _ => {}
    })?;
    if !is_list {
        return Err(BadXml);
    }
    for (name, size) in raw {
        let name = if encoded {
            percent_decode_str(&name.replace('+', " ")).decode_utf8().ok().map(String::from)
        } else {
            Some(name)
        };
        let name = name.as_deref().and_then(|name| name.strip_prefix(prefix)).unwrap_or_default();
        let bare = name.strip_suffix('/').unwrap_or(name);
        if !matches!(bare, "" | "." | "..") && !bare.contains('/') {
            page.names.push((name.to_owned(), size));
        }
    }
    Ok(page)
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
        "NoSuchBucket" | "NoSuchBucketPolicy" => Kind::NoArchive,
        "NoSuchKey" => Kind::NotFound,
        "PermanentRedirect" | "TemporaryRedirect" => Kind::Redirect,
        "AccessDenied"
        | "AuthorizationHeaderMalformed"
        | "ExpiredToken"
        | "InvalidAccessKeyId"
        | "InvalidToken"
        | "RequestTimeTooSkewed"
        | "SignatureDoesNotMatch" => Kind::Denied,
        "BadDigest"
        | "ConditionalRequestConflict"
        | "IncompleteBody"
        | "InternalError"
        | "OperationAborted"
        | "RequestTimeout"
        | "ServiceUnavailable"
        | "SlowDown"
        | "XAmzContentChecksumMismatch"
        | "XAmzContentSHA256Mismatch" => Kind::Passing,
        "InvalidObjectState" => {
            said =
                "it lies in cold storage, and has to be asked for before it can be read".to_owned();
            Kind::Other
        }
        code if code.contains("Quota")
            || code.contains("StorageFull")
            || code == "InsufficientStorage" =>
        {
            Kind::NoSpace
        }
        _ => return reply.error(at, Some(&said)),
    };
    reply.error_of(kind, at, Some(&said))
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
        let keys = ["p/HEAD", "p/", "p/..", "p/./", "q/x", "p/a/b", "x", "", "p//", "p/ok/"];
        let sizes = "<Contents><Key>p/negative</Key><Size>-1</Size></Contents><Contents><Key>p/sizeless</Key></Contents>";
        let xml = list(&(keys.map(key).concat() + sizes));
        assert_eq!(
            page(xml.as_bytes(), "p/").unwrap().names,
            [("HEAD".to_owned(), 1), ("ok/".to_owned(), 1)]
        );
        for bad in ["", "<html/>", "<Error><Code>x</Code></Error>", "<ListBucketResult>"] {
            assert!(page(bad.as_bytes(), "").is_err(), "{bad}");
        }
    }
}
