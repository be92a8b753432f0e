//! The program dura-verify.

fn main() -> std::process::ExitCode {
    dura::cli::verify::main()
}
