//! The catalogue: models by name, and of each file the size, the hash and the sources.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::WeightsError;

/// The shipped catalogue.
const SHIPPED: &str = include_str!("../catalogue.toml");
/// Letters of a SHA-256 in hexadecimal.
const SHA256_LETTERS: usize = 64;

/// What a model is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Turns texts into vectors.
    Encoder,
    /// Writes text.
    Generator,
}

impl Kind {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Encoder => "encoder",
            Kind::Generator => "generator",
        }
    }
}

/// Models that can be pulled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Catalogue {
    /// Address below which hub repositories lie.
    #[serde(default)]
    pub hub: String,
    /// The models.
    #[serde(default, rename = "model")]
    pub models: Vec<WeightModel>,
}

/// A model: one folder of files.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WeightModel {
    /// The name by which it is pulled and chosen: letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// What it is for.
    pub kind: Kind,
    /// What it is, in a line.
    pub about: String,
    /// SPDX name of its licence, or the licence's own name.
    pub licence: String,
    /// Its files.
    #[serde(rename = "file")]
    pub files: Vec<WeightFile>,
}

impl WeightModel {
    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }
}

/// A file of a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WeightFile {
    /// Its name in the model's folder.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// SHA-256 in lower-case hexadecimal.
    pub sha256: String,
    /// Where it is to be had, tried in this order.
    pub sources: Vec<Source>,
}

/// Where a file is to be had.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Source {
    /// Members of packages, joined in this order.
    Package {
        /// The parts.
        parts: Vec<Part>,
    },
    /// A file of a hub repository.
    Hub {
        /// `owner/name`.
        repository: String,
        /// Branch, tag or commit.
        revision: String,
        /// Path in the repository.
        path: String,
    },
    /// A file on this machine.
    Path {
        /// Where.
        path: PathBuf,
    },
}

/// A member of a package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// Name of the package.
    pub package: String,
    /// Its version.
    pub version: String,
    /// Path of the file in the wheel.
    pub member: String,
}

impl Catalogue {
    /// The catalogue that is compiled in.
    ///
    /// # Errors
    /// None, as a test reads it; a catalogue that is wrong is reported all the same.
    pub fn shipped() -> Result<Self, WeightsError> {
        Self::parse(SHIPPED, "that is built in")
    }

    /// Reads a catalogue; `place` says where it stands, for the error.
    ///
    /// # Errors
    /// No TOML, unknown names, a hash or a file name that cannot be one.
    pub fn parse(text: &str, place: &str) -> Result<Self, WeightsError> {
        let wrong = |detail: String| WeightsError::Catalogue { place: place.into(), detail };
        let catalogue: Self = toml::from_str(text).map_err(|error| wrong(error.message().to_owned()))?;
        catalogue.models.iter().try_for_each(check).map_err(wrong)?;
        Ok(catalogue)
    }

    /// Adds the models of another catalogue, which replace those of the same name; its hub, if it names one, counts.
    pub fn merge(&mut self, other: Self) {
        if !other.hub.is_empty() {
            self.hub = other.hub;
        }
        self.models.retain(|model| other.models.iter().all(|new| new.name != model.name));
        self.models.extend(other.models);
    }

    /// The model of this name.
    ///
    /// # Errors
    /// There is none.
    pub fn find(&self, name: &str) -> Result<&WeightModel, WeightsError> {
        let known = || self.models.iter().map(|model| model.name.as_str()).collect::<Vec<_>>().join(", ");
        let found = self.models.iter().find(|model| model.name == name);
        found.ok_or_else(|| WeightsError::UnknownModel { name: name.into(), known: known() })
    }
}

fn check(model: &WeightModel) -> Result<(), String> {
    is_plain(&model.name)?;
    for file in &model.files {
        is_plain(&file.name)?;
        let is_hash = file.sha256.len() == SHA256_LETTERS
            && file.sha256.bytes().all(|letter| matches!(letter, b'0'..=b'9' | b'a'..=b'f'));
        if !is_hash {
            return Err(format!("the sha256 of {} must be {SHA256_LETTERS} letters of 0-9 and a-f", file.name));
        }
    }
    Ok(())
}

/// Names become paths, so they may not lead anywhere else.
fn is_plain(name: &str) -> Result<(), String> {
    let is_allowed = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.');
    if !name.is_empty() && !name.starts_with('.') && name.chars().all(is_allowed) {
        return Ok(());
    }
    Err(format!("`{name}` is no name: use letters, digits, `-`, `_` and `.`, not beginning with a dot"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_catalogue_is_right() {
        let catalogue = Catalogue::shipped().unwrap();
        let minilm = catalogue.find("minilm").unwrap();
        assert_eq!((minilm.kind, minilm.files.len()), (Kind::Encoder, 2));
        assert!(catalogue.models.iter().all(|model| model.bytes() > 0 && !model.licence.is_empty()));
    }

    #[test]
    fn a_name_that_leads_elsewhere_is_refused() {
        for name in ["../x", "a/b", ".hidden", ""] {
            let text = format!("[[model]]\nname = '{name}'\nkind = 'encoder'\nabout = ''\nlicence = ''\nfile = []\n");
            assert!(Catalogue::parse(&text, "here").is_err(), "{name}");
        }
    }

    #[test]
    fn an_unknown_model_is_told_with_the_known_ones() {
        let error = Catalogue::shipped().unwrap().find("bert").unwrap_err().to_string();
        assert!(error.contains("`bert`") && error.contains("minilm"), "{error}");
    }

    #[test]
    fn a_merged_catalogue_replaces_by_name() {
        let mut catalogue = Catalogue::shipped().unwrap();
        let before = catalogue.models.len();
        let own = "[[model]]\nname = 'minilm'\nkind = 'encoder'\nabout = 'own'\nlicence = 'MIT'\nfile = []\n";
        catalogue.merge(Catalogue::parse(own, "own").unwrap());
        assert_eq!((catalogue.models.len(), catalogue.find("minilm").unwrap().about.as_str()), (before, "own"));
        assert!(!catalogue.hub.is_empty());
    }
}
