//! The slow source of truth: one value with a version, in the memory of one instance.
//!
//! - `GET /value` → `{"value", "version"}`, after `DELAY` (200ms)
//! - `GET /version` → `{"version"}`, at once
//! - `GET /changes?since=V` → `{"version"}` once it is greater than V, or 204 after `POLL_TIMEOUT` (25s)
//! - `PUT /value` sets it to the body's text → `{"value", "version"}`

use hatchery_sdk::{Request, Response, Result, Watch, Worker, duration_of_env, sleep, timeout};
use serde_json::json;
use std::cell::RefCell;
use std::time::Duration;

struct Origin {
    value: RefCell<String>,
    /// From 1. Set after the value, so that who is woken by it reads the new value.
    version: Watch<u64>,
}

impl Default for Origin {
    fn default() -> Self {
        let version = Watch::default();
        version.set(1);
        Self { value: RefCell::new("first".to_owned()), version }
    }
}

hatchery_sdk::http!(Origin);

impl Worker for Origin {
    async fn handle(&'static self, mut request: Request) -> Result<Response> {
        match (request.method(), request.path()) {
            ("GET", "/value") => {
                sleep(duration_of_env("DELAY", Duration::from_millis(200))?).await;
                self.value()
            }
            ("PUT", "/value") => {
                let Ok(value) = request.text().await else {
                    return Ok(Response::text("the value has to be utf-8\n").status(400));
                };
                self.value.replace(value);
                self.version.set(self.version.get() + 1);
                self.value()
            }
            ("GET", "/version") => self.version(),
            ("GET", "/changes") => self.changes(request.query("since")).await,
            (_, "/value" | "/version" | "/changes") => Ok(Response::text("method not allowed\n").status(405)),
            _ => Ok(Response::text("not found\n").status(404)),
        }
    }
}

impl Origin {
    fn value(&self) -> Result<Response> {
        Response::json(&json!({ "value": *self.value.borrow(), "version": self.version.get() }))
    }

    fn version(&self) -> Result<Response> {
        Response::json(&json!({ "version": self.version.get() }))
    }

    async fn changes(&self, since: Option<String>) -> Result<Response> {
        let Some(since) = since.and_then(|text| text.parse::<u64>().ok()) else {
            return Ok(Response::text("since has to be a version\n").status(400));
        };
        let limit = duration_of_env("POLL_TIMEOUT", Duration::from_secs(25))?;
        match timeout(limit, self.version.until(|version| version > since)).await {
            Some(_) => self.version(),
            None => Ok(Response::empty(204)),
        }
    }
}
