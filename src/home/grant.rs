//! Who else may do what at the admin socket: `[[admin]]` in `settings.toml`. The home's owner and root may do
//! everything, always. Pure, but for finding a user's id by name.

use std::fmt;

use serde::Deserialize;

use crate::{manifest::is_app_name, sys::user};

/// What one user may do.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Text")]
pub struct Grant {
    /// Whose.
    pub uid: u32,
    /// All of these.
    pub may: Vec<May>,
}

/// As it stands in the file.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Text {
    uid: Option<u32>,
    user: Option<String>,
    may: Vec<May>,
}

/// A kind of request.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum May {
    /// Look: status, histories, the store's list.
    Read,
    /// Bring in bundles, deploy them as this app, and whatever else is done with that app.
    Deploy(String),
    /// Everything.
    Admin,
}

/// What a request needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs<'a> {
    /// [`May::Read`].
    Read,
    /// [`May::Deploy`] of some app: a bundle is nobody's until it is deployed.
    AnyDeploy,
    /// [`May::Deploy`] of this app.
    Deploy(&'a str),
    /// [`May::Read`], or [`May::Deploy`] of this app.
    ReadOf(&'a str),
    /// [`May::Admin`].
    Admin,
    /// Any grant at all.
    Any,
}

/// All that is granted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants(Vec<Grant>);

impl Grants {
    /// Of the settings.
    #[must_use]
    pub fn new(grants: Vec<Grant>) -> Self {
        Self(grants)
    }

    /// Is nobody but the owner granted anything?
    #[must_use]
    pub fn are_empty(&self) -> bool {
        self.0.iter().all(|grant| grant.may.is_empty())
    }

    /// Is this user granted anything?
    #[must_use]
    pub fn know(&self, uid: u32) -> bool {
        self.of(uid).next().is_some()
    }

    /// May this user, who is neither root nor the owner?
    #[must_use]
    pub fn allow(&self, uid: u32, needs: Needs<'_>) -> bool {
        self.of(uid).any(|may| match (may, needs) {
            (May::Admin, _) | (May::Read, Needs::Read | Needs::ReadOf(_)) => true,
            (_, Needs::Any) | (May::Deploy(_), Needs::AnyDeploy) => true,
            (May::Deploy(app), Needs::Deploy(wanted) | Needs::ReadOf(wanted)) => app == wanted,
            (May::Read | May::Deploy(_), _) => false,
        })
    }

    fn of(&self, uid: u32) -> impl Iterator<Item = &May> {
        self.0.iter().filter(move |grant| grant.uid == uid).flat_map(|grant| &grant.may)
    }
}

impl TryFrom<Text> for Grant {
    type Error = String;

    fn try_from(text: Text) -> Result<Self, String> {
        let uid = match (text.uid, text.user) {
            (Some(uid), None) => uid,
            (None, Some(user)) => user::id_of(&user)
                .map_err(|error| format!("cannot look up the user {user:?}: {error}"))?
                .ok_or_else(|| format!("there is no user {user:?} on this machine"))?,
            (Some(_), Some(_)) | (None, None) => {
                return Err("[[admin]] needs a `user` or a `uid`, and not both".to_owned());
            }
        };
        Ok(Self { uid, may: text.may })
    }
}

impl TryFrom<String> for May {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.split_once(' ') {
            None if text == "read" => Ok(Self::Read),
            None if text == "admin" => Ok(Self::Admin),
            Some(("deploy", app)) if is_app_name(app) => Ok(Self::Deploy(app.to_owned())),
            _ => Err(format!("{text:?} is none of \"read\", \"deploy APP\" and \"admin\"")),
        }
    }
}

impl fmt::Display for Needs<'_> {
    /// As it stands in the file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read => f.write_str("\"read\""),
            Self::AnyDeploy => f.write_str("\"deploy APP\""),
            Self::Deploy(app) => write!(f, "\"deploy {app}\""),
            Self::ReadOf(app) => write!(f, "\"read\" or \"deploy {app}\""),
            Self::Admin => f.write_str("\"admin\""),
            Self::Any => f.write_str("any of \"read\", \"deploy APP\" and \"admin\""),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct File {
        admin: Vec<Grant>,
    }

    fn read(text: &str) -> Result<Vec<Grant>, String> {
        toml::from_str::<File>(text).map(|file| file.admin).map_err(|error| error.to_string())
    }

    #[test]
    fn grants_are_read_as_a_table() {
        let cases = [
            ("[[admin]]\nuid = 7\nmay = [\"read\", \"deploy shop\"]", ""),
            ("[[admin]]\nuser = \"root\"\nmay = [\"admin\"]", ""),
            ("[[admin]]\nuid = 7\nmay = []", ""),
            ("[[admin]]\nmay = [\"read\"]", "needs a `user` or a `uid`"),
            ("[[admin]]\nuid = 7\nuser = \"root\"\nmay = [\"read\"]", "and not both"),
            ("[[admin]]\nuser = \"no such user\"\nmay = [\"read\"]", "there is no user \"no such user\""),
            ("[[admin]]\nuid = -1\nmay = [\"read\"]", "invalid value"),
            ("[[admin]]\nuid = 7", "missing field `may`"),
            ("[[admin]]\nuid = 7\nmay = [\"deploy\"]", "\"deploy\" is none of"),
            ("[[admin]]\nuid = 7\nmay = [\"deploy ../x\"]", "is none of"),
            ("[[admin]]\nuid = 7\nmay = [\"deploy  shop\"]", "is none of"),
            ("[[admin]]\nuid = 7\nmay = [\"READ\"]", "is none of"),
            ("[[admin]]\nuid = 7\nmay = [\"read\"]\nmore = 1", "unknown field"),
        ];
        for (text, expected) in cases {
            match read(text) {
                Ok(_) => assert_eq!(expected, "", "{text}"),
                Err(error) => assert!(!expected.is_empty() && error.contains(expected), "{text}: {error}"),
            }
        }
    }

    #[test]
    fn what_is_allowed_as_a_table() {
        let text = "[[admin]]\nuid = 1\nmay = [\"read\"]\n[[admin]]\nuid = 2\nmay = [\"deploy shop\"]\n\
                    [[admin]]\nuid = 3\nmay = [\"admin\"]\n[[admin]]\nuid = 4\nmay = []\n\
                    [[admin]]\nuid = 1\nmay = [\"deploy blog\"]";
        let grants = Grants::new(read(text).unwrap());
        let (shop, blog) = (Needs::Deploy("shop"), Needs::Deploy("blog"));
        let cases: [(Needs<'_>, &[u32]); 8] = [
            (Needs::Read, &[1, 3]),
            (Needs::AnyDeploy, &[1, 2, 3]),
            (shop, &[2, 3]),
            (blog, &[1, 3]),
            (Needs::ReadOf("shop"), &[1, 2, 3]),
            (Needs::ReadOf("other"), &[1, 3]),
            (Needs::Admin, &[3]),
            (Needs::Any, &[1, 2, 3]),
        ];
        for (needs, expected) in cases {
            let allowed: Vec<_> = (0..6).filter(|uid| grants.allow(*uid, needs)).collect();
            assert_eq!(allowed, expected, "{needs}");
        }
        assert_eq!((0..6).filter(|uid| grants.know(*uid)).collect::<Vec<_>>(), [1, 2, 3]);
        assert!(!grants.are_empty() && Grants::default().are_empty());
    }
}
