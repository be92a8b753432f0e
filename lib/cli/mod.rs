//! One module for each program: its arguments, one call, and its exit status.

mod at;
pub mod common;
pub mod index;
pub mod mount;
pub mod pack;
pub mod prune;
pub mod push;
mod reading;
pub mod restore;
pub mod scan;
pub mod seal;
mod tips;
pub mod verify;

use std::path::Path;
use std::process::ExitCode;

use crate::edge::pipe;

/// A program: its name and its `main`.
type Program = (&'static str, fn() -> ExitCode);

const PROGRAMS: [Program; 9] = [
    ("dura-index", index::main),
    ("dura-mount", mount::main),
    ("dura-pack", pack::main),
    ("dura-prune", prune::main),
    ("dura-push", push::main),
    ("dura-restore", restore::main),
    ("dura-scan", scan::main),
    ("dura-seal", seal::main),
    ("dura-verify", verify::main),
];

/// Runs the program by whose name this one was called. Installed, all of them are one file: most of
/// each is the same code.
pub fn by_name() -> ExitCode {
    let called = std::env::args_os().next().unwrap_or_default();
    let name = Path::new(&called).file_name().unwrap_or_default();
    if let Some((_, main)) = PROGRAMS.iter().find(|(program, _)| name == *program) {
        return main();
    }
    let names = PROGRAMS.map(|(program, _)| program).join(", ");
    let _ = pipe::tell(&format!(
        "dura: this is all of Dura's programs: call one by its name\n\
         hint: {names}; man dura tells what each does\n"
    ));
    ExitCode::from(2)
}
