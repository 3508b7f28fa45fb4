//! The name of an interface, as a component's imports and exports have it. Called by `explain`.

/// `wasi:http/handler@0.3.0`, in its parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Interface<'a> {
    /// `wasi:http`.
    pub(super) package: &'a str,
    /// `handler`.
    pub(super) name: &'a str,
    /// `0.3.0`; empty without one.
    pub(super) version: &'a str,
}

impl<'a> Interface<'a> {
    /// `None` for what is no interface of a package: a plain function, say.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let (path, version) = text.split_once('@').unwrap_or((text, ""));
        let (package, name) = path.split_once('/')?;
        (package.contains(':') && !name.is_empty()).then_some(Self { package, name, version })
    }

    /// Is it this one, in whatever version?
    pub(super) fn is(self, package: &str, name: &str) -> bool {
        self.package == package && self.name == name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_as_a_table() {
        let some = |package, name, version| Some(Interface { package, name, version });
        for (text, expected) in [
            ("wasi:http/handler@0.3.0", some("wasi:http", "handler", "0.3.0")),
            ("wasi:io/poll", some("wasi:io", "poll", "")),
            ("a:b/c@0.3.0-rc+1@2", some("a:b", "c", "0.3.0-rc+1@2")),
            ("run", None),
            ("a/b", None),
            ("a:b/", None),
            ("", None),
        ] {
            assert_eq!(Interface::parse(text), expected, "{text:?}");
        }
    }
}
