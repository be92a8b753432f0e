//! `ssh://[USER@]HOST[:PORT]/PATH`: what ssh is told, and where the archive lies there.

use percent_encoding::percent_decode_str;

/// An archive on a host, as its address names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshAddress {
    /// Who logs in, if ssh is to be told.
    pub user: Option<String>,
    /// The host, as ssh's configuration knows it.
    pub host: String,
    /// Its port, if ssh is to be told.
    pub port: Option<u16>,
    /// The directory: from the root, or from where a login begins.
    pub path: Vec<u8>,
}

/// Why an address is none of an archive.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadSshAddress {
    /// It is not written as it should be.
    #[error("not an address: expected ssh://[USER@]HOST[:PORT]/PATH")]
    Form,
    /// There is a password in it.
    #[error("an archive's name must not contain a password: others can see it")]
    Login,
    /// The user or the host could mean something else to ssh.
    #[error("not a user or host that ssh is asked for: {0}")]
    Word(&'static str),
    /// There is a query or fragment in it.
    #[error("an archive's address must not contain ? or #: write %3F or %23")]
    Query,
    /// It names no directory.
    #[error("no directory: expected ssh://HOST/DIR, or ssh://HOST/~/DIR in the home directory")]
    NoPath,
}

impl SshAddress {
    /// Reads an address.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(name: &str) -> Result<SshAddress, BadSshAddress> {
        let rest = name.strip_prefix("ssh://").ok_or(BadSshAddress::Form)?;
        let (place, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, place) = match place.rsplit_once('@') {
            Some((user, _)) if user.contains(':') => return Err(BadSshAddress::Login),
            Some((user, place)) => (Some(word(user, "._-+@", "the user")?), place),
            None => (None, place),
        };
        let (host, port) = match place.strip_prefix('[').map(|rest| rest.split_once(']')) {
            Some(Some((host, port))) => (word(host, ":.%_-", "the host")?, port),
            Some(None) => return Err(BadSshAddress::Form),
            None => {
                let (host, port) = place.split_at(place.find(':').unwrap_or(place.len()));
                (word(host, "._-", "the host")?, port)
            }
        };
        let port = match port.strip_prefix(':').map(str::parse) {
            None if port.is_empty() => None,
            Some(Ok(port @ 1..)) => Some(port),
            _ => return Err(BadSshAddress::Form),
        };
        if path.contains(['?', '#']) {
            return Err(BadSshAddress::Query);
        }
        // From the root; `/~/x` from where a login begins, where `x` is said without a root.
        let path = match path.strip_prefix('~').map(|home| home.strip_prefix('/')) {
            None => format!("/{path}"),
            Some(Some(home)) => home.trim_start_matches('/').to_owned(),
            Some(None) => return Err(BadSshAddress::NoPath),
        };
        let path: Vec<u8> = percent_decode_str(path.trim_end_matches('/')).collect();
        if path.is_empty() || path.contains(&0) {
            return Err(BadSshAddress::NoPath);
        }
        Ok(SshAddress { user, host, port, path })
    }

    /// What ssh is called with, behind its options.
    pub(super) fn arguments(&self) -> Vec<String> {
        let user = self.user.iter().flat_map(|user| ["-l".to_owned(), user.clone()]);
        let port = self.port.iter().flat_map(|port| ["-p".to_owned(), port.to_string()]);
        let rest = ["-s", "--", &self.host, "sftp"].map(str::to_owned);
        user.chain(port).chain(rest).collect()
    }
}

/// A user or host that is one for ssh too: no option, nothing that a configuration could hand to a
/// shell.
fn word(text: &str, others: &str, what: &'static str) -> Result<String, BadSshAddress> {
    let good = |c: char| c.is_ascii_alphanumeric() || others.contains(c);
    match !text.is_empty() && !text.starts_with('-') && text.chars().all(good) {
        true => Ok(text.to_owned()),
        false => Err(BadSshAddress::Word(what)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_what_ssh_is_told() {
        for (name, path, arguments) in [
            ("ssh://nas/srv/b", "/srv/b", "-s -- nas sftp"),
            ("ssh://me@nas:2222/b/", "/b", "-l me -p 2222 -s -- nas sftp"),
            ("ssh://me@corp@nas.x/~/b", "b", "-l me@corp -s -- nas.x sftp"),
            ("ssh://[fe80::1%eth0]:22/b", "/b", "-p 22 -s -- fe80::1%eth0 sftp"),
            ("ssh://nas/~//a%20b%3f/~x", "a b?/~x", "-s -- nas sftp"),
            ("ssh://nas//b", "//b", "-s -- nas sftp"),
        ] {
            let address = SshAddress::parse(name).unwrap();
            assert_eq!(String::from_utf8_lossy(&address.path), path, "{name}");
            assert_eq!(address.arguments().join(" "), arguments, "{name}");
        }
        assert_eq!(SshAddress::parse("ssh://nas/%ff").unwrap().path, b"/\xff");
    }

    #[test]
    fn what_is_no_address() {
        let (user, host) = (BadSshAddress::Word("the user"), BadSshAddress::Word("the host"));
        for (name, error) in [
            ("ssh://nas", BadSshAddress::NoPath),
            ("ssh://nas/", BadSshAddress::NoPath),
            ("ssh://nas/~", BadSshAddress::NoPath),
            ("ssh://nas/~/", BadSshAddress::NoPath),
            ("ssh://nas/~you/b", BadSshAddress::NoPath),
            ("ssh://nas/a%00b", BadSshAddress::NoPath),
            ("ssh://me:hush@nas/b", BadSshAddress::Login),
            ("ssh://nas/b?x", BadSshAddress::Query),
            ("ssh://nas/b#x", BadSshAddress::Query),
            ("ssh://nas:0/b", BadSshAddress::Form),
            ("ssh://nas:99999/b", BadSshAddress::Form),
            ("ssh://nas:/b", BadSshAddress::Form),
            ("ssh://[::1/b", BadSshAddress::Form),
            ("ssh://[::1]x/b", BadSshAddress::Form),
            ("sftp://nas/b", BadSshAddress::Form),
            ("ssh://-oProxyCommand=x/b", host.clone()),
            ("ssh:///b", host.clone()),
            ("ssh://na s/b", host.clone()),
            ("ssh://$(x)/b", host.clone()),
            ("ssh://n\u{e4}s/b", host),
            ("ssh://-l@nas/b", user.clone()),
            ("ssh://@nas/b", user.clone()),
            ("ssh://me;x@nas/b", user),
        ] {
            assert_eq!(SshAddress::parse(name), Err(error), "{name}");
        }
    }
}
