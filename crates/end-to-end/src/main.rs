//! The program `facefold` again, for the tests of this crate: cargo gives a test the programs of its own crate only.

fn main() -> std::process::ExitCode {
    facefold_cli::main()
}
