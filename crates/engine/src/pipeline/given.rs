//! Why given items would be recommended: the same scores and attributions as for a list, without choosing one.

use zhiyin_core::{ItemIx, Problem};

use super::{
    Buffers, Purpose, Run, chosen_fusion,
    select::{Selected, Slot},
};
use crate::{
    engine::Engine,
    error::EngineError,
    request::{Explain, RecommendRequest, RecommendedItem},
};

impl Engine {
    /// Why items would be recommended to the asker of a request: their scores and strongest reasons, in the order given. Nothing is chosen, so
    /// nothing is recorded.
    ///
    /// # Errors
    /// As [`Engine::recommend`]; an item that isn't in the catalogue.
    pub fn explain(&self, request: &RecommendRequest, items: &[String]) -> Result<Vec<RecommendedItem>, EngineError> {
        let trained = self.trained();
        let fusion = chosen_fusion(&trained.fusion, request.sources.as_deref())?;
        let request = RecommendRequest { explain: Explain::Reasons, ..request.clone() };
        self.with_run(&request, &trained, &fusion, Purpose::Personal, |run, buffers| {
            let known = |id: &String| {
                let rule =
                    || Problem::field("items", format!("{id:?} is not in the catalogue"), "create the item first");
                run.state.items.find(id).ok_or_else(|| EngineError::NotFound(rule()))
            };
            let items = items.iter().map(known).collect::<Result<Vec<_>, _>>()?;
            Ok(run.explain(&items, buffers))
        })
    }
}

impl Run<'_> {
    fn explain(&self, items: &[ItemIx], buffers: &mut Buffers) -> Vec<RecommendedItem> {
        let lineup = self.trained.lineup(&self.state.models, self.text);
        self.score(&lineup, buffers);
        let score = |item: ItemIx| buffers.scratch.fused.get(item);
        let as_ranked = |&item: &ItemIx| Selected { item, score: score(item), propensity: 1.0, slot: Slot::Ranked };
        let list: Vec<Selected> = items.iter().map(as_ranked).collect();
        self.present(&list, &self.explainer(&lineup), buffers)
    }
}
