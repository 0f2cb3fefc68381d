//! How likely given continuations are.

use crate::local;
use zhiyin_core::language::{LanguageError, LanguageModel, Limits, Message, Part, Role, ScoreRequest, Scored};
use zhiyin_llm::local::Local;

const QUESTION: &str = "Which city is the capital of France? Answer with the name of the city alone.";

fn score(local: &Local, continuations: &[String]) -> Scored {
    let continuations = continuations.iter().map(|text| Part { field: None, text: text.clone() }).collect();
    let messages = vec![Message::new(Role::User, QUESTION)];
    local.log_probabilities(&ScoreRequest { messages, continuations, limits: Limits::default() }).expect("scores")
}

#[test]
fn the_right_answer_is_the_likeliest() {
    let Some(local) = local(|config| config) else { return };
    let cities = ["Paris", "Berlin", "Kathmandu", "Ouagadougou"].map(str::to_owned);
    let scored = score(&local, &cities);
    let paris = scored.continuations[0].log_probability;
    assert!(scored.continuations[1..].iter().all(|c| c.log_probability < paris), "{scored:?}");
    let sum: f64 = scored.continuations.iter().map(|c| c.log_probability.exp()).sum();
    assert!(sum <= 1.0 + 1e-6, "they exclude each other, so they can't be likelier than certain: {sum}");
    assert!(scored.continuations[3].tokens > 1);
}

#[test]
fn company_changes_no_score() {
    let Some(local) = local(|config| config) else { return };
    let many: Vec<String> = (0..40).map(|n| format!("{n} is no city, and neither is {}", n * 7)).collect();
    let alone = score(&local, &many[39..]).continuations[0];
    let together = score(&local, &many).continuations[39];
    assert_eq!(alone.tokens, together.tokens);
    let difference = (alone.log_probability - together.log_probability).abs();
    assert!(difference < 1e-3 * f64::from(alone.tokens), "{alone:?} and {together:?}: rounding alone may differ");
}

#[test]
fn the_probability_of_a_text_is_the_product_of_its_parts() {
    let Some(local) = local(|config| config) else { return };
    let whole = score(&local, &["Paris. ".to_owned() + "Paris is large"]).continuations[0];
    let beginning = score(&local, &["Paris".to_owned()]).continuations[0];
    assert!(whole.log_probability < beginning.log_probability, "more words, less likely");
    assert!(whole.tokens > beginning.tokens);
}

#[test]
fn a_prefix_is_computed_once() {
    let Some(local) = local(|config| config) else { return };
    let cities = ["Paris", "Berlin"].map(str::to_owned);
    let (first, second) = (score(&local, &cities), score(&local, &cities));
    assert_eq!(first.usage.cached, 0);
    assert_eq!(second.usage.cached, second.usage.prompt - 1, "all but the last token");
    for (a, b) in first.continuations.iter().zip(&second.continuations) {
        assert!((a.log_probability - b.log_probability).abs() < 1e-3, "{a:?} and {b:?}");
    }
}

#[test]
fn what_is_too_long_is_refused() {
    let Some(local) = local(|config| config) else { return };
    let long = Part { field: None, text: "one ".repeat(500) };
    let messages = vec![Message::new(Role::User, QUESTION)];
    let request = ScoreRequest { messages, continuations: vec![long], limits: Limits::default() };
    assert!(matches!(local.log_probabilities(&request), Err(LanguageError::InvalidRequest { .. })));
}
