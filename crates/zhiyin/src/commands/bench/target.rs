//! The server that a benchmark sends to: one of our own in a child process, or one that runs already.

use std::{
    net::{SocketAddr, ToSocketAddrs},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, anyhow};
use clap::Args;
use zhiyin_core::Problem;
use zhiyin_store::{Access, Scope, Scopes, Store, StoreOptions};

use crate::{
    client::Client,
    home,
    load::{Cost, Outcome, Plan, Request, Server, Usage, own_usage, run},
};

/// Name of the key that a benchmark makes for itself and revokes.
const KEY_NAME: &str = "bench";

/// Which server.
#[derive(Clone, Debug, Args)]
pub struct TargetArguments {
    /// Start a server in a child process over this folder.
    #[arg(long, value_name = "DIR", conflicts_with = "url")]
    pub data: Option<PathBuf>,
    /// Configuration of that server.
    #[arg(long, value_name = "FILE", conflicts_with = "url")]
    pub config: Option<PathBuf>,
    /// Use the server that runs at this address, such as http://127.0.0.1:8723.
    #[arg(long)]
    pub url: Option<String>,
    /// API key for that server.
    #[arg(long, requires = "url")]
    pub key: Option<String>,
}

/// A server to send to.
pub struct Target {
    server: Option<Server>,
    /// Its address.
    pub address: SocketAddr,
    /// The key to send.
    pub key: Option<String>,
}

impl Target {
    /// Starts or finds the server; `folder` is used when the arguments name neither a folder nor a URL.
    ///
    /// # Errors
    /// A server that doesn't come up; a URL that is none.
    pub fn new(arguments: &TargetArguments, folder: &Path) -> Result<Self> {
        if let Some(url) = &arguments.url {
            return Ok(Self { server: None, address: address(url)?, key: arguments.key.clone() });
        }
        let folder = arguments.data.as_deref().unwrap_or(folder);
        let key = make_key(folder)?;
        let server = Server::start(folder, arguments.config.as_deref())?;
        Ok(Self { address: server.address, server: Some(server), key: Some(key) })
    }

    /// A client for what isn't measured.
    pub fn client(&self) -> Client {
        Client::new(self.address, self.key.as_deref())
    }

    /// A rendered request.
    pub fn request(&self, method: &str, path: &str, body: Option<&str>) -> Request {
        Request::new(method, path, self.key.as_deref(), body)
    }

    /// Runs a load and takes what it cost both sides.
    ///
    /// # Errors
    /// As [`run`].
    pub fn measure(&self, plan: &Plan, requests: &[Request]) -> Result<(Outcome, Cost)> {
        let meter = self.meter()?;
        let outcome = run(plan, requests)?;
        Ok((outcome, self.cost_since(&meter)?))
    }

    /// What both sides have used up to now.
    ///
    /// # Errors
    /// A server that has ended.
    pub fn meter(&self) -> Result<Meter> {
        Ok(Meter { server: self.server.as_ref().map(Server::usage).transpose()?, own: own_usage()? })
    }

    /// What both sides have used since.
    ///
    /// # Errors
    /// A server that has ended.
    pub fn cost_since(&self, before: &Meter) -> Result<Cost> {
        let after = self.meter()?;
        Ok(Cost {
            server: before.server.zip(after.server),
            generator_cpu_seconds: after.own.cpu_seconds - before.own.cpu_seconds,
        })
    }
}

/// What both sides have used at one moment.
pub struct Meter {
    server: Option<Usage>,
    own: Usage,
}

/// Makes a key, before the server owns the folder. The one of an earlier run is revoked.
fn make_key(folder: &Path) -> Result<String> {
    let store = Store::open(folder, StoreOptions { access: Access::Owner, ..StoreOptions::default() })?;
    store.revoke_key(KEY_NAME, home::now_ms())?;
    Ok(store.create_key(KEY_NAME, Scopes::of(&[Scope::Admin]), home::now_ms())?.plain)
}

fn address(url: &str) -> Result<SocketAddr> {
    let wrong =
        || Problem::field("--url", format!("`{url}` is no http:// address with a port"), "give http://HOST:PORT");
    let host = url.strip_prefix("http://").ok_or_else(wrong)?.trim_end_matches('/');
    let mut found = host.to_socket_addrs().map_err(|_| wrong())?;
    found.next().ok_or_else(|| wrong().into())
}

/// A new folder that is removed when dropped. It lies in the current folder, since the system's temporary one is often kept in memory,
/// where nothing is durable and every byte counts as used memory.
///
/// # Errors
/// A current folder that cannot be written.
pub fn own_folder() -> Result<tempfile::TempDir> {
    let made = tempfile::Builder::new().prefix("zhiyin-bench-").tempdir_in(".");
    made.context("cannot make a folder for the benchmark's data: run it where you may write")
}

/// Refuses a folder without data, which would give figures of an empty server.
///
/// # Errors
/// A folder without a database.
pub fn check_folder(folder: &Path) -> Result<()> {
    if home::has_data(folder) {
        return Ok(());
    }
    Err(anyhow!("{} holds no data: run `zhiyin demo --once` first, or give --data DIR or --url URL", folder.display()))
}
