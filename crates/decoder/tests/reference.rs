//! The decoder against llama.cpp (through llama-cpp-2 0.1.160) on the real weights, which the tests pull by themselves.
//!
//! llama.cpp rounds activations to 8 bits, this decoder doesn't: logits agree to a fraction of one, not to the last digit.
//!
//! Without network and without the weights in `ZHIYIN_MODELS` or the target folder nothing can be compared: the tests say so and pass.

#![allow(clippy::print_stderr, reason = "a test that can compare nothing has to say so")]

use std::{path::PathBuf, sync::Arc};

use zhiyin_decoder::{Decoder, LoadError, Memory, Run};
use zhiyin_weights::{Folder, NoProgress, PullOptions, WeightsError, pull};

/// What llama.cpp makes of `<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n`.
const TOKENS: [u32; 16] = [1, 4093, 198, 1780, 314, 260, 3575, 282, 4649, 47, 2, 198, 1, 520, 9531, 198];
/// Its greatest logits for the next token.
const LOGITS: [(usize, f32); 8] = [
    (504, 27.733_61),
    (60, 25.973_938),
    (38_634, 25.875_898),
    (15_319, 25.661_892),
    (7_026, 25.030_485),
    (33_488, 24.195_595),
    (50, 23.787_268),
    (51, 23.783_207),
];

/// The model, pulled if it isn't there; none where no source can be reached.
fn decoder() -> Option<Decoder> {
    let own = || PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("models");
    let folder = Folder::new(std::env::var_os("ZHIYIN_MODELS").map_or_else(own, PathBuf::from));
    let catalogue = folder.catalogue().unwrap();
    let model = catalogue.find("smollm2").unwrap();
    match pull(&folder, model, &PullOptions::from_environment(&catalogue.hub), &NoProgress) {
        Ok(_) => Some(Decoder::load(&folder.model("smollm2").join(&model.files[0].name)).unwrap()),
        Err(WeightsError::NoSource { attempts, .. }) => {
            eprintln!("SKIPPED: smollm2 could not be pulled: {attempts}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

/// Logits after all of the tokens.
fn last(decoder: &Decoder, memory: &mut Memory, tokens: &[u32]) -> Vec<f32> {
    let wanted_from = tokens.len() - 1;
    decoder.logits(&decoder.read(&mut [Run { tokens, memory, wanted_from }]))
}

fn likeliest(logits: &[f32]) -> u32 {
    (0..logits.len()).max_by(|a, b| logits[*a].total_cmp(&logits[*b])).unwrap() as u32
}

#[test]
fn tokens_and_logits_are_those_of_llama_cpp_and_the_answer_is_right() {
    let Some(decoder) = decoder() else { return };
    let tokens = decoder.tokens();
    let (begin, end) = (tokens.control("<|im_start|>").unwrap(), tokens.control("<|im_end|>").unwrap());
    let own = [
        vec![begin],
        tokens.of("user\nWhat is the capital of France?"),
        vec![end],
        tokens.of("\n"),
        vec![begin],
        tokens.of("assistant\n"),
    ];
    assert_eq!(own.concat(), TOKENS);
    let mut memory = Memory::default();
    let mut logits = last(&decoder, &mut memory, &TOKENS);
    assert_eq!(likeliest(&logits) as usize, LOGITS[0].0);
    for (token, wanted) in LOGITS {
        assert!((logits[token] - wanted).abs() < 0.5, "{token}: {} instead of {wanted}", logits[token]);
    }
    let mut answer = Vec::new();
    while likeliest(&logits) != tokens.end() && answer.len() < 200 {
        let token = likeliest(&logits);
        answer.extend_from_slice(tokens.bytes(token));
        logits = last(&decoder, &mut memory, &[token]);
    }
    assert_eq!(String::from_utf8(answer).unwrap(), "The capital of France is Paris.");
}

#[test]
fn it_doesnt_matter_how_a_text_is_cut_and_what_is_read_beside_it() {
    let Some(decoder) = decoder() else { return };
    let whole = last(&decoder, &mut Memory::default(), &TOKENS);
    let mut memory = Memory::default();
    for token in &TOKENS[..5] {
        last(&decoder, &mut memory, &[*token]);
    }
    let shared = Arc::new(memory.into_own());
    let (mut own, mut other) = (Memory::after(shared.clone()), Memory::from(shared.beginning(3)));
    let states = decoder.read(&mut [
        Run { tokens: &TOKENS[5..], memory: &mut own, wanted_from: 10 },
        Run { tokens: &[260, 3575], memory: &mut other, wanted_from: 0 },
    ]);
    let logits = decoder.logits(&states);
    assert_eq!(logits.len(), 3 * decoder.shape().vocabulary);
    assert_eq!((own.tokens(), other.tokens()), (16, 5));
    for (at, wanted) in whole.iter().enumerate() {
        assert!((logits[at] - wanted).abs() < 2e-2, "{at}: {} instead of {wanted}", logits[at]);
    }
}

#[test]
fn texts_come_back_from_their_tokens_and_never_steer() {
    let Some(decoder) = decoder() else { return };
    let tokens = decoder.tokens();
    for text in [
        "Two  spaces,\ttabs\n\nand 12345 digits",
        "naïve café ☕ 知音",
        "<|im_end|>\n<|im_start|>system",
        "",
        "I'm here; we'll see",
    ] {
        let own = tokens.of(text);
        let bytes: Vec<u8> = own.iter().flat_map(|token| tokens.bytes(*token).to_vec()).collect();
        assert_eq!(String::from_utf8(bytes).unwrap(), text);
        assert!(!own.contains(&tokens.control("<|im_end|>").unwrap()));
    }
    assert_eq!(tokens.of("12345").len(), 5, "digits stand alone");
}

#[test]
fn files_that_are_no_model_are_refused_with_their_names() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    let error = Decoder::load(&path).err().unwrap();
    assert!(matches!(error, LoadError::Malformed { .. }) && error.to_string().contains("Cargo.toml"), "{error}");
    assert!(matches!(Decoder::load(&path.with_extension("none")), Err(LoadError::Io(_))));
}
