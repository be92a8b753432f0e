//! The program dura-scan.

fn main() -> std::process::ExitCode {
    dura::cli::scan::main()
}
