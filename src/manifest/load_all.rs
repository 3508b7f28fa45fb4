//! Several manifests whose apps run under one master.

use std::{
    collections::{HashMap, HashSet},
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
};

use super::{
    App, DevWith, ManifestError, ManifestErrors, Overrides, WORKERS,
    load::{FILE_NAME, Loaded, load_with_places},
};

/// The most apps of one master. It also bounds how deep `[dev] with` is followed.
pub const MAX_APPS: usize = 256;

/// Reads and checks the manifests at `paths`, as `load` does, and those that their `[dev] with` names,
/// each once; then applies what the command line says.
///
/// An app comes after those that it names in `[dev] with`, so that they can be started in this order;
/// otherwise the order is that of `paths`.
///
/// # Errors
/// All mistakes of all manifests; two apps with one name or address; a wish of the command line that
/// fits no app.
pub fn load_all(paths: &[PathBuf], overrides: &Overrides) -> Result<Vec<App>, ManifestErrors> {
    let mut set = Set { follow: overrides.dev_with, ..Set::default() };
    for path in paths {
        let manifest = set.add(path);
        set.named.push(manifest);
    }
    // What is missing can't be compared, and an override for it would be called a mistake.
    if set.errors.is_empty() {
        set.apply(overrides);
        set.check_names();
        set.check_addresses();
    }
    if set.errors.is_empty() {
        Ok(set.loaded.into_iter().map(|loaded| loaded.app).collect())
    } else {
        Err(ManifestErrors(set.errors))
    }
}

#[derive(Default)]
struct Set {
    follow: DevWith,
    /// In the order in which they are given back.
    loaded: Vec<Loaded>,
    /// Manifests that were looked at, right or not.
    seen: HashSet<PathBuf>,
    /// The manifests that the command line names, in its order.
    named: Vec<PathBuf>,
    errors: Vec<ManifestError>,
}

impl Set {
    /// Adds the app at `path`, after those that it needs. Gives its manifest's absolute path.
    fn add(&mut self, path: &Path) -> PathBuf {
        let manifest = manifest_of(path);
        if !self.seen.insert(manifest.clone()) {
            return manifest;
        }
        if self.seen.len() > MAX_APPS {
            if self.seen.len() == MAX_APPS + 1 {
                let title = format!("there are more than {MAX_APPS} apps");
                self.errors.push(ManifestError::command_line(title, "start them in several masters"));
            }
            return manifest;
        }
        let loaded = match load_with_places(path) {
            Ok(loaded) => loaded,
            Err(error) => {
                self.errors.push(error);
                return manifest;
            }
        };
        if self.follow == DevWith::Follow {
            for (other, place) in loaded.app.dev_with.iter().zip(&loaded.places.dev_with) {
                if manifest_of(other).exists() {
                    self.add(other);
                } else {
                    let title = format!("there is no manifest in {}", other.display());
                    let help = format!("name the folder of another app, which holds its `{FILE_NAME}`");
                    self.errors.push(loaded.error(place.clone(), title, help));
                }
            }
        }
        self.loaded.push(loaded);
        manifest
    }

    fn apply(&mut self, overrides: &Overrides) {
        if let Some(workers) = overrides.workers
            && !(WORKERS.0..=WORKERS.1).contains(&workers.get())
        {
            let title = format!("`--workers {workers}` is out of range");
            let help = format!("it goes from {} to {}", WORKERS.0, WORKERS.1);
            self.errors.push(ManifestError::command_line(title, help));
        }
        for loaded in &mut self.loaded {
            if self.named.contains(&loaded.app.manifest)
                && let Some(worker) = &mut loaded.app.worker
            {
                worker.workers = overrides.workers.unwrap_or(worker.workers);
                worker.balance = overrides.balance.unwrap_or(worker.balance);
            }
        }
        let mut given = HashSet::new();
        for (name, address) in &overrides.listen {
            if let Err((title, help)) = self.listen(name.as_deref(), *address, &mut given) {
                self.errors.push(ManifestError::command_line(title, help));
            }
        }
    }

    fn listen(
        &mut self,
        name: Option<&str>,
        address: SocketAddr,
        given: &mut HashSet<String>,
    ) -> Result<(), (String, String)> {
        let wish = name.map_or(format!("--listen {address}"), |name| format!("--listen {name}={address}"));
        let first = self.named.first();
        let found = self.loaded.iter_mut().find(|loaded| match name {
            Some(name) => loaded.app.name == name,
            None => Some(&loaded.app.manifest) == first,
        });
        let Some(loaded) = found else {
            let names: Vec<_> = self.loaded.iter().map(|loaded| loaded.app.name.as_str()).collect();
            let help = format!("the apps are {}", super::keys::list(&names));
            return Err((format!("`{wish}` is for no app"), help));
        };
        let app = &mut loaded.app;
        let Some(worker) = &mut app.worker else {
            let title = format!("`{wish}` is for app `{}`, which has no worker", app.name);
            return Err((title, "leave it out, or name another app with APP=ADDRESS".to_owned()));
        };
        if !given.insert(app.name.clone()) {
            let title = format!("`{wish}` is the second address for app `{}`", app.name);
            return Err((title, "give one; for another app, write APP=ADDRESS".to_owned()));
        }
        worker.listen = address;
        loaded.places.listen = None;
        Ok(())
    }

    fn check_names(&mut self) {
        let mut first: HashMap<&str, &Loaded> = HashMap::new();
        for loaded in &self.loaded {
            if let Some(other) = first.insert(&loaded.app.name, loaded) {
                let place = loaded.places.name.clone();
                let title = format!("the name `{}` is taken by {}", loaded.app.name, other.shown.display());
                self.errors.push(loaded.error(place, title, "give each app a name of its own".to_owned()));
            }
        }
    }

    fn check_addresses(&mut self) {
        let mut taken: Vec<(SocketAddr, &Loaded)> = Vec::new();
        for loaded in &self.loaded {
            let Some(worker) = &loaded.app.worker else { continue };
            let address = worker.listen;
            if let Some((there, other)) = taken.iter().find(|(there, _)| clash(*there, address)) {
                let title =
                    format!("{address} is taken by app `{}`, which listens on {there}", other.app.name);
                let help = "give each app a port of its own, or port 0 for any free one".to_owned();
                self.errors.push(match &loaded.places.listen {
                    Some(place) => loaded.error(place.clone(), title, help),
                    None => ManifestError::command_line(title, help),
                });
            }
            taken.push((address, loaded));
        }
    }
}

/// The manifest's absolute path, as `App::manifest` has it; the path as it is if there is none.
fn manifest_of(path: &Path) -> PathBuf {
    let file = if path.is_dir() { path.join(FILE_NAME) } else { path.to_owned() };
    file.canonicalize().unwrap_or(file)
}

/// Can't both be listened on? An IPv6 listener on every address takes IPv4's too, as Linux does by default.
pub fn clash(a: SocketAddr, b: SocketAddr) -> bool {
    let (one, other) = (a.ip().to_canonical(), b.ip().to_canonical());
    let covers = |wide: IpAddr, narrow: IpAddr| wide.is_unspecified() && (wide.is_ipv6() || narrow.is_ipv4());
    a.port() == b.port() && a.port() != 0 && (one == other || covers(one, other) || covers(other, one))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clashes_as_a_table() {
        let cases = [
            ("127.0.0.1:80", "127.0.0.1:80", true),
            ("127.0.0.1:80", "127.0.0.1:81", false),
            ("127.0.0.1:0", "127.0.0.1:0", false),
            ("127.0.0.1:80", "127.0.0.2:80", false),
            ("0.0.0.0:80", "127.0.0.1:80", true),
            ("0.0.0.0:80", "[::1]:80", false),
            ("[::]:80", "127.0.0.1:80", true),
            ("[::]:80", "[::1]:80", true),
            ("[::]:80", "0.0.0.0:80", true),
            ("[::1]:80", "127.0.0.1:80", false),
            ("[::ffff:127.0.0.1]:80", "127.0.0.1:80", true),
        ];
        for (a, b, expected) in cases {
            let (one, other) = (a.parse().expect("is an address"), b.parse().expect("is an address"));
            assert_eq!(clash(one, other), expected, "{a} {b}");
            assert_eq!(clash(other, one), expected, "{b} {a}");
        }
    }
}
