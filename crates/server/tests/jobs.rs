//! Background jobs of language models over HTTP.

mod common;

use std::{sync::Arc, time::Duration};

use common::{Api, TestKeys};
use serde_json::{Value, json};
use zhiyin_assistant::Assistant;
use zhiyin_core::{SystemClock, language::Cancellation};
use zhiyin_llm::{Router, Runtime, cache::MemoryCache, fake::Fake, jobs::Jobs};
use zhiyin_server::{AuthMode, ServerConfig};
use zhiyin_writing::Language;

/// A server whose jobs are done only while `work` is called.
struct Desk {
    api: Api,
    fake: Arc<Fake>,
    assistant: Arc<Assistant>,
}

impl Desk {
    async fn open() -> Self {
        let fake = Arc::new(Fake::new("fake"));
        let router = Router::new(vec![Arc::clone(&fake) as Arc<dyn Runtime>]);
        let jobs = Jobs::in_memory(Arc::new(SystemClock));
        let kept = Arc::new(MemoryCache::new(1 << 20));
        let assistant = Arc::new(Assistant::new(router, kept, jobs, vec![Language::English]));
        let keys = AuthMode::Keys(Arc::new(TestKeys));
        let api = Api::with(ServerConfig { assistant: Some(Arc::clone(&assistant)), ..ServerConfig::new(keys) });
        let items = json!([{"id": "quiet", "title": "Quiet Cup"}, {"id": "busy", "title": "Busy Cup"}, {"id": "usual", "title": "Usual Cup"}]);
        api.send("POST", "/v1/items", items.to_string()).await.assert_status(200);
        let view = |user: usize, item: &str| json!({"type": "view", "user": format!("user-{user}"), "item": item});
        let views: Vec<Value> =
            (0..9).map(|user| view(user, "busy")).chain((0..4).map(|user| view(user, "usual"))).collect();
        api.send("POST", "/v1/events", Value::from(views).to_string()).await.assert_status(202);
        Self { api, fake, assistant }
    }

    async fn post(&self, path: &str, body: Value) -> common::Reply {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.api.send("POST", path, body).await
    }

    /// Does tasks until `count` chats were asked for, or nothing more comes for a while.
    fn work(&self, count: usize) -> usize {
        let stop = Cancellation::default();
        std::thread::scope(|scope| {
            scope.spawn(|| self.assistant.work(&stop));
            for _ in 0..400 {
                if self.fake.requests().len() >= count {
                    break;
                }
                std::thread::sleep(Duration::from_millis(5));
            }
            stop.cancel();
        });
        self.fake.requests().len()
    }

    /// What was asked to be written, in order.
    fn asked(&self) -> Vec<String> {
        self.fake.requests().iter().map(|chat| chat.last().unwrap().content()).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_are_written_ahead_the_busiest_items_first() {
    let desk = Desk::open().await;
    for name in ["Busy Cup", "Usual Cup", "Quiet Cup"] {
        desk.fake.reply(Ok(json!(format!("Our pick: “{name}”")).to_string()));
    }
    let job = desk.post("/v1/jobs", json!({"id": "headlines", "kind": "headline", "items": 10})).await;
    job.assert_status(202);
    assert_eq!((&job.json()["job"]["total"], &job.json()["to_the_end"]), (&json!(3), &json!(null)));
    assert_eq!(desk.work(3), 3);
    let names: Vec<bool> =
        desk.asked().iter().zip(["Busy", "Usual", "Quiet"]).map(|(asked, name)| asked.contains(name)).collect();
    assert_eq!(names, [true; 3], "{:?}", desk.asked());
    let done = desk.api.get("/v1/jobs/headlines").await.json();
    assert_eq!(done["job"]["state"]["state"], "finished", "{done}");
    assert!(done["job"]["tokens"]["prompt"].as_u64().unwrap() > 0, "{done}");
    let text = desk.post("/v1/generate", json!({"kind": "headline", "items": ["busy"]})).await.json();
    assert_eq!(text["variants"][0]["text"], "Our pick: “Busy Cup”", "{text}");
    assert_eq!(text["variants"][0]["origin"], "model");
    // What is kept isn't written again.
    let again = desk.post("/v1/jobs", json!({"id": "headlines", "kind": "headline", "items": 10})).await.json();
    assert_eq!((&again["job"]["total"], &again["job"]["state"]["state"]), (&json!(0), &json!("finished")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_paused_resumed_and_cancelled() {
    let desk = Desk::open().await;
    desk.post("/v1/jobs", json!({"id": "blurbs", "kind": "blurb", "items": 3})).await.assert_status(202);
    let state = async |act: &str| {
        desk.post(&format!("/v1/jobs/blurbs/{act}"), Value::Null).await.json()["job"]["state"]["state"].clone()
    };
    assert_eq!(state("pause").await, "paused");
    assert_eq!(desk.work(1), 0, "nothing is begun while it is paused");
    assert_eq!(state("resume").await, "running");
    desk.work(1);
    let half = desk.api.get("/v1/jobs/blurbs").await.json();
    assert!(half["job"]["done"].as_u64().unwrap() >= 1, "{half}");
    desk.post("/v1/jobs", json!({"id": "more", "kind": "headline", "items": 3})).await.assert_status(202);
    assert_eq!(desk.post("/v1/jobs/more/cancel", Value::Null).await.json()["job"]["state"]["state"], "cancelled");
    desk.post("/v1/jobs/more/resume", Value::Null).await.assert_problem(409, "id");
    let listed = desk.api.get("/v1/jobs").await.json();
    let ids: Vec<&str> =
        listed["jobs"].as_array().unwrap().iter().map(|job| job["job"]["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["blurbs", "more"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_jobs_are_refused_and_only_operators_may_steer() {
    let desk = Desk::open().await;
    let submit = async |body: Value| desk.post("/v1/jobs", body).await;
    submit(json!({"id": "", "kind": "blurb", "items": 3})).await.assert_problem(400, "id");
    submit(json!({"id": "a", "kind": "explanation", "items": 3})).await.assert_problem(400, "kind");
    submit(json!({"id": "a", "kind": "blurb", "items": 0})).await.assert_problem(400, "items");
    submit(json!({"id": "a", "kind": "blurb", "items": 1, "language": "zh"})).await.assert_problem(400, "language");
    submit(json!({"id": "a", "kind": "blurb", "items": 1})).await.assert_status(202);
    submit(json!({"id": "a", "kind": "blurb", "items": 1})).await.assert_problem(409, "id");
    desk.post("/v1/jobs/b/pause", Value::Null).await.assert_problem(404, "id");
    desk.api.get("/v1/jobs/b").await.assert_problem(404, "id");
    let request =
        axum::http::Request::get("/v1/jobs").header("x-api-key", "zy_recommend").body(axum::body::Body::empty());
    desk.api.raw(request.unwrap()).await.assert_problem(403, "authorization");
}
