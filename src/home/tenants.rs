//! Which user an app's processes are, where the master is root: `[tenants]` and `[[tenant]]` in `settings.toml`,
//! and the choice for an app.
//!
//! ```text
//!   pinned by [[tenant]]   that user, which the apps of one tenant share
//!   given before           the same one
//!   else                   one of the range that nobody has: where the app's name and home lead, or the next
//! ```
//!
//! Two homes of one machine know nothing of each other: their apps begin at different places of the range, so
//! that they hardly ever meet. `master::tenants` calls it. Pure; what was chosen is in `given`.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{DefaultHasher, Hash as _, Hasher as _},
    ops::RangeInclusive,
    path::Path,
};

use serde::Deserialize;

use super::policy::names::Names;

/// What apps get one of by default. As systemd's "Users, Groups, UIDs and GIDs on systemd Systems" has it, ids
/// from 1,879,048,192 to 2,147,483,647 are nobody's (people, services, dynamic users and containers are below), and
/// above that programs take them for negative ones. shadow's subordinate ids end at 600,100,000; SSSD maps domains to
/// ids below 2,000,200,000; systemd's newer "foreign" ids begin at 2,147,352,576.
const UIDS: RangeInclusive<u32> = 0x7d00_0000..=0x7d00_ffff;

/// The last that is no negative number anywhere.
const LAST: u32 = i32::MAX as u32;

/// What is no user of its own: root, and -1 in 16 bits.
const NOBODYS: [u32; 2] = [0, 65_535];

/// The most apps that have one.
const MAX_GIVEN: usize = 20_000;

/// `[tenants]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct TenantSettings {
    /// What apps get a user id of: each its own.
    pub uids: Uids,
}

/// Ids from the first to the last.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Uids(RangeInclusive<u32>);

/// A `[[tenant]]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Tenant {
    /// Its apps, `*` for any run of characters. The first tenant that names an app has it.
    apps: Names,
    /// Their user, all the same one.
    #[serde(deserialize_with = "pinned")]
    pub uid: u32,
    /// Their group. By default the same number.
    #[serde(default, deserialize_with = "pinned_group")]
    gid: Option<u32>,
}

/// A user and a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ids {
    /// The user.
    pub uid: u32,
    /// The group.
    pub gid: u32,
}

impl Default for Uids {
    fn default() -> Self {
        Self(UIDS)
    }
}

impl Uids {
    /// The first of them.
    #[must_use]
    pub fn first(&self) -> u32 {
        *self.0.start()
    }
}

impl TryFrom<String> for Uids {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let ends = text.split_once('-').and_then(|(first, last)| {
            Some((first.trim().parse::<u32>().ok()?, last.trim().parse::<u32>().ok()?))
        });
        match ends {
            Some((first, last)) if first > 0 && first <= last && last <= LAST => Ok(Self(first..=last)),
            _ => Err(format!(
                "{text:?} is no range of user ids: write \"FIRST-LAST\", from 1 to {LAST}, as in \"{}-{}\"",
                UIDS.start(),
                UIDS.end()
            )),
        }
    }
}

fn pinned<'de, D: serde::Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    let id = u32::deserialize(from)?;
    if NOBODYS.contains(&id) || id > LAST {
        let why = format!("{id} can't be a tenant's: take one from 1 to {LAST} that is not 65535");
        return Err(serde::de::Error::custom(why));
    }
    Ok(id)
}

fn pinned_group<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<u32>, D::Error> {
    pinned(from).map(Some)
}

impl Tenant {
    /// Its user and group.
    #[must_use]
    pub fn ids(&self) -> Ids {
        Ids { uid: self.uid, gid: self.gid.unwrap_or(self.uid) }
    }
}

/// Who an app is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// As the settings have it. Nothing is to be kept.
    Pinned(Ids),
    /// As before.
    Kept(Ids),
    /// To be kept, before it is used.
    New(Ids),
}

impl Choice {
    /// The user and group.
    #[must_use]
    pub fn ids(self) -> Ids {
        match self {
            Self::Pinned(ids) | Self::Kept(ids) | Self::New(ids) => ids,
        }
    }
}

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub struct Asks<'a> {
    /// The app.
    pub app: &'a str,
    /// Where its home is.
    pub home: &'a Path,
    /// How long it holds. A run does not begin where a service does: both may have an app of this name.
    pub keeps: Keeps,
}

/// How long what an app is given holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Keeps {
    /// Until nothing of the app is left in the home.
    Lasting,
    /// As long as its master, which leaves no trace of it. The next run most likely gives the same.
    Run,
}

/// Decides. `given` is what apps of this home have.
///
/// # Errors
/// All are taken, for the user.
pub fn choose(
    asks: Asks<'_>,
    (uids, tenants): (&Uids, &[Tenant]),
    given: &BTreeMap<String, u32>,
) -> Result<Choice, String> {
    if let Some(tenant) = tenants.iter().find(|tenant| tenant.apps.allow(asks.app)) {
        return Ok(Choice::Pinned(tenant.ids()));
    }
    let same = |uid| Ids { uid, gid: uid };
    let range = &uids.0;
    let pinned: BTreeSet<u32> =
        tenants.iter().flat_map(|tenant| [tenant.ids().uid, tenant.ids().gid]).collect();
    let is_free = |uid: u32| !NOBODYS.contains(&uid) && !pinned.contains(&uid);
    if let Some(uid) = given.get(asks.app).filter(|uid| range.contains(uid) && is_free(**uid)) {
        return Ok(Choice::Kept(same(*uid)));
    }
    if given.len() >= MAX_GIVEN {
        return Err(format!(
            "cannot give {} a user of its own: {MAX_GIVEN} apps have one, the most that may; remove the folders of \
             apps that are gone from the home's apps",
            asks.app
        ));
    }
    let taken: BTreeSet<u32> = given.values().copied().collect();
    let begin = begin(asks, range);
    let mut from_there = (begin..=*range.end()).chain(*range.start()..begin);
    let free = from_there.find(|uid| is_free(*uid) && !taken.contains(uid));
    free.map(|uid| Choice::New(same(uid))).ok_or_else(|| {
        format!(
            "cannot give {} a user of its own: all from {} to {} are taken; set a larger range, [tenants] uids in \
             settings.toml",
            asks.app,
            range.start(),
            range.end()
        )
    })
}

fn begin(asks: Asks<'_>, range: &RangeInclusive<u32>) -> u32 {
    let mut hasher = DefaultHasher::new();
    (asks.app, asks.home, asks.keeps).hash(&mut hasher);
    let size = u64::from(range.end() - range.start()) + 1;
    range.start() + u32::try_from(hasher.finish() % size).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct File {
        #[serde(default)]
        tenants: TenantSettings,
        #[serde(default)]
        tenant: Vec<Tenant>,
    }

    fn asks(app: &str) -> Asks<'_> {
        Asks { app, home: Path::new("/home"), keeps: Keeps::Lasting }
    }

    #[test]
    fn settings_as_a_table() {
        for (text, expected) in [
            ("", ""),
            ("[tenants]\nuids = \"20000-29999\"", ""),
            ("[tenants]\nuids = \"7-7\"", ""),
            ("[tenants]\nuids = \"0-9\"", "is no range"),
            ("[tenants]\nuids = \"9-8\"", "is no range"),
            ("[tenants]\nuids = \"9\"", "is no range"),
            ("[tenants]\nuids = \"1-2147483648\"", "is no range"),
            ("[tenants]\nuid = \"1-2\"", "unknown field"),
            ("[[tenant]]\napps = [\"shop-*\"]\nuid = 1234", ""),
            ("[[tenant]]\napps = [\"shop\"]\nuid = 1234\ngid = 100", ""),
            ("[[tenant]]\nuid = 1234", "missing field `apps`"),
            ("[[tenant]]\napps = [\"shop\"]", "missing field `uid`"),
            ("[[tenant]]\napps = [\"shop\"]\nuid = 0", "0 can't be a tenant's"),
            ("[[tenant]]\napps = [\"shop\"]\nuid = 65535", "65535 can't be a tenant's"),
            ("[[tenant]]\napps = [\"shop\"]\nuid = 4294967295", "4294967295 can't be a tenant's"),
            ("[[tenant]]\napps = [\"shop\"]\nuid = 7\ngid = 0", "0 can't be a tenant's"),
        ] {
            match toml::from_str::<File>(text) {
                Ok(_) => assert_eq!(expected, "", "{text}"),
                Err(error) => {
                    let error = error.to_string();
                    assert!(!expected.is_empty() && error.contains(expected), "{text}: {error}");
                }
            }
        }
    }

    /// Settings, the app, what others have; and the choice, if there is any.
    type Case<'a> = (&'a str, &'a str, &'a [(&'a str, u32)], Option<Choice>);

    #[test]
    fn choices_as_a_table() {
        let ids = |uid, gid| Ids { uid, gid };
        let pinned = "[tenants]\nuids = \"10-12\"\n[[tenant]]\napps = [\"shop-*\", \"till\"]\nuid = 11\n\
                      [[tenant]]\napps = [\"shop-b\", \"blog\"]\nuid = 99\ngid = 5";
        let few = "[tenants]\nuids = \"10-12\"";
        let cases: [Case<'_>; 9] = [
            (pinned, "shop-a", &[], Some(Choice::Pinned(ids(11, 11)))),
            // The first that names it.
            (pinned, "shop-b", &[("shop-b", 12)], Some(Choice::Pinned(ids(11, 11)))),
            (pinned, "blog", &[], Some(Choice::Pinned(ids(99, 5)))),
            (few, "a", &[("a", 11), ("b", 12)], Some(Choice::Kept(ids(11, 11)))),
            (few, "a", &[("b", 12), ("c", 10)], Some(Choice::New(ids(11, 11)))),
            // The range is another one now, or somebody was pinned to it.
            (few, "a", &[("a", 9), ("b", 12), ("c", 11)], Some(Choice::New(ids(10, 10)))),
            (pinned, "a", &[("a", 11), ("b", 12)], Some(Choice::New(ids(10, 10)))),
            (pinned, "a", &[("b", 12), ("c", 10)], None),
            (few, "a", &[("b", 10), ("c", 11), ("d", 12)], None),
        ];
        for (text, app, given, expected) in cases {
            let File { tenants, tenant } = toml::from_str(text).unwrap();
            let given = given.iter().map(|(app, uid)| ((*app).to_owned(), *uid)).collect();
            let chosen = choose(asks(app), (&tenants.uids, &tenant), &given);
            assert_eq!(chosen.as_ref().ok(), expected.as_ref(), "{text} {app} {given:?}");
            if let Err(error) = chosen {
                assert!(error.contains("all from 10 to 12 are taken; set a larger range"), "{error}");
            }
        }
    }

    #[test]
    fn no_two_have_one_and_homes_begin_elsewhere() {
        let uids = Uids::default();
        let mut given = BTreeMap::new();
        for number in 0..500 {
            let app = format!("app-{number}");
            let Ids { uid, gid } = choose(asks(&app), (&uids, &[]), &given).unwrap().ids();
            assert!(UIDS.contains(&uid) && uid == gid);
            given.insert(app, uid);
        }
        assert_eq!(given.values().collect::<BTreeSet<_>>().len(), 500);
        let of = |home: &str, keeps| {
            let asks = Asks { app: "shop", home: Path::new(home), keeps };
            choose(asks, (&uids, &[]), &BTreeMap::new()).unwrap().ids().uid
        };
        assert_eq!(of("/a", Keeps::Run), of("/a", Keeps::Run));
        let different =
            [("/a", Keeps::Lasting), ("/b", Keeps::Lasting), ("/a", Keeps::Run), ("/b", Keeps::Run)];
        let different: BTreeSet<u32> = different.map(|(home, keeps)| of(home, keeps)).into();
        assert_eq!(different.len(), 4);
    }
}
