//! Hatchery: a cluster of processes that hosts WebAssembly components.
//!
//! # Processes
//!
//! ```text
//!                   +--------+   control socket    +-----------+
//!     hatchery CLI -| master |---------------------| agent     |  one per app: schedules, long-lived work
//!      admin socket +--------+                     +-----------+
//!                    /   |   \   control sockets, and one each to hand over connections
//!            +--------+ +--------+ +--------+      +-----------+ +--------------+
//!            |worker 0| |worker 1| |worker 2|      | compilers | | storekeepers |  short-lived
//!            +--------+ +--------+ +--------+      +-----------+ +--------------+
//!             HTTP, messages, scheduled tasks      per component   per request
//!                    \   a socket each: to ask for connections to other hosts
//!                  +--------+
//!                  | broker |--- other hosts         one per app that is granted any
//!                  +--------+
//! ```
//!
//! All are this one binary. The **master** spawns, watches, routes messages, owns the listeners and
//! never looks into wasm. A **compiler** turns a component into native code, which it writes into a memfd that
//! the master seals and keeps; agents and workers map it, so that N of them share its pages. A **storekeeper** does one
//! thing with the bundles below the home, such as to unpack one, so that the master reads no archive. A
//! **worker** keeps one resident instance (or makes one per request) and serves the connections that the
//! master hands over; an **agent** keeps its component's instance and the app's timers. A **broker** connects
//! to other hosts for them, and alone decides where to. Every process has one current-thread Tokio runtime:
//! parallelism is processes. The master has a **spawner** beside it, a thread that starts all children: that
//! takes milliseconds, and a child dies with the thread that started it. Another thread, the **log**, reads each
//! child's standard error from a pipe of its own, puts the child's name before each line, and writes it out. A
//! third, the **pace**, sees which agents and workers are busy, and has the kernel let the others go first.
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
//! # A deploy's way
//!
//! ```text
//! cli -> admin::Client ==> master::admin -> master::deploy -> storekeeper -> store
//!                                                |-> cache, else compiler
//!                                                |-> master::apps: a new generation, and it serves
//!                                                |-> home: it is on file
//! cli <- admin::Event  <==-----------------------/
//! ```
//!
//! # A request of a guest to another host
//!
//! ```text
//! guest -> host::outbound -> host::exchange -> child::broker -> broker (rules, dial) -> child::broker ->
//!     host::exchange (TLS, HTTP/1.1) -> guest
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
//! | [`cache`] | native code that was compiled before | x |
//! | [`compiler`] | the compiler child | |
//! | [`broker`] | the child that connects to other hosts | |
//! | [`storekeeper`] | the child that looks at bundles | |
//! | [`trial`] | the child that tries the sandbox out | |
//! | [`host`] | wasmtime, and all that a guest can reach; knows neither roles nor `ipc` | x |
//! | [`log`] | how lines look, and what children may write | x |
//! | [`digest`] | the SHA-256 that files and bundles go by | x |
//! | [`bundle`] | apps as archives: packing, unpacking, signatures | x |
//! | [`store`] | the bundles that are kept below the home | x |
//! | [`oci`] | bundles to and from registries, for the command line | x |
//! | [`sys`] | the operating system: the only place with `nix` and `unsafe` | x |

pub mod admin;
pub mod agent;
pub mod broker;
pub mod bundle;
pub mod cache;
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
