//! The program `facefold`.

fn main() -> std::process::ExitCode {
    facefold_cli::main()
}
