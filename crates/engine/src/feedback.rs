//! What people say of an item, and what a person says: the counts with smoothed shares, and where in the log it stands.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use zhiyin_core::{
    AspectIx, Said, Sentiment,
    opinion::{Basis, Language, Remark},
    storage::{ActorKind, Position},
};
use zhiyin_models::feedback::{Balance, Tally};

use crate::{engine::Engine, error::EngineError, state::OnlineState};

/// Reviews that are named for each remark, and as the newest.
const NAMED_MAX: usize = 3;
/// Reviews that are looked through for them.
const LOOKED_THROUGH_MAX: usize = 1_000;
/// Characters of a quote.
const QUOTE_CHARS_MAX: usize = 240;

/// What reviews say: of an item, or a user's own.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FeedbackReport {
    /// The item or the user.
    pub id: String,
    /// Reviews that were read.
    pub reviews: u32,
    /// Reviews that speak for the item.
    pub positive: u32,
    /// Reviews that speak both for and against it, or unclearly.
    pub mixed: u32,
    /// Reviews that speak against it.
    pub negative: u32,
    /// Positive share, 0 to 1, smoothed towards the usual one (mean of a Beta posterior).
    pub share: f32,
    /// Positive share of all reviews of the deployment.
    pub usual_share: f32,
    /// Reviews by language: `en`, `zh`, `other`.
    pub languages: BTreeMap<String, u32>,
    /// Reviews by what their sentiment rests on: `stars` that came with them, a model `learned` from the deployment's own rated
    /// reviews, or a general `lexicon`.
    pub basis: BTreeMap<String, u32>,
    /// What is said of aspects, the most mentioned first.
    pub aspects: Vec<AspectReport>,
    /// What is asked for, the most frequent first.
    pub needs: Vec<RemarkReport>,
    /// What is complained about, the most frequent first.
    pub complaints: Vec<RemarkReport>,
    /// The newest reviews.
    pub newest: Vec<ReviewReference>,
    /// Version of the reader, `none` before the first training with reviews.
    pub reader: String,
}

/// What is said of an aspect.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AspectReport {
    /// Its name, as the deployment's reviews put it.
    pub aspect: String,
    /// Reviews that speak well of it.
    pub positive: u32,
    /// Reviews that mention it without taking a side.
    pub mixed: u32,
    /// Reviews that speak badly of it.
    pub negative: u32,
    /// Positive share, 0 to 1, smoothed towards the usual one of this aspect.
    pub share: f32,
    /// Positive share of the aspect over all items.
    pub usual_share: f32,
}

/// A need or a complaint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RemarkReport {
    /// Its name, such as `wish` or `broke`.
    pub name: String,
    /// Reviews that make it.
    pub count: u32,
    /// Some of them, newest first.
    pub reviews: Vec<ReviewReference>,
}

/// A review in the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ReviewReference {
    /// Id of its event.
    pub event: String,
    /// How it speaks of the item.
    pub sentiment: Sentiment,
    /// Its beginning; only where the configuration (`feedback.quotes`) says that reviews are public.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quote: Option<String>,
}

/// Where a review stands in the log, and what it says.
type Place = (Position, Sentiment);

/// A report whose reviews are places of the log so far.
struct Draft {
    report: FeedbackReport,
    newest: Vec<Place>,
    /// By kind: how many, and some of them.
    remarks: Vec<(Remark, u32, Vec<Place>)>,
}

impl Engine {
    /// What reviews say of an item; none if there is no such item.
    ///
    /// # Errors
    /// Storage cannot be read.
    pub fn item_feedback(&self, id: &str) -> Result<Option<FeedbackReport>, EngineError> {
        let draft = {
            let state = self.state();
            let Some(ix) = state.items.find(id).filter(|ix| state.items.get(*ix).is_some()) else { return Ok(None) };
            let feedback = &state.models.feedback;
            let nothing = Tally::default();
            let said: Vec<&Said> = feedback.said_of(ix).take(LOOKED_THROUGH_MAX).collect();
            draft(&state, id, feedback.of_item(ix).unwrap_or(&nothing), &said)
        };
        self.finish(draft).map(Some)
    }

    /// What a user says in reviews, the tied sessions included; none if there is no such user.
    ///
    /// # Errors
    /// Storage cannot be read.
    pub fn user_feedback(&self, id: &str) -> Result<Option<FeedbackReport>, EngineError> {
        let draft = {
            let state = self.state();
            let Some(ix) = state.actors.find(ActorKind::User, id) else { return Ok(None) };
            let feedback = &state.models.feedback;
            let group = state.actors.group(ix);
            let mut said: Vec<&Said> = group.iter().flat_map(|&ix| feedback.said_by(ix)).collect();
            said.sort_unstable_by_key(|said| std::cmp::Reverse(said.position));
            let mut tally = Tally::default();
            said.iter().for_each(|said| tally.add(&said.opinion));
            said.truncate(LOOKED_THROUGH_MAX);
            draft(&state, id, &tally, &said)
        };
        self.finish(draft).map(Some)
    }

    /// Looks the reviews up in the log.
    fn finish(&self, draft: Draft) -> Result<FeedbackReport, EngineError> {
        let mut report = draft.report;
        report.newest = self.references(&draft.newest)?;
        for (remark, count, places) in draft.remarks {
            let reviews = self.references(&places)?;
            let list = if remark.is_need() { &mut report.needs } else { &mut report.complaints };
            list.push(RemarkReport { name: remark.name().into(), count, reviews });
        }
        for list in [&mut report.needs, &mut report.complaints] {
            list.sort_by_key(|row| std::cmp::Reverse(row.count));
        }
        Ok(report)
    }

    fn references(&self, places: &[(Position, Sentiment)]) -> Result<Vec<ReviewReference>, EngineError> {
        let mut found = Vec::with_capacity(places.len());
        for &(position, sentiment) in places {
            let event = self.core.storage.events_after(position.saturating_sub(1), 1)?.pop();
            // One that was erased a moment ago is left out.
            let Some(event) = event.filter(|event| event.position == position).map(|event| event.staged.event) else {
                continue;
            };
            let text = event.details.text.as_deref().filter(|_| self.config().feedback.quotes);
            let quote = text.map(|text| text.chars().take(QUOTE_CHARS_MAX).collect());
            found.push(ReviewReference { event: event.id.into(), sentiment, quote });
        }
        Ok(found)
    }
}

fn draft(state: &OnlineState, id: &str, tally: &Tally, said: &[&Said]) -> Draft {
    let feedback = &state.models.feedback;
    let reviews = tally.reviews;
    let place = |said: &&&Said| (said.position, said.opinion.sentiment);
    let with = |remark: Remark| said.iter().filter(move |said| said.opinion.remarks.contains(remark)).take(NAMED_MAX);
    let counted = Remark::ALL.into_iter().zip(tally.remarks).filter(|(_, count)| *count > 0);
    Draft {
        newest: said.iter().take(NAMED_MAX).map(|said| place(&said)).collect(),
        remarks: counted
            .map(|(remark, count)| (remark, count, with(remark).map(|said| place(&said)).collect()))
            .collect(),
        report: FeedbackReport {
            id: id.to_owned(),
            reviews: reviews.total(),
            positive: reviews.positive,
            mixed: reviews.mixed,
            negative: reviews.negative,
            share: feedback.smoothed(reviews),
            usual_share: feedback.usual_share(),
            languages: named(Language::ALL.map(Language::code), tally.languages),
            basis: named(Basis::ALL.map(Basis::name), tally.bases),
            aspects: aspects(state, tally),
            reader: state.listener().version().to_owned(),
            ..FeedbackReport::default()
        },
    }
}

fn named<const N: usize>(names: [&str; N], counts: [u32; N]) -> BTreeMap<String, u32> {
    let counted = names.into_iter().zip(counts).filter(|(_, count)| *count > 0);
    counted.map(|(name, count)| (name.to_owned(), count)).collect()
}

fn aspects(state: &OnlineState, tally: &Tally) -> Vec<AspectReport> {
    let names = state.listener().reader().aspects();
    let report = |(&aspect, &balance): (&AspectIx, &Balance)| {
        let feedback = &state.models.feedback;
        Some(AspectReport {
            aspect: names.get(usize::from(aspect))?.clone(),
            positive: balance.positive,
            mixed: balance.mixed,
            negative: balance.negative,
            share: feedback.aspect_share(aspect, balance),
            usual_share: feedback.aspect_prior(aspect),
        })
    };
    let mut reports: Vec<AspectReport> = tally.aspects.iter().filter_map(report).collect();
    reports.sort_by_key(|report| std::cmp::Reverse(report.positive + report.mixed + report.negative));
    reports
}

/// The aspects for which an item is liked: those that more reviews praise than blame, the most praised first.
pub(crate) fn liked_for(state: &OnlineState, item: zhiyin_core::ItemIx, count: usize) -> Vec<&str> {
    let names = state.listener().reader().aspects();
    let Some(tally) = state.models.feedback.of_item(item) else { return Vec::new() };
    let mut praised: Vec<(&AspectIx, &Balance)> =
        tally.aspects.iter().filter(|(_, balance)| balance.positive > balance.negative).collect();
    praised.sort_by_key(|(_, balance)| std::cmp::Reverse(balance.positive - balance.negative));
    praised.iter().take(count).filter_map(|(aspect, _)| names.get(usize::from(**aspect)).map(String::as_str)).collect()
}
