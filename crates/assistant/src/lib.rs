//! What features ask of language models: texts from evidence. Each has a form without a model, which is there at once; what a model
//! writes is checked before anybody sees it, kept by content, and made in the background unless somebody waits with a deadline.
//!
//! It knows prompts and the checker; neither HTTP nor the engine.

mod assistant;
mod intent;
mod order;
pub mod preference;
mod prompt;
pub mod rerank;
mod status;

pub use assistant::Assistant;
pub use intent::{Intent, OwnPart, QUERY_BYTES_MAX, ReadIntent, Seen, word_filter};
pub use order::{Order, Origin, Text};
pub use preference::HISTORY_TITLES_MAX;
pub use rerank::{RERANKED_MAX, Taught};
pub use status::{AssistantStatus, TextCounts};
pub use zhiyin_llm::jobs::{JobError, Progress};
