//! A gated recurrent unit over a history (Cho et al. 2014; Hidasi et al. 2016), with variational dropout: what is left out of the inputs and
//! of the memory is drawn once for a history and stays the same in all its steps (Gal and Ghahramani 2016).
//!
//! r = σ(x·Wr + h·Ur + br), z = σ(x·Wz + h·Uz + bz), n = tanh(x·Wn + r ∘ (h·Un) + bn), h ← (1 − z) ∘ n + z ∘ h; a map of h gives the state.
//! Histories take their steps together, the longest first, so that those which still go on are always the first ones.

use crate::{
    events::Pack,
    layout::{Layout, Slot, Start},
    network::{LossOf, Network, Pass},
    noise::Noise,
    params::Params,
    product::{add, back, rows, rows_mut, set, through},
};

/// Where the unit's numbers lie.
pub struct Gru {
    dims: usize,
    /// From an input to the gates r and z and the proposal n.
    input: Slot,
    bias: Slot,
    /// From the memory to the same.
    memory: Slot,
    output: Slot,
}

impl Gru {
    pub fn new(params: &Params, layout: &mut Layout) -> Self {
        let dims = params.dims;
        let deviation = Start::Normal(1.0 / (dims as f32).sqrt());
        Self {
            dims,
            input: layout.add("input", dims, 3 * dims, deviation),
            bias: layout.add("bias", 1, 3 * dims, Start::Zeros),
            memory: layout.add("memory", dims, 3 * dims, deviation),
            output: layout.add("output", dims, dims, deviation),
        }
    }

    fn there(&self, pass: Pass<'_>, mut inputs: Vec<f32>) -> Kept {
        let masks = Masks::of(pass, self.dims);
        let factor = (self.dims as f32).sqrt();
        inputs.iter_mut().for_each(|value| *value *= factor);
        masks.apply_to_events(pass.pack, &mut inputs);
        let mut from_inputs = through(&inputs, rows(self.input.of(pass.values), 3 * self.dims));
        let bias = self.bias.of(pass.values);
        for row in from_inputs.chunks_exact_mut(bias.len()) {
            row.iter_mut().zip(bias).for_each(|(value, bias)| *value += bias);
        }
        let order = Order::of(pass.pack);
        let events = pass.pack.events();
        let mut kept = Kept {
            inputs,
            masks,
            gates: vec![0.0; events * 4 * self.dims],
            memories: vec![0.0; events * self.dims],
            order,
        };
        for step in 0..kept.order.steps() {
            self.step(pass, step, &from_inputs, &mut kept);
        }
        kept
    }

    /// What the histories that have a step of this number remember from before it, as far as it isn't left out.
    fn remembered(&self, kept: &Kept, step: usize) -> Vec<f32> {
        let mut before = vec![0.0; kept.order.active(step).len() * self.dims];
        if step == 0 {
            return before;
        }
        for (row, &(history, first)) in before.chunks_exact_mut(self.dims).zip(kept.order.active(step)) {
            row.copy_from_slice(&kept.memories[(first + step - 1) * self.dims..][..self.dims]);
            kept.masks.apply_to_memory(history, row);
        }
        before
    }

    fn step(&self, pass: Pass<'_>, step: usize, from_inputs: &[f32], kept: &mut Kept) {
        let dims = self.dims;
        let before = self.remembered(kept, step);
        let from_memory = through(&before, rows(self.memory.of(pass.values), 3 * dims));
        for (&(_, first), own) in kept.order.active(step).iter().zip(from_memory.chunks_exact(3 * dims)) {
            let event = first + step;
            let input = &from_inputs[event * 3 * dims..][..3 * dims];
            let gates = &mut kept.gates[event * 4 * dims..][..4 * dims];
            for at in 0..dims {
                let r = sigmoid(input[at] + own[at]);
                let z = sigmoid(input[dims + at] + own[dims + at]);
                let proposed = own[2 * dims + at];
                let n = (input[2 * dims + at] + r * proposed).tanh();
                let old = if step == 0 { 0.0 } else { kept.memories[(event - 1) * dims + at] };
                kept.memories[event * dims + at] = (1.0 - z) * n + z * old;
                (gates[at], gates[dims + at], gates[2 * dims + at], gates[3 * dims + at]) = (r, z, n, proposed);
            }
        }
    }

    /// Derivatives by what inputs and memory gave to the gates of a step. `slopes` are those by the memories after it, by active history;
    /// they become those by the memories before it, as far as these are kept directly.
    fn gates_back(&self, kept: &Kept, step: usize, slopes: &mut [f32], by_inputs: &mut [f32]) -> Vec<f32> {
        let dims = self.dims;
        let active = kept.order.active(step);
        let mut by_own = vec![0.0; active.len() * 3 * dims];
        for (row, &(_, first)) in active.iter().enumerate() {
            let event = first + step;
            let gates = &kept.gates[event * 4 * dims..][..4 * dims];
            let by_input = &mut by_inputs[event * 3 * dims..][..3 * dims];
            let by_own = &mut by_own[row * 3 * dims..][..3 * dims];
            for at in 0..dims {
                let [r, z, n, proposed] = [0, 1, 2, 3].map(|part| gates[part * dims + at]);
                let old = if step == 0 { 0.0 } else { kept.memories[(event - 1) * dims + at] };
                let slope = &mut slopes[row * dims + at];
                let by_n = *slope * (1.0 - z) * (1.0 - n * n);
                let by_z = *slope * (old - n) * z * (1.0 - z);
                let by_r = by_n * proposed * r * (1.0 - r);
                *slope *= z;
                (by_input[at], by_input[dims + at], by_input[2 * dims + at]) = (by_r, by_z, by_n);
                (by_own[at], by_own[dims + at], by_own[2 * dims + at]) = (by_r, by_z, by_n * r);
            }
        }
        by_own
    }

    /// Back through all steps: derivatives by what the inputs gave to the gates.
    fn steps_back(&self, pass: Pass<'_>, kept: &Kept, by_memories: &[f32], gradients: &mut [f32]) -> Vec<f32> {
        let dims = self.dims;
        let mut by_inputs = vec![0.0; kept.memories.len() * 3];
        let mut carried: Vec<f32> = Vec::new();
        for step in (0..kept.order.steps()).rev() {
            let active = kept.order.active(step);
            carried.resize(active.len() * dims, 0.0);
            for (row, &(_, first)) in carried.chunks_exact_mut(dims).zip(active) {
                let own = &by_memories[(first + step) * dims..][..dims];
                row.iter_mut().zip(own).for_each(|(slope, own)| *slope += own);
            }
            let by_own = self.gates_back(kept, step, &mut carried, &mut by_inputs);
            let before = self.remembered(kept, step);
            add(
                rows_mut(self.memory.of_mut(gradients), 3 * dims),
                rows(&before, dims).transpose(),
                rows(&by_own, 3 * dims),
                1.0,
            );
            let mut by_before = vec![0.0; before.len()];
            let map = rows(self.memory.of(pass.values), 3 * dims);
            set(rows_mut(&mut by_before, dims), rows(&by_own, 3 * dims), map.transpose(), 1.0);
            for ((row, by_before), &(history, _)) in
                carried.chunks_exact_mut(dims).zip(by_before.chunks_exact_mut(dims)).zip(active)
            {
                kept.masks.apply_to_memory(history, by_before);
                row.iter_mut().zip(by_before).for_each(|(slope, more)| *slope += *more);
            }
        }
        by_inputs
    }
}

impl Network for Gru {
    fn states(&self, pass: Pass<'_>, inputs: Vec<f32>) -> Vec<f32> {
        through(&self.there(pass, inputs).memories, rows(self.output.of(pass.values), self.dims))
    }

    fn learn(&self, pass: Pass<'_>, inputs: Vec<f32>, loss: LossOf<'_>, gradients: &mut [f32]) -> Vec<f32> {
        let kept = self.there(pass, inputs);
        let map = rows(self.output.of(pass.values), self.dims);
        let slopes = loss(&through(&kept.memories, map));
        let by_memories = back(&kept.memories, map, &slopes, self.output.of_mut(gradients));
        let by_gates = self.steps_back(pass, &kept, &by_memories, gradients);
        let bias = self.bias.of_mut(gradients);
        for row in by_gates.chunks_exact(bias.len()) {
            bias.iter_mut().zip(row).for_each(|(bias, slope)| *bias += slope);
        }
        let map = rows(self.input.of(pass.values), 3 * self.dims);
        let mut below = back(&kept.inputs, map, &by_gates, self.input.of_mut(gradients));
        kept.masks.apply_to_events(pass.pack, &mut below);
        let factor = (self.dims as f32).sqrt();
        below.iter_mut().for_each(|value| *value *= factor);
        below
    }
}

/// What the way back needs.
struct Kept {
    inputs: Vec<f32>,
    masks: Masks,
    /// r, z, n and what the memory proposed for n, for each event.
    gates: Vec<f32>,
    /// The memory after each event.
    memories: Vec<f32>,
    order: Order,
}

/// Histories by length, the longest first.
struct Order {
    /// Number and first event of each history.
    histories: Vec<(usize, usize)>,
    /// How many histories have a step of each number.
    active: Vec<usize>,
}

impl Order {
    fn of(pack: &Pack) -> Self {
        let mut histories: Vec<_> = pack.histories().enumerate().collect();
        histories.sort_by_key(|(_, events)| std::cmp::Reverse(events.len()));
        let steps = histories.first().map_or(0, |(_, events)| events.len());
        let active = |step| histories.partition_point(|(_, events)| events.len() > step);
        let active = (0..steps).map(active).collect();
        let histories = histories.into_iter().map(|(history, events)| (history, events.start)).collect();
        Self { histories, active }
    }

    fn steps(&self) -> usize {
        self.active.len()
    }

    fn active(&self, step: usize) -> &[(usize, usize)] {
        &self.histories[..self.active[step]]
    }
}

/// What is left out of each history, in all its steps.
struct Masks {
    dims: usize,
    /// Factors for each history; empty when nothing is left out.
    inputs: Vec<f32>,
    memory: Vec<f32>,
}

impl Masks {
    fn of(pass: Pass<'_>, dims: usize) -> Self {
        let histories = pass.pack.starts.len() - 1;
        let mask = |noise: Noise, number| {
            let mut factors = vec![1.0; histories * dims];
            noise.at(number).drop(&mut factors);
            factors
        };
        let of = |number| pass.noise.map_or_else(Vec::new, |noise| mask(noise, number));
        Self { dims, inputs: of(0), memory: of(1) }
    }

    fn apply_to_events(&self, pack: &Pack, numbers: &mut [f32]) {
        for (factors, events) in self.inputs.chunks_exact(self.dims).zip(pack.histories()) {
            for row in numbers[events.start * self.dims..events.end * self.dims].chunks_exact_mut(self.dims) {
                row.iter_mut().zip(factors).for_each(|(value, factor)| *value *= factor);
            }
        }
    }

    fn apply_to_memory(&self, history: usize, row: &mut [f32]) {
        let factors = self.memory.iter().skip(history * self.dims);
        row.iter_mut().zip(factors).for_each(|(value, factor)| *value *= factor);
    }
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}
