//! What waits for the encoder.

use std::{collections::VecDeque, time::Duration};

use crossbeam_channel::Sender;
use parking_lot::{Condvar, Mutex};
use rustc_hash::FxHashSet;
use zhiyin_core::{ItemIx, VectorKey, limits};
use zhiyin_models::text::Text;

/// What is to be done next.
pub(super) enum Task {
    /// These items may have changed.
    Items(Vec<ItemIx>),
    /// The whole catalogue may have changed; look through it from the start.
    Scan,
    /// A new model is to serve.
    Adopt(Box<Adoption>),
    /// Nothing came for a while.
    Idle,
    /// The end.
    Stop,
}

/// A model that was fitted elsewhere.
pub(super) struct Adoption {
    pub text: Text,
    /// What it was made from, by item.
    pub keys: Vec<VectorKey>,
    /// Told when it serves.
    pub done: Sender<()>,
}

#[derive(Default)]
struct Waiting {
    items: VecDeque<ItemIx>,
    named: FxHashSet<ItemIx>,
    scan: bool,
    adopt: Option<Box<Adoption>>,
    stop: bool,
    /// The worker is at something.
    is_busy: bool,
    /// Items that the worker was given and isn't done with.
    in_hand: usize,
    /// Items that a scan has still before it.
    unscanned: usize,
}

/// The queue. What was posted comes before what a scan finds.
#[derive(Default)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    more: Condvar,
}

impl Queue {
    /// Adds items; too many at once become a scan of everything.
    pub(super) fn push(&self, items: impl Iterator<Item = ItemIx>) {
        let mut waiting = self.waiting.lock();
        for item in items {
            if waiting.items.len() >= limits::QUEUED_TEXTS_MAX {
                waiting.items.clear();
                waiting.named.clear();
                waiting.scan = true;
                break;
            }
            if waiting.named.insert(item) {
                waiting.items.push_back(item);
            }
        }
        self.more.notify_one();
    }

    /// Asks for a scan.
    pub(super) fn rescan(&self) {
        self.waiting.lock().scan = true;
        self.more.notify_one();
    }

    /// Hands a model over and waits until it serves, or the worker is gone.
    pub(super) fn adopt(&self, text: Text, keys: Vec<VectorKey>) {
        let (done, wait) = crossbeam_channel::bounded(1);
        {
            let mut waiting = self.waiting.lock();
            if waiting.stop {
                return;
            }
            waiting.adopt = Some(Box::new(Adoption { text, keys, done }));
            self.more.notify_one();
        }
        let _ = wait.recv();
    }

    /// Ends everything.
    pub(super) fn stop(&self) {
        let mut waiting = self.waiting.lock();
        waiting.stop = true;
        waiting.adopt = None;
        self.more.notify_one();
    }

    /// The next task, of up to `count` items. `unscanned` is what a scan still has before it: the worker goes on with that on
    /// [`Task::Idle`], which then comes at once.
    pub(super) fn next(&self, count: usize, unscanned: usize, patience: Duration) -> Task {
        let mut waiting = self.waiting.lock();
        (waiting.unscanned, waiting.in_hand) = (unscanned, 0);
        loop {
            waiting.is_busy = true;
            if waiting.stop {
                return Task::Stop;
            }
            if let Some(model) = waiting.adopt.take() {
                return Task::Adopt(model);
            }
            if !waiting.items.is_empty() {
                let end = count.min(waiting.items.len());
                let items: Vec<ItemIx> = waiting.items.drain(..end).collect();
                items.iter().for_each(|item| {
                    waiting.named.remove(item);
                });
                waiting.in_hand = items.len();
                return Task::Items(items);
            }
            if std::mem::take(&mut waiting.scan) {
                return Task::Scan;
            }
            if unscanned > 0 {
                return Task::Idle;
            }
            waiting.is_busy = false;
            if self.more.wait_for(&mut waiting, patience).timed_out() {
                waiting.is_busy = true;
                return Task::Idle;
            }
        }
    }

    /// Whether nothing is done or waits.
    pub(super) fn is_idle(&self) -> bool {
        let waiting = self.waiting.lock();
        waiting.stop || !(waiting.is_busy || waiting.scan || waiting.adopt.is_some() || !waiting.items.is_empty())
    }

    /// How many items wait or are in hand.
    pub(super) fn waiting(&self) -> usize {
        let waiting = self.waiting.lock();
        waiting.items.len() + waiting.in_hand + waiting.unscanned
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(queue: &Queue) -> Task {
        queue.next(2, 0, Duration::ZERO)
    }

    #[test]
    fn items_come_once_in_order_before_a_scan() {
        let queue = Queue::default();
        queue.rescan();
        queue.push([3, 5, 3, 9].into_iter());
        assert_eq!(queue.waiting(), 3);
        assert!(matches!(next(&queue), Task::Items(items) if items == [3, 5]));
        queue.push([3].into_iter());
        assert_eq!(queue.waiting(), 4, "two in hand, two to come");
        assert!(matches!(next(&queue), Task::Items(items) if items == [9, 3]));
        assert!(matches!(next(&queue), Task::Scan) && !queue.is_idle());
        assert!(matches!(next(&queue), Task::Idle));
        queue.stop();
        assert!(matches!(next(&queue), Task::Stop));
    }

    #[test]
    fn more_than_may_wait_becomes_a_scan() {
        let queue = Queue::default();
        queue.push(0..limits::QUEUED_TEXTS_MAX as ItemIx + 1);
        assert_eq!(queue.waiting(), 0);
        assert!(matches!(next(&queue), Task::Scan));
    }

    #[test]
    fn nobody_waits_for_a_worker_that_is_gone() {
        let queue = Queue::default();
        queue.stop();
        queue.adopt(Text::empty(&Default::default()), Vec::new());
        assert!(queue.is_idle());
    }
}
