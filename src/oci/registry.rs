//! One registry, for as long as one push or pull takes: requests to it, and who we are to it.
//!
//! Redirects are followed a few times and never from https to http. Credentials and tokens go to the
//! registry itself, and credentials to the token service that it names; never to where a redirect or an
//! upload's `Location` leads.

use std::{fmt, future::Future, sync::Arc};

use bytes::Bytes;
use docker_credential::DockerCredential;
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url, redirect::Policy};
use serde::Deserialize;
use tokio::time::timeout;

use super::{
    challenge::Challenge,
    credentials,
    error::{OciError, says},
    limits,
    progress::{Progress, Quiet},
    reference::Reference,
};

/// How a registry is spoken to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transport {
    /// HTTPS, and nothing else on the way.
    #[default]
    Tls,
    /// Plain HTTP: whoever is on the way can read the credentials. What is pulled by digest is safe.
    PlainHttp,
}

/// How to push or pull.
#[derive(Clone)]
pub struct Options {
    /// How the registry is spoken to.
    pub transport: Transport,
    /// Who is told how far it has come.
    pub progress: Arc<dyn Progress>,
}

impl Default for Options {
    fn default() -> Self {
        Self { transport: Transport::default(), progress: Arc::new(Quiet) }
    }
}

/// What we want of a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// To read.
    Pull,
    /// To write.
    Push,
}

impl Access {
    /// As token services name it.
    fn actions(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::Push => "pull,push",
        }
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pull => "pull",
            Self::Push => "push to",
        })
    }
}

/// What goes with requests to the registry.
enum Authorization {
    None,
    Basic { name: String, password: String },
    Bearer(String),
}

pub(super) struct Registry<'a> {
    http: Client,
    base: Url,
    reference: &'a Reference,
    access: Access,
    authorization: Authorization,
    /// Were there credentials to answer a challenge with?
    known: bool,
}

impl<'a> Registry<'a> {
    pub(super) fn new(
        reference: &'a Reference,
        access: Access,
        transport: Transport,
    ) -> Result<Self, OciError> {
        // Without it there is no TLS. Another one that is there already does as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let host = &reference.host;
        let http = Client::builder()
            .user_agent(concat!("hatchery/", env!("CARGO_PKG_VERSION")))
            .https_only(transport == Transport::Tls)
            .redirect(Policy::limited(limits::REDIRECTS))
            .referer(false)
            .connect_timeout(limits::CONNECT)
            .build()
            .map_err(|source| OciError::Client { host: host.clone(), source })?;
        let scheme = match transport {
            Transport::Tls => "https",
            Transport::PlainHttp => "http",
        };
        let base = Url::parse(&format!("{scheme}://{host}/v2/{}/", reference.name));
        let base = base.map_err(|error| OciError::Answer {
            host: host.clone(),
            what: "nothing yet",
            why: error.to_string(),
        })?;
        Ok(Self { http, base, reference, access, authorization: Authorization::None, known: false })
    }

    pub(super) fn host(&self) -> &str {
        &self.reference.host
    }

    /// The address of something in the repository.
    pub(super) fn url(&self, tail: &str) -> String {
        format!("{}{tail}", self.base)
    }

    /// Sends a request, and sends it again with what the registry wants to see, if it does.
    pub(super) async fn send(
        &mut self,
        request: impl Fn(&Client) -> RequestBuilder,
    ) -> Result<Response, OciError> {
        let response = self.once(request(&self.http)).await?;
        // A challenge of another host, after a redirect, is none of ours to answer.
        let is_ours = response.url().origin() == self.base.origin();
        if response.status() != StatusCode::UNAUTHORIZED || !is_ours {
            return Ok(response);
        }
        let Some(challenge) = Challenge::of(response.headers()) else {
            return Ok(response);
        };
        self.answer(challenge).await?;
        self.once(request(&self.http)).await
    }

    async fn once(&self, request: RequestBuilder) -> Result<Response, OciError> {
        let answer = timeout(limits::ANSWER, self.begin(request)).await;
        answer.unwrap_or_else(|_| Err(self.slow("has not answered", limits::ANSWER)))
    }

    /// Sends one request as it is, with our authorization if it goes to the registry itself. It has no
    /// bound in time.
    pub(super) fn begin(
        &self,
        request: RequestBuilder,
    ) -> impl Future<Output = Result<Response, OciError>> + use<> {
        let host = self.host().to_owned();
        let request = request.build().map(|request| {
            let is_ours = request.url().origin() == self.base.origin();
            let request = RequestBuilder::from_parts(self.http.clone(), request);
            match &self.authorization {
                Authorization::Basic { name, password } if is_ours => {
                    request.basic_auth(name, Some(password))
                }
                Authorization::Bearer(token) if is_ours => request.bearer_auth(token),
                _ => request,
            }
        });
        async move {
            let sent = match request {
                Ok(request) => request.send().await,
                Err(error) => Err(error),
            };
            sent.map_err(|error| OciError::broken(&host, error))
        }
    }

    pub(super) fn put(&self, url: Url) -> RequestBuilder {
        self.http.put(url)
    }

    async fn answer(&mut self, challenge: Challenge) -> Result<(), OciError> {
        let found = credentials::find(self.host()).await?;
        self.known = found.is_some();
        self.authorization = match (challenge, found) {
            (Challenge::Basic, Some(DockerCredential::UsernamePassword(name, password))) => {
                Authorization::Basic { name, password }
            }
            (Challenge::Basic, _) => Authorization::None,
            (Challenge::Bearer { realm, service, scope }, found) => {
                let scope = scope.unwrap_or_else(|| {
                    format!("repository:{}:{}", self.reference.name, self.access.actions())
                });
                Authorization::Bearer(self.token(realm, service.as_deref(), &scope, found).await?)
            }
        };
        Ok(())
    }

    /// Fetches a token: for who has no credentials too, which is how public repositories are read.
    async fn token(
        &self,
        realm: Url,
        service: Option<&str>,
        scope: &str,
        found: Option<DockerCredential>,
    ) -> Result<String, OciError> {
        #[derive(Deserialize)]
        struct Token {
            token: Option<String>,
            access_token: Option<String>,
        }
        let mut url = realm.clone();
        url.query_pairs_mut().extend_pairs(service.map(|service| ("service", service)));
        url.query_pairs_mut().append_pair("scope", scope);
        let request = match found {
            None => self.http.get(url),
            Some(DockerCredential::UsernamePassword(name, password)) => {
                self.http.get(url).basic_auth(name, Some(password))
            }
            Some(DockerCredential::IdentityToken(token)) => {
                // A form has the encoding of a query.
                url.query_pairs_mut()
                    .append_pair("grant_type", "refresh_token")
                    .append_pair("client_id", "hatchery")
                    .append_pair("refresh_token", &token);
                let form = url.query().unwrap_or_default().to_owned();
                self.http.post(realm).header("content-type", "application/x-www-form-urlencoded").body(form)
            }
        };
        let mut response = timeout(limits::ANSWER, request.send())
            .await
            .map_err(|_| self.slow("gives no token", limits::ANSWER))?
            .map_err(|error| OciError::broken(self.host(), error))?;
        if !response.status().is_success() {
            return Err(self.refused(response, "the request for a token").await);
        }
        let body = self.read(&mut response, "the token", limits::TOKEN).await?;
        let odd = |why: String| OciError::Answer {
            host: self.host().to_owned(),
            what: "the request for a token",
            why,
        };
        let token: Token = serde_json::from_slice(&body).map_err(|error| odd(error.to_string()))?;
        token.token.or(token.access_token).ok_or_else(|| odd("there is no token in it".to_owned()))
    }

    /// The next piece of an answer's body.
    pub(super) async fn chunk(&self, response: &mut Response) -> Result<Option<Bytes>, OciError> {
        let chunk = timeout(limits::STALL, response.chunk()).await;
        let chunk = chunk.map_err(|_| self.slow("has sent nothing", limits::STALL))?;
        chunk.map_err(|error| OciError::broken(self.host(), error))
    }

    /// The whole of a short body.
    pub(super) async fn read(
        &self,
        response: &mut Response,
        what: &str,
        limit: u64,
    ) -> Result<Vec<u8>, OciError> {
        let mut body = Vec::new();
        while let Some(chunk) = self.chunk(response).await? {
            if (body.len() + chunk.len()) as u64 > limit {
                let what = format!("{what} from {}", self.host());
                return Err(OciError::TooLarge { what, limit });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    /// Why it did not do `what`.
    pub(super) async fn refused(&self, mut response: Response, what: &'static str) -> OciError {
        let (host, status) = (self.host().to_owned(), response.status());
        match status {
            StatusCode::UNAUTHORIZED => return OciError::Unauthorized { host, known: self.known },
            StatusCode::FORBIDDEN => {
                let name = self.reference.name.clone();
                return OciError::Denied { host, name, access: self.access };
            }
            _ => {}
        }
        // What can't be read says nothing.
        let body = self.read(&mut response, "the answer", limits::REFUSAL).await.unwrap_or_default();
        OciError::Status { host, what, status, says: says(&body) }
    }

    pub(super) fn no_repository(&self) -> OciError {
        OciError::NoRepository { host: self.host().to_owned(), name: self.reference.name.clone() }
    }

    pub(super) fn slow(&self, what: &'static str, limit: std::time::Duration) -> OciError {
        OciError::Slow { host: self.host().to_owned(), what, limit }
    }
}
