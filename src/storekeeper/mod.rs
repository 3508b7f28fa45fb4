//! The storekeeper child: does one thing with the bundles of a home, and ends. It reads what strangers
//! packed, so that the master need not; and may be taken over by that, so it sees no more of the home than its
//! request needs, and the master holds its answer against what it asked for (`master::deploy`).

#[cfg(debug_assertions)]
mod liar;

use std::{
    collections::BTreeSet,
    fs::File,
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
};

use anyhow::Context as _;

use crate::{
    bundle::{Limits, Signer, Trust},
    digest::Digest,
    home::{Home, Settings},
    ipc::store::{
        Answer, Bundle, MAX_REPLY, MAX_REQUEST, Pruned, StoreReply, StoreRequest, TrustBy, Verified, What,
    },
    store::{Checked, Damage, Store, Stored, Uploader},
    sys::{inherit, limits, name, parent, point, priority, sandbox},
};

/// The most private memory that it may take, in bytes: far more than it does.
const MEMORY: u64 = 512 << 20;

/// What a bundle calls its components.
const COMPONENTS: [&str; 2] = ["agent.wasm", "worker.wasm"];

/// Does what the master asks for.
///
/// # Errors
/// There is no master to ask or to tell. A bundle that is refused is a reply.
pub async fn run(master: i32) -> anyhow::Result<()> {
    let control = inherit::take(inherit::CONTROL_FD)
        .context("`hatchery storekeeper` is started by the master, not by hand")?;
    parent::die_with_parent(master)?;
    name::set("hatchery-store")?;
    priority::give_way().context("cannot give way to other processes")?;
    limits::cap_data(MEMORY).context("cannot cap this process's memory")?;
    sandbox::tell();
    // It has nothing else to do, so it waits.
    let mut stream = UnixStream::from(control);
    stream.set_nonblocking(false)?;
    let mut request = vec![];
    (&stream).take(MAX_REQUEST as u64).read_to_end(&mut request)?;
    let mut request: StoreRequest = postcard::from_bytes(&request)?;
    request.home = sandbox::place(&request.home);
    #[cfg(debug_assertions)]
    liar::fall_silent(&mut stream)?;
    let reply: StoreReply = answer(&request).map_err(|error| format!("{error:#}"));
    #[cfg(debug_assertions)]
    let reply = reply.map(liar::lie);
    let mut packet = postcard::to_stdvec(&reply)?;
    if packet.len() > MAX_REPLY {
        let reply: StoreReply = Err(format!("the answer has more than {MAX_REPLY} bytes"));
        packet = postcard::to_stdvec(&reply)?;
    }
    stream.write_all(&packet)?;
    Ok(())
}

fn answer(request: &StoreRequest) -> anyhow::Result<Answer> {
    let home = Home::of_master(&request.home);
    match &request.what {
        What::Add { by } => {
            let archive = inherit::take(inherit::COMPONENT_FD).context("no archive was handed over")?;
            let store = Store::open(home.folder())?.on_behalf_of(by.as_ref().map(|by| Uploader {
                uid: by.uid,
                most: by.most,
                used: by.used.iter().filter_map(|digest| digest.parse().ok()).collect(),
            }));
            let added = store.add(File::from(archive), &Limits::default(), &trust(&home)?)?;
            Ok(Answer::Added(shown(&added.bundle, &added.signer)))
        }
        What::Look { digest, name, trust: by, workers } => {
            point::reach("look-begun");
            let stored = Store::of(home.folder()).get(digest)?;
            let mut trust = trust(&home)?;
            trust.require &= *by == TrustBy::Settings;
            let signer = stored.signer(&trust)?;
            stored.check_what_runs()?;
            let mut app = stored.app()?;
            name.clone_into(&mut app.name);
            if let (Some(workers), Some(worker)) = (workers, &mut app.worker) {
                worker.workers = *workers;
            }
            point::reach("look-found");
            Ok(Answer::Found(shown(&stored, &signer), Box::new(app)))
        }
        What::List => {
            let trust = Trust { require: false, ..trust(&home)? };
            let shown = |stored: &Stored| {
                // One whose signature is wrong is for `verify` to name.
                let signer = stored.signer(&trust).unwrap_or(Signer::Nobody);
                shown(stored, &signer)
            };
            Ok(Answer::List(Store::of(home.folder()).list()?.iter().map(shown).collect()))
        }
        What::Prune { keep } => prune(&Store::open(home.folder())?, keep),
        What::Verify => {
            let Checked { bundles, files, damage } = Store::of(home.folder()).verify()?;
            let line = |damage: &Damage| {
                let of = damage.bundle.map(|digest| format!("bundle {digest}: ")).unwrap_or_default();
                format!("{of}{}: {}", damage.path.display(), damage.what)
            };
            let damaged = damage.iter().map(line).collect();
            Ok(Answer::Verified(Verified { bundles, files, damaged }))
        }
    }
}

fn trust(home: &Home) -> anyhow::Result<Trust> {
    let settings = Settings::load(home)?;
    let keys = settings.trusted_keys.iter().map(|key| key.parse()).collect::<Result<_, _>>();
    let keys = keys.context("a key of `trusted-keys` in settings.toml is not right")?;
    Ok(Trust { keys, require: settings.require_signature })
}

fn shown(stored: &Stored, signer: &Signer) -> Bundle {
    Bundle {
        digest: stored.digest.to_string(),
        name: stored.index.name.clone(),
        version: stored.index.version.clone(),
        signer: match signer {
            Signer::Trusted(key) => Some(key.to_string()),
            Signer::Nobody | Signer::Unknown(_) => None,
        },
        bytes: stored.index.bytes(),
    }
}

/// Bundles and their files. The native code of components that no bundle has any more is the master's to
/// remove, who hears of which.
fn prune(store: &Store, keep: &[String]) -> anyhow::Result<Answer> {
    let keep: BTreeSet<Digest> = keep.iter().filter_map(|digest| digest.parse().ok()).collect();
    let components = |stored: &Stored| -> Vec<Digest> {
        let files = stored.index.files.iter();
        files.filter(|file| COMPONENTS.contains(&file.path.as_str())).map(|file| file.sha256).collect()
    };
    let bundles = store.list()?;
    let (stay, go): (Vec<_>, Vec<_>) = bundles.iter().partition(|bundle| keep.contains(&bundle.digest));
    let needed: BTreeSet<Digest> = stay.into_iter().flat_map(components).collect();
    let unneeded: BTreeSet<Digest> = go.into_iter().flat_map(components).collect();
    let pruned = store.prune(&keep)?;
    let pruned = Pruned { bundles: pruned.bundles, files: pruned.blobs, compiled: 0, bytes: pruned.bytes };
    Ok(Answer::Pruned(pruned, unneeded.difference(&needed).copied().collect()))
}
