//! Going on in the background once all is ready: the program runs once more, as a child, and says
//! to its parent when it is.

use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

/// Tells the child that it is the child.
const CHILD: &str = "DURA_IN_BACKGROUND";

/// What it says when it is ready.
const READY: u8 = b'+';

/// Whether this process is to go on in the background.
pub fn is_child() -> bool {
    std::env::var_os(CHILD).is_some()
}

/// Runs this program with the same arguments as a child, and waits until it is ready. Gives the
/// status with which it has ended if it never was.
///
/// # Errors
/// What the system says.
pub fn start() -> io::Result<Option<i32>> {
    let mut args = std::env::args_os();
    let mut command = Command::new(std::env::current_exe()?);
    command.arg0(args.next().unwrap_or_default()).args(args);
    let mut child = command.env(CHILD, "1").stdout(Stdio::piped()).spawn()?;
    let mut said = [0];
    let came = match child.stdout.take() {
        Some(mut stdout) => stdout.read(&mut said)?,
        None => 0,
    };
    if (came, said) == (1, [READY]) {
        return Ok(None);
    }
    // A signal ended it.
    Ok(Some(child.wait()?.code().unwrap_or(2)))
}

/// Tells the parent that all is ready, and leaves its terminal; messages still go to stderr.
///
/// # Errors
/// What the system says.
pub fn ready() -> io::Result<()> {
    // Whoever leads its session has none to leave.
    let _ = rustix::process::setsid();
    let mut stdout = io::stdout();
    stdout.write_all(&[READY])?;
    stdout.flush()?;
    let nothing = OpenOptions::new().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdin(&nothing)?;
    rustix::stdio::dup2_stdout(&nothing)?;
    Ok(())
}
