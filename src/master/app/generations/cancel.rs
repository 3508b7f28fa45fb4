//! Somebody wants to have an end of what is under way: what served before goes on. Part of `generations`.

use std::time::Instant;

use super::Generations;
use crate::master::app::Demand;

impl Generations {
    /// Whoever brought it hears why. Nothing where nothing is under way.
    pub(in super::super) fn cancel(&mut self, why: &str) {
        if self.stopping.is_some() {
            return;
        }
        if !self.serves {
            // There is nothing before it.
            self.serving.failed(why);
            return self.demanded(Demand::Stop);
        }
        self.drop_next(why);
        self.scale_back(why);
        if self.trial.is_some() {
            return self.take_back(why);
        }
        if let Some(mut coming) = self.coming.take() {
            self.say_refused(why);
            coming.failed(why);
            coming.stop(Instant::now());
            self.leaving.push(coming);
        }
    }
}
