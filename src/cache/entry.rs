//! How an entry begins: its MAC and its head. What comes from a file is hostile until the MAC is right.

use std::io::{Read, Write};

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};

use super::key::{Key, MAC};
use crate::ipc::compile::{Code, MAX_PACKET, Report};

/// The most bytes of a head: a little more than the compiler's reply, which it is made of.
const MAX_HEAD: usize = MAX_PACKET + 1024;

/// What an entry says of its code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    pub(super) report: Report,
    pub(super) code: Code,
}

impl Head {
    /// Writes it for an entry of this name.
    pub(super) fn write(&self, to: &mut impl Write, key: &Key, name: &str) -> anyhow::Result<()> {
        let head = postcard::to_stdvec(self)?;
        if head.len() > MAX_HEAD {
            bail!("the report has more than {MAX_HEAD} bytes");
        }
        to.write_all(&key.mac(name, &head))?;
        to.write_all(&u32::try_from(head.len())?.to_le_bytes())?;
        to.write_all(&head)?;
        Ok(())
    }

    /// Reads that of an entry of this name. What follows is the code.
    pub(super) fn read(from: &mut impl Read, key: &Key, name: &str) -> anyhow::Result<Self> {
        let (mut mac, mut length) = ([0; MAC], [0; 4]);
        from.read_exact(&mut mac).context("it has no MAC")?;
        from.read_exact(&mut length).context("it has no head")?;
        let length = usize::try_from(u32::from_le_bytes(length))?;
        if length > MAX_HEAD {
            bail!("its head has more than {MAX_HEAD} bytes");
        }
        let mut head = vec![0; length];
        from.read_exact(&mut head).context("its head is not whole")?;
        if !key.verifies(name, &head, &mac) {
            bail!("its MAC is not the one of its name and head");
        }
        let head: Self = postcard::from_bytes(&head)?;
        Ok(head)
    }
}
