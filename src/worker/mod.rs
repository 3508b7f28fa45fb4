//! A worker: requests, messages and tasks for one slot of an app.

mod accept;
mod connection;
mod recycle;
mod run;
mod service;

pub use run::run;
