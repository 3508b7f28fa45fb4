//! How much of the sandbox must hold.

use clap::ValueEnum as _;

use crate::{
    home::{Home, Settings},
    sys::sandbox,
};

/// `--isolation`.
#[derive(Debug, clap::Args)]
pub(super) struct Isolation {
    /// Must every part of the sandbox hold, or as many as the machine allows? [default: `isolation` in
    /// the home's settings.toml; without it strict with `require-signature` or more than
    /// one tenant in there, else best-effort]
    #[arg(long, value_enum, value_name = "LEVEL", env = "HATCHERY_ISOLATION")]
    isolation: Option<sandbox::Isolation>,
}

impl Isolation {
    /// As the command line has it, for another process.
    pub(super) fn arguments(&self) -> Vec<String> {
        let word =
            self.isolation.and_then(|isolation| Some(isolation.to_possible_value()?.get_name().to_owned()));
        word.map(|word| vec!["--isolation".to_owned(), word]).unwrap_or_default()
    }

    /// For this home.
    ///
    /// # Errors
    /// Its settings can't be read.
    pub(super) fn of(&self, home: &Home) -> anyhow::Result<sandbox::Isolation> {
        match self.isolation {
            Some(isolation) => Ok(isolation),
            None => Settings::load(home).map(|settings| settings.isolation()),
        }
    }
}
