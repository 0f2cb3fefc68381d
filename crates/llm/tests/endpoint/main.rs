//! The remote runtime against a server that misbehaves on purpose.

mod failures;
mod secrecy;
mod server;
mod success;

use server::{Act, Server};
use std::sync::Arc;
use zhiyin_core::TestClock;
use zhiyin_core::language::{GenerateRequest, Message, Role};
use zhiyin_llm::Secret;
use zhiyin_llm::budget::MemoryLedger;
use zhiyin_llm::remote::{Remote, RemoteConfig};

/// Short waits, so that tests are quick; few attempts, so that counts are small.
fn config(server: &Server) -> RemoteConfig {
    RemoteConfig {
        base_url: server.base_url.clone(),
        model: "small".to_owned(),
        embedding_model: Some("vectors".to_owned()),
        attempts_max: 3,
        backoff_ms: 2,
        backoff_ms_max: 50,
        ..RemoteConfig::default()
    }
}

fn remote(config: RemoteConfig) -> Remote {
    let clock = Arc::new(TestClock::at(0));
    Remote::with_key(config, Secret::parse("sk-test-key"), clock, Arc::new(MemoryLedger::default()), 7).expect("starts")
}

fn setting(acts: Vec<Act>) -> (Server, Remote) {
    let server = Server::start(acts);
    let remote = remote(config(&server));
    (server, remote)
}

fn request() -> GenerateRequest {
    GenerateRequest::new(vec![Message::new(Role::User, "Name a colour.")], 32)
}

fn used_tokens(remote: &Remote) -> u64 {
    use zhiyin_llm::Runtime;
    remote.status().budget.expect("has one").used.tokens.total()
}
