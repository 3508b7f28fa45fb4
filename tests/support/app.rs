//! An app of a test: its manifest and its components.

use std::{fmt::Write as _, fs, path::Path};

use super::Guest;

/// What goes into one folder. The texts are lines of TOML, as a user writes them.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) name: String,
    version: String,
    worker: Option<Part>,
    agent: Option<Part>,
    rest: String,
    files: Vec<(String, Vec<u8>)>,
    /// Is it named on the command line?
    pub(super) is_named: bool,
}

#[derive(Clone)]
struct Part {
    /// None where its build command is to make it.
    wasm: Option<Vec<u8>>,
    keys: String,
}

impl App {
    /// Without worker and agent yet.
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            version: "1.2.3".to_owned(),
            worker: None,
            agent: None,
            rest: String::new(),
            files: Vec::new(),
            is_named: true,
        }
    }

    /// Another version than 1.2.3.
    pub(crate) fn version(mut self, version: &str) -> Self {
        version.clone_into(&mut self.version);
        self
    }

    /// The probe alone, so many workers.
    pub(crate) fn probe(guest: Guest, workers: u32) -> Self {
        Self::new("probe").worker(guest, &format!("workers = {workers}"))
    }

    /// `keys` go into `[worker]`; it listens on a free port where they do not say.
    pub(crate) fn worker(self, guest: Guest, keys: &str) -> Self {
        self.worker_wasm(guest.wasm(), keys)
    }

    /// As [`App::worker`], with any bytes as component.
    pub(crate) fn worker_wasm(mut self, wasm: Vec<u8>, keys: &str) -> Self {
        self.worker = Some(Part { wasm: Some(wasm), keys: keys.to_owned() });
        self
    }

    /// Without a component: `keys` go on to say how it is built.
    pub(crate) fn unbuilt_worker(mut self, keys: &str) -> Self {
        self.worker = Some(Part { wasm: None, keys: keys.to_owned() });
        self
    }

    /// `keys` go into `[agent]`.
    pub(crate) fn agent(self, guest: Guest, keys: &str) -> Self {
        self.agent_wasm(guest.wasm(), keys)
    }

    /// As [`App::agent`], with any bytes as component.
    pub(crate) fn agent_wasm(mut self, wasm: Vec<u8>, keys: &str) -> Self {
        self.agent = Some(Part { wasm: Some(wasm), keys: keys.to_owned() });
        self
    }

    /// Further tables, such as `[limits]`.
    pub(crate) fn more(mut self, tables: &str) -> Self {
        self.rest += tables;
        self.rest += "\n";
        self
    }

    /// A file in the app's folder, with the folders above it.
    pub(crate) fn file(mut self, path: &str, data: impl Into<Vec<u8>>) -> Self {
        self.files.push((path.to_owned(), data.into()));
        self
    }

    /// Not named on the command line: another app's manifest names it.
    pub(crate) fn beside(mut self) -> Self {
        self.is_named = false;
        self
    }

    /// Writes it all.
    pub(crate) fn write(&self, folder: &Path) {
        let mut manifest = format!("name = \"{}\"\nversion = \"{}\"\n", self.name, self.version);
        for (role, part) in [("worker", &self.worker), ("agent", &self.agent)] {
            let Some(Part { wasm, keys }) = part else { continue };
            if let Some(wasm) = wasm {
                fs::write(folder.join(role).with_extension("wasm"), wasm).unwrap();
            }
            writeln!(manifest, "\n[{role}]\ncomponent = \"{role}.wasm\"").unwrap();
            if role == "worker" && !keys.contains("listen =") {
                writeln!(manifest, "listen = \"127.0.0.1:0\"").unwrap();
            }
            writeln!(manifest, "{keys}").unwrap();
        }
        writeln!(manifest, "\n{}", self.rest).unwrap();
        fs::write(folder.join("hatchery.toml"), manifest).unwrap();
        for (path, data) in &self.files {
            let file = folder.join(path);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, data).unwrap();
        }
    }
}
