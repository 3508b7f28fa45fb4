//! Who else may do what at the admin socket: `[[admin]]` in `settings.toml`. The home's owner and root may do
//! everything, always. Pure, but for [`Grants::look_up`], which finds users' ids by name.

use std::{collections::BTreeMap, fmt, io};

use serde::Deserialize;

use crate::{manifest::is_app_name, sys::user};

/// What one user may do.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Text")]
pub struct Grant {
    /// Whose.
    pub whom: Whom,
    /// All of these.
    pub may: Vec<May>,
}

/// A user. One that goes by a name is looked up by who needs to know: that may take long, or fail for a while.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Whom {
    /// By its id.
    Uid(u32),
    /// By its name.
    User(String),
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

/// All that is granted, by uid.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants(BTreeMap<u32, Vec<May>>);

impl Grants {
    /// Of the settings. Those of users that can't be found are left out: why, stands beside. Blocks, maybe for
    /// long.
    #[must_use]
    pub fn look_up(grants: Vec<Grant>) -> (Self, Vec<String>) {
        Self::look_up_by(grants, user::id_of)
    }

    fn look_up_by(
        grants: Vec<Grant>,
        id_of: impl Fn(&str) -> io::Result<Option<u32>>,
    ) -> (Self, Vec<String>) {
        let (mut found, mut missing) = (BTreeMap::<u32, Vec<May>>::new(), vec![]);
        for Grant { whom, may } in grants {
            let uid = match whom {
                Whom::Uid(uid) => uid,
                Whom::User(user) => match id_of(&user) {
                    Ok(Some(uid)) => uid,
                    Ok(None) => {
                        missing.push(format!("there is no user {user:?} on this machine"));
                        continue;
                    }
                    Err(error) => {
                        missing.push(format!("cannot look up the user {user:?}: {error}"));
                        continue;
                    }
                },
            };
            found.entry(uid).or_default().extend(may);
        }
        (Self(found), missing)
    }

    /// Is nobody but the owner granted anything?
    #[must_use]
    pub fn are_empty(&self) -> bool {
        self.0.values().all(Vec::is_empty)
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
        self.0.get(&uid).into_iter().flatten()
    }
}

impl TryFrom<Text> for Grant {
    type Error = String;

    fn try_from(text: Text) -> Result<Self, String> {
        let whom = match (text.uid, text.user) {
            (Some(uid), None) => Whom::Uid(uid),
            (None, Some(user)) => Whom::User(user),
            (Some(_), Some(_)) | (None, None) => {
                return Err("[[admin]] needs a `user` or a `uid`, and not both".to_owned());
            }
        };
        Ok(Self { whom, may: text.may })
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
            // It may be there later.
            ("[[admin]]\nuser = \"no such user\"\nmay = [\"read\"]", ""),
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
        let (grants, missing) = Grants::look_up(read(text).unwrap());
        assert_eq!(missing, [""; 0]);
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

    #[test]
    fn one_user_that_is_not_found_takes_nothing_from_others() {
        let text = "[[admin]]\nuser = 'a'\nmay = ['read']\n[[admin]]\nuser = 'b'\nmay = ['read']\n\
                    [[admin]]\nuser = 'c'\nmay = ['read']\n[[admin]]\nuid = 9\nmay = ['read']";
        let id_of = |name: &str| match name {
            "a" => Ok(Some(1)),
            "b" => Ok(None),
            _ => Err(io::Error::other("far away")),
        };
        let (grants, missing) = Grants::look_up_by(read(text).unwrap(), id_of);
        assert_eq!((0..10).filter(|uid| grants.know(*uid)).collect::<Vec<_>>(), [1, 9]);
        let expected = ["there is no user \"b\" on this machine", "cannot look up the user \"c\": far away"];
        assert_eq!(missing, expected);
    }
}
