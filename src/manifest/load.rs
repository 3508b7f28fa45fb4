//! One manifest: from its path to its [`App`].

use std::{
    ops::Range,
    path::{Path, PathBuf},
};

use toml::de::DeTable;

use super::{
    App, check,
    error::{ManifestError, Mistakes},
    read::{self, Source},
};

/// The manifest's name in its folder.
pub const FILE_NAME: &str = "hatchery.toml";

/// An app, and what is needed to say that it does not go with another one.
pub(super) struct Loaded {
    pub(super) app: App,
    pub(super) shown: PathBuf,
    pub(super) text: String,
    pub(super) places: Places,
}

/// Where some values are in the text.
#[derive(Default)]
pub(super) struct Places {
    pub(super) name: Range<usize>,
    /// `None` where the manifest has none, or the command line another.
    pub(super) listen: Option<Range<usize>>,
    /// One for each of `App::dev_with`.
    pub(super) dev_with: Vec<Range<usize>>,
}

impl Loaded {
    /// An error of this manifest.
    pub(super) fn error(&self, place: Range<usize>, title: String, help: String) -> ManifestError {
        let mut mistakes = Mistakes::default();
        mistakes.at(place, title, help);
        mistakes.into_error(self.shown.clone(), self.text.clone())
    }
}

/// Reads and checks the manifest at `path`, which is a folder that holds a [`FILE_NAME`], or the file.
///
/// # Errors
/// All mistakes of the manifest, also those that concern the files that it names.
pub fn load(path: &Path) -> Result<App, ManifestError> {
    load_with_places(path).map(|loaded| loaded.app)
}

pub(super) fn load_with_places(path: &Path) -> Result<Loaded, ManifestError> {
    let source = read::read(path)?;
    let mut mistakes = Mistakes::default();
    match parse(&source, &mut mistakes) {
        Some((app, places)) if mistakes.is_empty() => {
            Ok(Loaded { app, shown: source.shown, text: source.text, places })
        }
        _ => Err(mistakes.into_error(source.shown, source.text)),
    }
}

fn parse(source: &Source, mistakes: &mut Mistakes) -> Option<(App, Places)> {
    let (document, errors) = DeTable::parse_recoverable(&source.text);
    for error in errors {
        let place = error.span().unwrap_or_default();
        let duplicate = error.message().contains("duplicate");
        let help = if duplicate { "leave one of the two out" } else { "mend the syntax here" };
        mistakes.at(place, format!("not TOML: {}", error.message()), help);
    }
    if !mistakes.is_empty() {
        // What is read from a document with broken syntax would only repeat the same mistakes.
        return None;
    }
    check::check(document.get_ref(), &source.file, &source.folder, mistakes)
}
