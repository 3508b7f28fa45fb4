//! `[test]`: what `hatchery test` runs.

use super::{
    super::{Test, document::Section, error::Mistakes, keys::Table},
    command,
};

/// What to write, for whoever has not.
const HELP: &str = "write it as for a shell, as in `command = \"python3 test.py\"`";

/// `None`: there is no such table. Inside, `None` comes with a mistake.
pub(super) fn test(top: &Section<'_, '_>, mistakes: &mut Mistakes) -> Option<Option<Test>> {
    let table = top.table("test", Table::Test, mistakes)?;
    table.missing("command", HELP, mistakes);
    Some(command::command(&table, "command", mistakes).map(|command| Test { command }))
}
