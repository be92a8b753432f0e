//! All programs in one file, which runs as the one by whose name it is called.

fn main() -> std::process::ExitCode {
    dura::cli::by_name()
}
