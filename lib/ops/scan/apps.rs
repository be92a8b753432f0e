//! `--exclude-apps`: the lists of this host, and what they leave out.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};

use crate::core::apps::LISTS;
use crate::report::message::Hinted;

/// Where the owner of a host puts lists: one replaces that of the same name which comes with Dura.
const OWN: &str = "/etc/dura/exclude";

/// How the name of a file with a list ends.
const SUFFIX: &str = ".list";

/// All lists, by name: of the host's owner, of the installation, and of this program, in this
/// order.
pub(crate) fn all() -> anyhow::Result<BTreeMap<String, String>> {
    let mut lists = BTreeMap::new();
    let installed = std::env::current_exe()
        .ok()
        .and_then(|program| Some(program.parent()?.parent()?.join("share/dura/exclude")));
    for dir in [Some(PathBuf::from(OWN)), installed].into_iter().flatten() {
        let entries = match std::fs::read_dir(&dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(error).with_context(|| dir.display().to_string()),
        };
        for entry in entries {
            let path = entry.with_context(|| dir.display().to_string())?.path();
            let Some(name) = path.file_name().and_then(|name| name.to_str()?.strip_suffix(SUFFIX))
            else {
                continue;
            };
            lists.entry(name.to_owned()).or_insert(read(&path)?);
        }
    }
    for (name, text) in LISTS {
        lists.entry(name.to_owned()).or_insert_with(|| text.to_owned());
    }
    Ok(lists)
}

fn read(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| path.display().to_string())
}

/// The lists with these names; all if there are no names.
pub(crate) fn chosen(names: &[String]) -> anyhow::Result<Vec<String>> {
    let mut all = all()?;
    if names.is_empty() {
        return Ok(all.into_values().collect());
    }
    let known = all.keys().cloned().collect::<Vec<_>>().join(", ");
    let one = |name: &String| {
        all.remove(name).ok_or_else(|| {
            let error = anyhow!("--exclude-apps: no list is called {name}");
            Hinted::wrap(error, format!("there are {known}; --exclude-apps=list shows them"))
        })
    };
    names.iter().map(one).collect()
}
