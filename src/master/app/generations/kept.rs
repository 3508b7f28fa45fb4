//! What a release can take over of how connections reach what serves: all of it, its listener, or nothing.
//! Part of `generations`.

use std::{net::SocketAddr, sync::Arc};

use anyhow::{Context as _, bail};

use super::Generations;
use crate::{
    manifest::{Balance, Worker},
    master::{
        bind::bind,
        front::{self, Front},
        isolation,
        release::Release,
    },
    sys::sandbox::Part,
};

/// What there is already of what a release's workers want.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    /// Address and balance.
    Front,
    /// The address alone.
    Listener,
    /// Neither.
    Nothing,
}

/// What a manifest says of how connections come.
#[derive(Clone, Copy, Debug)]
struct Wish {
    listen: SocketAddr,
    balance: Balance,
}

impl From<&Worker> for Wish {
    fn from(worker: &Worker) -> Self {
        Self { listen: worker.listen, balance: worker.balance }
    }
}

impl Kept {
    /// `real` is where those before listen: who asked for any port has one by now.
    fn of(before: Wish, real: Option<SocketAddr>, after: Wish) -> Self {
        let is_there = before.listen == after.listen || real == Some(after.listen);
        match (is_there, before.balance == after.balance) {
            (true, true) => Self::Front,
            (true, false) => Self::Listener,
            (false, _) => Self::Nothing,
        }
    }
}

impl Generations {
    /// Of what serves, by workers that are to.
    pub(super) fn kept(&self, after: &Worker) -> Kept {
        let Some(before) = &self.serving.release.app.worker else { return Kept::Nothing };
        Kept::of(before.into(), self.serving.front.address(), after.into())
    }

    /// The one that there is, where it can be the same; its listener, where the address is.
    pub(super) fn front_for(&self, release: &Release) -> anyhow::Result<Arc<Front>> {
        let name = &release.app.name;
        let options = match &release.app.worker {
            None => None,
            Some(worker) => {
                let there = match self.kept(worker) {
                    Kept::Front => return Ok(Arc::clone(&self.serving.front)),
                    Kept::Listener => {
                        let before = self.serving.release.app.worker.as_ref().map(|worker| worker.balance);
                        let shared = before == Some(Balance::Shared) || worker.balance == Balance::Shared;
                        if shared && !isolation::holds(Part::Seccomp) {
                            bail!(
                                "`balance` of {name} can't be changed to or from \"shared\" while it serves, \
                                 on a machine without seccomp: a worker could make the master wait at their \
                                 listener; stop the app and start it again"
                            );
                        }
                        self.serving.front.listener().ok().flatten()
                    }
                    Kept::Nothing => None,
                };
                Some(front::Options {
                    app: name.clone(),
                    listener: there.map_or_else(|| bind(name, worker), Ok)?,
                    balance: worker.balance,
                    max_held: self.max_held,
                    connections: self.connections.clone(),
                })
            }
        };
        let front = Front::new(options, self.breaches.clone());
        Ok(Arc::new(front.with_context(|| format!("cannot use the listener of {name}"))?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_as_a_table() {
        use Balance::{LeastConnections, RoundRobin};
        use Kept::{Front, Listener, Nothing};
        let wish = |port, balance| Wish { listen: SocketAddr::from(([127, 0, 0, 1], port)), balance };
        for (before, real, after, kept) in [
            ((80, RoundRobin), 80, (80, RoundRobin), Front),
            ((80, RoundRobin), 80, (80, LeastConnections), Listener),
            ((80, RoundRobin), 80, (81, RoundRobin), Nothing),
            ((0, RoundRobin), 4567, (0, RoundRobin), Front),
            ((0, RoundRobin), 4567, (4567, RoundRobin), Front),
            ((0, RoundRobin), 4567, (4567, LeastConnections), Listener),
            ((0, RoundRobin), 4567, (4568, RoundRobin), Nothing),
            // Any port: not the one that is in use.
            ((4567, RoundRobin), 4567, (0, RoundRobin), Nothing),
        ] {
            let real = wish(real, RoundRobin).listen;
            let found = Kept::of(wish(before.0, before.1), Some(real), wish(after.0, after.1));
            assert_eq!(found, kept, "{before:?}, really {real}, then {after:?}");
        }
        let [here, elsewhere] = ["127.0.0.1:80", "[::1]:80"]
            .map(|listen| Wish { listen: listen.parse().unwrap(), balance: RoundRobin });
        assert_eq!(Kept::of(here, Some(here.listen), elsewhere), Nothing);
        assert_eq!(Kept::of(here, None, here), Front, "its listener is closed already");
    }
}
