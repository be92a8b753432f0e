//! Signatures of requests (AWS Signature Version 4), in a header: an address in a log of a server
//! or proxy is worth nothing to whoever reads it.

use std::fmt::Write as _;

use hmac::{Hmac, KeyInit, Mac};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use rusty_s3::Credentials;
use sha2::{Digest, Sha256};
use url::Url;

/// What a query leaves as it is.
const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A request to be signed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Unsigned<'a> {
    pub(super) method: &'a str,
    /// Without a query.
    pub(super) url: &'a Url,
    pub(super) query: &'a [(&'a str, &'a str)],
    /// Names in lower case, without `host`.
    pub(super) headers: &'a [(&'a str, &'a str)],
    /// The sha256 of the body, in hex.
    pub(super) body: &'a str,
}

/// The query as it has to stand in the address.
pub(super) fn query(pairs: &[(&str, &str)]) -> String {
    let encoded = |text: &str| utf8_percent_encode(text, KEPT).to_string();
    let mut pairs: Vec<(String, String)> =
        pairs.iter().map(|(name, value)| (encoded(name), encoded(value))).collect();
    pairs.sort();
    let pairs: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
    pairs.join("&")
}

/// The headers that a request has to have besides its own.
pub(super) fn headers(
    request: Unsigned<'_>,
    keys: &Credentials,
    region: &str,
    now: jiff::Timestamp,
) -> Vec<(String, String)> {
    let (date, day) = (now.strftime("%Y%m%dT%H%M%SZ").to_string(), now.strftime("%Y%m%d"));
    let mut host = request.url.host_str().unwrap_or_default().to_owned();
    if let Some(port) = request.url.port() {
        let _ = write!(host, ":{port}");
    }
    let mut own = vec![
        ("x-amz-content-sha256".to_owned(), request.body.to_owned()),
        ("x-amz-date".to_owned(), date.clone()),
    ];
    own.extend(keys.token().map(|token| ("x-amz-security-token".to_owned(), token.to_owned())));
    let mut all: Vec<(&str, &str)> = vec![("host", &host)];
    all.extend(request.headers);
    all.extend(own.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    all.sort_unstable();
    let mut canonical =
        format!("{}\n{}\n{}\n", request.method, request.url.path(), query(request.query));
    for (name, value) in &all {
        let words: Vec<&str> = value.split_whitespace().collect();
        let _ = writeln!(canonical, "{name}:{}", words.join(" "));
    }
    let names: Vec<&str> = all.iter().map(|(name, _)| *name).collect();
    let names = names.join(";");
    let _ = write!(canonical, "\n{names}\n{}", request.body);
    let scope = format!("{day}/{region}/s3/aws4_request");
    let digest = hex::encode(Sha256::digest(canonical));
    let text = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{digest}");
    let secret = format!("AWS4{}", keys.secret());
    let key = [day.to_string().as_str(), region, "s3", "aws4_request"]
        .iter()
        .fold(secret.into_bytes(), |key, part| mac(&key, part));
    let signature = hex::encode(mac(&key, &text));
    let key = keys.key();
    own.push((
        "authorization".to_owned(),
        format!(
            "AWS4-HMAC-SHA256 Credential={key}/{scope}, SignedHeaders={names}, Signature={signature}"
        ),
    ));
    own
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    // Keys of any length are taken.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return Vec::new() };
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of Amazon's documentation, "Authenticating Requests: Using the Authorization
    /// Header".
    #[test]
    fn as_amazon_signs() {
        let keys =
            Credentials::new("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY");
        let now: jiff::Timestamp = "2013-05-24T00:00:00Z".parse().unwrap();
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let signature = |path: &str, query: &[(&str, &str)], headers_of: &[(&str, &str)]| {
            let url = Url::parse("https://examplebucket.s3.amazonaws.com").unwrap();
            let url = url.join(path).unwrap();
            let request =
                Unsigned { method: "GET", url: &url, query, headers: headers_of, body: empty };
            let signed = headers(request, &keys, "us-east-1", now);
            signed.last().unwrap().1.rsplit('=').next().unwrap().to_owned()
        };
        assert_eq!(
            signature("/test.txt", &[], &[("range", "bytes=0-9")]),
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
        );
        assert_eq!(
            signature("/", &[("lifecycle", "")], &[]),
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"
        );
        assert_eq!(
            signature("/", &[("prefix", "J"), ("max-keys", "2")], &[]),
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"
        );
    }

    #[test]
    fn a_session_goes_along() {
        let keys = Credentials::new_with_token("k", "s", "t/1=");
        let url = Url::parse("http://127.0.0.1:9000/b/x").unwrap();
        let request = Unsigned { method: "PUT", url: &url, query: &[], headers: &[], body: "00" };
        let signed = headers(request, &keys, "r", jiff::Timestamp::UNIX_EPOCH);
        assert_eq!(signed[2], ("x-amz-security-token".to_owned(), "t/1=".to_owned()));
        assert!(signed[3].1.contains("host;x-amz-content-sha256;x-amz-date;x-amz-security-token"));
        assert_eq!(
            query(&[("prefix", "a b/ü"), ("list-type", "2")]),
            "list-type=2&prefix=a%20b%2F%C3%BC"
        );
    }
}
