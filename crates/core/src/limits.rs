//! Every limit of the system, with its number, in one place. Units come last in the names.

/// Bytes of an identifier of a user, session, item or event.
pub const ID_BYTES_MAX: usize = 128;
/// Bytes of any text in an event (query, review) or an item (title, description).
pub const TEXT_BYTES_MAX: usize = 16 * 1024;
/// Bytes of the attributes of one event, item or user, as JSON.
pub const ATTRIBUTES_BYTES_MAX: usize = 16 * 1024;
/// Characters of the field and of the rule of a problem; the middle of longer ones is left out.
pub const PROBLEM_CHARS_MAX: usize = 600;
/// Depth of nesting of JSON in any request.
pub const JSON_DEPTH_MAX: usize = 16;
/// Categories or tags of one item.
pub const LABELS_MAX: usize = 64;
/// Dimensions of a client's item vector.
pub const VECTOR_DIMENSIONS_MAX: usize = 4096;
/// Friends of one user.
pub const FRIENDS_MAX: usize = 1_000;
/// Bytes of a request body.
pub const BODY_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Events, items or users in one request.
pub const BATCH_MAX: usize = 10_000;
/// Events that wait for the log at once; beyond that the server answers 429.
pub const QUEUED_EVENTS_MAX: usize = 65_536;
/// Decisions that wait for the log at once; beyond that they are dropped and counted.
pub const QUEUED_DECISIONS_MAX: usize = 65_536;
/// Recommendations in one answer.
pub const LIMIT_MAX: usize = 200;
/// Recommendations in one answer when the request doesn't say.
pub const LIMIT_DEFAULT: usize = 10;
/// Items that one page token remembers as already shown.
pub const PAGED_ITEMS_MAX: usize = 2_000;
/// Items in the exclude list of a request.
pub const EXCLUDE_MAX: usize = 10_000;
/// Rows of one page of a listing.
pub const PAGE_ROWS_MAX: usize = 1_000;
/// Bytes of a filter expression.
pub const FILTER_BYTES_MAX: usize = 4_096;
/// Nesting of a filter expression.
pub const FILTER_DEPTH_MAX: usize = 32;
/// Size of the weight of an event kind.
pub const KIND_WEIGHT_MAX: f32 = 100.0;
/// Kinds of events, built in and custom.
pub const KINDS_MAX: usize = 256;
/// Interactions of one actor that stay in memory; older ones stay in the log.
pub const HISTORY_MAX: usize = 256;
/// Interactions of the past that a fold looks at.
pub const FOLD_WINDOW_MAX: usize = 64;
/// Rejected events that are kept for inspection; the oldest go first.
pub const REJECTED_ROWS_MAX: usize = 100_000;
/// Items that wait to be encoded by name; beyond that the whole catalogue is looked through.
pub const QUEUED_TEXTS_MAX: usize = 65_536;
/// Bytes of a search.
pub const SEARCH_BYTES_MAX: usize = 1_024;
/// Milliseconds that a search may give its encoding.
pub const SEARCH_MILLISECONDS_MAX: u64 = 5_000;
/// Messages of one request to a language model.
pub const MESSAGES_MAX: usize = 64;
/// Bytes of all messages of one request to a language model.
pub const PROMPT_BYTES_MAX: usize = 256 * 1024;
/// Tokens that a language model writes in one request.
pub const GENERATED_TOKENS_MAX: u32 = 4_096;
/// Continuations that a language model scores in one request.
pub const CONTINUATIONS_MAX: usize = 1_024;
/// Bytes of a grammar or JSON schema.
pub const GRAMMAR_BYTES_MAX: usize = 64 * 1024;
