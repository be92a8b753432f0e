//! What all programs share: their common options, sizes like `10M`, and how a run begins and ends.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, anyhow};
use clap::{Arg, ArgAction, Args, Command, CommandFactory, FromArgMatches};

use crate::cli::tips;
use crate::edge::pipe;
use crate::ops::CANNOT_WRITE;
use crate::report::events::Events;
use crate::report::message::{self, Hinted, Report};

/// Options that every program has.
#[derive(Debug, Clone, Args)]
pub struct Common {
    /// Append events to FILE as lines of JSON
    #[arg(
        long,
        value_name = "FILE",
        env = "DURA_EVENTS",
        hide_env_values = true,
        global = true,
        display_order = 900
    )]
    pub events: Option<PathBuf>,
    /// Report what is done
    #[arg(short, long, action = ArgAction::Count, global = true, display_order = 901)]
    pub verbose: u8,
    /// Report only errors
    #[arg(short, long, conflicts_with = "verbose", global = true, display_order = 902)]
    pub quiet: bool,
}

/// Runs a program: reads its arguments, calls `run`, and turns the outcome into messages and an
/// exit status.
pub fn main<A: CommandFactory + FromArgMatches>(
    program: &'static str,
    common: fn(&A) -> &Common,
    run: impl FnOnce(A, &Arc<Report>) -> anyhow::Result<()>,
) -> ExitCode {
    if let Some(shell) = completions_for() {
        return complete(program, A::command(), &shell);
    }
    let parsed = without_empty(A::command()).try_get_matches();
    let args = match parsed.and_then(|matches| A::from_arg_matches(&matches)) {
        Ok(args) => args,
        Err(error) => return say(program, error),
    };
    let Common { events, verbose, quiet } = common(&args);
    let verbosity = if *quiet { -1 } else { (*verbose).min(2) as i8 };
    // The option does not take the events from whoever asked for all of them.
    let of_all = std::env::var_os("DURA_EVENTS").filter(|path| !path.is_empty());
    let of_all = of_all.map(PathBuf::from).filter(|path| events.as_ref() != Some(path));
    let opened = Events::open(program, events.as_deref().into_iter().chain(of_all.as_deref()));
    let (events, failed) = match opened {
        Ok(events) => (events, None),
        Err(error) => (Events::default(), Some(error)),
    };
    let report = Arc::new(Report::new(program, verbosity, events));
    if let Some(error) = failed {
        // Events are for display: no run ends for want of them.
        report.note(format_args!("cannot write events: {}", message::chain(&error)));
    }
    if let Some(refused) = pipe::stdout_refuses() {
        return report.finish(Err(anyhow!(refused)));
    }
    report.events().emit("start", &[("version", env!("CARGO_PKG_VERSION").into())]);
    let result = run(args, &report);
    report.finish(result)
}

/// The shell that `--completions SHELL`, which has to stand alone, asks for: for installers, and in
/// no help.
fn completions_for() -> Option<String> {
    let mut args = std::env::args_os().skip(1);
    let (option, shell, more) = (args.next()?, args.next()?, args.next());
    (option == "--completions" && more.is_none()).then(|| shell.into_string().ok())?
}

/// Writes the completions of a program for a shell.
fn complete(program: &'static str, mut command: Command, shell: &str) -> ExitCode {
    let mut write = || {
        let shell: clap_complete::Shell =
            shell.parse().map_err(|_| anyhow!("{shell}: wanted bash, zsh or fish"))?;
        let mut text = Vec::new();
        clap_complete::generate(shell, &mut command, program, &mut text);
        let mut out = pipe::stdout()?;
        out.write_all(&text)?;
        out.finish().context("cannot write the completions")
    };
    let written = write();
    Report::new(program, 0, Events::default()).finish(written)
}

/// Prints the help that was asked for, or what is wrong with the arguments.
fn say(program: &'static str, mut error: clap::Error) -> ExitCode {
    if error.use_stderr() {
        tips::add(program, &mut error);
        if io::IsTerminal::is_terminal(&io::stderr()) {
            error.exit();
        }
        let _ = pipe::tell(&error.render().to_string());
        return ExitCode::from(2);
    }
    let print = || {
        if let Some(refused) = pipe::stdout_refuses() {
            return Err(io::Error::other(refused));
        }
        // On a terminal with colours.
        if pipe::stdout_is_terminal() {
            return error.print();
        }
        let mut out = pipe::stdout()?;
        out.write_all(error.render().to_string().as_bytes())?;
        out.finish()
    };
    let printed = print().context("cannot write the help");
    Report::new(program, 0, Events::default()).finish(printed)
}

/// A variable that is set to nothing counts as not set, as with most programs.
fn without_empty(command: Command) -> Command {
    let is_empty = |arg: &Arg| {
        arg.get_env()
            .is_some_and(|name| std::env::var_os(name).is_some_and(|value| value.is_empty()))
    };
    let command =
        command.mut_args(|arg| if is_empty(&arg) { arg.env(None::<&'static str>) } else { arg });
    command.mut_subcommands(without_empty)
}

/// Standard output for a deed; it is written out when the deed is done.
pub(super) fn to_stdout<T>(
    deed: impl FnOnce(&mut pipe::Output) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let mut out = pipe::stdout()?;
    let done = deed(&mut out)?;
    out.finish().context(CANNOT_WRITE)?;
    Ok(done)
}

/// Fails if the output, which is not for people, would go to a terminal.
pub(super) fn refuse_terminal(hint: &str) -> anyhow::Result<()> {
    match pipe::stdout_is_terminal() {
        true => Err(Hinted::wrap(anyhow!("standard output is a terminal"), hint)),
        false => Ok(()),
    }
}

/// Reads a size: a number, with `k`, `M`, `G` or `T` for powers of 1024.
///
/// # Errors
/// If it is no such number, or over 64 bits.
pub fn size(text: &str) -> Result<u64, String> {
    let (digits, shift) = match text.as_bytes().last() {
        Some(b'k' | b'K') => (&text[..text.len() - 1], 10),
        Some(b'M') => (&text[..text.len() - 1], 20),
        Some(b'G') => (&text[..text.len() - 1], 30),
        Some(b'T') => (&text[..text.len() - 1], 40),
        _ => (text, 0),
    };
    let number: Option<u64> =
        digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok()).flatten();
    number
        .and_then(|number| number.checked_mul(1 << shift))
        .filter(|size| *size > 0)
        .ok_or_else(|| "expected a size above 0, such as 800k, 10M or 1G".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, bytes) in
            [("1", 1), ("10k", 10 << 10), ("10M", 10 << 20), ("3G", 3 << 30), ("1T", 1 << 40)]
        {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["", "M", "0", "0M", "-1", "+1", "1.5M", "1MB", "99999999T", "1 M"] {
            assert!(size(text).is_err(), "{text}");
        }
    }
}
