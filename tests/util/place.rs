//! A shell in a directory with the programs and the environment of a server: for tests that speak
//! to one.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use super::servers::SECRET;

/// Makes the rest of a script one of a host that has neither cache nor journal.
pub(crate) const FRESH: &str = "unset DURA_CACHE; export XDG_CACHE_HOME=$PWD/$RANDOM$RANDOM XDG_STATE_HOME=$PWD/$RANDOM$RANDOM";

/// What a script ended with: its status, stdout, and stderr.
pub(crate) struct Ended(pub(crate) i32, pub(crate) String, pub(crate) String);

/// A shell in a directory, with the programs, and with the environment that a server needs.
pub(crate) struct Place<'a> {
    pub(crate) dir: &'a Path,
    pub(crate) variables: Vec<(&'static str, String)>,
}

impl Place<'_> {
    /// Runs it to its end, for two minutes at most.
    pub(crate) fn run(&self, script: &str) -> Ended {
        let programs = Path::new(env!("CARGO_BIN_EXE_dura-scan")).parent().unwrap();
        let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
        let mut bash = Command::new("timeout");
        bash.args(["120", "bash", "-o", "pipefail", "-c", script])
            .current_dir(self.dir)
            .env("PATH", path)
            .env("HOME", self.dir);
        // A server that hangs once, as some do under load, is asked again within the two minutes.
        bash.env("DURA_CACHE", self.dir.join("cache"))
            .env("DURA_TIMEOUT", "15")
            .envs(self.variables.iter().map(|(name, value)| (name, value)));
        let out = bash.output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ended(out.status.code().unwrap_or(128), text(&out.stdout), text(&out.stderr))
    }

    /// Runs it, each command of it with success, and gives its output.
    #[track_caller]
    pub(crate) fn ok(&self, script: &str) -> String {
        let Ended(code, out, err) = self.run(&format!("set -eu; {script}"));
        assert_eq!(code, 0, "{script}\n{out}{err}");
        out
    }

    /// Fails with status 2, and says all that; quickly, without a secret, and with nothing stored.
    #[track_caller]
    pub(crate) fn refused(&self, script: &str, said: &[&str]) {
        let begun = Instant::now();
        let Ended(code, out, err) = self.run(script);
        assert_eq!(code, 2, "{script}\n{out}{err}");
        assert!(begun.elapsed() < Duration::from_secs(20), "{script} took {:?}", begun.elapsed());
        assert!(said.iter().all(|said| err.contains(said)), "not told: {said:?}\n{err}");
        assert!(!err.contains(SECRET) && !err.contains("X-Amz-Signature"), "{err}");
    }
}
