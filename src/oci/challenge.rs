//! What a registry wants to see before it lets one in, as its `WWW-Authenticate` says.

use http_auth::{ChallengeRef, parse_challenges};
use reqwest::{
    Url,
    header::{HeaderMap, WWW_AUTHENTICATE},
};

/// What a registry wants.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    /// Name and password, with every request.
    Basic,
    /// A token, which is had at `realm`.
    Bearer { realm: Url, service: Option<String>, scope: Option<String> },
}

impl Challenge {
    /// The one of those in the headers that we can answer best.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let values = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
        let challenges: Vec<ChallengeRef<'_>> =
            values.filter_map(|value| parse_challenges(value).ok()).flatten().collect();
        let is = |scheme: &'static str| {
            move |challenge: &&ChallengeRef<'_>| challenge.scheme.eq_ignore_ascii_case(scheme)
        };
        let bearer = challenges.iter().filter(is("bearer")).find_map(bearer);
        bearer.or_else(|| challenges.iter().find(is("basic")).map(|_| Self::Basic))
    }
}

fn bearer(challenge: &ChallengeRef<'_>) -> Option<Challenge> {
    let parameter = |wanted: &str| {
        let found = challenge.params.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
        found.map(|(_, value)| value.to_unescaped())
    };
    let realm = Url::parse(&parameter("realm")?).ok()?;
    Some(Challenge::Bearer { realm, service: parameter("service"), scope: parameter("scope") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_a_table() {
        let bearer = |service: Option<&str>, scope: Option<&str>| {
            Some(Challenge::Bearer {
                realm: Url::parse("https://auth.example/token").unwrap(),
                service: service.map(str::to_owned),
                scope: scope.map(str::to_owned),
            })
        };
        let realm = "realm=\"https://auth.example/token\"";
        let full = format!("Bearer {realm},service=\"reg\",scope=\"repository:a/b:pull,push\"");
        let cases = [
            (vec![full], bearer(Some("reg"), Some("repository:a/b:pull,push"))),
            (vec![format!("bearer {realm}")], bearer(None, None)),
            (vec![format!("Basic realm=\"x\", Bearer {realm}")], bearer(None, None)),
            (vec!["Basic realm=\"x\"".to_owned(), format!("Bearer {realm}")], bearer(None, None)),
            (vec!["BASIC realm=\"x\"".to_owned()], Some(Challenge::Basic)),
            (vec!["Bearer realm=\"no url\", Basic realm=\"x\"".to_owned()], Some(Challenge::Basic)),
            (vec!["Bearer".to_owned()], None),
            (vec!["Negotiate".to_owned()], None),
            (vec!["=,\"".to_owned()], None),
            (vec![], None),
        ];
        for (values, expected) in cases {
            let mut headers = HeaderMap::new();
            for value in &values {
                headers.append(WWW_AUTHENTICATE, value.parse().unwrap());
            }
            assert_eq!(Challenge::of(&headers), expected, "{values:?}");
        }
    }
}
