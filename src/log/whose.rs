//! Whose lines come from a child: the master knows, and does not ask the child.

use std::fmt;

use serde_json::{Map, Value, json};

use crate::cluster::Role;

/// A process. As text: `cache worker/0`, `cache broker`, `storekeeper`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Whose {
    /// Its app, where it has one.
    pub app: Option<String>,
    /// What it is: `worker`, `agent`, `broker`, `compiler`, …
    pub role: String,
    /// Which, where there are several of the role.
    pub slot: Option<u32>,
}

impl Whose {
    /// Of an agent or a worker.
    #[must_use]
    pub fn guest(app: &str, role: Role, slot: u32) -> Self {
        let slot = (role == Role::Worker).then_some(slot);
        Self { slot, ..Self::helper(Some(app), role) }
    }

    /// Of another process, of an app's or of the master's.
    #[must_use]
    pub fn helper(app: Option<&str>, role: impl fmt::Display) -> Self {
        Self { app: app.map(str::to_owned), role: role.to_string(), slot: None }
    }

    /// What lines of JSON have under `span`.
    pub(super) fn span(&self) -> Value {
        let mut span = Map::new();
        span.insert("name".to_owned(), json!("process"));
        span.insert("role".to_owned(), json!(self.role));
        if let Some(app) = &self.app {
            span.insert("app".to_owned(), json!(app));
        }
        if let Some(slot) = self.slot {
            span.insert("slot".to_owned(), json!(slot));
        }
        Value::Object(span)
    }
}

impl fmt::Display for Whose {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(app) = &self.app {
            write!(formatter, "{app} ")?;
        }
        formatter.write_str(&self.role)?;
        self.slot.map_or(Ok(()), |slot| write!(formatter, "/{slot}"))
    }
}
