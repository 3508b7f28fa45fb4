//! The manifest as tables whose values keep their places.
//!
//! `check` reads from it. Each reader notes a mistake and gives `None` when the value has another type,
//! so that a manifest with five mistakes shows all five; for that a derived `Deserialize` can't be used,
//! which stops at the first. What a value means is `check`'s to say.

use std::ops::Range;

use toml::{
    Spanned,
    de::{DeInteger, DeTable, DeValue},
};

use super::{error::Mistakes, keys, keys::Table};

/// One table of the manifest. Its keys are known ones.
pub(super) struct Section<'t, 'i> {
    kind: Table,
    table: &'t DeTable<'i>,
    /// Its header, or the inline table.
    place: Range<usize>,
}

/// A value and where it is.
pub(super) struct At<T> {
    pub(super) value: T,
    pub(super) span: Range<usize>,
}

impl<'t, 'i> Section<'t, 'i> {
    /// Takes a table and notes its unknown keys.
    pub(super) fn new(
        kind: Table,
        table: &'t DeTable<'i>,
        place: Range<usize>,
        mistakes: &mut Mistakes,
    ) -> Self {
        for key in table.keys() {
            let name: &str = key.get_ref();
            if !kind.keys().contains(&name) {
                let title = match kind {
                    Table::Top => format!("unknown key `{}`", short(name)),
                    _ => format!("unknown key `{}` {}", short(name), kind.title()),
                };
                mistakes.at(key.span(), title, kind.help_for(name));
            }
        }
        Self { kind, table, place }
    }

    /// Where the table is.
    pub(super) fn place(&self) -> Range<usize> {
        self.place.clone()
    }

    /// Notes that a key is missing, unless it is only misspelt, which is noted already.
    pub(super) fn missing(&self, key: &'static str, help: &str, mistakes: &mut Mistakes) {
        let keys = self.kind.keys();
        let mut unknown = self.table.keys().filter(|found| !keys.contains(&found.get_ref().as_ref()));
        if !self.has(key) && !unknown.any(|found| keys::nearest(found.get_ref(), keys) == Some(key)) {
            mistakes.at(self.place(), format!("`{key}` is missing {}", self.kind.title()), help);
        }
    }

    pub(super) fn has(&self, key: &'static str) -> bool {
        self.get(key).is_some()
    }

    pub(super) fn get(&self, key: &'static str) -> Option<&'t Spanned<DeValue<'i>>> {
        debug_assert!(self.kind.keys().contains(&key), "`{key}` is not listed in keys.rs");
        self.table.get(key)
    }

    /// Where the key of this name is.
    pub(super) fn key_place(&self, key: &'static str) -> Range<usize> {
        self.table.get_key_value(key).map_or_else(|| self.place(), |(key, _)| key.span())
    }

    pub(super) fn string(&self, key: &'static str, mistakes: &mut Mistakes) -> Option<At<&'t str>> {
        let value = self.get(key)?;
        let Some(text) = value.get_ref().as_str() else {
            let scalar = value.get_ref().as_array().is_none() && value.get_ref().as_table().is_none();
            let help = if scalar { "put it in quotes" } else { "write one value in quotes" };
            wrong_type(format!("`{key}`"), "a string", value, help, mistakes);
            return None;
        };
        Some(At { value: text, span: value.span() })
    }

    /// A number within bounds, both included.
    pub(super) fn integer(
        &self,
        key: &'static str,
        (min, max): (u32, u32),
        mistakes: &mut Mistakes,
    ) -> Option<u32> {
        let value = self.get(key)?;
        let Some(number) = value.get_ref().as_integer() else {
            let help = format!("write a number from {min} to {max}, without quotes");
            wrong_type(format!("`{key}`"), "a whole number", value, &help, mistakes);
            return None;
        };
        let parsed = i64::from_str_radix(number.as_str(), number.radix()).ok();
        let found = parsed.and_then(|n| u32::try_from(n).ok()).filter(|n| (min..=max).contains(n));
        if found.is_none() {
            let title = format!("`{key}` is out of range");
            mistakes.at(value.span(), title, format!("it goes from {min} to {max}"));
        }
        found
    }

    /// A number that may have a fraction, in hundredths, rounded to them; as the bounds are, both included.
    pub(super) fn hundredths(
        &self,
        key: &'static str,
        (min, max): (u32, u32),
        mistakes: &mut Mistakes,
    ) -> Option<u32> {
        let value = self.get(key)?;
        let [least, most] = [min, max].map(|bound| f64::from(bound) / 100.0);
        let whole = |number: &DeInteger<'_>| i64::from_str_radix(number.as_str(), number.radix()).ok();
        let found = match (value.get_ref().as_integer(), value.get_ref().as_float()) {
            (Some(number), _) => whole(number).map(|number| number as f64),
            (None, Some(number)) => number.as_str().parse().ok(),
            (None, None) => {
                let help = format!("write a number such as 1.5, from {least} to {most}, without quotes");
                wrong_type(format!("`{key}`"), "a number", value, &help, mistakes);
                return None;
            }
        };
        let found = found.filter(|number| (least..=most).contains(number));
        if found.is_none() {
            let title = format!("`{key}` is out of range");
            mistakes.at(value.span(), title, format!("it goes from {least} to {most}"));
        }
        found.map(|number| (number * 100.0).round() as u32)
    }

    pub(super) fn boolean(&self, key: &'static str, mistakes: &mut Mistakes) -> Option<bool> {
        let value = self.get(key)?;
        let found = value.get_ref().as_bool();
        if found.is_none() {
            wrong_type(format!("`{key}`"), "`true` or `false`", value, "write it without quotes", mistakes);
        }
        found
    }

    /// One of some words.
    pub(super) fn choice<T: Copy>(
        &self,
        key: &'static str,
        choices: &[(&str, T)],
        mistakes: &mut Mistakes,
    ) -> Option<T> {
        let value = self.get(key)?;
        let names: Vec<_> = choices.iter().map(|(name, _)| *name).collect();
        let all = format!("the choices are {}", keys::list(&names));
        let Some(word) = value.get_ref().as_str() else {
            wrong_type(format!("`{key}`"), "a string", value, &all, mistakes);
            return None;
        };
        let found = choices.iter().find(|(name, _)| *name == word);
        if found.is_none() {
            let help = keys::nearest(word, &names).map_or(all, |near| format!("did you mean `{near}`?"));
            mistakes.at(value.span(), format!("unknown {key} `{}`", short(word)), help);
        }
        found.map(|(_, choice)| *choice)
    }

    /// A list of strings; empty without the key.
    pub(super) fn strings(&self, key: &'static str, mistakes: &mut Mistakes) -> Vec<At<&'t str>> {
        let Some(value) = self.get(key) else { return Vec::new() };
        let help = format!("write `{key} = [\"…\"]`");
        let Some(list) = value.get_ref().as_array() else {
            wrong_type(format!("`{key}`"), "a list of strings", value, &help, mistakes);
            return Vec::new();
        };
        let mut found = Vec::new();
        for entry in list {
            match entry.get_ref().as_str() {
                Some(text) => found.push(At { value: text, span: entry.span() }),
                None => wrong_type(
                    format!("an entry of `{key}`"),
                    "a string",
                    entry,
                    "put it in quotes",
                    mistakes,
                ),
            }
        }
        found
    }

    /// Names and strings, as in `environment`; empty without the key.
    pub(super) fn pairs(
        &self,
        key: &'static str,
        mistakes: &mut Mistakes,
    ) -> Vec<(At<&'t str>, At<&'t str>)> {
        let Some(value) = self.get(key) else { return Vec::new() };
        let Some(table) = value.get_ref().as_table() else {
            let help = format!("write `{key} = {{ NAME = \"value\" }}`");
            wrong_type(format!("`{key}`"), "a table of strings", value, &help, mistakes);
            return Vec::new();
        };
        let mut found = Vec::new();
        for (name, value) in table {
            match value.get_ref().as_str() {
                Some(text) => found.push((
                    At { value: name.get_ref().as_ref(), span: name.span() },
                    At { value: text, span: value.span() },
                )),
                None => wrong_type(
                    format!("an entry of `{key}`"),
                    "a string",
                    value,
                    "put it in quotes",
                    mistakes,
                ),
            }
        }
        found
    }

    /// The table under this key.
    pub(super) fn table(
        &self,
        key: &'static str,
        kind: Table,
        mistakes: &mut Mistakes,
    ) -> Option<Section<'t, 'i>> {
        let value = self.get(key)?;
        let Some(table) = value.get_ref().as_table() else {
            let help = match self.kind {
                Table::Top => format!("write `[{key}]` on a line of its own and its keys below"),
                _ => format!("write `{key} = {{ … }}`"),
            };
            wrong_type(format!("`{key}`"), "a table", value, &help, mistakes);
            return None;
        };
        Some(Section::new(kind, table, value.span(), mistakes))
    }

    /// The tables under this key; none without it.
    pub(super) fn tables(
        &self,
        key: &'static str,
        kind: Table,
        mistakes: &mut Mistakes,
    ) -> Vec<Section<'t, 'i>> {
        let Some(value) = self.get(key) else { return Vec::new() };
        let help = match self.kind {
            Table::Top => format!("write `[[{key}]]`, with two brackets, for each"),
            _ => format!("write `{key} = [{{ … }}]`"),
        };
        let Some(list) = value.get_ref().as_array() else {
            wrong_type(format!("`{key}`"), "a list of tables", value, &help, mistakes);
            return Vec::new();
        };
        let mut found = Vec::new();
        for entry in list {
            match entry.get_ref().as_table() {
                Some(table) => found.push(Section::new(kind, table, entry.span(), mistakes)),
                None => wrong_type(format!("an entry of `{key}`"), "a table", entry, &help, mistakes),
            }
        }
        found
    }
}

/// Notes that what `what` names has the wrong type.
pub(super) fn wrong_type(
    what: String,
    expected: &str,
    value: &Spanned<DeValue<'_>>,
    help: &str,
    mistakes: &mut Mistakes,
) {
    let found = match value.get_ref() {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    };
    mistakes.at(value.span(), what + " must be " + expected + ", not " + found, help);
}

/// Text of the file as part of a title: bounded.
pub(super) fn short(text: &str) -> String {
    const MAX_CHARS: usize = 60;
    let mut chars = text.chars();
    let start: String = chars.by_ref().take(MAX_CHARS).collect();
    if chars.next().is_some() { start + "…" } else { start }
}
