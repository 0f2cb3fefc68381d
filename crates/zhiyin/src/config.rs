//! The configuration: one commented file with every value, overridden by environment variables, overridden by flags.
//!
//! The shipped `zhiyin.toml` is compiled in, so `zhiyin config print` needs no file. A variable such as
//! `ZHIYIN__RECOMMEND__DIVERSITY=0.3` sets `diversity` in `[recommend]`. Unknown names are refused wherever they stand.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    str::FromStr,
};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use toml::{Table, Value};
use zhiyin_core::Problem;
use zhiyin_engine::{
    EngineConfig,
    config::{CleaningConfig, EventsConfig, FeedbackConfig, RecommendConfig, StateConfig, TrainConfig},
};

use crate::language::LanguageSection;

/// The shipped file: every value with its default and a comment.
pub const SHIPPED: &str = include_str!("zhiyin.toml");

/// Start of the names of environment variables that set a value; sections are separated by the same two underscores.
const VARIABLE_PREFIX: &str = "ZHIYIN__";

/// Everything that can be set.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The HTTP interface.
    pub server: ServerSection,
    /// Where data is kept.
    pub data: DataSection,
    /// What is taken in.
    pub events: EventsConfig,
    /// Rules of cleaning.
    pub cleaning: CleaningConfig,
    /// Online state and its snapshots.
    pub state: StateConfig,
    /// How recommendations are made.
    pub recommend: RecommendConfig,
    /// What is told of reviews.
    pub feedback: FeedbackConfig,
    /// Training.
    pub train: TrainConfig,
    /// How item texts are understood.
    pub text: TextSection,
    /// Language models.
    pub language: LanguageSection,
}

/// The HTTP interface.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServerSection {
    /// Address and port to listen on; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Connections at once; further ones wait.
    pub max_connections: usize,
    /// Seconds within which a client must have sent the head of its request.
    pub header_timeout_seconds: u64,
    /// Seconds within which a client must have sent the body of its request.
    pub body_timeout_seconds: u64,
    /// Seconds that a shutdown waits for requests that are being answered.
    pub shutdown_seconds: u64,
    /// Whether `GET /metrics` answers without a key, for scrapers that have none.
    pub metrics_open: bool,
}

impl Default for ServerSection {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8723)),
            max_connections: 4096,
            header_timeout_seconds: 30,
            body_timeout_seconds: 30,
            shutdown_seconds: 10,
            metrics_open: false,
        }
    }
}

/// How item texts are understood.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TextSection {
    /// Name of the encoder, `none`, or empty for the first that is pulled.
    pub encoder: String,
    /// Bytes of vectors that are kept in the data folder, so that a text is encoded once.
    pub vectors_bytes_max: u64,
}

impl Default for TextSection {
    fn default() -> Self {
        Self { encoder: String::new(), vectors_bytes_max: 1 << 30 }
    }
}

/// Where data is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DataSection {
    /// Folder of the database, the snapshot and the models.
    pub folder: PathBuf,
    /// Folder of pre-trained models, for several data folders to share; `models` in the data folder when empty.
    pub models_folder: PathBuf,
    /// Bytes that the database may take; beyond that events are refused as on a full disk. 0 for no limit.
    pub database_bytes_max: u64,
}

impl Default for DataSection {
    fn default() -> Self {
        Self { folder: "zhiyin-data".into(), models_folder: PathBuf::new(), database_bytes_max: 0 }
    }
}

impl Config {
    /// Reads `file` (or nothing), then the environment variables given, and checks every name and value.
    ///
    /// # Errors
    /// A file that cannot be read, a value of the wrong type, an unknown name.
    pub fn load(file: Option<&Path>, variables: impl Iterator<Item = (String, String)>) -> Result<Self> {
        let mut table = match file {
            Some(path) => read(path)?,
            None => Table::new(),
        };
        for (name, text) in variables {
            if let Some(path) = name.strip_prefix(VARIABLE_PREFIX) {
                set(&mut table, &name, &path.to_lowercase(), &text)?;
            }
        }
        let origin = file
            .map_or_else(|| "the environment".into(), |path| format!("{} (with {VARIABLE_PREFIX}…)", path.display()));
        let remedy = "compare with `zhiyin config print --defaults`";
        let config: Self = table.try_into().map_err(|e: toml::de::Error| {
            Problem::field(origin, format!("does not fit ({})", one_line(e.message())), remedy)
        })?;
        config.check()?;
        Ok(config)
    }

    /// As [`Self::load`], from the environment of this process.
    pub fn from_environment(file: Option<&Path>) -> Result<Self> {
        let variables =
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        Self::load(file, variables)
    }

    /// The part that the engine takes.
    pub fn engine(&self) -> EngineConfig {
        EngineConfig {
            events: self.events.clone(),
            cleaning: self.cleaning.clone(),
            state: self.state.clone(),
            recommend: self.recommend.clone(),
            feedback: self.feedback.clone(),
            train: self.train.clone(),
        }
    }

    /// As a TOML file without comments.
    pub fn to_toml(&self) -> Result<String> {
        toml::to_string(self).context("cannot write the configuration as TOML")
    }

    /// Rules that the types don't express.
    fn check(&self) -> Result<(), Problem> {
        zhiyin_core::KindWeights::with(&self.events.weights)?;
        self.language.check()?;
        share("recommend.diversity", self.recommend.diversity)?;
        share("recommend.cold_share", self.recommend.cold_share)?;
        let (positive_min, negative_max) = (self.events.review_positive_min, self.events.review_negative_max);
        if positive_min.partial_cmp(&negative_max) != Some(std::cmp::Ordering::Greater) {
            let rule = format!("is {negative_max}, it must be below events.review_positive_min, {positive_min}");
            return Err(Problem::field("events.review_negative_max", rule, "leave stars in between, such as 4 and 2"));
        }
        let (lowest, highest) = self.cleaning.rating_range;
        if lowest.partial_cmp(&highest) != Some(std::cmp::Ordering::Less) {
            let rule = format!("is [{lowest}, {highest}], the first must be below the second");
            return Err(Problem::field("cleaning.rating_range", rule, "give the lowest and the highest rating"));
        }
        at_least_one("server.max_connections", self.server.max_connections as u64)?;
        at_least_one("server.header_timeout_seconds", self.server.header_timeout_seconds)?;
        at_least_one("server.body_timeout_seconds", self.server.body_timeout_seconds)
    }
}

fn share(field: &str, value: f32) -> Result<(), Problem> {
    if (0.0..=1.0).contains(&value) {
        return Ok(());
    }
    Err(Problem::field(field, format!("is {value}, it must be between 0 and 1"), "choose a share such as 0.3"))
}

fn at_least_one(field: &str, value: u64) -> Result<(), Problem> {
    if value > 0 {
        return Ok(());
    }
    Err(Problem::field(field, "is 0, it must be at least 1", "leave the line out to get the default"))
}

fn read(path: &Path) -> Result<Table> {
    let text = fs_err::read_to_string(path)?;
    let parsed: Result<Table, toml::de::Error> = text.parse();
    let table = parsed.map_err(|e| {
        let line = e.span().map_or(1, |span| text[..span.start].matches('\n').count() + 1);
        let rule = format!("is not TOML ({})", one_line(e.message()));
        Problem::field(format!("{} line {line}", path.display()), rule, "correct the line")
    })?;
    Ok(table)
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Sets the value at `path` (names separated by two underscores), typed like its default.
fn set(table: &mut Table, variable: &str, path: &str, text: &str) -> Result<(), Problem> {
    let names: Vec<&str> = path.split("__").collect();
    let unknown = || Problem::field(variable, "is no setting", "see `zhiyin config print --defaults` for the names");
    let (last, sections) = names.split_last().filter(|(last, _)| !last.is_empty()).ok_or_else(unknown)?;
    let mut place = table;
    for section in sections {
        place = match place.entry(*section).or_insert_with(|| Value::Table(Table::new())) {
            Value::Table(inner) => inner,
            _ => return Err(unknown()),
        };
    }
    place.insert((*last).to_owned(), typed(default_at(&names).as_ref(), text));
    Ok(())
}

/// The default of a setting, whose type tells how to read a variable.
fn default_at(names: &[&str]) -> Option<Value> {
    let root = Value::try_from(Config::default()).ok()?;
    names.iter().try_fold(root, |value, name| value.get(name).cloned())
}

/// `text` as a value: text where the default is text, a float where it is a float, else whatever TOML makes of it.
fn typed(default: Option<&Value>, text: &str) -> Value {
    let as_text = || Value::String(text.to_owned());
    match default {
        Some(Value::String(_)) => as_text(),
        Some(Value::Float(_)) => f64::from_str(text).map_or_else(|_| as_text(), Value::Float),
        _ => {
            let parsed: Result<Table, _> = format!("value = {text}").parse();
            parsed.ok().and_then(|mut table| table.remove("value")).unwrap_or_else(as_text)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str, variables: &[(&str, &str)]) -> Result<Config> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("zhiyin.toml");
        fs_err::write(&path, text).unwrap();
        Config::load(Some(&path), variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
    }

    /// Every path of a table down to its leaves; an empty table is a leaf.
    fn paths(table: &Table, prefix: &str) -> Vec<String> {
        let deeper = |(name, value): (&String, &Value)| match value {
            Value::Table(inner) if !inner.is_empty() => paths(inner, &format!("{prefix}{name}.")),
            _ => vec![format!("{prefix}{name}")],
        };
        table.iter().flat_map(deeper).collect()
    }

    #[test]
    fn the_shipped_file_gives_the_defaults() {
        assert_eq!(load(SHIPPED, &[]).unwrap(), Config::default());
    }

    #[test]
    fn the_shipped_file_has_every_setting_and_a_comment_for_each() {
        let defaults: Table = Table::try_from(Config::default()).unwrap();
        let shipped: Table = SHIPPED.parse().unwrap();
        assert_eq!(paths(&shipped, ""), paths(&defaults, ""));
        let lines: Vec<&str> = SHIPPED.lines().collect();
        let is_setting = |line: &str| !line.starts_with('#') && line.contains(" = ");
        for pair in lines.windows(2).filter(|pair| is_setting(pair[1])) {
            assert!(pair[0].starts_with('#'), "no comment above `{}`", pair[1]);
        }
    }

    #[test]
    fn a_variable_overrides_the_file() {
        let config = load("[recommend]\ndiversity = 0.1\n", &[("ZHIYIN__RECOMMEND__DIVERSITY", "0.3")]).unwrap();
        assert!((config.recommend.diversity - 0.3).abs() < 1e-6);
    }

    #[test]
    fn a_variable_is_read_by_the_type_of_its_default() {
        let variables = [
            ("ZHIYIN__DATA__FOLDER", "2026"),
            ("ZHIYIN__SERVER__METRICS_OPEN", "true"),
            ("ZHIYIN__RECOMMEND__EXCLUDE_SEEN", "all"),
            ("ZHIYIN__RECOMMEND__DIVERSITY", "1"),
            ("ZHIYIN__CLEANING__RATING_RANGE", "[1.0, 5.0]"),
            ("ZHIYIN__EVENTS__WEIGHTS__PRINT", "2.5"),
            ("HOME", "/nowhere"),
        ];
        let config = load("", &variables).unwrap();
        assert_eq!(config.data.folder, PathBuf::from("2026"));
        assert!(config.server.metrics_open);
        assert_eq!(config.recommend.exclude_seen, zhiyin_engine::config::ExcludeSeen::All);
        assert_eq!(config.cleaning.rating_range, (1.0, 5.0));
        assert_eq!(config.events.weights.get("print"), Some(&2.5));
    }

    #[test]
    fn unknown_names_are_refused() {
        for (text, variables) in [
            ("[recommend]\ndiversty = 0.1\n", &[][..]),
            ("[recomend]\ndiversity = 0.1\n", &[][..]),
            ("", &[("ZHIYIN__RECOMMEND__DIVERSTY", "0.3")][..]),
            ("", &[("ZHIYIN__", "0.3")][..]),
            ("", &[("ZHIYIN__SERVER__LISTEN__PORT", "1")][..]),
        ] {
            let error = load(text, variables).unwrap_err();
            assert!(error.downcast_ref::<Problem>().is_some(), "{error:#}");
        }
    }

    #[test]
    fn values_out_of_range_are_refused() {
        for text in [
            "[recommend]\ndiversity = 1.5\n",
            "[recommend]\ncold_share = -0.1\n",
            "[cleaning]\nrating_range = [5.0, 1.0]\n",
            "[server]\nmax_connections = 0\n",
            "[events.weights]\nprint = 1e9\n",
            "[server]\nlisten = \"localhost\"\n",
        ] {
            let error = load(text, &[]).unwrap_err();
            assert!(error.downcast_ref::<Problem>().is_some(), "{text}: {error:#}");
        }
    }

    #[test]
    fn what_is_printed_reads_back_the_same() {
        let config = load("[events.weights]\nprint = 2.5\n[state]\nsnapshot_every_events = 7\n", &[]).unwrap();
        assert_eq!(load(&config.to_toml().unwrap(), &[]).unwrap(), config);
    }

    #[test]
    fn a_file_that_is_no_toml_is_named_with_its_line() {
        let error = format!("{:#}", load("[server]\nmetrics_open = true\nlisten ?\n", &[]).unwrap_err());
        assert!(error.contains("zhiyin.toml line 3"), "{error}");
    }
}
