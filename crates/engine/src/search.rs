//! Search in natural language: items by the meaning of their texts and by their words.
//!
//! score(j) = ½ · max(cos of the whitened vectors, 0) + ½ · cos of the word vectors; the words alone without a vector of the query. Equal
//! shares are an assumption: there is no data of searches yet to choose them by.

use rand::random;
use serde::{Deserialize, Serialize};
use zhiyin_core::{Decision, ItemIx, Problem, ShownItem, decision_id, limits};
use zhiyin_intake::filter::Filter;

use crate::{
    engine::Engine,
    error::EngineError,
    rank::best_items,
    request::{Recommendations, RecommendedItem},
};

/// Share of the meaning in the score.
const MEANING: f32 = 0.5;

/// A search.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SearchRequest {
    /// What is looked for, in the user's words.
    pub query: String,
    /// Number of items, 1 to 200; 10 when absent.
    pub limit: Option<usize>,
    /// Expression over item fields.
    pub filter: Option<String>,
    /// Where in the product the list is shown.
    pub surface: Option<String>,
}

impl SearchRequest {
    /// # Errors
    /// There is nothing to look for, or too much.
    pub fn check(&self) -> Result<(), Problem> {
        if self.query.trim().is_empty() {
            return Err(Problem::field("q", "is empty", "say what is looked for"));
        }
        if self.query.len() > limits::SEARCH_BYTES_MAX {
            let rule = format!("has {} bytes, at most {} are allowed", self.query.len(), limits::SEARCH_BYTES_MAX);
            return Err(Problem::field("q", rule, "shorten it"));
        }
        Ok(())
    }
}

impl Engine {
    /// Items that match a text. `vector` is what [`Engine::encode`] makes of it, or why there is none, which the answer's `fallback` says.
    /// The answer is a recorded decision.
    ///
    /// # Errors
    /// The request breaks a rule.
    pub fn search(
        &self,
        request: &SearchRequest,
        vector: Result<&[f32], &'static str>,
    ) -> Result<Recommendations, EngineError> {
        request.check()?;
        let limit = crate::pipeline::checked_limit(request.limit)?;
        let filter = request.filter.as_deref().map(Filter::parse).transpose()?;
        let now_ms = self.clock().now_ms();
        let state = self.state();
        let mut words = vec![0.0; state.items.len()];
        for (item, cosine) in state.models.content.search(&request.query, state.items.len()) {
            words[item as usize] = cosine;
        }
        let (meaning, fallback) = self.meaning(&request.query, vector, state.items.len());
        let share = if fallback.is_some() { 0.0 } else { MEANING };
        let parts = |item: ItemIx| (share * meaning[item as usize], (1.0 - share) * words[item as usize]);
        let score = |item: ItemIx| parts(item).0 + parts(item).1;
        let is_eligible = |item: ItemIx| {
            let row = state.items.get(item).filter(|row| row.is_live(now_ms));
            row.is_some_and(|row| filter.as_ref().is_none_or(|filter| filter.matches(row)))
        };
        let scored = (0..state.items.len() as ItemIx).map(|item| (item, score(item)));
        let found = best_items(scored.filter(|(_, score)| *score > 0.0), limit, is_eligible);
        let item = |&item: &ItemIx| RecommendedItem {
            item: state.items.get(item).map_or_else(String::new, |row| row.id.to_string()),
            title: state.items.get(item).map_or_else(String::new, |row| row.title.clone()),
            score: score(item),
            source: if parts(item).0 > parts(item).1 { "meaning" } else { "words" }.into(),
            reasons: Vec::new(),
            explanation: None,
        };
        let items: Vec<RecommendedItem> = found.iter().map(item).collect();
        let (id, model) = (decision_id(now_ms, random()), self.trained().version.clone());
        let shown = found.iter().zip(&items).map(|(&item, row)| ShownItem {
            item,
            score: row.score,
            source: row.source.clone(),
            propensity: 1.0,
        });
        self.record(Decision {
            id,
            actor: None,
            surface: request.surface.clone(),
            model: model.clone(),
            arm: None,
            fallback: fallback.is_some(),
            items: shown.collect(),
        });
        let fallback = fallback.map(str::to_owned);
        Ok(Recommendations { decision_id: id, items, model, fallback, next_page: None, rerank: None, trace: None })
    }

    /// The likeness in meaning of every item, or why nothing is known of it.
    fn meaning(
        &self,
        query: &str,
        vector: Result<&[f32], &'static str>,
        n_items: usize,
    ) -> (Vec<f32>, Option<&'static str>) {
        let mut meaning = vec![0.0; n_items];
        let text = self.core.texts.served();
        match vector {
            Ok(vector) if vector.len() == text.dims_in() => {
                for (item, cosine) in text.nearest(query, vector, n_items) {
                    if let Some(place) = meaning.get_mut(item as usize) {
                        *place = cosine;
                    }
                }
                (meaning, None)
            }
            Ok(_) => (meaning, Some("no-vectors")),
            Err(reason) => (meaning, Some(reason)),
        }
    }
}
