//! The sums that the store keeps equal a recount from the log, and what the twin in memory says, after any history.

mod common;

use common::*;
use proptest::prelude::*;
use zhiyin_core::{
    Kind,
    storage::{Appended, Batch, Storage},
};
use zhiyin_store::{MemoryStorage, Store};

const ACTORS: u32 = 4;
const ITEMS: u32 = 4;
const DECISIONS: u64 = 6;
const HOURS: i64 = 3;

/// One step of a history.
#[derive(Clone, Debug)]
enum Step {
    Event {
        id: u8,
        kind: Kind,
        actor: u32,
        item: u32,
        decision: u64,
        price: f64,
        quantity: f64,
    },
    Decision {
        n: u64,
        actor: Option<u32>,
        model: &'static str,
        shown: Vec<(u32, &'static str)>,
    },
    Erase(u32),
    /// Everything since the last one goes into one batch.
    Commit,
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let kind = prop_oneof![
        Just(Kind::View),
        Just(Kind::Click),
        Just(Kind::Cart),
        Just(Kind::Purchase),
        Just(Kind::Purchase),
        Just(Kind::Like)
    ];
    // Prices that have no exact binary form: sums of such numbers depend on their order.
    let money = (prop_oneof![Just(0.1), Just(19.99), Just(1e9)], prop_oneof![Just(1.0), Just(3.0), Just(-1.0)]);
    let event = (0..40_u8, kind, 0..ACTORS, 0..ITEMS, 0..DECISIONS, money).prop_map(
        |(id, kind, actor, item, decision, (price, quantity))| Step::Event {
            id,
            kind,
            actor,
            item,
            decision,
            price,
            quantity,
        },
    );
    let shown = proptest::collection::vec((0..ITEMS, prop_oneof![Just("a"), Just("b")]), 0..4);
    let model = prop_oneof![Just("m-1"), Just("m-2")];
    let decision = (0..DECISIONS, proptest::option::of(0..ACTORS), model, shown)
        .prop_map(|(n, actor, model, shown)| Step::Decision { n, actor, model, shown });
    prop_oneof![
        8 => event,
        4 => decision,
        1 => (0..ACTORS).prop_map(Step::Erase),
        4 => Just(Step::Commit),
        1 => Just(Step::Reopen),
    ]
}

fn time_of(n: u64) -> i64 {
    START + (n as i64 % HOURS) * HOUR + n as i64
}

/// A folder's store and its twin, led through the same history.
struct Pair {
    folder: tempfile::TempDir,
    store: Option<Store>,
    twin: MemoryStorage,
    pending: Batch,
    /// The number that each actor has now; an erased one comes back under a new number.
    numbers: [u32; ACTORS as usize],
}

impl Pair {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let pair = Self {
            store: Some(open(folder.path())),
            folder,
            twin: MemoryStorage::new(),
            pending: Batch::default(),
            numbers: [0, 1, 2, 3],
        };
        pair.both(&cast());
        pair
    }

    fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }

    fn both(&self, batch: &Batch) -> Vec<Appended> {
        let appended = self.store().commit(batch).unwrap();
        assert_eq!(appended, self.twin.commit(batch).unwrap());
        appended
    }

    fn flush(&mut self) {
        let batch = std::mem::take(&mut self.pending);
        self.both(&batch);
    }

    fn erase(&mut self, who: u32) {
        self.flush();
        let ix = self.numbers[who as usize];
        assert_eq!(self.store().erase(&[ix]).unwrap(), self.twin.erase(&[ix]).unwrap());
        let next = self.store().high_water().unwrap().next_actor;
        self.numbers[who as usize] = next;
        self.both(&Batch { actors: vec![user(next)], ..Batch::default() });
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Event { id, kind, actor, item, decision, price, quantity } => {
                let actor = self.numbers[actor as usize];
                let staged = paid(price, quantity, event(&format!("e-{id}"), kind, actor, item));
                self.pending.events.push(after(decision_id(time_of(decision), decision), staged));
            }
            Step::Decision { n, actor, model, shown } => {
                let actor = actor.map(|who| self.numbers[who as usize]);
                self.pending.decisions.push(decision(time_of(n), n, actor, model, &shown));
            }
            Step::Erase(who) => self.erase(who),
            Step::Commit => self.flush(),
            Step::Reopen => {
                self.store = None;
                self.store = Some(open(self.folder.path()));
            }
        }
    }

    fn check(&self) -> Result<(), TestCaseError> {
        let hours = (0..HOURS).map(|hour| START + hour * HOUR..START + (hour + 1) * HOUR);
        for window in hours.chain([ALWAYS, START + 1..START + HOUR + 1]) {
            let sums = self.store().outcomes(window.clone()).unwrap();
            prop_assert_eq!(&sums, &self.store().recount_outcomes(window.clone()).unwrap());
            prop_assert_eq!(&sums, &self.twin.outcomes(window).unwrap());
        }
        prop_assert_eq!(self.store().events_after(0, 1000).unwrap(), self.twin.events_after(0, 1000).unwrap());
        let decisions = self.store().decisions(ALWAYS, None, 1000).unwrap();
        prop_assert_eq!(decisions, self.twin.decisions(ALWAYS, None, 1000).unwrap());
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    #[test]
    fn sums_equal_a_recount_after_any_history(steps in proptest::collection::vec(step(), 1..50)) {
        let mut pair = Pair::new();
        for step in steps {
            let looks = matches!(step, Step::Commit | Step::Erase(_));
            pair.take(step);
            if looks {
                pair.check()?;
            }
        }
        pair.flush();
        pair.check()?;
        for who in 0..ACTORS {
            pair.erase(who);
        }
        pair.check()?;
    }
}

#[test]
fn nothing_is_left_of_actors_who_are_all_erased() {
    let mut pair = Pair::new();
    for n in 0..DECISIONS {
        pair.take(Step::Decision { n, actor: Some(n as u32 % ACTORS), model: "m-1", shown: vec![(0, "a"), (1, "b")] });
        for (at, kind) in [Kind::Click, Kind::Cart, Kind::Purchase].into_iter().enumerate() {
            let (actor, item) = ((n as u32 + at as u32) % ACTORS, at as u32 % 2);
            let id = n as u8 * 3 + at as u8;
            pair.take(Step::Event { id, kind, actor, item, decision: n, price: 0.1, quantity: 3.0 });
        }
    }
    pair.flush();
    assert!(!pair.store().outcomes(ALWAYS).unwrap().is_empty());
    for who in 0..ACTORS {
        pair.erase(who);
    }
    assert_eq!(pair.store().outcomes(ALWAYS).unwrap(), []);
    assert_eq!(pair.store().events_after(0, 10).unwrap(), []);
}
