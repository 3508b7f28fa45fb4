//! Signatures over a bundle's index, in minisign's format: keys, signing, and whom one trusts.
//!
//! Made with the crate `minisign`; checked with `minisign-verify`, whose parser bounds every field (the
//! other one's panics on a short comment signature). Only prehashed signatures, which is what minisign
//! makes, are taken.

use std::{fmt, str::FromStr};

use ct_codecs::{Base64, Decoder as _};

/// The id of a key: eight bytes that its owner drew.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyId([u8; 8]);

/// A key that makes signatures. Not shown by `Debug`.
pub struct SigningKey(minisign::SecretKey);

/// A key that checks signatures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    key: minisign_verify::PublicKey,
    id: KeyId,
    text: String,
}

/// Whose bundles are taken.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    /// Keys that are trusted.
    pub keys: Vec<PublicKey>,
    /// Must a bundle be signed by one of them?
    pub require: bool,
}

/// Who signed a bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signer {
    /// Nobody.
    Nobody,
    /// Perhaps a key of this id: it isn't among the trusted ones, so nothing was verified.
    Unknown(KeyId),
    /// A trusted key; the signature is right.
    Trusted(KeyId),
}

/// Why a key or a signature is refused.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// Signatures are required.
    #[error("the bundle is not signed, and a signature is required; make it with `hatchery pack --sign KEY`")]
    Unsigned,
    /// Signatures by trusted keys are required.
    #[error(
        "the bundle is signed by key {0}, which is not trusted; if you know its owner, add their public key"
    )]
    UnknownKey(KeyId),
    /// By a trusted key's id, but not by that key, or over something else.
    #[error("the bundle's signature by key {0} is wrong: it was changed after it was signed, or forged")]
    Wrong(KeyId),
    /// Not a signature.
    #[error("the bundle's signature can't be read: {0}")]
    Unreadable(String),
    /// Not a key.
    #[error("not a minisign {what} key: {why}")]
    Key {
        /// `public` or `secret`.
        what: &'static str,
        /// What is wrong.
        why: String,
    },
    /// An encrypted key.
    #[error("the secret key is protected by a password; set HATCHERY_KEY_PASSWORD or run this in a terminal")]
    NeedsPassword,
}

impl KeyId {
    fn new(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

/// As minisign shows it.
impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016X}", u64::from_le_bytes(self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A key that minisign wrote without a password (`-W`): all of its checksum is zero, which the crate takes
/// for damage. [`SigningKey::sign`] tries what it has signed.
fn unchecked(text: &str) -> Option<minisign::SecretKey> {
    let line = text.lines().nth(1)?.trim();
    let bytes = Base64::decode_to_vec(line, None).ok()?;
    let (_, checksum) = bytes.split_last_chunk::<32>()?;
    let is_plain = bytes.starts_with(b"Ed\0\0B2") && *checksum == [0; 32];
    if is_plain { minisign::SecretKey::from_bytes(&bytes).ok() } else { None }
}

fn bad_key(what: &'static str) -> impl Fn(String) -> SignError {
    move |why| SignError::Key { what, why }
}

impl SigningKey {
    /// A new key.
    ///
    /// # Errors
    /// The system gives no random bytes.
    pub fn generate() -> Result<Self, SignError> {
        let pair = minisign::KeyPair::generate_unencrypted_keypair();
        pair.map(|pair| Self(pair.sk)).map_err(|error| bad_key("secret")(error.to_string()))
    }

    /// From the text of a key file. `password` is called for an encrypted one only.
    ///
    /// # Errors
    /// It is not a secret key, or the password is wrong or not given.
    pub fn parse(text: &str, password: impl FnOnce() -> Option<String>) -> Result<Self, SignError> {
        let read = |text: &str| minisign::SecretKeyBox::from_string(text);
        let bad = |error: minisign::PError| bad_key("secret")(error.to_string());
        match read(text).and_then(minisign::SecretKeyBox::into_unencrypted_secret_key) {
            Ok(key) => Ok(Self(key)),
            // `EdScB2`: a key that is encrypted, in minisign's way. A public one's number may begin with `Sc`.
            Err(_) if text.lines().nth(1).is_some_and(|line| line.starts_with("RWRTY0Iy")) => {
                let password = password().ok_or(SignError::NeedsPassword)?;
                let key = read(text).and_then(|sealed| sealed.into_secret_key(Some(password)));
                Ok(Self(key.map_err(bad)?))
            }
            Err(error) => unchecked(text).map(Self).ok_or_else(|| bad(error)),
        }
    }

    /// The text of a key file.
    ///
    /// # Errors
    /// As [`SigningKey::generate`].
    pub fn to_text(&self) -> Result<String, SignError> {
        let sealed = self.0.to_box(Some("hatchery secret key, without a password"));
        sealed.map(Into::into).map_err(|error| bad_key("secret")(error.to_string()))
    }

    /// A new key and the text of its file, encrypted. Takes a second, so that guessing does too.
    ///
    /// # Errors
    /// As [`SigningKey::generate`].
    pub fn generate_encrypted(password: String) -> Result<(PublicKey, String), SignError> {
        let bad = |error: minisign::PError| bad_key("secret")(error.to_string());
        let pair = minisign::KeyPair::generate_encrypted_keypair(Some(password)).map_err(bad)?;
        let text = pair.sk.to_box(Some("hatchery secret key, encrypted")).map_err(bad)?;
        Ok((pair.pk.to_base64().parse()?, text.into()))
    }

    /// The other half.
    ///
    /// # Errors
    /// The secret key holds none.
    pub fn public(&self) -> Result<PublicKey, SignError> {
        let key = minisign::PublicKey::from_secret_key(&self.0);
        key.map_err(|error| bad_key("secret")(error.to_string()))?.to_base64().parse()
    }

    /// A signature's text. `comment` is one line and is signed too.
    ///
    /// # Errors
    /// The key's two halves do not belong together, or the system gives no random bytes.
    pub fn sign(&self, bytes: &[u8], comment: &str) -> Result<String, SignError> {
        let untrusted = "signature of a hatchery bundle's index";
        let public = minisign::PublicKey::from_secret_key(&self.0);
        let signed = public
            .and_then(|public| minisign::sign(Some(&public), &self.0, bytes, Some(comment), Some(untrusted)));
        signed.map(minisign::SignatureBox::into_string).map_err(|error| bad_key("secret")(error.to_string()))
    }
}

impl PublicKey {
    /// Its id.
    #[must_use]
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// The text of a key file, as minisign writes it.
    #[must_use]
    pub fn to_text(&self) -> String {
        format!("untrusted comment: minisign public key {}\n{}\n", self.id, self.text)
    }
}

/// The key itself, 56 characters of base64.
impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// From a key file's text, or its second line alone.
impl FromStr for PublicKey {
    type Err = SignError;

    fn from_str(text: &str) -> Result<Self, SignError> {
        let text = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.contains(' '));
        let text = text.ok_or_else(|| bad_key("public")("there is no line of base64".to_owned()))?;
        let key = minisign_verify::PublicKey::from_base64(text);
        let key = key.map_err(|error| bad_key("public")(error.to_string()))?;
        let parsed = minisign::PublicKey::from_base64(text).ok();
        let id = parsed.and_then(|parsed| KeyId::new(parsed.keynum()));
        let id = id.ok_or_else(|| bad_key("public")("it has no id".to_owned()))?;
        Ok(Self { key, id, text: text.to_owned() })
    }
}

/// Who signed this index, and is that enough? A signature by a trusted key's id that is not by that key
/// is an error even where none is required.
///
/// # Errors
/// Each kind of refusal its own.
pub fn verify(index: &[u8], signature: Option<&str>, trust: &Trust) -> Result<Signer, SignError> {
    let Some(text) = signature else {
        return if trust.require { Err(SignError::Unsigned) } else { Ok(Signer::Nobody) };
    };
    let unreadable = |error: String| SignError::Unreadable(error);
    let signature =
        minisign_verify::Signature::decode(text).map_err(|error| unreadable(error.to_string()))?;
    let id = minisign::SignatureBox::from_string(text).map_err(|error| unreadable(error.to_string()))?;
    let id = KeyId::new(id.keynum()).ok_or_else(|| unreadable("it names no key".to_owned()))?;
    let mut known = trust.keys.iter().filter(|key| key.id == id).peekable();
    if known.peek().is_none() {
        return if trust.require { Err(SignError::UnknownKey(id)) } else { Ok(Signer::Unknown(id)) };
    }
    // Two keys may have one id: it is only eight bytes, drawn by whoever made the key.
    if known.any(|key| key.key.verify(index, &signature, false).is_ok()) {
        Ok(Signer::Trusted(id))
    } else {
        Err(SignError::Wrong(id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trust_as_a_table() {
        let (ours, theirs) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
        let public = ours.public().unwrap();
        let id = public.id();
        let good = ours.sign(b"index", "hatchery a 1").unwrap();
        let foreign = theirs.sign(b"index", "hatchery a 1").unwrap();
        let foreign_id = theirs.public().unwrap().id();
        let other_comment = good.replace("hatchery a 1", "hatchery a 2");
        let mut lines: Vec<_> = good.lines().collect();
        lines[3] = "AAAA";
        let short = lines.join("\n");
        let require = Trust { keys: vec![public.clone()], require: true };
        let allow = Trust { keys: vec![public], require: false };
        let signer = |signer| format!("{signer:?}");
        let cases: [(&str, Option<&str>, &Trust, String); 12] = [
            ("index", Some(&good), &require, signer(Signer::Trusted(id))),
            ("index", Some(&good), &allow, signer(Signer::Trusted(id))),
            ("index", None, &allow, signer(Signer::Nobody)),
            ("index", None, &require, SignError::Unsigned.to_string()),
            ("index", Some(&foreign), &allow, signer(Signer::Unknown(foreign_id))),
            ("index", Some(&foreign), &require, SignError::UnknownKey(foreign_id).to_string()),
            ("other", Some(&good), &require, SignError::Wrong(id).to_string()),
            ("other", Some(&good), &allow, SignError::Wrong(id).to_string()),
            ("index", Some(&other_comment), &allow, SignError::Wrong(id).to_string()),
            ("index", Some(&short), &require, "can't be read".to_owned()),
            ("index", Some(""), &allow, "can't be read".to_owned()),
            ("index", Some("untrusted comment: x\n\n\n\n"), &allow, "can't be read".to_owned()),
        ];
        for (at, (index, signature, trust, expected)) in cases.into_iter().enumerate() {
            let found = match verify(index.as_bytes(), signature, trust) {
                Ok(found) => signer(found),
                Err(error) => error.to_string(),
            };
            assert!(found.contains(&expected), "case {at}: {found}, not {expected}");
        }
    }

    #[test]
    fn keys_as_text() {
        let key = SigningKey::generate().unwrap();
        let public = key.public().unwrap();
        let again = SigningKey::parse(&key.to_text().unwrap(), || panic!("no password")).unwrap();
        assert_eq!(again.public().unwrap(), public);
        assert_eq!(public.to_text().parse::<PublicKey>().unwrap(), public);
        assert_eq!(public.to_string().parse::<PublicKey>().unwrap(), public);
        for text in ["", "x", "RWQ", &key.to_text().unwrap()] {
            assert!(text.parse::<PublicKey>().is_err(), "{text}");
        }
        let (public, sealed) = SigningKey::generate_encrypted("secret".to_owned()).unwrap();
        let open = |password: Option<&str>| SigningKey::parse(&sealed, || password.map(str::to_owned));
        assert_eq!(open(Some("secret")).unwrap().public().unwrap(), public);
        assert!(matches!(open(None), Err(SignError::NeedsPassword)));
        assert!(matches!(open(Some("wrong")), Err(SignError::Key { .. })));
        assert!(SigningKey::parse("", || None).is_err());
    }
}
