//! Replies that are no HTTP, or other HTTP than was asked for, and those that come slowly or never
//! end: each ends with an error, soon, or is what was asked for.

use super::*;

/// What a store of each kind makes of a read, and how long that takes.
fn each(reply: &'static str, test: impl Fn(&dyn Store, &str)) {
    let (address, _) = serve(move |_| reply.to_owned());
    let stores: [(&str, Box<dyn Store>); 2] = [
        ("s3", Box::new(bucket(&address, crate::store::unheard()))),
        ("dav", Box::new(collection(&address, crate::store::unheard()))),
    ];
    for (kind, store) in &stores {
        test(store.as_ref(), &format!("{kind}: {reply:.60?}"));
    }
}

/// What never ends, as fast as it can or byte by byte.
#[test]
fn replies_without_end() {
    for reply in [
        // Headers: one line, many lines, interim replies.
        "HTTP/1.1 200 OK\r\nX: \u{2}xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        "HTTP/1.1 200 OK\r\n\u{2}X: y\r\n",
        "\u{2}HTTP/1.1 100 Continue\r\n\r\n",
        "\u{2}x",
        "HTTP/1.1 200 OK\r\nX: \u{2}x\u{3}",
        "\u{2}HTTP/1.1 100 Continue\r\n\r\n\u{3}",
        // Bodies.
        "HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n\u{2}x\u{3}",
        "HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\nxxx\u{2}\u{3}",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\u{2}1\r\nx\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\u{2}1\r\nx\r\n\u{3}",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n1\u{2};",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n1\u{2};\u{3}",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\u{2}X: y\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\u{2}X: y\r\n\u{3}",
        "HTTP/1.1 500 No\r\nContent-Length: 60000\r\n\r\n\u{2}x\u{3}",
    ] {
        each(reply, |store, what| {
            let begun = Instant::now();
            let error = store.get(HEAD).map(|bytes| bytes.len());
            assert!(begun.elapsed() < Duration::from_secs(15), "{what}: {error:?}");
            assert!(error.is_err(), "{what}: {error:?}");
        });
    }
}

/// Lengths that lie, and what is no HTTP.
#[test]
fn replies_that_are_wrong() {
    for reply in [
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nobject",
        "HTTP/1.1 200 OK\r\nContent-Length: 0x6\r\n\r\nobject",
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\nobject",
        "HTTP/1.1 200 OK\r\nContent-Length: 6\r\nContent-Length: 3\r\n\r\nobject",
        "HTTP/1.1 200 OK\r\nContent-Length: 6, 3\r\n\r\nobject",
        "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nobject\u{4}",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\nobject\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nobject\r\n\u{4}",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nobject\r\n\u{4}",
        "HTTP/1.0 200 OK\r\n\r\nobject\u{4}",
        "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nobject\u{4}",
        "object\u{4}",
        "HTTP/9.9 200 OK\r\nContent-Length: 6\r\n\r\nobject",
        "ICY 200 OK\r\nContent-Length: 6\r\n\r\nobject",
        "HTTP/1.1 2000 OK\r\nContent-Length: 6\r\n\r\nobject",
        "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-5/60\r\nContent-Length: 6\r\n\r\nobject",
        "HTTP/1.1 206 Partial Content\r\nContent-Length: 6\r\n\r\nobject",
        "HTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nobject",
    ] {
        each(reply, |store, what| {
            let begun = Instant::now();
            let error = store.get(HEAD);
            assert!(begun.elapsed() < Duration::from_secs(15), "{what}: {error:?}");
            assert!(error.is_err(), "{what}: {error:?}");
        });
    }
}

/// What some servers do, and an object is an object.
#[test]
fn replies_that_are_odd() {
    for reply in [
        "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 6\r\n\r\nobject",
        "HTTP/1.1 200 OK\r\nContent-Encoding: x-gzip\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\nobject",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nobject",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nobj\r\n003\r\nect\r\n0\r\nX: y\r\n\r\n",
        "HTTP/1.0 200 OK\r\nContent-Length: 6\r\n\r\nobject\u{4}",
        "HTTP/1.1 200\r\ncontent-length:6\r\n\r\nobject",
    ] {
        each(reply, |store, what| {
            for _ in 0..2 {
                let bytes = store.get(HEAD);
                assert_eq!(bytes.unwrap(), b"object", "{what}");
            }
        });
    }
}

/// Parts: a server that sends less than was asked for, though there is more.
#[test]
fn parts_that_are_short() {
    let part = "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 2-4/60\r\nContent-Length: 3\r\n\r\njec";
    each(part, |store, what| {
        let bytes = store.get_range(HEAD, 2, 10);
        assert!(bytes.is_err(), "{what}");
    });
    let part = "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 2-4/5\r\nContent-Length: 3\r\n\r\njec";
    each(part, |store, what| assert_eq!(store.get_range(HEAD, 2, 10).unwrap(), b"jec", "{what}"));
    let other = "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 2-9/60\r\nContent-Length: 3\r\n\r\njec";
    each(other, |store, what| assert!(store.get_range(HEAD, 2, 8).is_err(), "{what}"));
}
