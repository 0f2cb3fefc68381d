//! Connections: accepting, time-outs, and an orderly end.
//!
//! HTTP/1.1 only, without a stack of layers: what a request costs here decides how many recommendations a second a machine gives.

use std::{convert::Infallible, future::Future, io, sync::Arc, time::Duration};

use axum::{Router, body::Body};
use hyper::{body::Incoming, server::conn::http1};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
};
use tower::ServiceExt;
use zhiyin_engine::Engine;

use crate::{ServerConfig, router::router};

/// Bytes of the head of a request.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Pause after a failed accept, which is mostly a lack of file descriptors: going on at once would only burn the processor.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves until `shutdown` resolves; then takes no more connections, lets running requests finish within
/// [`ServerConfig::shutdown_grace`], and shuts the engine down, which writes all that waits and a snapshot.
///
/// # Errors
/// The engine could not shut down in order. No acknowledged event is lost then.
pub async fn serve(
    listener: TcpListener,
    engine: Arc<Engine>,
    config: ServerConfig,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let mut connections = Connections::new(router(engine.clone(), &config), &config);
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            accepted = connections.accept(&listener) => connections.start(accepted),
        }
    }
    drop(listener);
    connections.finish(config.shutdown_grace).await;
    let stopped = tokio::task::spawn_blocking(move || engine.shutdown()).await;
    stopped.map_err(io::Error::other)?.map_err(io::Error::other)
}

struct Connections {
    router: Router,
    http: http1::Builder,
    places: Arc<Semaphore>,
    watched: GracefulShutdown,
    tasks: JoinSet<()>,
}

impl Connections {
    fn new(router: Router, config: &ServerConfig) -> Self {
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(config.header_timeout).max_buf_size(HEAD_BYTES_MAX);
        let places = Arc::new(Semaphore::new(config.connections_max));
        Self { router, http, places, watched: GracefulShutdown::new(), tasks: JoinSet::new() }
    }

    /// Waits for a place, then for a connection. Safe to cancel: a place that was got is given back, and no connection is lost.
    async fn accept(&self, listener: &TcpListener) -> Option<(TcpStream, OwnedSemaphorePermit)> {
        let place = self.places.clone().acquire_owned().await.ok()?;
        match listener.accept().await {
            Ok((stream, _)) => Some((stream, place)),
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                None
            }
        }
    }

    fn start(&mut self, accepted: Option<(TcpStream, OwnedSemaphorePermit)>) {
        while self.tasks.try_join_next().is_some() {}
        let Some((stream, place)) = accepted else { return };
        // Answers are written at once; waiting for more to send would only delay them.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection was gone at once");
        }
        let router = self.router.clone();
        let service = hyper::service::service_fn(move |request: hyper::Request<Incoming>| {
            let router = router.clone();
            async move {
                Ok::<_, Infallible>(router.oneshot(request.map(Body::new)).await.unwrap_or_else(|never| match never {}))
            }
        });
        let connection = self.watched.watch(self.http.serve_connection(TokioIo::new(stream), service));
        self.tasks.spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended early");
            }
            drop(place);
        });
    }

    /// Lets idle connections close at once and running requests finish; after `grace` the rest is cut off.
    async fn finish(mut self, grace: Duration) {
        if tokio::time::timeout(grace, self.watched.shutdown()).await.is_err() {
            tracing::warn!(open = self.tasks.len(), "some requests didn't finish in time and were cut off");
        }
        self.tasks.shutdown().await;
    }
}
