//! Texts: at once from a template or from what is kept, in the background or within a deadline from a model.

use crate::order::{Kept, Order, Origin, Text};
use crate::prompt;
use crate::rerank::Taught;
use crate::status::{AssistantStatus, Counter};
use parking_lot::Mutex;
use std::collections::HashSet;
use std::sync::Arc;
use zhiyin_core::SystemClock;
use zhiyin_core::language::{Cancellation, JobTask, LanguageError, LanguageModel, Limits, ResultCache, ResultKey};
use zhiyin_llm::Router;
use zhiyin_llm::cache::MemoryCache;
use zhiyin_llm::jobs::{JobError, Jobs, TaskCost, TaskHandler};
use zhiyin_writing::{Language, reads_well};

/// The kind of job that writes texts.
const TEXTS: &str = "texts";
/// Jobs of that kind at once; further texts are ordered again when they are asked for again.
const JOBS_MAX: usize = 32;
/// Priority of the first text that somebody asked for: above those of a catalogue, which count events.
const WANTED: f64 = 1e15;
/// Bytes of texts kept where nothing else is configured.
const MEMORY_BYTES: u64 = 1 << 20;

/// Writes.
pub struct Assistant {
    router: Router,
    kept: Arc<dyn ResultCache>,
    jobs: Jobs,
    /// Languages in which models write.
    languages: Vec<Language>,
    /// Texts that a job was submitted for and that aren't done.
    ordered: Mutex<HashSet<ResultKey>>,
    /// Takes back what jobs have asked for.
    stopped: Cancellation,
    counter: Counter,
    /// What knows best what somebody chooses next.
    pub(crate) taught: Option<Taught>,
}

impl Assistant {
    /// An assistant that asks the runtimes of a router, in these languages.
    pub fn new(router: Router, kept: Arc<dyn ResultCache>, jobs: Jobs, languages: Vec<Language>) -> Self {
        let (ordered, stopped, counter) = Default::default();
        Self { router, kept, jobs, languages, ordered, stopped, counter, taught: None }
    }

    /// The same, with a model of its own for what somebody chooses next.
    #[must_use]
    pub fn with_taught(self, taught: Option<Taught>) -> Self {
        Self { taught, ..self }
    }

    /// An assistant without any model: every text is a template.
    pub fn without_model() -> Self {
        let jobs = Jobs::in_memory(Arc::new(SystemClock));
        Self::new(Router::new(Vec::new()), Arc::new(MemoryCache::new(MEMORY_BYTES)), jobs, Vec::new())
    }

    /// Texts that are at hand, without having a model write any: `pending` are those that one could write.
    pub fn at_hand(&self, orders: &[Order]) -> Vec<Text> {
        let model = self.router.model();
        let text = |order: &Order| {
            self.ready(order, &model).unwrap_or_else(|| Text { pending: true, ..Text::template(order, None) })
        };
        orders.iter().map(text).collect()
    }

    /// Texts for orders, at once: what a model wrote before, else the template, while a job is submitted that has a model write it.
    pub fn texts(&self, orders: &[Order]) -> Vec<Text> {
        let model = self.router.model();
        let mut texts = self.at_hand(orders);
        let is_wanted = |(order, text): (&Order, &Text)| text.pending.then(|| order.clone());
        let wanted: Vec<Order> = orders.iter().zip(&texts).filter_map(is_wanted).collect();
        if !wanted.is_empty() && !self.submit(&wanted, &model) {
            let busy = "the queue of texts to write is full; ask again later".to_owned();
            let pending = texts.iter_mut().filter(|text| text.pending);
            pending.for_each(|text| (text.pending, text.because) = (false, Some(busy.clone())));
        }
        texts.iter().for_each(|text| self.counter.gave(text.origin == Origin::Model));
        texts
    }

    /// The text of an order from a model if it is done within the limits, else as [`Self::texts`]. Blocks.
    pub fn text_within(&self, order: &Order, limits: Limits) -> Text {
        let model = self.router.model();
        if let Some(text) = self.ready(order, &model) {
            self.counter.gave(text.origin == Origin::Model);
            return text;
        }
        let text = match self.write(order, limits) {
            Ok(_) => self.ready(order, &self.router.model()),
            Err(LanguageError::DeadlinePassed) => None,
            Err(e) => Some(Text::template(order, Some(e.to_string()))),
        };
        let Some(text) = text else { return self.texts(std::slice::from_ref(order)).remove(0) };
        self.counter.gave(text.origin == Origin::Model);
        text
    }

    /// A text that needs no work: kept, or the template because no model may or can write it.
    fn ready(&self, order: &Order, model: &str) -> Option<Text> {
        if !self.languages.contains(&order.language) {
            let because = (!self.languages.is_empty()).then(|| "no model writes in this language".to_owned());
            return Some(Text::template(order, because));
        }
        let kept = self.kept.get(&order.key(model));
        let kept = kept.inspect_err(|e| tracing::warn!("kept texts can't be read: {e}")).ok().flatten();
        match kept.and_then(|bytes| serde_json::from_slice(&bytes).ok()) {
            // Checked again: a text is grounded in what is known now, whoever wrote into the file.
            Some(Kept::Text(text)) if reads_well(order.kind, &text, &order.evidence, order.language).is_ok() => {
                let model = Some(model.to_owned());
                Some(Text { text, origin: Origin::Model, model, pending: false, because: None })
            }
            Some(Kept::Text(_)) => None,
            Some(Kept::Rejected(because)) => {
                Some(Text::template(order, Some(format!("what the model wrote was refused: {because}"))))
            }
            None => (!self.router.may_answer()).then(|| {
                let because = self.router.status().reasons.join("; ");
                let because = if because.is_empty() { "no language model is configured".to_owned() } else { because };
                Text::template(order, Some(because))
            }),
        }
    }

    /// Has a model write a text, checks it and keeps the outcome.
    fn write(&self, order: &Order, limits: Limits) -> Result<TaskCost, LanguageError> {
        let generated = self.router.generate(&prompt::request(order, limits), &mut |_| {})?;
        let text = prompt::text(&generated.text);
        let verdict = text.map_err(|e| e.to_string()).and_then(|text| {
            let judged = reads_well(order.kind, &text, &order.evidence, order.language);
            judged.map(|()| text).map_err(|rejection| rejection.to_string())
        });
        self.counter.checked(verdict.is_ok());
        let kept = match verdict {
            Ok(text) => Kept::Text(text),
            Err(because) => Kept::Rejected(because),
        };
        let bytes = serde_json::to_vec(&kept).unwrap_or_default();
        if let Err(e) = self.kept.put(&order.key(&generated.model), &generated.model, &bytes) {
            tracing::warn!("a text is not kept: {e}");
        }
        Ok(TaskCost { tokens: generated.usage, money: generated.money })
    }

    /// Submits a job for those of the orders that no job works on. Returns false if there are too many jobs.
    fn submit(&self, orders: &[Order], model: &str) -> bool {
        let mut ordered = self.ordered.lock();
        let new: Vec<&Order> = orders.iter().filter(|order| !ordered.contains(&order.key(model))).collect();
        if new.is_empty() {
            return true;
        }
        let tasks = new.iter().zip(0..).filter_map(|(order, at)| task(order, WANTED - f64::from(at)));
        let tasks: Vec<JobTask> = tasks.collect();
        for place in 0..JOBS_MAX {
            match self.jobs.submit(&format!("{TEXTS}-{place}"), TEXTS, tasks.clone()) {
                Ok(()) => {
                    ordered.extend(new.iter().map(|order| order.key(model)));
                    return true;
                }
                Err(JobError::Exists(_)) => {}
                Err(e) => {
                    tracing::warn!("texts are not ordered: {e}");
                    return false;
                }
            }
        }
        false
    }

    /// Has a model write texts that nobody asked for yet, as one job: those with the greatest priority first. Texts that are at hand are left out.
    /// Returns how many are to be written.
    ///
    /// # Errors
    /// The name of the job is taken, or there are too many jobs.
    pub fn prepare(&self, id: &str, orders: &[(Order, f64)]) -> Result<usize, JobError> {
        let model = self.router.model();
        let is_missing = |order: &Order| !matches!(self.kept.get(&order.key(&model)), Ok(Some(_)));
        let missing = orders.iter().filter(|(order, _)| is_missing(order));
        let tasks: Vec<JobTask> = missing.filter_map(|(order, priority)| task(order, *priority)).collect();
        let count = tasks.len();
        self.jobs.submit(id, TEXTS, tasks).map(|()| count)
    }

    /// Gives a job up; its texts may be ordered again.
    ///
    /// # Errors
    /// There is no such job, or it is over.
    pub fn cancel(&self, id: &str) -> Result<(), JobError> {
        self.jobs.cancel(id)?;
        // Orders of other jobs are forgotten with it; ordered again, they are found done.
        self.ordered.lock().clear();
        Ok(())
    }

    /// Whether models write in a language.
    pub fn writes(&self, language: Language) -> bool {
        self.languages.contains(&language)
    }

    /// Works on jobs until `stop`; blocks its thread.
    pub fn work(&self, stop: &Cancellation) {
        self.jobs.work(self, stop);
    }

    /// Cuts off what jobs have asked for, for good.
    pub fn stop(&self) {
        self.stopped.cancel();
    }

    /// The background jobs, to be steered.
    pub fn jobs(&self) -> &Jobs {
        &self.jobs
    }

    /// The runtimes behind it.
    pub fn model(&self) -> &Router {
        &self.router
    }

    /// Who writes, how much, and what waits.
    pub fn status(&self) -> AssistantStatus {
        AssistantStatus {
            runtimes: self.router.status(),
            texts: self.counter.snapshot(),
            cache: self.kept.status().ok(),
            jobs: self.jobs.progress(),
        }
    }
}

impl TaskHandler for Assistant {
    fn handle(&self, _kind: &str, task: &JobTask) -> Result<TaskCost, LanguageError> {
        let order: Order = serde_json::from_str(&task.key)
            .map_err(|e| LanguageError::invalid_request(format!("the order can't be read: {e}")))?;
        let model = self.router.model();
        let limits = Limits { cancellation: self.stopped.clone(), ..Limits::default() };
        let is_done = matches!(self.kept.get(&order.key(&model)), Ok(Some(_)));
        let done = if is_done { Ok(TaskCost::default()) } else { self.write(&order, limits) };
        self.ordered.lock().remove(&order.key(&model));
        done
    }
}

/// A task names its whole order, so that it can be done after a restart.
fn task(order: &Order, priority: f64) -> Option<JobTask> {
    let key = serde_json::to_string(order).ok()?;
    Some(JobTask { key, priority, attempts: 0 })
}
