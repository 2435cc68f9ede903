//! The coordinator's program.

fn main() -> std::process::ExitCode {
    commun_coordinator::main_with(std::env::args_os(), commun_service::Faults::none())
}
