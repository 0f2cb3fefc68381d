//! The local runtime with a real model of 135 million parameters.

#![allow(clippy::print_stderr, reason = "a test that can run nothing has to say so")]

mod answers;
mod scores;
mod traffic;
mod weights;

use std::path::PathBuf;
use std::sync::Arc;
use zhiyin_core::TestClock;
use zhiyin_core::language::{GenerateRequest, Message, Role};
use zhiyin_llm::budget::MemoryLedger;
use zhiyin_llm::local::{Local, LocalConfig};

/// A loaded model, or none with a message if the weights can't be had: they need the network once.
fn local(adjust: impl FnOnce(LocalConfig) -> LocalConfig) -> Option<Local> {
    let path = weights::model()?;
    let local = start(path, adjust);
    local.wait_until_loaded().expect("the model loads");
    Some(local)
}

fn start(path: PathBuf, adjust: impl FnOnce(LocalConfig) -> LocalConfig) -> Local {
    let config =
        LocalConfig { path, version: "test".to_owned(), threads: 2, context_tokens: 2_048, ..LocalConfig::default() };
    Local::start(adjust(config), Arc::new(TestClock::at(0)), Arc::new(MemoryLedger::default())).expect("starts")
}

fn ask(text: &str, tokens_max: u32) -> GenerateRequest {
    GenerateRequest::new(vec![Message::new(Role::User, text)], tokens_max)
}
