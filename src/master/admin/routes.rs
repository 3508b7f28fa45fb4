//! From a request to what it asks for.

use std::{sync::Arc, time::Duration};

use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::{
    events::Events,
    reply::{Body, Refusal, events, json, refused},
};
use crate::{
    admin::{History, MAX_BODY, Master, Stopping},
    home::{Grants, Needs},
    manifest::is_app_name,
    master::deploy::{Action, Deployer, Job, Uploads},
};

/// For a body, archives excepted: those have limits of their own.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// What is taken of a body that nobody wants, in bytes and in time.
const MAX_UNWANTED: usize = 64 << 20;
const UNWANTED_TIMEOUT: Duration = Duration::from_secs(2);

/// Answers one request of this user.
pub(super) async fn answer(request: Request<Incoming>, who: &Who, deployer: &Deployer) -> Response<Body> {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    tracing::debug!(uid = who.uid, "admin: {method} {path}");
    route(request, who, deployer).await.unwrap_or_else(refused)
}

/// Who asks, and what it may do.
pub(super) struct Who {
    pub(super) uid: u32,
    /// `None`: everything.
    pub(super) grants: Option<Arc<Grants>>,
}

impl Who {
    /// Who may do everything may fill the disk.
    fn uploads(&self) -> Uploads {
        match &self.grants {
            Some(grants) if !grants.allow(self.uid, Needs::Admin) => Uploads::By(self.uid),
            Some(_) | None => Uploads::Freely,
        }
    }

    /// Before anything of the request is looked at but its method and path.
    fn may(&self, method: &Method, path: &[&str]) -> Result<(), Refusal> {
        let Some(grants) = &self.grants else { return Ok(()) };
        let needs = needs(method, path);
        if grants.allow(self.uid, needs) {
            return Ok(());
        }
        let error =
            format!("uid {} may not do this: it needs {needs} below [[admin]] in settings.toml", self.uid);
        Err(Refusal::new(StatusCode::FORBIDDEN, error))
    }
}

/// What a request needs; the worst where there is no such request.
fn needs<'a>(method: &Method, path: &[&'a str]) -> Needs<'a> {
    match (method, path) {
        (&Method::GET, ["master"]) => Needs::Any,
        (&Method::GET, ["status" | "store"]) => Needs::Read,
        (&Method::GET, ["apps", app, "history"]) => Needs::ReadOf(app),
        (&Method::POST, ["bundles"]) => Needs::AnyDeploy,
        (&Method::POST, ["apps", app, "deploy" | "rollback" | "reload" | "scale"])
        | (&Method::DELETE, ["apps", app]) => Needs::Deploy(app),
        _ => Needs::Admin,
    }
}

/// Who can't send all of an archive gets to read no answer: it hears that the connection broke.
async fn let_go_by(body: Incoming) {
    let mut body = Limited::new(body, MAX_UNWANTED);
    let _ = timeout(UNWANTED_TIMEOUT, async { while let Some(Ok(_)) = body.frame().await {} }).await;
}

async fn route(
    request: Request<Incoming>,
    who: &Who,
    deployer: &Deployer,
) -> Result<Response<Body>, Refusal> {
    let (parts, body) = request.into_parts();
    let parts_of_path: Vec<&str> = parts.uri.path().split('/').skip(1).collect();
    let ["v1", path @ ..] = parts_of_path.as_slice() else { return Err(unknown()) };
    if let Err(refusal) = who.may(&parts.method, path) {
        let_go_by(body).await;
        return Err(refusal);
    }
    let uid = who.uid;
    match (&parts.method, path) {
        (&Method::GET, ["master"]) => Ok(json(&Master::here())),
        (&Method::GET, ["status"]) => Ok(json(&deployer.status().await)),
        (&Method::POST, ["bundles"]) => Ok(json(&deployer.add(body, who.uploads()).await?)),
        (&Method::GET, ["store"]) => Ok(json(&deployer.bundles().await?)),
        (&Method::POST, ["store", "prune"]) => Ok(json(&deployer.prune(read(body).await?).await?)),
        (&Method::POST, ["store", "verify"]) => Ok(json(&deployer.verify().await?)),
        (&Method::POST, ["stop"]) => {
            deployer.stop();
            Ok(json(&Stopping { os_pid: std::process::id() }))
        }
        (&Method::GET, ["apps", app, "history"]) => {
            let app = named(app)?;
            let record = deployer.record(&app).await?;
            if record.history.is_empty() {
                return Err(Refusal::new(
                    StatusCode::NOT_FOUND,
                    format!("nothing was ever deployed as {app}"),
                ));
            }
            Ok(json(&History { app, record }))
        }
        (&Method::POST, ["apps", app, "deploy"]) => {
            let app = named(app)?;
            begin(app, uid, Action::Deploy(read(body).await?), deployer)
        }
        (&Method::POST, ["apps", app, "rollback"]) => {
            let app = named(app)?;
            let rollback: crate::admin::Rollback = read(body).await?;
            begin(app, uid, Action::Rollback(rollback.bundle), deployer)
        }
        (&Method::POST, ["apps", app, "reload"]) => begin(named(app)?, uid, Action::Reload, deployer),
        (&Method::POST, ["apps", app, "scale"]) => {
            let app = named(app)?;
            let scale: crate::admin::Scale = read(body).await?;
            begin(app, uid, Action::Scale(scale.workers), deployer)
        }
        (&Method::DELETE, ["apps", app]) => begin(named(app)?, uid, Action::Undeploy, deployer),
        _ => Err(unknown()),
    }
}

fn begin(app: String, uid: u32, action: Action, deployer: &Deployer) -> Result<Response<Body>, Refusal> {
    let (say, body) = Events::new();
    deployer
        .begin(Job { app, uid, action }, say)
        .map_err(|error| Refusal::new(StatusCode::CONFLICT, format!("{error:#}")))?;
    Ok(events(body))
}

fn unknown() -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, "there is no such resource; the README lists them")
}

fn named(app: &str) -> Result<String, Refusal> {
    if !is_app_name(app) {
        let short: String = app.chars().take(64).collect();
        return Err(Refusal::new(StatusCode::BAD_REQUEST, format!("{short:?} can't be an app's name")));
    }
    Ok(app.to_owned())
}

/// A small body; an empty one stands for `{}`.
async fn read<T: DeserializeOwned>(body: Incoming) -> Result<T, Refusal> {
    let bad = |error: String| Refusal::new(StatusCode::BAD_REQUEST, error);
    let Ok(whole) = timeout(BODY_TIMEOUT, Limited::new(body, MAX_BODY).collect()).await else {
        let limit = humantime::format_duration(BODY_TIMEOUT);
        return Err(Refusal::new(
            StatusCode::REQUEST_TIMEOUT,
            format!("the request's body did not come within {limit}"),
        ));
    };
    let whole = whole.map_err(|error| {
        bad(format!("the request's body can't be read: {error}; it may have {MAX_BODY} bytes"))
    })?;
    let text = whole.to_bytes();
    let text: &[u8] = if text.is_empty() { b"{}" } else { &text };
    serde_json::from_slice(text).map_err(|error| bad(format!("the request's body is not right: {error}")))
}
