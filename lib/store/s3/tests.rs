//! How archives in buckets are named, and where requests go.

use std::sync::Arc;

use super::*;

fn open(name: &str, variables: &[(&str, &str)]) -> Result<S3, BadBucket> {
    let variables =
        [&[("AWS_ACCESS_KEY_ID", "K"), ("AWS_SECRET_ACCESS_KEY", "s")], variables].concat();
    let variable = |name: &str| {
        variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
    };
    S3::with(name, &Sources { variable: &variable, file: &|_| None }, None, Arc::new(|_| ()))
}

#[test]
fn names_are_taken_apart() {
    let whole = Address::parse("s3://my.bucket/a/b/?storage-class=GLACIER_IR&profile=far").unwrap();
    let expected = Address {
        bucket: "my.bucket",
        prefix: "a/b/".to_owned(),
        profile: Some("far"),
        class: Some("GLACIER_IR"),
    };
    assert_eq!(whole, expected);
    for plain in ["s3://b", "s3://b/", "s3://b?"] {
        assert_eq!(
            Address::parse(plain).unwrap(),
            Address { bucket: "b", ..Address::default() },
            "{plain}"
        );
    }
    let bad = [
        "s3://",
        "s3:///a",
        "s3://key:secret@b/a",
        "s3://b/a//b",
        "s3://b/../c",
        "s3://b/./c",
        "s3://b?class=x",
        "s3://b?profile=",
    ];
    for bad in bad {
        assert!(Address::parse(bad).is_err(), "{bad}");
    }
    assert!(
        !format!("{:?}", Address::parse("s3://key:secret@b/a").unwrap_err()).contains("secret")
    );
}

#[test]
fn requests_go_to_the_right_host() {
    let url = |name: &str, variables: &[(&str, &str)]| {
        open(name, variables).unwrap().bucket.object_url("x").to_string()
    };
    assert_eq!(
        url("s3://b/p", &[("AWS_REGION", "eu-west-1")]),
        "https://b.s3.eu-west-1.amazonaws.com/x"
    );
    assert_eq!(
        url("s3://b.c/p", &[("AWS_REGION", "eu-west-1")]),
        "https://s3.eu-west-1.amazonaws.com/b.c/x"
    );
    assert_eq!(
        url("s3://b", &[("AWS_REGION", "cn-north-1")]),
        "https://b.s3.cn-north-1.amazonaws.com.cn/x"
    );
    assert_eq!(
        url("s3://b", &[("AWS_ENDPOINT_URL", "http://127.0.0.1:9000")]),
        "http://127.0.0.1:9000/b/x"
    );
    for bad in ["ftp://h", "h", "http://user:secret@h", "", "http://"] {
        let opened = open("s3://b", &[("AWS_ENDPOINT_URL_S3", bad)]);
        assert!(
            bad.is_empty() || opened.is_err_and(|error| !error.to_string().contains("secret")),
            "{bad}"
        );
    }
}

#[test]
fn only_what_can_wait_is_stored_cold() {
    let store = open("s3://b?storage-class=DEEP_ARCHIVE", &[]).unwrap();
    let band = "20261101T020000Z";
    for cold in
        ["00000/000000000.tar.gz.gpg", "00000/000000001.tar.zst.000000", "00000/000000000-0.rs0"]
    {
        assert_eq!(store.class_of(&format!("{band}/{cold}")), Some("DEEP_ARCHIVE"), "{cold}");
    }
    for warm in [
        "HEAD",
        "TAIL",
        "00000/000000000.mtree.gz.gpg",
        "00000/000000000-0.sha256",
        "00000/000000000.toc.gz",
        "recover.sh",
    ] {
        assert_eq!(store.class_of(&format!("{band}/{warm}")), None, "{warm}");
    }
    assert_eq!(
        open("s3://b", &[]).unwrap().class_of(&format!("{band}/00000/000000000.tar.gz")),
        None
    );
}

/// A session that has ended goes on with the keys that the profile has by now.
#[test]
fn a_session_that_has_ended() {
    use super::super::hostile::{bucket, refused, said, serve};
    let (address, log) = serve(|asked| match asked.header("x-amz-security-token") {
        Some("fresh") => said("200 OK", "", "object"),
        _ => refused("400 Bad Request", "", "ExpiredToken"),
    });
    let mut store = bucket(&address, Arc::new(|_| ()));
    let read = |store: &S3| super::super::Store::get(store, "20261101T020000Z/HEAD");
    assert_eq!(read(&store).unwrap_err().kind, StoreErrorKind::Session);
    assert_eq!(log.lock().unwrap().len(), 1);
    let mut settings = Settings::clone(&lock(&store.settings));
    settings.keys = rusty_s3::Credentials::new_with_token("key", "hush", "fresh");
    store.reload = Some(Box::new(move || Some(settings.clone())));
    assert_eq!(read(&store).unwrap(), b"object");
    assert_eq!(read(&store).unwrap(), b"object");
    assert_eq!(log.lock().unwrap().len(), 4);
}
