//! Child processes: this binary again, under other names.

use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

/// How long a daemon may take to drain after the signal.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// Starts this binary as other programs.
#[derive(Debug, Clone)]
pub(crate) struct Programs {
    exe: PathBuf,
}

impl Programs {
    /// This very binary.
    pub(crate) fn own() -> anyhow::Result<Self> {
        Ok(Self { exe: std::env::current_exe().context("where is this binary?")? })
    }

    fn command<S: AsRef<OsStr>>(&self, program: &str, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(&self.exe);
        command.arg(program).args(args).stdin(Stdio::null());
        command
    }

    /// Runs a program to its end; its standard output is returned, its standard error is shown when it fails.
    pub(crate) fn run<S: AsRef<OsStr>>(&self, program: &str, args: impl IntoIterator<Item = S>) -> anyhow::Result<String> {
        let output = self.command(program, args).output()?;
        if !output.status.success() {
            bail!("{program} failed: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Runs a program to its end with its progress on our standard error; its standard output goes to a file.
    pub(crate) fn run_to_file<S: AsRef<OsStr>>(&self, program: &str, args: impl IntoIterator<Item = S>, out: &Path) -> anyhow::Result<()> {
        let status = self.command(program, args).stdout(File::create(out)?).stderr(Stdio::inherit()).status()?;
        if !status.success() {
            bail!("{program} failed with {status}");
        }
        Ok(())
    }

    /// Starts a daemon whose standard error goes to `log`.
    pub(crate) fn start<S: AsRef<OsStr>>(&self, program: &str, args: impl IntoIterator<Item = S>, log: &Path) -> anyhow::Result<Daemon> {
        let file = File::options().create(true).append(true).open(log)?;
        let child = self.command(program, args).stdout(file.try_clone()?).stderr(file).spawn()?;
        Ok(Daemon { child, name: program.to_owned(), log: log.to_owned() })
    }
}

/// A running daemon; stopped when dropped.
#[derive(Debug)]
pub(crate) struct Daemon {
    child: Child,
    name: String,
    log: PathBuf,
}

impl Daemon {
    /// Fails when the daemon has ended, with the end of its log.
    pub(crate) fn ensure_running(&mut self) -> anyhow::Result<()> {
        if let Some(status) = self.child.try_wait()? {
            let log = std::fs::read_to_string(&self.log).unwrap_or_default();
            let tail: Vec<&str> = log.lines().rev().take(5).collect();
            let tail: Vec<&str> = tail.into_iter().rev().collect();
            bail!("{} ended with {status}:\n{}", self.name, tail.join("\n"));
        }
        Ok(())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let pid = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid {
            // It may have ended by itself.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let deadline = Instant::now() + STOP_TIMEOUT;
        while Instant::now() < deadline {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
