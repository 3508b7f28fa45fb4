//! Hatchery: a cluster of processes that hosts WebAssembly components.
//!
//! # Processes
//!
//! ```text
//!                   +--------+   control socket    +-----------+
//!     hatchery CLI -| master |---------------------| agent     |  one per app: schedules, long-lived work
//!                   +--------+                     +-----------+
//!                    /   |   \   control sockets, and one each to hand over connections
//!            +--------+ +--------+ +--------+      +-----------+
//!            |worker 0| |worker 1| |worker 2|      | compilers |  short-lived, one per component
//!            +--------+ +--------+ +--------+      +-----------+
//!             HTTP, messages, scheduled tasks
//! ```
//!
//! All are this one binary. The **master** spawns, watches, routes messages, owns the listeners and
//! never looks into wasm. A **compiler** turns a component into native code, which comes back as a
//! sealed memfd; agents and workers map it, so that N of them share its pages. A **worker** keeps one
//! resident instance (or makes one per request) and serves the connections that the master hands
//! over; an **agent** keeps its component's instance and the app's timers. Every process has one
//! current-thread Tokio runtime: parallelism is processes.
//!
//! A reload starts a new **generation** of an app beside the old one and switches when it is ready. Every
//! agent and worker answers the master's heartbeats from a thread of its own, and notes its requests and
//! log lines in a black box, memory that the master reads for the crash report when the process is gone.
//!
//! Every child shuts itself in before it does anything else ([`sys::sandbox`]): namespaces, an empty root with
//! what was granted, Landlock, no capabilities, a list of system calls. What `master::isolation` gives it is
//! all it has, should a guest ever get out of its wasm.
//!
//! # A message's way
//!
//! ```text
//! guest -> host::imports -> child::Cluster -> ipc::link ==> master::router -> ipc::link ==>
//!     child::Inbox -> host::Resident -> guest
//! ```
//!
//! The master reads the envelope, stamps the sender, and bounds what waits for each receiver; it
//! never reads the data.
//!
//! # A request's way
//!
//! ```text
//! client -> master::listeners -> worker::accept -> worker::connection -> worker::service ->
//!     host::http -> guest -> host::body -> client
//! ```
//!
//! # Modules
//!
//! | module | what it owns | imports no role |
//! |---|---|---|
//! | [`cli`] | the command line, one file per verb | |
//! | [`admin`] | the words of the admin socket, and its client | |
//! | [`home`] | where a master keeps what it must not forget | x |
//! | [`manifest`] | `hatchery.toml` to a checked [`manifest::App`] | x |
//! | [`cluster`] | the words that all share: processes, actions, targets, errors | x |
//! | [`ipc`] | the protocols between the master and its children, and their links | x |
//! | [`master`] | supervision, routing and balance (pure), and the I/O around them | |
//! | [`child`] | what agents and workers have in common | |
//! | [`agent`] | schedules | |
//! | [`worker`] | connections and requests | |
//! | [`compiler`] | the compiler child | |
//! | [`storekeeper`] | the child that looks at bundles | |
//! | [`trial`] | the child that tries the sandbox out | |
//! | [`host`] | wasmtime, and all that a guest can reach; knows neither roles nor `ipc` | x |
//! | [`log`] | how lines look | x |
//! | [`digest`] | the SHA-256 that files and bundles go by | x |
//! | [`bundle`] | apps as archives: packing, unpacking, signatures | x |
//! | [`store`] | the bundles that are kept below the home | x |
//! | [`oci`] | bundles to and from registries, for the command line | x |
//! | [`sys`] | the operating system: the only place with `nix` and `unsafe` | x |

pub mod admin;
pub mod agent;
pub mod bundle;
pub mod child;
pub mod cli;
pub mod cluster;
pub mod compiler;
pub mod digest;
pub mod home;
pub mod host;
pub mod ipc;
pub mod log;
pub mod manifest;
pub mod master;
pub mod oci;
pub mod store;
pub mod storekeeper;
#[expect(unsafe_code, reason = "the one place that talks to the operating system")]
pub mod sys;
pub mod trial;
pub mod worker;
