//! How long work tells what it is doing.

/// Hears of progress; the command line draws it, the server streams it.
pub trait Progress: Sync {
    /// A stage began: `done` of `total` stages of its kind are behind.
    fn stage(&self, name: &str, done: u64, total: u64);
}

/// Hears nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn stage(&self, _: &str, _: u64, _: u64) {}
}
