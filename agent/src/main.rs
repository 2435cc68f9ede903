//! The process `commun-agent`. Everything is in the library, so that the demo and the sandbox start the same code.

fn main() -> std::process::ExitCode {
    commun_agent::main_with(std::env::args_os(), commun_service::Faults::none())
}
