//! The compiling process alone, for this crate's tests: the node has it as a hidden subcommand.

use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    callbox_sandbox::compile::child_main(&args)
}
