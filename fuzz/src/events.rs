//! Any bytes are refused or become an event; what passes cleaning survives the way to the log and back.
#![no_main]
#![allow(clippy::disallowed_methods, reason = "the macro of libFuzzer opens files itself")]

use libfuzzer_sys::fuzz_target;
use zhiyin_core::{EventInput, KindWeights};
use zhiyin_intake::clean::{Cleaner, CleaningConfig, Verdict};

/// 2026-11-24 00:00 UTC.
const NOW_MS: i64 = 1_795_478_400_000;

fuzz_target!(|bytes: &[u8]| {
    let Ok(input) = serde_json::from_slice::<EventInput>(bytes) else { return };
    let mut cleaner = Cleaner::new(&CleaningConfig::default(), KindWeights::default());
    match cleaner.check(input, NOW_MS) {
        Verdict::Clean(screened) => {
            let event = &screened.event;
            assert!(event.user.is_some() || event.session.is_some());
            assert!(event.time_ms <= NOW_MS);
            let text = serde_json::to_string(event).expect("an event is JSON");
            let again: zhiyin_core::Event = serde_json::from_str(&text).expect("and JSON is an event");
            assert_eq!(&again, event);
        }
        Verdict::Repeated(finding) | Verdict::Refused(finding) => assert!(!finding.reason.is_empty()),
    }
});
