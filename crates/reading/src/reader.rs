//! The reader: what a deployment has learned about its reviews, and what it makes of a text.

use serde::{Deserialize, Serialize};
use zhiyin_core::{
    ActorIx, AspectIx, ItemIx, Opinion, Sentiment,
    opinion::{Basis, Language, Remarks},
};

use crate::{
    aspects::{Aspects, Mined},
    lexicon,
    polarity::{Polarity, TEXTS_MIN},
    remarks,
    text::Words,
    tongue,
};

/// Reviews that are learned from at most: the newest.
pub const REVIEWS_MAX: usize = 50_000;
/// Probability above which, or below one minus which, a text is positive or negative.
const CLEAR_MIN: f64 = 0.6;
/// Log-odds beyond which a clause is.
const CLAUSE_CLEAR_MIN: f32 = 1.0;
/// Log-odds that a word of the general list adds to a clause.
const LEXICON_SHARE: f32 = 1.0;

/// A review to learn from.
#[derive(Clone, Copy, Debug)]
pub struct Review<'a> {
    /// What was written.
    pub text: &'a str,
    /// Whether its stars speak for the item, if they speak clearly.
    pub outcome: Option<bool>,
    /// What it is about.
    pub item: ItemIx,
    /// Whose it is.
    pub actor: ActorIx,
}

/// See the module. Immutable: learning makes a new one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Reader {
    polarity: Option<Polarity>,
    /// Languages that the polarity was learned in, in the order of [`Language::ALL`].
    learned: [bool; 3],
    aspects: Aspects,
    /// Reviews that it learned from.
    reviews: usize,
}

impl Reader {
    /// Learns from reviews in order of time. With too few rated ones it goes by the general word list; with too few at all it has no
    /// aspects.
    pub fn learn(reviews: &[Review<'_>]) -> Self {
        let newest = &reviews[reviews.len().saturating_sub(REVIEWS_MAX)..];
        let words: Vec<Words> = newest.iter().map(|review| Words::of(review.text)).collect();
        let rated = newest.iter().zip(&words).filter_map(|(review, words)| Some((words, review.outcome?)));
        let (texts, outcomes): (Vec<&Words>, Vec<bool>) = rated.unzip();
        let mut counts = [[0; 2]; 3];
        for (words, outcome) in texts.iter().zip(&outcomes) {
            counts[tongue::of(words) as usize][usize::from(*outcome)] += 1;
        }
        let mined =
            newest.iter().zip(&words).map(|(review, words)| Mined { words, item: review.item, actor: review.actor });
        Self {
            polarity: Polarity::fit(&texts, &outcomes),
            learned: counts.map(|counts| counts.iter().all(|&count| count >= TEXTS_MIN)),
            aspects: Aspects::mine(&mined.collect::<Vec<_>>()),
            reviews: newest.len(),
        }
    }

    /// Names of the aspects, by number.
    pub fn aspects(&self) -> &[String] {
        self.aspects.names()
    }

    /// Reviews that it learned from.
    pub fn reviews(&self) -> usize {
        self.reviews
    }

    /// What the sentiment of an English text without stars rests on.
    pub fn basis(&self, language: Language) -> Basis {
        if self.polarity.is_some() && self.learned[language as usize] { Basis::Learned } else { Basis::Lexicon }
    }

    /// The model of polarity, if there were enough rated reviews.
    pub fn polarity(&self) -> Option<&Polarity> {
        self.polarity.as_ref()
    }

    /// Reads a text. `outcome` is whether its stars speak for the item, if there are any and they speak clearly: then they, not the
    /// words, tell the sentiment of the whole.
    pub fn read(&self, text: &str, outcome: Option<bool>) -> Opinion {
        let words = Words::of(text);
        let language = tongue::of(&words);
        let learned = self.polarity.as_ref().filter(|_| self.learned[language as usize]);
        let (sentiment, basis) = match outcome {
            Some(outcome) => (if outcome { Sentiment::Positive } else { Sentiment::Negative }, Basis::Stars),
            None => whole(&words, learned),
        };
        let mut opinion = Opinion { sentiment, basis, language, aspects: Vec::new(), remarks: Remarks::default() };
        for clause in words.clauses() {
            let sentiment = of_clause(clause, learned);
            remarks::find(clause, sentiment, &mut opinion.remarks);
            self.aspects.named_in(clause).into_iter().for_each(|aspect| add(&mut opinion.aspects, aspect, sentiment));
        }
        opinion.aspects.sort_unstable_by_key(|(aspect, _)| *aspect);
        opinion
    }
}

/// The sentiment of a whole text.
fn whole(words: &Words, learned: Option<&Polarity>) -> (Sentiment, Basis) {
    if let Some(polarity) = learned
        && let Some(score) = polarity.score(words)
    {
        let probability = polarity.probability(score);
        let sentiment = match probability {
            p if p >= CLEAR_MIN => Sentiment::Positive,
            p if p <= 1.0 - CLEAR_MIN => Sentiment::Negative,
            _ => Sentiment::Mixed,
        };
        return (sentiment, Basis::Learned);
    }
    let score: i32 = words.clauses().map(lexicon::score).sum();
    (by_sign(score.signum() as f32, 1.0), Basis::Lexicon)
}

fn of_clause(clause: &[String], learned: Option<&Polarity>) -> Sentiment {
    let general = lexicon::score(clause).signum() as f32;
    let own = learned.and_then(|polarity| polarity.clause(clause));
    own.map_or_else(|| by_sign(general, 1.0), |own| by_sign(own + LEXICON_SHARE * general, CLAUSE_CLEAR_MIN))
}

fn by_sign(score: f32, clear: f32) -> Sentiment {
    match score {
        s if s >= clear => Sentiment::Positive,
        s if s <= -clear => Sentiment::Negative,
        _ => Sentiment::Mixed,
    }
}

/// An aspect that is named again in another sense is mixed; one that was only mentioned takes the sense.
fn add(aspects: &mut Vec<(AspectIx, Sentiment)>, aspect: AspectIx, sentiment: Sentiment) {
    match aspects.iter_mut().find(|(known, _)| *known == aspect) {
        None => aspects.push((aspect, sentiment)),
        Some((_, known)) if *known == sentiment || sentiment == Sentiment::Mixed => {}
        Some((_, known)) => *known = if *known == Sentiment::Mixed { sentiment } else { Sentiment::Mixed },
    }
}
