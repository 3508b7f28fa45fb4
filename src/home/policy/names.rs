//! Names that a policy allows, as they are or with `*` for any run of characters.

use serde::Deserialize;

/// A list of patterns; an empty one allows none.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub(in crate::home) struct Names(Vec<String>);

impl Names {
    pub(in crate::home) fn allow(&self, name: &str) -> bool {
        self.0.iter().any(|pattern| matches(pattern, name))
    }

    pub(super) fn patterns(&self) -> &[String] {
        &self.0
    }
}

fn matches(pattern: &str, name: &str) -> bool {
    let Some((begin, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut left) = name.strip_prefix(begin) else { return false };
    let (middle, end) = rest.rsplit_once('*').unwrap_or(("", rest));
    // The first place where each fits leaves the most for the others.
    for part in middle.split('*') {
        let Some(at) = left.find(part) else { return false };
        left = &left[at + part.len()..];
    }
    left.ends_with(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_as_a_table() {
        for (pattern, name, expected) in [
            ("KEY", "KEY", true),
            ("KEY", "KEYS", false),
            ("*", "", true),
            ("*", "ANY", true),
            ("APP_*", "APP_KEY", true),
            ("APP_*", "MYAPP_KEY", false),
            ("*_KEY", "API_KEY", true),
            ("*_KEY", "API_KEYS", false),
            ("A*B*C", "ABC", true),
            ("A*B*C", "A1B2C", true),
            ("A*B*C", "A1C2B", false),
            ("AB*BA", "ABA", false),
            ("", "X", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }
}
