use super::*;
use std::collections::VecDeque;
use zhiyin_core::TestClock;
use zhiyin_core::language::BudgetKind;

const COST: TaskCost = TaskCost { tokens: TokenUsage { prompt: 10, cached: 0, completion: 5 }, money: 0.5 };

/// Notes what it was given, and answers as told, else with success.
#[derive(Default)]
struct Script {
    handled: Mutex<Vec<String>>,
    answers: Mutex<VecDeque<LanguageError>>,
}

impl TaskHandler for Script {
    fn handle(&self, _: &str, task: &JobTask) -> Result<TaskCost, LanguageError> {
        self.handled.lock().push(task.key.clone());
        self.answers.lock().pop_front().map_or(Ok(COST), Err)
    }
}

fn task(key: &str, priority: f64) -> JobTask {
    JobTask { key: key.to_owned(), priority, attempts: 0 }
}

fn three() -> Vec<JobTask> {
    vec![task("quiet", 1.0), task("busy", 9.0), task("usual", 5.0), task("busy", 0.0)]
}

fn jobs() -> (Arc<TestClock>, Arc<MemoryJobStore>, Jobs) {
    let (clock, store) = (Arc::new(TestClock::at(0)), Arc::new(MemoryJobStore::default()));
    let jobs =
        Jobs::open(Arc::clone(&store) as Arc<dyn JobStore>, Arc::clone(&clock) as Arc<dyn Clock>).expect("opens");
    (clock, store, jobs)
}

fn only(jobs: &Jobs) -> Progress {
    jobs.progress().into_iter().next().expect("one job")
}

#[test]
fn busy_items_go_first_across_jobs_and_cost_is_summed_and_projected() {
    let (_, _, jobs) = jobs();
    jobs.submit("a", "aspects", three()).expect("submitted");
    jobs.submit("b", "texts", vec![task("between", 7.0)]).expect("submitted");
    let script = Script::default();
    assert!(jobs.work_once(&script) && jobs.work_once(&script));
    let progress = only(&jobs);
    assert_eq!((progress.job.total, progress.job.done, progress.job.money), (3, 1, 0.5));
    let rest = progress.to_the_end.expect("one is done");
    assert_eq!((rest.tokens, rest.money), (30.0, 1.0));
    while jobs.work_once(&script) {}
    assert_eq!(*script.handled.lock(), ["busy", "between", "usual", "quiet"]);
    assert!(jobs.progress().iter().all(|p| p.job.state == JobState::Finished));
}

#[test]
fn a_paused_job_rests_until_resumed_and_a_cancelled_one_for_good() {
    let (_, _, jobs) = jobs();
    jobs.submit("a", "aspects", three()).expect("submitted");
    jobs.pause("a").expect("paused");
    assert!(!jobs.work_once(&Script::default()));
    jobs.resume("a").expect("resumed");
    assert!(jobs.work_once(&Script::default()));
    jobs.cancel("a").expect("cancelled");
    assert!(!jobs.work_once(&Script::default()));
    assert_eq!(jobs.resume("a"), Err(JobError::Over("a".to_owned())));
    assert_eq!(jobs.pause("b"), Err(JobError::Unknown("b".to_owned())));
    jobs.submit("a", "aspects", three()).expect("the name is free again");
    assert_eq!(jobs.submit("a", "aspects", three()), Err(JobError::Exists("a".to_owned())));
}

#[test]
fn a_spent_budget_makes_the_job_wait_for_the_next_day_without_blaming_the_task() {
    let (clock, _, jobs) = jobs();
    jobs.submit("a", "aspects", vec![task("x", 1.0)]).expect("submitted");
    let spent = LanguageError::BudgetExhausted { budget: BudgetKind::Money, used: 1.0, limit: 1.0, resets_at_ms: 500 };
    let script = Script { answers: Mutex::new([spent].into()), ..Script::default() };
    assert!(jobs.work_once(&script));
    assert!(matches!(only(&jobs).job.state, JobState::Waiting { until_ms: 500, .. }));
    assert!(!jobs.work_once(&script));
    clock.advance(500);
    assert!(jobs.work_once(&script));
    assert_eq!((only(&jobs).job.done, only(&jobs).job.failed), (1, 0));
}

#[test]
fn a_model_that_is_away_is_asked_ever_less_often() {
    let (clock, _, jobs) = jobs();
    jobs.submit("a", "aspects", vec![task("x", 1.0)]).expect("submitted");
    let away = std::iter::repeat_n(LanguageError::unavailable("away"), 9).collect();
    let script = Script { answers: Mutex::new(away), ..Script::default() };
    let mut waits = Vec::new();
    for _ in 0..9 {
        assert!(jobs.work_once(&script));
        let JobState::Waiting { until_ms, .. } = only(&jobs).job.state else { panic!("it waits") };
        waits.push(until_ms - clock.now_ms());
        clock.advance(until_ms - clock.now_ms());
    }
    assert_eq!(waits, [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000, 60_000]);
    assert!(jobs.work_once(&script));
    assert_eq!(only(&jobs).job.done, 1);
}

#[test]
fn a_task_that_keeps_failing_is_given_up_and_the_rest_goes_on() {
    let (_, _, jobs) = jobs();
    jobs.submit("a", "aspects", vec![task("bad", 2.0), task("good", 1.0)]).expect("submitted");
    let answers = std::iter::repeat_n(LanguageError::invalid_output("gibberish"), ATTEMPTS_MAX as usize).collect();
    let script = Script { answers: Mutex::new(answers), ..Script::default() };
    while jobs.work_once(&script) {}
    let job = only(&jobs).job;
    assert_eq!((job.done, job.failed, job.state), (1, 1, JobState::Finished));
    assert_eq!(*script.handled.lock(), ["bad", "bad", "bad", "good"]);
}

#[test]
fn a_restart_goes_on_with_what_was_left() {
    let (clock, store, jobs) = jobs();
    jobs.submit("a", "aspects", three()).expect("submitted");
    jobs.work_once(&Script::default());
    drop(jobs);
    let reopened = Jobs::open(store, clock).expect("opens");
    let script = Script::default();
    while reopened.work_once(&script) {}
    assert_eq!(*script.handled.lock(), ["usual", "quiet"]);
    assert_eq!((only(&reopened).job.done, only(&reopened).job.money), (3, 1.5));
}

#[test]
fn workers_side_by_side_do_every_task_once() {
    let (_, _, jobs) = jobs();
    let tasks = (0..200).map(|n| task(&n.to_string(), f64::from(n))).collect();
    jobs.submit("a", "aspects", tasks).expect("submitted");
    let (script, stop) = (Script::default(), Cancellation::default());
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| jobs.work(&script, &stop));
        }
        while only(&jobs).job.state != JobState::Finished {
            std::thread::yield_now();
        }
        stop.cancel();
    });
    let mut handled = script.handled.into_inner();
    handled.sort();
    handled.dedup();
    assert_eq!(handled.len(), 200);
}
