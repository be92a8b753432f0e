//! The program dura-push.

fn main() -> std::process::ExitCode {
    dura::cli::push::main()
}
