//! Events for a UI: JSON lines appended to the files that `--events` and `DURA_EVENTS` name.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Mutex;

use anyhow::{Context, bail};
use rustix::fs::OFlags;
use serde_json::{Map, Value};

use crate::edge::clock;

/// Where events go; nowhere unless a file was named.
#[derive(Debug, Default)]
pub struct Events {
    tool: &'static str,
    files: Vec<Mutex<File>>,
}

impl Events {
    /// Opens the files for appending, and makes each for its owner alone. A link is not followed: in a
    /// folder where others may write it could lead anywhere. What a process has open already is no
    /// such link.
    ///
    /// # Errors
    /// If one cannot be opened.
    pub fn open<'a>(
        tool: &'static str,
        paths: impl IntoIterator<Item = &'a Path>,
    ) -> anyhow::Result<Events> {
        let open = |path: &Path| -> anyhow::Result<File> {
            let mut options = OpenOptions::new();
            options.append(true).create(true).mode(0o600);
            // What somebody put into a folder like /tmp is not followed, and not waited for: a
            // link, a FIFO, another name of a file. What is in /dev is the system's.
            let is_own = !path.starts_with("/dev");
            if is_own {
                options.custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits() as i32);
            }
            let file = options.open(path).with_context(|| path.display().to_string())?;
            let stat = file.metadata().with_context(|| path.display().to_string())?;
            if is_own && stat.is_file() && stat.nlink() > 1 {
                bail!("{}: the file has another name, too", path.display());
            }
            Ok(file)
        };
        let files = paths.into_iter().map(|path| open(path).map(Mutex::new));
        Ok(Events { tool, files: files.collect::<anyhow::Result<_>>()? })
    }

    /// Appends a line: time, tool, event, and the fields. Programs of one pipe share a file, so a
    /// line is one write.
    pub fn emit(&self, event: &str, fields: &[(&str, Value)]) {
        if self.files.is_empty() {
            return;
        }
        let mut line = Map::new();
        line.insert("time".into(), clock::wall_rfc3339().into());
        line.insert("tool".into(), self.tool.into());
        line.insert("event".into(), event.into());
        line.extend(fields.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
        let text = Value::Object(line).to_string() + "\n";
        for mut file in self.files.iter().filter_map(|file| file.lock().ok()) {
            // Events are for display; a backup does not fail for them.
            let _ = file.write_all(text.as_bytes());
        }
    }
}
