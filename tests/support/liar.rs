//! A server that answers as the test wants, over HTTP or TLS, and keeps the requests that it saw.

use std::{
    convert::Infallible,
    net::{SocketAddr, TcpListener},
    sync::{Arc, Mutex},
    thread,
};

use bytes::Bytes;
use http::{Request, Response, request::Parts};
use http_body_util::{BodyExt as _, Collected};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    runtime::Builder,
    sync::oneshot,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, crypto::ring, pki_types::PrivatePkcs8KeyDer},
};

use super::http::Body;

type Seen = Arc<Mutex<Vec<Request<Bytes>>>>;
type Answer = dyn Fn(&Parts) -> Response<Body> + Send + Sync;

/// Serves until it is dropped.
pub(crate) struct Liar {
    pub(crate) addr: SocketAddr,
    seen: Seen,
    _stop: oneshot::Sender<()>,
}

/// One that signs itself, for 127.0.0.1.
pub(crate) struct Certificate {
    pub(crate) pem: String,
    config: Arc<ServerConfig>,
}

impl Certificate {
    pub(crate) fn new() -> Self {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
        let key = PrivatePkcs8KeyDer::from(signing_key.serialize_der());
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key.into())
            .unwrap();
        Self { pem: cert.pem(), config: Arc::new(config) }
    }
}

impl Liar {
    /// Over plain HTTP.
    pub(crate) fn start(answer: impl Fn(&Parts) -> Response<Body> + Send + Sync + 'static) -> Self {
        Self::serve(None, Arc::new(answer))
    }

    /// Over TLS.
    pub(crate) fn start_tls(
        certificate: &Certificate,
        answer: impl Fn(&Parts) -> Response<Body> + Send + Sync + 'static,
    ) -> Self {
        Self::serve(Some(TlsAcceptor::from(certificate.config.clone())), Arc::new(answer))
    }

    /// The requests that came, with a path that contains this.
    pub(crate) fn seen(&self, part: &str) -> Vec<Request<Bytes>> {
        let seen = self.seen.lock().unwrap();
        seen.iter().filter(|request| request.uri().path().contains(part)).cloned().collect()
    }

    /// Forgets the requests that came.
    pub(crate) fn forget(&self) {
        self.seen.lock().unwrap().clear();
    }

    fn serve(tls: Option<TlsAcceptor>, answer: Arc<Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let addr = listener.local_addr().unwrap();
        let seen = Seen::default();
        let (stop, stopped) = oneshot::channel::<()>();
        let keep = seen.clone();
        // A test's own thread waits for the command to end.
        thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                let accept = async {
                    loop {
                        let (stream, _) = listener.accept().await.unwrap();
                        let (tls, answer, seen) = (tls.clone(), answer.clone(), keep.clone());
                        tokio::spawn(async move {
                            match tls {
                                None => connection(stream, answer, seen).await,
                                Some(tls) => {
                                    // A client that does not trust us goes away here.
                                    if let Ok(stream) = tls.accept(stream).await {
                                        connection(stream, answer, seen).await;
                                    }
                                }
                            }
                        });
                    }
                };
                tokio::select! {
                    () = accept => {}
                    _ = stopped => {}
                }
            });
        });
        Self { addr, seen, _stop: stop }
    }
}

async fn connection(stream: impl AsyncRead + AsyncWrite + Unpin, answer: Arc<Answer>, seen: Seen) {
    let service = service_fn(|request: Request<Incoming>| {
        let (answer, seen) = (answer.clone(), seen.clone());
        async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await.map(Collected::to_bytes).unwrap_or_default();
            seen.lock().unwrap().push(Request::from_parts(parts.clone(), body));
            Ok::<_, Infallible>(answer(&parts))
        }
    });
    // A client that has had enough breaks it off.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}
