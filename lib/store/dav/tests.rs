//! Addresses, and where logins come from.

use std::sync::Arc;

use super::*;

fn open(name: &str, variables: &[(&str, &str)]) -> Result<Dav, BadDavAddress> {
    let variable = |name: &str| {
        variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
    };
    let file = |path: &Path| {
        (path == Path::new("/home/me/.netrc"))
            .then(|| "machine host login me password hush".to_owned())
    };
    Dav::with(name, &variable, &file, None, Arc::new(|_| ()))
}

#[test]
fn addresses() {
    assert_eq!(open("https://host/a%20b", &[]).unwrap().url("x/HEAD"), "https://host/a%20b/x/HEAD");
    assert_eq!(open("http://host:8080", &[]).unwrap().url(""), "http://host:8080/");
    let bad = [
        ("https://me:hush@host/a", BadDavAddress::Login),
        ("https://me@host/a", BadDavAddress::Login),
        ("https://host/a?token=hush", BadDavAddress::Query),
        ("https://host/a#b", BadDavAddress::Query),
        ("https://", BadDavAddress::Form),
        ("ftp://host/", BadDavAddress::Form),
    ];
    for (name, error) in bad {
        assert_eq!(open(name, &[]).unwrap_err(), error, "{name}");
    }
}

#[test]
fn logins() {
    let login = |variables: &[(&str, &str)]| open("https://host/a", variables).unwrap().login;
    let basic = |text: &str| Some(format!("Basic {}", BASE64.encode(text)));
    assert_eq!(login(&[]), None);
    assert_eq!(login(&[("HOME", "/home/me")]), basic("me:hush"));
    assert_eq!(login(&[("NETRC", "/home/me/.netrc"), ("HOME", "/")]), basic("me:hush"));
    assert_eq!(
        login(&[("HOME", "/home/me"), ("DURA_DAV_USER", "you"), ("DURA_DAV_PASSWORD", "p")]),
        basic("you:p")
    );
    assert!(open("https://other/a", &[("HOME", "/home/me")]).unwrap().login.is_none());
    let shown = format!("{:?}", open("https://host/a", &[("HOME", "/home/me")]).unwrap());
    assert!(!shown.contains("hush") && !shown.contains(&BASE64.encode("me:hush")), "{shown}");
}
