//! The operating system: the only place with `nix` and `unsafe`.
//!
//! Small safe calls for the roles: start a child with an explicit list of fds, take inherited fds,
//! die with the parent, pass fds over a socket, seal and load compiled code, listen. Knows no role,
//! no protocol and no manifest.

pub mod acceptor;
pub mod cgroup;
pub mod clock;
mod clone;
pub mod confines;
pub mod connect;
pub mod daemon;
pub mod disk;
pub mod fd_socket;
pub mod folder;
pub mod inherit;
pub mod limits;
pub mod listen;
pub mod memfd;
pub mod memory;
pub mod misbehave;
pub mod name;
pub mod native;
pub mod nonblocking;
pub mod open;
pub mod parent;
pub mod point;
pub mod priority;
pub mod process;
mod recv_fds;
pub mod sandbox;
pub mod shared;
pub mod spawn;
pub mod stream;
pub mod sync;
pub mod terminate;
pub mod usage;
pub mod user;
