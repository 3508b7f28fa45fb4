//! `hatchery new`: a folder that builds, runs and has its own test. What goes into it for each language
//! is in `templates/`; nothing is fetched here, and nothing is run.

mod language;
mod template;

use std::{
    fs, io,
    path::{Component, Path, PathBuf},
};

use anyhow::{Context as _, bail};

use self::language::Language;
use crate::manifest::is_app_name;

/// Make a folder with a new app
///
/// It has a handler that answers and counts, its manifest, a test and a short README, and nothing else to
/// install than the language's own tools. The folder's name is the app's.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct New {
    /// The folder to make: a-z, 0-9 and -, beginning with a letter
    #[arg(value_name = "NAME")]
    path: PathBuf,
    /// What it is written in
    #[arg(long, value_enum)]
    lang: Language,
    /// With an agent, which counts for all workers
    #[arg(long)]
    agent: bool,
}

const EXAMPLES: &str = "\
Examples:
  hatchery new hello --lang rust
  hatchery new board --lang python --agent && hatchery dev board";

impl New {
    pub(super) fn execute(self) -> anyhow::Result<()> {
        let name = self.name()?;
        let shown = self.path.display();
        let files = template::files(&template::Wanted { language: self.lang, name, agent: self.agent })?;
        check_empty(&self.path)?;
        for file in &files {
            write(&self.path.join(&file.path), &file.text)?;
        }
        println!("made {shown}, {} files. Next:", files.len());
        if let Some(tools) = self.lang.tools() {
            println!("  {tools}");
        }
        println!("  hatchery dev {shown}      builds it, serves it, and reloads it when you save");
        println!("  hatchery test {shown}     runs its test");
        Ok(())
    }

    /// The app's.
    fn name(&self) -> anyhow::Result<&str> {
        let last = match self.path.components().next_back() {
            Some(Component::Normal(last)) => last.to_str(),
            _ => None,
        };
        match last {
            Some(name) if is_app_name(name) => Ok(name),
            _ => bail!(
                "{} can't be the name of an app: take 1 to 64 of `a` to `z`, `0` to `9` and `-`, beginning with \
                 a letter",
                self.path.display()
            ),
        }
    }
}

/// Whatever is in a folder stays as it is.
fn check_empty(folder: &Path) -> anyhow::Result<()> {
    match fs::read_dir(folder) {
        Ok(mut entries) => {
            if entries.next().is_some() {
                bail!(
                    "{} is there and has something in it; take another name, or empty it",
                    folder.display()
                );
            }
            Ok(())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error).with_context(|| format!("can't use the folder {}", folder.display())),
    }
}

fn write(file: &Path, text: &[u8]) -> anyhow::Result<()> {
    let made = || {
        if let Some(folder) = file.parent() {
            fs::create_dir_all(folder)?;
        }
        // Not over what somebody else puts there meanwhile.
        io::Write::write_all(&mut fs::File::create_new(file)?, text)
    };
    made().with_context(|| format!("can't write {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum as _;

    #[test]
    fn every_language_makes_a_manifest_that_is_right() {
        for lang in Language::value_variants() {
            for agent in [false, true] {
                let folder = tempfile::tempdir().unwrap();
                let path = folder.path().join("my-app");
                New { path: path.clone(), lang: *lang, agent }.execute().unwrap();
                let app = crate::manifest::load(&path).unwrap_or_else(|error| panic!("{lang:?}: {error}"));
                assert_eq!((app.name.as_str(), app.agent.is_some()), ("my-app", agent), "{lang:?}");
                assert!(app.test.is_some() && app.worker.is_some(), "{lang:?}");
                let again = New { path, lang: *lang, agent }.execute().unwrap_err().to_string();
                assert!(again.contains("has something in it"), "{again}");
            }
        }
    }

    #[test]
    fn names_as_a_table() {
        for (path, name) in [
            ("hello", Some("hello")),
            ("apps/hello-2", Some("hello-2")),
            ("hello/", Some("hello")),
            ("Hello", None),
            ("2hello", None),
            ("..", None),
            ("/", None),
            ("", None),
            ("he llo", None),
        ] {
            let new = New { path: path.into(), lang: Language::Rust, agent: false };
            assert_eq!(new.name().ok(), name, "{path:?}");
        }
    }
}
