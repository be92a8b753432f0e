//! User and password for a host, from a file in the form of netrc(5).

/// Finds the login for a host: of its own `machine`, else of `default`.
pub(super) fn login(text: &str, host: &str) -> Option<(String, String)> {
    let mut words = words(text);
    // One for each `machine` or `default`: whether it is for the host, and its login.
    let mut entries: Vec<(Option<&str>, String, String)> = Vec::new();
    while let Some(word) = words.next() {
        let mut value = || words.next().unwrap_or_default();
        match (word, entries.last_mut()) {
            ("machine", _) => entries.push((Some(value()), String::new(), String::new())),
            ("default", _) => entries.push((None, String::new(), String::new())),
            ("login", Some((_, user, _))) => value().clone_into(user),
            ("password", Some((_, _, password))) => value().clone_into(password),
            ("account", _) => drop(value()),
            _ => {}
        }
    }
    let find = |machine: Option<&str>| entries.iter().find(|(of, ..)| *of == machine);
    let (_, user, password) = find(Some(host)).or_else(|| find(None))?;
    Some((user.clone(), password.clone()))
}

/// The words of the file, without comments, and without macros, which end with an empty line.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let mut in_macro = false;
    text.lines()
        .filter(move |line| {
            in_macro =
                (in_macro || line.trim_start().starts_with("macdef ")) && !line.trim().is_empty();
            !in_macro
        })
        .flat_map(|line| line.split_whitespace().take_while(|word| !word.starts_with('#')))
}

#[cfg(test)]
mod tests {
    use super::login;

    #[test]
    fn the_hosts_own_login_comes_first() {
        let text = "# mine\nmachine one.example login me password secret # no word\nmachine two.example\n  login you\n  account x\n\
            password other\nmacdef init\nmachine three.example login no password no\n\ndefault login anyone password none\n\
            machine four.example login late password late\n";
        let found = |host: &str| login(text, host);
        let pair = |user: &str, password: &str| Some((user.to_owned(), password.to_owned()));
        assert_eq!(found("one.example"), pair("me", "secret"));
        assert_eq!(found("two.example"), pair("you", "other"));
        assert_eq!(found("three.example"), pair("anyone", "none"));
        assert_eq!(found("four.example"), pair("late", "late"));
        assert_eq!(login("machine a login b", "a"), pair("b", ""));
        for nothing in ["", "machine", "login x password y", "machine other login x password y"] {
            assert_eq!(login(nothing, "a"), None, "{nothing}");
        }
    }
}
