//! The key of an endpoint shows in no log and no error, whatever the endpoint does with it.

use crate::server::{Act, Server};
use crate::{config, request};
use std::io::Write;
use std::sync::{Arc, Mutex};
use zhiyin_core::TestClock;
use zhiyin_core::language::LanguageModel;
use zhiyin_llm::Runtime;
use zhiyin_llm::Secret;
use zhiyin_llm::budget::MemoryLedger;
use zhiyin_llm::remote::{Remote, RemoteConfig};

const KEY: &str = "sk-never-to-be-seen-4711";

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no panic").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn the_key_is_sent_and_seen_nowhere_else() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber =
        tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(move || writer.clone());
    tracing::subscriber::set_global_default(subscriber.finish()).expect("the only one of this process");
    let complaint = "bad key sk-never-to-be-seen-4711";
    let acts = vec![Act::Refuse(500, "", complaint), Act::Refuse(401, "", complaint), Act::Refuse(422, "", complaint)];
    let server = Server::start(acts);
    let remote = keyed(RemoteConfig { key_variable: Some("SOME_KEY".to_owned()), ..config(&server) });
    let errors: Vec<_> = (0..2).map(|_| remote.generate(&request(), &mut |_| {}).expect_err("refused")).collect();
    assert!(server.seen().iter().all(|seen| seen.head.contains(KEY)), "the endpoint itself gets it");
    assert_eq!(server.seen().len(), 3);
    let status = serde_json::to_string(&remote.status()).expect("JSON");
    let logged = String::from_utf8(log.0.lock().expect("no panic").clone()).expect("text");
    assert!(logged.contains("is asked again"), "the log was caught: {logged}");
    for text in [format!("{errors:?}"), errors[0].to_string(), errors[1].to_string(), status, logged] {
        assert!(!text.contains(KEY), "{text}");
    }
    assert!(errors[0].to_string().contains("bad key [redacted]"), "{}", errors[0]);
}

fn keyed(config: RemoteConfig) -> Remote {
    Remote::with_key(config, Secret::parse(KEY), Arc::new(TestClock::at(0)), Arc::new(MemoryLedger::default()), 7)
        .expect("starts")
}

#[test]
fn a_missing_key_is_named_by_its_variable() {
    let server = Server::start(vec![]);
    let config = RemoteConfig { key_variable: Some("ZHIYIN_TEST_NO_SUCH_KEY".to_owned()), ..config(&server) };
    let failure = Remote::new(config, Arc::new(TestClock::at(0)), Arc::new(MemoryLedger::default()), 7).err();
    assert!(failure.expect("no key").to_string().contains("ZHIYIN_TEST_NO_SUCH_KEY"));
}
