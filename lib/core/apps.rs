//! Lists of what programs make again by themselves, for `dura-scan --exclude-apps`.
//!
//! A list is a file of gitignore patterns. One that begins with `/` is a path of the whole system,
//! and holds for the part of it that is backed up; others hold at any depth that they name. Above
//! each pattern stand its reason and where that is documented, and paths that it matches (`#+`) and
//! that it must not match (`#-`), for the tests.

/// The lists that come with Dura, by name.
pub const LISTS: [(&str, &str); 7] = [
    ("browsers", include_str!("../exclude/browsers.list")),
    ("caches", include_str!("../exclude/caches.list")),
    ("containers", include_str!("../exclude/containers.list")),
    ("packages", include_str!("../exclude/packages.list")),
    ("system", include_str!("../exclude/system.list")),
    ("trash", include_str!("../exclude/trash.list")),
    ("vms", include_str!("../exclude/vms.list")),
];

/// The patterns of a list as they hold for a source, which is an absolute path without links.
pub fn patterns<'a>(list: &'a [u8], source: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    let lines = list.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end);
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with(b"#"));
    lines.filter_map(|line| below(line, source))
}

/// A pattern as it holds for a source; none if it concerns other parts of the system.
fn below<'a>(pattern: &'a [u8], source: &[u8]) -> Option<&'a [u8]> {
    if !pattern.starts_with(b"/") {
        return Some(pattern);
    }
    let source = source.strip_suffix(b"/").unwrap_or(source);
    let rest = pattern.strip_prefix(source)?;
    // The source itself was asked for, whatever a list says of it.
    (rest.starts_with(b"/") && rest != b"/" && rest != b"/*").then_some(rest)
}

/// A list as people read it: without the examples.
pub fn shown(list: &str) -> String {
    let is_example = |line: &&str| line.starts_with("#+") || line.starts_with("#-");
    list.lines().filter(|line| !is_example(line)).map(|line| format!("{line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::patterns::Patterns;

    /// Whether one of the patterns matches the path, or a directory above it.
    fn is_out(patterns: &Patterns, path: &str) -> bool {
        let path = path.trim_start_matches('/');
        let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
        let mut above = ends.map(|end| (&path[..end], end < path.len()));
        above.any(|(path, is_dir)| patterns.selects(path.as_bytes(), is_dir))
    }

    #[test]
    fn each_pattern_has_a_reason_a_source_and_examples_and_matches_no_more() {
        for (name, list) in LISTS {
            let mut all = Patterns::default();
            patterns(list.as_bytes(), b"/").for_each(|line| all.add_line(line));
            let mut blocks = list.split("\n\n");
            assert!(blocks.next().unwrap().lines().all(|line| line.starts_with("# ")), "{name}");
            for block in blocks {
                let lines: Vec<&str> = block.trim_end().lines().collect();
                let (pattern, comments) = lines.split_last().unwrap();
                let what = format!("{name}: {pattern}");
                assert!(!pattern.starts_with('#'), "{what}");
                let is_source =
                    |line: &str| line.starts_with("# https://") || line.starts_with("# man ");
                let words: Vec<&&str> =
                    comments.iter().filter(|line| line.starts_with("# ")).collect();
                assert!(words.len() >= 2 && is_source(words.last().unwrap()), "{what}");
                let mut own = Patterns::default();
                patterns(pattern.as_bytes(), b"/").for_each(|line| own.add_line(line));
                let (mut hits, mut misses) = (0, 0);
                for line in comments {
                    if let Some(path) = line.strip_prefix("#+ ") {
                        assert!(is_out(&own, path), "{what} does not match {path}");
                        hits += 1;
                    } else if let Some(path) = line.strip_prefix("#- ") {
                        assert!(!is_out(&all, path), "{what}: the list matches {path}");
                        misses += 1;
                    }
                }
                assert!(hits > 0 && misses > 0, "{what}: no examples");
            }
            assert!(!shown(list).contains("#+"), "{name}");
        }
    }

    #[test]
    fn paths_of_the_system_hold_where_they_lie_in_the_source() {
        let list = b"# why\n/tmp/*\n/var/cache/apt/archives/*.deb\n**/.cache/*\n";
        let of = |source: &str| -> Vec<String> {
            let lines = patterns(list, source.as_bytes());
            lines.map(|line| String::from_utf8_lossy(line).into_owned()).collect()
        };
        assert_eq!(of("/"), ["/tmp/*", "/var/cache/apt/archives/*.deb", "**/.cache/*"]);
        assert_eq!(of("/var"), ["/cache/apt/archives/*.deb", "**/.cache/*"]);
        assert_eq!(of("/home"), ["**/.cache/*"]);
        assert_eq!(of("/va"), ["**/.cache/*"], "another directory that begins alike");
        assert_eq!(of("/tmp"), ["**/.cache/*"]);
        assert_eq!(of("/tmp/a"), ["**/.cache/*"]);
    }
}
