//! A list that could not be read: nothing more is asked of it until it has changed, as each question would be charged for finding it out again.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use crate::EngineError;
use crate::binding::Objections;

/// Time of the last change and length; `None` where that cannot be said, as of a pattern.
type Stamp = Option<(Option<SystemTime>, u64)>;

/// What was wrong with the list, and which list that was. Forgotten when the process ends.
#[derive(Clone, Debug, Default)]
pub(crate) struct Broken(Arc<Mutex<Option<(Stamp, PathBuf, String)>>>);

fn stamp(list: &Objections, folder: &Path) -> Stamp {
    let metadata = std::fs::metadata(folder.join(&list.path)).ok()?;
    Some((metadata.modified().ok(), metadata.len()))
}

impl Broken {
    /// Takes note of a fault of the list.
    pub(crate) fn note(&self, list: &Objections, folder: &Path, error: &EngineError) {
        if let EngineError::Objections { path, message } = error {
            let noted = Some((stamp(list, folder), path.clone(), message.clone()));
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = noted;
        }
    }

    /// The fault, as long as the list is the same.
    pub(crate) fn check(&self, list: &Objections, folder: &Path) -> Result<(), EngineError> {
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match noted.take_if(|(known, ..)| *known != stamp(list, folder)).map_or_else(|| noted.clone(), |_| None) {
            None => Ok(()),
            Some((_, path, message)) => Err(EngineError::Objections { path, message }),
        }
    }
}
