//! `zhiyin keys`: makes, lists and revokes API keys, also while a server runs.

use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::json;
use zhiyin_core::Problem;
use zhiyin_store::{ApiKey, Scopes, Store};

use crate::{
    cli::HomeArguments,
    home,
    output::{self, Align},
};

/// Arguments of `zhiyin keys`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// What to do with keys.
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make a key and show it, this once.
    Create {
        /// A name to know it by.
        name: String,
        /// What it allows: any of ingest, recommend, catalog, admin, with commas between them.
        #[arg(long, default_value = "ingest,recommend")]
        scopes: String,
        #[command(flatten)]
        home: HomeArguments,
    },
    /// List the keys; their plain text is nowhere to be found.
    List {
        #[command(flatten)]
        home: HomeArguments,
    },
    /// Make a key worthless from now on.
    Revoke {
        /// Name or number of the key.
        key: String,
        #[command(flatten)]
        home: HomeArguments,
    },
}

/// Makes, lists or revokes.
///
/// # Errors
/// A name that is taken or unknown, an unknown scope, failing storage.
pub fn run(arguments: &Arguments) -> Result<()> {
    match &arguments.action {
        Action::Create { name, scopes, home } => create(&store(home)?, name, Scopes::parse(scopes)?, home.json),
        Action::List { home } => list(&store(home)?, home.json),
        Action::Revoke { key, home } => revoke(&store(home)?, key),
    }
}

fn store(arguments: &HomeArguments) -> Result<Store> {
    home::guest(&home::configuration(arguments)?)
}

fn create(store: &Store, name: &str, scopes: Scopes, as_json: bool) -> Result<()> {
    let made = store.create_key(name, scopes, home::now_ms())?;
    if as_json {
        return output::json(
            &json!({ "id": made.key.id, "name": name, "scopes": scopes.to_string(), "key": made.plain }),
        );
    }
    output::say(format_args!("{}", made.plain));
    output::remark("this is the only time that the key is shown; it goes into the header `Authorization: Bearer KEY`");
    Ok(())
}

fn list(store: &Store, as_json: bool) -> Result<()> {
    let keys = store.keys()?;
    if as_json {
        return output::json(&keys.iter().map(as_value).collect::<Vec<_>>());
    }
    let columns = [
        ("number", Align::Right),
        ("name", Align::Left),
        ("scopes", Align::Left),
        ("made", Align::Left),
        ("revoked", Align::Left),
    ];
    let row = |key: &ApiKey| {
        let revoked = key.revoked_ms.map_or_else(String::new, output::time);
        vec![key.id.to_string(), key.name.clone(), key.scopes.to_string(), output::time(key.created_ms), revoked]
    };
    output::say(output::table(&columns, keys.iter().map(row)));
    Ok(())
}

fn as_value(key: &ApiKey) -> serde_json::Value {
    json!({
        "id": key.id, "name": key.name, "scopes": key.scopes.to_string(),
        "created_ms": key.created_ms, "revoked_ms": key.revoked_ms,
    })
}

fn revoke(store: &Store, key: &str) -> Result<()> {
    let Some(revoked) = store.revoke_key(key, home::now_ms())? else {
        return Err(Problem::field("key", format!("`{key}` is no valid key"), "see `zhiyin keys list`").into());
    };
    output::say(format_args!("revoked key {} ({})", revoked.id, revoked.name));
    Ok(())
}
