//! Fine-tunes a generative language model on what users choose, by a low-rank adapter (LoRA).
//!
//! * [`texts`]: from histories to texts, by the templates of `zhiyin_assistant::preference`; identifiers never enter them.
//! * [`run`]: training with validation, early stopping, a budget of processor time, and checkpoints.
//! * [`preference`]: what a model expects of somebody with a history.
//! * [`router`]: for which lengths of histories that is worth asking, by validation.
//! * [`measure`]: what fine-tuning and that choice gain.
//! * [`artefact`]: what was learned, kept immutable under the hash of its content.
//!
//! It knows neither data sets nor the engine: histories come in as lists of item numbers, items as titles.

pub mod artefact;
mod checkpoint;
pub mod measure;
mod optimizer;
pub mod preference;
pub mod router;
pub mod run;
pub mod texts;
mod workers;

pub use artefact::{Artefact, ArtefactError, Manifest};
pub use run::{Report, Training, TuneConfig, TuneError, Watched};
pub use workers::Workers;
