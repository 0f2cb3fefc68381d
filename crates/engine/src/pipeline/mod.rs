//! From a request to an answer: hydrate, retrieve and score, filter, select, explain, and the record of the decision.
//!
//! Every source scores the whole catalogue (a sparse source only what it knows), the scores are standardised and summed, and the best
//! eligible items are taken: no candidate is lost to an early cut, and the evaluator ranks by the very same sums. A source that
//! panics or comes too late is left out, counted and named in the trace; the answer is made from the others.

mod deletion;
mod eligible;
mod explain;
mod given;
mod hydrate;
mod page;
mod plan;
mod select;
mod trace;
mod wish;

use std::{borrow::Cow, cell::RefCell};

use parking_lot::RwLockReadGuard;
use uuid::Uuid;
use zhiyin_core::{ActorIx, Decision, Interaction, ItemIx, KindWeights, Problem, ShownItem, decision_id};
use zhiyin_models::{
    Model, Query, Scores,
    fusion::{Fusion, IsCold},
    text::Text,
};

pub(crate) use self::plan::checked_limit;
pub use self::{
    deletion::Deletion,
    wish::{OwnHistory, Wish},
};
use self::{
    eligible::Eligibility,
    explain::Explainer,
    hydrate::{Asker, actors_of, hydrate},
    plan::Plan,
    select::{Selected, Selection, Slot},
    trace::Stopwatch,
    wish::{Basis, WISH},
};
use crate::{
    engine::Engine,
    error::EngineError,
    rank::{Guard, Scratch, score_sources},
    request::{Explain, Reason, RecommendRequest, Recommendations, RecommendedItem, Reorder},
    state::OnlineState,
    trained::Trained,
};

/// Buffers as large as the catalogue.
#[derive(Default)]
struct Buffers {
    scratch: Scratch,
    /// How much each item loses for resembling what the asker disliked.
    dislikes: Scores,
    /// How much each item gains for being like what was wished for.
    likeness: Scores,
    /// By what cold items are ranked.
    cold: Scores,
}

thread_local! {
    /// One set of buffers for each thread that answers.
    static BUFFERS: RefCell<Buffers> = RefCell::default();
}

impl Engine {
    /// Recommends items.
    ///
    /// Never fails for want of knowledge: an unknown user, an empty catalogue, a missing model or a failing source give a lesser
    /// answer whose `fallback` says why.
    ///
    /// # Errors
    /// The request breaks a rule, or names a current item that doesn't exist.
    pub fn recommend(&self, request: &RecommendRequest) -> Result<Recommendations, EngineError> {
        let trained = self.trained();
        let fusion = chosen_fusion(&trained.fusion, request.sources.as_deref())?;
        self.answer(request, &trained, &fusion, Purpose::Personal, None)
    }

    /// As [`Engine::recommend`], with the best items in another order, which the decision records. Takes as long as `reorder` does, without a lock.
    ///
    /// # Errors
    /// As [`Engine::recommend`].
    pub fn recommend_reordered(
        &self,
        request: &RecommendRequest,
        reorder: Reorder<'_>,
    ) -> Result<Recommendations, EngineError> {
        let trained = self.trained();
        let fusion = chosen_fusion(&trained.fusion, request.sources.as_deref())?;
        self.answer(request, &trained, &fusion, Purpose::Personal, Some(reorder))
    }

    /// What would be recommended, and the titles of the history, oldest first: [`Engine::recommend`] without a decision, for what nobody sees.
    ///
    /// # Errors
    /// As [`Engine::recommend`].
    pub fn candidates(&self, request: &RecommendRequest) -> Result<(Recommendations, Vec<String>), EngineError> {
        let trained = self.trained();
        let fusion = chosen_fusion(&trained.fusion, request.sources.as_deref())?;
        let watch = Stopwatch::start(request.explain);
        self.with_run(request, &trained, &fusion, Purpose::Personal, |run, buffers| {
            Ok((run.answer(request, buffers, watch).0, run.history_titles()))
        })
    }

    /// Items that go with an item: recommendations for somebody of whom only this item is known, in which resemblance in meaning counts
    /// for something whatever it is worth for predictions.
    ///
    /// # Errors
    /// As [`Engine::recommend`].
    pub fn similar(&self, item: &str, request: &RecommendRequest) -> Result<Recommendations, EngineError> {
        let alone = RecommendRequest { user: None, session: None, item: Some(item.to_owned()), ..request.clone() };
        let trained = self.trained();
        let resembling = with_resemblance(&trained.fusion);
        let fusion = chosen_fusion(&resembling, alone.sources.as_deref())?;
        self.answer(&alone, &trained, &fusion, Purpose::Personal, None)
    }

    /// What is popular now, overall or in a segment.
    ///
    /// # Errors
    /// As [`Engine::recommend`].
    pub fn popular(&self, segment: Option<&str>, request: &RecommendRequest) -> Result<Recommendations, EngineError> {
        let popular = RecommendRequest { sources: Some(vec!["popularity".into()]), ..request.clone() };
        let trained = self.trained();
        let fusion = chosen_fusion(&trained.fusion, popular.sources.as_deref())?;
        self.answer(&popular, &trained, &fusion, Purpose::Popular { segment }, None)
    }

    fn answer(
        &self,
        request: &RecommendRequest,
        trained: &Trained,
        fusion: &Fusion,
        purpose: Purpose<'_>,
        reorder: Option<Reorder<'_>>,
    ) -> Result<Recommendations, EngineError> {
        let watch = Stopwatch::start(request.explain);
        let (mut answer, mut decision, titles) = self.with_run(request, trained, fusion, purpose, |run, buffers| {
            let (answer, decision) = run.answer(request, buffers, watch);
            let titles = reorder.map(|_| run.history_titles()).unwrap_or_default();
            Ok((answer, decision, titles))
        })?;
        if let Some(reorder) = reorder {
            let (order, told) = reorder(&titles, &answer.items);
            if let Some(order) = order.filter(|order| is_permutation(order, answer.items.len())) {
                answer.items = order.iter().map(|&place| answer.items[place].clone()).collect();
                decision.items = order.iter().map(|&place| decision.items[place].clone()).collect();
                if let Some(trace) = &mut answer.trace {
                    trace.scores = order.iter().filter_map(|&place| trace.scores.get(place).cloned()).collect();
                }
            }
            answer.rerank = Some(told);
        }
        self.record(decision);
        Ok(answer)
    }

    /// Does `work` with a request that is ready to be scored, under the read locks of the state and the texts.
    fn with_run<T>(
        &self,
        request: &RecommendRequest,
        trained: &Trained,
        fusion: &Fusion,
        purpose: Purpose<'_>,
        work: impl FnOnce(&Run<'_>, &mut Buffers) -> Result<T, EngineError>,
    ) -> Result<T, EngineError> {
        let now_ms = self.clock().now_ms();
        let (state, actors) = self.state_for(request)?;
        let plan = Plan::new(request, self.config(), &state, now_ms)?;
        let mut asker = hydrate(&state, request, &actors, seconds(now_ms))?;
        if let Purpose::Popular { segment: Some(label) } = purpose {
            asker.segment = state.items.segments().get(label).or(asker.segment);
        }
        let text = self.core.texts.served();
        let is_cold = |item: ItemIx| state.items.interactions(item) == 0;
        let wished = match purpose {
            Purpose::Wish(basis) => basis.history.as_slice(),
            _ => &[],
        };
        let run = Run {
            engine: self,
            state: &state,
            text: &text,
            is_cold: &is_cold,
            trained,
            fusion,
            plan: &plan,
            history: if wished.is_empty() { &asker.history } else { wished },
            asker: &asker,
            purpose,
        };
        BUFFERS.with_borrow_mut(|buffers| work(&run, buffers))
    }

    /// The state, with the histories of all actors who are the asker in memory, and their numbers.
    fn state_for(
        &self,
        request: &RecommendRequest,
    ) -> Result<(RwLockReadGuard<'_, OnlineState>, Vec<ActorIx>), EngineError> {
        let state = self.state();
        let actors = actors_of(&state, request);
        if state.actors.are_in_memory(&actors) {
            return Ok((state, actors));
        }
        drop(state);
        self.hydrate(&actors)?;
        let state = self.state();
        let actors = actors_of(&state, request);
        Ok((state, actors))
    }
}

fn is_permutation(order: &[usize], count: usize) -> bool {
    let mut places = order.to_vec();
    places.sort_unstable();
    places.into_iter().eq(0..count)
}

/// Milliseconds as the seconds that interactions carry.
fn seconds(ms: i64) -> u32 {
    u32::try_from(ms / 1000).unwrap_or(0)
}

/// Least share of the meaning of texts in the weights of what is similar to an item. A choice of taste: there is no data to make it by.
const RESEMBLANCE: f32 = 0.2;

/// The fusion in which the source `text` has a weight, also if the training found none or knew no texts.
fn with_resemblance(fusion: &Fusion) -> Fusion {
    let mut fusion = fusion.clone();
    let least = RESEMBLANCE * fusion.weights.iter().sum::<f32>();
    match fusion.sources.iter().position(|source| source == "text") {
        Some(place) => fusion.weights[place] = fusion.weights[place].max(least),
        None => {
            fusion.sources.push("text".into());
            fusion.weights.push(least);
        }
    }
    fusion
}

/// The fusion of the named sources only. A source that the training found useless counts as 1 when it is asked for by name.
fn chosen_fusion<'a>(fusion: &'a Fusion, sources: Option<&[String]>) -> Result<Cow<'a, Fusion>, EngineError> {
    let Some(names) = sources else { return Ok(Cow::Borrowed(fusion)) };
    let mut chosen = fusion.clone();
    chosen.weights.fill(0.0);
    for name in names {
        let Some(place) = fusion.sources.iter().position(|known| known == name) else {
            let rule = format!("{name:?} is not a source; there are {}", fusion.sources.join(", "));
            return Err(Problem::field("sources", rule, "name sources from the list").into());
        };
        chosen.weights[place] = if fusion.weights[place] > 0.0 { fusion.weights[place] } else { 1.0 };
    }
    chosen.cold = fusion.cold.filter(|cold| chosen.weights[cold.source] > 0.0);
    Ok(Cow::Owned(chosen))
}

/// What a list is for.
#[derive(Clone, Copy)]
enum Purpose<'a> {
    /// Somebody in particular.
    Personal,
    /// Everybody, or everybody in a segment: to know nothing of the asker is no lack.
    Popular {
        /// Name of the segment.
        segment: Option<&'a str>,
    },
    /// Somebody in particular, who said what for.
    Wish(&'a Basis<'a>),
}

/// One request on its way through the stages.
#[derive(Clone, Copy)]
struct Run<'a> {
    engine: &'a Engine,
    state: &'a OnlineState,
    text: &'a Text,
    /// Nobody has met the item yet.
    is_cold: IsCold<'a>,
    trained: &'a Trained,
    fusion: &'a Fusion,
    plan: &'a Plan,
    asker: &'a Asker,
    /// What the sources read: the asker's history, or what a wish is about.
    history: &'a [Interaction],
    purpose: Purpose<'a>,
}

impl<'a> Run<'a> {
    fn answer(
        &self,
        request: &RecommendRequest,
        buffers: &mut Buffers,
        mut watch: Stopwatch,
    ) -> (Recommendations, Decision) {
        let id = decision_id(self.plan.now_ms, rand::random());
        let lineup = self.trained.lineup(&self.state.models, self.text);
        watch.lap("hydrate");
        self.score(&lineup, buffers);
        watch.lap("score");
        let eligibility = Eligibility::new(self.state, self.plan, self.asker, self.kinds());
        let list = self.select(&eligibility, buffers, id);
        watch.lap("select");
        let explainer = self.explainer(&lineup);
        let items = self.present(&list, &explainer, buffers);
        watch.lap("explain");
        let decision = self.decision(id, request, &list, &items);
        let trace = (self.plan.explain == Explain::Trace)
            .then(|| trace::trace(self, &explainer, &eligibility, buffers, &list, watch));
        let answer = Recommendations {
            decision_id: id,
            next_page: self.next_page(&list),
            items,
            model: self.trained.version.clone(),
            fallback: self.fallback().map(str::to_owned),
            rerank: None,
            trace,
        };
        (answer, decision)
    }

    /// Titles of what the asker chose, oldest first.
    fn history_titles(&self) -> Vec<String> {
        let rows = self.asker.history.iter().filter_map(|event| self.state.items.get(event.item));
        rows.map(|row| row.title.clone()).filter(|title| !title.is_empty()).collect()
    }

    fn kinds(&self) -> &'a KindWeights {
        self.engine.kinds()
    }

    fn query(&self) -> Query<'a> {
        Query {
            history: self.history,
            actor: self.asker.actor,
            segment: self.asker.segment,
            friends: &self.asker.friends,
            now_s: seconds(self.plan.now_ms),
            histories: &self.state.actors,
        }
    }

    fn score(&self, lineup: &[Option<&dyn Model>], buffers: &mut Buffers) {
        self.score_within(lineup, &Guard::for_request(), buffers);
        for place in &buffers.scratch.failed {
            self.engine.count_failed_source(&self.fusion.sources[*place]);
        }
    }

    fn score_within(&self, lineup: &[Option<&dyn Model>], guard: &Guard, buffers: &mut Buffers) {
        let scratch = &mut buffers.scratch;
        let query = self.query();
        let n_items = self.state.items.len();
        score_sources(lineup, self.fusion, &query, n_items, Some(self.is_cold), guard, scratch);
        self.push_dislikes_away(n_items, buffers);
        let Buffers { scratch, likeness, .. } = buffers;
        self.add_likeness(self.state, &mut scratch.fused, likeness);
    }

    /// What resembles a disliked or skipped item loses part of its score.
    fn push_dislikes_away(&self, n_items: usize, buffers: &mut Buffers) {
        let Buffers { scratch, dislikes, .. } = buffers;
        dislikes.reset(n_items);
        let penalty = self.engine.config().recommend.dislike_penalty;
        if self.asker.negatives.is_empty() || penalty == 0.0 {
            return;
        }
        let now_s = seconds(self.plan.now_ms);
        let disliked: Vec<Interaction> =
            self.asker.negatives.iter().map(|&item| Interaction::plain(item, now_s)).collect();
        let query = Query { history: &disliked, ..self.query() };
        self.state.models.content.score(&query, dislikes);
        for &item in dislikes.touched() {
            // An item that no source proposed needn't be pushed away.
            if scratch.fused.get(item) != 0.0 {
                scratch.fused.add(item, -penalty * dislikes.get(item));
            }
        }
    }

    fn select(&self, eligibility: &Eligibility<'_>, buffers: &mut Buffers, id: Uuid) -> Vec<Selected> {
        let Buffers { scratch, cold, .. } = buffers;
        let cold_scores = self.plan.explore.then(|| {
            cold.reset(self.state.items.len());
            self.finder().score(&self.query(), cold);
            &*cold
        });
        let config = &self.engine.config().recommend;
        let Self { state, text, trained, plan, .. } = *self;
        let selection = Selection { state, text, trained, plan, config, eligibility };
        selection.choose(&scratch.fused, cold_scores, id)
    }

    /// What ranks items that nobody has met: their meaning, or else their words.
    fn finder(&self) -> &'a dyn Model {
        if self.text.dims() > 0 { self.text } else { &self.state.models.content }
    }

    fn explainer<'b>(&'b self, lineup: &'b [Option<&'b dyn Model>]) -> Explainer<'b> {
        let query = self.query();
        let Self { state, fusion, is_cold, .. } = *self;
        Explainer { state, query, lineup, fusion, is_cold, kinds: self.kinds() }
    }

    fn present(&self, list: &[Selected], explainer: &Explainer<'_>, buffers: &Buffers) -> Vec<RecommendedItem> {
        let scratch = &buffers.scratch;
        let is_explained = |selected: &&Selected| self.plan.explain != Explain::None && selected.slot == Slot::Ranked;
        let explained: Vec<ItemIx> = list.iter().filter(is_explained).map(|selected| selected.item).collect();
        let mut reasons = explainer.reasons(&explained, scratch).into_iter();
        let item = |selected: &Selected| {
            let own = if is_explained(&selected) { reasons.next() } else { None };
            let item =
                self.recommended(selected, self.source_name(selected, explainer, scratch), own.unwrap_or_default());
            self.with_likeness(item, buffers.likeness.get(selected.item))
        };
        list.iter().map(item).collect()
    }

    fn recommended(&self, selected: &Selected, source: Cow<'static, str>, reasons: Vec<Reason>) -> RecommendedItem {
        let row = self.state.items.get(selected.item);
        RecommendedItem {
            item: row.map_or_else(String::new, |row| row.id.to_string()),
            title: row.map_or_else(String::new, |row| row.title.clone()),
            score: selected.score,
            source,
            reasons,
            explanation: None,
        }
    }

    /// What was wished for is a reason like any other, and the source where it adds most.
    fn with_likeness(&self, mut item: RecommendedItem, amount: f32) -> RecommendedItem {
        if amount <= 0.0 || self.plan.explain == Explain::None {
            return item;
        }
        let place = item.reasons.partition_point(|reason| reason.amount >= amount);
        if 2.0 * amount > item.score {
            item.source = Cow::Borrowed(WISH);
        }
        let text = "because it is close to what you asked for".to_owned();
        item.reasons
            .insert(place, Reason { kind: WISH.to_owned(), subject: None, text, amount, event: None, title: None });
        item
    }

    fn source_name(&self, selected: &Selected, explainer: &Explainer<'_>, scratch: &Scratch) -> Cow<'static, str> {
        let place = match selected.slot {
            Slot::Cold => return Cow::Borrowed("new"),
            Slot::Backfill => None,
            Slot::Ranked => explainer.main_source(selected.item, scratch),
        };
        match place.map(|place| (explainer.lineup[place], &self.fusion.sources[place])) {
            None => Cow::Borrowed("backfill"),
            Some((Some(model), _)) => Cow::Borrowed(model.name()),
            Some((None, name)) => Cow::Owned(name.clone()),
        }
    }

    fn fallback(&self) -> Option<&'static str> {
        if self.state.items.is_empty() {
            Some("empty-catalogue")
        } else if matches!(self.purpose, Purpose::Popular { .. }) {
            None
        } else if self.asker.named != "anonymous" && self.asker.actor.is_none() {
            Some("unknown-user")
        } else if self.asker.history.is_empty() {
            Some("no-history")
        } else {
            (!self.trained.is_trained()).then_some("no-model")
        }
    }

    fn next_page(&self, list: &[Selected]) -> Option<String> {
        let shown: Vec<ItemIx> =
            self.plan.shown.iter().copied().chain(list.iter().map(|selected| selected.item)).collect();
        let is_last = list.len() < self.plan.limit || shown.len() > zhiyin_core::limits::PAGED_ITEMS_MAX;
        (!is_last).then(|| page::encode(&shown))
    }

    fn decision(&self, id: Uuid, request: &RecommendRequest, list: &[Selected], items: &[RecommendedItem]) -> Decision {
        let shown = list.iter().zip(items).map(|(selected, item)| ShownItem {
            item: selected.item,
            score: selected.score,
            source: item.source.clone(),
            propensity: selected.propensity,
        });
        Decision {
            id,
            actor: self.asker.actor,
            surface: request.surface.clone(),
            model: self.trained.version.clone(),
            arm: None,
            fallback: self.fallback().is_some(),
            items: shown.collect(),
        }
    }
}
