//! `zhiyin llm` and the encoder of `zhiyin evaluate`, with a tiny model of the folder's own catalogue.

use std::{
    path::Path,
    process::Output,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::harness::{Server, path, program, text};

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

/// The folder of the small generator, pulled if it isn't there; none where no source can be reached.
#[allow(clippy::print_stderr, reason = "a test that can run nothing has to say so")]
fn generator() -> Option<std::path::PathBuf> {
    let own = || std::path::PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("models");
    let folder = std::env::var_os("ZHIYIN_MODELS").map_or_else(own, Into::into);
    let pulled = program().env("ZHIYIN_MODELS", &folder).args(["llm", "pull", "smollm2"]).output().unwrap();
    if !pulled.status.success() {
        eprintln!("SKIPPED: {}", text(&pulled.stderr));
        return None;
    }
    Some(folder)
}

#[test]
fn every_runtime_is_asked_and_one_that_does_not_answer_is_named() {
    let home = home();
    let config = home.path().join("zhiyin.toml");
    let remote = "[[language.remote]]\nname = 'away'\nbase_url = 'http://127.0.0.1:9/v1'\nmodel = 'm'\nattempts_max = 1\nfields = ['item.title']\n";
    fs_err::write(&config, remote).unwrap();
    let checked = llm(home.path(), &["check", "--config", path(&config)]);
    assert_eq!(checked.status.code(), Some(1));
    assert!(text(&checked.stdout).contains("away doesn't answer"), "{}", text(&checked.stdout));
    let printed = program().args(["config", "print", "--config", path(&config)]).output().unwrap();
    assert!(
        text(&printed.stdout).contains("# to away (http://127.0.0.1:9/v1): item.title"),
        "{}",
        text(&printed.stdout)
    );
    for wrong in ["order = ['away']\n", "[[language.remote]]\nname = 'local'\n"] {
        fs_err::write(&config, format!("[language]\n{wrong}")).unwrap();
        let refused = program().args(["config", "check", "--config", path(&config)]).output().unwrap();
        assert_eq!(refused.status.code(), Some(2), "{wrong}: {}", text(&refused.stderr));
    }
}

#[test]
fn a_server_with_the_real_model_has_it_write_in_the_background() {
    let Some(models) = generator() else { return };
    let home = tempfile::tempdir().unwrap();
    let asked = program().env("ZHIYIN_MODELS", &models).args(["llm", "check", "--json"]).output().unwrap();
    let answers: Value = serde_json::from_slice(&asked.stdout).unwrap();
    let answer = answers.as_array().unwrap().iter().find(|row| row["runtime"] == "smollm2").unwrap();
    assert!(answer["answer"].as_str().unwrap().contains("Paris"), "{answers}");
    let server = Server::start(home.path(), &["--insecure-no-auth"], &[("ZHIYIN_MODELS", path(&models))]);
    let mut events = Vec::new();
    for user in 0..12 {
        for item in ["kettle", "pot"] {
            events.push(json!({"type": "purchase", "user": format!("user-{user}"), "item": item}));
        }
    }
    events.push(json!({"type": "purchase", "user": "user-42", "item": "kettle"}));
    let items = json!([{"id": "kettle", "title": "Red Kettle"}, {"id": "pot", "title": "Tea Pot"}]);
    assert_eq!(server.post("/v1/items", None, &items).status, 200);
    assert_eq!(server.post("/v1/events", None, &events.into()).status, 202);
    let request = json!({"user": "user-42", "items": ["pot"]});
    let explanation = || server.post("/v1/explanations", None, &request).body["items"][0]["explanation"].clone();
    let first = explanation();
    assert!(first["text"].as_str().unwrap().contains("because you bought “Red Kettle”"), "{first}");
    let deadline = Instant::now() + Duration::from_secs(120);
    let last = loop {
        let now = explanation();
        if now.get("pending").is_none() {
            break now;
        }
        assert!(Instant::now() < deadline, "{}", server.get("/v1/language", None).body);
        std::thread::sleep(Duration::from_millis(50));
    };
    // Which words a small model finds is its affair; that they are grounded, or that the template stays with the reason, is ours.
    let written = last["origin"] == "model" && last["text"].as_str().unwrap().contains("Tea Pot");
    let refused = last["text"] == first["text"] && last["because"].as_str().is_some_and(|because| !because.is_empty());
    assert!(written || refused, "{last}");
    let status = server.get("/v1/language", None).body;
    assert_eq!(status["runtimes"]["serving"], "smollm2", "{status}");
    assert_eq!(status["jobs"][0]["job"]["done"], 1, "{status}");
    server.stop();
}
