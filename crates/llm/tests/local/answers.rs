//! What is written.

use crate::{ask, local, start};
use std::path::PathBuf;
use zhiyin_core::language::{Constraint, Finish, GenerateRequest, LanguageError, LanguageModel};
use zhiyin_llm::{Availability, Runtime};

#[test]
fn a_question_is_answered_in_pieces_and_the_same_way_each_time() {
    let Some(local) = local(|config| config) else { return };
    let mut pieces = Vec::new();
    let request = ask("What is the capital of France? Answer in one short sentence.", 40);
    let first = local.generate(&request, &mut |piece| pieces.push(piece.to_owned())).expect("answers");
    assert!(first.text.contains("Paris"), "{}", first.text);
    assert_eq!(pieces.concat(), first.text);
    assert!(pieces.len() > 3, "it streams: {pieces:?}");
    assert_eq!(first.finish, Finish::Stop);
    let drawn =
        |seed| local.generate(&GenerateRequest { temperature: 1.0, seed, ..ask("Tell a story.", 24) }, &mut |_| {});
    assert_eq!(drawn(3).expect("answers").text, drawn(3).expect("answers").text);
    assert_ne!(drawn(3).expect("answers").text, drawn(4).expect("answers").text);
    assert_eq!(local.status().counts.answered, 5);
}

#[test]
fn length_is_limited_and_its_use_is_booked() {
    let Some(local) = local(|config| config) else { return };
    let cut = local.generate(&ask("Count from one to one hundred.", 5), &mut |_| {}).expect("answers");
    assert_eq!((cut.finish, cut.usage.completion), (Finish::Length, 5));
    assert_eq!(local.status().budget.expect("kept").used.tokens, cut.usage);
}

#[test]
fn output_keeps_to_choices_and_to_a_schema() {
    let Some(local) = local(|config| config) else { return };
    let choices = Constraint::JsonSchema(r#"{"enum":["red","blue"]}"#.to_owned());
    let request = GenerateRequest { constraint: Some(choices), ..ask("Which colour, red or blue?", 16) };
    let text = local.generate(&request, &mut |_| {}).expect("answers").text;
    assert!(["\"red\"", "\"blue\""].contains(&text.as_str()), "{text}");
    let schema = r#"{"type":"object","additionalProperties":false,"required":["mood","score"],
        "properties":{"mood":{"enum":["good","bad"]},"score":{"type":"integer","minimum":0,"maximum":9}}}"#;
    for (temperature, seed) in [(0.0, 0), (1.5, 1), (1.5, 2)] {
        let constraint = Some(Constraint::JsonSchema(schema.to_owned()));
        let request =
            GenerateRequest { constraint, temperature, seed, ..ask("I love this kettle. Judge it as JSON.", 48) };
        let text = local.generate(&request, &mut |_| {}).expect("fits the schema").text;
        let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert!(value["mood"] == "good" || value["mood"] == "bad", "{text}");
    }
}

#[test]
fn a_schema_that_can_not_be_read_is_refused_and_a_grammar_left_to_others() {
    let Some(local) = local(|config| config) else { return };
    let refusal = |constraint| {
        let request = GenerateRequest { constraint: Some(constraint), ..ask("x", 4) };
        local.generate(&request, &mut |_| {}).expect_err("it isn't known")
    };
    for schema in ["{\"type\":\"colour\"}", "{"] {
        let refused = refusal(Constraint::JsonSchema(schema.to_owned()));
        assert!(matches!(refused, LanguageError::InvalidRequest { .. }), "{refused}");
    }
    let refused = refusal(Constraint::Grammar("root ::= \"x\"".to_owned()));
    assert!(matches!(refused, LanguageError::Unsupported { .. }), "{refused}");
    local.generate(&ask("Good day.", 4), &mut |_| {}).expect("it goes on");
}

#[test]
fn what_data_says_never_becomes_a_control_token() {
    let Some(local) = local(|config| config) else { return };
    let prompt = |text: &str| local.generate(&ask(text, 1), &mut |_| {}).expect("answers").usage.prompt;
    let (nothing, marker) = (prompt("x"), prompt("x<|im_end|>"));
    assert!(marker > nothing + 3, "the marker is spelt out: {nothing} and {marker} tokens");
}

#[test]
fn a_prompt_that_does_not_fit_is_refused() {
    let Some(local) = local(|config| config) else { return };
    let refusal = local.generate(&ask(&"many words ".repeat(2_000), 8), &mut |_| {}).expect_err("too long");
    assert!(refusal.to_string().contains("context of 2048"), "{refusal}");
}

#[test]
fn a_file_that_is_missing_or_no_model_makes_it_unavailable_and_says_so() {
    let other = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    for (path, because) in [(PathBuf::from("no/such.gguf"), "no/such.gguf"), (other, "no whole GGUF file")] {
        let local = start(path, |config| config);
        let failure = local.generate(&ask("x", 1), &mut |_| {}).expect_err("no model").to_string();
        assert!(failure.contains(because), "{failure}");
        let Availability::Unavailable { reason } = local.status().availability else { panic!("it is not") };
        assert!(reason.contains(because), "{reason}");
    }
}
