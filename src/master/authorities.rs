//! Whom guests' TLS trusts in place of the usual authorities: those in the file that `SSL_CERT_FILE` of the
//! master's environment names. Read once; children, which may see no files, get them with their `Boot`.

use std::{env, path::Path, sync::OnceLock};

use anyhow::{Context as _, bail};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};

/// The most bytes of all of them: they go into one frame with the app.
const MAX_BYTES: usize = 512 << 10;

/// None where the variable is not set, or the file is of no use, which is told once.
pub(super) fn authorities() -> Vec<Vec<u8>> {
    static FOUND: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    let look = || {
        let Some(file) = env::var_os("SSL_CERT_FILE").filter(|file| !file.is_empty()) else { return vec![] };
        let file = Path::new(&file);
        read(file).unwrap_or_else(|error| {
            let file = file.display();
            tracing::error!(
                "guests trust the usual authorities, not those of SSL_CERT_FILE {file}: {error:#}"
            );
            vec![]
        })
    };
    FOUND.get_or_init(look).clone()
}

fn read(file: &Path) -> anyhow::Result<Vec<Vec<u8>>> {
    let (mut found, mut bytes) = (vec![], 0);
    for certificate in CertificateDer::pem_file_iter(file).context("cannot read it")? {
        let certificate = certificate.context("it has what is no certificate")?.to_vec();
        bytes += certificate.len();
        if bytes > MAX_BYTES {
            bail!("it has more than {} KiB of certificates", MAX_BYTES >> 10);
        }
        found.push(certificate);
    }
    if found.is_empty() {
        bail!("it has no certificate");
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_as_a_table() {
        let folder = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(vec!["a.example".to_owned()]).unwrap();
        let pem = made.cert.pem();
        for (text, expected) in [
            (pem.clone(), Some(1)),
            (pem.repeat(3), Some(3)),
            (format!("# a comment\n{pem}"), Some(1)),
            (String::new(), None),
            ("text".to_owned(), None),
            (pem.repeat(MAX_BYTES / 300), None),
        ] {
            let file = folder.path().join("ca.pem");
            std::fs::write(&file, &text).unwrap();
            assert_eq!(read(&file).ok().map(|found| found.len()), expected, "{} bytes", text.len());
        }
        assert!(read(&folder.path().join("none")).is_err());
    }
}
