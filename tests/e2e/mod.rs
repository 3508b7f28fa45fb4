//! The whole, from outside: `hatchery run` with real components, told and asked over HTTP.
//!
//! The components are built beforehand (`just guests`). Set
//! - `HATCHERY_GUESTS` to the folder they are in, where it is not the usual one,
//! - `HATCHERY_COMPONENTS` to that of the guests that are not Rust,
//! - `HATCHERY_E2E_MIB` to the size of the large body (256),
//! - `HATCHERY_E2E_LOAD` to the seconds of each load (2),
//! - `HATCHERY_E2E_RELOADS` to the number of reloads in a row (10),
//! - `HATCHERY_E2E_DEPLOYS` to the number of deploys in a row (20),
//! - `HATCHERY_E2E_QUIET` to anything where nothing else runs on the machine: then an app's latency beside
//!   another's attacks is compared with what it is alone, and so are times of replacements with their bounds.

mod admin;
mod balance;
mod board;
mod broker;
mod bundle;
mod bundle_hostile;
mod cache;
mod canary;
mod capabilities;
mod cgroup;
mod check;
mod cli;
mod compile;
mod crash;
mod deploy;
mod deploy_crash;
mod deploy_full_disk;
mod deploy_hostile;
mod deploy_oci;
mod deploy_refused;
mod dev;
mod escape;
pub(crate) mod flat;
mod foreground;
mod hang;
mod health;
mod hits;
mod hostile;
mod hostile_start;
mod http;
mod messenger;
mod misbehaviour;
mod neighbours;
mod new;
mod oci;
mod oci_hostile;
mod outbound;
mod outbound_broker;
mod overload;
mod policy;
mod quotas;
mod recycle;
mod reliability;
mod reload;
mod requests;
mod restart;
mod run_tests;
mod samples;
mod scale;
mod schedules;
mod secrets;
mod service;
mod start;
mod status;
mod stop;
mod tenants;
mod traps;

pub(crate) use overload::raw;
