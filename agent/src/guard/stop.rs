//! The file that remembers a stop, so that no restart forgets it.
//!
//! It is there whole or not at all, and on the disk before the stop is told: written beside its place, synced, moved, and the folder synced.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Result, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// Mode of the file: the reason is the holder's own.
const FILE_MODE: u32 = 0o600;

/// Why the agent has stopped, if it has. A file that cannot be read is a stop too.
pub(super) fn read(path: &Path) -> Option<String> {
    match std::fs::read_to_string(path) {
        Ok(text) => Some(text.trim().to_owned()),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => Some(format!("STOPPED: {} cannot be read: {error}", path.display())),
    }
}

/// Writes the reason; it is on the disk when this returns.
pub(super) fn write(path: &Path, reason: &str) -> Result<()> {
    let new = path.with_extension("new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(FILE_MODE).open(&new)?;
    file.write_all(reason.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&new, path)?;
    // The name is on the disk only when its folder is.
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_reason_is_read_back_and_a_later_one_replaces_it_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("STOPPED");
        assert_eq!(read(&path), None);
        for reason in ["a long reason: the log became shorter", "a fork"] {
            write(&path, reason).unwrap();
            assert_eq!(read(&path).as_deref(), Some(reason));
            assert_eq!(names(folder.path()), ["STOPPED"]);
        }
    }

    #[test]
    fn a_file_that_was_not_finished_is_no_stop_and_is_in_nobodys_way() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("STOPPED");
        std::fs::write(folder.path().join("STOPPED.new"), "a reason of which the process died in the mid").unwrap();
        assert_eq!(read(&path), None);
        write(&path, "a fork").unwrap();
        assert_eq!((read(&path).as_deref(), names(folder.path())), (Some("a fork"), vec!["STOPPED".to_owned()]));
    }

    #[test]
    fn a_file_that_cannot_be_read_is_a_stop() {
        let folder = tempfile::tempdir().unwrap();
        assert!(read(folder.path()).is_some_and(|reason| reason.contains("cannot be read")));
    }
}
