//! Targets: what servers, gpg, files in a home directory and the command line say.

use std::path::Path;

use dura::cli;
use dura::edge::gpg;
use dura::store::dav::Dav;
use dura::store::http::Reply;
use dura::store::s3::{S3, Sources, answers};
use dura::store::sftp::address::SshAddress;
use dura::store::sftp::packet::{self, SftpReply};
use ureq::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

/// An archive's name, and below it the text of the file that has its keys or its password: profiles
/// or netrc.
pub(super) fn address(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let (name, file) = text.split_once('\n').unwrap_or((text, ""));
    let variable = |name: &str| (name == "HOME").then(|| "/home".to_owned());
    let file = |_: &Path| Some(file.to_owned());
    let s3 = S3::with(
        name,
        &Sources { variable: &variable, file: &file },
        None,
        std::sync::Arc::new(|_| ()),
    );
    let dav = Dav::with(name, &variable, &file, None, std::sync::Arc::new(|_| ()));
    let ssh = SshAddress::parse(name);
    let taken = [s3.is_ok(), dav.is_ok(), ssh.is_ok()];
    assert!(taken.iter().filter(|taken| **taken).count() <= 1);
    if let Ok(SshAddress { user, host, path, .. }) = ssh {
        let words = [host, user.unwrap_or_else(|| "me".to_owned())];
        let plain = |c: char| c.is_ascii_alphanumeric() || ".-_:%+@".contains(c);
        assert!(words.iter().all(|word| !word.starts_with('-') && word.chars().all(plain)));
        assert!(!path.is_empty() && !path.contains(&0));
    }
    taken.contains(&true)
}

/// What an SFTP server answers, without its length.
pub(super) fn sftp(bytes: &[u8]) -> bool {
    let greeted = packet::greeting(bytes);
    let answered = packet::decode(bytes);
    if let Ok((_, SftpReply::Names(names))) = &answered {
        let long = names.iter().map(|(name, _)| name.len() + 12).sum::<usize>();
        assert!(long <= bytes.len(), "more than was said");
    }
    _ = packet::free(bytes);
    greeted.is_ok() || answered.is_ok()
}

/// The status in three digits, headers up to an empty line, and a body.
pub(super) fn reply(bytes: &[u8]) -> bool {
    let end = bytes.windows(2).position(|pair| pair == b"\n\n").unwrap_or(bytes.len());
    let (head, body) = (&bytes[..end], bytes.get(end + 2..).unwrap_or_default());
    let mut lines = head.split(|&b| b == b'\n');
    let Some(status) = lines.next().and_then(|line| StatusCode::from_bytes(line).ok()) else {
        return false;
    };
    let mut headers = HeaderMap::new();
    for line in lines {
        let (name, value) = line.split_at(line.iter().position(|&b| b == b':').unwrap_or(0));
        let value = HeaderValue::from_bytes(value.get(1..).unwrap_or_default());
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), value) {
            headers.insert(name, value);
        }
    }
    let reply = Reply { status, headers, body: body.to_vec() };
    let error = answers::error(&reply, "s3://bucket/object");
    for said in [error.source.to_string(), reply.error("here", None).source.to_string()] {
        assert!(!said.chars().any(char::is_control) && said.len() < 4000, "{said:?}");
    }
    let size = reply.size("here").is_ok();
    let part = reply.part("here", 5, 7);
    assert!(part.iter().flatten().all(|part| part.len() <= 7), "more than was asked for");
    size || part.is_ok()
}

/// The lines of `gpg --with-colons`.
pub(super) fn keys(bytes: &[u8]) -> bool {
    [gpg::Use::Encrypt, gpg::Use::Sign]
        .iter()
        .any(|wanted| !gpg::parse_keys(bytes, *wanted).is_empty())
}

/// The status lines of `gpg --verify`.
pub(super) fn status(bytes: &[u8]) -> bool {
    let lines: Vec<String> = String::from_utf8_lossy(bytes).lines().map(str::to_owned).collect();
    matches!(gpg::verdict(&lines), gpg::SignatureVerdict::Signed(_))
}

/// A command line: the program's name and its arguments, each on a line.
pub(super) fn options(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let command = match text.lines().next() {
        Some("dura-scan") => cli::scan::command(),
        Some("dura-pack") => cli::pack::command(),
        Some("dura-seal") => cli::seal::command(),
        Some("dura-push") => cli::push::command(),
        Some("dura-index") => cli::index::command(),
        Some("dura-restore") => cli::restore::command(),
        Some("dura-verify") => cli::verify::command(),
        _ => return false,
    };
    command.try_get_matches_from(text.lines()).map_err(|error| error.to_string()).is_ok()
}
