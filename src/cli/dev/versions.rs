//! What runs, by digest: a save that changes nothing is no reason to reload. `dev` owns it.

use std::{collections::HashMap, fs, io};

use sha2::{Digest as _, Sha256};

use super::live::VARIABLE;
use crate::manifest::App;

/// Of each app, by name: a digest of its manifest, its components, and what they are handed.
#[derive(Default)]
pub(super) struct Versions(HashMap<String, Option<[u8; 32]>>);

impl Versions {
    /// The names of those that are not as they were the last time; new ones among them.
    pub(super) fn differ(&mut self, apps: &[App]) -> Vec<String> {
        let mut names = Vec::new();
        for app in apps {
            let now = digest(app).ok();
            let before = self.0.insert(app.name.clone(), now);
            // What can't be read is for the master to say.
            if now.is_none() || before.flatten() != now {
                names.push(app.name.clone());
            }
        }
        names
    }
}

fn digest(app: &App) -> io::Result<[u8; 32]> {
    let mut digest = Sha256::new();
    for (_, component) in app.components() {
        let handed = component.capabilities.environment.get(VARIABLE).map_or("", String::as_str);
        digest.update(Sha256::digest(handed));
        digest.update(Sha256::digest(fs::read(&component.file)?));
    }
    digest.update(Sha256::digest(fs::read(&app.manifest)?));
    Ok(digest.finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest;

    #[test]
    fn only_what_changed() {
        let folder = tempfile::tempdir().unwrap();
        let mut apps = Vec::new();
        for name in ["one", "two"] {
            let folder = folder.path().join(name);
            fs::create_dir(&folder).unwrap();
            fs::write(folder.join("a.wasm"), name).unwrap();
            let text = format!("name = \"{name}\"\nversion = \"1\"\n[agent]\ncomponent = \"a.wasm\"\n");
            fs::write(folder.join("hatchery.toml"), text).unwrap();
            apps.push(manifest::load(&folder).unwrap());
        }
        let mut versions = Versions::default();
        assert_eq!(versions.differ(&apps), ["one", "two"]);
        assert_eq!(versions.differ(&apps), [""; 0]);
        fs::write(folder.path().join("two/a.wasm"), "other").unwrap();
        assert_eq!(versions.differ(&apps), ["two"]);
        fs::OpenOptions::new()
            .append(true)
            .open(folder.path().join("one/hatchery.toml"))
            .and_then(|mut file| io::Write::write_all(&mut file, b"# more\n"))
            .unwrap();
        assert_eq!(versions.differ(&apps), ["one"]);
        fs::remove_file(folder.path().join("one/a.wasm")).unwrap();
        assert_eq!(versions.differ(&apps), ["one"]);
        assert_eq!(versions.differ(&apps), ["one"], "nobody knows");
    }
}
