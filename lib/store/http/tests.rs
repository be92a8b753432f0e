//! What is made of the replies of servers, good and bad.

use super::*;

fn reply(status: u16, headers: &[(&'static str, &str)], body: &[u8]) -> Reply {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.insert(*name, value.parse().unwrap());
    }
    Reply { status: StatusCode::from_u16(status).unwrap(), headers: map, body: body.to_vec() }
}

#[test]
fn statuses_are_sorted() {
    let kinds = [
        (301, StoreErrorKind::Redirect),
        (304, StoreErrorKind::Redirect),
        (400, StoreErrorKind::Other),
        (401, StoreErrorKind::Denied),
        (403, StoreErrorKind::Denied),
        (404, StoreErrorKind::NotFound),
        (405, StoreErrorKind::Other),
        (409, StoreErrorKind::Passing),
        (412, StoreErrorKind::Exists),
        (413, StoreErrorKind::Other),
        (429, StoreErrorKind::Passing),
        (500, StoreErrorKind::Passing),
        (501, StoreErrorKind::Other),
        (503, StoreErrorKind::Passing),
        (507, StoreErrorKind::NoSpace),
        (599, StoreErrorKind::Other),
    ];
    for (status, kind) in kinds {
        assert_eq!(reply(status, &[], b"").error("here", None).kind, kind, "{status}");
    }
}

#[test]
fn errors_say_what_the_server_said_and_nothing_that_is_secret() {
    let error = reply(403, &[], b"").error("s3://b/HEAD", Some("AccessDenied: No\x1b[31m way\n."));
    assert_eq!(
        (error.to_string().as_str(), error.source.to_string().as_str()),
        ("s3://b/HEAD", "403 forbidden: AccessDenied: No [31m way")
    );
    let to = [("location", "https://user:secret@elsewhere.example:8443/path?token=secret")];
    let error = reply(307, &to, b"").error("here", None).source.to_string();
    assert_eq!(
        error,
        "307 temporary redirect: the server redirects to https://elsewhere.example:8443"
    );
    assert!(
        reply(500, &[], b"").error("here", Some(&"x".repeat(9999))).source.to_string().len() < 300
    );
}

#[test]
fn how_long_to_wait() {
    let now = "2026-11-01T02:00:00Z".parse().unwrap();
    let texts = [
        ("0", Some(0)),
        (" 7 ", Some(7)),
        ("Sun, 01 Nov 2026 02:01:30 GMT", Some(90)),
        ("Sun, 01 Nov 2026 01:00:00 GMT", Some(0)),
        ("-1", None),
        ("soon", None),
        ("", None),
    ];
    for (text, seconds) in texts {
        assert_eq!(retry_after(text, now), seconds.map(Duration::from_secs), "{text}");
    }
    assert_eq!(
        reply(503, &[("retry-after", "3")], b"").error("here", None).retry_after,
        Some(Duration::from_secs(3))
    );
}

#[test]
fn parts_are_those_that_were_asked_for() {
    let part = |status, range: &str, start, length| {
        let headers = [("content-range", range)];
        reply(status, if range.is_empty() { &[] } else { &headers }, b"0123456789")
            .part("here", start, length)
            .map_err(|error| error.kind)
    };
    assert_eq!(part(206, "bytes 5-14/100", 5, 10), Ok(Some(b"0123456789".to_vec())));
    assert_eq!(part(206, "bytes 5-14/*", 5, 3), Ok(Some(b"012".to_vec())));
    assert_eq!(part(206, "bytes 0-9/100", 5, 10), Err(StoreErrorKind::Other));
    assert_eq!(part(206, "", 5, 10), Err(StoreErrorKind::Other));
    assert_eq!(part(200, "", 5, 10), Ok(Some(b"56789".to_vec())));
    assert_eq!(part(200, "bytes 5-14/100", 5, 10), Ok(Some(b"0123456789".to_vec())));
    assert_eq!(part(200, "bytes 4-14/100", 5, 10), Err(StoreErrorKind::Other));
    assert_eq!(part(200, "", 5, u64::MAX), Ok(Some(b"56789".to_vec())));
    assert_eq!(part(200, "", 50, 10), Ok(Some(Vec::new())));
    assert_eq!(part(416, "", 50, 10), Ok(None));
    assert_eq!(part(500, "", 50, 10), Err(StoreErrorKind::Passing));
    assert_eq!(range(5, 10), "bytes=5-14");
    assert_eq!(range(5, u64::MAX), "bytes=5-");
}
