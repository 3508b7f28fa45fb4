//! The broker child: connects to other hosts for one app's agent and workers, which have no network of
//! their own. It looks a name up once, checks every address, connects to one that it has checked, and hands
//! the connection over. It speaks no HTTP and no TLS, and keeps nothing.
//!
//! ```text
//!   run -> peer (one task each) -> rules (pure): may it go there?
//!                             \--> dial: look up, choose, connect
//! ```
//!
//! It alone decides: a guest that has escaped into its worker gets nothing more by asking here.

mod dial;
mod here;
mod peer;
mod rules;
mod run;

pub use run::run;
