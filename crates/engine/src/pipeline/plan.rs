//! What a request asks for, resolved and checked.

use rustc_hash::FxHashSet;
use zhiyin_core::{ItemIx, Problem, clock::Millis, limits};
use zhiyin_intake::filter::Filter;

use super::page;
use crate::{
    config::{EngineConfig, ExcludeSeen},
    error::EngineError,
    request::{Explain, RecommendRequest},
    state::OnlineState,
};

/// A checked request.
pub(super) struct Plan {
    pub now_ms: Millis,
    pub limit: usize,
    pub filter: Option<Filter>,
    pub exclude: FxHashSet<ItemIx>,
    /// Items of earlier pages, in the order in which they were shown.
    pub shown: Vec<ItemIx>,
    pub shown_set: FxHashSet<ItemIx>,
    pub diversity: f32,
    pub explore: bool,
    pub explain: Explain,
    pub exclude_seen: ExcludeSeen,
}

impl Plan {
    /// Checks a request against the limits.
    ///
    /// # Errors
    /// Names the field, the rule and the remedy. Unknown items in `exclude` are passed over: they can't be recommended anyway.
    pub(super) fn new(
        request: &RecommendRequest,
        config: &EngineConfig,
        state: &OnlineState,
        now_ms: Millis,
    ) -> Result<Self, EngineError> {
        check_names(request)?;
        let shown = request.page.as_deref().map(page::decode).transpose()?.unwrap_or_default();
        Ok(Self {
            now_ms,
            limit: checked_limit(request.limit)?,
            filter: request.filter.as_deref().map(Filter::parse).transpose()?,
            exclude: excluded(request, state)?,
            shown_set: shown.iter().copied().collect(),
            shown,
            diversity: checked_diversity(request.diversity.unwrap_or(config.recommend.diversity))?,
            explore: request.explore.unwrap_or(config.recommend.explore),
            explain: request.explain,
            exclude_seen: match request.include_seen {
                Some(true) => ExcludeSeen::None,
                Some(false) => ExcludeSeen::All,
                None => config.recommend.exclude_seen,
            },
        })
    }
}

/// A name that is too long can't be anybody's: it isn't merely unknown.
fn check_names(request: &RecommendRequest) -> Result<(), Problem> {
    let names = [("user", &request.user), ("session", &request.session), ("item", &request.item)];
    let too_long = names.into_iter().find_map(|(field, name)| {
        let bytes = name.as_ref().map_or(0, String::len);
        (bytes > limits::ID_BYTES_MAX).then_some((field, bytes))
    });
    let Some((field, bytes)) = too_long else { return Ok(()) };
    let rule = format!("has {bytes} bytes, at most {} are allowed", limits::ID_BYTES_MAX);
    Err(Problem::field(field, rule, "check the identifier"))
}

/// # Errors
/// The limit is out of range.
pub(crate) fn checked_limit(limit: Option<usize>) -> Result<usize, Problem> {
    let limit = limit.unwrap_or(limits::LIMIT_DEFAULT);
    if (1..=limits::LIMIT_MAX).contains(&limit) {
        return Ok(limit);
    }
    let rule = format!("is {limit}, it must be from 1 to {}", limits::LIMIT_MAX);
    Err(Problem::field("limit", rule, "choose a limit in that range"))
}

fn checked_diversity(diversity: f32) -> Result<f32, Problem> {
    if (0.0..=1.0).contains(&diversity) {
        return Ok(diversity);
    }
    Err(Problem::field("diversity", format!("is {diversity}, it must be from 0 to 1"), "use 0 for scores alone"))
}

fn excluded(request: &RecommendRequest, state: &OnlineState) -> Result<FxHashSet<ItemIx>, Problem> {
    if request.exclude.len() > limits::EXCLUDE_MAX {
        let rule = format!("has {} items, at most {} are allowed", request.exclude.len(), limits::EXCLUDE_MAX);
        return Err(Problem::field("exclude", rule, "use a filter instead"));
    }
    Ok(request.exclude.iter().chain(&request.item).filter_map(|id| state.items.find(id)).collect())
}
