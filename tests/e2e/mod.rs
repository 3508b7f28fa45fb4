//! The whole, from outside: `hatchery run` with real components, told and asked over HTTP.
//!
//! The components are built beforehand (`just guests`).

mod balance;
mod cache;
mod capabilities;
mod http;
mod messenger;
mod requests;
mod restart;
mod schedules;
mod start;
mod stop;
