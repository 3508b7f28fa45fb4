//! Sources that a guest takes as they are, in place of a build: those of `live` in the manifest. `dev` owns it.
//!
//! ```text
//!   a save of such files only -> {"main.py": "text", …} -> the guest's environment -> reload, with the
//!   component of the last build, whose SDK runs them in `start`
//! ```
//!
//! Compiling an interpreter takes seconds, reading a script does not. A start that fails with
//! [`NEEDS_BUILD`] says that only a build will do. Nothing here runs but `live-command`.

use std::{
    collections::BTreeMap,
    fs,
    io::Read as _,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::Context as _;
use tokio::io::AsyncReadExt as _;

use super::super::build::Command;
use crate::{
    cluster::Role,
    manifest::{App, Component, Live},
};

/// The variable that a guest's SDK looks for. A guest that was built from these very sources has none.
pub(super) const VARIABLE: &str = "HATCHERY_LIVE";

/// What an SDK's `start` fails with when the sources need something that was not built in.
pub(super) const NEEDS_BUILD: &str = "needs a build: ";

/// The most bytes that a guest is handed. More is built.
const MAX_LIVE: u64 = 256 << 10;

/// What guests were handed last, in place of builds. Shared with who loads manifests for the master.
#[derive(Clone, Default)]
pub(super) struct Handed(Arc<Mutex<Texts>>);

/// By the app's folder: what each of its components is handed.
type Texts = BTreeMap<PathBuf, Vec<(Role, String)>>;

impl Handed {
    /// The app in this folder is built anew: its components are all that it needs. Was it handed something?
    pub(super) fn built(&self, folder: &Path) -> bool {
        self.lock().remove(folder).is_some()
    }

    /// Takes what all guests of the app are handed from now on; false, and nothing, where a build is needed.
    ///
    /// # Errors
    /// A source can't be read, or a `live-command` can't be run.
    pub(super) async fn take(&self, app: &App, changed: &[PathBuf]) -> anyhow::Result<bool> {
        if !is_live(app, changed) {
            return Ok(false);
        }
        let mut texts = Vec::new();
        for (role, component) in app.components() {
            let Some(live) = live_of(component) else { continue };
            let text = match &live.command {
                Some(words) => run(words, app).await?,
                None => Some(read(live, &app.folder)?),
            };
            match text.filter(|text| text.len() as u64 <= MAX_LIVE) {
                Some(text) => texts.push((role, text)),
                None => return Ok(false),
            }
        }
        self.lock().insert(app.folder.clone(), texts);
        Ok(true)
    }

    /// Puts it into the guests' environment.
    pub(super) fn apply(&self, apps: &mut [App]) {
        let handed = self.lock();
        for app in apps {
            for (role, text) in handed.get(&app.folder).into_iter().flatten() {
                let component = match role {
                    Role::Agent => app.agent.as_mut().map(|agent| &mut agent.component),
                    Role::Worker => app.worker.as_mut().map(|worker| &mut worker.component),
                };
                if let Some(component) = component {
                    component.capabilities.environment.insert(VARIABLE.to_owned(), text.clone());
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Texts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn live_of(component: &Component) -> Option<&Live> {
    component.build.as_ref()?.live.as_ref()
}

/// Does every component that is built take each of these files as it is?
fn is_live(app: &App, changed: &[PathBuf]) -> bool {
    let mut built = app.components().filter(|(_, component)| component.build.is_some()).peekable();
    built.peek().is_some()
        && built.all(|(_, component)| {
            live_of(component).is_some_and(|live| changed.iter().all(|file| takes(live, file)))
        })
}

/// Is `file`, from the app's folder on, one of these?
fn takes(live: &Live, file: &Path) -> bool {
    live.files.iter().any(|pattern| match pattern.rsplit_once('*') {
        Some((folder, end)) => {
            let name = file.file_name().and_then(|name| name.to_str());
            file.parent() == Some(Path::new(folder)) && name.is_some_and(|name| name.ends_with(end))
        }
        None => file == Path::new(pattern),
    })
}

/// The files as one JSON object, by their path from the app's folder on.
fn read(live: &Live, app: &Path) -> anyhow::Result<String> {
    let mut texts = BTreeMap::new();
    for pattern in &live.files {
        let folder = Path::new(pattern).parent().unwrap_or(Path::new(""));
        let shown = app.join(folder);
        let entries = fs::read_dir(&shown).with_context(|| format!("cannot read {}", shown.display()))?;
        for entry in entries {
            let file = folder.join(entry?.file_name());
            let full = app.join(&file);
            if takes(live, &file) && full.is_file() {
                let mut text = String::new();
                // One byte more than is taken, so that what is cut off is never handed over.
                let read =
                    fs::File::open(&full).and_then(|file| file.take(MAX_LIVE + 1).read_to_string(&mut text));
                read.with_context(|| format!("cannot read {}", full.display()))?;
                texts.insert(file.to_string_lossy().into_owned(), text);
            }
        }
    }
    serde_json::to_string(&texts).context("cannot hand over the sources")
}

/// What `live-command` prints. None where it fails, which says that a build is needed.
async fn run(words: &[String], app: &App) -> anyhow::Result<Option<String>> {
    let command = Command { title: format!("preparing {}", app.name), words, folder: &app.folder };
    let mut prepared = command.prepare()?;
    prepared.stdout(Stdio::piped());
    let mut child = command.spawn(prepared)?;
    let output = child.stdout.take().context("a command has no output")?;
    let mut text = String::new();
    // One byte more says that it is too much; the child is killed when it goes.
    output.take(MAX_LIVE + 1).read_to_string(&mut text).await.context("cannot read what was prepared")?;
    if text.len() as u64 > MAX_LIVE {
        return Ok(None);
    }
    Ok(command.wait(&mut child).await?.success().then_some(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest;

    /// An app with a worker whose `build` table ends in this, and what is in its folder.
    fn app(live: &str, files: &[(&str, &str)]) -> (tempfile::TempDir, App) {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let file = folder.path().join(path);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        let text = format!(
            "name = \"app\"\nversion = \"1\"\n[agent]\ncomponent = \"a.wasm\"\n[agent.build]\ncommand = \"make\"\n\
             output = \"out.wasm\"\n{live}"
        );
        fs::write(folder.path().join("hatchery.toml"), text).unwrap();
        let app = manifest::load(folder.path()).unwrap();
        (folder, app)
    }

    fn handed_to(handed: &Handed, app: &App) -> Option<String> {
        let mut apps = [app.clone()];
        handed.apply(&mut apps);
        apps[0].agent.as_ref().unwrap().component.capabilities.environment.get(VARIABLE).cloned()
    }

    #[tokio::test]
    async fn what_is_handed_over_as_a_table() {
        let files = [("main.py", "print()"), ("notes.txt", "x"), ("lib/b.py", "b"), ("lib/c/d.py", "d")];
        let all = r#"{"lib/b.py":"b","main.py":"print()"}"#;
        let cases: [(&str, &[&str], Option<&str>); 7] = [
            ("live = [\"*.py\", \"lib/*.py\"]", &["main.py", "lib/b.py"], Some(all)),
            ("live = [\"*.py\", \"lib/*.py\"]", &["main.py", "notes.txt"], None),
            ("live = [\"*.py\", \"lib/*.py\"]", &["lib/c/d.py"], None),
            ("live = [\"notes.txt\"]", &["notes.txt"], Some(r#"{"notes.txt":"x"}"#)),
            ("live = [\"*.py\"]\nlive-command = \"echo made\"", &["main.py"], Some("made\n")),
            ("", &["main.py"], None),
            ("live = [\"*.py\"]\nlive-command = \"head -c 300000 /dev/zero\"", &["main.py"], None),
        ];
        for (live, changed, expected) in cases {
            let (_folder, app) = app(live, &files);
            let handed = Handed::default();
            let changed: Vec<_> = changed.iter().map(PathBuf::from).collect();
            assert_eq!(handed.take(&app, &changed).await.unwrap(), expected.is_some(), "{live} {changed:?}");
            assert_eq!(handed_to(&handed, &app).as_deref(), expected, "{live} {changed:?}");
            assert_eq!(handed.built(&app.folder), expected.is_some());
            assert_eq!(handed_to(&handed, &app), None);
        }
    }

    #[tokio::test]
    async fn what_cant_be_handed_over_is_built() {
        let large = "x".repeat(MAX_LIVE as usize);
        let (_folder, app1) = app("live = [\"*.py\"]", &[("main.py", &large)]);
        assert!(!Handed::default().take(&app1, &["main.py".into()]).await.unwrap());
        let (_folder, app2) = app("live = [\"*.py\"]\nlive-command = \"sh -c 'exit 3'\"", &[]);
        assert!(!Handed::default().take(&app2, &["main.py".into()]).await.unwrap());
        let (_folder, app3) = app("live = [\"*.py\"]\nlive-command = \"no-such-tool\"", &[]);
        let error = Handed::default().take(&app3, &["main.py".into()]).await.unwrap_err().to_string();
        assert!(error.contains("preparing app: can't run `no-such-tool`"), "{error}");
    }
}
