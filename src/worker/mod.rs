//! A worker: requests, messages and tasks for one slot of an app.

mod accept;
mod connection;
mod framing;
mod health;
mod readers;
mod recycle;
mod run;
mod service;
mod stream;

pub use run::run;
