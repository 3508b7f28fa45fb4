//! `hatchery pack`: from an app's folder to a bundle.

use std::{
    fs::{self, Permissions},
    io::{self, Seek as _, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};

use super::{archive::planned, keygen::password};
use crate::bundle::{self, Limits, SigningKey};

/// Pack an app into one file, a bundle
///
/// Manifest, components and the folders that guests read, compressed, with a list of digests inside. The
/// same app gives the same bytes. Components that are missing are built first.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Pack {
    /// A folder that holds a hatchery.toml, or such a file
    #[arg(value_name = "PATH")]
    path: PathBuf,
    /// Where the bundle goes [default: NAME-VERSION.hatchery]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Sign it with this secret key, made by `hatchery keygen` or minisign
    #[arg(long, value_name = "KEY")]
    sign: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  hatchery pack app                            writes app-0.1.0.hatchery
  hatchery pack app -o app.hatchery --sign release.key";

/// The most bytes of a key file.
const MAX_KEY: u64 = 4096;

impl Pack {
    pub(super) async fn execute(self) -> anyhow::Result<()> {
        let key = self.sign.as_deref().map(signing_key).transpose()?;
        let plan = planned(&self.path).await?;
        let (name, version) = (&plan.index.name, &plan.index.version);
        // A version may have any visible character.
        let file = format!("{name}-{}.hatchery", version.replace('/', "-"));
        let output = self.output.unwrap_or_else(|| PathBuf::from(file));

        let folder = output.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        let cannot = || format!("can't write {}", output.display());
        let mut file = tempfile::NamedTempFile::new_in(folder).with_context(cannot)?;
        plan.write(io::BufWriter::new(file.as_file()), key.as_ref())?;
        // What goes out can be taken in: by the same reader, with the same limits.
        file.rewind().with_context(cannot)?;
        let check = tempfile::tempdir().context("can't make a temporary folder")?;
        let unpacked = bundle::unpack(file.as_file(), check.path(), &Limits::default())
            .context("the bundle would be refused where it is deployed")?;
        if unpacked.digest != plan.digest() {
            bail!("the bundle came out as {}, not {}", unpacked.digest, plan.digest());
        }
        file.as_file().set_permissions(Permissions::from_mode(0o644)).with_context(cannot)?;
        let bytes = file.as_file().metadata().with_context(cannot)?.len();
        file.persist(&output).with_context(cannot)?;
        let (digest, file) = (unpacked.digest, output.display());
        writeln!(
            io::stdout(),
            "packed app={name} version={version} digest={digest} bytes={bytes} file={file}"
        )?;
        Ok(())
    }
}

fn signing_key(file: &Path) -> anyhow::Result<SigningKey> {
    let shown = file.display();
    let text = small(file).with_context(|| format!("can't read the secret key {shown}"))?;
    SigningKey::parse(&text, || password("Password of the secret key: ").ok())
        .with_context(|| format!("can't use the secret key {shown}"))
}

/// A small text file as a whole.
pub(super) fn small(file: &Path) -> io::Result<String> {
    let bytes = fs::metadata(file)?.len();
    if bytes > MAX_KEY {
        return Err(io::Error::other(format!("it has {bytes} bytes, and a key has less than {MAX_KEY}")));
    }
    fs::read_to_string(file)
}
