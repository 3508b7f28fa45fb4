//! An app's agent: schedules, and the agent component where there is one.

mod run;
mod scheduler;
mod timers;

pub use run::run;
