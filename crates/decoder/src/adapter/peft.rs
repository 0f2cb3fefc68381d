//! Adapters in the layout of PEFT: `adapter_model.safetensors` and `adapter_config.json`, which other programs load onto the same base model.
//!
//! GGUF turns neighbouring dimensions by rotary positions, PEFT's models the two halves of a head: rows of B for queries and keys change places.

use std::path::Path;

use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{Adapter, AdapterConfig, Place, Target};
use crate::llama::Shape;

/// Name of the file with the numbers.
pub const WEIGHTS_FILE: &str = "adapter_model.safetensors";
/// Name of the file that says what they are.
pub const CONFIG_FILE: &str = "adapter_config.json";

/// Why an adapter can't be used.
#[derive(Debug, Error)]
pub enum AdapterError {
    /// Its configuration makes no sense.
    #[error("the adapter can't be made: {0}")]
    Config(String),
    /// A file of it is damaged, or belongs to another model.
    #[error("the adapter in {folder} can't be used: {detail}; train it again with `zhiyin llm finetune`")]
    Unusable {
        /// Its folder.
        folder: std::path::PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// A file can't be read or written; its path is in the message.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// `adapter_config.json`, as far as it matters for what this crate makes.
#[derive(Debug, Serialize, Deserialize)]
struct PeftConfig {
    peft_type: String,
    task_type: String,
    base_model_name_or_path: String,
    r: usize,
    lora_alpha: f32,
    target_modules: Vec<Target>,
    bias: String,
    inference_mode: bool,
}

impl Adapter {
    /// Writes its two files into a folder. `base` is what the configuration calls the model that it belongs to.
    ///
    /// # Errors
    /// [`AdapterError::Io`].
    pub fn write(&self, folder: &Path, shape: Shape, base: &str) -> Result<(), AdapterError> {
        let config = PeftConfig {
            peft_type: "LORA".to_owned(),
            task_type: "CAUSAL_LM".to_owned(),
            base_model_name_or_path: base.to_owned(),
            r: self.config.rank,
            lora_alpha: self.config.alpha,
            target_modules: self.config.targets.clone(),
            bias: "none".to_owned(),
            inference_mode: true,
        };
        let config = serde_json::to_vec_pretty(&config).map_err(std::io::Error::from)?;
        fs_err::write(folder.join(CONFIG_FILE), config)?;
        let mut tensors = Vec::new();
        for place in &self.places {
            let down = bytes(self.values[place.down()].iter().copied());
            let up = &self.values[place.up()];
            let rows = (0..place.outputs).flat_map(|row| {
                let own = neighbouring(place, shape, row);
                up[own * place.rank..][..place.rank].iter().copied()
            });
            tensors.push((name(place, 'A'), down, vec![place.rank, place.inputs]));
            tensors.push((name(place, 'B'), bytes(rows), vec![place.outputs, place.rank]));
        }
        let views = tensors.iter().map(|(name, bytes, shape)| {
            let view = TensorView::new(Dtype::F32, shape.clone(), bytes);
            view.map(|view| (name.clone(), view)).map_err(std::io::Error::other)
        });
        let views = views.collect::<Result<Vec<_>, _>>()?;
        let file = safetensors::serialize(views, None).map_err(std::io::Error::other)?;
        Ok(fs_err::write(folder.join(WEIGHTS_FILE), file)?)
    }

    /// Reads the two files.
    ///
    /// # Errors
    /// [`AdapterError`]: no such files, or they are damaged or belong to a model of another shape.
    pub fn read(folder: &Path, shape: Shape) -> Result<Self, AdapterError> {
        let unusable = |detail: String| AdapterError::Unusable { folder: folder.to_owned(), detail };
        let config: PeftConfig = serde_json::from_slice(&fs_err::read(folder.join(CONFIG_FILE))?)
            .map_err(|error| unusable(format!("{CONFIG_FILE}: {error}")))?;
        let config = AdapterConfig { rank: config.r, alpha: config.lora_alpha, targets: config.target_modules };
        let mut adapter = Self::empty(shape, config)?;
        let file = fs_err::read(folder.join(WEIGHTS_FILE))?;
        let tensors = SafeTensors::deserialize(&file).map_err(|error| unusable(format!("{WEIGHTS_FILE}: {error}")))?;
        for place in &adapter.places {
            let numbers = |part: char, wanted: [usize; 2]| -> Result<Vec<f32>, AdapterError> {
                let name = name(place, part);
                let tensor = tensors.tensor(&name).map_err(|error| unusable(format!("{name}: {error}")))?;
                if tensor.dtype() != Dtype::F32 || tensor.shape() != wanted {
                    let found = (tensor.dtype(), tensor.shape());
                    return Err(unusable(format!("{name} is {found:?} instead of {:?}", (Dtype::F32, wanted))));
                }
                Ok(tensor.data().as_chunks().0.iter().map(|number| f32::from_le_bytes(*number)).collect())
            };
            let down = numbers('A', [place.rank, place.inputs])?;
            let up = numbers('B', [place.outputs, place.rank])?;
            if down.iter().chain(&up).any(|value| !value.is_finite()) {
                return Err(unusable(format!("{} holds numbers that aren't finite", name(place, 'A'))));
            }
            adapter.values[place.down()].copy_from_slice(&down);
            let start = place.up().start;
            for (row, numbers) in up.chunks_exact(place.rank).enumerate() {
                let own = start + neighbouring(place, shape, row) * place.rank;
                adapter.values[own..own + place.rank].copy_from_slice(numbers);
            }
        }
        let names = tensors.names().len();
        if names != 2 * adapter.places.len() {
            return Err(unusable(format!(
                "{WEIGHTS_FILE} holds {names} tensors instead of {}",
                2 * adapter.places.len()
            )));
        }
        Ok(adapter)
    }
}

fn name(place: &Place, part: char) -> String {
    let Place { layer, target, .. } = place;
    format!("base_model.model.model.layers.{layer}.{}.{target}.lora_{part}.weight", target.module())
}

/// The row among those of GGUF that is this row among those of PEFT.
fn neighbouring(place: &Place, shape: Shape, row: usize) -> usize {
    if !matches!(place.target, Target::Query | Target::Key) {
        return row;
    }
    let (head, within) = (row / shape.width, row % shape.width);
    let (half, pair) = (within / (shape.width / 2), within % (shape.width / 2));
    head * shape.width + 2 * pair + half
}

fn bytes(numbers: impl Iterator<Item = f32>) -> Vec<u8> {
    numbers.flat_map(f32::to_le_bytes).collect()
}
