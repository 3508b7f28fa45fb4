//! See the top of `hostile`.
