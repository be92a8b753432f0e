//! The memory that the system lets this process have: the limits of its control groups and its own.

use std::path::Path;

use rustix::process::{Resource, getrlimit};

/// The smallest limit in bytes; none if there is none.
pub fn limit() -> Option<u64> {
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let of_groups = limit_files(&groups).into_iter().filter_map(|file| {
        let text = std::fs::read_to_string(Path::new("/sys/fs/cgroup").join(file)).ok()?;
        bytes(&text)
    });
    // Of the address space, code, stacks and what allocators put by for themselves take much.
    let own =
        [getrlimit(Resource::Data).current, getrlimit(Resource::As).current.map(|bytes| bytes / 2)];
    of_groups.chain(own.into_iter().flatten()).min()
}

/// Below `/sys/fs/cgroup`, the files that hold the limits of the groups in `/proc/self/cgroup`,
/// with those of the groups above them. In a container the group's own path may not be there, but
/// the top of what is there is the container's.
fn limit_files(groups: &str) -> Vec<String> {
    let mut files = Vec::new();
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { continue };
        let (top, file) = match controllers {
            "" => ("", "memory.max"),
            several if several.split(',').any(|one| one == "memory") => {
                ("memory/", "memory.limit_in_bytes")
            }
            _ => continue,
        };
        for group in Path::new(path.trim_start_matches('/')).ancestors() {
            let group = group.to_string_lossy();
            let between = if group.is_empty() { "" } else { "/" };
            files.push(format!("{top}{group}{between}{file}"));
        }
    }
    files
}

/// The limit that such a file states. The first version of groups has a number near 2^63 for none.
fn bytes(text: &str) -> Option<u64> {
    text.trim().parse().ok().filter(|bytes| *bytes < 1 << 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_of_a_group_and_of_those_above_count() {
        assert_eq!(
            limit_files("0::/system.slice/backup.service\n"),
            ["system.slice/backup.service/memory.max", "system.slice/memory.max", "memory.max"]
        );
        assert_eq!(limit_files("0::/\n"), ["memory.max"]);
        assert_eq!(
            limit_files("12:cpu,cpuacct:/a\n4:memory:/docker/0\n1:name=systemd:/x\nodd\n"),
            [
                "memory/docker/0/memory.limit_in_bytes",
                "memory/docker/memory.limit_in_bytes",
                "memory/memory.limit_in_bytes"
            ]
        );
        assert_eq!(bytes("268435456\n"), Some(256 << 20));
        assert_eq!(bytes("max\n"), None);
        assert_eq!(bytes("9223372036854771712\n"), None);
    }
}
