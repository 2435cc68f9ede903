//! Points of a process at which a kill could change what another party, or the next process, sees: counted, written down, and died at.
//!
//! `points.c` does it inside the daemon, which is otherwise the shipped code. It is loaded by the system's loader, so that no line of ours is `unsafe`.
//! Why not from outside: strace counts for each thread alone when it injects a signal, and a task wanders between threads; the safe bindings of ptrace
//! (`nix`) turn on a feature of `libc`, so that the query engine would be built once for the tests and once for the demo.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::harness::child::Fault;

/// What a process is about to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// To bring a file to the disk.
    Fsync,
    /// To hand bytes to an IP socket.
    Send,
    /// To read a file of the holder's data.
    Read,
}

impl Kind {
    /// As `points.c` names it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Fsync => "fsync",
            Self::Send => "send",
            Self::Read => "read",
        }
    }
}

/// The library, and the files through which the newest process with it is told and tells: each process has its own.
pub(crate) struct Points {
    folder: PathBuf,
    processes: usize,
}

impl Points {
    /// Compiles the library into a folder.
    pub(crate) fn build(folder: &Path) -> Self {
        let points = Self { folder: folder.to_owned(), processes: 0 };
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-x", "c", "-", "-o"]).arg(points.library());
        let mut compiler = compiler.stdin(Stdio::piped()).spawn().expect("cc: a C compiler is needed, as for the build");
        compiler.stdin.take().unwrap().write_all(include_bytes!("points.c")).unwrap();
        assert!(compiler.wait().unwrap().success(), "cc did not compile points.c");
        points
    }

    fn library(&self) -> PathBuf {
        self.folder.join("points.so")
    }

    fn control(&self) -> PathBuf {
        self.folder.join(format!("points-{}", self.processes))
    }

    /// What has a new process count, from [`Points::arm`] on, and die at a point. `source`: how paths of files with data begin.
    pub(crate) fn fault(&mut self, source: &Path) -> Fault {
        self.processes += 1;
        Fault::counted(&self.library(), &self.control(), source)
    }

    /// From now on the daemon counts, writes down, and dies at the entry of this point; at none if there is none.
    pub(crate) fn arm(&self, point: Option<(Kind, usize)>) {
        let text = point.map_or_else(|| "record".to_owned(), |(kind, number)| format!("{} {number}", kind.name()));
        let new = self.control().with_extension("new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, self.control()).unwrap();
    }

    /// The lines so far: kind, number, file.
    pub(crate) fn trace(&self) -> Vec<String> {
        std::fs::read_to_string(self.trace_file()).unwrap_or_default().lines().map(str::to_owned).collect()
    }

    fn trace_file(&self) -> PathBuf {
        self.control().with_extension("trace")
    }
}

/// How many points of each kind a trace has.
pub(crate) fn counts(trace: &[String]) -> BTreeMap<Kind, usize> {
    let of = |kind: Kind| trace.iter().filter(|line| line.starts_with(&format!("{} ", kind.name()))).count();
    [Kind::Fsync, Kind::Send, Kind::Read].map(|kind| (kind, of(kind))).into()
}

/// `wanted` numbers of 1 to `count`, spread evenly; all of them if none is named.
pub(crate) fn spread(count: usize, wanted: Option<usize>) -> Vec<usize> {
    let wanted = wanted.unwrap_or(count).min(count);
    (0..wanted).map(|at| (2 * at + 1) * count / (2 * wanted) + 1).collect()
}

#[test]
fn points_are_spread_over_the_whole_trace_and_all_of_them_are_taken_where_no_number_is_named() {
    assert_eq!(spread(4, None), [1, 2, 3, 4]);
    assert_eq!(spread(9, Some(3)), [2, 5, 8]);
    assert_eq!(spread(2, Some(3)), [1, 2]);
    assert!(spread(0, Some(3)).is_empty());
}
