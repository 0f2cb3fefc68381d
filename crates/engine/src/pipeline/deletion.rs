//! What named reasons are worth: items are ranked again without them, and with them alone.
//!
//! An item of the history is taken away by leaving it out of the history that the sources read; what may be in the list stays the same, so what
//! was left out doesn't compete. Friends are taken away likewise. Any other reason (popularity, neighbours, reviews) is taken away by taking its
//! parts out of the sums of all items, which is exact because a score is the sum of its parts.

use rand::{SeedableRng, seq::IteratorRandom};
use rand_pcg::Pcg64Mcg;
use serde::{Deserialize, Serialize};
use zhiyin_core::{Interaction, ItemIx};
use zhiyin_models::{Cause, Contribution, Model};

use super::{Buffers, Purpose, Run, chosen_fusion, eligible::Eligibility, hydrate::Asker, select::Slot};
use crate::{
    engine::Engine,
    error::EngineError,
    rank::{Guard, Scratch},
    request::RecommendRequest,
};

/// Ranks of a listed item, from 1 on, ties counting half, among all that may be in the list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Deletion {
    /// The item.
    pub item: String,
    /// Reasons that were taken away.
    pub named: usize,
    /// Those of them that are items of the history.
    pub from_history: usize,
    /// Its rank.
    pub rank: f64,
    /// Without the named reasons.
    pub without_named: f64,
    /// Without as many other items of the history, drawn at random; none where no reason is an item of the history or there are too few others.
    pub without_others: Option<f64>,
    /// With the named items as the whole history, and friends only if they are a reason; what doesn't come from the asker stays.
    pub named_alone: f64,
}

impl Engine {
    /// Takes away the strongest `named` reasons of each item that would be recommended by its score, and ranks it again. Nothing is recorded.
    ///
    /// # Errors
    /// As [`Engine::recommend`].
    pub fn deletions(&self, request: &RecommendRequest, named: usize, seed: u64) -> Result<Vec<Deletion>, EngineError> {
        let trained = self.trained();
        let fusion = chosen_fusion(&trained.fusion, request.sources.as_deref())?;
        self.with_run(request, &trained, &fusion, Purpose::Personal, |run, buffers| {
            let mut random = Pcg64Mcg::seed_from_u64(seed);
            Ok(Deleting::new(run, buffers).each(named, buffers, &mut random))
        })
    }
}

struct Deleting<'a> {
    run: &'a Run<'a>,
    lineup: Vec<Option<&'a dyn Model>>,
    /// What may be in the list.
    eligible: Vec<ItemIx>,
    /// What is in the list by its score.
    listed: Vec<ItemIx>,
}

impl<'a> Deleting<'a> {
    fn new(run: &'a Run<'a>, buffers: &mut Buffers) -> Self {
        let lineup = run.trained.lineup(&run.state.models, run.text);
        run.score_within(&lineup, &Guard::none(), buffers);
        let eligibility = Eligibility::new(run.state, run.plan, run.asker, run.kinds());
        let all = 0..run.state.items.len() as ItemIx;
        let eligible = all.filter(|&item| eligibility.objection(item).is_none()).collect();
        let list = run.select(&eligibility, buffers, uuid::Uuid::nil());
        let listed =
            list.iter().filter(|selected| selected.slot == Slot::Ranked).map(|selected| selected.item).collect();
        Self { run, lineup, eligible, listed }
    }

    fn each(&self, named: usize, buffers: &mut Buffers, random: &mut Pcg64Mcg) -> Vec<Deletion> {
        let explainer = self.run.explainer(&self.lineup);
        let reasons = explainer.strongest_each(&self.listed, &buffers.scratch);
        let ranks: Vec<f64> = self.listed.iter().map(|&item| self.rank(item, &buffers.scratch, &[])).collect();
        let mut deletions = Vec::new();
        for ((&item, reasons), rank) in self.listed.iter().zip(reasons).zip(ranks) {
            let causes: Vec<Cause> = reasons.into_iter().take(named).map(|part| part.cause).collect();
            if !causes.is_empty() {
                deletions.push(self.one(item, rank, &causes, buffers, random));
            }
        }
        deletions
    }

    fn one(&self, item: ItemIx, rank: f64, causes: &[Cause], buffers: &mut Buffers, random: &mut Pcg64Mcg) -> Deletion {
        let named: Vec<ItemIx> = causes.iter().filter_map(of_history).collect();
        let is_named = |event: &Interaction| named.contains(&event.item);
        let has_friends = causes.contains(&Cause::Friends);
        let others = self.others(&named, random);
        let without = self.asker(|event| !is_named(event), !has_friends);
        let alone = self.asker(is_named, has_friends);
        Deletion {
            item: self.run.state.items.get(item).map_or_else(String::new, |row| row.id.to_string()),
            named: causes.len(),
            from_history: named.len(),
            rank,
            without_named: self.rank_for(item, &without, causes, buffers),
            without_others: others.map(|others| {
                let asker = self.asker(|event| !others.contains(&event.item), true);
                self.rank_for(item, &asker, &[], buffers)
            }),
            named_alone: self.rank_for(item, &alone, &[], buffers),
        }
    }

    /// As many other items of the history as are named; none if there are too few.
    fn others(&self, named: &[ItemIx], random: &mut Pcg64Mcg) -> Option<Vec<ItemIx>> {
        let mut items: Vec<ItemIx> = self.run.asker.history.iter().map(|event| event.item).collect();
        items.sort_unstable();
        items.dedup();
        items.retain(|item| !named.contains(item));
        let others = items.into_iter().sample(random, named.len());
        (!named.is_empty() && others.len() == named.len()).then_some(others)
    }

    fn asker(&self, keeps: impl Fn(&Interaction) -> bool, keeps_friends: bool) -> Asker {
        let mut asker = self.run.asker.clone();
        asker.history.retain(|event| keeps(event));
        if !keeps_friends {
            asker.friends.clear();
        }
        asker
    }

    /// The item's rank for another asker, without the parts that these causes have in the score of any item.
    fn rank_for(&self, item: ItemIx, asker: &Asker, causes: &[Cause], buffers: &mut Buffers) -> f64 {
        let run = Run { asker, history: &asker.history, ..*self.run };
        run.score_within(&self.lineup, &Guard::none(), buffers);
        let left: Vec<Cause> = causes.iter().filter(|cause| of_history(cause).is_none()).copied().collect();
        let parts = if left.is_empty() {
            Vec::new()
        } else {
            let of = |parts: Vec<Contribution>| {
                parts.iter().filter(|part| left.contains(&part.cause)).map(|part| part.amount).sum()
            };
            run.explainer(&self.lineup).causes(&self.eligible, &buffers.scratch).into_iter().map(of).collect()
        };
        self.rank(item, &buffers.scratch, &parts)
    }

    /// The rank by the sums, less one part for each eligible item.
    fn rank(&self, item: ItemIx, scratch: &Scratch, parts: &[f32]) -> f64 {
        let value = |place: usize| scratch.fused.get(self.eligible[place]) - parts.get(place).copied().unwrap_or(0.0);
        let Some(own) = self.eligible.iter().position(|&eligible| eligible == item).map(value) else { return f64::NAN };
        let count =
            |is_counted: &dyn Fn(f32) -> bool| (0..self.eligible.len()).filter(|&at| is_counted(value(at))).count();
        let (above, equal) = (count(&|value| value > own), count(&|value| value == own));
        1.0 + above as f64 + equal.saturating_sub(1) as f64 / 2.0
    }
}

fn of_history(cause: &Cause) -> Option<ItemIx> {
    if let Cause::History(item) = cause { Some(*item) } else { None }
}
