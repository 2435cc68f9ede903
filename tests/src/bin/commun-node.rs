//! `commun-node`: the daemons and the command line in one binary for tests, with fault points that only this binary has.
//!
//! The first argument names the program. With `COMMUN_TEST_DIE_AT=point` a daemon that reaches the point writes the point's name into
//! `COMMUN_TEST_DIE_FILE`, brings it to the disk, and kills itself with SIGKILL: nothing drains, nothing is flushed. With
//! `COMMUN_TEST_PAUSE_AT=point` it names the point in `COMMUN_TEST_PAUSE_FILE` and stands still until a test removes that file.
//! It is no release: nothing of it is in a shipped binary.

use std::ffi::OsString;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use commun_service::Faults;

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    match args.first().and_then(|name| name.to_str()) {
        Some("commun-agent") => commun_agent::main_with(args.into_iter(), faults()),
        Some("commun-coordinator") => commun_coordinator::main_with(args.into_iter(), faults()),
        Some("commun") => commun_cli::main_with(args.into_iter()),
        _ => ExitCode::from(commun_service::exit::USAGE),
    }
}

/// Which point, and the file that tells the test.
fn planned(point: &str, file: &str) -> Option<(String, PathBuf)> {
    Some((std::env::var(point).ok()?, std::env::var_os(file)?.into()))
}

fn faults() -> Faults {
    let die = planned("COMMUN_TEST_DIE_AT", "COMMUN_TEST_DIE_FILE");
    let pause = planned("COMMUN_TEST_PAUSE_AT", "COMMUN_TEST_PAUSE_FILE");
    if die.is_none() && pause.is_none() {
        return Faults::none();
    }
    Faults::new(Arc::new(move |reached| {
        if let Some((point, file)) = &pause
            && point == reached
        {
            tell(file, reached);
            while file.exists() {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        if let Some((point, file)) = &die
            && point == reached
        {
            tell(file, reached);
            die_now();
        }
    }))
}

/// Durable, and whole before it has its name.
fn tell(file: &Path, point: &str) {
    let new = file.with_extension("new");
    let written = File::create(&new).and_then(|mut open| open.write_all(point.as_bytes()).and_then(|()| open.sync_all()));
    if written.and_then(|()| std::fs::rename(&new, file)).is_err() {
        // The test waits for the file and fails by its own deadline.
        std::process::abort();
    }
}

fn die_now() -> ! {
    // It cannot fail for the own process; if it does, the test sees another signal than SIGKILL.
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    std::process::abort()
}
