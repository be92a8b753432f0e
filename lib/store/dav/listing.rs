//! What a WebDAV server answers to PROPFIND: names and sizes.

use percent_encoding::percent_decode_str;
use url::Url;

use super::super::xml::{BadXml, elements};
use super::super::{MAX_NAME, UNSEEN};

/// Why an answer is no listing of the folder.
#[derive(Debug, thiserror::Error)]
pub enum BadFolderListing {
    /// It cannot be read.
    #[error(transparent)]
    Xml(#[from] BadXml),
    /// Nothing in it is of the folder, not even the folder itself: it was asked for under another
    /// path, as behind a proxy that strips a part of it. An empty folder looks otherwise.
    #[error("the server lists other paths than this one: a proxy may change them")]
    Elsewhere,
}

/// Reads the names directly in the folder, sorted, with sizes; folders end in `/`. Names elsewhere
/// are left out, whatever the server says; a file without a size is [`UNSEEN`].
///
/// # Errors
/// If it is no such answer.
pub fn names(xml: &[u8], folder: &str) -> Result<Vec<(String, u64)>, BadFolderListing> {
    let base = Url::parse(folder).map_err(|_| BadXml)?;
    let mut understood = false;
    let mut found = Vec::new();
    let (mut href, mut size, mut collection, mut is_list) = (None, None, false, false);
    let mut gone = false;
    elements(xml, |path, text| match path {
        ["multistatus"] => is_list = true,
        ["multistatus", "response", "href"] => href = Some(text.trim().to_owned()),
        ["multistatus", "response", "propstat", "prop", "getcontentlength"] => {
            size = text.trim().parse().ok().or(size)
        }
        ["multistatus", "response", "propstat", "prop", "resourcetype", "collection"] => {
            collection = true
        }
        // It went away while it was listed.
        ["multistatus", "response", "status"] => {
            gone = text.split_whitespace().nth(1).is_some_and(|code| matches!(code, "404" | "410"));
        }
        ["multistatus", "response"] => {
            let name = href.take().and_then(|href| inside(&base, &href));
            understood |= name.is_some();
            let size = size.take();
            if let Some(name) = name.filter(|name| !name.is_empty() && !gone) {
                match collection {
                    true => found.push((name + "/", 0)),
                    false => found.push((name, size.unwrap_or(UNSEEN))),
                }
            }
            (collection, gone) = (false, false);
        }
        _ => {}
    })?;
    found.sort();
    found.dedup_by(|a, b| a.0 == b.0);
    match (is_list, understood) {
        (false, _) => Err(BadXml.into()),
        (true, false) => Err(BadFolderListing::Elsewhere),
        (true, true) => Ok(found),
    }
}

/// The name of what an href stands for, if that lies directly in the folder; nothing for the folder
/// itself. Hosts are not compared: behind a proxy they differ.
fn inside(base: &Url, href: &str) -> Option<String> {
    let decoded = |path: &str| percent_decode_str(path).decode_utf8().ok().map(String::from);
    let (url, folder) = (base.join(href).ok()?, decoded(base.path())?);
    let path = decoded(url.path())?;
    if path == folder.trim_end_matches('/') {
        return Some(String::new());
    }
    let name = path.strip_prefix(&folder)?;
    let name = name.strip_suffix('/').unwrap_or(name);
    let is_name = !matches!(name, "." | "..") && !name.contains('/') && name.len() <= MAX_NAME;
    is_name.then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(href: &str, inside: &str) -> String {
        format!(
            "<D:response><D:href>{href}</D:href><D:propstat><D:prop>{inside}</D:prop></D:propstat></D:response>"
        )
    }

    fn listed(responses: &[String]) -> Vec<(String, u64)> {
        let xml = format!(
            "<?xml version=\"1.0\"?><D:multistatus xmlns:D=\"DAV:\">{}</D:multistatus>",
            responses.concat()
        );
        names(xml.as_bytes(), "http://host/my%20dav/band/").unwrap()
    }

    #[test]
    fn an_answer_that_says_nothing_of_the_folder_is_no_empty_folder() {
        let stripped = [response("/band/", FOLDER), response("/band/HEAD", FILE)];
        for responses in [&stripped[..], &[]] {
            let xml = format!("<multistatus>{}</multistatus>", responses.concat());
            let listed = names(xml.as_bytes(), "http://host/my%20dav/band/");
            assert!(matches!(listed, Err(BadFolderListing::Elsewhere)), "{listed:?}");
        }
    }

    const FOLDER: &str = "<D:resourcetype><D:collection/></D:resourcetype>";
    const FILE: &str = "<D:resourcetype/><D:getcontentlength>7</D:getcontentlength>";

    #[test]
    fn names_and_sizes() {
        let found = listed(&[
            response("/my%20dav/band/", FOLDER),
            response("/my%20dav/band/HEAD", FILE),
            response("http://other/my%20dav/band/TAIL", FILE),
            response("/my dav/band/00000/", FOLDER),
            response("00001", FOLDER),
        ]);
        let expected = [("00000/", 0), ("00001/", 0), ("HEAD", 7), ("TAIL", 7)];
        assert_eq!(found, expected.map(|(name, size)| (name.to_owned(), size)));
        assert_eq!(listed(&[response("/my%20dav/band", FOLDER)]), []);
    }

    #[test]
    fn what_lies_elsewhere_is_left_out() {
        let long = format!("/my%20dav/band/{}", "x".repeat(256));
        let odd = [
            &long,
            "/",
            "/my%20dav/",
            "/my%20dav/bandit",
            "/my%20dav/band/a/b",
            "/my%20dav/band/%2e%2e/x",
            "/my%20dav/band/a%2Fb",
            "//",
            "%ff",
        ];
        let own = [response("/my%20dav/band/", FOLDER)];
        let odd = [&odd.map(|href| response(href, FILE))[..], &own].concat();
        assert_eq!(listed(&odd), []);
        assert_eq!(
            listed(&[
                response("sizeless", "<D:resourcetype/>"),
                response("negative", "<D:getcontentlength>-1</D:getcontentlength>")
            ]),
            [("negative".to_owned(), UNSEEN), ("sizeless".to_owned(), UNSEEN)]
        );
        for bad in ["", "<html></html>", "<D:multistatus>"] {
            assert!(names(bad.as_bytes(), "http://host/").is_err(), "{bad}");
        }
    }
}
