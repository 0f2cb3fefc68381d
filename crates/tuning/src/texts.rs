//! From histories to what a model learns from.
//!
//! A *window* is a part of a history. Some windows make a *lesson*, which is read as one tree: the prompt, after it the windows' titles, and after
//! some places in each window the titles that the other windows go on with, so that the model learns to tell its own title from those. They are
//! frequent as chosen titles are, so it can't tell them by being frequent.

use std::collections::HashMap;

use rand::{
    RngExt, SeedableRng,
    seq::{SliceRandom, index},
};
use rand_pcg::Pcg64Mcg;
use serde::{Deserialize, Serialize};
use zhiyin_assistant::preference::{HISTORY_TITLES_MAX, chosen, next, question};
use zhiyin_decoder::{After, Decoder, Example};
use zhiyin_llm::local::chat_tokens;

/// Titles of one window.
const TITLES: usize = HISTORY_TITLES_MAX + 1;
/// Draws of a title that isn't in a history, before a question is given up.
const DRAWS_MAX: usize = 20;

/// What is learned from: histories of item numbers, oldest first, and the titles of the items.
#[derive(Clone, Copy)]
pub struct Behaviour<'a> {
    /// By item; an empty one is never shown.
    pub titles: &'a [String],
    /// By user, without repeats.
    pub histories: &'a [Vec<u32>],
}

/// Which windows there are, and what is asked about them.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// Share of windows that a yes-or-no question is asked about, half about a title that doesn't come next.
    pub question_share: f32,
    /// Places of each window at which its title is told from those of others.
    pub choices: usize,
    /// Seed of the places and the order.
    pub seed: u64,
}

/// A part of a history.
#[derive(Clone, Debug, PartialEq)]
pub struct Window {
    /// Number of the history.
    history: usize,
    /// Two to 13 items with titles.
    items: Vec<u32>,
    /// Places whose title is told from others; never the first.
    choices: Vec<usize>,
    /// Whether this item comes after all but the last.
    question: Option<(u32, bool)>,
}

/// Windows of one epoch in a random order: every history is cut from a random place on.
pub fn windows(behaviour: Behaviour<'_>, asked: Asked) -> Vec<Window> {
    let mut random = Pcg64Mcg::seed_from_u64(asked.seed);
    let mut windows = Vec::new();
    for (number, history) in behaviour.histories.iter().enumerate() {
        let items: Vec<u32> = history.iter().copied().filter(|&item| behaviour.has_title(item)).collect();
        let first = if items.len() > TITLES { random.random_range(0..TITLES) } else { 0 };
        let (head, rest) = items.split_at(first);
        for items in std::iter::once(head).chain(rest.chunks(TITLES)).filter(|items| items.len() >= 2) {
            let question = (random.random::<f32>() < asked.question_share)
                .then(|| behaviour.question(number, items, &mut random))
                .flatten();
            let places = index::sample(&mut random, items.len() - 1, asked.choices.min(items.len() - 1));
            let choices = places.into_iter().map(|place| place + 1).collect();
            windows.push(Window { history: number, items: items.to_vec(), choices, question });
        }
    }
    windows.shuffle(&mut random);
    windows
}

impl<'a> Behaviour<'a> {
    fn title(self, item: u32) -> &'a str {
        &self.titles[item as usize]
    }

    fn has_title(self, item: u32) -> bool {
        !self.title(item).trim().is_empty()
    }

    /// Whether somebody chose an item, or another one with the same title.
    fn holds(self, history: usize, item: u32) -> bool {
        self.histories[history].iter().any(|&own| own == item || self.title(own) == self.title(item))
    }

    fn question(self, history: usize, items: &[u32], random: &mut Pcg64Mcg) -> Option<(u32, bool)> {
        let is_next = random.random::<bool>();
        if is_next { items.last().map(|&item| (item, true)) } else { Some((self.other(history, random)?, false)) }
    }

    /// An item that isn't in a history, as frequent items are: one of another history.
    fn other(self, history: usize, random: &mut Pcg64Mcg) -> Option<u32> {
        (0..DRAWS_MAX).find_map(|_| {
            let drawn = &self.histories[random.random_range(0..self.histories.len())];
            let item = *drawn.get(random.random_range(0..drawn.len().max(1)))?;
            (self.has_title(item) && !self.holds(history, item)).then_some(item)
        })
    }
}

/// What a model is worth on a lesson, or on several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Loss {
    /// Mean −ln p of a token of the windows' titles, in nats.
    pub token: f64,
    /// Mean −ln of the share that the chosen title has among those it is told from, by the preference ln p(title | history) − ln p(title). In nats.
    pub choice: f64,
}

impl Loss {
    /// What training lowers.
    pub fn objective(self, choice_weight: f64) -> f64 {
        self.token + choice_weight * self.choice
    }

    /// The mean of several.
    pub fn mean(losses: &[Self]) -> Self {
        let count = losses.len().max(1) as f64;
        let of = |part: fn(&Self) -> f64| losses.iter().map(part).sum::<f64>() / count;
        Self { token: of(|loss| loss.token), choice: of(|loss| loss.choice) }
    }
}

/// A candidate: the number of the sum of its tokens after a history, and of that without one.
type Candidate = (u32, u32);

/// Windows as a tree of texts, and what the sums of −ln p are for.
pub struct Lesson {
    /// The texts.
    pub examples: Vec<Example>,
    /// Tokens that are foretold in the windows, and their sums.
    foretold: usize,
    told: Vec<u32>,
    /// What each chosen title is told from; it is the first.
    choices: Vec<Vec<Candidate>>,
}

impl Lesson {
    /// Windows to be read together.
    pub fn new(decoder: &Decoder, behaviour: Behaviour<'_>, windows: &[Window]) -> Self {
        let prompt = Example::read(chat_tokens(decoder, &chosen::<&str>(&[])), None);
        let lesson = Self { examples: vec![prompt], foretold: 0, told: Vec::new(), choices: Vec::new() };
        let mut writer = Writer { decoder, behaviour, lesson, sums: 0, alone: HashMap::new() };
        let read: Vec<ReadWindow<'_>> = windows.iter().map(|window| writer.window(window)).collect();
        for turn in 0..windows.iter().map(|window| window.choices.len()).max().unwrap_or(0) {
            writer.choose(&read, turn);
        }
        windows.iter().for_each(|window| writer.question(window));
        writer.lesson
    }

    /// Tokens that are read.
    pub fn tokens(&self) -> usize {
        self.examples.iter().map(|example| example.tokens.len()).sum()
    }

    /// What the sums of −ln p are worth.
    pub fn loss(&self, sums: &[f64]) -> Loss {
        let told: f64 = self.told.iter().map(|&sum| sums[sum as usize]).sum();
        let choice: f64 = self.choices.iter().map(|candidates| -shares(candidates, sums)[0].ln()).sum();
        Loss { token: told / self.foretold.max(1) as f64, choice: choice / self.choices.len().max(1) as f64 }
    }

    /// The objective, and its derivative by each sum.
    pub fn objective(&self, sums: &[f64], choice_weight: f64) -> (f64, Vec<f64>) {
        let mut slopes = vec![0.0; sums.len()];
        for &sum in &self.told {
            slopes[sum as usize] += 1.0 / self.foretold.max(1) as f64;
        }
        let weight = choice_weight / self.choices.len().max(1) as f64;
        for candidates in &self.choices {
            for (at, (share, (known, alone))) in shares(candidates, sums).into_iter().zip(candidates).enumerate() {
                // By the preference: the share less the truth. The preference falls by the known sum and rises by the other.
                let slope = weight * (share - f64::from(u8::from(at == 0)));
                slopes[*known as usize] -= slope;
                slopes[*alone as usize] += slope;
            }
        }
        (self.loss(sums).objective(choice_weight), slopes)
    }
}

/// The softmax of the candidates' preferences.
fn shares(candidates: &[Candidate], sums: &[f64]) -> Vec<f64> {
    let preference = |&(known, alone): &Candidate| sums[alone as usize] - sums[known as usize];
    let greatest = candidates.iter().map(preference).fold(f64::NEG_INFINITY, f64::max);
    let weights: Vec<f64> = candidates.iter().map(|candidate| (preference(candidate) - greatest).exp()).collect();
    let total: f64 = weights.iter().sum();
    weights.into_iter().map(|weight| (weight / total).max(f64::MIN_POSITIVE)).collect()
}

/// A window that is written down.
struct ReadWindow<'a> {
    window: &'a Window,
    /// Number of its example.
    example: usize,
    /// Tokens up to the end of each title.
    ends: Vec<usize>,
    /// The sum of each title.
    sums: Vec<u32>,
}

/// A lesson being written.
struct Writer<'a> {
    decoder: &'a Decoder,
    behaviour: Behaviour<'a>,
    lesson: Lesson,
    sums: u32,
    /// The sum of each item's title right after the prompt.
    alone: HashMap<u32, u32>,
}

impl Writer<'_> {
    fn tokens(&self, item: u32) -> Vec<u32> {
        self.decoder.tokens().of(&next(self.behaviour.title(item)).text)
    }

    fn next_sum(&mut self) -> u32 {
        self.sums += 1;
        self.sums - 1
    }

    fn prompt(&self) -> After {
        Some((0, self.lesson.examples[0].tokens.len()))
    }

    /// Writes the titles of a window, all of which are to be foretold.
    fn window<'w>(&mut self, window: &'w Window) -> ReadWindow<'w> {
        let mut example = Example { after: self.prompt(), ..Example::default() };
        let mut read = ReadWindow { window, example: self.lesson.examples.len(), ends: Vec::new(), sums: Vec::new() };
        for &item in &window.items {
            let sum = self.next_sum();
            example.tokens.extend(self.tokens(item));
            example.sums.resize(example.tokens.len(), Some(sum));
            read.ends.push(example.tokens.len());
            read.sums.push(sum);
        }
        self.lesson.told.extend(&read.sums);
        self.lesson.foretold += example.tokens.len();
        self.lesson.examples.push(example);
        read
    }

    /// At the numbered choice of each window, tells its title from those that the other windows go on with at theirs.
    fn choose(&mut self, read: &[ReadWindow<'_>], turn: usize) {
        let item = |read: &ReadWindow<'_>| Some(read.window.items[*read.window.choices.get(turn)?]);
        for own in read {
            let Some(&place) = own.window.choices.get(turn) else { continue };
            let mut others: Vec<u32> =
                read.iter().filter_map(item).filter(|&item| !self.behaviour.holds(own.window.history, item)).collect();
            others.sort_unstable();
            others.dedup_by_key(|item| self.behaviour.title(*item));
            if others.is_empty() {
                continue;
            }
            let mut candidates = vec![(own.sums[place], self.alone(own.window.items[place]))];
            for other in others {
                let (sum, after) = (self.next_sum(), Some((own.example, own.ends[place - 1])));
                self.lesson.examples.push(Example::foretold(self.tokens(other), sum, after));
                candidates.push((sum, self.alone(other)));
            }
            self.lesson.choices.push(candidates);
        }
    }

    /// The sum of a title right after the prompt.
    fn alone(&mut self, item: u32) -> u32 {
        if let Some(sum) = self.alone.get(&item) {
            return *sum;
        }
        let sum = self.next_sum();
        self.lesson.examples.push(Example::foretold(self.tokens(item), sum, self.prompt()));
        self.alone.insert(item, sum);
        sum
    }

    /// Asks the question of a window, of whose answer the first token is to be foretold.
    fn question(&mut self, window: &Window) {
        let Some((item, is_next)) = window.question else { return };
        let before: Vec<&str> =
            window.items[..window.items.len() - 1].iter().map(|&item| self.behaviour.title(item)).collect();
        let (chat, [yes, no]) = question(&before, self.behaviour.title(item));
        let answer = self.decoder.tokens().of(if is_next { yes } else { no });
        let asked = Example::read(chat_tokens(self.decoder, &chat), None);
        let (number, length, sum) = (self.lesson.examples.len(), asked.tokens.len(), self.next_sum());
        self.lesson.examples.push(asked);
        self.lesson.examples.push(Example::foretold(answer[..1].to_vec(), sum, Some((number, length))));
        self.lesson.told.push(sum);
        self.lesson.foretold += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn behaviour<'a>(titles: &'a [String], histories: &'a [Vec<u32>]) -> Behaviour<'a> {
        Behaviour { titles, histories }
    }

    #[test]
    fn every_titled_item_is_in_one_window_and_choices_have_something_before_them() {
        let titles: Vec<String> =
            (0..60).map(|at| if at == 7 { String::new() } else { format!("Title {at}") }).collect();
        let histories = vec![(0..40).collect(), vec![41], vec![50, 51, 52], (20..35).collect()];
        let asked = Asked { question_share: 1.0, choices: 3, seed: 5 };
        let windows = windows(behaviour(&titles, &histories), asked);
        for (number, history) in histories.iter().enumerate().filter(|(_, history)| history.len() > 1) {
            let mut items: Vec<u32> = windows
                .iter()
                .filter(|window| window.history == number)
                .flat_map(|window| window.items.clone())
                .collect();
            items.sort_unstable();
            // A piece of one title at the beginning or the end is left out.
            let wanted = history.iter().filter(|item| **item != 7).count();
            assert!((wanted.saturating_sub(2)..=wanted).contains(&items.len()) && !items.contains(&7), "{items:?}");
        }
        for window in &windows {
            assert!((2..=TITLES).contains(&window.items.len()), "{window:?}");
            assert!(window.choices.iter().all(|place| (1..window.items.len()).contains(place)), "{window:?}");
            assert_eq!(window.choices.len(), 3.min(window.items.len() - 1));
            let (item, is_next) = window.question.unwrap();
            assert_eq!(is_next, Some(&item) == window.items.last());
            assert!(is_next || !histories[window.history].contains(&item));
        }
    }

    #[test]
    fn the_objective_is_what_is_measured_and_its_derivatives_are_limits_of_differences() {
        let lesson =
            Lesson { examples: Vec::new(), foretold: 4, told: vec![0, 1], choices: vec![vec![(1, 2), (3, 4), (5, 4)]] };
        let sums = [3.0, 2.0, 2.5, 4.0, 3.5, 1.0];
        // Preferences ½, −½ and 2½.
        let loss = lesson.loss(&sums);
        assert_eq!(loss.token, 1.25);
        let wanted = (1.0 + (-1.0_f64).exp() + 2_f64.exp()).ln();
        assert!((loss.choice - wanted).abs() < 1e-12, "{loss:?}");
        let (value, slopes) = lesson.objective(&sums, 0.7);
        assert!((value - (1.25 + 0.7 * wanted)).abs() < 1e-12);
        for at in 0..sums.len() {
            let moved = |step: f64| {
                let mut sums = sums;
                sums[at] += step;
                lesson.objective(&sums, 0.7).0
            };
            let difference = (moved(1e-5) - moved(-1e-5)) / 2e-5;
            assert!((slopes[at] - difference).abs() < 1e-8, "{at}: {slopes:?}");
        }
    }
}
