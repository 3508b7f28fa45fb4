//! `hatchery secret`: the values that apps of a home get as secrets. It writes files below the home, and
//! needs no service.

use std::io::{self, IsTerminal as _, Read as _};

use anyhow::{Context as _, bail};

use super::{home::Home, options::AppName};
use crate::home::{MAX_SECRET, secrets};

/// Set, list and remove the values of secrets
///
/// An app names in its manifest what it needs: `secrets = ["API_KEY"]` in `[worker]` or `[agent]`. Its
/// guest gets them as environment variables. What has changed counts from the next deploy or reload on.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Secret {
    #[command(subcommand)]
    verb: Verb,
}

const EXAMPLES: &str = "\
Examples:
  hatchery secret set shop API_KEY < key.txt
  hatchery secret set shop API_KEY               asks for it
  hatchery reload shop                           the running app gets it";

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Set one; the value comes from standard input, one newline at its end does not count
    Set {
        /// The app
        #[arg(value_name = "APP")]
        app: AppName,
        /// Letters, digits and `_`
        #[arg(value_name = "NAME")]
        name: String,
        #[command(flatten)]
        home: Home,
    },
    /// List the names of an app's secrets
    List {
        /// The app
        #[arg(value_name = "APP")]
        app: AppName,
        /// As JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        home: Home,
    },
    /// Remove one
    Remove {
        /// The app
        #[arg(value_name = "APP")]
        app: AppName,
        /// Its name
        #[arg(value_name = "NAME")]
        name: String,
        #[command(flatten)]
        home: Home,
    },
}

impl Secret {
    pub(super) fn execute(self) -> anyhow::Result<()> {
        match self.verb {
            Verb::Set { app, name, home } => {
                let home = home.open()?;
                let file = secrets::set(home.folder(), app.as_ref(), &name, value(&name)?)?;
                println!(
                    "set {name} in {}; `hatchery reload {}` gives it to a running app",
                    file.display(),
                    app.as_ref()
                );
            }
            Verb::List { app, json, home } => {
                let names = secrets::names(home.open()?.folder(), app.as_ref())?;
                if json {
                    println!("{}", serde_json::to_string_pretty(&names)?);
                } else {
                    names.iter().for_each(|name| println!("{name}"));
                }
            }
            Verb::Remove { app, name, home } => {
                secrets::remove(home.open()?.folder(), app.as_ref(), &name)?;
                println!("removed {name}");
            }
        }
        Ok(())
    }
}

/// From standard input; at a terminal it is asked for, and not shown.
fn value(name: &str) -> anyhow::Result<Vec<u8>> {
    if io::stdin().is_terminal() {
        let typed = rpassword::prompt_password(format!("value of {name}: "));
        return Ok(typed.context("cannot read the value")?.into_bytes());
    }
    let mut bytes = vec![];
    io::stdin().take(MAX_SECRET as u64 + 2).read_to_end(&mut bytes).context("cannot read standard input")?;
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
    }
    if bytes.is_empty() {
        bail!("there is no value on standard input; write `hatchery secret set APP NAME < FILE`");
    }
    Ok(bytes)
}
