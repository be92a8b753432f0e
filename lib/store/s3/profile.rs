//! Keys, region and endpoint where Amazon's tools look for them: in the environment and in profile
//! files.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use rusty_s3::Credentials;

/// What is needed to speak to a store. Its `Debug` shows no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Settings {
    pub(super) keys: Credentials,
    pub(super) region: String,
    pub(super) endpoint: Option<String>,
    /// The bucket stands in the host's name also where there is an endpoint.
    pub(super) virtual_host: bool,
}

/// Why there are no settings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoKeys {
    /// Nothing names a key.
    #[error("no keys: neither AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY nor a profile has them")]
    Nowhere,
    /// A profile was asked for that is in no file.
    #[error("no profile {0} in the profile files")]
    NoProfile(String),
    /// A profile has no keys of its own.
    #[error("profile {0} has no keys")]
    NotInProfile(String),
}

/// Where settings come from: the environment, and files.
pub struct Sources<'a> {
    /// The value of a variable.
    pub variable: &'a dyn Fn(&str) -> Option<String>,
    /// The text of a file.
    pub file: &'a dyn Fn(&Path) -> Option<String>,
}

impl Sources<'_> {
    fn variable(&self, name: &str) -> Option<String> {
        (self.variable)(name).filter(|value| !value.is_empty())
    }

    /// A file of profiles: what the variable names, or the one in the home directory. `[profile x]`
    /// is the same as `[x]`.
    fn sections(&self, variable: &str, file: &str) -> Sections {
        let home = || Some(PathBuf::from(self.variable("HOME")?).join(".aws").join(file));
        let path = self.variable(variable).map(PathBuf::from).or_else(home);
        sections(&path.and_then(|path| (self.file)(&path)).unwrap_or_default())
    }

    /// The settings of the profile that the archive's name asks for; without one those of the
    /// environment, then those of `AWS_PROFILE`.
    pub(super) fn settings(&self, asked: Option<&str>) -> Result<Settings, NoKeys> {
        let name = asked.map(str::to_owned).or_else(|| self.variable("AWS_PROFILE"));
        let (credentials, config) = (
            self.sections("AWS_SHARED_CREDENTIALS_FILE", "credentials"),
            self.sections("AWS_CONFIG_FILE", "config"),
        );
        let profile = name.as_deref().unwrap_or("default");
        let known = credentials.contains_key(profile) || config.contains_key(profile);
        if let (Some(asked), false) = (asked, known) {
            return Err(NoKeys::NoProfile(asked.to_owned()));
        }
        let find = |section: &str, key: &str| {
            let found =
                [&credentials, &config].into_iter().find_map(|file| file.get(section)?.get(key));
            found.filter(|value| !value.is_empty()).cloned()
        };
        let of_profile = |key: &str| find(profile, key);
        let service = of_profile("services").map(|services| format!("services {services}"));
        let of_service = |key: &str| find(service.as_deref()?, key);

        // A profile that is asked for by the archive's name stands alone: another's keys or
        // endpoint would not fit it.
        let environment = |name: &str| if asked.is_some() { None } else { self.variable(name) };
        let pair = |key: Option<String>, secret: Option<String>, token: Option<String>| match (
            key?, secret?, token,
        ) {
            (key, secret, Some(token)) => Some(Credentials::new_with_token(key, secret, token)),
            (key, secret, None) => Some(Credentials::new(key, secret)),
        };
        let keys = pair(
            environment("AWS_ACCESS_KEY_ID"),
            environment("AWS_SECRET_ACCESS_KEY"),
            environment("AWS_SESSION_TOKEN"),
        )
        .or_else(|| {
            let token = of_profile("aws_session_token");
            pair(of_profile("aws_access_key_id"), of_profile("aws_secret_access_key"), token)
        })
        .ok_or_else(|| match &name {
            Some(name) if known => NoKeys::NotInProfile(name.clone()),
            Some(name) => NoKeys::NoProfile(name.clone()),
            None => NoKeys::Nowhere,
        })?;
        let region = environment("AWS_REGION")
            .or_else(|| environment("AWS_DEFAULT_REGION"))
            .or_else(|| of_profile("region"))
            .or_else(|| self.variable("AWS_REGION"))
            .or_else(|| self.variable("AWS_DEFAULT_REGION"))
            .unwrap_or_else(|| "us-east-1".to_owned());
        let endpoint = environment("AWS_ENDPOINT_URL_S3")
            .or_else(|| environment("AWS_ENDPOINT_URL"))
            .or_else(|| of_service("s3.endpoint_url"))
            .or_else(|| of_profile("s3.endpoint_url"))
            .or_else(|| of_profile("endpoint_url"));
        let virtual_host =
            of_profile("s3.addressing_style").is_some_and(|style| style == "virtual");
        Ok(Settings { keys, region, endpoint, virtual_host })
    }
}

type Sections = HashMap<String, HashMap<String, String>>;

/// Reads a file of profiles: `key = value` below `[name]`; what is indented below `s3 =` is
/// `s3.key`.
fn sections(text: &str) -> Sections {
    let mut found = Sections::new();
    let (mut section, mut parent) = (String::new(), String::new());
    for line in text.lines() {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = trimmed.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
            let name = name.trim();
            section = name.strip_prefix("profile ").unwrap_or(name).trim().to_owned();
            found.entry(section.clone()).or_default();
            parent.clear();
        } else if let Some((key, value)) = trimmed.split_once('=') {
            let (key, value) = (key.trim().to_lowercase(), value.trim().to_owned());
            let nested = line.starts_with([' ', '\t']) && !parent.is_empty();
            if !nested {
                parent = if value.is_empty() { key.clone() } else { String::new() };
            }
            let key = if nested { format!("{parent}.{key}") } else { key };
            found.entry(section.clone()).or_default().insert(key, value);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const CREDENTIALS: &str = "\
        # keys\n[default]\naws_access_key_id=FILE\naws_secret_access_key = file/secret=\n\n[session]\naws_access_key_id = S\n\
        aws_secret_access_key = s\naws_session_token = t\n[empty]\n";
    const CONFIG: &str = "[default]\nregion = eu-west-1\n[profile session]\nregion = eu-north-1\nendpoint_url = https://session.example\n\
        s3 =\n  addressing_style = virtual\n\tmax_concurrent_requests = 20\n[profile far]\naws_access_key_id = F\naws_secret_access_key = f\n\
        services = mine\nregion =\n[services mine]\ns3 =\n  endpoint_url = https://mine.example\n";

    fn settings(asked: Option<&str>, variables: &[(&str, &str)]) -> Result<Settings, NoKeys> {
        let variable = |name: &str| {
            variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        };
        let file = |path: &Path| match path.to_str()? {
            "/home/me/.aws/credentials" => Some(CREDENTIALS.to_owned()),
            "/home/me/.aws/config" => Some(CONFIG.to_owned()),
            _ => None,
        };
        Sources { variable: &variable, file: &file }.settings(asked)
    }

    fn wanted(keys: Credentials, region: &str, endpoint: Option<&str>) -> Settings {
        Settings {
            keys,
            region: region.to_owned(),
            endpoint: endpoint.map(str::to_owned),
            virtual_host: false,
        }
    }

    #[test]
    fn the_environment_comes_first_then_the_profile() {
        let home = ("HOME", "/home/me");
        let keys = [("AWS_ACCESS_KEY_ID", "E"), ("AWS_SECRET_ACCESS_KEY", "e"), home];
        assert_eq!(
            settings(None, &keys[..2]),
            Ok(wanted(Credentials::new("E", "e"), "us-east-1", None))
        );
        assert_eq!(
            settings(None, &keys),
            Ok(wanted(Credentials::new("E", "e"), "eu-west-1", None))
        );
        let all = [
            &keys[..],
            &[
                ("AWS_SESSION_TOKEN", "t"),
                ("AWS_REGION", "r"),
                ("AWS_ENDPOINT_URL", "http://a"),
                ("AWS_ENDPOINT_URL_S3", "http://b"),
            ],
        ]
        .concat();
        assert_eq!(
            settings(None, &all),
            Ok(wanted(Credentials::new_with_token("E", "e", "t"), "r", Some("http://b")))
        );
        assert_eq!(
            settings(None, &[home]),
            Ok(wanted(Credentials::new("FILE", "file/secret="), "eu-west-1", None))
        );
        let session = settings(None, &[home, ("AWS_PROFILE", "session")]).unwrap();
        let expected = wanted(
            Credentials::new_with_token("S", "s", "t"),
            "eu-north-1",
            Some("https://session.example"),
        );
        assert_eq!(session, Settings { virtual_host: true, ..expected });
        assert_eq!(settings(None, &[]), Err(NoKeys::Nowhere));
        assert_eq!(
            settings(None, &[home, ("AWS_PROFILE", "empty")]),
            Err(NoKeys::NotInProfile("empty".to_owned()))
        );
        assert_eq!(
            settings(None, &[home, ("AWS_PROFILE", "other")]),
            Err(NoKeys::NoProfile("other".to_owned()))
        );
        let elsewhere = ("AWS_SHARED_CREDENTIALS_FILE", "/none");
        assert_eq!(settings(None, &[home, elsewhere]), Err(NoKeys::Nowhere));
    }

    #[test]
    fn a_profile_that_is_asked_for_stands_alone() {
        let all = [
            ("HOME", "/home/me"),
            ("AWS_ACCESS_KEY_ID", "E"),
            ("AWS_SECRET_ACCESS_KEY", "e"),
            ("AWS_SESSION_TOKEN", "t"),
            ("AWS_REGION", "r"),
            ("AWS_ENDPOINT_URL", "http://a"),
        ];
        assert_eq!(
            settings(Some("far"), &all),
            Ok(wanted(Credentials::new("F", "f"), "r", Some("https://mine.example")))
        );
        assert_eq!(
            settings(Some("default"), &all),
            Ok(wanted(Credentials::new("FILE", "file/secret="), "eu-west-1", None))
        );
        assert_eq!(settings(Some("empty"), &all), Err(NoKeys::NotInProfile("empty".to_owned())));
        assert_eq!(settings(Some("other"), &all), Err(NoKeys::NoProfile("other".to_owned())));
    }

    #[test]
    fn no_secret_is_shown() {
        let settings = settings(
            None,
            &[
                ("AWS_ACCESS_KEY_ID", "E"),
                ("AWS_SECRET_ACCESS_KEY", "hush"),
                ("AWS_SESSION_TOKEN", "quiet"),
            ],
        );
        let shown = format!("{settings:?}");
        assert!(!shown.contains("hush") && !shown.contains("quiet"), "{shown}");
    }
}
