//! The program dura-index.

fn main() -> std::process::ExitCode {
    dura::cli::index::main()
}
