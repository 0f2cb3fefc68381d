//! Draws what the engine tells of its progress.

use indicatif::ProgressBar;
use zhiyin_engine::progress::Progress;

use crate::output;

/// A bar whose text is the current stage.
pub struct BarProgress(ProgressBar);

impl BarProgress {
    /// A bar that begins with `what`.
    pub fn new(what: &str) -> Self {
        let bar = output::bar(0, what);
        bar.enable_steady_tick(std::time::Duration::from_millis(200));
        Self(bar)
    }

    /// Takes the bar off the screen.
    pub fn finish(self) {
        self.0.finish_and_clear();
    }
}

impl Progress for BarProgress {
    fn stage(&self, name: &str, done: u64, total: u64) {
        self.0.set_length(total);
        self.0.set_position(done);
        self.0.set_message(name.to_owned());
    }
}
