//! The program dura-mount.

fn main() -> std::process::ExitCode {
    dura::cli::mount::main()
}
