//! Which front a new generation gets: the one that there is, its listener, or one of its own.

use std::sync::Arc;

use anyhow::Context as _;

use super::Generations;
use crate::{
    manifest::Worker,
    master::{
        bind::bind,
        front::{self, Front},
        release::Release,
    },
};

impl Generations {
    /// The one that there is, where it can be the same; its listener, where the address is.
    pub(super) fn front_for(&self, release: &Release) -> anyhow::Result<Arc<Front>> {
        let name = &release.app.name;
        let before = self.serving.release.app.worker.as_ref();
        // One that asked for any port has one by now.
        let address = self.serving.front.address();
        let is_there =
            |before: &Worker, after: &Worker| before.listen == after.listen || address == Some(after.listen);
        let options = match (before, &release.app.worker) {
            (_, None) => None,
            (Some(before), Some(after)) if is_there(before, after) && before.balance == after.balance => {
                return Ok(Arc::clone(&self.serving.front));
            }
            (before, Some(after)) => {
                let same = before.is_some_and(|before| is_there(before, after));
                let kept = if same { self.serving.front.listener().ok().flatten() } else { None };
                let listener = kept.map_or_else(|| bind(name, after), Ok)?;
                Some(front::Options {
                    app: name.clone(),
                    listener,
                    balance: after.balance,
                    max_held: self.max_held,
                })
            }
        };
        let front = Front::new(options, self.breaches.clone());
        Ok(Arc::new(front.with_context(|| format!("cannot use the listener of {name}"))?))
    }
}
