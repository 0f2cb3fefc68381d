//! Puts a home on the network until a signal says stop.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use tokio::{
    net::TcpListener,
    runtime::Runtime,
    signal::unix::{SignalKind, signal},
};
use zhiyin_server::{AuthMode, KeyVerifier, ServerConfig};
use zhiyin_store::{Scope, Scopes, Store};

use crate::{config::ServerSection, home, home::Home, language::Working, output};

/// Name of the key that the first start makes.
const FIRST_KEY: &str = "first";

/// A home that listens but doesn't answer yet, so that its address can be told before the first request.
pub struct Serving {
    home: Home,
    runtime: Runtime,
    listener: TcpListener,
    auth: AuthMode,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Serving {
    /// Takes the port that the configuration names.
    ///
    /// # Errors
    /// A port that is taken or not allowed.
    pub fn bind(home: Home, auth: AuthMode) -> Result<Self> {
        let wanted = home.config.server.listen;
        let runtime = Runtime::new().context("cannot start the threads that serve")?;
        let listener = runtime.block_on(TcpListener::bind(wanted)).with_context(|| {
            format!("cannot listen on {wanted}: choose another port with --listen (port 0 takes a free one), or stop what has it")
        })?;
        let address = listener.local_addr()?;
        home.serve_at(&address.to_string())?;
        Ok(Self { home, runtime, listener, auth, address })
    }

    /// What is served.
    pub fn home(&self) -> &Home {
        &self.home
    }

    /// Answers until `stop` ends, then finishes what is under way, shuts the engine down and lets go of the folder.
    ///
    /// # Errors
    /// A snapshot that cannot be written.
    pub fn run(self, stop: impl Future<Output = ()> + Send + 'static) -> Result<()> {
        let Self { home, runtime, listener, auth, .. } = self;
        let working = Working::start(&home.config)?;
        let assistant = Some(Arc::clone(&working.assistant));
        let config = ServerConfig { assistant, ..server_config(&home.config.server, auth) };
        let served = runtime.block_on(zhiyin_server::serve(listener, Arc::clone(&home.engine), config, stop));
        runtime.shutdown_timeout(Duration::from_secs(1));
        served.context("the server did not end in order; every acknowledged event is safe in the log")
    }
}

fn server_config(section: &ServerSection, auth: AuthMode) -> ServerConfig {
    ServerConfig {
        connections_max: section.max_connections,
        header_timeout: Duration::from_secs(section.header_timeout_seconds),
        body_timeout: Duration::from_secs(section.body_timeout_seconds),
        shutdown_grace: Duration::from_secs(section.shutdown_seconds),
        metrics_open: section.metrics_open,
        ..ServerConfig::new(auth)
    }
}

/// Ends at the first SIGINT or SIGTERM; a second one ends the process at once.
pub async fn stop_signal() {
    let wait = async |kind| match signal(kind) {
        Ok(mut signals) => {
            signals.recv().await;
        }
        Err(error) => {
            tracing::error!(%error, "signals cannot be received: stop the process by SIGKILL, no acknowledged event is lost");
            std::future::pending::<()>().await;
        }
    };
    let either = async move || {
        tokio::select! {
            () = wait(SignalKind::interrupt()) => {}
            () = wait(SignalKind::terminate()) => {}
        }
    };
    either().await;
    output::remark("stopping: answering what is under way and writing a snapshot (once more to stop at once)");
    tokio::spawn(async move {
        either().await;
        std::process::exit(1);
    });
}

/// Authentication by the keys of this store.
pub fn by_keys(store: &Arc<Store>) -> AuthMode {
    AuthMode::Keys(Arc::new(StoreKeys(Arc::clone(store))))
}

struct StoreKeys(Arc<Store>);

impl KeyVerifier for StoreKeys {
    fn verify(&self, key: &str) -> Option<zhiyin_server::Scopes> {
        let found = self.0.verify_key(key).unwrap_or_else(|error| {
            tracing::error!(%error, "a key could not be looked up: the request is refused");
            None
        });
        found.map(|key| as_served(key.scopes))
    }
}

/// The store lets `admin` stand for everything; the server wants each scope by name.
fn as_served(scopes: Scopes) -> zhiyin_server::Scopes {
    let pairs = [
        (Scope::Ingest, zhiyin_server::Scope::Ingest),
        (Scope::Recommend, zhiyin_server::Scope::Recommend),
        (Scope::Catalog, zhiyin_server::Scope::Catalog),
        (Scope::Admin, zhiyin_server::Scope::Admin),
    ];
    pairs.into_iter().filter(|(ours, _)| scopes.allow(*ours)).map(|(_, served)| served).collect()
}

/// Makes a key with every scope if the store never had a key.
///
/// # Errors
/// Failing storage.
pub fn first_key(store: &Store) -> Result<Option<String>> {
    if !store.keys()?.is_empty() {
        return Ok(None);
    }
    let made = store.create_key(FIRST_KEY, Scopes::of(&[Scope::Admin]), home::now_ms())?;
    Ok(Some(made.plain))
}
