//! From text to tokens: WordPiece as a `tokenizer.json` describes it, or unigram pieces with the normalisation of SentencePiece.

use std::{collections::HashMap, path::Path};

use tokenizers::{Model, TruncationParams, models::unigram::Unigram};

use crate::LoadError;

/// Stands for a space in unigram pieces.
const SPACE: char = '\u{2581}';

/// Cuts texts into tokens.
pub enum Tokens {
    /// Described by a `tokenizer.json`.
    Described(Box<tokenizers::Tokenizer>),
    /// Unigram pieces.
    Unigram(Box<Sentencepiece>),
}

/// What a unigram tokenizer consists of.
pub struct Pieces {
    /// Pieces with their log probabilities, by number.
    pub pieces: Vec<(String, f64)>,
    /// The token that begins a text.
    pub begin: u32,
    /// The token that ends it.
    pub end: u32,
    /// The token of what no piece covers.
    pub unknown: usize,
    /// Normalisation by character.
    pub replacements: HashMap<char, String>,
}

/// A unigram tokenizer (Kudo 2018).
pub struct Sentencepiece {
    model: Unigram,
    begin: u32,
    end: u32,
    replacements: HashMap<char, String>,
    /// Tokens of a text, begin and end included.
    length_max: usize,
}

impl Tokens {
    /// The tokenizer of a `tokenizer.json`, cutting after `length_max` tokens.
    pub fn described(path: &Path, length_max: usize) -> Result<Self, LoadError> {
        let wrong = |error: tokenizers::Error| LoadError::malformed(path, error);
        let bytes = fs_err::read(path)?;
        let mut tokenizer = tokenizers::Tokenizer::from_bytes(&bytes).map_err(wrong)?;
        let truncation = TruncationParams { max_length: length_max, ..TruncationParams::default() };
        tokenizer.with_padding(None).with_truncation(Some(truncation)).map_err(wrong)?;
        Ok(Self::Described(Box::new(tokenizer)))
    }

    /// The tokenizer of these pieces.
    pub fn unigram(pieces: Pieces, length_max: usize, path: &Path) -> Result<Self, LoadError> {
        let Pieces { pieces, begin, end, unknown, replacements } = pieces;
        let model = Unigram::from(pieces, Some(unknown), false).map_err(|error| LoadError::malformed(path, error))?;
        Ok(Self::Unigram(Box::new(Sentencepiece { model, begin, end, replacements, length_max })))
    }

    /// The tokens of a text with those that begin and end it.
    pub fn of(&self, text: &str) -> Result<Vec<u32>, String> {
        match self {
            Tokens::Described(tokenizer) => {
                let encoding = tokenizer.encode_fast(text, true).map_err(|error| error.to_string())?;
                Ok(encoding.get_ids().to_vec())
            }
            Tokens::Unigram(tokenizer) => tokenizer.of(text),
        }
    }
}

impl Sentencepiece {
    fn of(&self, text: &str) -> Result<Vec<u32>, String> {
        let pieces = self.model.tokenize(&self.normalised(text)).map_err(|error| error.to_string())?;
        let inner = pieces.into_iter().map(|token| token.id).take(self.length_max.saturating_sub(2));
        Ok(std::iter::once(self.begin).chain(inner).chain([self.end]).collect())
    }

    /// Replaces characters, makes one of several spaces, marks spaces, and begins with one.
    fn normalised(&self, text: &str) -> String {
        let mut out = String::from(SPACE);
        for character in text.chars() {
            match self.replacements.get(&character) {
                Some(replacement) => replacement.chars().for_each(|character| push(&mut out, character)),
                None => push(&mut out, character),
            }
        }
        out
    }
}

fn push(out: &mut String, character: char) {
    match character {
        ' ' if out.ends_with(SPACE) => {}
        ' ' => out.push(SPACE),
        _ => out.push(character),
    }
}
