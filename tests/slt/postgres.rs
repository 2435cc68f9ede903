//! A `PostgreSQL` server of the test's own: the judge that shares no code with the engine.
//!
//! It lives in a temporary folder, listens on a Unix socket in it and nowhere else, and stops with the value. Its client is `psql`, so
//! that no crate is added. It keeps nothing and is as unsafe against power cuts as it is quick.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal};
use tempfile::TempDir;

/// How long the server may take until it answers; a loaded machine is slow.
const START_TIMEOUT: Duration = Duration::from_mins(2);

/// The account that Debian makes: `PostgreSQL` refuses to run as root.
const ACCOUNT: &str = "postgres";

/// See the module.
pub(crate) struct Postgres {
    folder: TempDir,
    programs: PathBuf,
    server: Child,
}

impl Postgres {
    /// Makes a cluster and waits until it answers.
    pub(crate) fn start() -> Result<Self> {
        let programs = programs()?;
        let folder = tempfile::Builder::new().prefix("commun-slt-").tempdir()?;
        if is_root() {
            let id = |flag: &str| -> Result<u32> {
                let output = Command::new("id").args([flag, ACCOUNT]).output()?;
                Ok(String::from_utf8(output.stdout)?.trim().parse()?)
            };
            let (user, group) = (id("-u")?, id("-g")?);
            std::os::unix::fs::chown(folder.path(), Some(user), Some(group)).context("cannot give the folder to the account postgres")?;
        }
        let data = folder.path().join("data");
        let made = unprivileged(&programs.join("initdb"))
            .arg("-D")
            .arg(&data)
            .args(["-U", ACCOUNT, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"])
            .current_dir(folder.path())
            .output()
            .context("cannot run initdb")?;
        ensure!(made.status.success(), "initdb failed: {}", String::from_utf8_lossy(&made.stderr));
        let log = std::fs::File::create(folder.path().join("server.log"))?;
        let server = unprivileged(&programs.join("postgres"))
            .arg("-D")
            .arg(&data)
            .arg("-k")
            .arg(folder.path())
            .args(["-c", "listen_addresses=", "-c", "fsync=off", "-c", "full_page_writes=off", "-c", "shared_buffers=16MB"])
            .current_dir(folder.path())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .context("cannot start postgres")?;
        let mut postgres = Self { folder, programs, server };
        let started = Instant::now();
        while let Err(error) = postgres.run(ACCOUNT, "SELECT 1;") {
            if postgres.server.try_wait()?.is_some() || started.elapsed() > START_TIMEOUT {
                let log = std::fs::read_to_string(postgres.folder.path().join("server.log")).unwrap_or_default();
                bail!("PostgreSQL does not answer: {error}\n{log}");
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(postgres)
    }

    /// Runs a script of SQL and `psql`'s own commands, and gives what it prints: one row a line, tabs between values, `NULL` for NULL.
    pub(crate) fn run(&self, database: &str, script: &str) -> Result<String> {
        let mut psql = Command::new(self.programs.join("psql"))
            .args(["-X", "-q", "-A", "-t", "-F", "\t", "-P", "null=NULL", "-v", "ON_ERROR_STOP=1", "-U", ACCOUNT, "-d", database, "-h"])
            .arg(self.folder.path())
            .env_remove("PGPORT")
            .env_remove("PGOPTIONS")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot run psql")?;
        let mut input = psql.stdin.take().context("psql has no input")?;
        let output = std::thread::scope(|scope| {
            // Its own thread: a script may be longer than what psql reads before it writes. An early end shows in the status.
            scope.spawn(move || input.write_all(script.as_bytes()));
            psql.wait_with_output()
        })?;
        ensure!(
            output.status.success(),
            "psql: {}\n{}",
            String::from_utf8_lossy(&output.stderr).trim(),
            script.get(..2_000).unwrap_or(script)
        );
        Ok(String::from_utf8(output.stdout)?)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // SIGINT is PostgreSQL's fast shutdown.
        if let Some(pid) = i32::try_from(self.server.id()).ok().and_then(Pid::from_raw)
            && rustix::process::kill_process(pid, Signal::INT).is_ok()
        {
            let _ = self.server.wait();
        }
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn unprivileged(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid", ACCOUNT, "--regid", ACCOUNT, "--clear-groups"]).arg(program);
    command
}

/// The folder of the newest version's programs.
fn programs() -> Result<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().filter_map(Result::ok);
    let newest = versions.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()).max();
    let newest = newest.context("PostgreSQL is not installed: run tests/run, which installs what the tests need")?;
    Ok(Path::new("/usr/lib/postgresql").join(newest.to_string()).join("bin"))
}
