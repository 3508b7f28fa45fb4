//! A `command`: what a `build` table and `[test]` run, and `live-command`.

use super::super::{
    document::{At, Section},
    error::Mistakes,
};

/// The words of `key`, where it is there and right.
pub(super) fn command(
    table: &Section<'_, '_>,
    key: &'static str,
    mistakes: &mut Mistakes,
) -> Option<Vec<String>> {
    let At { value, span } = table.string(key, mistakes)?;
    words(key, value).map_err(|(title, help)| mistakes.at(span, title, help)).ok()
}

/// A command as words. What only a shell understands would be given to the program as it is, so it is
/// refused.
fn words(key: &str, command: &str) -> Result<Vec<String>, (String, &'static str)> {
    let Some(words) = shlex::split(command).filter(|_| !command.contains('\0')) else {
        return Err((format!("a quote in `{key}` is not closed"), "close it"));
    };
    if words.first().is_none_or(String::is_empty) {
        return Err((format!("`{key}` is empty"), "write it as in `command = \"cargo build --release\"`"));
    }
    let shell = words.iter().find(|word| matches!(word.as_str(), "&&" | "||" | "|" | ";" | ">" | "<" | "&"));
    if let Some(word) = shell.or(words.first().filter(|word| word.contains('='))) {
        let title = format!("`{key}` is run without a shell, which `{word}` needs");
        return Err((title, "put it into a script and name that, or write `sh -c '…'`"));
    }
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_as_a_table() {
        let cases: [(&str, Option<&[&str]>); 11] = [
            ("cargo build --release", Some(&["cargo", "build", "--release"])),
            ("cp 'a b' \"c\"", Some(&["cp", "a b", "c"])),
            ("sh -c 'a && b'", Some(&["sh", "-c", "a && b"])),
            ("make CFLAGS=-O2", Some(&["make", "CFLAGS=-O2"])),
            ("make a && make b", None),
            ("make > log", None),
            ("CC=clang make", None),
            ("", None),
            ("  ", None),
            ("''", None),
            ("make 'it", None),
        ];
        for (command, expected) in cases {
            let expected = expected.map(|words| words.iter().map(|word| (*word).to_owned()).collect());
            assert_eq!(words("command", command).ok(), expected, "{command:?}");
        }
    }
}
