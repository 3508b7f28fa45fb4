//! A message's name, checked. The rule is the design's, section 3, and stands in `wit/` too.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The most bytes that an action may have.
pub const MAX_ACTION_BYTES: usize = 256;

/// Actions that begin with this are the host's own.
pub const RESERVED_PREFIX: &str = "hatchery.";

/// A valid action: 1..=256 bytes of UTF-8, no control characters, not reserved.
///
/// Deserializing checks again, since a peer's frame is hostile until checked.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Action(String);

/// Why an action is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAction {
    /// It has no bytes.
    #[error("an action must not be empty")]
    Empty,
    /// It has more than [`MAX_ACTION_BYTES`].
    #[error("an action has at most {MAX_ACTION_BYTES} bytes, not {0}")]
    TooLong(usize),
    /// It has a control character.
    #[error("an action must not have control characters (found {0:?})")]
    Control(char),
    /// It begins with [`RESERVED_PREFIX`].
    #[error("actions that begin with `{RESERVED_PREFIX}` are reserved")]
    Reserved,
}

impl Action {
    /// The action as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Action {
    type Error = InvalidAction;

    fn try_from(text: String) -> Result<Self, InvalidAction> {
        if text.is_empty() {
            Err(InvalidAction::Empty)
        } else if text.len() > MAX_ACTION_BYTES {
            Err(InvalidAction::TooLong(text.len()))
        } else if let Some(found) = text.chars().find(|c| c.is_control()) {
            Err(InvalidAction::Control(found))
        } else if text.starts_with(RESERVED_PREFIX) {
            Err(InvalidAction::Reserved)
        } else {
            Ok(Self(text))
        }
    }
}

impl From<Action> for String {
    fn from(action: Action) -> Self {
        action.0
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rule_as_a_table() {
        let longest = "é".repeat(MAX_ACTION_BYTES / 2);
        let cases = [
            ("refresh", Ok(())),
            ("with spaces / and ünïcode", Ok(())),
            (longest.as_str(), Ok(())),
            ("hatcherynot.reserved", Ok(())),
            ("", Err(InvalidAction::Empty)),
            ("a\0b", Err(InvalidAction::Control('\0'))),
            ("a\nb", Err(InvalidAction::Control('\n'))),
            ("a\u{85}b", Err(InvalidAction::Control('\u{85}'))),
            ("hatchery.stop", Err(InvalidAction::Reserved)),
        ];
        for (text, expected) in cases {
            assert_eq!(Action::try_from(text.to_owned()).map(|_| ()), expected, "{text:?}");
        }
        let long = format!("{longest}x");
        assert_eq!(Action::try_from(long), Err(InvalidAction::TooLong(MAX_ACTION_BYTES + 1)));
    }

    #[test]
    fn deserializing_checks() {
        let bytes = postcard::to_stdvec("hatchery.stop").expect("encodes");
        assert!(postcard::from_bytes::<Action>(&bytes).is_err());
    }
}
