//! The program dura-restore.

fn main() -> std::process::ExitCode {
    dura::cli::restore::main()
}
