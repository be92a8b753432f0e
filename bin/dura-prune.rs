//! The program dura-prune.

fn main() -> std::process::ExitCode {
    dura::cli::prune::main()
}
