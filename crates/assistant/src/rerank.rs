//! Orders the items of a list by what a model expects of somebody with this history.
//!
//! The order by preference (see [`crate::preference`]) and the order that was there are joined by reciprocal ranks (Cormack et al. 2009), so that
//! a small model can move an item, but can't turn a list around.

use crate::{
    assistant::Assistant,
    preference::{chosen, first_times, next},
};
use std::{ops::Range, sync::Arc};
use zhiyin_core::language::{LanguageError, LanguageModel, Limits, Message, ScoreRequest};

/// Items of a list that are ordered anew; those after them stay where they are.
pub const RERANKED_MAX: usize = 20;
/// The constant of reciprocal rank fusion.
const RANK_OFFSET: f64 = 60.0;

impl Assistant {
    /// The order in which a model would show titles to somebody who chose those of `history`, oldest first: places in `titles`; and the
    /// model: the fine-tuned one if there is one. Blocks.
    ///
    /// # Errors
    /// Those of the model; there is nothing to order by without a history; a fine-tuned model isn't asked about histories of a length at which
    /// validation found that others know better.
    pub fn rerank(
        &self,
        history: &[String],
        titles: &[String],
        limits: &Limits,
    ) -> Result<(Vec<usize>, String), LanguageError> {
        let history = first_times(history);
        if history.is_empty() || titles.len() < 2 {
            return Err(LanguageError::invalid_request("there is no history to order by, or nothing to order"));
        }
        let model: &dyn LanguageModel = match &self.taught {
            Some(taught) if !taught.is_asked(history.len()) => {
                let length = history.len();
                return Err(LanguageError::unavailable(format!(
                    "by validation other models know better what follows on {length} choices"
                )));
            }
            Some(taught) => taught.model.as_ref(),
            None => self.model(),
        };
        Ok((order(model, &history, titles, limits)?, model.model()))
    }
}

/// The order in which a model would show titles to somebody who chose those of `history`, each once, oldest first: places in `titles`.
///
/// # Errors
/// Those of the model.
pub fn order<S: AsRef<str>>(
    model: &dyn LanguageModel,
    history: &[S],
    titles: &[String],
    limits: &Limits,
) -> Result<Vec<usize>, LanguageError> {
    let read = &titles[..titles.len().min(RERANKED_MAX)];
    let known = scores(model, chosen(history), read, limits)?;
    let unknown = scores(model, chosen::<&str>(&[]), read, limits)?;
    let preferences: Vec<f64> = known.iter().zip(&unknown).map(|(known, unknown)| known - unknown).collect();
    Ok(joined(&preferences, titles.len()))
}

/// A model that was fine-tuned on what users choose.
pub struct Taught {
    /// The model.
    pub model: Arc<dyn LanguageModel>,
    /// Lengths of histories that it is asked about.
    pub lengths: Vec<Range<usize>>,
}

impl Taught {
    fn is_asked(&self, length: usize) -> bool {
        self.lengths.iter().any(|lengths| lengths.contains(&length))
    }
}

fn scores(
    model: &dyn LanguageModel,
    messages: Vec<Message>,
    titles: &[String],
    limits: &Limits,
) -> Result<Vec<f64>, LanguageError> {
    let continuations = titles.iter().map(|title| next(title)).collect();
    let scored = model.log_probabilities(&ScoreRequest { messages, continuations, limits: limits.clone() })?;
    Ok(scored.continuations.iter().map(|continuation| continuation.log_probability).collect())
}

/// Joins the order by preference with the order that is there; what has no preference stays behind.
fn joined(preferences: &[f64], count: usize) -> Vec<usize> {
    let mut by_preference: Vec<usize> = (0..preferences.len()).collect();
    by_preference.sort_by(|&a, &b| preferences[b].total_cmp(&preferences[a]));
    let mut score: Vec<f64> = (0..preferences.len()).map(|place| 1.0 / (RANK_OFFSET + place as f64)).collect();
    by_preference.iter().enumerate().for_each(|(rank, &place)| score[place] += 1.0 / (RANK_OFFSET + rank as f64));
    let mut order: Vec<usize> = (0..preferences.len()).collect();
    order.sort_by(|&a, &b| score[b].total_cmp(&score[a]));
    order.extend(preferences.len()..count);
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_orders_count_and_the_rest_stays_behind() {
        assert_eq!(joined(&[3.0, 2.0, 1.0], 5), [0, 1, 2, 3, 4]);
        // The last of three is preferred most: it meets the first in the middle of both orders, and ties keep the order that was there.
        assert_eq!(joined(&[2.0, 1.0, 3.0], 3), [0, 2, 1]);
        assert_eq!(joined(&[1.0, 2.0], 2), [0, 1]);
    }
}
