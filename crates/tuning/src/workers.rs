//! Threads that each work on texts of their own.
//!
//! Products of matrices that share their work among threads wait for each other hundreds of times per pass; where another process holds a core, both
//! threads then stand still most of the time. Texts are independent, so each thread takes whole ones and computes alone.

use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};

/// The threads, each a pool of one, in which nothing is shared out further.
pub struct Workers(Vec<ThreadPool>);

impl Workers {
    /// As many as this process may use.
    ///
    /// # Errors
    /// The system refuses a thread.
    pub fn new() -> Result<Self, ThreadPoolBuildError> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let pool = |number| {
            let builder = ThreadPoolBuilder::new().num_threads(1);
            builder.thread_name(move |_| format!("tuning-{number}")).build()
        };
        (0..threads).map(pool).collect::<Result<_, _>>().map(Self)
    }

    /// `work` on each part; results in the order of the parts, whoever did them.
    pub fn map<T: Sync, R: Send>(&self, parts: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
        let next = AtomicUsize::new(0);
        let take = || {
            let mut done = Vec::new();
            while let Some((at, part)) =
                Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|at| Some((at, parts.get(at)?)))
            {
                done.push((at, work(part)));
            }
            done
        };
        let mut done: Vec<(usize, R)> = std::thread::scope(|scope| {
            let started: Vec<_> = self.0.iter().map(|pool| scope.spawn(|| pool.install(take))).collect();
            started
                .into_iter()
                .flat_map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .collect()
        });
        done.sort_by_key(|(at, _)| *at);
        done.into_iter().map(|(_, result)| result).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_is_done_once_and_alone() {
        let parts: Vec<usize> = (0..50).collect();
        let found = Workers::new().unwrap().map(&parts, |part| (part * part, rayon::current_num_threads()));
        assert!(found.iter().enumerate().all(|(at, result)| *result == (at * at, 1)), "{found:?}");
    }
}
