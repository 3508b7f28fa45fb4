//! A worker's open connections: HTTP/1.1 and h2c on the same port, until they are drained.

use std::sync::{Arc, Mutex, PoisonError};

use hyper::service::service_fn;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::{conn::auto, graceful::GracefulShutdown},
};
use tokio::{net::TcpStream, sync::watch};

use super::service::Service;

/// All of them. Cheap to clone.
#[derive(Clone)]
pub(super) struct Connections {
    service: Arc<Service>,
    http: Arc<auto::Builder<TokioExecutor>>,
    graceful: Arc<Mutex<Option<GracefulShutdown>>>,
    stopping: Arc<watch::Sender<bool>>,
}

impl Connections {
    pub(super) fn new(service: Arc<Service>) -> Self {
        Self {
            service,
            http: Arc::new(auto::Builder::new(TokioExecutor::new())),
            graceful: Arc::new(Mutex::new(Some(GracefulShutdown::new()))),
            stopping: Arc::new(watch::channel(false).0),
        }
    }

    /// Serves one to its end, and then calls `closed`.
    pub(super) fn serve(&self, stream: TcpStream, closed: impl FnOnce() + Send + 'static) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!("cannot set TCP_NODELAY: {error}");
        }
        let service = self.service.clone();
        let answer = service_fn(move |request| {
            let service = service.clone();
            async move { service.serve(request).await }
        });
        let connection = self.http.serve_connection(TokioIo::new(stream), answer).into_owned();
        let graceful = self.graceful.lock().unwrap_or_else(PoisonError::into_inner);
        let watched = match &*graceful {
            Some(graceful) => graceful.watch(connection),
            None => return closed(),
        };
        drop(graceful);
        tokio::spawn(async move {
            if let Err(error) = watched.await {
                // The client's affair, mostly.
                tracing::debug!("a connection ended early: {error}");
            }
            closed();
        });
    }

    /// Those who accept are to stop.
    pub(super) fn stop_accepting(&self) {
        self.stopping.send_replace(true);
    }

    /// Returns when accepting is to stop.
    pub(super) async fn stopping(&self) {
        let mut stopping = self.stopping.subscribe();
        // The sender lives as long as `self`.
        let _ = stopping.wait_for(|stopping| *stopping).await;
    }

    /// Lets every connection finish what it has begun, tells keep-alive clients to go, and returns
    /// when the last one is closed.
    pub(super) async fn drained(&self) {
        let graceful = self.graceful.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(graceful) = graceful {
            graceful.shutdown().await;
        }
    }
}
