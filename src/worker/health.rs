//! The master's health checks: a GET to this worker's own guest, as a client would send it, but on no
//! connection: whatever spreads connections has no part in it.
//!
//! `run` calls it with each `Check`. It decides nothing: the master judges the status.

use std::{future::poll_fn, net::SocketAddr, pin::pin, sync::Arc};

use anyhow::Context as _;
use http::{HeaderValue, Request, header};
use http_body::Body as _;
use tokio::time::timeout;

use super::service::Service;
use crate::{
    child::Cluster,
    host::Response,
    ipc::message::{Check, ToMaster},
};

/// Of the body, what is read; the rest is left.
const MAX_BODY: usize = 64 * 1024;

/// What the guest is told that asks; the usual clients have such a name too.
const USER_AGENT: HeaderValue = HeaderValue::from_static("hatchery-health/1");

/// A worker's checks.
pub(super) struct Health {
    service: Arc<Service>,
    cluster: Arc<Cluster>,
    /// The app's address.
    host: String,
}

impl Health {
    pub(super) fn new(service: Arc<Service>, cluster: Arc<Cluster>, address: Option<SocketAddr>) -> Self {
        let host = address.map_or_else(|| "localhost".to_owned(), |address| address.to_string());
        Self { service, cluster, host }
    }

    /// Begins one. Its result goes to the master.
    pub(super) fn check(&self, Check { check, path, timeout: limit }: Check) {
        let (service, cluster, host) = (self.service.clone(), self.cluster.clone(), self.host.clone());
        tokio::spawn(async move {
            let result = match timeout(limit, ask(&service, &path, &host)).await {
                Ok(Ok(status)) => Ok(status),
                Ok(Err(error)) => Err(format!("{error:#}")),
                Err(_) => Err(format!("gave no answer within {}", humantime::format_duration(limit))),
            };
            cluster.tell(&ToMaster::Checked { check, result });
        });
    }
}

/// Gives the response's status, once its body is there as well.
async fn ask(service: &Service, path: &str, host: &str) -> anyhow::Result<u16> {
    let request = Request::get(path)
        .header(header::HOST, host)
        .header(header::USER_AGENT, USER_AGENT)
        .header(header::ACCEPT, "*/*")
        .body(())
        .context("cannot be asked: its path is no path of a request")?;
    let response = service.inside(request.into_parts().0).await;
    let status = response.status().as_u16();
    read(response).await.with_context(|| format!("answered {status}, but its body broke off"))?;
    Ok(status)
}

async fn read(response: Response) -> anyhow::Result<()> {
    let mut body = pin!(response.into_body());
    let mut bytes = 0;
    while bytes < MAX_BODY {
        match poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
            Some(Ok(frame)) => bytes += frame.data_ref().map_or(0, bytes::Bytes::len),
            Some(Err(error)) => return Err(anyhow::anyhow!("{error:?}")),
            None => break,
        }
    }
    Ok(())
}
