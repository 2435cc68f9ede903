//! Child processes: the programs under test, each wait with a deadline, each child killed when its handle is dropped.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// Longest run of a command that ends by itself.
const RUN_TIMEOUT: Duration = Duration::from_mins(1);

/// Longest time from a signal to the end of a daemon.
const STOP_TIMEOUT: Duration = Duration::from_secs(15);

/// Waits until `ready` gives something, or fails the test.
pub(crate) fn wait_for<T>(what: &str, within: Duration, mut ready: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + within;
    loop {
        if let Some(value) = ready() {
            return value;
        }
        assert!(Instant::now() < deadline, "{what}: not within {within:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// What a command said and how it ended.
#[derive(Debug)]
pub(crate) struct Output {
    /// Exit code; `None` after a signal.
    pub(crate) code: Option<i32>,
    /// Standard output.
    pub(crate) out: String,
    /// Standard error.
    pub(crate) err: String,
}

impl Output {
    /// Its standard output, if it ended with 0.
    #[track_caller]
    pub(crate) fn done(self) -> String {
        assert_eq!(self.code, Some(0), "{}", self.err);
        self.out
    }

    /// Asserts that it ended with this exit code, and said every one of these on standard error.
    #[track_caller]
    pub(crate) fn says(&self, code: i32, parts: &[&str]) {
        assert_eq!(self.code, Some(code), "{}", self.err);
        for part in parts {
            assert!(self.err.contains(part), "{part:?} is not in: {}", self.err);
        }
    }

    /// Asserts a refusal: exit code, stable code first, a hint.
    #[track_caller]
    pub(crate) fn refuses(&self, code: i32, stable: &str, parts: &[&str]) {
        self.says(code, parts);
        let refusal = self.err.lines().any(|line| line.starts_with(&format!("{stable}: ")));
        assert!(refusal, "no line starts with {stable}: {}", self.err);
        let hint = self.err.lines().any(|line| line.strip_prefix("hint: ").is_some_and(|hint| !hint.is_empty()));
        assert!(hint, "no hint: {}", self.err);
    }
}

/// A point at which a daemon dies or stands still, and the file by which it says that it got there.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    /// What tells the child.
    variables: Vec<(String, OsString)>,
    /// Name of the point.
    pub(crate) point: &'static str,
    /// Where the child writes it.
    pub(crate) file: PathBuf,
}

impl Fault {
    /// The daemon kills itself there.
    pub(crate) fn die(point: &'static str, folder: &Path) -> Self {
        Self::named("DIE", point, folder.join(format!("died-at-{point}")))
    }

    /// The daemon stands still there until [`Fault::go_on`].
    pub(crate) fn pause(point: &'static str, folder: &Path) -> Self {
        Self::named("PAUSE", point, folder.join(format!("pausing-at-{point}")))
    }

    fn named(kind: &str, point: &'static str, file: PathBuf) -> Self {
        let at = (format!("COMMUN_TEST_{kind}_AT"), point.into());
        Self { variables: vec![at, (format!("COMMUN_TEST_{kind}_FILE"), file.clone().into())], point, file }
    }

    /// The daemon counts its points, and dies at the one that the file will name (`matrix/points.c`); reads count of files whose path begins so.
    pub(crate) fn counted(library: &Path, file: &Path, source: &Path) -> Self {
        let variables = [("LD_PRELOAD", library), ("COMMUN_POINTS", file), ("COMMUN_POINTS_SOURCE", source)];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.into())).into();
        Self { variables, point: "a point that is counted", file: file.to_owned() }
    }

    /// Whether the child has been there.
    pub(crate) fn reached(&self) -> bool {
        std::fs::read_to_string(&self.file).is_ok_and(|point| point == self.point)
    }

    /// Lets a child that stands still go on.
    pub(crate) fn go_on(&self) {
        std::fs::remove_file(&self.file).unwrap();
    }
}

fn command<S: AsRef<OsStr>>(program: &str, args: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_commun-node"));
    command.arg(program).args(args).stdin(Stdio::null()).env_remove("COMMUN_LOG");
    command
}

/// Runs a program to its end.
pub(crate) fn run<S: AsRef<OsStr>>(program: &str, args: impl IntoIterator<Item = S>) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let (out, err) = (folder.path().join("out"), folder.path().join("err"));
    let child = command(program, args).stdout(File::create(&out).unwrap()).stderr(File::create(&err).unwrap()).spawn().unwrap();
    let mut daemon = Daemon { child, log: err.clone() };
    let status = daemon.ended(RUN_TIMEOUT);
    let text = |path| String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned();
    Output { code: status.code(), out: text(out), err: text(err) }
}

/// A running program; killed when dropped.
#[derive(Debug)]
pub(crate) struct Daemon {
    child: Child,
    log: PathBuf,
}

impl Daemon {
    /// Starts a program whose standard error is added to `log`.
    pub(crate) fn start<S: AsRef<OsStr>>(program: &str, args: impl IntoIterator<Item = S>, log: &Path, fault: Option<&Fault>) -> Self {
        let file = File::options().create(true).append(true).open(log).unwrap();
        let mut command = command(program, args);
        command.envs(fault.into_iter().flat_map(|fault| fault.variables.iter().map(|(name, value)| (name, value))));
        let child = command.stdout(file.try_clone().unwrap()).stderr(file).spawn().unwrap();
        Self { child, log: log.to_owned() }
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything that it has said.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Asserts that it has not ended by itself.
    #[track_caller]
    pub(crate) fn assert_runs(&mut self) {
        let ended = self.child.try_wait().unwrap();
        assert!(ended.is_none(), "it ended with {ended:?}:\n{}", self.log());
    }

    fn ended(&mut self, within: Duration) -> ExitStatus {
        let deadline = Instant::now() + within;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "it did not end within {within:?}:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn signal(&self, signal: Signal) {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            // It may have ended already.
            let _ = kill_process(pid, signal);
        }
    }

    /// Asks it to end and expects that it does so with 0.
    #[track_caller]
    pub(crate) fn stop(mut self) {
        self.signal(Signal::TERM);
        let status = self.ended(STOP_TIMEOUT);
        assert_eq!(status.code(), Some(0), "{}", self.log());
    }

    /// Whether it has died by SIGKILL within this time; any other end fails the test.
    #[track_caller]
    pub(crate) fn was_killed(&mut self, within: Duration) -> bool {
        let deadline = Instant::now() + within;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                assert_eq!(status.signal(), Some(Signal::KILL.as_raw()), "{}", self.log());
                return true;
            }
            if Instant::now() >= deadline {
                return false;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Asserts that it died by SIGKILL at the point that was planned.
    #[track_caller]
    pub(crate) fn died_at(mut self, fault: &Fault) {
        let status = self.ended(STOP_TIMEOUT);
        assert_eq!(status.signal(), Some(Signal::KILL.as_raw()), "{}", self.log());
        assert!(fault.reached(), "it did not die at {}", fault.point);
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
