//! The user's credentials for a registry, from docker's configuration: `config.json` in
//! `$DOCKER_CONFIG` or `~/.docker`, with its credential helpers.
//!
//! Asked for only when a registry wants them, as a helper may in turn ask its user.

use std::{env, fs::File, io::Read as _, path::PathBuf};

use docker_credential::{CredentialRetrievalError, DockerCredential, get_credential_from_reader};
use tokio::{task::spawn_blocking, time::timeout};

use super::{error::OciError, limits};

/// What a helper says when it has none for this registry. Only its words tell that from a failure.
const NONE: &str = "credentials not found";

/// Finds them; `None` where there are none for this registry.
pub(super) async fn find(host: &str) -> Result<Option<DockerCredential>, OciError> {
    let Some(path) = config() else {
        return Ok(None);
    };
    let failed = |why: String| OciError::Credentials { host: host.to_owned(), why };
    let config = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(OciError::File { verb: "read", path, source }),
    };
    let registry = host.to_owned();
    let found =
        spawn_blocking(move || get_credential_from_reader(config.take(limits::CREDENTIALS), &registry));
    let found = timeout(limits::HELPER, found).await;
    let found = found.map_err(|_| failed(format!("no answer within {} s", limits::HELPER.as_secs())))?;
    match found.map_err(|error| failed(error.to_string()))? {
        Ok(found) => Ok(Some(found)),
        Err(CredentialRetrievalError::NoCredentialConfigured) => Ok(None),
        Err(CredentialRetrievalError::HelperFailure { stdout, .. }) if stdout.contains(NONE) => Ok(None),
        Err(CredentialRetrievalError::HelperFailure { helper, stderr, .. }) => {
            // What it printed on standard output may be a secret.
            Err(failed(format!("{helper} failed, saying {:?}", stderr.trim())))
        }
        Err(CredentialRetrievalError::ConfigReadError) => {
            Err(failed(format!("{} is not what docker writes", path.display())))
        }
        Err(error) => Err(failed(error.to_string())),
    }
}

fn config() -> Option<PathBuf> {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = set("DOCKER_CONFIG").or_else(|| Some(set("HOME")?.join(".docker")))?;
    Some(folder.join("config.json"))
}
