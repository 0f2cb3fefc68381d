//! `zhiyin llm` and the encoder of `zhiyin evaluate`, with a tiny model of the folder's own catalogue.

use std::{path::Path, process::Output};

use serde_json::Value;

use super::harness::{path, program, text};

/// SHA-256 of the bytes `tiny weights`.
const SHA256: &str = "1b03e4a529e9e57195c0b59646d59150c2f006489f56b1aea7f02e0ad6703903";

/// A data folder whose models folder knows one more model.
fn home() -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    fs_err::create_dir_all(home.path().join("data/models")).unwrap();
    let own = format!(
        "[[model]]\nname = 'tiny'\nkind = 'encoder'\nabout = 'for tests'\nlicence = 'MIT'\n\
         [[model.file]]\nname = 'tiny.bin'\nbytes = 12\nsha256 = '{SHA256}'\nsources = []\n"
    );
    fs_err::write(home.path().join("data/models/catalogue.toml"), own).unwrap();
    fs_err::write(home.path().join("copy.bin"), "tiny weights").unwrap();
    home
}

fn llm(home: &Path, arguments: &[&str]) -> Output {
    let mut command = program();
    command.env_remove("ZHIYIN_MODELS").arg("llm").args(arguments).arg("--data").arg(home.join("data"));
    command.output().unwrap()
}

#[test]
fn a_model_is_pulled_listed_and_checked() {
    let home = home();
    let here = |name: &str| {
        let listed: Value = serde_json::from_slice(&llm(home.path(), &["list", "--json"]).stdout).unwrap();
        listed["models"].as_array().unwrap().iter().find(|model| model["name"] == name).unwrap()["here"].clone()
    };
    assert_eq!((here("tiny"), here("minilm")), (false.into(), false.into()));
    let copy = home.path().join("copy.bin");
    let pulled = llm(home.path(), &["pull", "tiny", "--from", path(&copy)]);
    assert!(pulled.status.success(), "{}", text(&pulled.stderr));
    assert_eq!(here("tiny"), true);
    assert!(llm(home.path(), &["check"]).status.success());
    let file = home.path().join("data/models/tiny/tiny.bin");
    fs_err::write(&file, "tiny weightz").unwrap();
    let checked = llm(home.path(), &["check", "--json"]);
    assert_eq!(checked.status.code(), Some(1));
    let states: Value = serde_json::from_slice(&checked.stdout).unwrap();
    assert_eq!(states[0]["state"], "different", "{states}");
}

#[test]
fn an_unknown_model_is_the_callers_mistake() {
    let home = home();
    let refused = llm(home.path(), &["pull", "bert"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused.stderr).contains("minilm"), "{}", text(&refused.stderr));
}

/// Four people and six items, in the form of one line per user.
fn evaluate(home: &Path, more: &[&str]) -> Output {
    let file = home.join("lines.txt");
    let line = |user: usize| {
        format!("{user} {}\n", (0..5).map(|n| ((user + n) % 6 + 1).to_string()).collect::<Vec<_>>().join(" "))
    };
    fs_err::write(&file, (1..40).map(line).collect::<String>()).unwrap();
    let mut command = program();
    command.env("ZHIYIN_MODELS", home.join("data/models"));
    command.args([
        "evaluate",
        "--format",
        "sequences",
        "--protocol",
        "leave-one-out",
        "--tune",
        "none",
        "--data",
        path(&file),
    ]);
    command.args(more).output().unwrap()
}

#[test]
fn without_an_encoder_an_evaluation_says_so_and_goes_on() {
    let home = home();
    let output = evaluate(home.path(), &["--models", "text,popularity"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("zhiyin llm pull minilm"), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("text was left out"), "{}", text(&output.stdout));
    let silent = evaluate(home.path(), &["--models", "text,popularity", "--encoder", "none"]);
    assert!(silent.status.success() && !text(&silent.stderr).contains("llm pull"), "{}", text(&silent.stderr));
}

#[test]
fn an_encoder_that_is_not_there_is_refused_with_the_way_out() {
    let home = home();
    for (name, remedy) in [("minilm", "zhiyin llm pull minilm"), ("bert", "e5-small")] {
        let output = evaluate(home.path(), &["--models", "text", "--encoder", name]);
        assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
        assert!(text(&output.stderr).contains(remedy), "{}", text(&output.stderr));
    }
}
