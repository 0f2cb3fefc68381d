//! From text to tokens and back: byte-level BPE (Sennrich et al. 2016; Radford et al. 2019) as a GGUF file describes it.

use std::collections::HashMap;

use ahash::AHashMap;
use tokenizers::{
    Model, NormalizedString, OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer,
    models::bpe::BPE,
    pre_tokenizers::{byte_level::ByteLevel, digits::Digits},
};

use crate::{
    error::Defect,
    gguf::{Gguf, Value},
};

/// Token type of those that steer the model and have no text.
const CONTROL: u64 = 3;

/// Cuts texts into tokens and gives the text of tokens.
pub struct Tokens {
    model: BPE,
    splits_digits: bool,
    /// The bytes of each token; none of those that steer.
    bytes: Vec<Vec<u8>>,
    /// Tokens that steer, by name.
    control: HashMap<String, u32>,
    /// Ends an answer.
    end: u32,
}

impl Tokens {
    /// Reads the tokenizer of a file.
    pub fn load(gguf: &Gguf) -> Result<Self, Defect> {
        let kind =
            (gguf.text("tokenizer.ggml.model").unwrap_or("none"), gguf.text("tokenizer.ggml.pre").unwrap_or("default"));
        let splits_digits = match kind {
            ("gpt2", "smollm") => true,
            ("gpt2", "gpt-2") => false,
            (model, before) => {
                return Err(Defect::Unsupported(format!(
                    "its tokenizer is {model:?} with {before:?}; known are \"gpt2\" with \"smollm\" or \"gpt-2\""
                )));
            }
        };
        let names = texts(gguf, "tokenizer.ggml.tokens")?;
        let merges = texts(gguf, "tokenizer.ggml.merges")?;
        let is_control = |at: usize| {
            let kinds = gguf.list("tokenizer.ggml.token_type");
            kinds
                .and_then(|kinds| kinds.get(at))
                .is_some_and(|kind| matches!(kind, Value::Unsigned(CONTROL) | Value::Signed(3)))
        };
        let end = gguf.whole("tokenizer.ggml.eos_token_id").filter(|end| *end < names.len());
        let end = end.ok_or_else(|| Defect::malformed("it names no token that ends a text"))? as u32;
        let control =
            (0..names.len()).filter(|&at| is_control(at)).map(|at| (names[at].to_owned(), at as u32)).collect();
        let alphabet = alphabet();
        let bytes =
            (0..names.len()).map(|at| if is_control(at) { Vec::new() } else { raw(names[at], &alphabet) }).collect();
        let vocabulary: AHashMap<_, _> =
            names.iter().enumerate().map(|(at, name)| ((*name).to_owned(), at as u32)).collect();
        let pairs = merges.iter().map(|merge| merge.split_once(' ').map(|(a, b)| (a.to_owned(), b.to_owned())));
        let pairs = pairs.collect::<Option<Vec<_>>>().ok_or_else(|| Defect::malformed("a merge isn't a pair"))?;
        let model = BPE::builder().vocab_and_merges(vocabulary, pairs).build();
        let model = model.map_err(|error| Defect::malformed(format!("its tokenizer is broken: {error}")))?;
        Ok(Self { model, splits_digits, bytes, control, end })
    }

    /// A tokenizer that knows no text, for models without one.
    #[cfg(test)]
    pub fn none() -> Self {
        let (bytes, control) = (Vec::new(), HashMap::new());
        Self { model: BPE::default(), splits_digits: false, bytes, control, end: 0 }
    }

    /// The tokens of a text. None of them steers, whatever the text looks like.
    pub fn of(&self, text: &str) -> Vec<u32> {
        self.try_of(text).unwrap_or_default()
    }

    fn try_of(&self, text: &str) -> tokenizers::Result<Vec<u32>> {
        let mut pieces = PreTokenizedString::from(NormalizedString::from(text));
        if self.splits_digits {
            Digits::new(true).pre_tokenize(&mut pieces)?;
        }
        ByteLevel::new(false, false, true).pre_tokenize(&mut pieces)?;
        let mut tokens = Vec::new();
        for (piece, _, _) in pieces.get_splits(OffsetReferential::Original, OffsetType::Byte) {
            tokens.extend(self.model.tokenize(piece)?.into_iter().map(|token| token.id));
        }
        Ok(tokens)
    }

    /// The token that steers by this name.
    pub fn control(&self, name: &str) -> Option<u32> {
        self.control.get(name).copied()
    }

    /// The bytes of a token; none if it steers or doesn't exist.
    pub fn bytes(&self, token: u32) -> &[u8] {
        self.bytes.get(token as usize).map_or(&[], Vec::as_slice)
    }

    /// The token that ends an answer.
    pub fn end(&self) -> u32 {
        self.end
    }

    /// Number of tokens.
    pub fn count(&self) -> usize {
        self.bytes.len()
    }
}

fn texts<'a>(gguf: &'a Gguf, key: &str) -> Result<Vec<&'a str>, Defect> {
    let values = gguf.list(key).ok_or_else(|| Defect::malformed(format!("it has no list {key:?}")))?;
    let text = |value: &'a Value| if let Value::Text(text) = value { Some(text.as_str()) } else { None };
    values.iter().map(text).collect::<Option<_>>().ok_or_else(|| Defect::malformed(format!("{key:?} isn't all texts")))
}

/// The byte that each letter of the vocabulary stands for: printable ones for themselves, the others for letters from U+0100 on.
fn alphabet() -> HashMap<char, u8> {
    let is_printable = |byte: &u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    let printable = (0..=255_u8).filter(is_printable).map(|byte| (char::from(byte), byte));
    let others = (0..=255_u8).filter(|byte| !is_printable(byte));
    printable.chain(('\u{100}'..).zip(others)).collect()
}

fn raw(name: &str, alphabet: &HashMap<char, u8>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for letter in name.chars() {
        match alphabet.get(&letter) {
            Some(byte) => bytes.push(*byte),
            None => bytes.extend(letter.to_string().as_bytes()),
        }
    }
    bytes
}
