//! Draws what the engine tells of its progress.

use indicatif::{ProgressBar, ProgressStyle};
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

/// A bar over the bytes of a pull.
pub struct BytesProgress(ProgressBar);

impl BytesProgress {
    /// A bar that begins with the name of what is pulled.
    pub fn new(what: &str) -> Self {
        let template = "{msg:<40!} {wide_bar} {bytes:>10} of {total_bytes:>10} {bytes_per_sec:>12}";
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        Self(ProgressBar::new(0).with_message(what.to_owned()).with_style(style))
    }

    /// Takes the bar off the screen.
    pub fn finish(self) {
        self.0.finish_and_clear();
    }
}

impl zhiyin_weights::Progress for BytesProgress {
    fn begin(&self, what: &str, bytes: u64) {
        self.0.reset();
        self.0.set_length(bytes);
        self.0.set_message(what.to_owned());
    }

    fn at(&self, bytes: u64) {
        self.0.set_position(bytes);
    }
}
