//! The manifests that we write and take, and what they say of their one layer.
//!
//! `push` writes [`of_bundle`], `pull` reads with [`artifact`]. Neither talks to anybody.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::limits;
use crate::digest::{Digest, InvalidDigest};

pub(super) const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX_TYPE: &str = "application/vnd.oci.image.index.v1+json";
const EMPTY_TYPE: &str = "application/vnd.oci.empty.v1+json";
const BUNDLE_TYPE: &str = "application/vnd.hatchery.bundle.v1.tar+zstd";
const COMPONENT_TYPE: &str = "application/wasm";
const TITLE: &str = "org.opencontainers.image.title";

/// What we accept, with the index because its error is better than a "not found".
pub(super) const ACCEPT: &str =
    "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json";

/// The config of artifacts that have none: the spec's empty descriptor.
pub(super) const EMPTY: &[u8] = b"{}";

/// The most layers' types that an error names.
const NAMED: usize = 5;

/// What a layer holds, as its media type says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A bundle archive of ours.
    Bundle,
    /// A component alone, as `wkg` pushes it. A manifest has to be beside it to run it.
    Component,
}

impl Kind {
    /// How its files end, with the dot.
    #[must_use]
    pub fn ending(self) -> &'static str {
        match self {
            Self::Bundle => ".hatchery",
            Self::Component => ".wasm",
        }
    }

    fn of(media_type: &str) -> Option<Self> {
        match media_type {
            BUNDLE_TYPE => Some(Self::Bundle),
            COMPONENT_TYPE => Some(Self::Component),
            _ => None,
        }
    }
}

/// The one layer of an artifact that we can use. Its size is within [`limits::LAYER`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Artifact {
    pub(super) kind: Kind,
    pub(super) digest: Digest,
    pub(super) size: u64,
}

/// Why a manifest is none that we can use.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unusable {
    #[error("its manifest cannot be read")]
    Json(#[from] serde_json::Error),
    #[error("it is an index of several manifests; pull one of them by its digest")]
    Index,
    #[error("its manifest has schema version {0}, and hatchery reads 2")]
    Version(u64),
    #[error("a bundle or a component has one layer, and it has {0}")]
    Layers(String),
    #[error("its layer is of type {0:?}; a bundle's is {BUNDLE_TYPE}, a component's {COMPONENT_TYPE}")]
    Type(String),
    #[error("its layer has {0} bytes, and {max} are the most", max = limits::LAYER)]
    TooLarge(u64),
    #[error(transparent)]
    Digest(#[from] InvalidDigest),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Received {
    schema_version: u64,
    media_type: Option<String>,
    layers: Option<Vec<Layer>>,
    manifests: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Layer {
    media_type: String,
    digest: String,
    size: u64,
}

/// Reads a manifest.
pub(super) fn artifact(manifest: &[u8]) -> Result<Artifact, Unusable> {
    let received: Received = serde_json::from_slice(manifest)?;
    if received.schema_version != 2 {
        return Err(Unusable::Version(received.schema_version));
    }
    if received.media_type.as_deref() == Some(INDEX_TYPE) || received.manifests.is_some() {
        return Err(Unusable::Index);
    }
    let layers = received.layers.unwrap_or_default();
    let [layer] = layers.as_slice() else {
        return Err(Unusable::Layers(types(&layers)));
    };
    let kind = Kind::of(&layer.media_type).ok_or_else(|| Unusable::Type(shown(&layer.media_type)))?;
    if layer.size > limits::LAYER {
        return Err(Unusable::TooLarge(layer.size));
    }
    Ok(Artifact { kind, digest: layer.digest.parse()?, size: layer.size })
}

fn types(layers: &[Layer]) -> String {
    if layers.is_empty() {
        return "none".to_owned();
    }
    let mut types: Vec<String> =
        layers.iter().take(NAMED).map(|layer| format!("{:?}", shown(&layer.media_type))).collect();
    if layers.len() > NAMED {
        types.push("…".to_owned());
    }
    format!("{}: {}", layers.len(), types.join(", "))
}

fn shown(text: &str) -> String {
    text.chars().take(limits::SHOWN).collect()
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Written<'a> {
    schema_version: u64,
    media_type: &'a str,
    artifact_type: &'a str,
    config: Descriptor<'a>,
    layers: [Descriptor<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor<'a> {
    media_type: &'a str,
    digest: Digest,
    size: u64,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<&'a str, &'a str>,
}

/// The manifest of a bundle; `title` is the name that other tools give the file.
///
/// No time is in it: the same bundle under the same name has the same digest.
pub(super) fn of_bundle(digest: Digest, size: u64, title: &str) -> Vec<u8> {
    let config = Descriptor {
        media_type: EMPTY_TYPE,
        digest: Digest::of(EMPTY),
        size: EMPTY.len() as u64,
        annotations: BTreeMap::new(),
    };
    let annotations = BTreeMap::from([(TITLE, title)]);
    let manifest = Written {
        schema_version: 2,
        media_type: MANIFEST_TYPE,
        artifact_type: BUNDLE_TYPE,
        config,
        layers: [Descriptor { media_type: BUNDLE_TYPE, digest, size, annotations }],
    };
    serde_json::to_vec(&manifest).expect("numbers and text are always JSON")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const DIGEST: &str = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";

    fn with_layers(layers: &Value) -> Value {
        json!({ "schemaVersion": 2, "mediaType": MANIFEST_TYPE, "layers": layers })
    }

    fn layer(media_type: &str, size: u64) -> Value {
        json!({ "mediaType": media_type, "digest": DIGEST, "size": size })
    }

    #[test]
    fn a_bundle_there_and_back() {
        let digest = Digest::of(b"bundle");
        let written = of_bundle(digest, 6, "cache-1.hatchery");
        assert_eq!(artifact(&written).unwrap(), Artifact { kind: Kind::Bundle, digest, size: 6 });
        let json: Value = serde_json::from_slice(&written).unwrap();
        assert_eq!(json["artifactType"], BUNDLE_TYPE);
        assert_eq!(json["config"]["digest"], DIGEST);
        assert_eq!(json["layers"][0]["annotations"][TITLE], "cache-1.hatchery");
    }

    #[test]
    fn a_component_of_another_tool() {
        // As wkg writes it, with a manifest that leaves its own type out.
        let manifest = json!({
            "schemaVersion": 2,
            "config": { "mediaType": "application/vnd.wasm.config.v0+json", "digest": DIGEST, "size": 300 },
            "layers": [layer(COMPONENT_TYPE, 8)],
            "annotations": { "org.opencontainers.image.version": "1.0.0" },
        });
        let found = artifact(manifest.to_string().as_bytes()).unwrap();
        assert_eq!((found.kind, found.size), (Kind::Component, 8));
    }

    #[test]
    fn others_are_refused() {
        let tar = "application/vnd.oci.image.layer.v1.tar+gzip";
        let cases = [
            (json!([]), "cannot be read"),
            (json!({ "schemaVersion": 1, "fsLayers": [] }), "schema version 1"),
            (json!({ "schemaVersion": 2, "mediaType": INDEX_TYPE }), "index"),
            (json!({ "schemaVersion": 2, "manifests": [] }), "index"),
            (json!({ "schemaVersion": 2 }), "it has none"),
            (with_layers(&json!([])), "it has none"),
            (
                with_layers(&json!([layer(COMPONENT_TYPE, 1), layer(tar, 1)])),
                "it has 2: \"application/wasm\"",
            ),
            (with_layers(&json!([layer(tar, 1)])), "tar+gzip"),
            (with_layers(&json!([layer("\u{1b}[31m", 1)])), "\\u{1b}[31m"),
            (with_layers(&json!([layer(BUNDLE_TYPE, limits::LAYER + 1)])), "1073741825 bytes"),
            (
                with_layers(&json!([{ "mediaType": BUNDLE_TYPE, "digest": DIGEST, "size": -1 }])),
                "cannot be read",
            ),
            (
                with_layers(&json!([{ "mediaType": BUNDLE_TYPE, "digest": "md5:1", "size": 1 }])),
                "not a digest",
            ),
        ];
        for (manifest, expected) in cases {
            let error = artifact(manifest.to_string().as_bytes()).unwrap_err().to_string();
            assert!(error.contains(expected), "{manifest}: {error}");
        }
        let deep = "[".repeat(100_000);
        assert!(artifact(deep.as_bytes()).is_err());
        let exact = with_layers(&json!([layer(BUNDLE_TYPE, limits::LAYER)]));
        assert_eq!(artifact(exact.to_string().as_bytes()).unwrap().size, limits::LAYER);
    }
}
