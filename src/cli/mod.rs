//! The command line: one file per verb, and the children's hidden ones.

mod archive;
mod build;
mod cgroup;
mod check;
mod deploy;
mod dev;
mod failure;
mod follow;
mod history;
mod home;
mod inspect;
mod isolation;
mod job;
mod keygen;
mod new;
mod options;
mod pack;
mod progress;
mod pull;
mod push;
mod registry;
mod reload;
mod rollback;
mod run;
mod scale;
mod secret;
mod start;
mod status;
mod stop;
mod store;
mod test;
mod undeploy;

use std::process::ExitCode;

pub use failure::print as print_failure;

use clap::{Parser, Subcommand};
use tracing_subscriber::filter::LevelFilter;

use crate::{
    agent, broker, compiler, log, storekeeper,
    sys::priority::{self, BEGINNING},
    trial, worker,
};

/// Hosts WebAssembly components: a master, and for each app one agent and N workers.
#[derive(Debug, Parser)]
#[command(name = "hatchery", version, propagate_version = true, after_help = EXAMPLES)]
pub struct Cli {
    /// How log lines on standard error look
    #[arg(long, global = true, value_enum, default_value_t, env = "HATCHERY_LOG_FORMAT")]
    log_format: log::Format,
    /// What is logged: off, error, warn, info, debug or trace
    #[arg(long, global = true, default_value = "info", env = "HATCHERY_LOG_LEVEL")]
    log_level: LevelFilter,
    #[command(subcommand)]
    verb: Verb,
}

/// The most threads that a process has for calls into the file system and the resolver.
const BLOCKING_THREADS: usize = 64;

const EXAMPLES: &str = "\
Examples:
  hatchery new hello --lang python               a folder to begin with; then: hatchery dev hello
  hatchery test hello                            started, tested by its own tests, stopped
  hatchery run guests/cache                      build if needed, start, serve until Ctrl-C
  hatchery run app --workers 4 --listen 127.0.0.1:0
  hatchery check app                             is the manifest right, and the component?
  hatchery start                                 as a service; what was deployed comes back
  hatchery deploy app                            the new version takes over, no request is lost
  hatchery rollback app                          and back again
  hatchery pack app --sign release.key           an app as one file; inspect shows such a file";

#[derive(Debug, Subcommand)]
enum Verb {
    Run(run::Run),
    Check(check::Check),
    Build(build::Build),
    Start(start::Start),
    Stop(stop::Stop),
    Restart(stop::Restart),
    Deploy(deploy::Deploy),
    Rollback(rollback::Rollback),
    History(history::History),
    Undeploy(undeploy::Undeploy),
    Reload(reload::Reload),
    Status(status::Status),
    Scale(scale::Scale),
    Pack(pack::Pack),
    Inspect(inspect::Inspect),
    Keygen(keygen::Keygen),
    Push(push::Push),
    Pull(pull::Pull),
    Store(store::Store),
    New(new::New),
    Dev(dev::Dev),
    Test(test::Test),
    Secret(secret::Secret),
    /// A worker, started by the master
    #[command(hide = true)]
    Worker {
        master: i32,
    },
    /// An agent, started by the master
    #[command(hide = true)]
    Agent {
        master: i32,
    },
    /// A compiler, started by the master
    #[command(hide = true)]
    Compiler {
        master: i32,
    },
    /// A storekeeper, started by the master
    #[command(hide = true)]
    Storekeeper {
        master: i32,
    },
    /// A broker, started by the master
    #[command(hide = true)]
    Broker {
        master: i32,
    },
    /// A trial of the sandbox, started by the master
    #[command(hide = true)]
    Trial {
        master: i32,
    },
}

impl Verb {
    fn is_child(&self) -> bool {
        matches!(
            self,
            Self::Worker { .. }
                | Self::Agent { .. }
                | Self::Compiler { .. }
                | Self::Storekeeper { .. }
                | Self::Broker { .. }
                | Self::Trial { .. }
        )
    }
}

impl Cli {
    /// Does what was asked, to its end. A child says in the log why it failed.
    ///
    /// # Errors
    ///
    /// Why it could not be done, for the user.
    pub fn execute(self) -> anyhow::Result<ExitCode> {
        let is_child = self.verb.is_child();
        let writer = if is_child { log::Writer::Child } else { log::Writer::Master };
        log::init(self.log_format, self.log_level, writer);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(BLOCKING_THREADS)
            // What they do may take long: the loops go before them.
            .on_thread_start(|| _ = priority::take_turns(BEGINNING))
            .build()?;
        let mut code = ExitCode::SUCCESS;
        let result = runtime.block_on(async {
            match self.verb {
                Verb::Run(run) => run.execute().await,
                Verb::Check(check) => check.execute().await,
                Verb::Build(build) => build.execute().await,
                Verb::Start(start) => start.execute().await,
                Verb::Stop(stop) => stop.execute().await,
                Verb::Restart(restart) => restart.execute().await,
                Verb::Deploy(deploy) => deploy.execute().await,
                Verb::Rollback(rollback) => rollback.execute().await,
                Verb::History(history) => history.execute().await,
                Verb::Undeploy(undeploy) => undeploy.execute().await,
                Verb::Reload(reload) => reload.execute().await,
                Verb::Status(status) => status.execute().await,
                Verb::Scale(scale) => scale.execute().await,
                Verb::Pack(pack) => pack.execute().await,
                Verb::Inspect(inspect) => inspect.execute().await,
                Verb::Keygen(keygen) => keygen.execute(),
                Verb::Push(push) => push.execute().await,
                Verb::Pull(pull) => pull.execute().await,
                Verb::Store(store) => store.execute().await,
                Verb::New(new) => new.execute(),
                Verb::Dev(dev) => dev.execute().await,
                Verb::Test(test) => test.execute().await.map(|ended| code = ended),
                Verb::Secret(secret) => secret.execute(),
                Verb::Worker { master } => worker::run(master).await,
                Verb::Agent { master } => agent::run(master).await,
                Verb::Compiler { master } => compiler::run(master).await,
                Verb::Storekeeper { master } => storekeeper::run(master).await,
                Verb::Broker { master } => broker::run(master).await,
                // Its life is shorter than anybody's.
                Verb::Trial { master: _ } => trial::run(),
            }
        });
        // A guest's blocking call into the file system must not hold up the end.
        runtime.shutdown_background();
        log::finish();
        match result {
            Ok(()) => Ok(code),
            Err(error) if is_child => {
                tracing::error!("ends: {error:#}");
                Ok(ExitCode::FAILURE)
            }
            Err(error) => Err(error),
        }
    }
}
