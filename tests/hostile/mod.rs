//! Tenants who distrust each other: guests, clients and local users that do what they can to harm another
//! app, the master, or the host. Beside each attack a second app answers all through it, and afterwards the
//! master is what it was: [`Watch`].
//!
//! | what | where |
//! |---|---|
//! | loop, memory, tables, recursion, handles | `e2e::hostile`, and beside another app `e2e::neighbours` |
//! | loops in more processes than there are CPUs | [`computing`] |
//! | hang in start, traps in start, compile bombs | `e2e::hostile_start`, `e2e::deploy_hostile` |
//! | slow and large heads and bodies, chunked past the limit | `e2e::overload`, `e2e::flat` |
//! | archives, registries | `e2e::bundle_hostile`, `e2e::oci_hostile` |
//! | a child that breaks the protocol | [`protocol`] |
//! | apps in turn | `master::turns` |
//! | messages: sizes, actions, senders, other tenants, slow receivers | [`messages`] |
//! | what is printed | [`output`] |
//! | files, environment, loopback | [`reach`] |
//! | HTTP | [`http`] |
//! | native code that was tampered with, compilers that lie | [`cache`], `cache` |
//! | what an escaped guest tries | [`drills`], [`isolation`] |
//! | a storekeeper that was taken over | [`storekeeper`], [`drills`] |
//! | the admin socket | [`admin`], `e2e::admin` |
//! | what takes no time to refuse, and compile bombs, again and again beside another app | [`beside`] |

mod admin;
mod beside;
mod cache;
mod computing;
mod drills;
mod http;
mod isolation;
mod messages;
mod output;
mod protocol;
mod reach;
mod storekeeper;
mod tenants;
mod watch;

use watch::Watch;

use crate::support::{App, Guest};

/// The app that is to notice nothing.
fn good() -> App {
    App::new("good").worker(Guest::HelloP3, "workers = 1")
}
