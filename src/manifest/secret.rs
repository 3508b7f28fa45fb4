//! A secret's value: from the home to the guest, and to nobody's eyes.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize, Serializer};

/// A value that shows itself to nobody but a child: neither by `{:?}` nor in JSON.
#[derive(Clone, PartialEq, Eq, Deserialize)]
pub struct Secret(String);

/// A process's secrets by name.
pub type Secrets = BTreeMap<String, Secret>;

/// What stands for it.
const HIDDEN: &str = "(a secret)";

impl Secret {
    /// Takes a value.
    #[must_use]
    pub fn new(value: String) -> Self {
        Self(value)
    }

    /// The value, for the guest.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // What people can read is for a file or a screen; children are sent bytes.
        let text = if serializer.is_human_readable() { HIDDEN } else { &self.0 };
        serializer.serialize_str(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_shows_itself_to_nobody() {
        let secret = Secret::new("hunter2".to_owned());
        let shown = format!("{secret:?} {}", serde_json::to_string(&secret).unwrap());
        assert!(!shown.contains("hunter2"), "{shown}");
        let bytes = postcard::to_stdvec(&secret).unwrap();
        assert_eq!(postcard::from_bytes::<Secret>(&bytes).unwrap(), secret);
    }
}
