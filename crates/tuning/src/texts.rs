//! From histories to texts that a model learns from.

use rand::{RngExt, SeedableRng, seq::SliceRandom};
use rand_pcg::Pcg64Mcg;
use zhiyin_assistant::preference::{HISTORY_TITLES_MAX, chosen, next, question};
use zhiyin_decoder::{Decoder, Example};
use zhiyin_llm::local::chat_tokens;

/// Titles of one text.
const TITLES: usize = HISTORY_TITLES_MAX + 1;

/// What is learned from: histories of item numbers, oldest first, and the titles of the items.
#[derive(Clone, Copy)]
pub struct Behaviour<'a> {
    /// By item; an empty one is never shown.
    pub titles: &'a [String],
    /// By user, without repeats.
    pub histories: &'a [Vec<u32>],
}

/// Texts of one epoch in a random order: every history cut into lists of at most 13 titles, from a random place on, of which
/// every title is to be foretold; and, as a share of them, questions whether a title comes next, half of them about one that
/// doesn't.
pub fn epoch(decoder: &Decoder, behaviour: Behaviour<'_>, question_share: f32, seed: u64) -> Vec<Example> {
    let mut random = Pcg64Mcg::seed_from_u64(seed);
    let mut texts = Vec::new();
    for history in behaviour.histories {
        let titles: Vec<&str> = history.iter().map(|&item| behaviour.titles[item as usize].as_str()).collect();
        let titles: Vec<&str> = titles.into_iter().filter(|title| !title.trim().is_empty()).collect();
        if titles.len() < 2 {
            continue;
        }
        let first = if titles.len() > TITLES { random.random_range(0..TITLES) } else { 0 };
        let (head, rest) = titles.split_at(first);
        for window in std::iter::once(head).chain(rest.chunks(TITLES)).filter(|window| window.len() >= 2) {
            texts.push(list(decoder, window));
            if random.random::<f32>() < question_share {
                let (last, before) = window.split_last().unwrap_or((&"", &[]));
                let is_next = random.random::<bool>();
                let asked = if is_next { Some(*last) } else { other(behaviour, &titles, &mut random) };
                texts.extend(asked.map(|title| verdict(decoder, before, title, is_next)));
            }
        }
    }
    texts.shuffle(&mut random);
    texts
}

/// A title that isn't among those of the history, as frequent titles are: one of another history.
fn other<'a>(behaviour: Behaviour<'a>, titles: &[&str], random: &mut Pcg64Mcg) -> Option<&'a str> {
    (0..20).find_map(|_| {
        let history = &behaviour.histories[random.random_range(0..behaviour.histories.len())];
        let item = *history.get(random.random_range(0..history.len().max(1)))?;
        let title = behaviour.titles[item as usize].as_str();
        (!title.trim().is_empty() && !titles.contains(&title)).then_some(title)
    })
}

/// A list of what somebody chose, all of which is to be foretold.
pub fn list(decoder: &Decoder, titles: &[&str]) -> Example {
    let mut tokens = chat_tokens(decoder, &chosen::<&str>(&[]));
    let mut weights = vec![0.0; tokens.len()];
    for title in titles {
        tokens.extend(decoder.tokens().of(&next(title).text));
        weights.resize(tokens.len(), 1.0);
    }
    Example { tokens, weights }
}

/// A question, of whose answer the first token is to be foretold.
fn verdict(decoder: &Decoder, history: &[&str], title: &str, is_next: bool) -> Example {
    let (chat, [yes, no]) = question(history, title);
    let mut tokens = chat_tokens(decoder, &chat);
    let mut weights = vec![0.0; tokens.len()];
    let answer = decoder.tokens().of(if is_next { yes } else { no });
    tokens.extend(answer.first());
    weights.resize(tokens.len(), 1.0);
    Example { tokens, weights }
}
