//! How a bundle becomes a generation: found, compiled, bound, started. `work` and `restore` share it, and
//! say what the steps that follow mean. It writes nothing down.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use tokio::{sync::mpsc, task::spawn_blocking, time::sleep};

use super::{Deployer, found::checked};
use crate::{
    admin::Event,
    home::Record,
    ipc::store::{Answer, Bundle, TrustBy, What},
    manifest::{self, App},
    master::{
        admin::Events,
        bind::bind,
        plan::Plan,
        release::{Code, Release, compile_all, secrets_of},
        reload::Reload,
        steps::{Step, Steps},
        store,
    },
    sys::point,
};

/// How long an address that is taken is tried again: a master that was killed leaves it within a second.
const BIND_PATIENCE: Duration = Duration::from_secs(3);

/// How often.
const BIND_PAUSE: Duration = Duration::from_millis(50);

impl Deployer {
    /// Finds a bundle and makes an app of it, with the number of workers that is on file.
    pub(super) async fn look(
        &self,
        digest: &str,
        name: &str,
        trust: TrustBy,
        record: &Record,
    ) -> anyhow::Result<(Bundle, App)> {
        point::reach("look");
        let (digest, name, workers) = (digest.to_owned(), name.to_owned(), record.workers);
        let what = What::Look { digest, name, trust, workers };
        let Answer::Found(bundle, app) = store::ask(self.home().folder(), what.clone()).await? else {
            bail!("the store gave another answer than was asked for");
        };
        let home = self.home().clone();
        let checking = spawn_blocking(move || checked(&home, &what, (bundle, *app)));
        checking.await.context("checking what the store found broke")?
    }

    /// Compiles an app and brings it: as a generation of the one that runs, or as the first.
    pub(super) async fn start(
        &self,
        app: App,
        plan: Plan,
        events: &Events,
    ) -> anyhow::Result<mpsc::UnboundedReceiver<Step>> {
        self.check_address(&app).await?;
        let apps = std::slice::from_ref(&app);
        let secrets = secrets_of(apps, self.home().folder()).await?.pop().unwrap_or_default();
        let codes = compile_all(apps, self.home().folder()).await?;
        for ((_, role, _), Code { cached, elapsed, .. }) in &codes {
            let elapsed_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
            events.say(Event::Compiled { role: *role, cached: *cached, elapsed_ms });
        }
        point::reach("compiled");
        let (steps, happens) = Steps::new();
        let name = app.name.clone();
        let runs = self.apps().has(&name);
        let listener = match &app.worker {
            Some(worker) if !runs => Some(bind_patiently(&name, worker).await?),
            _ => None,
        };
        point::reach("bound");
        let release = Release::new(app, &codes, secrets);
        if !runs {
            self.apps().start(release, listener, steps)?;
        } else if !self.apps().reload(&name, Reload { release: Ok(release), steps, plan }).await {
            bail!("{name} has just ended");
        }
        Ok(happens)
    }

    /// No other app may have its address; the system would say so too, but not whose it is.
    async fn check_address(&self, app: &App) -> anyhow::Result<()> {
        let Some(worker) = &app.worker else { return Ok(()) };
        for other in self.apps().unmeasured().await {
            if let Some(there) = other.address.filter(|there| manifest::clash(*there, worker.listen))
                && other.name != app.name
            {
                bail!(
                    "{} is taken by the app {}, which listens on {there}; give each app a port of its own",
                    worker.listen,
                    other.name
                );
            }
        }
        Ok(())
    }
}

async fn bind_patiently(name: &str, worker: &manifest::Worker) -> anyhow::Result<std::net::TcpListener> {
    let begun = Instant::now();
    loop {
        match bind(name, worker) {
            Ok(listener) => return Ok(listener),
            Err(error) if begun.elapsed() > BIND_PATIENCE => return Err(error),
            Err(_) => sleep(BIND_PAUSE).await,
        }
    }
}
