//! Virtual environments of Python with the systems that are compared, at fixed versions from the Python package index. They stay in the user's cache,
//! one for each list of versions. Without Python, network or package a system is passed over, with a line that says so.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use serde_json::Value;

use super::System;

const TURNS: &str = include_str!("../../peers/turns.py");

/// A system in Python.
#[derive(Clone, Copy)]
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    requirements: &'static str,
    script: &'static str,
}

pub(crate) const DUCKDB: Peer =
    Peer { name: "DuckDB", requirements: include_str!("../../peers/duckdb.txt"), script: include_str!("../../peers/with_duckdb.py") };

pub(crate) const FLOWER: Peer =
    Peer { name: "Flower", requirements: include_str!("../../peers/flower.txt"), script: include_str!("../../peers/with_flower.py") };

/// Those that add noise.
pub(crate) const PRIVATE: [Peer; 3] = [
    Peer {
        name: "OpenDP with Polars",
        requirements: include_str!("../../peers/opendp.txt"),
        script: include_str!("../../peers/with_opendp.py"),
    },
    Peer {
        name: "SmartNoise-SQL",
        requirements: include_str!("../../peers/smartnoise.txt"),
        script: include_str!("../../peers/with_smartnoise.py"),
    },
    Peer {
        name: "PipelineDP, local",
        requirements: include_str!("../../peers/pipelinedp.txt"),
        script: include_str!("../../peers/with_pipelinedp.py"),
    },
];

impl Peer {
    /// Makes the environment if it is not there. The script is written beside the table, whose folder this is. `None` when there is no way.
    pub(crate) fn install(self, folder: &Path) -> Option<Installed> {
        self.try_install(folder).map_err(|error| eprintln!("{} is not measured: {error:#}", self.name)).ok()
    }

    fn try_install(self, folder: &Path) -> anyhow::Result<Installed> {
        let hash = commun_domain::encoding::sha256(self.requirements.as_bytes());
        let name = hash.to_string();
        let cache = std::env::var_os("HOME").map_or_else(std::env::temp_dir, |home| PathBuf::from(home).join(".cache"));
        let environment = cache.join("commun").join("benches").join(name);
        let (python, whole) = (environment.join("bin").join("python3"), environment.join("whole"));
        if !whole.exists() {
            let list = folder.join("requirements.txt");
            std::fs::write(&list, self.requirements)?;
            std::fs::create_dir_all(&environment)?;
            run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&environment))?;
            run(Command::new(&python).args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"]).arg(&list))?;
            std::fs::write(whole, "")?;
        }
        let scripts = folder.join(self.name.replace([' ', ','], "_"));
        std::fs::create_dir_all(&scripts)?;
        std::fs::write(scripts.join("turns.py"), TURNS)?;
        let script = scripts.join("system.py");
        std::fs::write(&script, self.script)?;
        Ok(Installed { python, script, name: self.name })
    }
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let output = command.output().with_context(|| format!("cannot run {}", command.get_program().display()))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{} failed: {}", command.get_program().display(), said.lines().last().unwrap_or(""));
    Ok(())
}

/// A [`Peer`] that can be started.
pub(crate) struct Installed {
    python: PathBuf,
    script: PathBuf,
    name: &'static str,
}

impl Installed {
    /// `how` follows the system's name, for systems that are asked in several ways.
    pub(crate) fn system(&self, how: &str, job: Value) -> System {
        System {
            name: format!("{}{how}", self.name),
            program: self.python.clone(),
            arguments: vec!["-B".into(), self.script.clone().into()],
            job,
        }
    }

    /// A `DuckDB` with views of files.
    pub(crate) fn database(&self, how: &str, views: &Value, sql: &str) -> System {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        self.system(how, serde_json::json!({ "views": views, "sql": sql, "threads": threads }))
    }
}
