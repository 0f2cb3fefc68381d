//! Any text is a filter or a refusal that names a place; a filter can be asked about any item.
#![no_main]
#![allow(clippy::disallowed_methods, reason = "the macro of libFuzzer opens files itself")]

use libfuzzer_sys::fuzz_target;
use zhiyin_core::{ExternalId, Item};
use zhiyin_intake::filter::Filter;

fuzz_target!(|text: &str| {
    let item = ExternalId::parse("id", "mug-1").map(Item::bare);
    match (Filter::parse(text), item) {
        (Ok(filter), Ok(item)) => {
            let negated = Filter::parse(&format!("not ({text})"));
            if let Ok(negated) = negated {
                assert_ne!(filter.matches(&item), negated.matches(&item));
            }
        }
        (Err(problem), _) => assert!(!problem.rule.is_empty() && !problem.remedy.is_empty()),
        (Ok(_), Err(_)) => unreachable!("the item's name is valid"),
    }
});
