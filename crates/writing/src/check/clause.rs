//! One clause: what it claims of what.

use std::collections::BTreeSet;

use super::Rejection;
use crate::evidence::{Claim, Evidence};

/// A claim with the things beside it.
#[derive(Default)]
struct Part {
    claim: Option<Claim>,
    things: BTreeSet<String>,
}

/// What a clause claims. Things belong to the claim before them, or to the first one if they come before any.
#[derive(Default)]
pub(super) struct Clause {
    parts: Vec<Part>,
    /// Nothing but words that join stands between the last claim and here: a name is what the claim is made of.
    is_open: bool,
    /// Claims of all clauses so far.
    pub(super) claims: usize,
}

impl Clause {
    fn last(&mut self) -> &mut Part {
        if self.parts.is_empty() {
            self.parts.push(Part::default());
        }
        let last = self.parts.len() - 1;
        &mut self.parts[last]
    }

    pub(super) fn claim(&mut self, claim: Claim) {
        self.claims += 1;
        self.is_open = claim.has_thing();
        let last = self.last();
        match last.claim {
            None => last.claim = Some(claim),
            Some(known) if known == claim => {}
            Some(_) => self.parts.push(Part { claim: Some(claim), things: BTreeSet::new() }),
        }
    }

    pub(super) fn thing(&mut self, thing: &str) {
        self.last().things.insert(thing.to_owned());
    }

    /// A recommended item is named, or a word that stands for it. Where a claim is made of it, the evidence has to make it of the item.
    pub(super) fn item(&mut self, item: &str) {
        if self.is_open && self.last().claim.is_some_and(Claim::is_of_user) {
            self.thing(item);
        }
    }

    pub(super) fn other_word(&mut self) {
        self.is_open = false;
    }

    /// Ends the clause: every claim has to hold for every thing beside it.
    pub(super) fn judge(&mut self, evidence: &Evidence) -> Result<(), Rejection> {
        self.is_open = false;
        std::mem::take(&mut self.parts).iter().try_for_each(|part| part.judge(evidence))
    }
}

impl Part {
    fn judge(&self, evidence: &Evidence) -> Result<(), Rejection> {
        let Some(claim) = self.claim else { return Ok(()) };
        let said_of = |thing: Option<&str>| {
            let is_meant = |name: &str| thing == Some(name);
            evidence
                .ranked()
                .iter()
                .any(|fact| fact.claim == claim && (thing.is_none() || fact.thing.as_deref().is_some_and(is_meant)))
        };
        let refused = |thing: Option<String>| Err(Rejection::Claim { claim, thing });
        if !claim.has_thing() {
            return if said_of(None) { Ok(()) } else { refused(None) };
        }
        // What somebody bought has to be named, or the words say it of something else.
        match self.things.iter().find(|thing| !said_of(Some(thing))) {
            Some(thing) => refused(Some(thing.clone())),
            None if self.things.is_empty() => refused(None),
            None => Ok(()),
        }
    }
}
