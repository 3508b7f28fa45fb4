//! What a component is and may do, from the names of its imports and exports and from its manifest.
//! Pure; `check` calls it and shows what it gives.
//!
//! Imports say what a component could ask for, not what it does: a language's runtime imports much that
//! a guest never calls.

use std::collections::BTreeSet;

use serde::Serialize;

use super::interface::Interface;
use crate::{
    cluster::Role,
    manifest::{App, Capabilities, RunOn},
};

/// One component, explained.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Explained {
    /// The versions of WASI that it imports and exports, ascending.
    wasi_versions: Vec<String>,
    /// The interface by which it answers requests.
    pub(super) handler: Option<String>,
    /// Its part in the cluster.
    pub(super) cluster: Cluster,
    /// What it may reach, and what it imports and is denied.
    pub(super) access: Vec<Access>,
    /// What does not go together.
    pub(super) notes: Vec<String>,
}

/// The interfaces of `hatchery:cluster` that it uses, without package and version.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Cluster {
    pub(super) versions: Vec<String>,
    pub(super) imports: Vec<String>,
    pub(super) exports: Vec<String>,
}

/// One kind of what a guest may reach.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Access {
    pub(super) what: What,
    /// By which interfaces it could ask for it.
    pub(super) imports: Vec<String>,
    /// What the manifest grants.
    pub(super) granted: Vec<String>,
    /// What it would not get, and what to do about that.
    pub(super) denied: Option<&'static str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum What {
    Environment,
    Requests,
    Files,
    Sockets,
}

impl What {
    const ALL: [Self; 4] = [Self::Environment, Self::Requests, Self::Files, Self::Sockets];

    /// Is it asked for by this import?
    fn is_asked_by(self, import: Interface<'_>) -> bool {
        match self {
            Self::Environment => import.is("wasi:cli", "environment"),
            Self::Requests => import.is("wasi:http", "outgoing-handler") || import.is("wasi:http", "client"),
            // Types alone open nothing.
            Self::Files => import.is("wasi:filesystem", "preopens"),
            Self::Sockets => import.package == "wasi:sockets",
        }
    }

    fn granted(self, by: &Capabilities) -> Vec<String> {
        match self {
            Self::Environment => {
                let secrets = by.secrets.iter().map(|name| format!("{name} (secret)"));
                by.environment.keys().cloned().chain(secrets).collect()
            }
            Self::Requests => by.allowed_outbound_hosts.iter().map(ToString::to_string).collect(),
            Self::Files => by
                .folders
                .iter()
                .map(|folder| {
                    let writable = if folder.writable { "writable" } else { "read only" };
                    format!("{} ({writable})", folder.destination)
                })
                .collect(),
            Self::Sockets => Vec::new(),
        }
    }

    fn denied(self) -> &'static str {
        match self {
            Self::Environment => "it sees no variable; name those that it needs in `environment`",
            Self::Requests => "every request; name where it may go in `allowed-outbound-hosts`",
            Self::Files => "it sees no folder; name those that it needs in `folders`",
            Self::Sockets => {
                "every connection and name lookup, whatever the manifest says; use wasi:http and \
                 `allowed-outbound-hosts`"
            }
        }
    }

    /// The manifest's key, and what a component imports to make use of it.
    fn unused(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Environment => Some(("environment", "wasi:cli/environment")),
            Self::Requests => Some(("allowed-outbound-hosts", "wasi:http/client or outgoing-handler")),
            Self::Files => Some(("folders", "wasi:filesystem/preopens")),
            Self::Sockets => None,
        }
    }
}

/// The part of a component that was looked into.
pub(super) struct Names<'a> {
    pub(super) imports: &'a [String],
    pub(super) exports: &'a [String],
}

pub(super) fn explain(app: &App, role: Role, capabilities: &Capabilities, names: &Names<'_>) -> Explained {
    let imports: Vec<_> = interfaces(names.imports).collect();
    let exports: Vec<_> = interfaces(names.exports).collect();
    let all = || imports.iter().chain(&exports).map(|(_, interface)| *interface);
    let wasi_versions = versions(all().filter(|interface| interface.package.starts_with("wasi:")));
    let handler = exports
        .iter()
        .find(|(_, export)| export.is("wasi:http", "handler") || export.is("wasi:http", "incoming-handler"))
        .map(|(name, _)| (*name).to_owned());
    let ours = |of: &[(&str, Interface<'_>)]| {
        let ours =
            of.iter().filter(|(_, interface)| interface.package == CLUSTER && interface.name != "types");
        ours.map(|(_, interface)| interface.name.to_owned()).collect()
    };
    let cluster = Cluster {
        versions: versions(all().filter(|interface| interface.package == CLUSTER)),
        imports: ours(&imports),
        exports: ours(&exports),
    };
    let mut notes = Vec::new();
    let mut access = Vec::new();
    for what in What::ALL {
        let asked: Vec<_> = imports
            .iter()
            .filter(|(_, import)| what.is_asked_by(*import))
            .map(|(name, _)| (*name).to_owned())
            .collect();
        let granted = what.granted(capabilities);
        if asked.is_empty() {
            if let Some((key, interface)) = what.unused().filter(|_| !granted.is_empty()) {
                notes
                    .push(format!("`{key}` grants what it does not ask for: it does not import {interface}"));
            }
            continue;
        }
        let denied = granted.is_empty().then(|| what.denied());
        access.push(Access { what, imports: asked, granted, denied });
    }
    let is_workers_too = app.worker.as_ref().map(|worker| &worker.component.file)
        == app.agent.as_ref().map(|agent| &agent.component.file);
    if role == Role::Agent && handler.is_some() && !is_workers_too {
        notes.push("it answers requests, and an agent gets none; make it the worker's component".to_owned());
    }
    if !cluster.exports.iter().any(|export| export == "task") {
        let of_role = |on: RunOn| (on == RunOn::Agent) == (role == Role::Agent);
        for schedule in app.schedules.iter().filter(|schedule| of_role(schedule.on)) {
            notes
                .push(format!("the schedule `{}` fails each time: it does not export `task`", schedule.name));
        }
    }
    Explained { wasi_versions, handler, cluster, access, notes }
}

/// Our package.
const CLUSTER: &str = "hatchery:cluster";

fn interfaces(names: &[String]) -> impl Iterator<Item = (&str, Interface<'_>)> {
    names.iter().filter_map(|name| Some((name.as_str(), Interface::parse(name)?)))
}

fn versions<'a>(of: impl Iterator<Item = Interface<'a>>) -> Vec<String> {
    let versions: BTreeSet<_> =
        of.map(|interface| interface.version).filter(|version| !version.is_empty()).collect();
    versions.into_iter().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests;
