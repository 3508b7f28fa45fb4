//! Attackers: what they try, and that it does not work.

mod drills;
mod isolation;
