//! Exact attributions: the parts of a score, summed by cause over all sources, and sentences for people.

use zhiyin_core::{ItemIx, Kind, KindWeights};
use zhiyin_models::{
    Cause, Contribution, Model, Query, feedback,
    fusion::{Fusion, IsCold},
    linear,
};

use crate::{feedback::liked_for, rank::Scratch, request::Reason, state::OnlineState};

/// Reasons that an item is shown with.
const REASONS_MAX: usize = 3;
/// A reason must bring at least this share of the strongest one.
const SHARE_MIN: f32 = 0.1;
/// Aspects that a reason names.
const ASPECTS_NAMED_MAX: usize = 3;

/// What explaining needs to know.
pub(super) struct Explainer<'a> {
    pub state: &'a OnlineState,
    pub query: Query<'a>,
    pub lineup: &'a [Option<&'a dyn Model>],
    pub fusion: &'a Fusion,
    pub is_cold: IsCold<'a>,
    pub kinds: &'a KindWeights,
}

impl Explainer<'_> {
    /// The source that contributes most to an item's score, by place.
    pub(super) fn main_source(&self, item: ItemIx, scratch: &Scratch) -> Option<usize> {
        let contribution = |source: &usize| self.contribution(*source, item, scratch);
        let used = (0..self.lineup.len()).filter(|&source| self.fusion.is_used(source));
        used.max_by(|a, b| contribution(a).total_cmp(&contribution(b)))
    }

    /// What one source adds to an item's score.
    pub(super) fn contribution(&self, source: usize, item: ItemIx, scratch: &Scratch) -> f32 {
        self.fusion.contribution(&scratch.sources, &scratch.standard, source, item, (self.is_cold)(item))
    }

    /// The strongest reasons of each item, as sentences.
    pub(super) fn reasons(&self, items: &[ItemIx], scratch: &Scratch) -> Vec<Vec<Reason>> {
        let strongest = self.strongest_each(items, scratch);
        let sentences = |(&item, parts): (&ItemIx, Vec<Contribution>)| {
            parts.into_iter().map(|part| self.sentence(item, part)).collect()
        };
        items.iter().zip(strongest).map(sentences).collect()
    }

    /// The strongest parts of each item's score, strongest first.
    pub(super) fn strongest_each(&self, items: &[ItemIx], scratch: &Scratch) -> Vec<Vec<Contribution>> {
        // Looking for causes costs a model as much as scoring does.
        if items.is_empty() {
            return Vec::new();
        }
        self.causes(items, scratch).into_iter().map(strongest).collect()
    }

    /// The parts of each item's score by cause.
    pub(super) fn causes(&self, items: &[ItemIx], scratch: &Scratch) -> Vec<Vec<Contribution>> {
        let mut causes = vec![Vec::new(); items.len()];
        for (source, model) in self.lineup.iter().enumerate() {
            let scale = scratch.standard[source].scale;
            let Some(model) = model.filter(|_| self.fusion.is_used(source) && scale != 0.0) else { continue };
            for ((causes, &item), parts) in causes.iter_mut().zip(items).zip(model.explain_each(&self.query, items)) {
                let factor = self.fusion.weight(source, (self.is_cold)(item)) * scale;
                if factor == 0.0 {
                    continue;
                }
                parts.into_iter().for_each(|part| add(causes, Contribution { amount: factor * part.amount, ..part }));
            }
        }
        causes
    }

    fn sentence(&self, item: ItemIx, part: Contribution) -> Reason {
        let (kind, subject, text) = match part.cause {
            Cause::History(own) if own == item => {
                ("history", Some(self.id(own)), "because you chose it before".to_owned())
            }
            Cause::History(seen) => ("history", Some(self.id(seen)), self.because(seen)),
            Cause::Feature(feedback::REVIEWS) => {
                ("feature", Some(feedback::REVIEWS.to_owned()), self.reviews_sentence(item))
            }
            Cause::Aspect(aspect) => {
                let name = self.state.listener().reader().aspects().get(usize::from(aspect)).cloned();
                let text = format!("because others like its {}", name.as_deref().unwrap_or("details"));
                ("aspect", name, text)
            }
            Cause::Feature(name) => ("feature", Some(name.to_owned()), feature_sentence(name)),
            Cause::Neighbours => ("neighbours", None, "because people with a similar history chose it".to_owned()),
            Cause::Friends => ("friends", None, "because your friends chose it".to_owned()),
        };
        let (event, title) = match part.cause {
            Cause::History(seen) => (self.event(seen), Some(self.title(seen))),
            _ => (None, None),
        };
        Reason { kind: kind.to_owned(), subject, text, amount: part.amount, event, title }
    }

    fn reviews_sentence(&self, item: ItemIx) -> String {
        match liked_for(self.state, item, ASPECTS_NAMED_MAX) {
            aspects if aspects.is_empty() => "because its reviews are good".to_owned(),
            aspects => format!("because its reviews are good (liked for its: {})", aspects.join(", ")),
        }
    }

    fn because(&self, seen: ItemIx) -> String {
        format!("because you {} {}", verb(self.event(seen)), self.title(seen))
    }

    /// What the asker did last with an item.
    fn event(&self, seen: ItemIx) -> Option<Kind> {
        let event = self.query.history.iter().rev().find(|event| event.item == seen);
        event.and_then(|event| self.kinds.kind(event.kind)).cloned()
    }

    fn id(&self, item: ItemIx) -> String {
        self.state.items.get(item).map_or_else(String::new, |row| row.id.to_string())
    }

    fn title(&self, item: ItemIx) -> String {
        let row = self.state.items.get(item);
        row.map_or_else(String::new, |row| if row.title.is_empty() { row.id.to_string() } else { row.title.clone() })
    }
}

fn strongest(mut causes: Vec<Contribution>) -> Vec<Contribution> {
    // What a model gives to every item alike is no reason for one.
    causes.retain(|part| part.cause != Cause::Feature(linear::INTERCEPT));
    causes.sort_unstable_by(|a, b| b.amount.total_cmp(&a.amount));
    let least = causes.first().map_or(0.0, |strongest| strongest.amount * SHARE_MIN);
    causes.retain(|part| part.amount > 0.0 && part.amount >= least);
    causes.truncate(REASONS_MAX);
    causes
}

fn verb(event: Option<Kind>) -> &'static str {
    match event {
        Some(Kind::Purchase) => "bought",
        Some(Kind::View | Kind::Click) => "viewed",
        Some(Kind::Cart) => "put into the cart",
        Some(Kind::Rating) => "rated",
        Some(Kind::Like) => "liked",
        Some(Kind::Play) => "played",
        Some(Kind::Share) => "shared",
        Some(Kind::Review) => "reviewed",
        _ => "looked at",
    }
}

fn add(causes: &mut Vec<Contribution>, part: Contribution) {
    match causes.iter_mut().find(|known| known.cause == part.cause) {
        Some(known) => known.amount += part.amount,
        None => causes.push(part),
    }
}

fn feature_sentence(name: &str) -> String {
    match name {
        "popularity" => "because it is popular now".to_owned(),
        "trend" => "because it is chosen more and more".to_owned(),
        "segment_popularity" | "segment" => "because it is popular where you are".to_owned(),
        "price_fit" | "price_band" => "because its price is about what you usually pay".to_owned(),
        "category_affinity" => "because it is of a kind that you often choose".to_owned(),
        "hour" | "hour_match" => "because it is often chosen at this time of day".to_owned(),
        "weekday" | "weekday_match" => "because it is often chosen on this day of the week".to_owned(),
        other => format!("because of its {}", other.replace('_', " ")),
    }
}
