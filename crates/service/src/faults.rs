//! Fault points: named places where a test may stop, delay or kill a process.
//!
//! A shipped binary passes [`Faults::none`], and no feature, variable, flag or profile of it constructs anything else. Only `tests/`
//! calls [`Faults::new`].

use std::fmt;
use std::sync::Arc;

/// A handle on fault points. Cloning it is cheap; every clone reaches the same hook.
#[derive(Clone, Default)]
pub struct Faults(Option<Arc<dyn Fn(&'static str) + Send + Sync>>);

impl Faults {
    /// Nothing ever happens: what every shipped binary passes.
    pub fn none() -> Self {
        Self(None)
    }

    /// Calls the hook with the name of each point that is reached, on the thread that reaches it. Only tests construct this.
    pub fn new(hook: Arc<dyn Fn(&'static str) + Send + Sync>) -> Self {
        Self(Some(hook))
    }

    /// Marks a point, named `<daemon>.<what has just been done>`, for example `agent.after_reserve`.
    pub fn at(&self, point: &'static str) {
        if let Some(hook) = &self.0 {
            hook(point);
        }
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Faults(test hook)" } else { "Faults(none)" })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, PoisonError};

    use super::*;

    #[test]
    fn every_clone_reaches_the_hook_with_the_points_name() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let hook = {
            let seen = Arc::clone(&seen);
            Arc::new(move |point| seen.lock().unwrap_or_else(PoisonError::into_inner).push(point))
        };
        let faults = Faults::new(hook);
        faults.at("agent.after_reserve");
        faults.clone().at("agent.before_answer");
        Faults::none().at("agent.unseen");
        assert_eq!(*seen.lock().unwrap_or_else(PoisonError::into_inner), ["agent.after_reserve", "agent.before_answer"]);
    }
}
