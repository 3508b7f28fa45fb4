//! The CLI's end of the admin socket: one connection for each request.

use std::{
    fmt, io,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, anyhow, bail};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, combinators::BoxBody};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use serde::{Serialize, de::DeserializeOwned};
use tokio::{net::UnixStream, time::sleep};

use super::{Error, Event, Status};
use crate::home::Home;

/// The most bytes of an answer, and of one event.
const MAX_ANSWER: usize = 16 << 20;

/// How long a master that has just been started may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often it is asked meanwhile.
const PAUSE: Duration = Duration::from_millis(20);

/// What a request carries.
pub type Body = BoxBody<Bytes, io::Error>;

/// No master has the home.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotRunning(String);

impl fmt::Display for NotRunning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no hatchery runs with the home {}; start one with `hatchery start`", self.0)
    }
}

impl std::error::Error for NotRunning {}

/// Speaks with the master of a home.
#[derive(Clone, Debug)]
pub struct Client {
    home: Home,
}

impl Client {
    /// Does not connect yet.
    #[must_use]
    pub fn new(home: Home) -> Self {
        Self { home }
    }

    /// Returns when the master answers, which may just have been started.
    ///
    /// # Errors
    /// It does not, for long.
    pub async fn answers(&self) -> anyhow::Result<()> {
        let begun = Instant::now();
        loop {
            match self.get::<Status>("/v1/status").await {
                Ok(_) => return Ok(()),
                Err(error) if !error.is::<NotRunning>() || begun.elapsed() > PATIENCE => return Err(error),
                Err(_) => sleep(PAUSE).await,
            }
        }
    }

    /// A request without a body.
    ///
    /// # Errors
    /// [`NotRunning`]; or what the master said.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        whole(self.send(Method::GET, path, empty()).await?).await
    }

    /// A request with something in it.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> anyhow::Result<T> {
        whole(self.send(Method::POST, path, json(body)?).await?).await
    }

    /// An archive.
    ///
    /// # Errors
    /// As [`Client::get`]; it can't be read.
    pub async fn upload<T: DeserializeOwned>(&self, path: &str, archive: Body) -> anyhow::Result<T> {
        whole(self.send(Method::POST, path, archive).await?).await
    }

    /// A request that takes its time, and says how it goes.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn follow(&self, method: Method, path: &str, body: &impl Serialize) -> anyhow::Result<Events> {
        let response = self.send(method, path, json(body)?).await?;
        if response.status() != StatusCode::OK {
            return Err(failure(response).await);
        }
        Ok(Events { body: response.into_body(), rest: vec![] })
    }

    async fn send(&self, method: Method, path: &str, body: Body) -> anyhow::Result<Response<Incoming>> {
        let stream = connect(&self.home.socket()?).await.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                anyhow!(NotRunning(self.home.folder().display().to_string()))
            }
            _ => anyhow!(error).context("cannot connect to the admin socket"),
        })?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(async move {
            let _ = connection.await;
        });
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "hatchery")
            .header(header::CONTENT_TYPE, "application/json")
            .body(body)?;
        sender.send_request(request).await.context("the master did not answer")
    }
}

async fn connect(socket: &Path) -> io::Result<UnixStream> {
    UnixStream::connect(socket).await
}

fn empty() -> Body {
    Full::new(Bytes::new()).map_err(|never| match never {}).boxed()
}

fn json(body: &impl Serialize) -> anyhow::Result<Body> {
    let text = serde_json::to_vec(body).context("cannot encode a request")?;
    Ok(Full::new(Bytes::from(text)).map_err(|never| match never {}).boxed())
}

async fn whole<T: DeserializeOwned>(response: Response<Incoming>) -> anyhow::Result<T> {
    if response.status() != StatusCode::OK {
        return Err(failure(response).await);
    }
    let text = bytes(response.into_body()).await?;
    serde_json::from_slice(&text)
        .context("the master's answer is not what was expected; is it another version?")
}

async fn bytes(body: Incoming) -> anyhow::Result<Bytes> {
    let limited = http_body_util::Limited::new(body, MAX_ANSWER);
    let whole = limited.collect().await.map_err(|error| anyhow!(error).context("cannot read the answer"))?;
    Ok(whole.to_bytes())
}

async fn failure(response: Response<Incoming>) -> anyhow::Error {
    let status = response.status();
    match bytes(response.into_body()).await.map(|text| serde_json::from_slice::<Error>(&text)) {
        Ok(Ok(Error { error })) => anyhow!(error),
        _ => anyhow!("the master answered {status}"),
    }
}

/// What happens, as it happens.
#[derive(Debug)]
pub struct Events {
    body: Incoming,
    rest: Vec<u8>,
}

impl Events {
    /// The next one; `None` after the last.
    ///
    /// # Errors
    /// The master is gone, or sends what is no event.
    pub async fn next(&mut self) -> anyhow::Result<Option<Event>> {
        loop {
            if let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=end).collect();
                return serde_json::from_slice(&line).map(Some).context("the master sent no event");
            }
            if self.rest.len() > MAX_ANSWER {
                bail!("the master sent a line of more than {MAX_ANSWER} bytes");
            }
            let Some(frame) = self.body.frame().await else { return Ok(None) };
            let frame = frame.context("the master is gone; `hatchery status` says how things are")?;
            if let Some(data) = frame.data_ref() {
                self.rest.extend_from_slice(data);
            }
        }
    }
}
