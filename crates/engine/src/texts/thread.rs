//! Starting and ending the thread that encodes.

use std::{sync::Arc, thread::Builder, time::Duration};

use crossbeam_channel::Receiver;

use super::worker::Worker;
use crate::{engine::Core, error::EngineError, trained::TextsRead};

/// How long a shutdown waits for the thread. What it has in hand is derived and can be lost.
const PATIENCE: Duration = Duration::from_secs(2);

/// The thread that encodes, if there is an encoder.
pub(crate) struct EncodingThread {
    core: Arc<Core>,
    /// Closed when the thread ends; nothing is ever sent.
    ended: Receiver<()>,
}

impl EncodingThread {
    /// Starts it. `read` is what the model that serves was made from.
    ///
    /// # Errors
    /// Threads cannot be started.
    pub(crate) fn start(core: &Arc<Core>, read: TextsRead) -> Result<Self, EngineError> {
        let (ends, ended) = crossbeam_channel::bounded(0);
        if let Some(worker) = Worker::new(Arc::clone(core), read)? {
            let work = move || {
                worker.run();
                drop(ends);
            };
            let started = Builder::new().name("zhiyin-texts".into()).spawn(work);
            started.map_err(|error| EngineError::Internal(format!("no thread for the encoder: {error}")))?;
        }
        Ok(Self { core: Arc::clone(core), ended })
    }

    /// Ends it after the batch that it is at.
    pub(crate) fn stop(&self) {
        self.core.texts.stop();
        let _ = self.ended.recv_timeout(PATIENCE);
    }
}
