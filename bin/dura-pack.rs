//! The program dura-pack.

fn main() -> std::process::ExitCode {
    dura::cli::pack::main()
}
