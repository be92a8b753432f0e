//! The program dura-seal.

fn main() -> std::process::ExitCode {
    dura::cli::seal::main()
}
