//! What a working endpoint gives.

use crate::server::{Act, Server};
use crate::{config, remote, request, setting, used_tokens};
use serde_json::json;
use std::num::NonZeroU32;
use zhiyin_core::language::{
    Constraint, Field, Finish, GenerateRequest, LanguageError, LanguageModel, Limits, Message, Part, Role,
    ScoreRequest, TokenUsage,
};
use zhiyin_llm::Runtime;
use zhiyin_llm::remote::{EMBEDDED_TEXTS_MAX, RemoteConfig};

fn part(text: &str) -> Part {
    Part { field: None, text: text.to_owned() }
}

#[test]
fn text_streams_in_pieces_and_its_tokens_are_booked() {
    let (server, remote) = setting(vec![Act::Say(vec!["dark ", "red"])]);
    let mut pieces = Vec::new();
    let generated = remote.generate(&request(), &mut |piece| pieces.push(piece.to_owned())).expect("answers");
    assert_eq!(pieces, ["dark ", "red"]);
    assert_eq!((generated.text.as_str(), generated.finish), ("dark red", Finish::Stop));
    assert_eq!(generated.usage, TokenUsage { prompt: 21, cached: 0, completion: 2 });
    assert_eq!(used_tokens(&remote), 23);
    let seen = &server.seen()[0];
    assert!(seen.head.starts_with("POST /v1/chat/completions"), "{}", seen.head);
    assert!(seen.head.contains("authorization: Bearer sk-test-key"));
    assert_eq!(seen.body["messages"], json!([{"role": "user", "content": "Name a colour."}]));
    assert_eq!((&seen.body["max_tokens"], &seen.body["stream"]), (&json!(32), &json!(true)));
}

#[test]
fn a_server_that_does_not_stream_is_understood() {
    let answer = json!({"choices": [{"message": {"content": "blue"}, "finish_reason": "length"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 1}});
    let (_server, remote) = setting(vec![Act::Json(answer.to_string())]);
    let mut pieces = String::new();
    let generated = remote.generate(&request(), &mut |piece| pieces.push_str(piece)).expect("answers");
    assert_eq!((generated.text.as_str(), pieces.as_str(), generated.finish), ("blue", "blue", Finish::Length));
}

#[test]
fn a_schema_is_sent_and_its_breach_is_an_error() {
    let schema = r#"{"type":"object","required":["colour"]}"#;
    let asked = GenerateRequest { constraint: Some(Constraint::JsonSchema(schema.to_owned())), ..request() };
    let (server, remote) = setting(vec![Act::Say(vec!["{\"colour\":", "\"red\"}"]), Act::Say(vec!["red"])]);
    assert_eq!(remote.generate(&asked, &mut |_| {}).expect("fits").text, r#"{"colour":"red"}"#);
    assert_eq!(server.seen()[0].body["response_format"]["json_schema"]["schema"]["required"], json!(["colour"]));
    let breach = remote.generate(&asked, &mut |_| {}).expect_err("no JSON");
    assert!(matches!(breach, LanguageError::InvalidOutput { .. }), "{breach}");
}

#[test]
fn grammars_are_sent_only_to_servers_that_know_them() {
    let asked = GenerateRequest { constraint: Some(Constraint::Grammar("root ::= \"a\"".to_owned())), ..request() };
    let server = Server::start(vec![Act::Say(vec!["a"])]);
    let refusal = remote(config(&server)).generate(&asked, &mut |_| {}).expect_err("not told so");
    assert!(matches!(refusal, LanguageError::Unsupported { .. }));
    let knows = remote(RemoteConfig { grammar: true, ..config(&server) });
    knows.generate(&asked, &mut |_| {}).expect("sent");
    assert_eq!(server.seen()[0].body["grammar"], json!("root ::= \"a\""));
    assert_eq!(server.seen().len(), 1);
}

#[test]
fn only_listed_kinds_of_data_leave_the_machine() {
    let server = Server::start(vec![Act::Say(vec!["ok"])]);
    let remote = remote(RemoteConfig { fields: [Field::ItemTitle].into(), ..config(&server) });
    let title = Message::new(Role::User, "About ").data(Field::ItemTitle, "a red kettle");
    let history = title.clone().text(" for a buyer of ").data(Field::UserHistory, "tea");
    let refusal = remote.generate(&GenerateRequest::new(vec![history], 8), &mut |_| {}).expect_err("not listed");
    assert_eq!(refusal.to_string().split(';').next(), Some("user.history may not be sent to remote"));
    let review = Part { field: Some(Field::ReviewText), text: "broke at once".to_owned() };
    assert!(matches!(remote.embed(&[review], &Limits::default()), Err(LanguageError::NotPermitted { .. })));
    assert!(server.seen().is_empty(), "nothing was sent");
    remote.generate(&GenerateRequest::new(vec![title], 8), &mut |_| {}).expect("listed");
    assert_eq!(server.seen()[0].body["messages"][0]["content"], json!("About a red kettle"));
}

#[test]
fn vectors_come_in_the_order_of_their_texts() {
    let rows = json!({"data": [{"index": 1, "embedding": [3.0, 4.0]}, {"index": 0, "embedding": [1.0, 2.0]}],
        "usage": {"prompt_tokens": 6}});
    let short = json!({"data": [{"index": 0, "embedding": [1.0]}]});
    let (server, remote) = setting(vec![Act::Json(rows.to_string()), Act::Json(short.to_string())]);
    let texts = [part("one"), part("two")];
    let vectors = remote.embed(&texts, &Limits::default()).expect("answers");
    assert_eq!(vectors, [vec![1.0, 2.0], vec![3.0, 4.0]]);
    assert_eq!(server.seen()[0].body["input"], json!(["one", "two"]));
    assert_eq!(used_tokens(&remote), 6);
    assert!(
        matches!(remote.embed(&texts, &Limits::default()), Err(LanguageError::InvalidOutput { .. })),
        "one is missing"
    );
    let many = vec![part("x"); EMBEDDED_TEXTS_MAX + 1];
    assert!(matches!(remote.embed(&many, &Limits::default()), Err(LanguageError::InvalidRequest { .. })));
}

#[test]
fn scoring_given_texts_is_left_to_local_models() {
    let (server, remote) = setting(vec![]);
    let score =
        ScoreRequest { messages: request().messages, continuations: vec![part("red")], limits: Limits::default() };
    assert!(matches!(remote.log_probabilities(&score), Err(LanguageError::Unsupported { .. })));
    assert!(server.seen().is_empty());
}

#[test]
fn the_rate_is_kept() {
    let server = Server::start(vec![Act::Say(vec!["a"]), Act::Say(vec!["b"])]);
    let remote = remote(RemoteConfig { requests_per_minute: NonZeroU32::new(1), ..config(&server) });
    remote.generate(&request(), &mut |_| {}).expect("the first of the minute");
    let hurried = GenerateRequest { limits: Limits::within(std::time::Duration::from_millis(50)), ..request() };
    assert_eq!(remote.generate(&hurried, &mut |_| {}), Err(LanguageError::DeadlinePassed));
    assert_eq!(server.seen().len(), 1, "the second was not sent");
    assert_eq!(remote.status().counts.answered, 1);
}
