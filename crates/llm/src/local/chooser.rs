//! The next token: the likeliest or a draw, within what a JSON schema allows.

use crate::validate::parse_schema;
use llguidance::api::TopLevelGrammar;
use llguidance::toktrie::{ApproximateTokEnv, TokRxInfo, TokTrie};
use llguidance::{Matcher, ParserFactory};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use std::sync::Arc;
use zhiyin_core::language::{Constraint, GenerateRequest, LanguageError};
use zhiyin_decoder::Tokens;

/// Makes grammars for one vocabulary.
pub(super) struct Grammars(ParserFactory);

impl Grammars {
    pub(super) fn new(tokens: &Tokens) -> Result<Self, LanguageError> {
        let words: Vec<Vec<u8>> = (0..tokens.count() as u32).map(|token| tokens.bytes(token).to_vec()).collect();
        let trie = TokTrie::from(&TokRxInfo::new(words.len() as u32, tokens.end()), &words);
        let environment = Arc::new(ApproximateTokEnv::new(trie)) as _;
        let mut factory = ParserFactory::new_simple(&environment)
            .map_err(|e| LanguageError::unavailable(format!("its vocabulary can't be used for grammars: {e}")))?;
        factory.quiet();
        Ok(Self(factory))
    }

    fn matcher(&self, schema: &str) -> Result<Matcher, LanguageError> {
        let grammar = TopLevelGrammar::from_json_schema(parse_schema(schema)?);
        let refused = |e: &dyn std::fmt::Display| {
            LanguageError::invalid_request(format!("the JSON schema can't be made a grammar: {e}"))
        };
        let parser = self.0.create_parser(grammar).map_err(|e| refused(&e))?;
        let matcher = Matcher::new(Ok(parser));
        matcher.get_error().map_or(Ok(matcher), |e| Err(refused(&e)))
    }
}

/// Chooses for one request.
pub(super) struct Chooser {
    temperature: f32,
    draws: Pcg64,
    matcher: Option<Matcher>,
}

impl Chooser {
    pub(super) fn new(grammars: &Grammars, request: &GenerateRequest, runtime: &str) -> Result<Self, LanguageError> {
        let matcher = match &request.constraint {
            None => None,
            Some(Constraint::JsonSchema(schema)) => Some(grammars.matcher(schema)?),
            Some(Constraint::Grammar(_)) => {
                let reason = "it takes JSON schemas, no GBNF; choices are an enum, patterns are regular expressions";
                return Err(LanguageError::Unsupported { runtime: runtime.to_owned(), reason: reason.to_owned() });
            }
        };
        Ok(Self { temperature: request.temperature, draws: Pcg64::seed_from_u64(request.seed.into()), matcher })
    }

    /// Chooses by the logits of all tokens. None at the end of what the schema allows.
    pub(super) fn choose(&mut self, logits: &mut [f32]) -> Result<Option<u32>, LanguageError> {
        let broken = |e: &dyn std::fmt::Display| LanguageError::invalid_output(format!("the schema led nowhere: {e}"));
        if let Some(matcher) = &mut self.matcher {
            if matcher.is_stopped() {
                return Ok(None);
            }
            let allowed = matcher.compute_mask_or_eos().map_err(|e| broken(&e))?;
            for (token, logit) in logits.iter_mut().enumerate() {
                if !allowed.is_allowed(token as u32) {
                    *logit = f32::NEG_INFINITY;
                }
            }
        }
        let token = if self.temperature == 0.0 { likeliest(logits) } else { self.draw(logits) };
        let token = token.ok_or_else(|| LanguageError::invalid_output("the model gave no token a probability"))?;
        if let Some(matcher) = &mut self.matcher {
            matcher.consume_token(token).map_err(|e| broken(&e))?;
        }
        Ok(Some(token))
    }

    /// A draw from the softmax at the temperature: the greatest of logit / temperature + Gumbel noise (Maddison et al. 2014). Each token has
    /// its own noise, so that rounding, which depends on what is computed side by side, hardly ever changes the choice.
    fn draw(&mut self, logits: &[f32]) -> Option<u32> {
        let temperature = f64::from(self.temperature);
        let noisy: Vec<f32> = logits
            .iter()
            .map(|&logit| {
                let noise = -(-(self.draws.random::<f64>().max(f64::MIN_POSITIVE)).ln()).ln();
                (f64::from(logit) / temperature + noise) as f32
            })
            .collect();
        likeliest(&noisy)
    }
}

fn likeliest(logits: &[f32]) -> Option<u32> {
    let finite = logits.iter().enumerate().filter(|(_, logit)| logit.is_finite());
    // Of equals the first, so that the choice doesn't depend on chance.
    finite.rev().max_by(|a, b| a.1.total_cmp(b.1)).map(|(token, _)| token as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_follow_the_distribution() {
        let mut chooser = Chooser { temperature: 1.0, draws: Pcg64::seed_from_u64(1), matcher: None };
        let logits = [0.5_f32.ln(), 0.3_f32.ln(), f32::NEG_INFINITY, 0.2_f32.ln()];
        let mut counts = [0_u32; 4];
        (0..20_000).for_each(|_| counts[chooser.draw(&logits).unwrap() as usize] += 1);
        for (count, share) in counts.iter().zip([0.5, 0.3, 0.0, 0.2]) {
            // Four standard deviations.
            assert!((f64::from(*count) / 20_000.0 - share).abs() < 0.0142, "{counts:?}");
        }
        assert_eq!(likeliest(&[1.0, 3.0, 3.0, f32::NEG_INFINITY]), Some(1));
        assert_eq!(likeliest(&[f32::NEG_INFINITY; 3]), None);
    }
}
