//! What the end-to-end tests drive Hatchery with: the real binary in a temporary folder, HTTP clients,
//! and the probe, a guest that does what it is told (`guests/fixtures/probe`).
//!
//! Nothing here sleeps and hopes: every wait is a poll with a deadline.

mod app;
mod bomb;
mod clients;
mod cluster;
mod command;
mod debian;
mod guest;
mod here;
mod http;
mod latency;
mod liar;
mod lines;
mod load;
mod made;
mod place;
mod probe;
mod processes;
mod registry;
mod service;
mod wait;
mod wire;

pub(crate) use app::App;
pub(crate) use bomb::bomb;
pub(crate) use clients::{Clients, Meanwhile};
pub(crate) use cluster::Cluster;
pub(crate) use command::{Done, clean, hatchery, hatchery_with};
pub(crate) use debian::Program;
pub(crate) use guest::Guest;
pub(crate) use here::here;
pub(crate) use http::{
    Body, Broken, Connection, Version, empty, full, get, post, put, request, streamed, try_get, try_put,
};
pub(crate) use latency::{Compared, is_quiet};
pub(crate) use liar::{Certificate, Liar};
pub(crate) use lines::Lines;
pub(crate) use load::{Load, computing};
pub(crate) use made::made;
pub(crate) use probe::{Entry, Probe, Sent, colour, generation};
pub(crate) use processes::{OsProcess, gone, mark, marked};
pub(crate) use registry::{Registry, User, digest};
pub(crate) use service::Service;
pub(crate) use wait::{DEADLINE, eventually, eventually_some, in_time, pairs, side_by_side};
