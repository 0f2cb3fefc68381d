//! The small model that these tests run: SmolLM2-135M-Instruct, pulled by themselves.

use std::path::PathBuf;
use zhiyin_weights::{Folder, NoProgress, PullOptions, WeightsError, pull};

/// The file in `ZHIYIN_MODELS` or the target folder, pulled if it isn't there; none with a message where no source can be reached.
pub fn model() -> Option<PathBuf> {
    let own = || PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("models");
    let folder = Folder::new(std::env::var_os("ZHIYIN_MODELS").map_or_else(own, PathBuf::from));
    let catalogue = folder.catalogue().expect("it is shipped");
    let model = catalogue.find("smollm2").expect("it is in it");
    match pull(&folder, model, &PullOptions::from_environment(&catalogue.hub), &NoProgress) {
        Ok(_) => Some(folder.model("smollm2").join(&model.files[0].name)),
        Err(WeightsError::NoSource { attempts, .. }) => {
            eprintln!("SKIPPED: smollm2 could not be pulled: {attempts}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}
