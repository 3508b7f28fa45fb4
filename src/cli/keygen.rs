//! `hatchery keygen`: a pair of keys for signing bundles, in minisign's format.

use std::{
    env,
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};

use crate::bundle::{PublicKey, SigningKey};

/// Make a pair of keys for signing bundles
///
/// The secret key goes to FILE, for you alone; the public one to FILE.pub and to standard output. Both can
/// be used with minisign. Files that exist are never overwritten.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Keygen {
    /// Where the secret key goes
    #[arg(short, long, value_name = "FILE", default_value = "hatchery.key")]
    output: PathBuf,
    /// Protect the secret key by a password: $HATCHERY_KEY_PASSWORD, or asked for
    #[arg(long)]
    password: bool,
}

const EXAMPLES: &str = "\
Examples:
  hatchery keygen -o release.key && hatchery pack app --sign release.key
  HATCHERY_KEY_PASSWORD=secret hatchery keygen --password";

/// The environment variable with the password of a secret key.
const PASSWORD: &str = "HATCHERY_KEY_PASSWORD";

impl Keygen {
    pub(super) fn execute(self) -> anyhow::Result<()> {
        let public_file = PathBuf::from(format!("{}.pub", self.output.display()));
        for file in [&self.output, &public_file] {
            if file.symlink_metadata().is_ok() {
                bail!(
                    "{} exists, and keys are not overwritten; use -o FILE with another name",
                    file.display()
                );
            }
        }
        let (public, secret) = if self.password { encrypted()? } else { plain()? };
        create(&self.output, 0o600, &secret)?;
        if let Err(error) = create(&public_file, 0o644, &public.to_text()) {
            // Half a pair is no use, and would be in the way of the next try.
            let _ = fs::remove_file(&self.output);
            return Err(error);
        }
        let (id, file) = (public.id(), self.output.display());
        writeln!(io::stdout(), "key id={id} public={public} file={file}")?;
        Ok(())
    }
}

fn plain() -> anyhow::Result<(PublicKey, String)> {
    let key = SigningKey::generate()?;
    Ok((key.public()?, key.to_text()?))
}

fn encrypted() -> anyhow::Result<(PublicKey, String)> {
    let password = password("Password for the new secret key: ")?;
    if password.is_empty() {
        bail!("the password is empty; leave out --password for a key without one");
    }
    if env::var_os(PASSWORD).is_none() && password != self::password("Once more: ")? {
        bail!("the two passwords differ; try again");
    }
    Ok(SigningKey::generate_encrypted(password)?)
}

/// From the environment, else asked for on the terminal.
pub(super) fn password(prompt: &str) -> io::Result<String> {
    match env::var(PASSWORD) {
        Ok(password) => Ok(password),
        Err(env::VarError::NotPresent) => rpassword::prompt_password(prompt),
        Err(error) => Err(io::Error::other(format!("{PASSWORD}: {error}"))),
    }
}

fn create(file: &Path, mode: u32, text: &str) -> anyhow::Result<()> {
    let opened = OpenOptions::new().write(true).create_new(true).mode(mode).open(file);
    let done = opened.and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    done.with_context(|| format!("can't write {}", file.display()))
}
