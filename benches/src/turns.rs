//! Systems that are compared: each in a process of its own, which is asked when its turn comes, so that all of them see the same minutes of the
//! machine, and each one's memory is its own.
//!
//! A process reads its job, a line of JSON, says in another line that it is ready, and from then on answers a line with a line.

pub(crate) mod environment;
pub(crate) mod own;

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use serde_json::Value;

use crate::Figure;

/// For loading, and for each answer.
const MOST_SECONDS: u64 = 600;

/// What takes longer than this is asked once, and that counts.
const SLOW_SECONDS: f64 = 30.0;

/// Address space of another's process, so that a system that holds the whole table cannot take the machine with it.
const MOST_ADDRESSES_KIB: u64 = 16 << 20;

/// A system before it is started.
pub(crate) struct System {
    pub(crate) name: String,
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<OsString>,
    pub(crate) job: Value,
}

/// What a system did.
pub(crate) struct Outcome {
    pub(crate) name: String,
    /// Of each turn that counts.
    pub(crate) seconds: Vec<f64>,
    /// Of the same turns, added up over the processors: what others do on the machine hardly shows in it.
    processor_seconds: Vec<f64>,
    /// The highest resident memory of the process, loading included.
    peak_mib: f64,
    /// The answers of these turns.
    pub(crate) answers: Vec<Value>,
    /// For systems that load the table before they can be asked.
    load_seconds: Option<f64>,
}

struct Running {
    child: Child,
    stdin: ChildStdin,
    lines: Receiver<std::io::Result<String>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Asks all systems in turn: once for nothing, so that file and code are warm, then `repetitions` times. One that fails or takes too long is left
/// out, with a line that says why.
pub(crate) fn by_turns(systems: Vec<System>, repetitions: u32) -> anyhow::Result<Vec<Outcome>> {
    let mut running = Vec::new();
    for system in systems {
        let name = system.name.clone();
        match Running::start(&system) {
            Ok((process, ready)) => {
                let load_seconds = ready["load_seconds"].as_f64();
                eprintln!("{name}: version {}", ready["version"].as_str().unwrap_or("?"));
                running.push((
                    process,
                    Outcome { name, seconds: Vec::new(), processor_seconds: Vec::new(), peak_mib: 0.0, answers: Vec::new(), load_seconds },
                ));
            }
            Err(error) => eprintln!("{name} is not measured: {error:#}"),
        }
    }
    for turn in 0..=repetitions {
        let mut left = Vec::new();
        for (mut process, mut outcome) in running {
            // Asked once and slow.
            if turn > 0 && outcome.seconds.len() == 1 && outcome.seconds[0] > SLOW_SECONDS {
                left.push((process, outcome));
                continue;
            }
            match process.ask() {
                Ok(answer) => {
                    let seconds = answer["seconds"].as_f64().context("an answer without its time")?;
                    outcome.peak_mib = answer["peak_kib"].as_f64().context("an answer without its memory")? / 1024.0;
                    if turn > 0 || seconds > SLOW_SECONDS {
                        outcome.seconds.push(seconds);
                        outcome
                            .processor_seconds
                            .push(answer["processor_seconds"].as_f64().context("an answer without its processor time")?);
                        outcome.answers.push(answer);
                    }
                    left.push((process, outcome));
                }
                Err(error) => eprintln!("{} is not measured: {error:#}", outcome.name),
            }
        }
        running = left;
    }
    Ok(running.into_iter().map(|(_, outcome)| outcome).collect())
}

impl Running {
    fn start(system: &System) -> anyhow::Result<(Self, Value)> {
        let mut child = Command::new("sh")
            .args(["-c", &format!("ulimit -v {MOST_ADDRESSES_KIB} && exec \"$0\" \"$@\"")])
            .arg(&system.program)
            .args(&system.arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let stdin = child.stdin.take().context("no standard input")?;
        let stdout = child.stdout.take().context("no standard output")?;
        let stderr = child.stderr.take().context("no standard error")?;
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            let sent = BufReader::new(stdout).lines().try_for_each(|line| sender.send(line));
            if sent.is_ok() {
                // It has ended: the last thing it said is why.
                let said = BufReader::new(stderr).lines().map_while(Result::ok).filter(|line| !line.trim().is_empty()).last();
                let _ = sender.send(Err(std::io::Error::other(said.unwrap_or_else(|| "it ended".to_owned()))));
            }
        });
        let mut process = Self { child, stdin, lines };
        let ready = process.say(&system.job.to_string())?;
        Ok((process, ready))
    }

    fn ask(&mut self) -> anyhow::Result<Value> {
        self.say("")
    }

    fn say(&mut self, line: &str) -> anyhow::Result<Value> {
        // One that has ended says why below.
        let _ = writeln!(self.stdin, "{line}");
        match self.lines.recv_timeout(Duration::from_secs(MOST_SECONDS)) {
            Ok(line) => Ok(serde_json::from_str(&line?)?),
            Err(RecvTimeoutError::Timeout) => bail!("it takes longer than {MOST_SECONDS} s"),
            Err(RecvTimeoutError::Disconnected) => Err(anyhow!("it ended")),
        }
    }
}

impl Outcome {
    /// The last answer.
    pub(crate) fn answer(&self) -> anyhow::Result<&Value> {
        self.answers.last().with_context(|| format!("{} gave no answer", self.name))
    }

    /// Rate and memory. `of` names the table, `rows` are its.
    pub(crate) fn figures(&self, of: &str, rows: u64) -> Vec<Figure> {
        #[expect(clippy::cast_precision_loss, reason = "for display")]
        let rates = self.seconds.iter().map(|seconds| rows as f64 / seconds / 1e6).collect();
        let load = self.load_seconds.map(|seconds| Figure::new(format!("{of}: {}, loading before", self.name), "s", vec![seconds]));
        [
            Figure::new(format!("{of}: {}", self.name), "million rows/s", rates),
            Figure::new(format!("{of}: {}, processors", self.name), "s", self.processor_seconds.clone()),
            Figure::new(format!("{of}: {}, most memory", self.name), "MiB", vec![self.peak_mib]),
        ]
        .into_iter()
        .chain(load)
        .collect()
    }

    /// How many times as long this takes as another, turn by turn where both had as many, and how many times the processors' time.
    pub(crate) fn over(&self, other: &Self, of: &str) -> [Figure; 2] {
        let median = |values: &[f64]| Figure::new("", "s", values.to_vec()).median();
        let ratios = if self.seconds.len() == other.seconds.len() {
            self.seconds.iter().zip(&other.seconds).map(|(ours, theirs)| ours / theirs).collect()
        } else {
            vec![median(&self.seconds) / median(&other.seconds)]
        };
        let name = format!("{of}: {} over {}", self.name, other.name);
        let used = median(&self.processor_seconds) / median(&other.processor_seconds);
        [Figure::new(name.clone(), "x the time", ratios), Figure::new(name, "x the processors' time", vec![used])]
    }
}
