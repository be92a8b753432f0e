//! What the system lets this process see.

/// The bit of CAP_SYS_ADMIN in a set of capabilities.
const SYS_ADMIN: u64 = 1 << 21;

/// Whether this process is root but not shown `trusted.*` attributes: it lacks CAP_SYS_ADMIN, or is
/// root in a user namespace only. False where the system does not tell.
pub fn root_without_trusted() -> bool {
    let read = |file| std::fs::read_to_string(file).unwrap_or_default();
    rustix::process::geteuid().is_root()
        && !shows_trusted(&read("/proc/self/status"), &read("/proc/self/uid_map")).unwrap_or(true)
}

/// The answer of these two files of `/proc/self`.
fn shows_trusted(status: &str, uid_map: &str) -> Option<bool> {
    let set = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    let set = u64::from_str_radix(set.trim(), 16).ok()?;
    // Only the first user namespace maps all ids to themselves.
    let first = uid_map.split_whitespace().eq(["0", "0", "4294967295"]) || uid_map.is_empty();
    Some(set & SYS_ADMIN != 0 && first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trusted_attributes_are_shown_to_whom_has_the_capability_outside_of_namespaces() {
        let all = "Name:\tx\nCapEff:\t000001ffffffffff\nSeccomp:\t0\n";
        let most = "CapEff:\t000001ffffdfffff\n";
        let first = "         0          0 4294967295\n";
        assert_eq!(shows_trusted(all, first), Some(true));
        assert_eq!(shows_trusted(most, first), Some(false));
        assert_eq!(shows_trusted(all, "0 100000 65536\n"), Some(false));
        assert_eq!(shows_trusted("CapEff:\tx\n", first), None);
        assert_eq!(shows_trusted("", ""), None);
    }
}
