use super::*;
use crate::fake::Fake;
use proptest::prelude::*;
use std::time::Duration;
use zhiyin_core::language::{Limits, Message, Part, Role};

fn request(text: &str) -> GenerateRequest {
    GenerateRequest::new(vec![Message::new(Role::User, text)], 8)
}

fn cached() -> (Arc<Fake>, Cached) {
    let fake = Arc::new(Fake::new("fake"));
    let cached = Cached::new(Arc::clone(&fake) as Arc<dyn Runtime>, Arc::new(MemoryCache::new(10_000)));
    (fake, cached)
}

#[test]
fn the_second_request_needs_no_model_and_costs_nothing() {
    let (fake, cached) = cached();
    let first = cached.generate(&request("hello there"), &mut |_| {}).expect("answers");
    let hurried = GenerateRequest { limits: Limits::within(Duration::from_secs(9)), ..request("hello there") };
    let mut pieces = String::new();
    let second = cached.generate(&hurried, &mut |piece| pieces.push_str(piece)).expect("answers");
    assert_eq!((first.text.as_str(), pieces.as_str()), ("hello there", "hello there"));
    assert_eq!(second, Generated { usage: TokenUsage::default(), ..first });
    assert_eq!(fake.requests().len(), 1);
    assert_eq!(cached.status().counts.from_cache, 1);
}

#[test]
fn whatever_changes_the_answer_changes_the_key() {
    let (fake, cached) = cached();
    let base = request("hello");
    let mut variants = vec![base.clone(), request("hello!")];
    variants.push(GenerateRequest { seed: 1, ..base.clone() });
    variants.push(GenerateRequest { temperature: 0.5, ..base.clone() });
    variants.push(GenerateRequest { tokens_max: 9, ..base.clone() });
    variants.push(GenerateRequest { messages: vec![Message::new(Role::System, "hello")], ..base });
    for variant in &variants {
        cached.generate(variant, &mut |_| {}).expect("answers");
    }
    assert_eq!(fake.requests().len(), variants.len());
}

#[test]
fn failures_are_not_kept_and_scores_are() {
    let (fake, cached) = cached();
    fake.reply(Err(LanguageError::unavailable("for a moment")));
    cached.generate(&request("x"), &mut |_| {}).expect_err("fails");
    cached.generate(&request("x"), &mut |_| {}).expect("asked again");
    let part = Part { field: None, text: "yes".to_owned() };
    let score = ScoreRequest { messages: request("x").messages, continuations: vec![part], limits: Limits::default() };
    let first = cached.log_probabilities(&score).expect("scores");
    let second = cached.log_probabilities(&score).expect("scores");
    assert_eq!(first.continuations, second.continuations);
    assert_eq!(fake.requests().len(), 3);
}

#[test]
fn the_least_recently_used_goes_first() {
    let cache = MemoryCache::new(3 * (32 + 1 + 10));
    let key = |n: u8| [n; 32];
    for n in 0..3 {
        cache.put(&key(n), "m", &[n; 10]).expect("kept");
    }
    cache.get(&key(0)).expect("readable");
    cache.put(&key(3), "m", &[3; 10]).expect("kept");
    let left: Vec<bool> = (0..4).map(|n| cache.get(&key(n)).expect("readable").is_some()).collect();
    assert_eq!(left, [true, false, true, true]);
    assert_eq!(cache.forget_model("m").expect("writable"), 3);
    assert_eq!(cache.status().expect("readable").bytes, 0);
}

proptest! {
    #[test]
    fn the_bound_in_bytes_always_holds(writes in prop::collection::vec((0u8..20, 0usize..300), 1..100)) {
        let cache = MemoryCache::new(1_000);
        for (key, length) in writes {
            cache.put(&[key; 32], "model", &vec![key; length]).expect("kept");
            let status = cache.status().expect("readable");
            prop_assert!(status.bytes <= 1_000);
            let newest = cache.get(&[key; 32]).expect("readable");
            prop_assert_eq!(newest, Some(vec![key; length]));
        }
    }
}
