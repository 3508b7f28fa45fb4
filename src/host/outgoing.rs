//! What all guests of a process share of their way out: who connects, how many connections there may be, and
//! whom TLS trusts.

use std::sync::{Arc, OnceLock};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::CertificateDer};
use wasmtime_wasi_http::Error;

use super::Dial;
use crate::cluster::Limit;

/// Hears of each time that a limit is hit.
pub type OnHit = Arc<dyn Fn(Limit) + Send + Sync>;

/// Made once for each process that runs guests.
pub struct Outgoing {
    pub(super) dial: Arc<dyn Dial>,
    connections: Arc<Semaphore>,
    /// The most bytes of a request and its response, bodies of both together.
    pub(super) size: u64,
    authorities: Vec<Vec<u8>>,
    pub(super) on_hit: OnHit,
    tls: OnceLock<Arc<ClientConfig>>,
}

/// What it may do.
pub struct OutgoingOptions {
    /// Who connects.
    pub dial: Arc<dyn Dial>,
    /// The most connections at once.
    pub connections: usize,
    /// The most bytes of a request and its response, bodies of both together.
    pub size: u64,
    /// Whom TLS trusts, each in DER. None: the authorities of the Mozilla programme.
    pub authorities: Vec<Vec<u8>>,
    /// Who counts what is refused.
    pub on_hit: OnHit,
}

impl Outgoing {
    /// Nothing is opened or read yet.
    #[must_use]
    pub fn new(options: OutgoingOptions) -> Arc<Self> {
        let OutgoingOptions { dial, connections, size, authorities, on_hit } = options;
        let connections = Arc::new(Semaphore::new(connections.min(Semaphore::MAX_PERMITS)));
        Arc::new(Self { dial, connections, size, authorities, on_hit, tls: OnceLock::new() })
    }

    /// Room for one more connection, until it is dropped.
    pub(super) fn room(&self) -> Result<OwnedSemaphorePermit, Error> {
        Arc::clone(&self.connections).try_acquire_owned().map_err(|_| {
            (self.on_hit)(Limit::OutboundConnections);
            Error::ConnectionLimitReached
        })
    }

    /// Made when it is first needed; it keeps sessions, to resume them.
    pub(super) fn tls(&self) -> Result<Arc<ClientConfig>, Error> {
        if let Some(tls) = self.tls.get() {
            return Ok(Arc::clone(tls));
        }
        let mut roots = RootCertStore::empty();
        if self.authorities.is_empty() {
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        } else {
            roots.add_parsable_certificates(self.authorities.iter().cloned().map(CertificateDer::from));
        }
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::InternalError(Some(error.to_string())))?;
        let mut config = config.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::clone(self.tls.get_or_init(|| Arc::new(config))))
    }
}
