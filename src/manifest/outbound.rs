//! An entry of `allowed-outbound-hosts`.

use serde::{Deserialize, Serialize};

/// (to be replaced)
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboundHost;
